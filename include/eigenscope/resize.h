/** Resizing of images as PIL does it. Not collective. */
#ifndef EIGENSCOPE_RESIZE_H
#define EIGENSCOPE_RESIZE_H

#include "eigenscope/memory.h"
#include <stdbool.h>
#include <stdint.h>

/** One pass of the resampling filter along one axis: output x is the sum of weight[x·width + t]·input[first[x] + t]. */
typedef struct es_taps {
  int32_t width;   /**< weights kept for an output, surplus ones 0 */
  int32_t *first;  /**< of the resizer's memory, as the next two */
  int32_t *count;  /**< weights in use, at least 1 */
  int32_t *weight; /**< fixed point, 2²² is 1 */
} es_taps_t;

/** From what to what. Only a window of the result is computed; its pixels are those of the whole. */
typedef struct es_resize {
  int32_t channels;
  int32_t height, width;                /**< of the image */
  int32_t to_height, to_width;          /**< of the resized image */
  int32_t top, left, n_rows, n_columns; /**< the window within it */
} es_resize_t;

typedef struct es_resizer {
  es_resize_t shape;
  es_taps_t horizontal, vertical;
  uint8_t *between; /**< (height, n_columns, channels), after the horizontal pass */
  int32_t *sums;    /**< one row of the vertical pass */
  es_owned_t memory;
} es_resizer_t;

/** False when memory is out; then nothing is left to destroy. */
bool es_resizer_create(es_resizer_t *out, const es_resize_t *shape);
/** A zeroed struct is fine. */
void es_resizer_destroy(es_resizer_t *resizer);
/** (height, width, channels) to (n_rows, n_columns, channels). Uses the resizer's scratch: one thread at a time. */
void es_resizer_apply(es_resizer_t *resizer, const uint8_t *image, uint8_t *out);

#endif
