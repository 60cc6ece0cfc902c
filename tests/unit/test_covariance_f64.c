/* Accumulators of double rows against two passes in long double: no value may pass through float. */
#include "eigenscope/blas.h"
#include "eigenscope/covariance.h"
#include "eigenscope/spectrum.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

static double normal(uint64_t stream, uint64_t element) {
  float z[2];
  draw_pair(z, 13, stream, element);
  return (double)z[0] + 1e-9 * (double)z[1]; /* more digits than float holds */
}

static double *make_rows(int32_t width, int64_t n, double mean) {
  double *rows = es_allocate((size_t)n * (size_t)width, sizeof *rows);
  assert_non_null(rows);
  for (size_t i = 0; i < (size_t)n; i++) {
    double left = 0.0;
    for (size_t j = 0; j < (size_t)width; j++) {
      left = 0.5 * left + normal(1, i * (size_t)width + j);
      rows[i * (size_t)width + j] = mean + left * (1.0 + (double)(j % 5));
    }
  }
  return rows;
}

static size_t diagonal(size_t j) {
  return j * (j + 1) / 2 + j;
}

static long double *reference(const double *rows, int32_t d, int64_t n) {
  const size_t width = (size_t)d;
  long double *q = es_allocate_zero(es_triangle_size(d), sizeof *q), *mean = es_allocate_zero(width, sizeof *mean);
  assert_true(q && mean);
  for (size_t i = 0; i < (size_t)n; i++) {
    for (size_t j = 0; j < width; j++) mean[j] += (long double)rows[i * width + j] / (long double)n;
  }
  for (size_t i = 0; i < (size_t)n; i++) {
    const double *x = rows + i * width;
    for (size_t j = 0; j < width; j++) {
      for (size_t k = 0; k <= j; k++)
        q[diagonal(j) - j + k] += ((long double)x[j] - mean[j]) * ((long double)x[k] - mean[k]) / (long double)n;
    }
  }
  es_free(mean);
  return q;
}

/* Largest error of a covariance relative to the deviations of its two columns. */
static double error_of(const double *q, const long double *expected, int32_t width) {
  double worst = 0.0;
  for (size_t j = 0; j < (size_t)width; j++) {
    for (size_t k = 0; k <= j; k++) {
      const size_t at = diagonal(j) - j + k;
      const long double scale = sqrtl(expected[diagonal(j)] * expected[diagonal(k)]);
      const double error = (double)(fabsl((long double)q[at] - expected[at]) / (scale > 0.0L ? scale : 1.0L));
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

/* Adds rows in chunks to two accumulators, which are then merged. */
static void accumulate(double *q, const double *rows, int32_t width, int64_t n, int64_t chunk) {
  es_cov_t first, second;
  es_cov_workspace_t workspace;
  assert_ok(es_cov_create(&first, width, ES_REAL_F64, fresh()));
  assert_ok(es_cov_create(&second, width, ES_REAL_F64, fresh()));
  assert_ok(es_cov_workspace_create(&workspace, width + 3, ES_REAL_F64, fresh()));
  for (int64_t i = 0; i < n; i += chunk) {
    const int64_t take = n - i < chunk ? n - i : chunk;
    es_cov_add(i < n / 3 ? &first : &second, &workspace, rows + i * width, take);
  }
  es_cov_flush(&first, &workspace);
  es_cov_flush(&second, &workspace);
  es_cov_merge(&first, &second);
  assert_int_equal(first.n, n);
  es_cov_finish(&first, q);
  es_cov_destroy(&first);
  es_cov_destroy(&second);
  es_cov_workspace_destroy(&workspace);
}

static void check(int32_t width, int64_t n, int64_t chunk, double mean, double tolerance) {
  double *rows = make_rows(width, n, mean), *q = es_allocate_zero(es_triangle_size(width), sizeof *q);
  long double *expected = reference(rows, width, n);
  assert_non_null(q);
  accumulate(q, rows, width, n, chunk);
  const double error = error_of(q, expected, width);
  if (!(error <= tolerance)) fail_msg("width %d, %lld rows at mean %g: error %g", width, (long long)n, mean, error);
  es_free(rows);
  es_free(q);
  es_free(expected);
}

TEST(matches_two_passes) {
  static const int32_t widths[] = {1, 2, 7, 16, 64, 130};
  for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
    const int64_t panel = es_cov_panel_rows(widths[w]);
    check(widths[w], 1, 1, 0.3, 0.0);
    check(widths[w], 2, 2, 0.3, 1e-14);
    check(widths[w], panel, 100, 0.3, 1e-14);
    check(widths[w], 3 * panel + 57, 4 * panel, 0.3, 1e-14);
    check(widths[w], 2 * panel + 1, 333, 0.3, 1e-14);
  }
}

/* A mean of 1e4 costs the rounding of means, 1e4·ε = 2e-12, times the distance of panel means relative to the
 * deviations, 1/√512. */
TEST(mean_far_from_zero) {
  check(1, 5000, 700, 1e4, 2e-13);
  check(130, 1500, 1500, -1e4, 2e-13);
}

TEST(same_bits_however_rows_are_cut) {
  const int32_t width = 42;
  const int64_t n = 3 * (int64_t)es_cov_panel_rows(width) + 5, chunks[] = {1, 7, 511, 5000};
  double *rows = make_rows(width, n, 2.0);
  es_cov_t whole, cut;
  es_cov_workspace_t workspace;
  assert_ok(es_cov_create(&whole, width, ES_REAL_F64, fresh()));
  assert_ok(es_cov_create(&cut, width, ES_REAL_F64, fresh()));
  assert_ok(es_cov_workspace_create(&workspace, width, ES_REAL_F64, fresh()));
  es_cov_add(&whole, &workspace, rows, n);
  es_cov_flush(&whole, &workspace);
  for (int c = 0; c < 4; c++) {
    es_cov_reset(&cut);
    for (int64_t i = 0; i < n; i += chunks[c])
      es_cov_add(&cut, &workspace, rows + i * width, n - i < chunks[c] ? n - i : chunks[c]);
    es_cov_flush(&cut, &workspace);
    assert_int_equal(cut.n, n);
    assert_memory_equal(cut.moments, whole.moments, es_cov_moments_size(width) * sizeof(double));
  }
  es_cov_destroy(&whole);
  es_cov_destroy(&cut);
  es_cov_workspace_destroy(&workspace);
  es_free(rows);
}

TEST(constants_and_nonfinite) {
  const int32_t width = 5;
  const int64_t n = 1000;
  double *rows = make_rows(width, n, 0.0), q[15];
  for (int64_t i = 0; i < n; i++) rows[i * width + 1] = 0.1;
  rows[700 * width + 3] = NAN;
  accumulate(q, rows, width, n, 100);
  assert_true(q[diagonal(1)] == 0.0 && q[diagonal(2)] > 0.5);
  assert_true(isnan(q[diagonal(3)]) && isfinite(q[diagonal(4)]));
  es_free(rows);
}
