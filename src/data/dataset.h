/** The members of a loaded dataset, private to this module. */
#ifndef EIGENSCOPE_DATA_DATASET_H
#define EIGENSCOPE_DATA_DATASET_H

#include "fit.h"
#include "images.h"
#include "shared.h"
#include <stddef.h>

/** Images that stay in their file; each rank reads the images it needs. Not collective. */
typedef struct es_streamed {
  es_dataset_spec_t spec;
  es_images_t images[ES_SPLITS]; /**< owned */
  es_fitter_t fitter;            /**< owned */
  uint8_t *stored, *fitted;      /**< owned; one image each */
  es_status_t failure;           /**< of the first image that could not be read; zeros replace it */
  int32_t classes;               /**< classes of the train samples that `mean` describes; 0: none yet */
  int64_t limit;                 /**< their limit */
  double mean[3], deviation[3];  /**< of these samples, cached because all splits and points share them */
} es_streamed_t;

/** Opens the file. `info` is borrowed until es_streamed_close. Codes as es_dataset_load; the caller closes *out also on
 * failure. */
es_code_t es_streamed_open(es_streamed_t **out, const es_dataset_spec_t *spec, const es_dataset_info_t *info,
                           int32_t resolution, es_status_t *status);
/** NULL is allowed. */
void es_streamed_close(es_streamed_t *streamed);

/** Reads one image at the target resolution; valid until the next call. */
const uint8_t *es_streamed_image(es_streamed_t *streamed, es_split_t split, int64_t index);

struct es_dataset {
  es_dataset_info_t info;
  char path[ES_PATH_MAX]; /**< for messages: path of the dataset, or its name if it has none */
  int32_t resolution;
  es_fit_t fit;
  es_node_t node;              /**< owned */
  es_shared_t memory;          /**< owned; the storage of the pointers below */
  uint8_t *pixels[ES_SPLITS];  /**< (count, resolution, resolution, channels); NULL if streamed */
  es_streamed_t *streamed;     /**< owned; NULL if the images are in memory */
  uint16_t *labels[ES_SPLITS]; /**< (count) */
  char fingerprint[ES_ID_SIZE];
};

/** Bytes of one image at the dataset's resolution. */
static inline int64_t es_dataset_image_size(const es_dataset_t *dataset) {
  return (int64_t)dataset->resolution * dataset->resolution * dataset->info.channels;
}

/** An image at the dataset's resolution; a streamed image is valid until the next call. */
static inline const uint8_t *es_dataset_image(const es_dataset_t *dataset, es_split_t split, int64_t index) {
  if (dataset->streamed != NULL) return es_streamed_image(dataset->streamed, split, index);
  return dataset->pixels[split] + index * es_dataset_image_size(dataset);
}

/** es_dataset_load for a given node. Takes over `node`, also on failure. Collective over comm, which contains the ranks
 * of `node`. Separate so that tests can simulate several nodes on one machine. */
es_code_t es_dataset_load_on(es_dataset_t **out, const es_dataset_spec_t *spec, int32_t resolution, MPI_Comm comm,
                             es_node_t node, es_status_t *status);

#endif
