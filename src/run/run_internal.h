/* Functions shared by the files of this module. */
#ifndef ES_RUN_INTERNAL_H
#define ES_RUN_INTERNAL_H

#include "eigenscope/rates.h"
#include "eigenscope/run.h"

/* Creates the plan on all ranks. Rank 0 reads the job file, the headers of datasets and the files of weights, and sends
 * them to the others, which resolve the same plan. Collective over MPI_COMM_WORLD. */
es_code_t es_run_share_plan(es_plan_t *out, const es_run_settings_t *settings, es_status_t *status);

/* Sums the work that all leaders measured, and adds it to <output>/rates.json. A failure is a warning on stderr unless
 * `quiet`. `measured` may be NULL on ranks without. Collective over MPI_COMM_WORLD. */
void es_run_store_rates(const es_rates_t *measured, const char *output, bool quiet);

/* Checks that memory suffices for the points of `pending` when each group has `ranks` ranks and all groups of this node
 * run at once. If images do not fit but their formats can stream, sets *stream to true on all nodes. ES_INPUT before
 * anything runs, naming the bytes needed, the bytes available, and a number of ranks that would do. Refuses only if
 * more than the 25 % by which predictions may be wrong is missing. Collective over MPI_COMM_WORLD; all ranks return the
 * same code. */
es_code_t es_run_check_memory(const es_plan_t *plan, const int64_t *pending, int64_t n, int ranks, bool *stream,
                              es_status_t *status);

#endif
