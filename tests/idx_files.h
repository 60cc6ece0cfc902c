/* IDX datasets that tests write for themselves, in a folder of their own. */
#ifndef ES_TEST_IDX_FILES_H
#define ES_TEST_IDX_FILES_H

#include "eigenscope/point.h"
#include "eigenscope/random.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { IDX_PATH = 256 };
static const char *const IDX_NAMES[4] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                         "t10k-labels-idx1-ubyte"};
enum { IDX_TRAIN_IMAGES, IDX_TRAIN_LABELS, IDX_EVAL_IMAGES, IDX_EVAL_LABELS };

static inline void idx_require(bool condition, const char *what) {
  if (condition) return;
  perror(what);
  abort();
}

static inline void idx_folder_create(char out[IDX_PATH]) {
  const char *base = getenv("TMPDIR");
  snprintf(out, IDX_PATH, "%s/eigenscope-idx-XXXXXX", base != NULL ? base : "/tmp");
  idx_require(mkdtemp(out) != NULL, out);
}

static inline void idx_remove(const char *folder, int file) {
  char path[IDX_PATH + 64];
  snprintf(path, sizeof path, "%s/%s", folder, IDX_NAMES[file]);
  unlink(path);
  strcat(path, ".gz");
  unlink(path);
}

static inline void idx_folder_destroy(const char *folder) {
  for (int file = 0; file < 4; file++) idx_remove(folder, file);
  idx_require(rmdir(folder) == 0, folder);
}

/* Writes bytes as they are; `suffix` is "" or ".gz". */
static inline void idx_write_raw(const char *folder, int file, const char *suffix, const void *data, size_t size) {
  char path[IDX_PATH + 64];
  snprintf(path, sizeof path, "%s/%s%s", folder, IDX_NAMES[file], suffix);
  FILE *out = fopen(path, "wb");
  idx_require(out != NULL && fwrite(data, 1, size, out) == size && fclose(out) == 0, path);
}

/* Writes bytes packed, as one gzip member of `mode` "wb" or as one more ("ab"). */
static inline void idx_write_packed(const char *folder, int file, const char *mode, const void *data, size_t size) {
  char path[IDX_PATH + 64];
  snprintf(path, sizeof path, "%s/%s.gz", folder, IDX_NAMES[file]);
  gzFile out = gzopen(path, mode);
  idx_require(out != NULL && gzwrite(out, data, (unsigned)size) == (int)size && gzclose(out) == Z_OK, path);
}

/* Damages a packed file: changes the byte that stands `from_end` before its end (1 … 4 the length, 5 … 8 the checksum).
 */
static inline void idx_damage_packed(const char *folder, int file, long from_end) {
  char path[IDX_PATH + 64];
  snprintf(path, sizeof path, "%s/%s.gz", folder, IDX_NAMES[file]);
  FILE *opened = fopen(path, "r+b");
  idx_require(opened != NULL && fseek(opened, -from_end, SEEK_END) == 0, path);
  int byte = fgetc(opened);
  idx_require(byte >= 0 && fseek(opened, -from_end, SEEK_END) == 0 && fputc(byte ^ 4, opened) >= 0, path);
  idx_require(fclose(opened) == 0, path);
}

/* A whole file in memory: a header of magic number and dimensions, then the body. */
typedef struct idx_bytes {
  uint8_t *data; /* from malloc */
  size_t size;
} idx_bytes_t;

static inline idx_bytes_t idx_bytes(uint32_t magic, int n, const uint32_t *dimensions, const uint8_t *body,
                                    size_t size) {
  idx_bytes_t out = {.size = 4 + 4 * (size_t)n + size};
  out.data = malloc(out.size);
  idx_require(out.data != NULL, "malloc");
  for (int i = 0; i <= n; i++) {
    uint32_t value = i == 0 ? magic : dimensions[i - 1];
    for (int b = 0; b < 4; b++) out.data[4 * i + b] = (uint8_t)(value >> (24 - 8 * b));
  }
  if (size > 0) memcpy(out.data + 4 + 4 * n, body, size);
  return out;
}

/* Pixel `i` of a split, counted over all images: random bytes. */
static inline uint8_t idx_pixel(es_split_t split, int64_t i) {
  uint32_t words[4];
  es_random_block(7, ES_RANDOM_TEST, (uint64_t)split, (uint64_t)i, words);
  return (uint8_t)words[0];
}

/* Label of sample i: every class, but not equally often. */
static inline uint8_t idx_label(int64_t i, int classes) {
  return (uint8_t)(i % 7 == 3 ? 0 : i % classes);
}

static inline idx_bytes_t idx_images(es_split_t split, int64_t n, int height, int width) {
  size_t size = (size_t)(n * height * width);
  uint8_t *body = malloc(size);
  idx_require(body != NULL, "malloc");
  for (size_t i = 0; i < size; i++) body[i] = idx_pixel(split, (int64_t)i);
  idx_bytes_t out = idx_bytes(0x803, 3, (uint32_t[]){(uint32_t)n, (uint32_t)height, (uint32_t)width}, body, size);
  free(body);
  return out;
}

static inline idx_bytes_t idx_labels(int64_t n, int classes) {
  uint8_t *body = malloc((size_t)n);
  idx_require(body != NULL, "malloc");
  for (int64_t i = 0; i < n; i++) body[i] = idx_label(i, classes);
  idx_bytes_t out = idx_bytes(0x801, 1, (uint32_t[]){(uint32_t)n}, body, (size_t)n);
  free(body);
  return out;
}

/* The four files, right in every way. */
static inline void idx_write_all(const char *folder, bool packed, int64_t train, int64_t eval, int height, int width,
                                 int classes) {
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

static inline es_dataset_spec_t idx_spec(const char *folder) {
  es_dataset_spec_t spec = {.format = ES_FORMAT_IDX, .fit = ES_FIT_RESIZE};
  snprintf(spec.name, sizeof spec.name, "tiny");
  snprintf(spec.path, sizeof spec.path, "%s", folder);
  return spec;
}

#endif
