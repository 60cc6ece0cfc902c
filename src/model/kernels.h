/* Vector loops over NHWC rows with one coefficient for each channel: the arithmetic of batch norm and ReLU. Matrices
 * are row-major, rows × channels. Coefficients are handed over as a pattern: the per-channel vector repeated `repeat`
 * times, so that narrow layers fill whole vectors too. */
#ifndef ES_MODEL_KERNELS_H
#define ES_MODEL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/** What follows a batch norm or a sum in the same pass: nothing, max(0, ·), or min(max(0, ·), 6). NaN stays NaN. */
typedef enum es_activation { ES_NO_ACTIVATION, ES_RELU, ES_RELU6 } es_activation_t;

/** Length in floats of the pattern for `channels`: a multiple of channels and of 16, at least 64. */
size_t es_pattern_length(size_t channels);
/** Repeats a per-channel vector over a pattern. */
void es_pattern_fill(float *pattern, const float *values, size_t channels);

/** sums[c] += Σ (x − shift), sums[channels + c] += Σ (x − shift)², over all rows. Partial sums of at most 64 terms are
 * float, everything above is double. `shift` is a pattern; `scratch` holds 2 × pattern doubles. */
void es_rows_moments(double *sums, const float *x, size_t rows, size_t channels, const float *shift, double *scratch);

/** y = activation(scale·x + shift). Patterns. y may be x. */
void es_rows_affine(float *y, const float *x, size_t rows, size_t channels, const float *scale, const float *shift,
                    es_activation_t activation);

/** Backward sums of batch norm and activation: g = dy where 0 < scale·x + shift (< 6) (all, without one), written over
 * dy; sums[c] += Σ g, sums[channels + c] += Σ g·(x − mean). Precision as es_rows_moments. */
void es_rows_backward_sums(double *sums, float *dy, const float *x, size_t rows, size_t channels, const float *scale,
                           const float *shift, const float *mean, es_activation_t activation, double *scratch);

/** dx = a·g + b·x + c. Patterns. dx may be g. */
void es_rows_backward_apply(float *dx, const float *g, const float *x, size_t rows, size_t channels, const float *a,
                            const float *b, const float *c);

/** y = activation(x). y may be x. */
void es_activate(float *y, const float *x, size_t n, es_activation_t activation);
/** dx = dy where 0 < y (< 6), else 0; all of dy without an activation. dx may be dy. */
void es_activate_backward(float *dx, const float *dy, const float *y, size_t n, es_activation_t activation);
/** y = activation(a + b). y may be a or b. */
void es_add_activate(float *y, const float *a, const float *b, size_t n, es_activation_t activation);
/** Max pooling of 2 × 2 positions of one sample, stride 2: x (h, w, c) to y (h/2, w/2, c), rounded down. `winner`, as
 * long as y: which of the four it was, 0 … 3 in the order of rows, the first of equals; NaN wins. */
void es_maxpool2_forward(float *y, int32_t *winner, const float *x, size_t h, size_t w, size_t c);
/** dx (h, w, c) = dy where it came from, else 0. `scratch`: 2·w·c floats. */
void es_maxpool2_backward(float *dx, const float *dy, const int32_t *winner, size_t h, size_t w, size_t c,
                          float *scratch);
/** sum += x. */
void es_vector_add(float *sum, const float *x, size_t n);
/** Index of the first NaN or Inf, or n. */
size_t es_first_nonfinite(const float *x, size_t n);

#endif
