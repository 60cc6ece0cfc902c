/** Streaming covariance of the rows of a data matrix.
 *
 *   Q = 1/n Σ (x − m)(x − m)ᵀ
 *
 * Rows are gathered into panels of a fixed number of rows (by width alone; where our own products serve, fewer if the
 * mean jumps), each panel is centred and multiplied by SYRK in float, and merged into double by the pairwise formula of
 * Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances", 1979, eq. 2.1).
 * Where panels are cut depends only on the rows that came before in the same accumulator, so one accumulator for each
 * lane gives the same bits on any number of ranks.
 *
 * Range: products of deviations pass through float, so a column deviates by at most about 1e17 (beyond, Q is not
 * finite) and at least about 1e-17 (below 1e-23, Q is 0). A column whose rows are all equal has variance 0 exactly.
 *
 * Triangles are packed: lower triangle by rows, element (i, j ≤ i) at i(i+1)/2 + j. */
#ifndef EIGENSCOPE_COVARIANCE_H
#define EIGENSCOPE_COVARIANCE_H

#include "eigenscope/comm.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/status.h"
#include <stddef.h>
#include <stdint.h>

/** Type of the numbers in rows. */
typedef enum es_real { ES_REAL_F32, ES_REAL_F64 } es_real_t;

/** Bytes of a number. */
static inline size_t es_real_size(es_real_t real) {
  return real == ES_REAL_F64 ? sizeof(double) : sizeof(float);
}

/** Accumulator of one layer and one lane. */
typedef struct es_cov {
  int32_t width; /**< columns d */
  es_real_t real;
  int64_t n;                          /**< rows merged so far (after es_cov_flush: all) */
  double *moments;                    /**< owned; d means, then the packed triangle of Σ (x − m)(x − m)ᵀ */
  void *panel;                        /**< owned; rows that wait for a full panel or block, row-major */
  int32_t panel_rows;                 /**< rows waiting */
  struct es_narrow_accumulator *open; /**< owned; the panel under way where rows are multiplied as they come, or NULL */
} es_cov_t;

/** Scratch that all accumulators of a rank share: for rows of one type. */
typedef struct es_cov_workspace {
  int32_t width; /**< largest it serves */
  es_real_t real;
  void *centred; /**< owned; one panel */
  void *product; /**< owned; d × d */
  void *shift;   /**< owned; pattern of what is subtracted, then scratch */
  double *sums;  /**< owned */
} es_cov_workspace_t;

/** Rows of a panel: at least 512, more for narrow layers. */
int32_t es_cov_panel_rows(int32_t width);
/** Doubles in `moments`: d + d(d+1)/2. */
static inline size_t es_cov_moments_size(int32_t width) {
  return (size_t)width + es_triangle_size(width);
}

/** ES_SYSTEM when memory is out. */
es_code_t es_cov_workspace_create(es_cov_workspace_t *out, int32_t largest_width, es_real_t real, es_status_t *status);
void es_cov_workspace_destroy(es_cov_workspace_t *workspace);

/** Bytes of an accumulator. */
int64_t es_cov_bytes(int32_t width, es_real_t real);
/** ES_SYSTEM when memory is out. Panels of double rows are centred by their own means and multiplied by DSYRK, so that
 * nothing passes through float. */
es_code_t es_cov_create(es_cov_t *out, int32_t width, es_real_t real, es_status_t *status);
void es_cov_destroy(es_cov_t *cov);
/** Forgets all rows. */
void es_cov_reset(es_cov_t *cov);

/** Takes rows: (n, width), row-major, of the accumulator's type. */
void es_cov_add(es_cov_t *cov, es_cov_workspace_t *workspace, const void *rows, int64_t n);
/** Merges the waiting rows. After it `n` and `moments` hold everything. */
void es_cov_flush(es_cov_t *cov, es_cov_workspace_t *workspace);
/** into += from (Chan). Both flushed, same width. */
void es_cov_merge(es_cov_t *into, const es_cov_t *from);

/** Merges the accumulators of all lanes: `lanes` holds group->lane_count flushed accumulators. Lane by lane, the owner
 * contributes and the others add zeros in MPI_Allreduce, which is exact under any algorithm; then lanes are merged in
 * order. `out` (created by the caller, same width) gets the total on every rank. `buffer`: es_cov_moments_size + 1
 * doubles. Collective over the group. */
void es_cov_reduce(es_cov_t *out, const es_cov_t *lanes, const es_group_t *group, double *buffer);

/** The packed covariance: triangle · 1/n. `out` may be the triangle inside moments. Nothing for n = 0. */
void es_cov_finish(const es_cov_t *cov, double *out);

#endif
