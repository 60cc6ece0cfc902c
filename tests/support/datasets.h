/* IDX, CIFAR and HDF5 datasets that tests write for themselves, in every right and wrong way. */
#ifndef ES_TEST_SUPPORT_DATASETS_H
#define ES_TEST_SUPPORT_DATASETS_H

#include "eigenscope/point.h"
#include "support/files.h"
#include <hdf5.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

es_dataset_spec_t data_spec(es_format_t format, const char *path);

/* ---- IDX ---- */

enum { IDX_TRAIN_IMAGES, IDX_TRAIN_LABELS, IDX_EVAL_IMAGES, IDX_EVAL_LABELS };
extern const char *const IDX_NAMES[4];

/* A whole file in memory: a header of magic number and dimensions, then the body. */
typedef struct idx_bytes {
  uint8_t *data; /* from malloc */
  size_t size;
} idx_bytes_t;

/* Pixel `i` of a split, counted over all images: random bytes. */
uint8_t idx_pixel(es_split_t split, int64_t i);

/* Label of sample i: every class, but not equally often. */
uint8_t idx_label(int64_t i, int classes);
idx_bytes_t idx_bytes(uint32_t magic, int n, const uint32_t *dimensions, const uint8_t *body, size_t size);
idx_bytes_t idx_images(es_split_t split, int64_t n, int height, int width);
idx_bytes_t idx_labels(int64_t n, int classes);

/* Writes bytes as they are; `suffix` is "" or ".gz". */
void idx_write_raw(const char *folder, int file, const char *suffix, const void *data, size_t size);

/* Writes bytes packed, as one gzip member of `mode` "wb" or as one more ("ab"). */
void idx_write_packed(const char *folder, int file, const char *mode, const void *data, size_t size);

/* The four files, right in every way. */
void idx_write_all(const char *folder, bool packed, int64_t train, int64_t eval, int height, int width, int classes);
void idx_remove(const char *folder, int file);

/* Damages a packed file: changes the byte that stands `from_end` before its end (1 … 4 the length, 5 … 8 the checksum).
 */
void idx_damage_packed(const char *folder, int file, long from_end);

/* ---- CIFAR ---- */

enum { CIFAR_PLANE = 32 * 32, CIFAR_IMAGE = 3 * CIFAR_PLANE };
extern const char *const CIFAR10_NAMES[6];

/* Bytes of `count` records of a split, from its sample `first` on: labels as idx_label (the coarse one a fifth of the
 * fine one), pixels as idx_pixel counts them when stored as (image, row, column, channel). From malloc. */
uint8_t *cifar_records(es_split_t split, int64_t first, int64_t count, int n_labels, int classes);

/* The six files of CIFAR-10 with `each` images in every train batch. */
void cifar10_write(const char *folder, int64_t each, int64_t eval, int classes);

/* The two files of CIFAR-100. */
void cifar100_write(const char *folder, int64_t train, int64_t eval, int classes);

/* ---- HDF5 ---- */

hid_t h5_require(hid_t result);

/* A variable of an HDF5 file that is being made; `values` in memory have the type `memory`, or are left out (NULL). A
 * chunk length makes it chunked and packed. */
typedef struct h5_variable {
  const char *name;
  hid_t type, memory;
  int rank;
  hsize_t shape[5], chunk[5];
  const void *values;
} h5_variable_t;

void h5_put(hid_t file, const h5_variable_t *v);

/* Images of a split as idx_pixel has them, and its labels: rank 3 is without channels. From malloc. */
uint8_t *h5_pixels(es_split_t split, int64_t size);
int64_t *h5_labels(int64_t count, int classes);

/* What a good file holds. */
typedef struct h5_layout {
  int64_t count[ES_SPLITS];
  int height, width, channels; /* channels 0: variables without that axis */
  int classes;
  hsize_t chunk;    /* images of a chunk, 0: contiguous */
  hid_t label_type; /* in the file */
  bool modern;      /* HDF5 1.8 and later: what is not values has a checksum */
  const char *names[ES_SPLITS][ES_VARIABLES];
} h5_layout_t;

h5_layout_t h5_layout(int64_t train, int64_t eval, int height, int width, int channels, int classes);
h5_variable_t h5_images_of(const h5_layout_t *l, es_split_t split);
h5_variable_t h5_labels_of(const h5_layout_t *l, es_split_t split);

/* A file that is right but for `other`, which stands in for the variable of its name, if any (without a type: the
 * variable is left out). */
void h5_write(const char *path, const h5_layout_t *l, const h5_variable_t *other);

#endif
