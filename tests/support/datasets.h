/* IDX, CIFAR and HDF5 datasets that tests write themselves, valid and invalid. */
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

/* A whole file in memory: a header (magic number, dimensions), then the body. */
typedef struct idx_bytes {
  uint8_t *data; /* from malloc */
  size_t size;
} idx_bytes_t;

/* Pixel `i` of a split, counted over all images: pseudorandom bytes. */
uint8_t idx_pixel(es_split_t split, int64_t i);

/* Label of sample i: every class occurs, with different frequencies. */
uint8_t idx_label(int64_t i, int classes);
idx_bytes_t idx_bytes(uint32_t magic, int n, const uint32_t *dimensions, const uint8_t *body, size_t size);
idx_bytes_t idx_images(es_split_t split, int64_t n, int height, int width);
idx_bytes_t idx_labels(int64_t n, int classes);

/* Writes bytes as they are; `suffix` is "" or ".gz". */
void idx_write_raw(const char *folder, int file, const char *suffix, const void *data, size_t size);

/* Writes bytes compressed, as one gzip member (`mode` "wb") or an additional one ("ab"). */
void idx_write_packed(const char *folder, int file, const char *mode, const void *data, size_t size);

/* Writes the four files of a valid dataset. */
void idx_write_all(const char *folder, bool packed, int64_t train, int64_t eval, int height, int width, int classes);
void idx_remove(const char *folder, int file);

/* Damages a compressed file: changes the byte `from_end` before its end (1 … 4: length, 5 … 8: checksum). */
void idx_damage_packed(const char *folder, int file, long from_end);

/* ---- CIFAR ---- */

enum { CIFAR_PLANE = 32 * 32, CIFAR_IMAGE = 3 * CIFAR_PLANE };
extern const char *const CIFAR10_NAMES[6];

/* Bytes of `count` records of a split, from sample `first`: labels as idx_label (the coarse one is a fifth of the fine
 * one), pixels as idx_pixel counts them, stored as (image, row, column, channel). From malloc. */
uint8_t *cifar_records(es_split_t split, int64_t first, int64_t count, int n_labels, int classes);

/* Writes the six files of CIFAR-10, with `each` images per train batch. */
void cifar10_write(const char *folder, int64_t each, int64_t eval, int classes);

/* Writes the two files of CIFAR-100. */
void cifar100_write(const char *folder, int64_t train, int64_t eval, int classes);

/* ---- HDF5 ---- */

hid_t h5_require(hid_t result);

/* A variable of an HDF5 file to write. `values` in memory have the type `memory`; NULL: none are written. A chunk
 * length makes it chunked and compressed. */
typedef struct h5_variable {
  const char *name;
  hid_t type, memory;
  int rank;
  hsize_t shape[5], chunk[5];
  const void *values;
} h5_variable_t;

void h5_put(hid_t file, const h5_variable_t *v);

/* Images of a split (idx_pixel) and its labels; rank 3: without channels. From malloc. */
uint8_t *h5_pixels(es_split_t split, int64_t size);
int64_t *h5_labels(int64_t count, int classes);

/* The content of a valid file. */
typedef struct h5_layout {
  int64_t count[ES_SPLITS];
  int height, width, channels; /* channels 0: variables without that axis */
  int classes;
  hsize_t chunk;    /* images per chunk; 0: contiguous */
  hid_t label_type; /* in the file */
  bool modern;      /* HDF5 1.8 and later: metadata have checksums */
  const char *names[ES_SPLITS][ES_VARIABLES];
} h5_layout_t;

h5_layout_t h5_layout(int64_t train, int64_t eval, int height, int width, int channels, int classes);
h5_variable_t h5_images_of(const h5_layout_t *l, es_split_t split);
h5_variable_t h5_labels_of(const h5_layout_t *l, es_split_t split);

/* Writes a valid file in which `other`, if given, replaces the variable of its name (without a type, the variable is
 * left out). */
void h5_write(const char *path, const h5_layout_t *l, const h5_variable_t *other);

#endif
