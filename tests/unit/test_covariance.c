/* Streamed covariances against two passes in double, for any cut of the rows, and at means far from zero. */
#include "eigenscope/blas.h"
#include "eigenscope/covariance.h"
#include "eigenscope/random.h"
#include "eigenscope/spectrum.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread(); /* SYRK is OpenBLAS too */
}

enum { WIDEST = 512 };

/* Rows, and their mean and covariance by two passes in double. */
typedef struct data {
  int32_t width;
  int64_t n;
  float *rows;
  double *mean, *covariance; /* covariance: packed triangle, as in the module */
} data_t;

static float normal(uint64_t stream, uint64_t element) {
  return draw_normal(11, stream, element);
}

static void data_open(data_t *d, int32_t width, int64_t n) {
  *d = (data_t){.width = width, .n = n};
  d->rows = es_allocate_zero((size_t)n * (size_t)width, sizeof *d->rows);
  d->mean = es_allocate_zero((size_t)width, sizeof *d->mean);
  d->covariance = es_allocate_zero(es_triangle_size(width), sizeof *d->covariance);
  assert_true(d->rows && d->mean && d->covariance);
}

static void data_close(data_t *d) {
  es_free(d->rows);
  es_free(d->mean);
  es_free(d->covariance);
}

/* Normal rows with correlated columns (each takes half of its left neighbour) of different scales. */
static void data_fill(data_t *d, double mean, uint64_t stream) {
  const size_t width = (size_t)d->width;
  for (size_t i = 0; i < (size_t)d->n; i++) {
    float left = 0.0f;
    for (size_t j = 0; j < width; j++) {
      left = 0.5f * left + normal(stream, i * width + j);
      d->rows[i * width + j] = (float)(mean + (double)left * (1.0 + (double)(j % 5)));
    }
  }
}

static void data_measure(data_t *d) {
  const size_t width = (size_t)d->width, n = (size_t)d->n;
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < width; j++) d->mean[j] += (double)d->rows[i * width + j] / (double)n;
  }
  double *centred = es_allocate(width, sizeof *centred);
  assert_non_null(centred);
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < width; j++) centred[j] = (double)d->rows[i * width + j] - d->mean[j];
    for (size_t j = 0; j < width; j++) {
      for (size_t k = 0; k <= j; k++) d->covariance[j * (j + 1) / 2 + k] += centred[j] * centred[k] / (double)n;
    }
  }
  es_free(centred);
}

static size_t diagonal(size_t j) {
  return j * (j + 1) / 2 + j;
}

/* Largest |Q − reference| over √(reference_jj · reference_kk): every correlation counts, also of small columns. */
static double error_of(const data_t *d, const double *q) {
  double worst = 0.0;
  for (size_t j = 0; j < (size_t)d->width; j++) {
    for (size_t k = 0; k <= j; k++) {
      const size_t at = j * (j + 1) / 2 + k;
      const double scale = sqrt(d->covariance[diagonal(j)] * d->covariance[diagonal(k)]);
      const double error = fabs(q[at] - d->covariance[at]) / (scale > 0.0 ? scale : 1.0);
      if (!(error <= worst)) worst = error; /* true for NaN too */
    }
  }
  return worst;
}

/* One accumulator with its scratch. */
typedef struct fixture {
  es_cov_t cov;
  es_cov_workspace_t workspace;
  double *q;
} fixture_t;

static void fixture_open(fixture_t *f, int32_t width, int32_t workspace_width) {
  assert_ok(es_cov_create(&f->cov, width, ES_REAL_F32, fresh()));
  assert_ok(es_cov_workspace_create(&f->workspace, workspace_width, ES_REAL_F32, fresh()));
  f->q = es_allocate_zero(es_triangle_size(width), sizeof *f->q);
  assert_non_null(f->q);
}

static void fixture_close(fixture_t *f) {
  es_cov_destroy(&f->cov);
  es_cov_workspace_destroy(&f->workspace);
  es_free(f->q);
}

/* Adds rows first … first+n−1 in chunks of at most `most` rows, of random sizes from stream `chunks` (0: all equal). */
static void add(fixture_t *f, const data_t *d, int64_t first, int64_t n, int64_t most, uint64_t chunks) {
  uint64_t calls = 0;
  for (int64_t done = 0, step; done < n; done += step) {
    step = most;
    if (chunks > 0) {
      step = es_random_below(draw_word(12, chunks, calls++), (uint32_t)most + 1); /* none at all is a chunk, too */
    }
    if (step > n - done) step = n - done;
    es_cov_add(&f->cov, &f->workspace, d->rows + (first + done) * d->width, step);
  }
}

