/** Converts stored images to the resolution of a point. Not collective. */
#ifndef EIGENSCOPE_DATA_FIT_H
#define EIGENSCOPE_DATA_FIT_H

#include "eigenscope/data.h"
#include "eigenscope/resize.h"

typedef struct es_fitter {
  es_fit_t fit;
  const es_dataset_info_t *info; /**< borrowed: size of the images */
  int32_t resolution;
  es_resizer_t resizer; /**< owned; used by resize alone */
} es_fitter_t;

/** Prepares for images (height, width, channels) as `info` describes, which is borrowed. ES_SYSTEM when out of memory.
 */
es_code_t es_fitter_create(es_fitter_t *out, es_fit_t fit, const es_dataset_info_t *info, int32_t resolution,
                           es_status_t *status);
void es_fitter_destroy(es_fitter_t *fitter);

/** The part of a stored image that is shown on a canvas of zeros, and its place there. */
typedef struct es_seat {
  int32_t from_y, to_y, rows, from_x, to_x, columns;
} es_seat_t;

/** Seat of an image (height, width) for fit pad or place. Place: a pure function of split and index of the image. */
es_seat_t es_fit_seat(es_fit_t fit, const es_dataset_info_t *info, int32_t resolution, es_split_t split, int64_t index);

/** Converts image `index` of a split, (height, width, channels), to (resolution, resolution, channels). Not
 * thread-safe: uses scratch memory. */
void es_fitter_apply(es_fitter_t *fitter, es_split_t split, int64_t index, const uint8_t *image, uint8_t *out);

#endif
