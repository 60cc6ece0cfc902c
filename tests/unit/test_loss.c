/* Softmax cross-entropy of one slice against its definition in long double, its gradient, and its counts. */
#include "../../src/model/unit.h"
#include "eigenscope/checkpoint.h"
#include "support/draw.h"
#include "support/unit.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { COUNT = 9, CLASSES = 7, BATCH = 40 };

static void fill(float *logits, int64_t n, float scale, float offset) {
  for (int64_t i = 0; i < n; i++) {
    logits[i] = scale * draw_normal(61, 0, (uint64_t)i) + offset;
  }
}

/* −log softmax of class c by definition. Shifted by the largest logit, because long double may be no wider than double
 * (under valgrind, on other CPUs). */
static long double cross_entropy(const float *logits, int32_t classes, int32_t c) {
  long double sum = 0.0L, largest = (long double)logits[0];
  for (int32_t i = 1; i < classes; i++) largest = fmaxl(largest, (long double)logits[i]);
  for (int32_t i = 0; i < classes; i++) sum += expl((long double)logits[i] - largest);
  return logl(sum) - ((long double)logits[c] - largest);
}

static void check_slice(float scale, float offset) {
  float logits[COUNT * CLASSES], gradient[COUNT * CLASSES];
  int32_t labels[COUNT];
  double sums[3] = {0};
  long double expected = 0.0L;
  fill(logits, COUNT * CLASSES, scale, offset);
  for (int i = 0; i < COUNT; i++) {
    labels[i] = i % CLASSES;
    expected += cross_entropy(logits + i * CLASSES, CLASSES, labels[i]);
  }
  es_loss_slice(&(es_criterion_t){CLASSES, BATCH, 0.0}, logits, labels, COUNT, sums, gradient, NULL);
  const double error = fabs((double)((long double)sums[0] - expected) / (double)expected);
  if (!(error <= 1e-13)) fail_msg("scale %g, offset %g: loss off by %g", (double)scale, (double)offset, error);
  for (int i = 0; i < COUNT; i++) {
    for (int c = 0; c < CLASSES; c++) {
      const long double p = expl(-cross_entropy(logits + i * CLASSES, CLASSES, c));
      const long double g = (p - (c == labels[i] ? 1.0L : 0.0L)) / BATCH;
      assert_true(fabsl((long double)gradient[i * CLASSES + c] - g) <= 1e-7L * fabsl(g) + 1e-16L);
    }
  }
}

TEST(matches_the_definition) {
  check_slice(1.0f, 0.0f);
  check_slice(0.01f, 0.0f);   /* an untrained network */
  check_slice(30.0f, 0.0f);   /* a confident network */
  check_slice(1.0f, 1000.0f); /* exp would overflow */
  check_slice(1.0f, -1000.0f);
  check_slice(3000.0f, 0.0f); /* all but one class underflow */
}

/* Label smoothing against PyTorch (numbers by fixtures/torch/make_training.py). */
static void check_smoothing(const es_safetensors_t *file, const char *name, double smoothing) {
  const float *logits = es_safetensors_find(file, "logits")->data;
  const int32_t *labels = es_safetensors_find(file, "labels")->data;
  const double *expected = es_safetensors_find(file, name)->data;
  float gradient[COUNT * CLASSES];
  double sums[3] = {0};
  es_loss_slice(&(es_criterion_t){CLASSES, COUNT, smoothing}, logits, labels, COUNT, sums, gradient, NULL);
  assert_true(fabs(sums[0] / COUNT - expected[0]) <= 1e-13 * expected[0]);
  for (int i = 0; i < COUNT * CLASSES; i++) assert_true(fabs((double)gradient[i] - expected[1 + i]) <= 1e-8);
}

TEST(label_smoothing_as_pytorch) {
  es_safetensors_t *file;
  assert_ok(es_safetensors_read(&file, ES_FIXTURES "/torch/training.safetensors", fresh()));
  check_smoothing(file, "smoothing/10", 0.1);
  check_smoothing(file, "smoothing/90", 0.9);
  es_safetensors_destroy(file);
}

/* Equal logits give a loss of log(classes), and a gradient that is equal for all wrong classes. */
TEST(uniform) {
  float logits[10] = {0}, gradient[10];
  const int32_t label = 3;
  double sums[3] = {0};
  es_loss_slice(&(es_criterion_t){10, 1, 0.0}, logits, &label, 1, sums, gradient, NULL);
  assert_true(fabs(sums[0] - log(10.0)) <= 4.0 * DBL_EPSILON);
  for (int c = 0; c < 10; c++) assert_true(gradient[c] == (c == 3 ? -0.9f : 0.1f));
}