static void finish(fixture_t *f) {
  es_cov_flush(&f->cov, &f->workspace);
  es_cov_finish(&f->cov, f->q);
}

/* The error of one pass over all rows. */
static double stream_error(const data_t *d) {
  fixture_t f;
  fixture_open(&f, d->width, d->width);
  add(&f, d, 0, d->n, d->n, 0);
  finish(&f);
  assert_int_equal(f.cov.n, d->n);
  const double error = error_of(d, f.q);
  for (int32_t j = 0; j < d->width; j++) {
    const double deviation = sqrt(d->covariance[diagonal((size_t)j)]);
    assert_true(fabs(f.cov.moments[j] - d->mean[j]) <= 1e-6 * deviation + 1e-12 * fabs(d->mean[j]));
  }
  fixture_close(&f);
  return error;
}

static const int32_t widths[] = {1, 2, 3, 4, 7, 8, 16, 32, 42, 48, 64, 80, 96, 128, 130, 256, WIDEST};
enum { WIDTHS = sizeof widths / sizeof *widths };

/* Row counts with partial panels: less than one, one row less, one panel, one row more, more than two panels. */
static int row_counts(int32_t width, int64_t out[5]) {
  const int64_t panel = es_cov_panel_rows(width);
  const int64_t counts[] = {37, panel - 1, panel, panel + 1, 2 * panel + 129};
  memcpy(out, counts, sizeof counts);
  return width >= 96 ? 5 : 4;
}

TEST(matches_two_passes_in_double) {
  for (int w = 0; w < WIDTHS; w++) {
    int64_t counts[5];
    for (int c = 0, n = row_counts(widths[w], counts); c < n; c++) {
      data_t d;
      data_open(&d, widths[w], counts[c]);
      data_fill(&d, 0.3, 1);
      data_measure(&d);
      const double error = stream_error(&d);
      if (!(error <= 2e-6)) fail_msg("width %d, %lld rows: error %g", widths[w], (long long)counts[c], error);
      data_close(&d);
    }
  }
}

TEST(panels_hold_at_least_256_rows) {
  for (int32_t width = 1; width <= 8192; width++) {
    const int32_t rows = es_cov_panel_rows(width);
    assert_true(rows >= 256 && rows <= es_cov_panel_rows(1));
    assert_true(width == 1 || rows <= es_cov_panel_rows(width - 1));
  }
}

/* The central promise: bits depend only on the rows and their order. */
TEST(same_bits_however_rows_are_cut) {
  for (int w = 0; w < WIDTHS; w++) {
    const int64_t panel = es_cov_panel_rows(widths[w]), n = 2 * panel + panel / 3 + 1;
    data_t d;
    data_open(&d, widths[w], n);
    data_fill(&d, -2.0, 2);
    fixture_t whole, cut;
    fixture_open(&whole, widths[w], widths[w]);
    add(&whole, &d, 0, n, n, 0);
    finish(&whole);
    const int64_t most[] = {1, 7, panel / 2, panel + 1, 2 * panel};
    for (size_t m = 0; m < sizeof most / sizeof *most; m++) {
      fixture_open(&cut, widths[w], m % 2 ? WIDEST : widths[w]); /* scratch for a wider layer works too */
      add(&cut, &d, 0, n, most[m], m + 1);
      finish(&cut);
      assert_int_equal(cut.cov.n, n);
      assert_memory_equal(cut.cov.moments, whole.cov.moments, es_cov_moments_size(widths[w]) * sizeof(double));
      assert_memory_equal(cut.q, whole.q, es_triangle_size(widths[w]) * sizeof(double));
      fixture_close(&cut);
    }
    fixture_close(&whole);
    data_close(&d);
  }
}

TEST(reset_forgets) {
  data_t d;
  data_open(&d, 42, 1500);
  data_fill(&d, 5.0, 3);
  fixture_t used, fresh;
  fixture_open(&used, 42, 42);
  fixture_open(&fresh, 42, 42);
  add(&used, &d, 0, 1400, 100, 0); /* leaves merged panels and pending rows */
  es_cov_reset(&used.cov);
  assert_int_equal(used.cov.n, 0);
  add(&used, &d, 700, 800, 100, 0);
  add(&fresh, &d, 700, 800, 100, 0);
  finish(&used);
  finish(&fresh);
  assert_memory_equal(used.cov.moments, fresh.cov.moments, es_cov_moments_size(42) * sizeof(double));
  fixture_close(&used);
  fixture_close(&fresh);
  data_close(&d);
}

