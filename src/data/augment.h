/** Random changes of single train images, private to this module. Not collective. */
#ifndef EIGENSCOPE_DATA_AUGMENT_H
#define EIGENSCOPE_DATA_AUGMENT_H

#include "dataset.h"
#include "eigenscope/data.h"

/** A rectangle of an image. */
typedef struct es_rectangle {
  int32_t top, left, height, width;
} es_rectangle_t;

enum { ES_HOLES_MAX = 2 };

/** What happens to an image, in this order: output (y, x) shows stored (y + down, x + right), zeros outside; `part` is
 * enlarged to the whole image; mirrored; the holes become zeros after normalisation. */
typedef struct es_change {
  int32_t down, right;
  bool resized;
  es_rectangle_t part;
  bool flip;
  int n_holes;
  es_rectangle_t holes[ES_HOLES_MAX]; /**< inside the image */
} es_change_t;

/** Draws the change of sample `position`; none without `augment`. */
es_change_t es_augment_draw(const es_augment_t *augment, const es_samples_t *samples, int32_t position);

/** An image of bytes that is moved and read row by row. */
typedef struct es_moved {
  const uint8_t *image; /**< (n, n, channels); borrowed */
  int32_t n, channels, down, right;
} es_moved_t;

/** Writes row y of the moved image, n pixels. */
void es_moved_row(const es_moved_t *moved, int64_t y, uint8_t *out);

/** Enlarges a part of a moved image to (n, n). Start with es_enlarge_begin, then ask for the rows 0 … n−1 in order. */
typedef struct es_enlarge {
  es_moved_t moved;
  es_rectangle_t part;
  es_taps_t horizontal, vertical;
  int32_t first[2][ES_RESOLUTION_MAX], count[2][ES_RESOLUTION_MAX];
  int32_t weight[2][ES_RESOLUTION_MAX * ES_ENLARGING_TAPS];
  int32_t ready;                                          /**< rows of the part that are enlarged so far */
  uint8_t rows[ES_ENLARGING_TAPS][3 * ES_RESOLUTION_MAX]; /**< the last ones: row y is in y mod ES_ENLARGING_TAPS */
} es_enlarge_t;
void es_enlarge_begin(es_enlarge_t *out, es_moved_t moved, es_rectangle_t part);
void es_enlarge_row(es_enlarge_t *enlarge, int32_t y, uint8_t *out);

#endif
