/** Images that stay in their file: each rank reads what it fetches. Not collective. */
#ifndef EIGENSCOPE_DATA_STREAMED_H
#define EIGENSCOPE_DATA_STREAMED_H

#include "fit.h"
#include "images.h"

typedef struct es_streamed {
  es_dataset_spec_t spec;
  es_images_t images[ES_SPLITS]; /**< owned */
  es_fitter_t fitter;            /**< owned */
  uint8_t *stored, *fitted;      /**< owned; one image each */
  es_status_t failure;           /**< of the first image that could not be read; zeros stand in for it */
  int32_t classes;               /**< of the train samples below, 0 while there are none */
  int64_t limit;                 /**< of these samples */
  double mean[3], deviation[3];  /**< of these samples, so that every split and point need not read them all again */
} es_streamed_t;

/** Opens the file. `info` is borrowed for as long as it is open. Codes as es_dataset_load; also on failure, *out is to
 * be closed. */
es_code_t es_streamed_open(es_streamed_t **out, const es_dataset_spec_t *spec, const es_dataset_info_t *info,
                           int32_t resolution, es_status_t *status);
/** NULL is fine. */
void es_streamed_close(es_streamed_t *streamed);

/** One image at the resolution asked for; stays until the next call. */
const uint8_t *es_streamed_image(es_streamed_t *streamed, es_split_t split, int64_t index);

#endif
