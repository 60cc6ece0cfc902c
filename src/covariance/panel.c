#include "panel.h"
#include "eigenscope/kernel.h"
#include <string.h>

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

void es_panel_centre(es_real_t real, void *out, const void *rows, size_t n, size_t width, double *shift, double *rest,
                     void *work) {
  if (real == ES_REAL_F64)
    es_panel_centre_f64(out, rows, n, width, shift, rest, work);
  else
    es_panel_centre_f32(out, rows, n, width, shift, rest, work);
}

void es_panel_merge_line(es_real_t real, double *out, const void *product, double a, const double *x, double b,
                         const double *y, size_t n) {
  if (real == ES_REAL_F64)
    merge_line_f64(out, product, a, x, b, y, n);
  else
    merge_line_f32(out, product, a, x, b, y, n);
}

void es_panel_add(es_real_t real, double *out, const void *product, size_t n) {
  if (real == ES_REAL_F64)
    add_line_f64(out, product, n);
  else
    add_line_f32(out, product, n);
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
    shift[j] = sum / (float)few;
  }
}

void es_covariance_merge_product(es_cov_t *cov, const float *product, const float *shift, const double *rest, int64_t n,
                                 double *delta) {
  /* The product about the panel's own mean is smaller by n·r rᵀ, where r = rest. Chan's formula adds a term for the
   * distance δ between the panel's mean and the mean so far. */
  const size_t d = (size_t)cov->width;
  double *mean = cov->moments;
  const double share = (double)n / (double)(cov->n + n);
  for (size_t j = 0; j < d; j++) delta[j] = (double)shift[j] + rest[j] - mean[j];
  es_panel_merge_f32(mean + d, product, rest, -(double)n, delta, (double)cov->n * share, d);
  for (size_t j = 0; j < d; j++) mean[j] += share * delta[j];
  cov->n += n;
}
