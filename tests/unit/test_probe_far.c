/* Probes on features far from zero, of any size, and of different sizes: the optimum is that of the features as they
 * are, and only then the probe says that it has converged. */
#include "eigenscope/blas.h"
#include "eigenscope/probe.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

enum { N_MOST = 400, D_MOST = 70, K_MOST = 4 };
static double x[N_MOST * D_MOST], weights[K_MOST * (D_MOST + 1)];
static int32_t label[N_MOST];

/* Fits features x (n × d) as double or rounded to float. */
static es_probe_result_t fit(int64_t n, int32_t d, int32_t k, bool is_double, double l2) {
  static float narrow[N_MOST * D_MOST];
  static double wide[N_MOST * D_MOST];
  for (int64_t i = 0; i < n * d; i++) narrow[i] = (float)(wide[i] = x[i]);
  const es_probe_problem_t problem = {.n = n,
                                      .width = d,
                                      .classes = k,
                                      .features = is_double ? (void *)wide : (void *)narrow,
                                      .is_double = is_double,
                                      .labels = label,
                                      .l2 = l2};
  es_group_t group;
  es_probe_result_t result;
  assert_ok(es_group_create_any(&group, MPI_COMM_NULL, 8, fresh()));
  memset(weights, 0, sizeof weights);
  assert_ok(es_probe_fit(&result, weights, NULL, &problem, &group, fresh()));
  return result;
}

/* Fills x with classes around centres. The numbers have few digits, so shifts and powers of two change them exactly. */
static void fill(int64_t n, int32_t d, int32_t k) {
  for (int64_t i = 0; i < n; i++) {
    label[i] = (int32_t)(i % k);
    for (int32_t j = 0; j < d; j++) {
      const double centre = 2.0 * (double)draw_normal(3, 1, (uint64_t)(label[i] * d + j)) / sqrt(d);
      x[i * d + j] = ldexp(rint(ldexp(centre + (double)draw_normal(3, 2, (uint64_t)(i * d + j)), 10)), -10);
    }
  }
}

/* One line of far.txt after the plain features: how they change, and scikit-learn's numbers. */
typedef struct change {
  int is_double, exponent[4];
  double shift, odd, outlier, constant, objective;
  long long right;
} change_t;

static bool read_change(FILE *file, change_t *c) {
  return fscanf(file, "%d %d %d %d %d %lf %lf %lf %lf %lf %lld", &c->is_double, &c->exponent[0], &c->exponent[1],
                &c->exponent[2], &c->exponent[3], &c->shift, &c->odd, &c->outlier, &c->constant, &c->objective,
                &c->right) == 11;
}

/* tests/fixtures/probe/make_far.py. Every probe converges, and its predictions are as good as the optimum's. */
TEST(golden) {
  FILE *file = fopen(ES_FIXTURES "/probe/far.txt", "r");
  assert_non_null(file);
  int k, n, d, n_changes, blocks = 0;
  for (; fscanf(file, "%d %d %d %d", &k, &n, &d, &n_changes) == 4; blocks++) {
    static double plain[N_MOST * 4];
    for (int i = 0; i < n; i++) {
      assert_int_equal(fscanf(file, "%d", &label[i]), 1);
      for (int j = 0; j < d; j++) assert_int_equal(fscanf(file, "%lf", &plain[i * d + j]), 1);
    }
    for (int at = 0; at < n_changes; at++) {
      change_t c;
      assert_true(read_change(file, &c));
      for (int i = 0; i < n * d; i++) x[i] = ldexp(plain[i], c.exponent[i % d]) + c.shift + (i / d % 2 ? c.odd : 0.0);
      if (c.outlier > 0.0) x[5 * d + 1] = c.outlier;
      for (int i = 0; c.constant > 0.0 && i < n; i++) x[i * d + 3] = c.constant;
      for (int wide = c.is_double; wide < 2; wide++) {
        const es_probe_result_t result = fit(n, d, k, wide, 1.0);
        if (!result.converged || fabs(result.objective - c.objective) > 1.1e-6 * c.objective ||
            fabs(result.accuracy * n - (double)c.right) > 1.5)
          fail_msg("%d classes, change %d: objective %.12g, not %.12g; accuracy %g, not %g", k, at, result.objective,
                   c.objective, result.accuracy, (double)c.right / n);
        int64_t confusion[9] = {0};
        const es_probe_rows_t rows = {
            .n = n, .width = d, .classes = k, .features = x, .is_double = true, .labels = label};
        assert_ok(es_probe_count(confusion, weights, &rows, fresh()));
        assert_true(fabs(es_probe_accuracy(confusion, k) - result.accuracy) * n <= 1.5);
      }
    }
  }
  assert_int_equal(blocks, 2);
  fclose(file);
}

