/* Chooses the strength of the regularisation of a probe (probe.l2 with several strengths): fits along the path, from
 * the strongest regularisation to the weakest, each fit from the solution of the one before, to the samples that are
 * not held out, and takes the strength with the best accuracy on those that are; the strongest of several
 * that are equally good.
 *
 * Held out is a tenth of the train split: the samples at whose position a hash (random.h, ES_RANDOM_HELD_OUT) is below
 * 0.1. So they are the same for all layers, epochs, seeds and numbers of ranks. If no fitted sample, or all of them,
 * are held out, there is nothing to choose by: the strongest is taken, and the accuracies are NaN. */
#ifndef ES_PIPELINE_PROBE_PATH_H
#define ES_PIPELINE_PROBE_PATH_H

#include "eigenscope/memory.h"
#include "eigenscope/point.h"
#include "eigenscope/probe.h"

/* True if the sample at this position of the train split is held out. */
bool es_probe_is_held_out(int64_t position);

/* What a path found. */
typedef struct es_probe_path {
  double l2;                    /* the chosen strength */
  double accuracy[ES_L2_MAX];   /* on the held-out samples, by the index on the path */
  uint8_t converged[ES_L2_MAX]; /* 0 no, 1 yes, of the fit without these samples; 255: not fitted */
} es_probe_path_t;

/* Fits along the path. `problem`: all fitted samples, with `lane_rows`; its features stay as they are. `held`: 1 for
 * each of its rows that is held out. `weights`: on entry the start of the first fit; on return the solution at the
 * chosen strength, without the held-out samples, from which the final fit starts. Collective over the group; all ranks
 * return the same code, as es_probe_fit. */
es_code_t es_probe_path_fit(es_probe_path_t *out, double *weights, const es_probe_problem_t *problem,
                            const int32_t *held, const es_probe_settings_t *settings, const es_group_t *group,
                            es_status_t *status);
/* Bytes of the copies of n rows of `row` bytes that a path needs besides a fit. */
int64_t es_probe_path_bytes(const es_probe_settings_t *settings, int64_t n, int64_t row);

#endif
