/* Numbers of weight matrices: against known singular values, and the fit of power laws against its definition. */
#include "eigenscope/matrices.h"
#include "eigenscope/powerlaw.h"
#include "support/draw.h"
#include "support/unit.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>

static void assert_near(double value, double expected, double tolerance) {
  if (!(fabs(value - expected) <= tolerance * fabs(expected))) fail_msg("%.17g instead of %.17g", value, expected);
}

/* ---- power laws ---- */

/* The same, candidate by candidate from the smallest. */
static es_powerlaw_t naive(const double *values, int n) {
  es_powerlaw_t best = {NAN, INFINITY, NAN, 0};
  for (int m = n; m > 1; m--) {
    if ((m < n && values[m] == values[m - 1]) || values[m - 1] == values[0]) continue;
    double sum = 0.0, distance = 0.0;
    for (int j = 0; j < m; j++) sum += log(values[j] / values[m - 1]);
    const double alpha = 1.0 + m / sum;
    for (int j = 0; j < m; j++) {
      int less = 0;
      for (int k = 0; k < m; k++) less += values[k] < values[j];
      distance = fmax(distance, fabs((double)less / m - 1.0 + pow(values[j] / values[m - 1], 1.0 - alpha)));
    }
    if (distance < best.distance) best = (es_powerlaw_t){alpha, distance, values[m - 1], m};
  }
  return best;
}

static int descending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

TEST(definition) {
  enum { N = 200 };
  double values[N], room[N];
  for (uint64_t stream = 0; stream < 40; stream++) {
    const int n = 2 + (int)(stream * stream) % (N - 1);
    for (int i = 0; i < n; i++) {
      const double u = (double)draw_unit(5, stream, (uint64_t)i);
      values[i] = stream % 3 == 0 ? pow(1.0 - u, -1.0 / 1.5) : stream % 3 == 1 ? 1e-6 + u : 1.0 + floor(8.0 * u);
    }
    qsort(values, (size_t)n, sizeof *values, descending);
    es_powerlaw_t law;
    const es_powerlaw_t expected = naive(values, n);
    es_powerlaw_fit(&law, values, n, room);
    assert_near(law.alpha, expected.alpha, 1e-9);
    assert_near(law.distance, expected.distance, 1e-9);
    assert_true(law.x_min == expected.x_min && law.tail == expected.tail);
  }
}

TEST(no_law) {
  double room[3];
  es_powerlaw_t law;
  for (int n = 0; n <= 3; n++) {
    es_powerlaw_fit(&law, (double[]){2.0, 2.0, 2.0}, n, room);
    assert_true(isnan(law.alpha) && isnan(law.distance) && isnan(law.x_min) && law.tail == 0);
  }
}

/* ---- matrices ---- */

static es_code_t read_array(const void *context, int64_t first, int64_t n, double *out, ES_UNUSED es_status_t *status) {
  for (int64_t i = 0; i < n; i++) out[i] = ((const double *)context)[first + i];
  return ES_OK;
}

static void measure(double out[ES_MATRIX_NUMBERS], const double *elements, int64_t rows, int64_t columns) {
  const es_matrix_t w = {rows, columns, read_array, elements};
  es_status_t status = {0};
  assert_int_equal(es_matrix_measure(out, &w, NULL, NULL, NULL, &status), ES_OK);
}

/* Householder reflections H = I − 2vvᵀ/vᵀv of a diagonal matrix: known singular values 1, 1/2, 1/3, … A matrix of 9 ×
 * 20,000 has several panels in either direction. */
static double *example(int64_t rows, int64_t columns) {
  double *w = calloc((size_t)(rows * columns), sizeof *w), *v = calloc((size_t)columns, sizeof *v), norm = 0.0;
  assert_true(w != NULL && v != NULL);
  for (int64_t i = 0; i < columns; i++) v[i] = (double)draw_unit(6, 0, (uint64_t)i) - 0.5;
  for (int64_t i = 0; i < columns; i++) norm += v[i] * v[i];
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < columns; c++)
      w[r * columns + c] = ((r == c ? 1.0 : 0.0) - 2.0 * v[r] * v[c] / norm) / (double)(r + 1);
  }
  free(v);
  return w;
}

