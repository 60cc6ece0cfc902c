/* Converts uint8 images to normalised float, shifted and mirrored, in one pass: makes the batches of training. */
#include "dataset.h"
#include "eigenscope/kernel.h"
#include "eigenscope/random.h"
#include <assert.h>
#include <string.h>

enum { ROWS_AHEAD = 8 };

/* Shift and mirror of an image: output (y, x) shows stored (y + down, x + right), zeros outside, then is mirrored. */
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

/* Converts n grey pixels; `step`: distance of their bytes. Stores four floats for the three of a pixel, and the next
 * pixel overwrites the fourth: one load and one store per pixel. The last pixel stores three, to stay in the row. */
static ES_INLINE void convert_grey(const float *table, const uint8_t *in, const int64_t step, int64_t n, float *out) {
#pragma GCC unroll 8
  for (int64_t i = 1; i < n; i++, in += step, out += 3) memcpy(out, table + 4 * *in, 4 * sizeof(float));
  memcpy(out, table + 4 * *in, 3 * sizeof(float));
}

/* As convert_grey, for three channels; `step` counts pixels. */
static ES_INLINE void convert_colour(const float *table, const uint8_t *in, const int64_t step, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++, in += 3 * step, out += 3) {
    out[0] = table[4 * in[0]];
    out[1] = table[4 * in[1] + 1];
    out[2] = table[4 * in[2] + 2];
  }
}

/* Prefetches an image, because images and batches fit at best in the third-level cache. */
static void ask_for_image(const es_dataset_t *dataset, es_split_t split, int64_t index) {
  if (dataset->streamed != NULL) return;
  const uint8_t *image = es_dataset_image(dataset, split, index);
  for (int64_t i = 0; i < es_dataset_image_size(dataset); i += 64) __builtin_prefetch(image + i);
}

/* Prefetches an output row that will be written soon, if it lies before `end`. */
static void ask_for_row(const float *row, int64_t floats, const float *end) {
  if (end - row <= ROWS_AHEAD * floats) return;
  for (int64_t i = 0; i < floats; i += 16) __builtin_prefetch(row + ROWS_AHEAD * floats + i, 1);
}

/* Converts a whole row, mirrored or not. All rows have loops of equal length, so that no branch is mispredicted. */
static void convert_row(const float *table, const uint8_t *row, int64_t n, int32_t channels, bool flip, float *out) {
  const uint8_t *last = row + (n - 1) * channels;
  if (channels == 1 && flip)
    convert_grey(table, last, -1, n, out);
  else if (channels == 1)
    convert_grey(table, row, 1, n, out);
  else if (flip)
    convert_colour(table, last, -1, n, out);
  else
    convert_colour(table, row, 1, n, out);
}

/* Converts image (resolution, resolution, channels) to out (resolution, resolution, 3), in a batch that ends at
 * `end_of_batch`. */
static void convert_image(const es_samples_t *samples, const uint8_t *image, move_t move, float *out,
                          const float *end_of_batch) {
  uint8_t row[3 * ES_RESOLUTION_MAX];
  const int32_t channels = samples->dataset->info.channels;
  const int64_t n = samples->resolution;
  /* Columns first … end−1 of the output, before mirroring, lie inside the image. */
  const int64_t first = move.right < 0 ? -move.right : 0, end = move.right > 0 ? n - move.right : n;
  memset(row, 0, (size_t)(n * channels));
  for (int64_t y = 0; y < n; y++, out += 3 * n) {
    const int64_t source = y + move.down;
    const bool there = source >= 0 && source < n;
    const uint8_t *from = there ? image + (source * n + first + move.right) * channels : NULL;
    if (there)
      memcpy(row + first * channels, from, (size_t)((end - first) * channels));
    else
      memset(row, 0, (size_t)(n * channels));
    ask_for_row(out, 3 * n, end_of_batch);
    convert_row(samples->table, row, n, channels, move.flip, out);
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
    if (i + 1 < n) ask_for_image(dataset, samples->split, samples->index[positions[i + 1]]);
    convert_image(samples, image, draw_move(augment, positions[i], resolution), out + i * size_out, out + n * size_out);
  }
}
