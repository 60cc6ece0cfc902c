/* Vector loops of batch norm and ReLU against naive loops. Values are small multiples of 1/4, so sums and products are
 * exact, and results must be equal for any vector width and order of sums. */
#include "../../src/model/kernels.h"
#include "eigenscope/random.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { ROWS = 100, CHANNELS = 130, TAIL = 16 };
static const size_t row_counts[] = {1, 2, 3, 7, 15, 16, 17, 33, 63, 64, 65, ROWS};

/* Inputs of all kernels: (rows, channels) and (channels), and the per-channel vectors repeated as patterns. */
typedef struct fixture {
  size_t rows, channels, n;
  float *x, *dy, *y;      /* n floats, and TAIL more that must not be written */
  float *a, *b, *c;       /* per channel */
  float *pa, *pb, *pc;    /* repeated as patterns */
  double *sums, *scratch; /* 2 × channels, 2 × pattern */
} fixture_t;

/* A multiple of 1/4 between −2 and 2. */
static float quarter(uint64_t stream, uint64_t i) {
  return (float)es_random_below(draw_word(71, stream, i), 17) * 0.25f - 2.0f;
}

static void fixture_open(fixture_t *f, size_t rows, size_t channels) {
  const size_t n = rows * channels, length = es_pattern_length(channels);
  *f = (fixture_t){.rows = rows, .channels = channels, .n = n};
  f->x = es_allocate(3 * (n + TAIL), sizeof *f->x);
  f->a = es_allocate(3 * channels, sizeof *f->a);
  f->pa = es_allocate(3 * length, sizeof *f->pa);
  f->sums = es_allocate(2 * channels, sizeof *f->sums);
  f->scratch = es_allocate(2 * length, sizeof *f->scratch);
  assert_true(f->x && f->a && f->pa && f->sums && f->scratch);
  f->dy = f->x + n + TAIL, f->y = f->dy + n + TAIL;
  f->b = f->a + channels, f->c = f->b + channels;
  f->pb = f->pa + length, f->pc = f->pb + length;
  for (size_t i = 0; i < n + TAIL; i++) {
    f->x[i] = quarter(1, i);
    f->dy[i] = quarter(2, i);
    f->y[i] = -77.0f;
  }
  for (size_t c = 0; c < channels; c++) {
    f->a[c] = 2.0f * quarter(3, c); /* gives some results above 6 */
    f->b[c] = quarter(4, c);
    f->c[c] = quarter(5, c);
  }
  es_pattern_fill(f->pa, f->a, channels);
  es_pattern_fill(f->pb, f->b, channels);
  es_pattern_fill(f->pc, f->c, channels);
  for (size_t i = 0; i < 2 * channels; i++) f->sums[i] = 1000.0; /* kernels add to existing sums */
  memset(f->scratch, 0xff, 2 * length * sizeof *f->scratch);     /* NaN: kernels must not read old scratch */
}

static void fixture_close(fixture_t *f) {
  for (size_t i = 0; i < TAIL; i++) {
    assert_true(f->x[f->n + i] == quarter(1, f->n + i));
    assert_true(f->dy[f->n + i] == quarter(2, f->n + i));
    assert_true(f->y[f->n + i] == -77.0f);
  }
  es_free(f->x);
  es_free(f->a);
  es_free(f->pa);
  es_free(f->sums);
  es_free(f->scratch);
}

/* All widths that leave a partial vector, and some that do not, with all row counts. */
static void for_all_shapes(void (*check)(fixture_t *f)) {
  for (size_t channels = 1; channels <= CHANNELS; channels += channels < 70 ? 1 : 30) {
    for (size_t r = 0; r < sizeof row_counts / sizeof *row_counts; r++) {
      fixture_t f;
      fixture_open(&f, row_counts[r], channels);
      check(&f);
      fixture_close(&f);
    }
  }
}

static void expect_equal(const fixture_t *f, double found, double expected, const char *what, size_t at) {
  if (found == expected) return;
  fail_msg("%s: %zu rows, %zu channels: element %zu is %.9g, not %.9g", what, f->rows, f->channels, at, found,
           expected);
}

TEST(patterns) {
  for (size_t channels = 1; channels <= 600; channels++) {
    const size_t length = es_pattern_length(channels);
    assert_true(length % 64 == 0 && length % channels == 0);
  }
  fixture_t f;
  fixture_open(&f, 1, 7);
  for (size_t i = 0; i < es_pattern_length(7); i++) assert_true(f.pa[i] == f.a[i % 7]);
  fixture_close(&f);
}

