/** The covariance of a layer too wide for one rank, accumulated in ScaLAPACK's block layout.
 *
 *   Q = 1/n Σ (x − m)(x − m)ᵀ, as in covariance.h, over the rows of all ranks
 *
 * Q is distributed block-cyclically over a process grid (dist_matrix.h). The rank at (p, q) of the grid needs only
 * the columns of its tile rows and its tile columns, of each row. es_spread_add exchanges rows, so every rank holds a
 * panel of these columns for the rows of all ranks. A full panel is centred by its own means, multiplied in the type of
 * the rows (SGEMM, DGEMM) only at and below the diagonal, and merged in double by Chan's formula (covariance.h).
 *
 * The bits depend on the number of ranks; eigenvalues for different numbers of ranks agree up to rounding.
 *
 * Memory of a rank of P: 8·d²/P for its share of Q, and panels of R rows (ES_SPREAD_PANEL_ROWS) as about 4·R·d/√P
 * numbers. Every function but es_spread_blocks and es_spread_bytes is collective over comm. */
#ifndef EIGENSCOPE_SPREAD_H
#define EIGENSCOPE_SPREAD_H

#include "eigenscope/covariance.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/status.h"
#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A covariance of larger order is distributed over the ranks of its point if there is more than one rank. A constant,
 * so that the job alone determines the method. */
enum { ES_COV_SPREAD_ORDER = 4096 };

/** Rows of a panel: with this number, merging costs 1/20 of the product for any width. */
enum { ES_SPREAD_PANEL_ROWS = 1024 };

typedef struct es_spread es_spread_t;

/** Creates an accumulator over comm (MPI_COMM_NULL: one process without MPI) for rows of `width` numbers of type
 * `real`, in tiles of block × block. Ranks outside of the grid add rows but hold no blocks. ES_SYSTEM on all ranks if
 * one is out of memory. */
es_code_t es_spread_create(es_spread_t **out, MPI_Comm comm, int32_t width, int32_t block, es_real_t real,
                           es_status_t *status);
/** Not collective. */
void es_spread_destroy(es_spread_t *spread);
/** Discards all rows. */
void es_spread_reset(es_spread_t *spread);

/** Adds this rank's rows, (n, width) row-major, n ≥ 0. All ranks call it equally often; n may differ between ranks. */
void es_spread_add(es_spread_t *spread, const void *rows, int64_t n);

/** Properties of the result. */
typedef struct es_spread_total {
  int64_t n;   /**< rows of all ranks */
  bool finite; /**< no NaN or Inf anywhere in Q */
} es_spread_total_t;

/** Merges the remaining rows and turns the blocks into Q: valid at and below the diagonal, 0 above it. Q = 0 for n = 0.
 * `mean`: `width` doubles, filled on every rank; may be NULL. Afterwards only reset and destroy are allowed. */
void es_spread_finish(es_spread_t *spread, es_spread_total_t *out, double *mean);
/** The matrix Q; borrowed; the caller may overwrite its local part (as ScaLAPACK does) after es_spread_finish. */
es_dist_matrix_t *es_spread_blocks(es_spread_t *spread);

/** Bytes on the rank that holds most; allocates nothing, for plans. */
int64_t es_spread_bytes(int32_t width, int32_t block, int ranks, es_real_t real);

#endif
