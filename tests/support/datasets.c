#include "support/datasets.h"
#include "support/draw.h"

const char *const IDX_NAMES[4] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                  "t10k-labels-idx1-ubyte"};

const char *const CIFAR10_NAMES[6] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                      "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};

/* Path of a file in a folder; valid until the next call. */
static const char *path_of(const char *folder, const char *name, const char *suffix) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
  return path;
}

void idx_remove(const char *folder, int file) {
  unlink(path_of(folder, IDX_NAMES[file], ""));
  unlink(path_of(folder, IDX_NAMES[file], ".gz"));
}

void idx_write_raw(const char *folder, int file, const char *suffix, const void *data, size_t size) {
  file_write(path_of(folder, IDX_NAMES[file], suffix), data, size);
}

void idx_write_packed(const char *folder, int file, const char *mode, const void *data, size_t size) {
  file_write_packed(path_of(folder, IDX_NAMES[file], ".gz"), mode, data, size);
}

void idx_damage_packed(const char *folder, int file, long from_end) {
  const char *path = path_of(folder, IDX_NAMES[file], ".gz");
  FILE *opened = fopen(path, "r+b");
  require(opened != NULL && fseek(opened, -from_end, SEEK_END) == 0, path);
  int byte = fgetc(opened);
  require(byte >= 0 && fseek(opened, -from_end, SEEK_END) == 0 && fputc(byte ^ 4, opened) >= 0, path);
  require(fclose(opened) == 0, path);
}

idx_bytes_t idx_bytes(uint32_t magic, int n, const uint32_t *dimensions, const uint8_t *body, size_t size) {
  idx_bytes_t out = {.size = 4 + 4 * (size_t)n + size};
  out.data = allocated(out.size);
  for (int i = 0; i <= n; i++) {
    uint32_t value = i == 0 ? magic : dimensions[i - 1];
    for (int b = 0; b < 4; b++) out.data[4 * i + b] = (uint8_t)(value >> (24 - 8 * b));
  }
  if (size > 0) memcpy(out.data + 4 + 4 * n, body, size);
  return out;
}

uint8_t idx_pixel(es_split_t split, int64_t i) {
  return (uint8_t)draw_word(7, (uint64_t)split, (uint64_t)i);
}

uint8_t idx_label(int64_t i, int classes) {
  return (uint8_t)(i % 7 == 3 ? 0 : i % classes);
}

idx_bytes_t idx_images(es_split_t split, int64_t n, int height, int width) {
  size_t size = (size_t)(n * height * width);
  uint8_t *body = allocated(size);
  for (size_t i = 0; i < size; i++) body[i] = idx_pixel(split, (int64_t)i);
  idx_bytes_t out = idx_bytes(0x803, 3, (uint32_t[]){(uint32_t)n, (uint32_t)height, (uint32_t)width}, body, size);
  free(body);
  return out;
}

idx_bytes_t idx_labels(int64_t n, int classes) {
  uint8_t *body = allocated((size_t)n);
  for (int64_t i = 0; i < n; i++) body[i] = idx_label(i, classes);
  idx_bytes_t out = idx_bytes(0x801, 1, (uint32_t[]){(uint32_t)n}, body, (size_t)n);
  free(body);
  return out;
}

void idx_write_all(const char *folder, bool packed, int64_t train, int64_t eval, int height, int width, int classes) {
  for (int file = 0; file < 4; file++) {
    es_split_t split = file < 2 ? ES_TRAIN : ES_EVAL;
    int64_t n = split == ES_TRAIN ? train : eval;
    idx_bytes_t bytes = file % 2 == 0 ? idx_images(split, n, height, width) : idx_labels(n, classes);
    if (packed) {
      idx_write_packed(folder, file, "wb", bytes.data, bytes.size);
    } else {
      idx_write_raw(folder, file, "", bytes.data, bytes.size);
    }
    free(bytes.data);
  }
}

/* ---- CIFAR ---- */

uint8_t *cifar_records(es_split_t split, int64_t first, int64_t count, int n_labels, int classes) {
  int64_t record = n_labels + CIFAR_IMAGE;
  uint8_t *out = allocated((size_t)(count * record));
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

void cifar10_write(const char *folder, int64_t each, int64_t eval, int classes) {
  for (int f = 0; f < 6; f++) {
    int64_t n = f < 5 ? each : eval;
    uint8_t *records = cifar_records(f < 5 ? ES_TRAIN : ES_EVAL, f < 5 ? f * each : 0, n, 1, classes);
    file_write(path_of(folder, CIFAR10_NAMES[f], ""), records, (size_t)(n * (1 + CIFAR_IMAGE)));
    free(records);
  }
}

void cifar100_write(const char *folder, int64_t train, int64_t eval, int classes) {
  for (es_split_t split = ES_TRAIN; split < ES_SPLITS; split++) {
    int64_t n = split == ES_TRAIN ? train : eval;
    uint8_t *records = cifar_records(split, 0, n, 2, classes);
    file_write(path_of(folder, split == ES_TRAIN ? "train.bin" : "test.bin", ""), records,
               (size_t)(n * (2 + CIFAR_IMAGE)));
    free(records);
  }
}

/* ---- HDF5 ---- */

hid_t h5_require(hid_t result) {
  require(result >= 0, "HDF5");
  return result;
}

void h5_put(hid_t file, const h5_variable_t *v) {
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

uint8_t *h5_pixels(es_split_t split, int64_t size) {
  uint8_t *out = allocated((size_t)size);
  for (int64_t i = 0; i < size; i++) out[i] = idx_pixel(split, i);
  return out;
}

int64_t *h5_labels(int64_t count, int classes) {
  int64_t *out = allocated((size_t)count * sizeof *out);
  for (int64_t i = 0; i < count; i++) out[i] = idx_label(i, classes);
  return out;
}

h5_layout_t h5_layout(int64_t train, int64_t eval, int height, int width, int channels, int classes) {
  return (h5_layout_t){.count = {train, eval},
                       .height = height,
                       .width = width,
                       .channels = channels,
                       .classes = classes,
                       .label_type = H5T_STD_I64LE,
                       .names = {{"train/images", "train/labels"}, {"eval/images", "eval/labels"}}};
}

h5_variable_t h5_images_of(const h5_layout_t *l, es_split_t split) {
  h5_variable_t v = {.name = l->names[split][ES_VARIABLE_IMAGES],
                     .type = H5T_STD_U8LE,
                     .memory = H5T_NATIVE_UINT8,
                     .rank = l->channels == 0 ? 3 : 4,
                     .shape = {(hsize_t)l->count[split], (hsize_t)l->height, (hsize_t)l->width, (hsize_t)l->channels}};
  memcpy(v.chunk, v.shape, sizeof v.chunk);
  v.chunk[0] = l->chunk;
  return v;
}

h5_variable_t h5_labels_of(const h5_layout_t *l, es_split_t split) {
  return (h5_variable_t){.name = l->names[split][ES_VARIABLE_LABELS],
                         .type = l->label_type,
                         .memory = H5T_NATIVE_INT64,
                         .rank = 1,
                         .shape = {(hsize_t)l->count[split]},
                         .chunk = {l->chunk}};
}

void h5_write(const char *path, const h5_layout_t *l, const h5_variable_t *other) {
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

es_dataset_spec_t data_spec(es_format_t format, const char *path) {
  es_dataset_spec_t spec = {.name = "tiny", .format = format, .fit = ES_FIT_RESIZE};
  snprintf(spec.path, sizeof spec.path, "%s", path);
  return spec;
}
