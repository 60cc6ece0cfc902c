/* Vector loops over NHWC rows with one coefficient per channel: the arithmetic of batch norm and ReLU. Matrices are
 * row-major, rows × channels. Activations and their gradients (void pointers) are numbers of the precision that the
 * caller names; the arithmetic is float, and results are rounded once, to nearest even. Coefficients are passed as a
 * pattern: the per-channel vector repeated several times, so that narrow layers fill whole vectors too. */
#ifndef ES_MODEL_KERNELS_H
#define ES_MODEL_KERNELS_H

#include "eigenscope/graph.h"
#include "eigenscope/precision.h"
#include <stddef.h>
#include <stdint.h>

/** An activation in the same pass as a batch norm or a sum: none, max(0, ·), or min(max(0, ·), 6). NaN stays NaN. */
typedef enum es_activation { ES_NO_ACTIVATION, ES_RELU, ES_RELU6 } es_activation_t;

enum { ES_PATTERN_UNIT = 64 };
/** Length in floats of the pattern for `channels`: the least common multiple of channels and ES_PATTERN_UNIT. */
size_t es_pattern_length(size_t channels);
/** Repeats a per-channel vector over a pattern. */
void es_pattern_fill(float *pattern, const float *values, size_t channels);

/** sums[c] += Σ (x − shift), sums[channels + c] += Σ (x − shift)², over all rows. Partial sums of at most 64 terms are
 * float, everything above is double. `shift` is a pattern; `scratch` holds 2 × pattern doubles. */
void es_rows_moments(double *sums, const void *x, size_t rows, size_t channels, const float *shift, double *scratch,
                     es_precision_t precision);

/** Forward of batch norm with known statistics: activation(scale·x + shift). Patterns, borrowed. */
typedef struct es_affine {
  const float *scale, *shift;
  es_activation_t activation;
} es_affine_t;

/** Backward of batch norm with known sums: dx = a·g + b·x + c. Patterns, borrowed. */
typedef struct es_backward {
  const float *a, *b, *c;
} es_backward_t;

/** y = activation(scale·x + shift). y may be x. */
void es_rows_affine(void *y, const void *x, size_t rows, size_t channels, const es_affine_t *f,
                    es_precision_t precision);

/** Backward sums of batch norm and activation: sums[c] += Σ g, sums[channels + c] += Σ g·(x − mean). Here g = dy if 0 <
 * scale·x + shift (< 6 for ReLU6), else 0; without an activation g = dy. `mean` is a pattern. Precision and `scratch`
 * are those of es_rows_moments. */
void es_rows_backward_sums(double *sums, const void *dy, const void *x, size_t rows, size_t channels,
                           const es_affine_t *f, const float *mean, double *scratch, es_precision_t precision);

/** dx = a·g + b·x + c, with g of es_rows_backward_sums. dx may be dy. */
void es_rows_backward_apply(void *dx, const void *dy, const void *x, size_t rows, size_t channels, const es_affine_t *f,
                            const es_backward_t *t, es_precision_t precision);

/** y = activation(x). y may be x. */
void es_activate(void *y, const void *x, size_t n, es_activation_t activation, es_precision_t precision);
/** dx = dy if 0 < y (< 6 for ReLU6), else 0; without an activation dx = dy. dx may be dy. */
void es_activate_backward(void *dx, const void *dy, const void *y, size_t n, es_activation_t activation,
                          es_precision_t precision);
/** y = activation(a + b). y may be a or b. */
void es_add_activate(void *y, const void *a, const void *b, size_t n, es_activation_t activation,
                     es_precision_t precision);
/** y = f(x) for one of the functions of functions.h (`slope`: of leaky ReLU). y may be x. */
void es_function_apply(void *y, const void *x, size_t n, es_op_t function, float slope, es_precision_t precision);
/** dx = dy·f′(x). dx may be dy. */
void es_function_backward(void *dx, const void *dy, const void *x, size_t n, es_op_t function, float slope,
                          es_precision_t precision);
/** y = a·b, number by number. y may be a or b. */
void es_multiply(void *y, const void *a, const void *b, size_t n, es_precision_t precision);
/** Every row of a times the vector b. y may be a. */
void es_rows_multiply(void *y, const void *a, const void *b, size_t rows, size_t channels, es_precision_t precision);
/** sums[c] += Σ a·b over all rows. Partial sums of at most 64 terms are float. `part`: scratch of `channels` floats. */
void es_rows_products(double *sums, float *part, const void *a, const void *b, size_t rows, size_t channels,
                      es_precision_t precision);
/** Max pooling of 2 × 2 positions of one sample, stride 2, after batch norm and activation, without storing the
 * full-size map between them: x (h, w, c) to y (h/2, w/2, c), rounded down. `winner` and `picked` have the shape of y.
 * `winner`: index 0 … 3, row by row, of the first position with the largest scale·x + shift, where NaN is largest; 4 if
 * the activation blocks the gradient. `picked`: the winner's x, so that y is es_rows_affine of `picked`, and
 * es_rows_backward_sums of (dy, picked) equals that of all positions. `scratch`: 2·w·c floats. */
void es_maxpool2_forward(void *y, void *picked, uint8_t *winner, const void *x, size_t h, size_t w, size_t c,
                         const es_affine_t *f, float *scratch, es_precision_t precision);
/** Backward: dx (h, w, c) = a·g + b·x + c, where g is dy at the winners, else 0. `scratch`: 2·w·c floats. */
void es_maxpool2_backward(void *dx, const void *dy, const uint8_t *winner, const void *x, size_t h, size_t w, size_t c,
                          const es_backward_t *t, float *scratch, es_precision_t precision);
/** Backward of pooling alone: dx is dy at the winners, else 0. `scratch`: 2·w·c floats. */
void es_maxpool2_spread(void *dx, const void *dy, const uint8_t *winner, size_t h, size_t w, size_t c, float *scratch,
                        es_precision_t precision);
/** sum += x. */
void es_vector_add(float *sum, const float *x, size_t n);
void es_gradient_add(void *sum, const void *x, size_t n, es_precision_t precision);
/** Index of the first NaN or Inf, or n. */
size_t es_first_nonfinite(const void *x, size_t n, es_precision_t precision);
/** Copies numbers from float and to float. y may be x if `precision` is ES_FLOAT32. */
void es_round(void *y, const float *x, size_t n, es_precision_t precision);
void es_widen(float *y, const void *x, size_t n, es_precision_t precision);
/** y = the bfloat16 numbers next to x, as floats. */
void es_keep_bfloat16(float *y, const float *x, size_t n);

#endif
