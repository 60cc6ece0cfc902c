/** Streaming covariance of the rows of a data matrix.
 *
 *   Q = 1/n Σ (x − m)(x − m)ᵀ
 *
 * Rows are gathered into panels. A panel has a fixed number of rows that depends only on the width (the project's own
 * kernels also cut a panel early if the mean jumps). Each panel is centred and multiplied by SYRK in float, and merged
 * into double by the pairwise formula of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for
 * computing sample variances", 1979, eq. 2.1). The cuts between panels depend only on the earlier rows of the same
 * accumulator, so one accumulator per lane gives the same bits on any number of ranks.
 *
 * Range of float rows: any. A panel whose products would under- or overflow is multiplied by a power of two before
 * SYRK, and its product, in double, by the inverse square. So rows and rows·2^e have the same digits, as long as their
 * values are normal. What underflows in one panel beside its largest deviation is below 2^-78 of the trace. Range of
 * double rows: deviations of about 1e-60 to 1e60; callers scale others by a power of two. A column whose rows are all
 * equal has variance exactly 0.
 *
 * Triangles are packed: lower triangle by rows, element (i, j ≤ i) at i(i+1)/2 + j. */
#ifndef EIGENSCOPE_COVARIANCE_H
#define EIGENSCOPE_COVARIANCE_H

#include "eigenscope/comm.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/lane_pairs.h"
#include "eigenscope/status.h"
#include <stdbool.h>
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
  int64_t n;                          /**< rows merged so far (all rows after es_cov_flush) */
  double *moments;                    /**< owned; d means, then the packed triangle of Σ (x − m)(x − m)ᵀ */
  void *panel;                        /**< owned; rows not merged yet, row-major */
  int32_t panel_rows;                 /**< number of rows in `panel` */
  bool scaled;                        /**< the last panel needed a scale */
  struct es_narrow_accumulator *open; /**< owned; the current panel if rows are multiplied as they arrive, or NULL */
} es_cov_t;

/** Scratch for rows of one type, shared by all accumulators of a rank. */
typedef struct es_cov_workspace {
  int32_t width; /**< largest supported width */
  es_real_t real;
  void *centred; /**< owned; one panel */
  void *product; /**< owned; d × d */
  void *shift;   /**< owned; pattern of the subtracted values, then scratch */
  double *sums;  /**< owned */
} es_cov_workspace_t;

/** Rows of a panel: at least 512, more for narrow layers. */
int32_t es_cov_panel_rows(int32_t width);
/** Number of doubles in `moments`: d + d(d+1)/2. */
static inline size_t es_cov_moments_size(int32_t width) {
  return (size_t)width + es_triangle_size(width);
}

/** ES_SYSTEM if out of memory. */
es_code_t es_cov_workspace_create(es_cov_workspace_t *out, int32_t largest_width, es_real_t real, es_status_t *status);
void es_cov_workspace_destroy(es_cov_workspace_t *workspace);

/** Bytes of an accumulator. */
int64_t es_cov_bytes(int32_t width, es_real_t real);
/** ES_SYSTEM if out of memory. Panels of double rows are centred by their own means and multiplied by DSYRK, without
 * any float arithmetic. */
es_code_t es_cov_create(es_cov_t *out, int32_t width, es_real_t real, es_status_t *status);
void es_cov_destroy(es_cov_t *cov);
/** Discards all rows. */
void es_cov_reset(es_cov_t *cov);

/** Adds rows: (n, width), row-major, of the accumulator's type. */
void es_cov_add(es_cov_t *cov, es_cov_workspace_t *workspace, const void *rows, int64_t n);
/** Merges the rows in `panel`. Afterwards `n` and `moments` include all rows. */
void es_cov_flush(es_cov_t *cov, es_cov_workspace_t *workspace);
/** into += from (Chan). Both flushed, same width. */
void es_cov_merge(es_cov_t *into, const es_cov_t *from);

/** Merges the accumulators of all lanes: `lanes` holds group->lane_count flushed accumulators. For each lane,
 * MPI_Allreduce adds the owner's values and zeros of the other ranks, which is exact in any order; then the lanes are
 * merged in order. `out` (created by the caller, same width) gets the total on every rank, and `pairs` every lane;
 * NULL: not wanted. `buffer`: es_cov_moments_size + 1 doubles. Collective over the group. */
void es_cov_reduce(es_cov_t *out, es_lane_pairs_t *pairs, const es_cov_t *lanes, const es_group_t *group,
                   double *buffer);

/** Writes the packed covariance, triangle · 1/n. `out` may be the triangle inside moments. Does nothing for n = 0. */
void es_cov_finish(const es_cov_t *cov, double *out);

#endif