TEST(known_singular_values) {
  enum { ROWS = 9, COLUMNS = 20000 };
  double *wide = example(ROWS, COLUMNS), *tall = calloc(ROWS * COLUMNS, sizeof *tall), squares = 0.0;
  double values[ROWS], room[ROWS], numbers[2][ES_MATRIX_NUMBERS];
  es_powerlaw_t law;
  assert_non_null(tall);
  for (int64_t i = 0; i < ROWS * COLUMNS; i++) tall[i % COLUMNS * ROWS + i / COLUMNS] = wide[i];
  measure(numbers[0], wide, ROWS, COLUMNS);
  measure(numbers[1], tall, COLUMNS, ROWS);
  for (int r = 0; r < ROWS; r++) values[r] = 1.0 / (r + 1) / (r + 1), squares += values[r];
  es_powerlaw_fit(&law, values, ROWS, room);
  const double expected[] = {sqrt(squares), 1.0, squares, law.alpha, law.distance, law.x_min, (double)law.tail};
  for (int k = 0; k <= ES_MATRIX_TAIL; k++) {
    assert_near(numbers[0][k], expected[k], 1e-12);
    assert_near(numbers[1][k], expected[k], 1e-12);
  }
  free(wide);
  free(tall);
}

TEST(scales) {
  double *w = example(5, 7), plain[ES_MATRIX_NUMBERS], scaled[ES_MATRIX_NUMBERS];
  measure(plain, w, 5, 7);
  for (int exponent = -900; exponent <= 900; exponent += 300) {
    double other[35];
    for (int i = 0; i < 35; i++) other[i] = ldexp(w[i], exponent);
    measure(scaled, other, 5, 7);
    assert_near(scaled[ES_MATRIX_FROBENIUS_NORM], ldexp(plain[ES_MATRIX_FROBENIUS_NORM], exponent), 1e-15);
    assert_near(scaled[ES_MATRIX_SPECTRAL_NORM], ldexp(plain[ES_MATRIX_SPECTRAL_NORM], exponent), 1e-14);
    assert_near(scaled[ES_MATRIX_STABLE_RANK], plain[ES_MATRIX_STABLE_RANK], 1e-13);
    assert_near(scaled[ES_MATRIX_ALPHA], plain[ES_MATRIX_ALPHA], 1e-11);
  }
  free(w);
}

TEST(degenerate) {
  double numbers[ES_MATRIX_NUMBERS];
  const double zeros[6] = {0}, one = -3.0, broken[] = {1.0, NAN, INFINITY, 2.0};
  measure(numbers, zeros, 2, 3);
  for (int k = 0; k < ES_MATRIX_NUMBERS; k++)
    assert_true(k <= ES_MATRIX_SPECTRAL_NORM ? numbers[k] == 0.0 : isnan(numbers[k]));
  measure(numbers, NULL, 0, 5);
  assert_true(numbers[ES_MATRIX_FROBENIUS_NORM] == 0.0 && isnan(numbers[ES_MATRIX_STABLE_RANK]));
  measure(numbers, &one, 1, 1);
  assert_true(numbers[ES_MATRIX_SPECTRAL_NORM] == 3.0 && numbers[ES_MATRIX_STABLE_RANK] == 1.0);
  assert_true(isnan(numbers[ES_MATRIX_ALPHA]) && isnan(numbers[ES_MATRIX_TAIL]));
  measure(numbers, broken, 2, 2);
  for (int k = 0; k < ES_MATRIX_NUMBERS; k++) assert_true(isnan(numbers[k]));
}

static bool stop(ES_UNUSED void *context) {
  return true;
}

TEST(stops) {
  double *w = example(3, 4), numbers[ES_MATRIX_NUMBERS];
  const es_matrix_t matrix = {3, 4, read_array, w};
  const es_watch_t watch = {.stop = stop};
  es_status_t status = {0};
  assert_int_equal(es_matrix_measure(numbers, &matrix, NULL, NULL, &watch, &status), ES_STOPPED);
  free(w);
}

TEST(names) {
  assert_string_equal(es_matrix_number_name(ES_MATRIX_ALPHA), "alpha");
  assert_string_equal(es_matrix_number_title(ES_MATRIX_SPECTRAL_NORM), "spectral norm, the largest singular value");
  assert_true(es_matrix_bytes(50000, 50000) > 3LL * 8 * 50000 * 50000 / 2);
  assert_true(es_matrix_bytes(50257, 768) < 100 << 20);
  assert_true(es_matrix_cost(4096, 25088) > es_matrix_cost(4096, 4096));
}
