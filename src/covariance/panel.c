#include "panel.h"
#include "eigenscope/kernel.h"
#include <math.h>
#include <string.h>

/* ---- scale of float panels ---- */

/* Deviations in this range have ordinary products (ES_PANEL_LEAST, ES_PANEL_MOST), also when 4096 rows are summed.
 * Values up to LARGEST can be summed and subtracted. */
static const double LEAST = 0x1p-29, MOST = 0x1p50;
enum { LARGEST = 100 }; /* exponent */

/* Exponent that moves the deviations close to 1, and leaves the values below 2^LARGEST. */
static int exponent_of(double deviation, double value) {
  if (!(deviation > 0.0 && isfinite(value))) return 0;
  const int up = -ilogb(deviation), room = LARGEST - ilogb(value);
  const bool fits = deviation >= LEAST && deviation <= MOST && room >= 0;
  return fits ? 0 : up < room ? up : room;
}

int es_panel_exponent(const float *rows, size_t n, size_t width, const double *centre, double before) {
  enum { COLUMNS = 16 };
  double deviation = before, value = before;
  for (size_t first = 0; first < width; first += COLUMNS) {
    const size_t count = width - first < COLUMNS ? width - first : COLUMNS;
    float low[COLUMNS], high[COLUMNS];
    memcpy(low, rows + first, count * sizeof *low);
    memcpy(high, low, count * sizeof *high);
    for (size_t i = 1; i < n; i++) {
      const float *row = rows + i * width + first;
      for (size_t j = 0; j < count; j++) {
        low[j] = row[j] < low[j] ? row[j] : low[j];
        high[j] = row[j] > high[j] ? row[j] : high[j];
      }
    }
    for (size_t j = 0; j < count; j++) {
      const double from = centre ? fmin((double)low[j], centre[first + j]) : (double)low[j];
      const double to = centre ? fmax((double)high[j], centre[first + j]) : (double)high[j];
      if (to - from > deviation) deviation = to - from; /* fmax of a float in a loop crashes GCC 12 for ARM */
      value = fmax(value, fmax(fabs(from), fabs(to)));
    }
  }
  return exponent_of(deviation, value);
}

ES_KERNEL
static void multiply(float *out, const float *rows, size_t n, float factor) {
#pragma GCC ivdep
  for (size_t i = 0; i < n; i++) out[i] = factor * rows[i];
}

void es_panel_scale(float *out, const float *rows, size_t n, int exponent) {
  const int half = exponent / 2; /* 2^exponent itself can be beyond float's range */
  multiply(out, rows, n, ldexpf(1.0f, half));
  multiply(out, out, n, ldexpf(1.0f, exponent - half));
}

/* Largest |value|; larger than any float if a value is not finite. As integers, because the compiler does not vectorise
 * a largest float. */
ES_KERNEL
static double largest_f32(const float *values, size_t n) {
  uint32_t most = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    bits &= INT32_MAX;
    most = bits > most ? bits : most;
  }
  float value;
  memcpy(&value, &most, sizeof value);
  return isfinite(value) ? (double)value : INFINITY;
}

/* For panel_real.h: float is scaled, double is not. */
#define scale_f32 es_panel_scale
static double largest_f64(ES_UNUSED const double *values, ES_UNUSED size_t n) {
  return 1.0;
}
static void scale_f64(ES_UNUSED double *out, ES_UNUSED const double *rows, ES_UNUSED size_t n, ES_UNUSED int exponent) {
}

#define REAL           float
#define NAME(function) function##_f32
#include "panel_real.h"
#undef REAL
#undef NAME

#define REAL           double
#define NAME(function) function##_f64
#include "panel_real.h"
#undef REAL
#undef NAME

int es_panel_centre(es_real_t real, void *out, const void *rows, size_t n, size_t width, double *shift, double *rest,
                    void *work) {
  return real == ES_REAL_F64 ? es_panel_centre_f64(out, rows, n, width, shift, rest, work)
                             : es_panel_centre_f32(out, rows, n, width, shift, rest, work);
}

void es_panel_merge_line(es_real_t real, double *out, const void *product, const es_panel_terms_t *terms, size_t n) {
  if (real == ES_REAL_F64)
    merge_line_f64(out, product, terms, n);
  else
    merge_line_f32(out, product, terms, n);
}

void es_panel_add(es_real_t real, double *out, const void *product, double scale, size_t n) {
  if (real == ES_REAL_F64)
    add_line_f64(out, product, scale, n);
  else
    add_line_f32(out, product, scale, n);
}

/* A panel has about 128 KiB, which stays in the second-level cache between centring and SYRK. It has at least 512 rows,
 * so that merging d²/2 doubles costs little compared with SYRK. */
int32_t es_cov_panel_rows(int32_t width) {
  int32_t rows = ES_PANEL_ROWS_MOST;
  while (rows > ES_PANEL_ROWS_LEAST && (int64_t)rows * width > ES_PANEL_FLOATS) rows /= 2;
  return rows;
}

void es_covariance_guess_shift(float *shift, const float *rows, int32_t n, size_t width) {
  const int32_t few = n < 16 ? n : 16;
  for (size_t j = 0; j < width; j++) {
    float sum = 0.0f;
    for (int32_t i = 0; i < few; i++) sum += rows[(size_t)i * width + j];
    /* Sums of large numbers overflow or are rounded so much that the square of the error overflows. */
    shift[j] = fabsf(sum) > 0x1p80f ? rows[j] : sum / (float)few;
  }
}

void es_covariance_merge_product(es_cov_t *cov, const es_panel_product_t *panel, double *delta) {
  /* The product about the panel's own mean is smaller by n·r rᵀ, where r = rest. Chan's formula adds a term for the
   * distance δ between the panel's mean and the mean so far. */
  const size_t d = (size_t)cov->width;
  double *mean = cov->moments, *rest = panel->rest;
  const double share = (double)panel->n / (double)(cov->n + panel->n), unit = es_panel_unit(-panel->exponent);
  for (size_t j = 0; j < d; j++) {
    rest[j] *= unit;
    delta[j] = (double)panel->shift[j] * unit + rest[j] - mean[j];
  }
  const es_panel_terms_t terms = {
      .scale = unit * unit, .a_weight = -(double)panel->n, .a = rest, .b_weight = (double)cov->n * share, .b = delta};
  es_panel_merge_f32(mean + d, panel->product, &terms, d);
  for (size_t j = 0; j < d; j++) mean[j] += share * delta[j];
  cov->n += panel->n;
}
