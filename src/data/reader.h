/** The formats of datasets: each is a small file behind one table of functions (idx.c, cifar.c, hdf5.c, synthetic.c).
 */
#ifndef EIGENSCOPE_DATA_READER_H
#define EIGENSCOPE_DATA_READER_H

#include "eigenscope/data.h"
#include <stdbool.h>

/** The images of one split, being read. */
typedef struct es_images {
  const es_dataset_spec_t *spec; /**< borrowed */
  const es_dataset_info_t *info; /**< borrowed; as `inspect` filled it */
  es_split_t split;
  void *state; /**< owned by the format */
} es_images_t;

typedef struct es_reader {
  /** True: every rank may read any images. False: one process reads them all, in order. */
  bool anywhere;
  /** True: images may be read in any order, by several processes, for as long as they are open: they can stay in their
   * file while a network is trained on them. */
  bool streams;
  /** Fills all of `info` and, unless `labels` is NULL, allocates labels[split] (info->count[split] values, owned by the
   * caller, both NULL on failure). Checks everything that does not need the pixels. Its message names the file first.
   */
  es_code_t (*inspect)(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                       es_status_t *status);
  /** Starts a split: spec, info and split are set; on failure nothing is left to close. */
  es_code_t (*open)(es_images_t *images, es_status_t *status);
  /** Images first … first+count−1 as stored: (count, height, width, channels). Reading up to the last image also checks
   * that nothing follows it. */
  es_code_t (*read)(es_images_t *images, int64_t first, int64_t count, uint8_t *out, es_status_t *status);
  void (*close)(es_images_t *images);
  /** Whether a file or folder looks like one of this format, going by names and first bytes: out gets what gave it
   * away. NULL when nothing on disk can be of this format. */
  bool (*found)(const char *path, char out[ES_PATH_MAX]);
} es_reader_t;

extern const es_reader_t es_reader_idx;
extern const es_reader_t es_reader_cifar10;
extern const es_reader_t es_reader_cifar100;
extern const es_reader_t es_reader_hdf5;
extern const es_reader_t es_reader_synthetic;

/** Never NULL. */
const es_reader_t *es_reader_of(es_format_t format);

/** Images that are read at a time, at least 1: about 8 MB of them. */
static inline int64_t es_info_chunk(const es_dataset_info_t *info) {
  int64_t images = (8 << 20) / ((int64_t)info->height * info->width * info->channels);
  return images < 1 ? 1 : images;
}

/** Bytes of one stored image. */
static inline int64_t es_info_image_size(const es_dataset_info_t *info) {
  return (int64_t)info->height * info->width * info->channels;
}

#endif
