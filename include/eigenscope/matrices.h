/** Numbers of one weight matrix: norms, the power law of its spectrum, distances to other matrices. Not collective. */
#ifndef EIGENSCOPE_MATRICES_H
#define EIGENSCOPE_MATRICES_H

#include "eigenscope/status.h"
#include "eigenscope/watch.h"
#include <stdint.h>

/** A matrix W, row-major, of which elements are read as double. */
typedef struct es_matrix {
  int64_t rows, columns;
  /** Reads elements first … first+n−1. */
  es_code_t (*read)(const void *context, int64_t first, int64_t n, double *out, es_status_t *status);
  const void *context; /**< borrowed */
} es_matrix_t;

/** The numbers: ROW(ID, name, long name). λ are the eigenvalues of WᵀW, which are the squares of the singular values of
 * W; they are computed from WᵀW or W Wᵀ, whichever has the smaller order. The power law (powerlaw.h) is fitted to the λ
 * above n·ε·λ₁, n = min(rows, columns): smaller ones are rounding. All numbers are NaN if W has an element that is not
 * finite. A matrix of zeros, or without elements, has norms of 0, and NaN for what would divide by them. */
#define ES_MATRIX_ROWS(ROW)                                                                                            \
  ROW(FROBENIUS_NORM, frobenius_norm, "Frobenius norm, the root of the sum of squares")                                \
  ROW(SPECTRAL_NORM, spectral_norm, "spectral norm, the largest singular value")                                       \
  ROW(STABLE_RANK, stable_rank, "squared Frobenius norm over squared spectral norm")                                   \
  ROW(ALPHA, alpha, "exponent of the power law of the eigenvalues of W^T W")                                           \
  ROW(KS_DISTANCE, ks_distance, "Kolmogorov-Smirnov distance of the eigenvalues from the power law")                   \
  ROW(X_MIN, x_min, "smallest eigenvalue of the tail that the power law describes")                                    \
  ROW(TAIL, tail, "number of eigenvalues in that tail")                                                                \
  ROW(DISTANCE_FIRST, distance_first, "Frobenius norm of the difference from the first matrix")                        \
  ROW(DISTANCE_PREVIOUS, distance_previous, "Frobenius norm of the difference from the previous matrix")

#define ES_MATRIX_ID(id, name, title) ES_MATRIX_##id,
typedef enum es_matrix_number { ES_MATRIX_ROWS(ES_MATRIX_ID) ES_MATRIX_NUMBERS } es_matrix_number_t;
#undef ES_MATRIX_ID

/** "frobenius_norm": static storage. */
const char *es_matrix_number_name(es_matrix_number_t number);
const char *es_matrix_number_title(es_matrix_number_t number);

/** Computes the numbers of W. `first` and `previous` have the shape of W; NULL: this distance is NaN. Sums are in
 * double. The bits depend on the BLAS library and the CPU, on nothing else. ES_SYSTEM if out of memory or if reading
 * fails, ES_STOPPED if the watch (or NULL) says so. A matrix that no eigensolver solves keeps its Frobenius norm and
 * distances; the other numbers are NaN. */
es_code_t es_matrix_measure(double out[ES_MATRIX_NUMBERS], const es_matrix_t *w, const es_matrix_t *first,
                            const es_matrix_t *previous, const es_watch_t *watch, es_status_t *status);
/** Bytes that es_matrix_measure needs at its peak. */
int64_t es_matrix_bytes(int64_t rows, int64_t columns);
/** Floating-point operations of es_matrix_measure, about: to distribute matrices over ranks. */
double es_matrix_cost(int64_t rows, int64_t columns);

#endif
