/* Probes against the definition of their objective: naive values and gradients in double, optimality conditions, and
 * properties on data that are difficult in some way. */
#include "eigenscope/blas.h"
#include "eigenscope/probe.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

typedef struct data {
  int64_t n;
  int32_t d, k;
  float *x, *work; /* work: overwritten by a fit */
  int32_t *label;
  double *weights;
  es_group_t group;
} data_t;

static double normal(uint64_t stream, uint64_t element) {
  return (double)draw_normal(3, stream, element);
}

/* Classes with centres at `apart` deviations from the middle; labels in turn. */
static void data_open(data_t *s, int64_t n, int32_t d, int32_t k, double apart) {
  *s = (data_t){.n = n, .d = d, .k = k};
  const size_t size = (size_t)n * (size_t)d;
  s->x = es_allocate(size, sizeof *s->x);
  s->work = es_allocate(size, sizeof *s->work);
  s->label = es_allocate((size_t)n, sizeof *s->label);
  s->weights = es_allocate_zero(es_probe_weights_size(d, k), sizeof *s->weights);
  assert_true(s->x && s->work && s->label && s->weights);
  assert_ok(es_group_create_any(&s->group, MPI_COMM_NULL, 8, fresh()));
  for (int64_t i = 0; i < n; i++) {
    s->label[i] = (int32_t)(i % k);
    for (int32_t j = 0; j < d; j++) {
      const double centre = apart * normal(1, (uint64_t)(s->label[i] * d + j)) / sqrt(d);
      s->x[i * d + j] = (float)(centre + normal(2, (uint64_t)(i * d + j)));
    }
  }
}

static void data_close(data_t *s) {
  es_free(s->x);
  es_free(s->work);
  es_free(s->label);
  es_free(s->weights);
}

static es_probe_problem_t problem_of(data_t *s, double l2) {
  memcpy(s->work, s->x, (size_t)s->n * (size_t)s->d * sizeof *s->x);
  return (es_probe_problem_t){
      .n = s->n, .width = s->d, .classes = s->k, .features = s->work, .labels = s->label, .l2 = l2};
}

static es_probe_result_t fit(data_t *s, double l2, int64_t *confusion) {
  const es_probe_problem_t problem = problem_of(s, l2);
  es_probe_result_t result;
  assert_ok(es_probe_fit(&result, s->weights, confusion, &problem, &s->group, fresh()));
  return result;
}

static es_code_t count(int64_t *confusion, const data_t *s, const float *x, const int32_t *label, int64_t n) {
  const es_probe_rows_t rows = {.n = n, .width = s->d, .classes = s->k, .features = x, .labels = label};
  return es_probe_count(confusion, s->weights, &rows, fresh());
}

/* F as in the header, and its gradient if `gradient` is not NULL; every class must be present. Two classes use the
 * binomial form, whose gradient is with respect to w = W₁ − W₀ and b = b₁ − b₀ (row 1; row 0 stays 0). */
static double naive(const data_t *s, const double *weights, double l2, double *gradient) {
  const int64_t d = s->d, k = s->k, row = d + 1;
  double *z = es_allocate((size_t)k, sizeof *z), f = 0.0;
  assert_non_null(z);
  if (gradient) memset(gradient, 0, (size_t)(k * row) * sizeof *gradient);
  for (int64_t i = 0; i < s->n; i++) {
    double largest = -INFINITY, sum = 0.0;
    for (int64_t c = 0; c < k; c++) {
      z[c] = weights[c * row + d];
      for (int64_t j = 0; j < d; j++) z[c] += weights[c * row + j] * (double)s->x[i * d + j];
      largest = fmax(largest, z[c]);
    }
    for (int64_t c = 0; c < k; c++) sum += exp(z[c] - largest);
    f += log(sum) + largest - z[s->label[i]];
    for (int64_t c = k == 2; gradient && c < k; c++) {
      const double r = exp(z[c] - largest) / sum - (c == s->label[i]);
      for (int64_t j = 0; j < d; j++) gradient[c * row + j] += r * (double)s->x[i * d + j];
      gradient[c * row + d] += r;
    }
  }
  for (int64_t c = k == 2; c < k; c++) {
    for (int64_t j = 0; j < d; j++) {
      const double w = k == 2 ? weights[row + j] - weights[j] : weights[c * row + j];
      f += 0.5 * l2 * w * w;
      if (gradient) gradient[c * row + j] += l2 * w;
    }
  }
  es_free(z);
  return f;
}

