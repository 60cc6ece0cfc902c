/** Converts stored images to the resolution of a point. Not collective. */
#ifndef EIGENSCOPE_DATA_FIT_H
#define EIGENSCOPE_DATA_FIT_H

#include "eigenscope/data.h"
#include "eigenscope/resize.h"

typedef struct es_fitter {
  es_fit_t fit;
  int32_t height, width, channels, resolution;
  es_resizer_t resizer; /**< owned; used by resize alone */
} es_fitter_t;

/** Prepares for images (height, width, channels) as `info` describes. ES_SYSTEM when out of memory. */
es_code_t es_fitter_create(es_fitter_t *out, es_fit_t fit, const es_dataset_info_t *info, int32_t resolution,
                           es_status_t *status);
void es_fitter_destroy(es_fitter_t *fitter);

/** Converts (height, width, channels) to (resolution, resolution, channels). Not thread-safe: uses scratch memory. */
void es_fitter_apply(es_fitter_t *fitter, const uint8_t *image, uint8_t *out);

#endif
