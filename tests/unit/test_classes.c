/* Features, class means and nearest class means of rows of any shape, against two passes in double. */
#include "eigenscope/classes.h"
#include "support/draw.h"
#include "support/unit.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 37, CLASSES = 15, ABSENT = 3, LONELY = 4 };

static const es_group_t group = {.comm = MPI_COMM_NULL, .size = 1, .lanes = 1, .lane_count = 1};

/* One lane of N samples. LONELY has one sample, ABSENT none. */
typedef struct layer {
  es_class_rows_t rows;
  int32_t width, labels[N];
  void *numbers, *features;
  double *exact; /* (N, width) means of the rows */
  es_class_sums_t sums;
  es_class_means_t means;
} layer_t;

static double number_at(const layer_t *l, int64_t i) {
  return l->rows.is_double ? ((const double *)l->numbers)[i] : (double)((const float *)l->numbers)[i];
}

static double feature_at(const layer_t *l, int64_t i) {
  return l->rows.is_double ? ((const double *)l->features)[i] : (double)((const float *)l->features)[i];
}

static void assert_near(double value, double expected, double tolerance) {
  if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g instead of %.17g", value, expected);
}

/* Rows about `mean`; classes are `apart` deviations apart. */
static void open_layer(layer_t *l, int32_t width, int64_t positions, bool is_double, double mean, double scale) {
  const int64_t size = positions * width;
  const size_t real = is_double ? sizeof(double) : sizeof(float);
  *l = (layer_t){.width = width, .numbers = malloc((size_t)(N * size) * real)};
  l->features = malloc((size_t)(N * width) * real);
  l->exact = calloc((size_t)(N * width), sizeof *l->exact);
  for (int i = 0; i < N; i++) {
    l->labels[i] = i == 20 ? LONELY : i % CLASSES == ABSENT || i % CLASSES == LONELY ? 1 : i % CLASSES;
    for (int64_t j = 0; j < size; j++) {
      const double centre = (double)draw_normal(3, 1, (uint64_t)(l->labels[i] * width) + (uint64_t)(j % width));
      const double x = scale * (mean + centre + (double)draw_normal(3, 2, (uint64_t)(i * size + j)));
      if (is_double)
        ((double *)l->numbers)[i * size + j] = x;
      else
        ((float *)l->numbers)[i * size + j] = (float)x;
    }
  }
  l->rows = (es_class_rows_t){.rows = l->numbers, .is_double = is_double, .n = N, .positions = positions};
  for (int64_t i = 0; i < N; i++) {
    for (int64_t j = 0; j < size; j++)
      l->exact[i * width + j % width] += number_at(l, i * size + j) / (double)positions;
  }
}

/* Adds the samples in slices of 16, as passes do. */
static void add(layer_t *l) {
  const size_t row = (size_t)l->width * (l->rows.is_double ? sizeof(double) : sizeof(float));
  assert_ok(es_class_sums_create(&l->sums, &group, l->width, CLASSES, fresh()));
  for (int64_t first = 0; first < N; first += 16) {
    es_class_rows_t slice = l->rows;
    slice.rows = (const char *)l->numbers + (size_t)(first * l->rows.positions) * row;
    slice.n = N - first < 16 ? N - first : 16;
    es_class_sums_means(&l->sums, 0, (char *)l->features + (size_t)first * row, &slice);
  }
  es_class_sums_add(&l->sums, 0, l->features, l->rows.is_double, N, l->labels);
}

static void close_layer(layer_t *l) {
  es_class_means_destroy(&l->means);
  es_class_sums_destroy(&l->sums);
  free(l->numbers);
  free(l->features);
  free(l->exact);
}

/* The mean of a class in double, without sample `without` unless it is −1; returns its number of samples. */
static int mean_of(const layer_t *l, int32_t label, int without, double *out) {
  int n = 0;
  memset(out, 0, (size_t)l->width * sizeof *out);
  for (int i = 0; i < N; i++) {
    if (l->labels[i] != label || i == without) continue;
    n++;
    for (int32_t j = 0; j < l->width; j++) out[j] += l->exact[i * l->width + j];
  }
  for (int32_t j = 0; j < l->width; j++) out[j] /= n;
  return n;
}

