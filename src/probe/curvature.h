/* The exact Hessian of the loss in a few directions of the feature space, for all classes and intercepts: k·(columns +
 * 1) numbers. These directions, the leading ones of the sketch, have most of the curvature, which no product of one
 * matrix for classes and one for features describes well: each class and pair of classes depends on other samples. */
#ifndef ES_PROBE_CURVATURE_H
#define ES_PROBE_CURVATURE_H

#include "rows.h"

/* Samples multiplied at once; largest order of the Hessian. */
enum { ES_CURVATURE_PANEL = 256, ES_CURVATURE_MOST = 1320 };

typedef struct curvature {
  int32_t k, columns, size; /* classes; directions, 0 if there are too many classes; k·(columns + 1) */
  float *panel, *roots;     /* (panel, size): p·(q, 1) and √p·(q, 1) with the samples' coordinates q */
  float *sum;               /* (size, size): minus the Hessian's lower half, of a lane */
  double *factor;           /* (size, size) row-major: lower Cholesky factor; on rank 0 only */
  es_owned_t owned;         /* owns the arrays above */
} curvature_t;

/* Number of directions. */
static inline int32_t es_curvature_columns(int32_t d, int32_t k) {
  const int32_t most = ES_CURVATURE_MOST / k - 1, r = d < ES_ROWS_SKETCH ? d : ES_ROWS_SKETCH;
  return most < 0 ? 0 : most < r ? most : r;
}
/* Order of the Hessian. */
static inline size_t es_curvature_size(int32_t d, int32_t k) {
  const int32_t columns = es_curvature_columns(d, k);
  return columns ? (size_t)k * ((size_t)columns + 1) : 0;
}
/* Numbers of its lower half. */
static inline size_t es_curvature_half(int32_t d, int32_t k) {
  const size_t size = es_curvature_size(d, k);
  return size * (size + 1) / 2;
}
int64_t es_curvature_bytes(int32_t d, int32_t k, bool leads);
/* Not collective. Returns ES_SYSTEM when out of memory. */
es_code_t es_curvature_create(curvature_t *out, const rows_t *rows, es_status_t *status);
void es_curvature_destroy(curvature_t *reduced);
/* Computes the Hessian at the current logits, in the directions of rows->coefficients (columns × d), from sampled rows,
 * which are the given share of all, and its factor for the penalty `l2` of the scaled rows. Returns false on rank 0 if
 * rounding made it indefinite. Collective. */
bool es_curvature_update(curvature_t *reduced, rows_t *rows, double l2, double share);
/* v = (Hessian + penalty)⁻¹ v for v (k, columns + 1). Only on rank 0, not collective. */
void es_curvature_solve(const curvature_t *reduced, double *v);

#endif