/* Raw second moments in float would lose everything: the squared mean is 1e8 times the variance. */
TEST(mean_far_from_zero) {
  const int32_t some[] = {1, 7, 64, 130};
  for (int w = 0; w < 4; w++) {
    data_t d;
    data_open(&d, some[w], 2 * (int64_t)es_cov_panel_rows(some[w]) + 100);
    data_fill(&d, 1e4, 4);
    data_measure(&d); /* of the rows rounded to float, so that only errors of the module count */
    const double error = stream_error(&d);
    if (!(error <= 2e-6)) fail_msg("width %d at mean 1e4: error %g", some[w], error);
    data_close(&d);
  }
}

static void shift_rows(data_t *d, int64_t first, int64_t end, double by) {
  for (int64_t i = first * d->width; i < end * d->width; i++) d->rows[i] = (float)((double)d->rows[i] + by);
}

static double trace_of(const data_t *d) {
  double trace = 0.0;
  for (size_t j = 0; j < (size_t)d->width; j++) trace += d->covariance[diagonal(j)];
  return trace;
}

static double largest_difference(const data_t *d, const double *q) {
  double worst = 0.0;
  for (size_t i = 0; i < es_triangle_size(d->width); i++) {
    if (!(fabs(q[i] - d->covariance[i]) <= worst)) worst = fabs(q[i] - d->covariance[i]);
  }
  return worst;
}

/* The mean of a layer jumps by 1e4. Between two panels, Chan's formula adds the jump in double; in the middle of a
 * panel, it passes through SYRK in float. */
TEST(mean_that_jumps) {
  const int32_t some[] = {3, 16, 42, 96};
  for (int w = 0; w < 4; w++) {
    const int64_t panel = es_cov_panel_rows(some[w]), n = 3 * panel + 17;
    const int64_t places[] = {panel, panel + panel / 2, 3 * panel + 16};
    const double allowed[] = {1e-10, 1e-6, 1e-6};
    for (int p = 0; p < 3; p++) {
      data_t d;
      data_open(&d, some[w], n);
      data_fill(&d, 0.0, 5);
      shift_rows(&d, places[p], n, 1e4);
      data_measure(&d);
      fixture_t f;
      fixture_open(&f, some[w], some[w]);
      add(&f, &d, 0, n, 1000, 6);
      finish(&f);
      const double error = largest_difference(&d, f.q) / trace_of(&d);
      if (!(error <= allowed[p])) fail_msg("width %d, jump at row %lld: %g", some[w], (long long)places[p], error);
      fixture_close(&f);
      data_close(&d);
    }
  }
}

/* A dead unit must differ from a quiet one: its variance and covariances are exactly 0. */
static void check_constant_columns(int32_t width) {
  const float constants[] = {0.0f, 0.1f, -1e4f / 3.0f, 1e-30f, 3e30f};
  const int64_t n = 2 * (int64_t)es_cov_panel_rows(width) + 55;
  data_t d;
  data_open(&d, width, n);
  data_fill(&d, 1.0, 7);
  for (int64_t i = 0; i < n; i++) {
    for (int c = 0; c < 5; c++) d.rows[i * width + 2 * c] = constants[c];
  }
  fixture_t f, second;
  fixture_open(&f, width, width);
  fixture_open(&second, width, width);
  add(&f, &d, 0, n / 2, 333, 0);
  add(&second, &d, n / 2, n - n / 2, 333, 0);
  es_cov_flush(&f.cov, &f.workspace);
  es_cov_flush(&second.cov, &second.workspace);
  es_cov_merge(&f.cov, &second.cov);
  es_cov_finish(&f.cov, f.q);
  for (size_t j = 0; j < (size_t)width; j++) {
    for (size_t k = 0; k <= j; k++) {
      const double q = f.q[j * (j + 1) / 2 + k];
      if ((j < 9 && j % 2 == 0) || (k < 9 && k % 2 == 0))
        assert_true(q == 0.0);
      else
        assert_true(fabs(q) > 1e-4); /* neighbouring columns are not affected */
    }
  }
  for (int c = 0; c < 5; c++) assert_true(f.cov.moments[2 * c] == (double)constants[c]);
  fixture_close(&f);
  fixture_close(&second);
  data_close(&d);
}

TEST(constant_columns_are_exactly_zero) {
  check_constant_columns(9);
  check_constant_columns(16);
}

/* Rows of one shape at any scale: constant columns, a column of much smaller numbers, a mean that jumps, and a first
 * block of zeros. Numbers are multiples of 2^-10, so that they stay normal when they are scaled. */
