/** One layer's rows over a pass, by the strategy that suits its shape: what capture (networks) and activation files
 * feed, and what eigenvalues are computed from.
 *
 *   lanes   an accumulator for each lane of this rank, merged lane by lane (covariance.h): the same bits on any number
 *           of ranks. Every rank can hold the whole covariance
 *   gram    fewer rows than columns: rows are kept, and the spectrum comes from their rows × rows products (gram.h)
 *   spread  wider than ES_COV_SPREAD_ORDER: one accumulator that lies over all ranks (spread.h)
 *
 * The strategy is a function of width and rows alone. */
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

/** `rows`: of all ranks together in one pass. */
es_strategy_t es_accumulator_strategy(int32_t width, int64_t rows);
/** "lanes", "gram", "spread". */
const char *es_strategy_name(es_strategy_t strategy);

typedef struct es_accumulator es_accumulator_t;

/** The rows that a layer will give. */
typedef struct es_rows_info {
  int32_t width;
  es_real_t real;
  int64_t rows; /**< of all ranks together in one pass; more never come */
} es_rows_info_t;

/** Collective over the group; all ranks return the same code. Borrows the group. ES_SYSTEM when memory is out. */
es_code_t es_accumulator_create(es_accumulator_t **out, const es_group_t *group, const es_rows_info_t *info,
                                es_status_t *status);
void es_accumulator_destroy(es_accumulator_t *accumulator);
/** True if es_accumulator_reset makes it what es_accumulator_create would make for `info`. */
bool es_accumulator_serves(const es_accumulator_t *accumulator, const es_rows_info_t *info);
/** Forgets all rows. */
void es_accumulator_reset(es_accumulator_t *accumulator);
es_strategy_t es_accumulator_is(const es_accumulator_t *accumulator);

/** Order of the eigenproblem that es_accumulator_finish will give, if all rows come. */
int32_t es_accumulator_order(const es_accumulator_t *accumulator);

/** Takes rows of one lane of this rank (counted from 0), (n, width) row-major, of the type given. `workspace`: shared
 * by all accumulators of a rank, at least as wide, for that type. Not collective. What cannot be kept for lack of
 * memory is told by es_accumulator_exchange. */
void es_accumulator_add(es_accumulator_t *accumulator, es_cov_workspace_t *workspace, int lane, const void *rows,
                        int64_t n);
/** Hands out what was added since the last call: all ranks call it equally often, at least once after the last add.
 * Free of charge but for `spread`. Collective. */
es_code_t es_accumulator_exchange(es_accumulator_t *accumulator, es_status_t *status);

/** The result of the rows of all ranks. */
typedef struct es_reduced {
  int64_t rows;
  bool finite;              /**< no NaN or Inf; same on every rank */
  int32_t order;            /**< of the eigenproblem: the width, or for `gram` the number of rows */
  double *triangle;         /**< lanes, gram: packed lower triangle on every rank; else NULL. Owned */
  es_dist_matrix_t *blocks; /**< spread: both halves, over the group; else NULL. Borrowed from the accumulator */
  const es_gram_t *gram;    /**< gram: the rows, for es_gram_features; else NULL. Borrowed from the accumulator */
  double *mean;             /**< `width` doubles on every rank. Owned */
} es_reduced_t;

/** Merges everything. Collective; all ranks return the same code. ES_SYSTEM when memory is out. */
es_code_t es_accumulator_finish(es_accumulator_t *accumulator, es_cov_workspace_t *workspace, es_reduced_t *out,
                                es_status_t *status);
void es_reduced_destroy(es_reduced_t *reduced);

/** Bytes of an accumulator on the busiest of `ranks` ranks that share `lanes` lanes, without workspace. */
int64_t es_accumulator_bytes(const es_rows_info_t *info, int lanes, int ranks);

#endif
