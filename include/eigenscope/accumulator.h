/** Accumulator of one layer's rows during one pass. Capture (networks) and activation files add the rows; the
 * eigenvalues are computed from the result. The layer's shape decides the strategy:
 *
 *   lanes   one accumulator per lane of this rank, merged lane by lane (covariance.h): the same bits on any number of
 *           ranks. Every rank holds the whole covariance
 *   gram    fewer rows than columns: rows are stored; their rows × rows Gram matrix gives the spectrum (gram.h)
 *   spread  wider than ES_COV_SPREAD_ORDER: one accumulator distributed over all ranks (spread.h)
 *
 * The strategy depends only on width and number of rows. */
#ifndef EIGENSCOPE_ACCUMULATOR_H
#define EIGENSCOPE_ACCUMULATOR_H

#include "eigenscope/comm.h"
#include "eigenscope/covariance.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/gram.h"
#include "eigenscope/spread.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum es_strategy { ES_STRATEGY_LANES, ES_STRATEGY_GRAM, ES_STRATEGY_SPREAD } es_strategy_t;

/** `rows`: rows of all ranks together in one pass. */
es_strategy_t es_accumulator_strategy(int32_t width, int64_t rows);
/** "lanes", "gram", "spread". */
const char *es_strategy_name(es_strategy_t strategy);

typedef struct es_accumulator es_accumulator_t;

/** The rows that a layer adds in a pass. */
typedef struct es_rows_info {
  int32_t width;
  es_real_t real;
  int64_t rows; /**< upper bound: rows of all ranks together in one pass */
} es_rows_info_t;

/** Collective over the group; all ranks return the same code. Borrows the group. ES_SYSTEM if out of memory. */
es_code_t es_accumulator_create(es_accumulator_t **out, const es_group_t *group, const es_rows_info_t *info,
                                es_status_t *status);
void es_accumulator_destroy(es_accumulator_t *accumulator);
/** True if the accumulator, after es_accumulator_reset, can be used for `info` instead of a new one. */
bool es_accumulator_serves(const es_accumulator_t *accumulator, const es_rows_info_t *info);
/** Discards all rows. */
void es_accumulator_reset(es_accumulator_t *accumulator);
es_strategy_t es_accumulator_is(const es_accumulator_t *accumulator);

/** Order of the eigenproblem that es_accumulator_finish returns if all announced rows are added. */
int32_t es_accumulator_order(const es_accumulator_t *accumulator);

/** Adds rows of one lane of this rank (counted from 0), (n, width) row-major, of the accumulator's type. `workspace`:
 * shared by all accumulators of a rank, for the same type, at least as wide. Not collective. If memory runs out, the
 * next es_accumulator_exchange reports the failure. */
void es_accumulator_add(es_accumulator_t *accumulator, es_cov_workspace_t *workspace, int lane, const void *rows,
                        int64_t n);
/** Exchanges the rows that were added since the last call. All ranks call it equally often, and at least once after the
 * last add. Costs nothing except for `spread`. Collective. */
es_code_t es_accumulator_exchange(es_accumulator_t *accumulator, es_status_t *status);

/** The result over the rows of all ranks. */
typedef struct es_reduced {
  int64_t rows;
  bool finite;          /**< no NaN or Inf; equal on every rank */
  int32_t order;        /**< order of the eigenproblem: the width, or for `gram` the number of rows */
  int exponent;         /**< the matrix is that of rows·2^exponent: 0 unless squares of its elements would under- or
                           overflow. `mean` is not scaled */
  double largest;       /**< largest element on the diagonal; equal on every rank */
  double participation; /**< participation ratio of pairs of lanes (lane_pairs.h), equal on every rank; NaN: unknown,
                           as for `spread` */
  double *triangle;     /**< lanes, gram: packed lower triangle on every rank; else NULL. Owned */
  es_dist_matrix_t *blocks; /**< spread: both triangles, over the group; else NULL. Borrowed from the accumulator */
  const es_gram_t *gram;    /**< gram: the rows, for es_gram_features; else NULL. Borrowed from the accumulator */
  double *mean;             /**< `width` doubles on every rank. Owned */
} es_reduced_t;

/** Merges the rows of all lanes and ranks. Collective; all ranks return the same code. ES_SYSTEM if out of memory. */
es_code_t es_accumulator_finish(es_accumulator_t *accumulator, es_cov_workspace_t *workspace, es_reduced_t *out,
                                es_status_t *status);
/** Sets `largest`, and scales a matrix whose elements solvers could not square. Collective for `blocks`. */
void es_reduced_normalise(es_reduced_t *reduced);
void es_reduced_destroy(es_reduced_t *reduced);

/** Bytes of an accumulator, without workspace, on the rank that needs most, if `ranks` ranks share `lanes` lanes. */
int64_t es_accumulator_bytes(const es_rows_info_t *info, int lanes, int ranks);

#endif
