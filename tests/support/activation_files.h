/* Shared by the tests of activations: the values of tests/fixtures/activations, and files written by tests. */
#ifndef ES_TEST_ACTIVATION_FILES_H
#define ES_TEST_ACTIVATION_FILES_H

#include "eigenscope/activations.h"
#include "support/datasets.h"

#define ACTIVATIONS ES_FIXTURES "/activations/"

/* Value i of good layer l, as in make_fixtures.py. */
static inline double activation_value(int64_t i, int l) {
  return (double)((37 * i + 11 * l) % 257 - 128) / 8;
}

/* The good layers, in the order of the file. */
static const struct {
  const char *name;
  int32_t h, w, c;
  bool is_double;
} ACTIVATION_LAYERS[] = {{"be", 1, 1, 3, false},   {"block.0.fc", 1, 1, 6, false}, {"conv1", 3, 2, 4, false},
                         {"conv2", 1, 1, 5, true}, {"conv10", 2, 2, 3, false},     {"last", 1, 1, 2, true}};
enum { ACTIVATION_SAMPLES = 7, ACTIVATION_LAYER_COUNT = sizeof ACTIVATION_LAYERS / sizeof *ACTIVATION_LAYERS };
static const int32_t ACTIVATION_LABELS[ACTIVATION_SAMPLES] = {0, 3, 1, 4, 1, 5, 2};

/* n values of layer l of a large file, from index `first`; neighbouring values differ. From malloc. */
static inline float *activation_floats(int64_t first, int64_t n, int l) {
  float *out = allocated((size_t)n * sizeof *out);
  for (int64_t i = 0; i < n; i++) out[i] = (float)activation_value(first + i, l);
  return out;
}

/* Index of the first value at or after `first` that is not of layer l; −1 if all are correct. */
static inline int64_t activation_other(const void *values, bool is_double, int64_t first, int64_t n, int l) {
  for (int64_t i = 0; i < n; i++) {
    double value = is_double ? ((const double *)values)[i] : (double)((const float *)values)[i];
    if (value != activation_value(first + i, l)) return i;
  }
  return -1;
}

/* Writes a file with one layer x (activation_floats) and labels (idx_label); contiguous if chunk[0] is 0. */
static inline void activation_write(const char *path, hid_t type, const hsize_t shape[4], const hsize_t chunk[4], int l,
                                    int classes) {
  const int64_t samples = (int64_t)shape[0];
  float *values = activation_floats(0, samples * (int64_t)(shape[1] * shape[2] * shape[3]), l);
  int64_t *labels = h5_labels(samples, classes);
  h5_variable_t x = {.name = "x", .type = type, .memory = H5T_NATIVE_FLOAT, .rank = 4, .values = values};
  h5_variable_t y = {.name = "labels", .type = H5T_STD_I32LE, .memory = H5T_NATIVE_INT64, .rank = 1, .values = labels};
  memcpy(x.shape, shape, 4 * sizeof *shape);
  memcpy(x.chunk, chunk, 4 * sizeof *chunk);
  y.shape[0] = shape[0];
  hid_t id = h5_require(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  h5_put(id, &x);
  h5_put(id, &y);
  H5Fclose(id);
  free(values);
  free(labels);
}

#endif
