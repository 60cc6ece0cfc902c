/* The loops behind kernels.h (loops_rows.h, loops_functions.h, loops_maxpool.h), compiled twice: for any CPU and both
 * precisions, and for bfloat16 on CPUs that round with an instruction. A file that compiles them defines LOOP, the
 * attribute of functions, and IN_GROUPS: 1 if rounding group by group is faster. */
#ifndef ES_MODEL_LOOPS_H
#define ES_MODEL_LOOPS_H

#include "kernels.h"

typedef struct es_loops {
  void (*moments)(double *sums, const void *x, size_t rows, size_t channels, const float *shift, double *scratch,
                  es_precision_t type);
  void (*affine)(void *y, const void *x, size_t rows, size_t channels, const es_affine_t *f, es_precision_t type);
  void (*backward_sums)(double *sums, const void *dy, const void *x, size_t rows, size_t channels, const es_affine_t *f,
                        const float *mean, double *scratch, es_precision_t type);
  void (*backward_apply)(void *dx, const void *dy, const void *x, size_t rows, size_t channels, const es_affine_t *f,
                         const es_backward_t *t, es_precision_t type);
  void (*activate)(void *y, const void *x, size_t n, es_activation_t which, es_precision_t type);
  void (*activate_backward)(void *dx, const void *dy, const void *y, size_t n, es_activation_t which,
                            es_precision_t type);
  void (*add_activate)(void *y, const void *a, const void *b, size_t n, es_activation_t which, es_precision_t type);
  void (*maxpool2_forward)(void *y, void *picked, uint8_t *winner, const void *x, size_t h, size_t w, size_t c,
                           const es_affine_t *f, float *scratch, es_precision_t type);
  void (*maxpool2_backward)(void *dx, const void *dy, const uint8_t *winner, const void *x, size_t h, size_t w,
                            size_t c, const es_backward_t *t, float *scratch, es_precision_t type);
  void (*maxpool2_spread)(void *dx, const void *dy, const uint8_t *winner, size_t h, size_t w, size_t c, float *scratch,
                          es_precision_t type);
  void (*gradient_add)(void *sum, const void *x, size_t n, es_precision_t type);
  void (*round)(void *y, const float *x, size_t n, es_precision_t type);
  void (*widen)(float *y, const void *x, size_t n, es_precision_t type);
  void (*function)(void *y, const void *x, size_t n, es_op_t which, float slope, es_precision_t type);
  void (*function_backward)(void *dx, const void *dy, const void *x, size_t n, es_op_t which, float slope,
                            es_precision_t type);
  void (*multiply)(void *y, const void *a, const void *b, size_t n, es_precision_t type);
  void (*multiply_rows)(void *y, const void *a, const void *b, size_t rows, size_t channels, es_precision_t type);
  void (*rows_products)(double *sums, float *part, const void *a, const void *b, size_t rows, size_t channels,
                        es_precision_t type);
} es_loops_t;
extern const es_loops_t es_loops_any, es_loops_avx512bf16;

#endif
