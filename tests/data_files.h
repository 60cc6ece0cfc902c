/* CIFAR and HDF5 datasets that tests write for themselves, in a folder of their own, in every right and wrong way. */
#ifndef ES_TEST_DATA_FILES_H
#define ES_TEST_DATA_FILES_H

#include "idx_files.h"
#include <dirent.h>
#include <hdf5.h>

enum { CIFAR_PLANE = 32 * 32, CIFAR_IMAGE = 3 * CIFAR_PLANE };

static inline void data_path(char out[IDX_PATH + 64], const char *folder, const char *name) {
  snprintf(out, IDX_PATH + 64, "%s/%s", folder, name);
}

/* Removes the folder and all files in it. */
static inline void data_folder_destroy(const char *folder) {
  DIR *directory = opendir(folder);
  idx_require(directory != NULL, folder);
  for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
    if (entry->d_name[0] != '.') idx_require(unlinkat(dirfd(directory), entry->d_name, 0) == 0, entry->d_name);
  }
  closedir(directory);
  idx_require(rmdir(folder) == 0, folder);
}

static inline void data_write(const char *folder, const char *name, const void *data, size_t size) {
  char path[IDX_PATH + 64];
  data_path(path, folder, name);
  FILE *out = fopen(path, "wb");
  idx_require(out != NULL && fwrite(data, 1, size, out) == size && fclose(out) == 0, path);
}

static inline void data_write_packed(const char *folder, const char *name, const void *data, size_t size) {
  char path[IDX_PATH + 64];
  data_path(path, folder, name);
  gzFile out = gzopen(path, "wb");
  idx_require(out != NULL && gzwrite(out, data, (unsigned)size) == (int)size && gzclose(out) == Z_OK, path);
}

/* ---- CIFAR ---- */

/* Bytes of `count` records of a split, from its sample `first` on: labels as idx_label (the coarse one a fifth of the
 * fine one), pixels as idx_pixel counts them when stored as (image, row, column, channel). From malloc. */
static inline uint8_t *cifar_records(es_split_t split, int64_t first, int64_t count, int n_labels, int classes) {
  int64_t record = n_labels + CIFAR_IMAGE;
  uint8_t *out = malloc((size_t)(count * record));
  idx_require(out != NULL, "malloc");
  for (int64_t i = 0; i < count; i++) {
    uint8_t *at = out + i * record, label = idx_label(first + i, classes);
    if (n_labels == 2) *at++ = label / 5;
    *at++ = label;
    for (int p = 0; p < CIFAR_PLANE; p++) {
      for (int c = 0; c < 3; c++) {
        at[c * CIFAR_PLANE + p] = idx_pixel(split, (first + i) * CIFAR_IMAGE + 3 * p + c);
      }
    }
  }
  return out;
}

static const char *const CIFAR10_NAMES[6] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                             "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};

/* The six files of CIFAR-10 with `each` images in every train batch. */
static inline void cifar10_write(const char *folder, int64_t each, int64_t eval, int classes) {
  for (int f = 0; f < 6; f++) {
    int64_t n = f < 5 ? each : eval;
    uint8_t *records = cifar_records(f < 5 ? ES_TRAIN : ES_EVAL, f < 5 ? f * each : 0, n, 1, classes);
    data_write(folder, CIFAR10_NAMES[f], records, (size_t)(n * (1 + CIFAR_IMAGE)));
    free(records);
  }
}

/* The two files of CIFAR-100. */
static inline void cifar100_write(const char *folder, int64_t train, int64_t eval, int classes) {
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    int64_t n = split == ES_TRAIN ? train : eval;
    uint8_t *records = cifar_records(split, 0, n, 2, classes);
    data_write(folder, split == ES_TRAIN ? "train.bin" : "test.bin", records, (size_t)(n * (2 + CIFAR_IMAGE)));
    free(records);
  }
}

/* ---- HDF5 ---- */

static inline hid_t h5_require(hid_t result) {
  idx_require(result >= 0, "HDF5");
  return result;
}

/* A variable of an HDF5 file that is being made; `values` in memory have the type `memory`, or are left out (NULL). A
 * chunk length makes it chunked and packed. */
typedef struct h5_variable {
  const char *name;
  hid_t type, memory;
  int rank;
  hsize_t shape[5], chunk[5];
  const void *values;
} h5_variable_t;

