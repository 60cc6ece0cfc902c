/* Activations from HDF5 files and folders of .npy: valid files, read as a whole and in parts. */
#include "../../src/activations/activations_internal.h"
#include "support/activation_files.h"
#include "support/unit.h"
#include <math.h>
#include <sys/stat.h>

static const char path[] = "acts.h5";

static es_activations_t *open_file(const char *where, const char *labels) {
  es_activations_t *file = NULL;
  assert_ok(es_activations_open(&file, where, labels, fresh()));
  return file;
}

/* Reads every range of samples of a layer. */
static void check_layer(const es_activations_t *file, int l) {
  const es_activation_layer_t *layer = es_activations_layer(file, l);
  int64_t row = (int64_t)layer->h * layer->w * layer->c;
  size_t size = es_activations_row_size(file, l), all = ACTIVATION_SAMPLES * size;
  char *values = malloc(all + 1);
  assert_int_equal(size, (size_t)row * (layer->is_double ? sizeof(double) : sizeof(float)));
  for (int64_t first = 0; first <= ACTIVATION_SAMPLES; first++) {
    for (int64_t count = 0; first + count <= ACTIVATION_SAMPLES; count++) {
      memset(values, 0x5a, all + 1);
      assert_ok(es_activations_read(file, l, first, count, values, fresh()));
      assert_int_equal(activation_other(values, layer->is_double, first * row, count * row, l), -1);
      assert_int_equal(values[(size_t)count * size], 0x5a); /* nothing is written beyond the end */
    }
  }
  free(values);
}

static void check_good(const char *where, char fingerprint[ES_ID_SIZE]) {
  es_activations_t *file = open_file(where, "labels");
  assert_int_equal(es_activations_count(file), ACTIVATION_LAYER_COUNT);
  assert_int_equal(es_activations_samples(file), ACTIVATION_SAMPLES);
  for (int l = 0; l < ACTIVATION_LAYER_COUNT; l++) {
    const es_activation_layer_t *layer = es_activations_layer(file, l);
    assert_string_equal(layer->name, ACTIVATION_LAYERS[l].name);
    assert_int_equal(layer->samples, ACTIVATION_SAMPLES);
    assert_int_equal(layer->h, ACTIVATION_LAYERS[l].h);
    assert_int_equal(layer->w, ACTIVATION_LAYERS[l].w);
    assert_int_equal(layer->c, ACTIVATION_LAYERS[l].c);
    assert_int_equal(layer->is_double, ACTIVATION_LAYERS[l].is_double);
    check_layer(file, l);
  }
  int32_t labels[ACTIVATION_SAMPLES], classes;
  assert_true(es_activations_has_labels(file));
  assert_ok(es_activations_labels(file, 0, ACTIVATION_SAMPLES, labels, fresh()));
  assert_memory_equal(labels, ACTIVATION_LABELS, sizeof labels);
  assert_ok(es_activations_labels(file, 3, 2, labels, fresh()));
  assert_memory_equal(labels, ACTIVATION_LABELS + 3, 2 * sizeof *labels);
  assert_ok(es_activations_classes(file, &classes, fresh()));
  assert_int_equal(classes, 6);
  assert_ok(es_activations_fingerprint(file, fingerprint, fresh()));
  es_activations_close(file);
}

/* Every type and byte order, plain and compressed, in groups, in both formats: equal numbers and equal fingerprints. */
TEST(good) {
  char of_hdf5[ES_ID_SIZE], of_npy[ES_ID_SIZE];
  check_good(ACTIVATIONS "good.h5", of_hdf5);
  check_good(ACTIVATIONS "npy", of_npy);
  assert_string_equal(of_hdf5, of_npy);
  assert_int_equal(strlen(of_hdf5), 16);
  check_good(ACTIVATIONS "npy/", of_npy);
  assert_string_equal(of_hdf5, of_npy);
}

static void check_order(const char *name, const char *labels, const char *expected) {
  es_activations_t *file = open_file(name, labels);
  char found[256] = "";
  for (int i = 0; i < es_activations_count(file); i++) {
    strcat(found, es_activations_layer(file, i)->name);
    strcat(found, " ");
  }
  assert_string_equal(found, expected);
  es_activations_close(file);
}

/* Creation order if it is stored (a link counts from its creation), else natural order; a list precedes both. */
TEST(order) {
  check_order(ACTIVATIONS "tracked.h5", "labels", "z conv10 a conv2 inner.y9 inner.y10 b ");
}

