/* Converts uint8 images to normalised float, changed as augment.h says, in one pass: makes the batches of training. */
#include "augment.h"
#include "eigenscope/kernel.h"
#include <assert.h>
#include <string.h>

enum { ROWS_AHEAD = 8 };

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

/* Clears the holes in row y of the output. */
static void clear_holes(const es_change_t *change, int64_t y, float *row) {
  for (int i = 0; i < change->n_holes; i++) {
    const es_rectangle_t *hole = &change->holes[i];
    if (y >= hole->top && y < hole->top + hole->height)
      memset(row + 3 * (size_t)hole->left, 0, 3 * (size_t)hole->width * sizeof *row);
  }
}

/* Converts image (resolution, resolution, channels) to out (resolution, resolution, 3), in a batch that ends at
 * `end_of_batch`. `enlarge`: room for enlarging a part, or NULL. */
static void convert_image(const es_samples_t *samples, const es_moved_t *moved, const es_change_t *change,
                          es_enlarge_t *enlarge, float *out, const float *end_of_batch) {
  uint8_t row[3 * ES_RESOLUTION_MAX];
  const int64_t n = samples->resolution;
  if (enlarge) es_enlarge_begin(enlarge, *moved, change->part);
  for (int32_t y = 0; y < n; y++, out += 3 * n) {
    if (enlarge)
      es_enlarge_row(enlarge, y, row);
    else
      es_moved_row(moved, y, row);
    ask_for_row(out, 3 * n, end_of_batch);
    convert_row(samples->table, row, n, moved->channels, change->flip, out);
    if (change->n_holes > 0) clear_holes(change, y, out);
  }
}

/* Apart from convert_image, because it needs much of the stack. */
static void convert_part(const es_samples_t *samples, const es_moved_t *moved, const es_change_t *change, float *out,
                         const float *end_of_batch) {
  es_enlarge_t enlarge;
  convert_image(samples, moved, change, &enlarge, out, end_of_batch);
}

void es_samples_fetch(const es_samples_t *samples, const int32_t *positions, int64_t n, const es_augment_t *augment,
                      float *out) {
  const es_dataset_t *dataset = samples->dataset;
  const int32_t resolution = samples->resolution;
  const int64_t size_out = (int64_t)resolution * resolution * 3;
  const float *end = out + n * size_out;
  for (int64_t i = 0; i < n; i++, out += size_out) {
    assert(positions[i] >= 0 && positions[i] < samples->n);
    const uint8_t *image = es_dataset_image(dataset, samples->split, samples->index[positions[i]]);
    if (i + 1 < n) ask_for_image(dataset, samples->split, samples->index[positions[i + 1]]);
    const es_change_t change = es_augment_draw(augment, samples, positions[i]);
    const es_moved_t moved = {image, resolution, dataset->info.channels, change.down, change.right};
    if (change.resized)
      convert_part(samples, &moved, &change, out, end);
    else
      convert_image(samples, &moved, &change, NULL, out, end);
  }
}