static inline void h5_put(hid_t file, const h5_variable_t *v) {
  hid_t links = h5_require(H5Pcreate(H5P_LINK_CREATE)), list = h5_require(H5Pcreate(H5P_DATASET_CREATE));
  hid_t space = h5_require(H5Screate_simple(v->rank, v->shape, NULL));
  h5_require(H5Pset_create_intermediate_group(links, 1));
  if (v->chunk[0] > 0) {
    h5_require(H5Pset_chunk(list, v->rank, v->chunk));
    h5_require(H5Pset_shuffle(list));
    h5_require(H5Pset_deflate(list, 4));
  }
  hid_t id = h5_require(H5Dcreate2(file, v->name, v->type, space, links, list, H5P_DEFAULT));
  if (v->values != NULL) h5_require(H5Dwrite(id, v->memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, v->values));
  H5Dclose(id);
  H5Sclose(space);
  H5Pclose(list);
  H5Pclose(links);
}

/* Images of a split as idx_pixel has them, and its labels: rank 3 is without channels. From malloc. */
static inline uint8_t *h5_pixels(es_split_t split, int64_t size) {
  uint8_t *out = malloc((size_t)size);
  idx_require(out != NULL, "malloc");
  for (int64_t i = 0; i < size; i++) out[i] = idx_pixel(split, i);
  return out;
}

static inline int64_t *h5_labels(int64_t count, int classes) {
  int64_t *out = malloc((size_t)count * sizeof *out);
  idx_require(out != NULL, "malloc");
  for (int64_t i = 0; i < count; i++) out[i] = idx_label(i, classes);
  return out;
}

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

static inline h5_layout_t h5_layout(int64_t train, int64_t eval, int height, int width, int channels, int classes) {
  return (h5_layout_t){.count = {train, eval},
                       .height = height,
                       .width = width,
                       .channels = channels,
                       .classes = classes,
                       .label_type = H5T_STD_I64LE,
                       .names = {{"train/images", "train/labels"}, {"eval/images", "eval/labels"}}};
}

static inline h5_variable_t h5_images_of(const h5_layout_t *l, es_split_t split) {
  h5_variable_t v = {.name = l->names[split][ES_VARIABLE_IMAGES],
                     .type = H5T_STD_U8LE,
                     .memory = H5T_NATIVE_UINT8,
                     .rank = l->channels == 0 ? 3 : 4,
                     .shape = {(hsize_t)l->count[split], (hsize_t)l->height, (hsize_t)l->width, (hsize_t)l->channels}};
  memcpy(v.chunk, v.shape, sizeof v.chunk);
  v.chunk[0] = l->chunk;
  return v;
}

static inline h5_variable_t h5_labels_of(const h5_layout_t *l, es_split_t split) {
  return (h5_variable_t){.name = l->names[split][ES_VARIABLE_LABELS],
                         .type = l->label_type,
                         .memory = H5T_NATIVE_INT64,
                         .rank = 1,
                         .shape = {(hsize_t)l->count[split]},
                         .chunk = {l->chunk}};
}

/* A file that is right but for `other`, which stands in for the variable of its name, if any (without a type: the
 * variable is left out). */
static inline void h5_write(const char *path, const h5_layout_t *l, const h5_variable_t *other) {
  hid_t access = h5_require(H5Pcreate(H5P_FILE_ACCESS));
  if (l->modern) h5_require(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18));
  hid_t file = h5_require(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access));
  H5Pclose(access);
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    int64_t n = l->count[split], channels = l->channels == 0 ? 1 : l->channels;
    uint8_t *pixels = h5_pixels(split, n * l->height * l->width * channels);
    int64_t *labels = h5_labels(n, l->classes);
    for (int i = 0; i < ES_VARIABLES; i++) {
      h5_variable_t v = i == ES_VARIABLE_IMAGES ? h5_images_of(l, split) : h5_labels_of(l, split);
      v.values = i == ES_VARIABLE_IMAGES ? (const void *)pixels : labels;
      bool replaced = other != NULL && strcmp(other->name, v.name) == 0;
      if (!replaced) h5_put(file, &v);
      if (replaced && other->rank > 0) h5_put(file, other);
    }
    free(pixels);
    free(labels);
  }
  h5_require(H5Fclose(file));
}

static inline es_dataset_spec_t data_spec(es_format_t format, const char *path) {
  es_dataset_spec_t spec = {.name = "tiny", .format = format, .fit = ES_FIT_RESIZE};
  snprintf(spec.path, sizeof spec.path, "%s", path);
  return spec;
}

#endif
