/* Loops over panels (rows of a data matrix, row-major, without gaps) for float and for double rows. All accumulators
 * share them. */
#ifndef ES_COVARIANCE_PANEL_H
#define ES_COVARIANCE_PANEL_H

#include "eigenscope/covariance.h"
#include <stddef.h>

/** Column sums are computed in blocks of this many lines, so that the rounding error of a float sum stays small. */
enum { ES_PANEL_BLOCK = 64 };
/** Size of panels that are gathered before they are merged (es_cov_panel_rows). */
enum { ES_PANEL_FLOATS = 32768, ES_PANEL_ROWS_LEAST = 512, ES_PANEL_ROWS_MOST = 4096 };

/** out = rows − shift, sums[j] += Σ out. `work`: width numbers. `out` may be `rows`. */
void es_panel_subtract_f32(float *out, double *sums, const float *rows, size_t lines, size_t width, const float *shift,
                           float *work);
void es_panel_subtract_f64(double *out, double *sums, const double *rows, size_t lines, size_t width,
                           const double *shift, double *work);

/** Centres a panel of n ≥ 1 rows by its own means. A separate pass computes the means, so none need be known before:
 * out = rows − shift, where shift[j] is the mean rounded to the panel's type and rest[j] the mean of what remains. A
 * column of equal values becomes exactly 0. `work`: 2·width numbers of the panel's type. `out` may be `rows`. */
void es_panel_centre_f32(float *out, const float *rows, size_t n, size_t width, double *shift, double *rest,
                         float *work);
void es_panel_centre_f64(double *out, const double *rows, size_t n, size_t width, double *shift, double *rest,
                         double *work);
/** Calls the function above of that type. */
void es_panel_centre(es_real_t real, void *out, const void *rows, size_t n, size_t width, double *shift, double *rest,
                     void *work);

/** out[i] += product[i] + (a·x[i] + b·y[i]): Chan's formula for one line of the triangle. */
void es_panel_merge_line(es_real_t real, double *out, const void *product, double a, const double *x, double b,
                         const double *y, size_t n);
/** out[i] += product[i]. */
void es_panel_add(es_real_t real, double *out, const void *product, size_t n);
/** triangle += product + a_weight·a aᵀ + b_weight·b bᵀ; `product` (width × width, row-major, lower triangle). */
void es_panel_merge_f32(double *triangle, const float *product, const double *a, double a_weight, const double *b,
                        double b_weight, size_t width);
void es_panel_merge_f64(double *triangle, const double *product, const double *a, double a_weight, const double *b,
                        double b_weight, size_t width);

/** Mean of the first of n rows, used as the shift if no mean is known yet. */
void es_covariance_guess_shift(float *shift, const float *rows, int32_t n, size_t width);
/** Merges n rows whose `product` is about `shift`. `rest`: mean of the rows minus `shift`; `delta`: scratch; `width`
 * doubles each. */
void es_covariance_merge_product(es_cov_t *cov, const float *product, const float *shift, const double *rest, int64_t n,
                                 double *delta);

#endif
