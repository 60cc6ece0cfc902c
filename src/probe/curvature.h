/* The exact Hessian of the loss in a few directions of the feature space, for all classes and intercepts: k·(columns +
 * 1) numbers. These directions, the leading ones of the sketch, have most of the curvature, which no product of one
 * matrix for classes and one for features describes well: each class and pair of classes depends on other samples. */
#ifndef ES_PROBE_CURVATURE_H
#define ES_PROBE_CURVATURE_H

#include "rows.h"

/* Samples multiplied at once; largest order of the Hessian; most classes whose pairs are summed one by one. */
enum { ES_CURVATURE_PANEL = 1280, ES_CURVATURE_MOST = 1320, ES_CURVATURE_PAIRED = 16 };

/* With few classes the Hessian is Σ over pairs of classes a < b of (e_a − e_b)(e_a − e_b)ᵀ ⊗ G_ab with G_ab = Σ p_a·p_b
 * q·qᵀ over the samples, because diag p − p·pᵀ is the Laplacian of the graph with the weights p_a·p_b. Each sample
 * distinguishes few classes, so most weights are negligible and are left out; the rest stays positive semidefinite.
 * With many classes it is Σ (diag p − p·pᵀ) ⊗ q·qᵀ. */
typedef struct curvature {
  int32_t k, columns, size; /* classes; directions, 0 if there are too many classes; k·(columns + 1) */
  bool paired;              /* by pairs of classes */
  float *panel, *roots;     /* paired: (panel, columns + 1): (q, 1) with the samples' coordinates q; scaled copies.
                               Else (panel, size): p·(q, 1) and √p·(q, 1) */
  float *shares;            /* (k, panel): p, if paired */
  float *sum;               /* lower half of a lane's G_ab (columns + 1)², or of minus the Hessian (size, size) */
  double *factor;           /* (size, size) row-major: lower Cholesky factor; on rank 0 only */
  es_owned_t owned;         /* owns the arrays above */
} curvature_t;

static inline bool es_curvature_paired(int32_t k) {
  return k <= ES_CURVATURE_PAIRED;
}
/* Number of directions. */
static inline int32_t es_curvature_columns(int32_t d, int32_t k) {
  const int32_t most = ES_CURVATURE_MOST / k - 1, r = es_rows_directions(d);
  return most < 0 ? 0 : most < r ? most : r;
}
/* Order of the Hessian. */
static inline size_t es_curvature_size(int32_t d, int32_t k) {
  const int32_t columns = es_curvature_columns(d, k);
  return columns ? (size_t)k * ((size_t)columns + 1) : 0;
}
/* Numbers that a lane sums: the lower halves of all G_ab, or of the Hessian. */
static inline size_t es_curvature_sums(int32_t d, int32_t k) {
  const size_t size = es_curvature_size(d, k), block = size / (size_t)k, pairs = (size_t)k * ((size_t)k - 1) / 2;
  return es_curvature_paired(k) ? pairs * block * (block + 1) / 2 : size * (size + 1) / 2;
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