static double norm(const double *v, size_t n) {
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) sum += v[i] * v[i];
  return sqrt(sum);
}

/* The gradient for centred features, to which the bound by strong convexity applies. */
static void centre(const data_t *s, double *gradient) {
  for (int32_t j = 0; j < s->d; j++) {
    double mean = 0.0;
    for (int64_t i = 0; i < s->n; i++) mean += (double)s->x[i * s->d + j] / (double)s->n;
    for (int64_t c = 0; c < s->k; c++) gradient[c * (s->d + 1) + j] -= mean * gradient[c * (s->d + 1) + s->d];
  }
}

/* Checks the optimality conditions by the definition alone: reported and naive numbers agree, and by strong convexity
 * the gradient bounds the distance to the optimum. */
static es_probe_result_t check_optimal(data_t *s, double l2) {
  const es_probe_result_t result = fit(s, l2, NULL);
  const size_t size = es_probe_weights_size(s->d, s->k);
  double *gradient = es_allocate(size, sizeof *gradient);
  assert_non_null(gradient);
  const double f = naive(s, s->weights, l2, gradient);
  assert_true(result.converged);
  assert_true(fabs(f - result.objective) <= 1e-7 * f);
  double largest = 1.0; /* rounding of centred features changes the gradient in proportion */
  for (int64_t i = 0; i < s->n * s->d; i++) largest = fmax(largest, fabs((double)s->x[i]));
  const double rounding = 1e-7 * largest, length = norm(gradient, size) / (double)s->n;
  assert_true(fabs(length - result.gradient_norm) <= 0.1 * result.gradient_norm + rounding);
  assert_true(result.gradient_norm <= 1e-4);
  centre(s, gradient);
  const double centred = norm(gradient, size);
  assert_true(centred * centred / (2.0 * l2) <= 1.1e-6 * f);
  es_free(gradient);
  return result;
}

TEST(optimum) {
  const int32_t widths[] = {1, 3, 40, 300}, classes[] = {2, 3, 10};
  for (int w = 0; w < 4; w++) {
    for (int k = 0; k < 3; k++) {
      data_t s;
      data_open(&s, 1000, widths[w], classes[k], 2.0);
      check_optimal(&s, k == 1 ? 0.01 : 1.0);
      data_close(&s);
    }
  }
}

/* Far from the optimum, the reported numbers belong to the current weights, and the probe reports no convergence. */
TEST(not_converged) {
  data_t s;
  data_open(&s, 500, 20, 4, 1.0);
  es_probe_problem_t problem = problem_of(&s, 1.0);
  problem.iterations = 1;
  es_probe_result_t result;
  assert_ok(es_probe_fit(&result, s.weights, NULL, &problem, &s.group, fresh()));
  const size_t size = es_probe_weights_size(s.d, s.k);
  double gradient[4 * 21];
  const double f = naive(&s, s.weights, 1.0, gradient);
  assert_false(result.converged);
  assert_int_equal(result.iterations, 1);
  assert_true(fabs(f - result.objective) <= 1e-7 * f);
  assert_true(fabs(norm(gradient, size) / 500.0 - result.gradient_norm) <= 1e-6 * result.gradient_norm);
  data_close(&s);
}

/* A constant column, columns of very different scale, a class with one sample; from 2 to 100 classes. */
TEST(hostile) {
  const int32_t classes[] = {2, 3, 100}, widths[] = {30, 90};
  for (int c = 0; c < 3; c++) {
    for (int w = 0; w < 2; w++) {
      const int32_t d = widths[w], k = classes[c];
      data_t s;
      data_open(&s, 1000, d, k, 3.0);
      for (int64_t i = 0; i < s.n; i++) {
        for (int32_t j = 0; j < d; j++) s.x[i * d + j] *= powf(10.0f, (float)(j % 5) - 2.0f);
        s.x[i * d + 7] = 12.5f;
        if (s.label[i] == k - 1 && i >= k) s.label[i] = 0;
      }
      check_optimal(&s, 1.0);
      data_close(&s);
    }
  }
}

/* Classes that differ only in the difference of two columns, which rounding to bfloat16 hides: steps with rounded rows
 * are given up. */