static float steady(const data_t *d, int64_t i, int32_t j) {
  const float z = roundf(1024.0f * normal(21, (uint64_t)(i * d->width + j))) / 1024.0f;
  if (i < 70 || j % 7 == 3) return j % 7 == 3 ? 1.5f : 0.0f;
  return (i > d->n / 2 ? 3.0f : 0.25f) + (j % 5 == 4 ? ldexpf(z, -12) : z);
}

/* Large constant columns, alone or beside ordinary ones. Sums of the constants, and squares of their rounding errors,
 * overflow float. */
TEST(large_constants_have_no_variance) {
  const int32_t some[] = {1, 4, 16, 64, 100, 300};
  const float constants[] = {1e30f, -3e38f};
  for (size_t at = 0; at < 4 * sizeof some / sizeof *some; at++) {
    data_t d;
    data_open(&d, some[at / 4], (int64_t)es_cov_panel_rows(some[at / 4]) + 700);
    const float constant = constants[at % 2];
    const bool mixed = at / 2 % 2 == 1;
    for (int64_t i = 0; i < d.n * d.width; i++)
      d.rows[i] = mixed && i % d.width % 3 == 2 ? (float)(i / d.width % 2) : constant;
    fixture_t f;
    fixture_open(&f, d.width, d.width);
    add(&f, &d, 0, d.n, 300, 0);
    finish(&f);
    for (int32_t i = 0; i < d.width; i++) {
      for (int32_t j = 0; j <= i; j++) {
        const double expected = mixed && i % 3 == 2 && j % 3 == 2 ? 0.25 : 0.0, found = f.q[i * (i + 1) / 2 + j];
        if (!(fabs(found - expected) <= (expected > 0.0 ? 1e-3 : 0.0)))
          fail_msg("%g, width %d: element %d, %d is %g, not %g", (double)constant, d.width, i, j, found, expected);
      }
      assert_true((mixed && i % 3 == 2) || f.cov.moments[i] == (double)constant);
    }
    fixture_close(&f);
    data_close(&d);
  }
}

/* Rows multiplied by a power of two have the same digits, although their products under- or overflow float. */
TEST(any_scale_has_the_same_digits) {
  const int exponents[] = {-100, -80, -63, -40, 30, 50, 62, 80, 100, 120, 122};
  const int32_t some[] = {1, 4, 8, 9, 16, 64, 100, 300};
  for (size_t w = 0; w < sizeof some / sizeof *some; w++) {
    data_t d;
    data_open(&d, some[w], (int64_t)es_cov_panel_rows(some[w]) + 700);
    for (int64_t i = 0; i < d.n * d.width; i++) d.rows[i] = steady(&d, i / d.width, (int32_t)(i % d.width));
    fixture_t plain, f;
    fixture_open(&plain, d.width, d.width);
    fixture_open(&f, d.width, d.width);
    add(&plain, &d, 0, d.n, 300, 0);
    finish(&plain);
    for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
      data_t scaled;
      data_open(&scaled, d.width, d.n);
      for (int64_t i = 0; i < d.n * d.width; i++) scaled.rows[i] = ldexpf(d.rows[i], exponents[e]);
      es_cov_reset(&f.cov);
      add(&f, &scaled, 0, d.n, 300, 0);
      finish(&f);
      for (size_t i = 0; i < es_triangle_size(d.width); i++) {
        if (f.q[i] != ldexp(plain.q[i], 2 * exponents[e]))
          fail_msg("width %d at 2^%d: element %zu is %g, not %g", d.width, exponents[e], i, f.q[i],
                   ldexp(plain.q[i], 2 * exponents[e]));
      }
      for (int32_t j = 0; j < d.width; j++) assert_true(f.cov.moments[j] == ldexp(plain.cov.moments[j], exponents[e]));
      data_close(&scaled);
    }
    fixture_close(&plain);
    fixture_close(&f);
    data_close(&d);
  }
}

/* The scale changes within a panel and between panels; tiny columns stand beside constant ones. */
TEST(scales_that_change) {
  const int32_t some[] = {8, 9, 32, 300};
  const int steps[][4] = {{0, -80, 0, 80}, {-80, -30, 60, 0}, {90, -90, -90, 0}, {-90, -90, -90, -90}};
  for (int w = 0; w < 4; w++) {
    for (int s = 0; s < 4; s++) {
      data_t d;
      data_open(&d, some[w], 2 * (int64_t)es_cov_panel_rows(some[w]) + 100);
      data_fill(&d, 0.0, 23);
      for (int64_t i = 0; i < d.n * d.width; i++)
        d.rows[i] = i % d.width == 1 ? 0.0f : ldexpf(d.rows[i], steps[s][4 * (i / d.width) / d.n]);
      data_measure(&d);
      for (int64_t i = 0; i < d.n; i++) d.rows[i * d.width + 1] = 1.0f; /* constant as well */
      fixture_t f;
      fixture_open(&f, d.width, d.width);
      add(&f, &d, 0, d.n, 300, 0);
      finish(&f);
      const double error = largest_difference(&d, f.q) / trace_of(&d);
      if (!(error <= 3e-6)) /* MKL sums thousands of floats in one chain: 1.6e-6 */
        fail_msg("width %d, steps %d: %g", some[w], s, error);
      fixture_close(&f);
      data_close(&d);
    }
  }
}

