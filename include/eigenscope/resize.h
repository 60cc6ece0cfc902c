/** Resizes images exactly as PIL. Not collective. */
#ifndef EIGENSCOPE_RESIZE_H
#define EIGENSCOPE_RESIZE_H

#include "eigenscope/memory.h"
#include <stdbool.h>
#include <stdint.h>

/** One pass of the resampling filter along one axis: output x is the sum of weight[x·width + t]·input[first[x] + t]. */
typedef struct es_taps {
  int32_t width;   /**< weights stored per output; unused ones are 0 */
  int32_t *first;  /**< in the resizer's memory, like `count` and `weight` */
  int32_t *count;  /**< number of used weights, at least 1 */
  int32_t *weight; /**< fixed point, 2²² is 1 */
} es_taps_t;

/** Sizes before and after. Only a window of the result is computed, with the same pixels as in the full result. */
typedef struct es_resize {
  int32_t channels;
  int32_t height, width;                /**< size of the image */
  int32_t to_height, to_width;          /**< size of the resized image */
  int32_t top, left, n_rows, n_columns; /**< the window within it */
} es_resize_t;

typedef struct es_resizer {
  es_resize_t shape;
  es_taps_t horizontal, vertical;
  uint8_t *between; /**< (height, n_columns, channels), after the horizontal pass */
  int32_t *sums;    /**< one row of the vertical pass */
  es_owned_t memory;
} es_resizer_t;

/** Fills the taps of n_out outputs from n_in ≤ n_out inputs; `out` has room for n_out outputs of width
 * ES_ENLARGING_TAPS. */
enum { ES_ENLARGING_TAPS = 3 };
void es_taps_enlarge(es_taps_t *out, int32_t n_in, int32_t n_out);
/** One row of the horizontal pass: n_out pixels of `channels` bytes. */
void es_taps_row(const es_taps_t *taps, const uint8_t *in, int32_t n_out, int32_t channels, uint8_t *out);
/** Output `y` of the vertical pass: n bytes from the rows first[y] … first[y] + count[y] − 1, given by `rows`. */
void es_taps_column(const es_taps_t *taps, int32_t y, const uint8_t *const *rows, int64_t n, uint8_t *out);

/** False if out of memory; then nothing must be destroyed. */
bool es_resizer_create(es_resizer_t *out, const es_resize_t *shape);
/** A zeroed struct is allowed. */
void es_resizer_destroy(es_resizer_t *resizer);
/** Resizes (height, width, channels) to (n_rows, n_columns, channels). Only one thread may use a resizer at a time. */
void es_resizer_apply(es_resizer_t *resizer, const uint8_t *image, uint8_t *out);

#endif