/* `layers` as strings of variable and of fixed length; names with dots for groups; unlisted datasets are no layers. */
TEST(listed) {
  static const char *const names[] = {ACTIVATIONS "listed.h5", ACTIVATIONS "listed_fixed.h5"};
  for (int i = 0; i < 2; i++) {
    int32_t classes;
    float values[2 * ACTIVATION_SAMPLES];
    check_order(names[i], "more.labels", "m.1 m.0.conv a ");
    es_activations_t *file = open_file(names[i], "more/labels");
    assert_true(es_activations_has_labels(file));
    assert_ok(es_activations_classes(file, &classes, fresh()));
    assert_int_equal(classes, 6);
    assert_ok(es_activations_read(file, 1, 0, ACTIVATION_SAMPLES, values, fresh()));
    assert_int_equal(activation_other(values, false, 0, 2 * ACTIVATION_SAMPLES, 0), -1);
    es_activations_close(file);
    file = open_file(names[i], "labels");
    assert_false(es_activations_has_labels(file));
    es_activations_close(file);
  }
}

TEST(natural_order) {
  static const char *const sorted[] = {"",
                                       "10",
                                       "a",
                                       "a1",
                                       "a01",
                                       "a2",
                                       "a2b",
                                       "a10",
                                       "a10.9",
                                       "a10.10",
                                       "ab",
                                       "b",
                                       "conv2",
                                       "conv02x",
                                       "conv3",
                                       "conv10",
                                       "conv10.bias",
                                       "f.9.x",
                                       "f.10.w",
                                       "f.99999999999999999999",
                                       "f.100000000000000000000"};
  int n = sizeof sorted / sizeof *sorted;
  for (int a = 0; a < n; a++) {
    for (int b = 0; b < n; b++) {
      int order = es_name_compare(sorted[a], sorted[b]);
      bool leading = strstr(sorted[a], "a01") != NULL || strstr(sorted[b], "a01") != NULL;
      if (leading && (a == 3 || b == 3)) continue; /* equal except for zeros: any order, but a fixed one */
      if ((order > 0) - (order < 0) != (a > b) - (a < b)) fail_msg("%s, %s: %d", sorted[a], sorted[b], order);
    }
  }
  assert_int_equal(es_name_compare("a01", "a1") < 0, es_name_compare("a1", "a01") > 0);
  assert_int_not_equal(es_name_compare("a01", "a1"), 0);
}

/* All halves by their definition (IEEE 754: 1, 5 and 10 bits). */
TEST(halves) {
  static uint16_t halves[65536];
  static float floats[65536];
  for (int i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
  es_number_halves(halves, floats, 65536);
  for (int i = 0; i < 65536; i++) {
    int exponent = i >> 10 & 31, mantissa = i & 1023;
    double value = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) value = mantissa == 0 ? INFINITY : NAN;
    uint32_t bits;
    memcpy(&bits, floats + i, sizeof bits);
    assert_int_equal(bits >> 31, i >> 15);
    if (isnan(value)) {
      assert_true(isnan(floats[i]));
      assert_int_equal(bits & 0x7fffff, (uint32_t)mantissa << 13);
    } else if (fabs((double)floats[i]) != value) {
      fail_msg("half 0x%04x became %g instead of %g", i, (double)floats[i], value);
    }
  }
}

/* In place, at all lengths near that of a block, in both byte orders. */
TEST(unpack) {
  enum { MOST = 5000 };
  static const size_t lengths[] = {0, 1, 2, 3, 511, 1023, 1024, 1025, 2047, 2048, 2049, MOST};
  float *expected = malloc(MOST * sizeof *expected), *buffer = malloc(MOST * sizeof *buffer);
  uint16_t *halves = malloc(MOST * sizeof *halves);
  for (int i = 0; i < MOST; i++) halves[i] = (uint16_t)(i * 13);
  es_number_halves(halves, expected, MOST);
  for (int big = 0; big < 2; big++) {
    es_number_t number = es_number_make(ES_NUMBER_FLOAT16, 2, true, big);
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
      uint8_t *stage = es_number_stage(&number, buffer, lengths[k]);
      for (size_t i = 0; i < lengths[k]; i++) {
        stage[2 * i] = (uint8_t)(big ? halves[i] >> 8 : halves[i]);
        stage[2 * i + 1] = (uint8_t)(big ? halves[i] : halves[i] >> 8);
      }
      es_number_unpack(&number, buffer, lengths[k]);
      assert_memory_equal(buffer, expected, lengths[k] * sizeof *buffer);
    }
  }
  free(expected);
  free(buffer);
  free(halves);
}

TEST(integers) {
  static const uint8_t bytes[8] = {0xff, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x80};
  static const struct {
    int size;
    bool is_signed, big;
    int64_t expected;
  } cases[] = {{1, true, false, -1},
               {1, false, false, 255},
               {2, true, false, 0x01ff},
               {2, true, true, -255},
               {2, false, true, 0xff01},
               {4, true, false, 0x030201ff},
               {4, true, true, -0xfefdfd},
               {4, false, true, 0xff010203},
               {8, true, false, -0x7ff9fafbfcfdfe01},
               {8, false, false, INT64_MAX},
               {8, true, true, -0xfefdfcfbfaf980},
               {8, false, true, INT64_MAX}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t out;
    es_number_t number = es_number_make(ES_NUMBER_INTEGER, cases[i].size, cases[i].is_signed, cases[i].big);
    es_number_integers(&number, bytes, &out, 1);
    if (out != cases[i].expected) fail_msg("case %zu: %lld", i, (long long)out);
  }
}