TEST(rounded) {
  data_t s;
  data_open(&s, 600, 40, 3, 0.0);
  for (int64_t i = 0; i < s.n; i++) {
    float *x = s.x + i * s.d;
    x[1] = x[0] + 1e-3f * (float)s.label[i] + 1e-3f * (float)normal(5, (uint64_t)i);
  }
  check_optimal(&s, 1e-3);
  data_close(&s);
}

/* So many rows that the metric samples some of them, in the order of their classes. */
TEST(sampled) {
  const int32_t widths[] = {5, 70};
  for (int w = 0; w < 2; w++) {
    data_t s;
    data_open(&s, 36000, widths[w], 3, 1.0);
    for (int64_t i = 0; i < s.n; i++) {
      s.label[i] = (int32_t)(i / 12000);
      for (int32_t j = 0; j < 3; j++) s.x[i * s.d + j] += j == s.label[i] ? 0.5f : 0.0f;
    }
    assert_true(check_optimal(&s, 1.0).iterations < 40);
    data_close(&s);
  }
}

/* Classes so separate that only the penalty bounds the weights: all are classified, and the optimum is found. */
TEST(separable) {
  for (int32_t k = 2; k <= 5; k += 3) {
    data_t s;
    data_open(&s, 400, 30, k, 60.0);
    assert_true(check_optimal(&s, 1e-3).accuracy == 1.0);
    data_close(&s);
  }
}

/* Constant features get weight 0. If all features are constant, the best prediction is the shares of classes. */
TEST(constant_features) {
  data_t s;
  data_open(&s, 300, 6, 3, 1.0);
  for (int64_t i = 0; i < s.n; i++) s.x[i * 6 + 2] = 50.0f;
  check_optimal(&s, 1.0);
  for (int64_t c = 0; c < 3; c++) assert_true(s.weights[c * 7 + 2] == 0.0);
  for (int64_t i = 0; i < s.n * 6; i++) s.x[i] = 0.3f;
  memset(s.weights, 0, 21 * sizeof *s.weights);
  const es_probe_result_t result = check_optimal(&s, 1.0);
  assert_true(fabs(result.objective - 300.0 * log(3.0)) <= 1e-9);
  for (int64_t e = 0; e < 21; e++) assert_true(fabs(s.weights[e]) <= 1e-12);
  data_close(&s);
}

/* A class without samples is never predicted and changes nothing: the problem equals the one without the class. With
 * two classes left, it equals the binomial one. */
TEST(missing_class) {
  for (int32_t k = 2; k <= 4; k++) {
    data_t s;
    data_open(&s, 300, 5, k, 1.5);
    const es_probe_result_t without = fit(&s, 1.0, NULL);
    double *all = es_allocate_zero((size_t)(k + 1) * 6, sizeof *all);
    int64_t confusion[25];
    assert_non_null(all);
    for (int64_t i = 0; i < s.n; i++) s.label[i] += s.label[i] >= 1;
    es_probe_problem_t problem = problem_of(&s, 1.0);
    problem.classes = k + 1;
    es_probe_result_t with;
    assert_ok(es_probe_fit(&with, all, confusion, &problem, &s.group, fresh()));
    assert_true(with.objective == without.objective && with.accuracy == without.accuracy);
    assert_true(isinf(all[6 + 5]) && all[6 + 5] < 0.0 && all[6] == 0.0);
    assert_memory_equal(all, s.weights, 6 * sizeof *all);
    assert_memory_equal(all + 12, s.weights + 6, (size_t)(k - 1) * 6 * sizeof *all);
    assert_true(es_probe_accuracy(confusion, k + 1) == with.accuracy);
    for (int32_t c = 0; c <= k; c++) assert_int_equal(confusion[c * (k + 1) + 1], 0);
    es_free(all);
    data_close(&s);
  }
}

TEST(single_class) {
  data_t s;
  data_open(&s, 50, 4, 3, 1.0);
  for (int64_t i = 0; i < s.n; i++) s.label[i] = 2;
  int64_t confusion[9];
  const es_probe_result_t result = fit(&s, 1.0, confusion);
  assert_true(result.objective == 0.0 && result.converged && result.iterations == -1 && result.accuracy == 1.0);
  assert_int_equal(confusion[8], 50);
  memset(confusion, 0, sizeof confusion);
  assert_ok(count(confusion, &s, s.x, s.label, 50));
  assert_int_equal(confusion[8], 50);
  data_close(&s);
}