/* A shift changes the intercepts alone: objective, accuracy and weights stay. */
TEST(shift) {
  const double shifts[] = {1e3, -1e6, 1e8, -0x1p40};
  for (int32_t k = 2; k <= 4; k += 2) {
    fill(400, 20, k);
    const es_probe_result_t plain = fit(400, 20, k, true, 1.0);
    assert_true(plain.converged);
    for (int s = 0; s < 4; s++) {
      fill(400, 20, k);
      for (int i = 0; i < 400 * 20; i++) x[i] += shifts[s] * (1 + i % 20 % 3);
      const es_probe_result_t shifted = fit(400, 20, k, true, 1.0);
      assert_true(shifted.converged);
      assert_true(fabs(shifted.objective - plain.objective) <= 1e-6 * plain.objective);
      assert_true(fabs(shifted.accuracy - plain.accuracy) <= 1.01 / 400);
    }
  }
}

/* Features times s with l2·s² are the same problem; the weights are divided by s. Wide layers take the metric of a
 * sketch, narrow ones of the whole curvature. */
TEST(powers_of_two) {
  const int32_t widths[] = {5, 70};
  for (int w = 0; w < 2; w++) {
    const int32_t d = widths[w];
    fill(400, d, 3);
    const es_probe_result_t plain = fit(400, d, 3, false, 0.25);
    const double weight = weights[1];
    assert_true(plain.converged);
    for (int wide = 0; wide < 2; wide++) {
      for (int exponent = wide ? -480 : -120; exponent <= (wide ? 480 : 120); exponent += 30) {
        fill(400, d, 3);
        for (int i = 0; i < 400 * d; i++) x[i] = ldexp(x[i], exponent);
        const es_probe_result_t scaled = fit(400, d, 3, wide, ldexp(0.25, 2 * exponent));
        if (!scaled.converged || fabs(scaled.objective - plain.objective) > 1e-6 * plain.objective ||
            fabs(scaled.accuracy - plain.accuracy) > 1.01 / 400 ||
            fabs(ldexp(weights[1], exponent) - weight) > 1e-2 * (fabs(weight) + 0.1))
          fail_msg("width %d, 2^%d: converged %d, objective %.12g, not %.12g", d, exponent, scaled.converged,
                   scaled.objective, plain.objective);
      }
    }
  }
}

/* Powers of one number are so nearly dependent that double cannot find the optimum without a penalty: the probe says
 * so. */
TEST(says_so) {
  for (int i = 0; i < 200; i++) {
    const double t = (double)draw_unit(4, 0, (uint64_t)i);
    label[i] = draw_unit(4, 1, (uint64_t)i) < 0.5f;
    for (int j = 0; j < 40; j++) x[i * 40 + j] = 1e3 * pow(t, j + 1);
  }
  assert_false(fit(200, 40, 2, true, 1e-20).converged);
  assert_true(fit(200, 40, 2, true, 1.0).converged);
}

/* Features in double are checked before they are used. Beyond 1e150 their squares would overflow. */
TEST(too_large) {
  const double bad[] = {NAN, INFINITY, 1e151, -1e200};
  for (int b = 0; b < 4; b++) {
    double features[4] = {1.0, 2.0, bad[b], 3.0}, out[4] = {0};
    const int32_t labels[4] = {0, 1, 0, 1};
    const es_probe_problem_t problem = {
        .n = 4, .width = 1, .classes = 2, .features = features, .is_double = true, .labels = labels, .l2 = 1.0};
    es_group_t group;
    es_probe_result_t result;
    assert_ok(es_group_create_any(&group, MPI_COMM_NULL, 8, fresh()));
    assert_int_equal(es_probe_fit(&result, out, NULL, &problem, &group, fresh()), ES_NUMERIC);
    assert_non_null(strstr(said.message, "features of a probe that are NaN, infinite or larger than 1e150: 1"));
  }
}
