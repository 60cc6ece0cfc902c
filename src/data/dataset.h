/** The members of a loaded dataset, for the files of this module. */
#ifndef EIGENSCOPE_DATA_DATASET_H
#define EIGENSCOPE_DATA_DATASET_H

#include "eigenscope/data.h"
#include "shared.h"
#include "streamed.h"
#include <stddef.h>

enum { ES_RESOLUTION_MAX = 4096 };

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
