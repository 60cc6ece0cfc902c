/* The synthetic generator: pure, equal bytes everywhere, and harder with more classes and higher complexity. */
#include "eigenscope/data.h"
#include "eigenscope/file.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE };

static es_synthetic_t synthetic(int32_t classes, int32_t complexity, int32_t size, int32_t channels) {
  return (es_synthetic_t){.classes = classes,
                          .complexity = complexity,
                          .size = size,
                          .channels = channels,
                          .train = 2000,
                          .eval = 500,
                          .seed = 7};
}

/* Share of eval images that a nearest-mean classifier of train images gets right. */
static double nearest_mean_accuracy(const es_synthetic_t *spec) {
  uint8_t image[PIXELS];
  double *mean = es_allocate_zero((size_t)spec->classes * PIXELS, sizeof *mean);
  assert_non_null(mean);
  for (int64_t i = 0; i < spec->train; i++) {
    es_synthetic_image(spec, ES_TRAIN, i, image);
    double *own = mean + i % spec->classes * PIXELS;
    for (int p = 0; p < PIXELS; p++) own[p] += image[p];
  }
  for (int32_t c = 0; c < spec->classes; c++) {
    double n = (double)(spec->train / spec->classes + (c < spec->train % spec->classes));
    for (int p = 0; p < PIXELS; p++) mean[c * PIXELS + p] /= n;
  }
  int64_t right = 0;
  for (int64_t i = 0; i < spec->eval; i++) {
    es_synthetic_image(spec, ES_EVAL, i, image);
    int32_t nearest = -1;
    double least = INFINITY;
    for (int32_t c = 0; c < spec->classes; c++) {
      double distance = 0;
      for (int p = 0; p < PIXELS; p++)
        distance += (image[p] - mean[c * PIXELS + p]) * (image[p] - mean[c * PIXELS + p]);
      if (distance < least) {
        least = distance;
        nearest = c;
      }
    }
    right += nearest == i % spec->classes;
  }
  es_free(mean);
  return (double)right / (double)spec->eval;
}

static double accuracy_of(int32_t classes, int32_t complexity) {
  es_synthetic_t spec = synthetic(classes, complexity, SIDE, 1);
  return nearest_mean_accuracy(&spec);
}

TEST(harder_with_complexity) {
  double simple = accuracy_of(10, 1), medium = accuracy_of(10, 4), hard = accuracy_of(10, 16);
  if (simple < 0.99 || medium > simple - 0.2 || hard > medium - 0.2 || hard < 0.11) {
    fail_msg("accuracies %.3f, %.3f, %.3f at complexity 1, 4, 16", simple, medium, hard);
  }
}

TEST(harder_with_classes) {
  double few = accuracy_of(2, 4), some = accuracy_of(10, 4), many = accuracy_of(50, 4);
  if (some > few - 0.1 || many > some - 0.1 || many < 2 * 0.02) {
    fail_msg("accuracies %.3f, %.3f, %.3f with 2, 10, 50 classes", few, some, many);
  }
}

/* Stored results depend on these bytes: another hash means another dataset under the same name. */
TEST(same_bytes_everywhere) {
  uint64_t hash = 0;
  uint8_t image[40 * 40 * 3];
  for (int32_t complexity = 1; complexity <= 1000; complexity *= 10) {
    for (int32_t channels = 1; channels <= 3; channels += 2) {
      for (int32_t size = 4; size <= 40; size += 9) {
        es_synthetic_t spec = synthetic(3, complexity, size, channels);
        for (int split = 0; split < ES_SPLITS; split++) {
          for (int64_t i = 0; i < 4; i++) {
            es_synthetic_image(&spec, split, i, image);
            hash = es_hash(image, (size_t)(size * size * channels), hash);
          }
        }
      }
    }
  }
  assert_int_equal(hash, 0x2b911c0d9fc4a1c0);
}

TEST(pure) {
  es_synthetic_t spec = synthetic(10, 9, SIDE, 3), other = spec;
  uint8_t first[PIXELS * 3], again[PIXELS * 3];
  es_synthetic_image(&spec, ES_TRAIN, 1234, first);
  es_synthetic_image(&spec, ES_EVAL, 1, again);
  /* The number of images changes none of them. */
  other.train = other.eval = 100000;
  es_synthetic_image(&other, ES_TRAIN, 1234, again);
  assert_memory_equal(first, again, sizeof first);
  es_synthetic_image(&spec, ES_EVAL, 1234, again);
  assert_memory_not_equal(first, again, sizeof first);
  es_synthetic_image(&spec, ES_TRAIN, 1244, again);
  assert_memory_not_equal(first, again, sizeof first);
  other.seed++;
  es_synthetic_image(&other, ES_TRAIN, 1234, again);
  assert_memory_not_equal(first, again, sizeof first);
}

