#include "kernels.h"
#include "eigenscope/model.h"
#include "loops.h"
#include "number.h"
#include <math.h>

/* Float32 has one version of the loops. */
static const es_loops_t *loops_of(ES_UNUSED es_precision_t type) {
#ifdef ES_KERNEL_TARGETS
  if (type == ES_BFLOAT16 && !es_model_emulates(type)) return &es_loops_avx512bf16;
#endif
  return &es_loops_any;
}

void es_rows_moments(double *sums, const void *x, size_t rows, size_t channels, const float *shift, double *scratch,
                     es_precision_t type) {
  loops_of(type)->moments(sums, x, rows, channels, shift, scratch, type);
}

void es_rows_affine(void *y, const void *x, size_t rows, size_t channels, const es_affine_t *f, es_precision_t type) {
  loops_of(type)->affine(y, x, rows, channels, f, type);
}

void es_rows_backward_sums(double *sums, const void *dy, const void *x, size_t rows, size_t channels,
                           const es_affine_t *f, const float *mean, double *scratch, es_precision_t type) {
  loops_of(type)->backward_sums(sums, dy, x, rows, channels, f, mean, scratch, type);
}

void es_rows_backward_apply(void *dx, const void *dy, const void *x, size_t rows, size_t channels, const es_affine_t *f,
                            const es_backward_t *t, es_precision_t type) {
  loops_of(type)->backward_apply(dx, dy, x, rows, channels, f, t, type);
}

void es_activate(void *y, const void *x, size_t n, es_activation_t which, es_precision_t type) {
  loops_of(type)->activate(y, x, n, which, type);
}

void es_activate_backward(void *dx, const void *dy, const void *y, size_t n, es_activation_t which,
                          es_precision_t type) {
  loops_of(type)->activate_backward(dx, dy, y, n, which, type);
}

void es_add_activate(void *y, const void *a, const void *b, size_t n, es_activation_t which, es_precision_t type) {
  loops_of(type)->add_activate(y, a, b, n, which, type);
}

void es_maxpool2_forward(void *y, void *picked, uint8_t *winner, const void *x, size_t h, size_t w, size_t c,
                         const es_affine_t *f, float *scratch, es_precision_t type) {
  loops_of(type)->maxpool2_forward(y, picked, winner, x, h, w, c, f, scratch, type);
}

void es_maxpool2_backward(void *dx, const void *dy, const uint8_t *winner, const void *x, size_t h, size_t w, size_t c,
                          const es_backward_t *t, float *scratch, es_precision_t type) {
  loops_of(type)->maxpool2_backward(dx, dy, winner, x, h, w, c, t, scratch, type);
}

void es_maxpool2_spread(void *dx, const void *dy, const uint8_t *winner, size_t h, size_t w, size_t c, float *scratch,
                        es_precision_t type) {
  loops_of(type)->maxpool2_spread(dx, dy, winner, h, w, c, scratch, type);
}

void es_function_apply(void *y, const void *x, size_t n, es_op_t function, float slope, es_precision_t type) {
  loops_of(type)->function(y, x, n, function, slope, type);
}

void es_function_backward(void *dx, const void *dy, const void *x, size_t n, es_op_t function, float slope,
                          es_precision_t type) {
  loops_of(type)->function_backward(dx, dy, x, n, function, slope, type);
}

void es_multiply(void *y, const void *a, const void *b, size_t n, es_precision_t type) {
  loops_of(type)->multiply(y, a, b, n, type);
}

void es_rows_multiply(void *y, const void *a, const void *b, size_t rows, size_t channels, es_precision_t type) {
  loops_of(type)->multiply_rows(y, a, b, rows, channels, type);
}

void es_rows_products(double *sums, float *part, const void *a, const void *b, size_t rows, size_t channels,
                      es_precision_t type) {
  loops_of(type)->rows_products(sums, part, a, b, rows, channels, type);
}

void es_gradient_add(void *sum, const void *x, size_t n, es_precision_t type) {
  loops_of(type)->gradient_add(sum, x, n, type);
}

void es_round(void *y, const float *x, size_t n, es_precision_t type) {
  loops_of(type)->round(y, x, n, type);
}

void es_widen(float *y, const void *x, size_t n, es_precision_t type) {
  loops_of(type)->widen(y, x, n, type);
}

ES_KERNEL
void es_vector_add(float *sum, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) sum[i] += x[i];
}

size_t es_first_nonfinite(const void *x, size_t n, es_precision_t precision) {
  size_t i = 0;
  while (i < n && isfinite(es_get(x, i, precision))) i++;
  return i;
}

ES_KERNEL
void es_keep_bfloat16(float *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = es_bfloat16_widened(es_bfloat16_rounded(x[i]));
}