static void check(layer_t *l, double tolerance) {
  const int64_t width = l->width;
  double *mean = malloc((size_t)width * sizeof *mean), *room;
  int64_t correct = 0;
  add(l);
  for (int64_t i = 0; i < N * width; i++)
    assert_near(feature_at(l, i) + l->sums.shift[i % width], l->exact[i], tolerance);
  assert_ok(es_class_sums_reduce(&l->means, &l->sums, fresh()));
  assert_int_equal(l->means.present, CLASSES - 1);
  for (int32_t k = 0; k < CLASSES; k++) {
    assert_int_equal(l->means.count[k], k == ABSENT ? 0 : mean_of(l, k, -1, mean));
    for (int64_t j = 0; k != ABSENT && j < width; j++)
      assert_near(l->means.mean[k * width + j] + l->means.origin[j], mean[j], tolerance);
  }
  for (int i = 0; i < N; i++) {
    double least = INFINITY;
    int32_t nearest = -1;
    for (int32_t k = 0; k < CLASSES; k++) {
      double square = 0.0;
      if (mean_of(l, k, i, mean) == 0) continue;
      for (int64_t j = 0; j < width; j++) square += pow(l->exact[i * width + j] - mean[j], 2);
      if (square < least) least = square, nearest = k;
    }
    correct += nearest == l->labels[i];
  }
  room = malloc(es_class_room(l->width, CLASSES) * sizeof *room);
  const es_class_samples_t samples = {
      .features = l->features, .is_double = l->rows.is_double, .shift = l->sums.shift, .n = N, .labels = l->labels};
  assert_int_equal(es_class_correct(&l->means, &samples, room), correct);
  assert_true(correct > 0 || width == 1);
  free(room);
  free(mean);
}

TEST(shapes) {
  static const int32_t widths[] = {1, 3, 4, 8, 16, 20, 32, 33, 64, 130};
  static const int64_t positions[] = {1, 2, 7, 16, 49, 64, 256};
  for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
    for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
      for (int is_double = 0; is_double < 2; is_double++) {
        layer_t layer;
        open_layer(&layer, widths[w], positions[p], is_double, 2.0, 1.0);
        check(&layer, is_double ? 1e-13 : 1e-6);
        close_layer(&layer);
      }
    }
  }
}

/* Wider than a line of floats may be. */
TEST(wide) {
  layer_t layer;
  open_layer(&layer, 4099, 2, false, 0.0, 1.0);
  check(&layer, 1e-6);
  close_layer(&layer);
}

/* A mean far from zero costs no digits: the deviations have the error of floats of their own size. */
TEST(far) {
  layer_t layer;
  open_layer(&layer, 8, 64, false, 1e4, 1.0);
  check(&layer, 1e-6);
  close_layer(&layer);
  open_layer(&layer, 8, 64, true, 1e9, 1.0);
  check(&layer, 1e-6);
  close_layer(&layer);
}

/* Sums of such floats overflow, and those of small ones underflow in part. */
TEST(scale) {
  for (int pass = 0; pass < 2; pass++) {
    const double scale = pass == 0 ? 3e37 : 1e-38;
    layer_t layer;
    open_layer(&layer, 8, 64, false, 0.0, scale);
    check(&layer, 1e-6 * scale);
    close_layer(&layer);
  }
}

/* All rows are equal, so all classes are equally near: the first counts. */
TEST(dead) {
  layer_t layer;
  double *room = malloc(es_class_room(4, CLASSES) * sizeof *room);
  int64_t first = 0;
  open_layer(&layer, 4, 16, false, 0.0, 0.0);
  add(&layer);
  assert_ok(es_class_sums_reduce(&layer.means, &layer.sums, fresh()));
  const es_class_samples_t samples = {
      .features = layer.features, .shift = layer.sums.shift, .n = N, .labels = layer.labels};
  for (int i = 0; i < N; i++) first += layer.labels[i] == 0;
  assert_int_equal(es_class_correct(&layer.means, &samples, room), first);
  free(room);
  close_layer(&layer);
}

/* Mismatches with a classifier of class means: W z + b is largest for the nearest of them. */
TEST(mismatches) {
  layer_t layer;
  open_layer(&layer, 20, 1, false, 3.0, 1.0);
  add(&layer);
  assert_ok(es_class_sums_reduce(&layer.means, &layer.sums, fresh()));
  float weights[CLASSES * 20], bias[CLASSES];
  for (int k = 0; k < CLASSES; k++) {
    double square = 0.0;
    for (int j = 0; j < 20; j++) {
      const double m = layer.means.mean[k * 20 + j] + layer.means.origin[j];
      weights[k * 20 + j] = (float)m;
      square += m * m;
    }
    bias[k] = (float)(-0.5 * square);
  }
  double *room = malloc(es_class_room(20, CLASSES) * sizeof *room);
  const es_class_samples_t samples = {
      .features = layer.features, .shift = layer.sums.shift, .n = N, .labels = layer.labels};
  es_class_classifier_t classifier = {weights, bias};
  assert_int_equal(es_class_mismatches(&layer.means, &samples, &classifier, room), 0);
  bias[0] = 1e6f; /* the classifier then predicts class 0 */
  int64_t others = 0;
  for (int i = 0; i < N; i++) {
    double least = INFINITY;
    int32_t nearest = -1;
    for (int32_t k = 0; k < CLASSES; k++) {
      double square = 0.0, mean[20];
      if (k == ABSENT) continue;
      mean_of(&layer, k, -1, mean);
      for (int j = 0; j < 20; j++) square += pow(layer.exact[i * 20 + j] - mean[j], 2);
      if (square < least) least = square, nearest = k;
    }
    others += nearest != 0;
  }
  assert_int_equal(es_class_mismatches(&layer.means, &samples, &classifier, room), others);
  free(room);
  close_layer(&layer);
}