static double correlation(const double *a, const double *b, int n) {
  double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
  for (int i = 0; i < n; i++) {
    ma += a[i] / n;
    mb += b[i] / n;
  }
  for (int i = 0; i < n; i++) {
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
    ab += (a[i] - ma) * (b[i] - mb);
  }
  return ab / sqrt(aa * bb);
}

/* Averages image `sample` down to SIDE × SIDE, one channel. */
static void shrunk(int32_t size, es_split_t split, int64_t sample, double out[PIXELS]) {
  static uint8_t image[4 * SIDE * 4 * SIDE];
  int32_t factor = size / SIDE;
  es_synthetic_t spec = synthetic(5, 1, size, 1);
  assert_true(factor <= 4);
  es_synthetic_image(&spec, split, sample, image);
  for (int p = 0; p < PIXELS; p++) out[p] = 0;
  for (int y = 0; y < size; y++) {
    for (int x = 0; x < size; x++) out[y / factor * SIDE + x / factor] += image[y * size + x];
  }
}

/* At complexity 1 a class is one picture with noise: equal in train and eval, different between classes, and finer with
 * more pixels. */
TEST(classes_are_pictures) {
  double a[PIXELS], b[PIXELS];
  for (int64_t i = 0; i < 5; i++) {
    shrunk(SIDE, ES_TRAIN, i, a);
    shrunk(SIDE, ES_EVAL, i + 10, b);
    assert_true(correlation(a, b, PIXELS) > 0.6);
    shrunk(4 * SIDE, ES_TRAIN, i + 5, b);
    assert_true(correlation(a, b, PIXELS) > 0.6);
    shrunk(SIDE, ES_TRAIN, i + 1, b);
    assert_true(correlation(a, b, PIXELS) < 0.4);
  }
}

static void assert_refused(es_synthetic_t synthetic_spec, const char *message) {
  es_dataset_spec_t spec = {.name = "blobs", .format = ES_FORMAT_SYNTHETIC, .synthetic = synthetic_spec};
  es_dataset_info_t info;
  assert_fails(es_dataset_inspect(&info, &spec, fresh()), ES_INPUT, message);
}

TEST(inspect) {
  es_dataset_spec_t spec = {.name = "blobs", .format = ES_FORMAT_SYNTHETIC, .synthetic = synthetic(7, 2, 20, 3)};
  es_dataset_info_t info;
  assert_ok(es_dataset_inspect(&info, &spec, fresh()));
  assert_int_equal(info.classes, 7);
  assert_int_equal(info.height, 20);
  assert_int_equal(info.width, 20);
  assert_int_equal(info.channels, 3);
  assert_int_equal(info.count[ES_TRAIN], 2000);
  assert_int_equal(info.count[ES_EVAL], 500);
  for (int32_t c = 0; c < 7; c++) {
    assert_int_equal(info.class_count[ES_TRAIN][c], c < 5 ? 286 : 285); /* 2000 = 7 · 285 + 5 */
    assert_int_equal(info.class_count[ES_EVAL][c], c < 3 ? 72 : 71);
  }
  assert_int_equal(info.class_count[ES_TRAIN][7], 0);

  assert_refused(synthetic(1, 1, 20, 1), "blobs: classes is 1, but must be from 2 to 1024");
  assert_refused(synthetic(1025, 1, 20, 1), "blobs: classes is 1025, but must be from 2 to 1024");
  assert_refused(synthetic(2, 0, 20, 1), "blobs: complexity is 0, but must be at least 1");
  assert_refused(synthetic(2, 1, 3, 1), "blobs: size is 3 pixels, but must be from 4 to 1024");
  assert_refused(synthetic(2, 1, 1025, 1), "blobs: size is 1025 pixels, but must be from 4 to 1024");
  assert_refused(synthetic(2, 1, 20, 2), "blobs: channels is 2, but must be 1 or 3");
  assert_refused(synthetic(501, 1, 20, 1),
                 "blobs: eval is 500 images, but must be from 501 (one for each class) to 2147483647");
}
