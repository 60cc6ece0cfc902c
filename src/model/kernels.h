/* Vector loops over NHWC rows with one coefficient for each channel: the arithmetic of batch norm and ReLU. Matrices
 * are row-major, rows × channels. Coefficients are handed over as a pattern: the per-channel vector repeated `repeat`
 * times, so that narrow layers fill whole vectors too. */
#ifndef ES_MODEL_KERNELS_H
#define ES_MODEL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/** Length in floats of the pattern for `channels`: a multiple of channels and of 16, at least 64. */
size_t es_pattern_length(size_t channels);
/** Repeats a per-channel vector over a pattern. */
void es_pattern_fill(float *pattern, const float *values, size_t channels);

/** sums[c] += Σ (x − shift), sums[channels + c] += Σ (x − shift)², over all rows. Partial sums of at most 64 terms are
 * float, everything above is double. `shift` is a pattern; `scratch` holds 2 × pattern doubles. */
void es_rows_moments(double *sums, const float *x, size_t rows, size_t channels, const float *shift, double *scratch);

/** y = scale·x + shift, and with relu max(0, ·) (NaN stays NaN). Patterns. y may be x. */
void es_rows_affine(float *y, const float *x, size_t rows, size_t channels, const float *scale, const float *shift,
                    int relu);

/** Backward sums of batch norm (+ ReLU): g = dy where scale·x + shift > 0 (all, without relu), written over dy;
 * sums[c] += Σ g, sums[channels + c] += Σ g·(x − mean). Precision as es_rows_moments. */
void es_rows_backward_sums(double *sums, float *dy, const float *x, size_t rows, size_t channels, const float *scale,
                           const float *shift, const float *mean, int relu, double *scratch);

/** dx = a·g + b·x + c. Patterns. dx may be g. */
void es_rows_backward_apply(float *dx, const float *g, const float *x, size_t rows, size_t channels, const float *a,
                            const float *b, const float *c);

/** y = max(0, x), NaN stays NaN. */
void es_relu_forward(float *y, const float *x, size_t n);
/** dx = dy where y > 0, else 0. dx may be dy. */
void es_relu_backward(float *dx, const float *dy, const float *y, size_t n);
/** sum += x. */
void es_vector_add(float *sum, const float *x, size_t n);
/** Index of the first NaN or Inf, or n. */
size_t es_first_nonfinite(const float *x, size_t n);

#endif