/* Starting at the solution for slightly different features, a fit takes fewer steps to the same optimum. A start that
 * is worse than none, or NaN, is ignored. */
TEST(warm_start) {
  data_t s;
  data_open(&s, 800, 60, 5, 1.0);
  const es_probe_result_t before = check_optimal(&s, 1.0);
  for (int64_t i = 0; i < s.n * s.d; i++) s.x[i] += 0.01f * (float)normal(9, (uint64_t)i);
  const es_probe_result_t warm = check_optimal(&s, 1.0);
  memset(s.weights, 0, es_probe_weights_size(s.d, s.k) * sizeof *s.weights);
  const es_probe_result_t cold = check_optimal(&s, 1.0);
  assert_true(warm.iterations < cold.iterations && cold.iterations <= before.iterations + 20);
  assert_true(fabs(warm.objective - cold.objective) <= 2e-6 * cold.objective);
  const double bad[] = {1e6, NAN};
  for (int b = 0; b < 2; b++) {
    for (size_t e = 0; e < es_probe_weights_size(s.d, s.k); e++) s.weights[e] = e % 2 ? bad[b] : -bad[b];
    es_probe_result_t again = fit(&s, 1.0, NULL);
    again.passes = cold.passes;
    assert_memory_equal(&again, &cold, sizeof again);
  }
  data_close(&s);
}

static void check_refused(data_t *s, const es_probe_problem_t *problem, es_code_t code, const char *message) {
  es_probe_result_t result;
  for (size_t e = 0; e < es_probe_weights_size(s->d, s->k); e++) s->weights[e] = 0.25;
  assert_int_equal(es_probe_fit(&result, s->weights, NULL, problem, &s->group, fresh()), code);
  assert_non_null(strstr(said.message, message));
  for (size_t e = 0; e < es_probe_weights_size(s->d, s->k); e++) assert_true(s->weights[e] == 0.25);
}

TEST(bad_input) {
  data_t s;
  data_open(&s, 30, 4, 3, 1.0);
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (int b = 0; b < 3; b++) {
    const es_probe_problem_t problem = problem_of(&s, 1.0);
    s.work[77] = bad[b];
    check_refused(&s, &problem, ES_NUMERIC, "NaN, infinite or larger than 1e150: 1");
  }
  es_probe_problem_t problem = problem_of(&s, 1.0);
  s.label[7] = 3;
  check_refused(&s, &problem, ES_INPUT, "sample 7 has label 3, but labels must be from 0 to 2");
  s.label[7] = -1;
  check_refused(&s, &problem, ES_INPUT, "sample 7 has label -1");
  s.label[7] = 0;
  problem.l2 = 0.0;
  check_refused(&s, &problem, ES_INPUT, "l2");
  problem.l2 = 1.0;
  problem.n = 0;
  check_refused(&s, &problem, ES_INPUT, "at least one sample");
  problem.n = 30;
  problem.classes = 50000; /* 50000² counts exceed one MPI_Allreduce */
  check_refused(&s, &problem, ES_INPUT,
                "a probe has 4 features and 50000 classes, but must have at least one of each and fit into memory");
  problem.classes = 3;
  problem.width = 1 << 25;
  check_refused(&s, &problem, ES_INPUT,
                "a probe has 33554432 features and 3 classes, but must have at least one of each and fit into memory");
  data_close(&s);
}

/* scikit-learn's numbers (tests/fixtures/probe/make_golden.py). */
TEST(golden) {
  FILE *file = fopen(ES_FIXTURES "/probe/golden.txt", "r");
  assert_non_null(file);
  long long n, right;
  int d, k, rows, cases = 0;
  double l2, objective, expected[5][16];
  for (; fscanf(file, "%lld %d %d %lf %d %lf %lld", &n, &d, &k, &l2, &rows, &objective, &right) == 7; cases++) {
    data_t s;
    data_open(&s, n, d, k, 1.0);
    for (int r = 0; r < rows; r++) {
      for (int j = 0; j <= d; j++) assert_int_equal(fscanf(file, "%lf", &expected[r][j]), 1);
    }
    int64_t counts[5] = {0};
    for (int64_t i = 0; i < n; i++) {
      assert_int_equal(fscanf(file, "%d", &s.label[i]), 1);
      counts[s.label[i]]++;
      for (int j = 0; j < d; j++) assert_int_equal(fscanf(file, "%f", &s.x[i * d + j]), 1);
    }
    es_probe_problem_t problem = problem_of(&s, l2);
    problem.gap = 1e-12;
    es_probe_result_t result;
    assert_ok(es_probe_fit(&result, s.weights, NULL, &problem, &s.group, fresh()));
    assert_true(result.converged);
    assert_true(fabs(result.objective - objective) <= 1e-7 * objective);
    assert_true(fabs(result.accuracy * (double)n - (double)right) < 0.5);
    for (int c = 0, r = 0; c < k; c++) { /* two classes: the difference of their weights */
      if (counts[c] == 0 || (rows == 1 && c == 0)) continue;
      for (int j = 0; j < d; j++) {
        const double w = s.weights[c * (d + 1) + j] - (rows == 1 ? s.weights[j] : 0.0);
        assert_true(fabs(w - expected[r][j]) <= 1e-4 * (1.0 + fabs(expected[r][j])));
      }
      r++;
    }
    data_close(&s);
  }
  assert_int_equal(cases, 6);
  fclose(file);
}

