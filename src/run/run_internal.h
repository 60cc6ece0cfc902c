/* What the files of this module share. */
#ifndef ES_RUN_INTERNAL_H
#define ES_RUN_INTERNAL_H

#include "eigenscope/run.h"

/* Rank 0 reads the job file and looks at the headers of datasets and at files of weights; the others get all of it by
 * message and resolve the same plan. Collective over MPI_COMM_WORLD. */
es_code_t es_run_share_plan(es_plan_t *out, const es_run_settings_t *settings, es_status_t *status);

/* Checks that the points of `pending` fit when groups of `ranks` ranks take them, as many groups at a time as this node
 * has. Images that do not fit stay in their files if their formats can do that: then *stream is true, on all nodes.
 * ES_INPUT before anything runs, with what is needed, what is there, and the number of ranks that would do.
 * Predictions are good to 25 %, so only what is short by more is refused. Collective over MPI_COMM_WORLD; all ranks
 * return the same code. */
es_code_t es_run_check_memory(const es_plan_t *plan, const int64_t *pending, int64_t n, int ranks, bool *stream,
                              es_status_t *status);

#endif