TEST(few_rows) {
  data_t d;
  data_open(&d, 4, 2);
  data_fill(&d, 3.0, 8);
  fixture_t f;
  fixture_open(&f, 4, 4);
  f.q[0] = 42.0;
  finish(&f);
  assert_int_equal(f.cov.n, 0);
  assert_true(f.q[0] == 42.0); /* no rows: nothing was written */
  add(&f, &d, 0, 1, 1, 0);
  finish(&f);
  assert_int_equal(f.cov.n, 1);
  for (size_t i = 0; i < es_triangle_size(4); i++) assert_true(f.q[i] == 0.0);
  add(&f, &d, 1, 1, 1, 0);
  finish(&f);
  data_measure(&d);
  assert_true(error_of(&d, f.q) <= 1e-6);
  fixture_close(&f);
  data_close(&d);
}

/* `bad` in one row makes the trace, which flags the layer, non-finite, for any position of the row. */
static void check_nonfinite(int32_t width, float bad, int64_t row) {
  data_t d;
  data_open(&d, width, 2 * (int64_t)es_cov_panel_rows(width) + 5);
  data_fill(&d, 0.0, 9);
  d.rows[row * width + 13] = bad;
  fixture_t f, other;
  fixture_open(&f, width, width);
  fixture_open(&other, width, width);
  add(&f, &d, 0, d.n, 500, 0);
  finish(&f);
  assert_true(!isfinite(f.q[diagonal(13)]));
  for (size_t j = 0; j < (size_t)width; j++) {
    if (j != 13) assert_true(isfinite(f.q[diagonal(j)])); /* and identifies the column */
  }
  add(&other, &d, 0, row, 500, 0); /* finite rows only, merged in both directions */
  finish(&other);
  assert_true(isfinite(other.q[diagonal(13)]));
  es_cov_merge(&other.cov, &f.cov);
  es_cov_finish(&other.cov, other.q);
  assert_true(!isfinite(other.q[diagonal(13)]));
  fixture_close(&f);
  fixture_close(&other);
  data_close(&d);
}

TEST(nonfinite_rows_show) {
  const int32_t some[] = {20, 32};
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (int w = 0; w < 2; w++) {
    const int64_t panel = es_cov_panel_rows(some[w]), rows[] = {1, 15, panel - 1, panel + 40, 2 * panel + 4};
    for (int r = 0; r < 5; r++) {
      for (int b = 0; b < 3; b++) check_nonfinite(some[w], bad[b], rows[r]);
    }
  }
}

/* Lanes of unequal length, some empty, merged in order as by es_cov_reduce, against one pass. */
static void check_merge(int32_t width, double mean) {
  const int64_t panel = es_cov_panel_rows(width);
  const int64_t lanes[] = {0, 3, panel + 7, 0, 1, panel, 2 * panel + 5, 0};
  int64_t n = 0;
  for (int l = 0; l < 8; l++) n += lanes[l];
  data_t d;
  data_open(&d, width, n);
  data_fill(&d, mean, 10);
  shift_rows(&d, n / 2, n, 30.0); /* make lanes differ */
  data_measure(&d);
  fixture_t total, lane;
  fixture_open(&total, width, width);
  for (int64_t l = 0, first = 0; l < 8; first += lanes[l++]) {
    fixture_open(&lane, width, width);
    add(&lane, &d, first, lanes[l], 64, 0);
    es_cov_flush(&lane.cov, &lane.workspace);
    es_cov_merge(&total.cov, &lane.cov);
    fixture_close(&lane);
  }
  assert_int_equal(total.cov.n, n);
  es_cov_finish(&total.cov, total.q);
  assert_true(error_of(&d, total.q) <= 2e-6);
  /* In place is allowed too. */
  es_cov_finish(&total.cov, total.cov.moments + width);
  assert_memory_equal(total.cov.moments + width, total.q, es_triangle_size(width) * sizeof(double));
  fixture_close(&total);
  data_close(&d);
}

TEST(merge_of_lanes) {
  check_merge(1, 0.0);
  check_merge(7, 1e4);
  check_merge(42, -3.0);
  check_merge(130, 1e4);
}