/* Counting in parts equals counting at once; recall and accuracy by definition; no samples give no number. */
TEST(counts) {
  data_t s;
  data_open(&s, 333, 7, 3, 1.0);
  int64_t fitted[9], counted[9] = {0};
  const es_probe_result_t result = fit(&s, 1.0, fitted);
  for (int64_t i = 0; i < s.n; i += 50) {
    const int64_t n = s.n - i < 50 ? s.n - i : 50;
    assert_ok(count(counted, &s, s.x + i * 7, s.label + i, n));
  }
  assert_memory_equal(fitted, counted, sizeof fitted);
  assert_true(es_probe_accuracy(counted, 3) == result.accuracy);
  const float nan[] = {0, 0, NAN, 0, 0, 0, 0, 0, 0, 0, INFINITY, 0, 0, 0};
  assert_ok(count(counted, &s, nan, s.label, 2));
  assert_memory_equal(fitted, counted, sizeof fitted);
  const int32_t wrong = 3;
  assert_int_equal(count(counted, &s, s.x, &wrong, 1), ES_INPUT);
  assert_memory_equal(fitted, counted, sizeof fitted);
  const int64_t table[9] = {3, 1, 0, 0, 0, 0, 2, 2, 4};
  double recall[3];
  es_probe_recall(recall, table, 3);
  assert_true(recall[0] == 0.75 && isnan(recall[1]) && recall[2] == 0.5);
  assert_true(es_probe_accuracy(table, 3) == 7.0 / 12.0);
  assert_true(isnan(es_probe_accuracy((const int64_t[4]){0}, 2)));
  data_close(&s);
}

/* Cells as in AdaptiveAvgPool2d, written out: rows 0-1, 1-3, 3-4 of 5, columns 0-1, 2-3 of 4 ... */
TEST(pool) {
  float in[2 * 5 * 2 * 3], out[2 * 3 * 2 * 3];
  for (int i = 0; i < 60; i++) in[i] = (float)(i * i % 37);
  assert_int_equal(es_probe_width(5, 2, 3, 3), 18);
  assert_int_equal(es_probe_width(1, 1, 512, 4), 512);
  assert_int_equal(es_probe_width(1 << 20, 1 << 20, 1 << 20, 4096), INT32_MAX);
  double wide_in[60], wide_out[36];
  for (int i = 0; i < 60; i++) wide_in[i] = (double)in[i] + 1e8;
  es_probe_pool(out, in, 2, &(es_probe_pooling_t){.h = 5, .w = 2, .c = 3, .pool = 3});
  es_probe_pool(wide_out, wide_in, 2, &(es_probe_pooling_t){.h = 5, .w = 2, .c = 3, .pool = 3, .is_double = true});
  const int first[] = {0, 1, 3}, end[] = {2, 4, 5};
  for (int i = 0, at = 0; i < 2; i++) {
    for (int y = 0; y < 3; y++) {
      for (int x = 0; x < 2; x++) {
        for (int c = 0; c < 3; c++, at++) {
          float mean = 0.0f;
          for (int r = first[y]; r < end[y]; r++) mean += in[((i * 5 + r) * 2 + x) * 3 + c];
          assert_true(fabsf(out[at] - mean / (float)(end[y] - first[y])) <= 1e-5f);
          assert_true(fabs(wide_out[at] - 1e8 - (double)out[at]) <= 1e-5);
        }
      }
    }
  }
}