static void check_moments(fixture_t *f) {
  es_rows_moments(f->sums, f->x, f->rows, f->channels, f->pa, f->scratch, ES_FLOAT32);
  for (size_t c = 0; c < f->channels; c++) {
    double sum = 1000.0, square = 1000.0;
    for (size_t i = 0; i < f->rows; i++) {
      const double d = (double)f->x[i * f->channels + c] - (double)f->a[c];
      sum += d;
      square += d * d;
    }
    expect_equal(f, f->sums[c], sum, "moments", c);
    expect_equal(f, f->sums[f->channels + c], square, "moments", f->channels + c);
  }
}

static double affine(const fixture_t *f, size_t i) {
  const size_t c = i % f->channels;
  return (double)f->x[i] * (double)f->a[c] + (double)f->b[c];
}

static double activated(double v, es_activation_t activation) {
  if (activation == ES_NO_ACTIVATION) return v;
  return fmin(fmax(v, 0.0), activation == ES_RELU6 ? 6.0 : INFINITY);
}

static double masked(double g, double v, es_activation_t activation) {
  if (activation == ES_NO_ACTIVATION) return g;
  return v > 0.0 && v < (activation == ES_RELU6 ? 6.0 : INFINITY) ? g : 0.0;
}

static void check_affine(fixture_t *f) {
  for (es_activation_t a = ES_NO_ACTIVATION; a <= ES_RELU6; a++) {
    es_rows_affine(f->y, f->x, f->rows, f->channels, &(es_affine_t){f->pa, f->pb, a}, ES_FLOAT32);
    for (size_t i = 0; i < f->n; i++) expect_equal(f, (double)f->y[i], activated(affine(f, i), a), "affine", i);
    memcpy(f->y, f->x, f->n * sizeof *f->y); /* in place */
    es_rows_affine(f->y, f->y, f->rows, f->channels, &(es_affine_t){f->pa, f->pb, a}, ES_FLOAT32);
    for (size_t i = 0; i < f->n; i++) expect_equal(f, (double)f->y[i], activated(affine(f, i), a), "in place", i);
  }
}

static void check_backward_sums(fixture_t *f, const es_affine_t *affine_map) {
  for (size_t i = 0; i < 2 * f->channels; i++) f->sums[i] = -5.0;
  es_rows_backward_sums(f->sums, f->dy, f->x, f->rows, f->channels, affine_map, f->pc, f->scratch, ES_FLOAT32);
  for (size_t c = 0; c < f->channels; c++) {
    double sum = -5.0, product = -5.0;
    for (size_t i = c; i < f->n; i += f->channels) {
      const double g = masked((double)f->dy[i], affine(f, i), affine_map->activation);
      sum += g;
      product += g * ((double)f->x[i] - (double)f->c[c]);
    }
    expect_equal(f, f->sums[c], sum, "backward sums", c);
    expect_equal(f, f->sums[f->channels + c], product, "backward sums", f->channels + c);
  }
}

/* The coefficients of dx differ from those of the activation, so that a mix-up is found. */
static void check_backward_apply(fixture_t *f, const es_affine_t *affine_map, bool in_place) {
  const es_backward_t t = {f->pc, f->pa, f->pb};
  memcpy(f->y, f->dy, f->n * sizeof *f->y);
  es_rows_backward_apply(f->y, in_place ? f->y : f->dy, f->x, f->rows, f->channels, affine_map, &t, ES_FLOAT32);
  for (size_t i = 0; i < f->n; i++) {
    const size_t c = i % f->channels;
    const double g = masked((double)f->dy[i], affine(f, i), affine_map->activation);
    const double dx = (double)f->c[c] * g + (double)f->a[c] * (double)f->x[i] + (double)f->b[c];
    expect_equal(f, (double)f->y[i], dx, "backward", i);
  }
}

static void check_backward(fixture_t *f) {
  for (es_activation_t a = ES_NO_ACTIVATION; a <= ES_RELU6; a++) {
    const es_affine_t affine_map = {f->pa, f->pb, a};
    check_backward_sums(f, &affine_map);
    check_backward_apply(f, &affine_map, false);
    check_backward_apply(f, &affine_map, true);
  }
}

static void check_activation(fixture_t *f, es_activation_t a) {
  for (size_t i = 0; i < f->n; i++) f->x[i] = 4.0f * quarter(1, i);
  es_activate(f->y, f->x, f->n, a, ES_FLOAT32);
  for (size_t i = 0; i < f->n; i++) expect_equal(f, (double)f->y[i], activated((double)f->x[i], a), "activation", i);
  es_activate_backward(f->y, f->dy, f->y, f->n, a, ES_FLOAT32); /* y also holds the gate: one element at a time */
  for (size_t i = 0; i < f->n; i++)
    expect_equal(f, (double)f->y[i], masked((double)f->dy[i], (double)f->x[i], a), "activation backward", i);
  memcpy(f->y, f->dy, f->n * sizeof *f->y);
  es_activate_backward(f->y, f->y, f->x, f->n, a, ES_FLOAT32);
  for (size_t i = 0; i < f->n; i++)
    expect_equal(f, (double)f->y[i], masked((double)f->dy[i], (double)f->x[i], a), "backward in place", i);
  memcpy(f->y, f->x, f->n * sizeof *f->y);
  es_add_activate(f->y, f->y, f->dy, f->n, a, ES_FLOAT32);
  for (size_t i = 0; i < f->n; i++)
    expect_equal(f, (double)f->y[i], activated((double)f->x[i] + (double)f->dy[i], a), "sum and activation", i);
  for (size_t i = 0; i < f->n; i++) f->x[i] = quarter(1, i);
}

