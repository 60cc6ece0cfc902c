/** Reading stored images and labels, private to this module. Not collective. */
#ifndef EIGENSCOPE_DATA_IMAGES_H
#define EIGENSCOPE_DATA_IMAGES_H

#include "eigenscope/dataset_reader.h"

#define ES_READER_DECLARATION(NAME, name) extern const es_dataset_reader_t es_reader_##name;
ES_FORMATS(ES_READER_DECLARATION)
#undef ES_READER_DECLARATION

/** As es_dataset_guess among n rows: returns the index of the first row that reads the path, -1 if none does. */
int es_readers_guess(const es_dataset_reader_t *const *rows, int n, const char *path, char found[ES_PATH_MAX]);

/** As es_dataset_inspect; also returns the labels of each split (owned by the caller) unless `labels` is NULL. */
es_code_t es_labels_inspect(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                            es_status_t *status);

/** Starts reading a split; set spec, info and split before. After a failure there is nothing to close. */
es_code_t es_images_open(es_images_t *images, es_status_t *status);
/** A zeroed struct is allowed. */
void es_images_close(es_images_t *images);

/** Fails with ES_SYSTEM: the file changed after it was inspected. */
static inline es_code_t es_images_changed(const char *path, es_status_t *status) {
  return es_fail(status, ES_SYSTEM, "data", "%s: changed while it was read", path);
}

/** Bytes of one stored image. */
static inline int64_t es_info_image_size(const es_dataset_info_t *info) {
  return (int64_t)info->height * info->width * info->channels;
}

/** Number of images to read at a time, at least 1: about 8 MB. */
static inline int64_t es_info_chunk(const es_dataset_info_t *info) {
  int64_t images = (8 << 20) / es_info_image_size(info);
  return images < 1 ? 1 : images;
}

/** Mean and deviation of pixels by channel, from exact integer sums, so the order of pixels does not matter. */
typedef struct es_moments {
  int32_t channels; /**< 1 or 3 */
  uint64_t count;   /**< pixels added so far */
  uint64_t sum[3], squares[3];
} es_moments_t;

/** Adds n pixels of `channels` bytes each. Start from es_moments_t m = {.channels = ...}. */
void es_moments_add(es_moments_t *moments, const uint8_t *pixels, int64_t n);
/** Results on the scale 0 … 1; deviation with 1/n. Grey fills all three entries. */
void es_moments_finish(const es_moments_t *moments, double mean[3], double deviation[3]);

#endif
