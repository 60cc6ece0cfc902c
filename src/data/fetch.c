/* From uint8 to normalised float, moved and mirrored, in one pass: what training reads its batches with. */
#include "dataset.h"
#include "eigenscope/random.h"
#include <assert.h>
#include <string.h>

/* How one image is moved: output (y, x) shows stored (y + down, x + right), zeros outside, then is mirrored. */
typedef struct move {
  int32_t down, right;
  bool flip;
} move_t;

static move_t draw_move(const es_augment_t *augment, int32_t position, int32_t resolution) {
  move_t move = {0};
  if (augment == NULL || (!augment->crop && !augment->flip)) return move;
  uint32_t words[4];
  es_random_block(augment->seed, ES_RANDOM_AUGMENT, augment->epoch, (uint64_t)position, words);
  if (augment->crop) {
    int32_t margin = resolution / 8;
    move.down = (int32_t)es_random_below(words[0], 2 * (uint32_t)margin + 1) - margin;
    move.right = (int32_t)es_random_below(words[1], 2 * (uint32_t)margin + 1) - margin;
  }
  move.flip = augment->flip && words[2] >> 31 != 0;
  return move;
}

/* n pixels of grey, read at every `step`-th byte. Four floats are stored for each pixel's three, the fourth overwritten
 * by the next pixel: one load and one store a pixel. The last pixel stores three, as nothing may follow it. */
static void convert_grey(const float *table, const uint8_t *in, int64_t step, int64_t n, float *out) {
  for (int64_t i = 0; i + 1 < n; i++) memcpy(out + 3 * i, table + 4 * in[i * step], 4 * sizeof(float));
  if (n > 0) memcpy(out + 3 * (n - 1), table + 4 * in[(n - 1) * step], 3 * sizeof(float));
}

/* The same for three channels; `step` counts pixels. */
static void convert_colour(const float *table, const uint8_t *in, int64_t step, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++) {
    const uint8_t *pixel = in + 3 * step * i;
    out[3 * i] = table[4 * pixel[0]];
    out[3 * i + 1] = table[4 * pixel[1] + 1];
    out[3 * i + 2] = table[4 * pixel[2] + 2];
  }
}

/* n pixels of raw zero. */
static void convert_zeros(const float *table, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++) memcpy(out + 3 * i, table, 3 * sizeof(float));
}

typedef void convert_t(const float *table, const uint8_t *in, int64_t step, int64_t n, float *out);

/* image: (resolution, resolution, channels) to out: (resolution, resolution, 3). */
static void convert_image(const float *table, const uint8_t *image, int32_t resolution, int32_t channels, move_t move,
                          float *out) {
  convert_t *convert = channels == 1 ? convert_grey : convert_colour;
  int64_t n = resolution, row = 3 * n;
  /* Columns first … end−1 of the output, before mirroring, show the image. */
  int64_t first = move.right < 0 ? -move.right : 0, end = move.right > 0 ? n - move.right : n;
  int64_t left = move.flip ? n - end : first, right = move.flip ? first : n - end;
  int64_t from = (move.flip ? end - 1 : first) + move.right;
  for (int64_t y = 0; y < n; y++, out += row) {
    int64_t source = y + move.down;
    if (source < 0 || source >= n) {
      convert_zeros(table, n, out);
      continue;
    }
    convert_zeros(table, left, out);
    convert(table, image + (source * n + from) * channels, move.flip ? -1 : 1, end - first, out + 3 * left);
    convert_zeros(table, right, out + 3 * (n - right));
  }
}

void es_samples_fetch(const es_samples_t *samples, const int32_t *positions, int64_t n, const es_augment_t *augment,
                      float *out) {
  const es_dataset_t *dataset = samples->dataset;
  int32_t resolution = samples->resolution;
  int64_t size_out = (int64_t)resolution * resolution * 3;
  for (int64_t i = 0; i < n; i++) {
    assert(positions[i] >= 0 && positions[i] < samples->n);
    const uint8_t *image = es_dataset_image(dataset, samples->split, samples->index[positions[i]]);
    convert_image(samples->table, image, resolution, dataset->info.channels,
                  draw_move(augment, positions[i], resolution), out + i * size_out);
  }
}