/* With one class every prediction is correct. */
TEST(one_class) {
  const float logits[2] = {5.0f, -80.0f};
  const int32_t labels[2] = {0, 0};
  float gradient[2] = {1.0f, 1.0f};
  double sums[3] = {0};
  es_loss_slice(&(es_criterion_t){1, 2, 0.0}, logits, labels, 2, sums, gradient, NULL);
  assert_true(sums[0] == 0.0 && sums[1] == 2.0 && sums[2] == 2.0);
  assert_true(gradient[0] == 0.0f && gradient[1] == 0.0f);
}

/* Classes 1 to 6 tie for the largest logit. Lower classes win: class 1 is predicted, and classes 1 to 5 are the top
 * five. */
TEST(ties) {
  const float logits[8] = {-1, 2, 2, 2, 2, 2, 2, -3};
  for (int32_t label = 0; label < 8; label++) {
    double sums[3] = {0};
    int64_t confusion[64] = {0};
    es_loss_slice(&(es_criterion_t){8, 1, 0.0}, logits, &label, 1, sums, NULL, confusion);
    assert_true(sums[1] == (label == 1 ? 1.0 : 0.0));
    assert_true(sums[2] == (label >= 1 && label <= 5 ? 1.0 : 0.0));
    for (int i = 0; i < 64; i++) assert_int_equal(confusion[i], i == label * 8 + 1);
  }
}

TEST(fewer_than_five_classes) {
  const float logits[6] = {1, 2, 3, 3, 2, 1};
  const int32_t labels[2] = {0, 2};
  double sums[3] = {0};
  es_loss_slice(&(es_criterion_t){3, 2, 0.0}, logits, labels, 2, sums, NULL, NULL);
  assert_true(sums[1] == 0.0 && sums[2] == 2.0);
}

/* Sums and counts accumulate sample by sample: consecutive slices give the bits of one long slice. */
TEST(slices_add_up) {
  enum { N = 33 };
  float logits[N * CLASSES], whole_gradient[N * CLASSES], gradient[N * CLASSES];
  int32_t labels[N];
  double whole[3] = {0}, sums[3] = {0};
  int64_t whole_confusion[CLASSES * CLASSES] = {0}, confusion[CLASSES * CLASSES] = {0}, counted = 0, right = 0;
  fill(logits, N * CLASSES, 2.0f, 0.0f);
  for (int i = 0; i < N; i++) labels[i] = (i * 5) % CLASSES;
  const es_criterion_t criterion = {CLASSES, BATCH, 0.1};
  es_loss_slice(&criterion, logits, labels, N, whole, whole_gradient, whole_confusion);
  const int cuts[] = {0, 16, 16, 17, 33};
  for (int s = 0; s < 4; s++) {
    es_loss_slice(&criterion, logits + cuts[s] * CLASSES, labels + cuts[s], cuts[s + 1] - cuts[s], sums,
                  gradient + cuts[s] * CLASSES, confusion);
  }
  assert_memory_equal(sums, whole, sizeof sums);
  assert_memory_equal(gradient, whole_gradient, sizeof gradient);
  assert_memory_equal(confusion, whole_confusion, sizeof confusion);
  for (int i = 0; i < CLASSES * CLASSES; i++) {
    counted += confusion[i];
    if (i % (CLASSES + 1) == 0) right += confusion[i];
  }
  assert_int_equal(counted, N);
  assert_true((double)right == sums[1] && sums[1] <= sums[2] && sums[2] < N);
}

TEST(nonfinite_logits_spoil_the_loss) {
  const float bad[] = {NAN, INFINITY};
  for (int b = 0; b < 2; b++) {
    for (int at = 0; at < 4; at++) {
      float logits[4] = {0.5f, 1.0f, -1.0f, 0.0f};
      const int32_t label = 1;
      for (int smoothed = 0; smoothed < 2; smoothed++) {
        double sums[3] = {0};
        logits[at] = bad[b];
        es_loss_slice(&(es_criterion_t){4, 1, 0.1 * smoothed}, logits, &label, 1, sums, NULL, NULL);
        assert_true(!isfinite(sums[0]));
      }
    }
  }
}