/* NaN and infinity are valid values, in halves too, and stay bit for bit. */
TEST_IN_FOLDER(not_finite) {
  const float values[4] = {NAN, INFINITY, -INFINITY, -0.0f};
  float back[4];
  h5_variable_t v = {.name = "x", .type = H5T_IEEE_F32LE, .memory = H5T_NATIVE_FLOAT, .rank = 2, .shape = {2, 2}};
  v.values = values;
  hid_t id = h5_require(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  h5_put(id, &v);
  H5Fclose(id);
  es_activations_t *file = open_file(path, "labels");
  assert_ok(es_activations_read(file, 0, 0, 2, back, fresh()));
  assert_memory_equal(back, values, sizeof values);
  es_activations_close(file);
}

/* ---- larger files ---- */

enum { SAMPLES = 5000, H = 4, W = 3, C = 16, ROW = H * W * C };

/* Chunks of `chunk` samples, also cut along the channels; contiguous for 0. */
static void write_large(hsize_t chunk, hid_t type) {
  activation_write(path, type, (hsize_t[]){SAMPLES, H, W, C}, (hsize_t[]){chunk, H, 2, 9}, 1, 7);
}

/* Reads in parts that do not end at chunk borders. */
static void check_parts(int64_t chunk) {
  es_activations_t *file = open_file(path, "labels");
  float *values = malloc(777 * ROW * sizeof *values);
  int64_t done = 0;
  assert_int_equal(es_activations_layer(file, 0)->chunk, chunk);
  for (int64_t n; done < SAMPLES; done += n) {
    n = SAMPLES - done < 777 ? SAMPLES - done : 777;
    assert_ok(es_activations_read(file, 0, done, n, values, fresh()));
    assert_int_equal(activation_other(values, false, done * ROW, n * ROW, 1), -1);
  }
  free(values);
  es_activations_close(file);
}

static void fingerprint_of(char out[ES_ID_SIZE]) {
  es_activations_t *file = open_file(path, "labels");
  assert_ok(es_activations_fingerprint(file, out, fresh()));
  es_activations_close(file);
}

TEST_IN_FOLDER(chunks) {
  char plain[ES_ID_SIZE], packed[ES_ID_SIZE];
  write_large(0, H5T_IEEE_F32LE);
  check_parts(1);
  fingerprint_of(plain);
  static const hsize_t chunks[] = {1, 100, 4000};
  for (int i = 0; i < 3; i++) {
    write_large(chunks[i], H5T_IEEE_F32BE);
    check_parts((int64_t)chunks[i]);
    fingerprint_of(packed);
    assert_string_equal(plain, packed);
  }
}

static void write_at(hid_t dataset, hid_t type, hsize_t sample, int rank, const void *value) {
  hsize_t start[4] = {sample}, one[4] = {1, 1, 1, 1};
  hid_t space = h5_require(H5Dget_space(dataset)), memory = h5_require(H5Screate_simple(rank, one, NULL));
  h5_require(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, one, NULL));
  h5_require(H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, value));
  H5Sclose(memory);
  H5Sclose(space);
}

/* Writes another value, compares fingerprints, and restores the old value. */
static void check_seen(const char *name, hid_t type, int rank, hsize_t sample, const void *other, const void *right) {
  char before[ES_ID_SIZE], after[ES_ID_SIZE];
  fingerprint_of(before);
  for (int back = 0; back < 2; back++) {
    hid_t id = h5_require(H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT));
    hid_t dataset = h5_require(H5Dopen2(id, name, H5P_DEFAULT));
    write_at(dataset, type, sample, rank, back ? right : other);
    H5Dclose(dataset);
    H5Fclose(id);
    fingerprint_of(after);
    assert_int_equal(strcmp(before, after) == 0, back);
  }
}

/* The fingerprint covers the first and the last sample, all labels and names. */
TEST_IN_FOLDER(fingerprint) {
  char before[ES_ID_SIZE], after[ES_ID_SIZE];
  const float other = 99, first = (float)activation_value(0, 1), last = (float)activation_value((SAMPLES - 1) * ROW, 1);
  const int64_t label = 3, right = idx_label(2345, 7);
  assert_int_not_equal(label, right);
  write_large(0, H5T_IEEE_F32LE);
  check_seen("x", H5T_NATIVE_FLOAT, 4, 0, &other, &first);
  check_seen("x", H5T_NATIVE_FLOAT, 4, SAMPLES - 1, &other, &last);
  check_seen("labels", H5T_NATIVE_INT64, 1, 2345, &label, &right);
  fingerprint_of(before);
  hid_t id = h5_require(H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT));
  h5_require(H5Lmove(id, "x", id, "y", H5P_DEFAULT, H5P_DEFAULT));
  H5Fclose(id);
  fingerprint_of(after);
  assert_string_not_equal(before, after);
}