static void check_elementwise(fixture_t *f) {
  for (es_activation_t a = ES_NO_ACTIVATION; a <= ES_RELU6; a++) check_activation(f, a);
  memcpy(f->y, f->dy, f->n * sizeof *f->y);
  es_vector_add(f->y, f->x, f->n);
  for (size_t i = 0; i < f->n; i++) expect_equal(f, (double)f->y[i], (double)(f->dy[i] + f->x[i]), "sum", i);
}

TEST(moments) {
  for_all_shapes(check_moments);
}

TEST(affine) {
  for_all_shapes(check_affine);
}

TEST(backward) {
  for_all_shapes(check_backward);
}

TEST(elementwise) {
  for_all_shapes(check_elementwise);
}

/* Precision for inexact values: partial sums of 64 in float lose no more than this. */
TEST(moments_precision) {
  const size_t channels = 21, rows = 5000;
  float *x = es_allocate(rows * channels, sizeof *x), shift[21], pattern[1344];
  double sums[42] = {0}, scratch[2688];
  assert_non_null(x);
  assert_int_equal(es_pattern_length(channels), 1344);
  for (size_t i = 0; i < rows * channels; i++) {
    x[i] = 500.0f + draw_normal(72, 0, i);
  }
  for (size_t c = 0; c < channels; c++) shift[c] = 500.5f;
  es_pattern_fill(pattern, shift, channels);
  es_rows_moments(sums, x, rows, channels, pattern, scratch, ES_FLOAT32);
  for (size_t c = 0; c < channels; c++) {
    double sum = 0.0, square = 0.0;
    for (size_t i = 0; i < rows; i++) {
      const double d = (double)x[i * channels + c] - 500.5;
      sum += d;
      square += d * d;
    }
    assert_true(fabs(sums[c] - sum) <= 1e-7 * (double)rows);
    assert_true(fabs(sums[channels + c] - square) <= 1e-7 * square);
  }
  es_free(x);
}

/* A NaN must reach the loss: ReLU passes it on at any position of a vector. */
TEST(nan_passes) {
  for (size_t channels = 1; channels <= 35; channels += 2) {
    for (size_t at = 0; at < 3 * channels; at++) {
      fixture_t f;
      fixture_open(&f, 3, channels);
      f.x[at] = NAN;
      f.a[at % channels] = 0.5f;
      es_pattern_fill(f.pa, f.a, channels);
      for (es_activation_t a = ES_NO_ACTIVATION; a <= ES_RELU6; a++) {
        es_rows_affine(f.y, f.x, f.rows, channels, &(es_affine_t){f.pa, f.pb, a}, ES_FLOAT32);
        for (size_t i = 0; i < f.n; i++) assert_true(!isnan(f.y[i]) == (i != at));
        es_activate(f.y, f.x, f.n, a, ES_FLOAT32);
        for (size_t i = 0; i < f.n; i++) assert_true(!isnan(f.y[i]) == (i != at));
        es_add_activate(f.y, f.dy, f.x, f.n, a, ES_FLOAT32);
        for (size_t i = 0; i < f.n; i++) assert_true(!isnan(f.y[i]) == (i != at));
      }
      es_rows_moments(f.sums, f.x, f.rows, channels, f.pa, f.scratch, ES_FLOAT32);
      for (size_t c = 0; c < channels; c++) assert_true(!isnan(f.sums[c]) == (c != at % channels));
      fixture_close(&f);
    }
  }
}

TEST(first_nonfinite) {
  float x[40];
  for (int i = 0; i < 40; i++) x[i] = (float)i * 1e37f;
  x[39] = 3.4e38f;
  x[34] = x[35] = x[36] = x[37] = x[38] = -3.4e38f;
  assert_int_equal(es_first_nonfinite(x, 0, ES_FLOAT32), 0);
  assert_int_equal(es_first_nonfinite(x, 40, ES_FLOAT32), 40);
  x[33] = NAN;
  assert_int_equal(es_first_nonfinite(x, 40, ES_FLOAT32), 33);
  assert_int_equal(es_first_nonfinite(x, 33, ES_FLOAT32), 33);
  x[0] = -INFINITY;
  assert_int_equal(es_first_nonfinite(x, 40, ES_FLOAT32), 0);
}
