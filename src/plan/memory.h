/* Memory: what `plan` predicts and what `run --verbose` measured. */
#ifndef ES_PLAN_MEMORY_H
#define ES_PLAN_MEMORY_H

#include "eigenscope/plan.h"

typedef struct es_memory_need {
  int64_t rank;   /* bytes that each rank of the point needs for itself */
  int64_t shared; /* bytes that a node holds once: the images */
} es_memory_need_t;

/* Peak memory of a bound point on groups of `ranks` ranks. ES_SYSTEM when there is no memory to find out. */
es_code_t es_memory_predict(es_memory_need_t *out, const es_point_t *point, const es_dataset_info_t *info, int ranks,
                            es_status_t *status);
/* The point without what changes no prediction: points whose keys have the same bytes need the same. */
void es_memory_key(es_point_t *out, const es_point_t *point);
/* How many ranks, `ranks` or more, must share the bound point so that one of them, alone on its node, finds room in
 * `available` bytes; 0 when the point has not so many lanes, -1 when there is no memory to find out. */
int es_memory_fit(const es_point_t *point, const es_dataset_info_t *info, int ranks, int64_t available);
/* Peak of this process so far without what it shares with others of its node, in bytes; 0 where the system does not
 * tell. */
int64_t es_memory_peak(void);

/* Bytes that processes here may still take together: what the node has free, or less if a cgroup (as SLURM makes) or
 * RLIMIT_AS says so. */
int64_t es_memory_available(void);

/* Whether the points of `pending` fit when groups of `ranks` ranks take them, as many groups at a time as this node
 * has. Images that do not fit stay in their files if their formats can do that: then *stream is true, on all nodes.
 * ES_INPUT before anything runs, with what is needed, what is there, and the number of ranks that would do.
 * Predictions are good to 25 %, so only what is short by more is refused. Collective over MPI_COMM_WORLD; all ranks
 * return the same code. */
es_code_t es_memory_check(const es_plan_t *plan, const int64_t *pending, int64_t n, int ranks, bool *stream,
                          es_status_t *status);

#endif
