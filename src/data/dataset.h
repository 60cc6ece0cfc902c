/** The members of a loaded dataset, for the files of this module. */
#ifndef EIGENSCOPE_DATA_DATASET_H
#define EIGENSCOPE_DATA_DATASET_H

#include "fit.h"
#include "images.h"
#include "shared.h"
#include <stddef.h>

enum { ES_RESOLUTION_MAX = 4096 };

/** Images that stay in their file: each rank reads what it fetches. Not collective. */
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

struct es_dataset {
  es_dataset_info_t info;
  char path[ES_PATH_MAX]; /**< for messages: the dataset's path, or its name when it has none */
  int32_t resolution;
  es_node_t node;              /**< owned */
  es_shared_t memory;          /**< owned; holds what the pointers below show */
  uint8_t *pixels[ES_SPLITS];  /**< (count, resolution, resolution, channels); NULL where they stay in the file */
  es_streamed_t *streamed;     /**< owned; NULL where they are in memory */
  uint16_t *labels[ES_SPLITS]; /**< (count) */
  char fingerprint[ES_ID_SIZE];
};

/** Bytes of one image at the dataset's resolution. */
static inline int64_t es_dataset_image_size(const es_dataset_t *dataset) {
  return (int64_t)dataset->resolution * dataset->resolution * dataset->info.channels;
}

/** An image at the dataset's resolution; one that stays in its file only until the next call. */
static inline const uint8_t *es_dataset_image(const es_dataset_t *dataset, es_split_t split, int64_t index) {
  if (dataset->streamed != NULL) return es_streamed_image(dataset->streamed, split, index);
  return dataset->pixels[split] + index * es_dataset_image_size(dataset);
}

/** es_dataset_load with the nodes already found: takes over `node`, also on failure. Collective over comm, of which
 * `node` holds a part. Apart so that tests can make several nodes of one machine. */
es_code_t es_dataset_load_on(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                             es_node_t node, es_status_t *status);

#endif
