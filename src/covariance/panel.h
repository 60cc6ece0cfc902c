/* Loops over panels (rows of a data matrix, row-major, without gaps) for float and for double rows. All accumulators
 * share them. */
#ifndef ES_COVARIANCE_PANEL_H
#define ES_COVARIANCE_PANEL_H

#include "eigenscope/covariance.h"
#include <math.h>
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
 * out = (rows − shift)·2^e, where shift[j] is the mean rounded to the panel's type, and rest[j] the mean of rows −
 * shift. Returns e: 0 for double, and for float unless products of these numbers would under- or overflow. A column of
 * equal values becomes exactly 0. `work`: 2·width numbers of the panel's type. `out` may be `rows`. */
int es_panel_centre_f32(float *out, const float *rows, size_t n, size_t width, double *shift, double *rest,
                        float *work);
int es_panel_centre_f64(double *out, const double *rows, size_t n, size_t width, double *shift, double *rest,
                        double *work);
/** Calls the function above of that type. */
int es_panel_centre(es_real_t real, void *out, const void *rows, size_t n, size_t width, double *shift, double *rest,
                    void *work);

/** The terms that Chan's formula adds to a product, and the scale of the product. */
typedef struct es_panel_terms {
  double scale; /* power of two */
  double a_weight, b_weight;
  const double *a, *b; /* borrowed */
} es_panel_terms_t;

/** out[i] += scale·product[i] + (a_weight·a[i] + b_weight·b[i]): Chan's formula for one line of the triangle. */
void es_panel_merge_line(es_real_t real, double *out, const void *product, const es_panel_terms_t *terms, size_t n);
/** out[i] += scale·product[i]. */
void es_panel_add(es_real_t real, double *out, const void *product, double scale, size_t n);
/** triangle += scale·product + a_weight·a aᵀ + b_weight·b bᵀ; `product` (width × width, row-major, lower triangle). */
void es_panel_merge_f32(double *triangle, const float *product, const es_panel_terms_t *terms, size_t width);
void es_panel_merge_f64(double *triangle, const double *product, const es_panel_terms_t *terms, size_t width);

/* ---- scale of float panels: products of float under- and overflow, so rows are multiplied by a power of two ---- */

/** Products are ordinary if the largest sum of squares of a column is in this range: none of them overflowed, and those
 * that underflowed are too small to change the covariance. */
#define ES_PANEL_LEAST 0x1p-60
#define ES_PANEL_MOST  0x1p120

/** Bits that describe a panel, judged by its products. FITS: the mean of the deviations is so small relative to them
 * that float loses at most one digit of the deviations about this mean. ORDINARY: see above. */
enum { ES_PANEL_FITS = 1, ES_PANEL_ORDINARY = 2 };

/** 2^exponent; without a call for 0, because panels of narrow rows take less than a microsecond. */
static inline double es_panel_unit(int exponent) {
  return exponent == 0 ? 1.0 : ldexp(1.0, exponent);
}
/** Returns an exponent e such that rows·2^e have ordinary products. Returns 0 if the rows themselves have, if no column
 * varies, or if a value is not finite. `centre`: the values that are subtracted later, `width` of them, or NULL.
 * `before`: deviation of earlier rows that are multiplied with the same exponent, or 0. A pure function of the largest
 * values, so it does not depend on the order of rows. */
int es_panel_exponent(const float *rows, size_t n, size_t width, const double *centre, double before);
/** out = rows·2^exponent, n numbers; `out` may be `rows`. */
void es_panel_scale(float *out, const float *rows, size_t n, int exponent);

/** Mean of the first of n rows, used as the shift if no mean is known yet. */
void es_covariance_guess_shift(float *shift, const float *rows, int32_t n, size_t width);
/** A product of rows that es_covariance_merge_product merges. */
typedef struct es_panel_product {
  const float *product; /* Σ d dᵀ of d = row·2^exponent − shift; borrowed */
  const float *shift;   /* borrowed */
  double *rest;         /* mean of d; overwritten; borrowed */
  int exponent;
  int64_t n; /* rows */
} es_panel_product_t;
/** `delta`: scratch, `width` doubles. */
void es_covariance_merge_product(es_cov_t *cov, const es_panel_product_t *panel, double *delta);

#endif
