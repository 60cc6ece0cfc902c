/* Checks and norms that all backends share. */
#ifndef ES_SPECTRUM_INTERNAL_H
#define ES_SPECTRUM_INTERNAL_H

#include "eigenscope/lapack.h"
#include "eigenscope/spectrum.h"
#include <stddef.h>

#ifdef ES_ELPA
extern const es_spectrum_backend_t es_spectrum_elpa;
#endif

/* Norms of a matrix, computed before the solve. */
typedef struct es_matrix_norms {
  double trace, frobenius, largest; /* largest: max |element| */
  double scale;                     /* es_spectrum_scale(largest) */
} es_matrix_norms_t;
es_matrix_norms_t es_spectrum_triangle_norms(const double *triangle, int32_t order);
/* Power of two that scales the largest element close to 1: exact, and prevents over- and underflow of squares. */
double es_spectrum_scale(double largest);
/* Checks |Σλ − tr Q| ≤ tol and |√Σλ² − ‖Q‖_F| ≤ tol with tol = 100·n·ε·‖Q‖_F. */
es_code_t es_spectrum_check_values(const char *routine, int32_t order, const es_matrix_norms_t *norms,
                                   const double *values, es_status_t *status);

/* Checks the largest residual of the vectors and the largest |VVᵀ − I| against their limits. */
es_code_t es_spectrum_check_vectors(const char *routine, int32_t order, const es_matrix_norms_t *norms, double residual,
                                    double orthogonality, es_status_t *status);

/* Flips the signs of n vectors of `order` components so that each vector's largest component is positive. */
void es_spectrum_fix_signs(double *rows, int32_t n, int32_t order);
void es_spectrum_reverse(double *values, int32_t n);
es_code_t es_spectrum_out_of_memory(int32_t order, es_status_t *status);

/* Computes the values of a symmetric band matrix, descending, on one rank (lapack.c). `band`: (width + 1) × n,
 * column-major, LAPACK's lower storage: element (i, j) at i − j + j·(width + 1); overwritten. */
es_code_t es_spectrum_band_values(double *band, int32_t n, int width, double *values, es_status_t *status);

#endif
