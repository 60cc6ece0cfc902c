/** The covariance of a layer too wide for one rank: accumulated block by block where ScaLAPACK will solve it.
 *
 *   Q = 1/n Σ (x − m)(x − m)ᵀ, as in covariance.h, over the rows of all ranks
 *
 * Q lies block-cyclically over a process grid (dist_matrix.h). The rank at (p, q) of the grid needs of each row only
 * the columns of its tile rows and of its tile columns: rows are handed out when they arrive, so every rank holds a
 * panel of those columns for the rows of all ranks. A full panel is centred by its own means, multiplied in the type of
 * the rows (SGEMM, DGEMM) at and below the diagonal only, and merged in double by Chan's formula (covariance.h).
 *
 * Eigenvalues for other numbers of ranks agree to rounding; the bits depend on the number of ranks.
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

/** Order above which a covariance is spread over the ranks of its point if there is more than one. A function of
 * nothing, so that what ran can be told from the job alone. */
enum { ES_COV_SPREAD_ORDER = 4096 };

/** Rows of a panel: then merging costs 1/20 of the product, whatever the width. */
enum { ES_SPREAD_PANEL_ROWS = 1024 };

typedef struct es_spread es_spread_t;

/** An accumulator over comm (MPI_COMM_NULL: one process without MPI) for rows of `width` numbers of type `real`, in
 * tiles of block × block. Ranks outside of the grid give rows and hold nothing. ES_SYSTEM on all ranks when memory is
 * out on one. */
es_code_t es_spread_create(es_spread_t **out, MPI_Comm comm, int32_t width, int32_t block, es_real_t real,
                           es_status_t *status);
/** Not collective. */
void es_spread_destroy(es_spread_t *spread);
/** Forgets all rows. */
void es_spread_reset(es_spread_t *spread);

/** Takes this rank's rows, (n, width) row-major, n ≥ 0. All ranks call it equally often, each with rows of its own
 * number. */
void es_spread_add(es_spread_t *spread, const void *rows, int64_t n);

/** The result of all rows together. */
typedef struct es_spread_total {
  int64_t n;   /**< rows of all ranks */
  bool finite; /**< no NaN or Inf anywhere in Q */
} es_spread_total_t;

/** Merges what waits and turns the blocks into Q: right at and below the diagonal, 0 above it. Q = 0 for n = 0.
 * `mean`: `width` doubles, filled on every rank; may be NULL. Afterwards only reset and destroy. */
void es_spread_finish(es_spread_t *spread, es_spread_total_t *out, double *mean);
/** Q itself; borrowed, its local part may be overwritten (as ScaLAPACK does) after es_spread_finish. */
es_dist_matrix_t *es_spread_blocks(es_spread_t *spread);

/** Bytes on the rank that holds most, without allocating: for plans. */
int64_t es_spread_bytes(int32_t width, int32_t block, int ranks, es_real_t real);

#endif
