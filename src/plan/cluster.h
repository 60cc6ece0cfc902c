/* What a plan says about machines: the schedule on a cluster, and the shares of a SLURM array. */
#ifndef ES_PLAN_CLUSTER_H
#define ES_PLAN_CLUSTER_H

#include "eigenscope/plan.h"

/* Floating-point operations of a core in a second where nobody says how many, and of what core. */
extern const double es_core_rate;
extern const char es_core_kind[];

/* A cluster and what is assumed of it. */
typedef struct es_cluster {
  int64_t nodes, cores; /* cores of each node: ranks, since every rank has one thread */
  double rate;          /* floating-point operations of one core in a second */
  double efficiency;    /* kept by each doubling of the ranks that share a point, 0 … 1 */
} es_cluster_t;

/* Reads "nodes=4,cores=32[,rate=GFLOP/s][,efficiency=E]". ES_INPUT. */
es_code_t es_cluster_parse(es_cluster_t *out, const char *text, es_status_t *status);
/* Appends the simulated schedules of the selected points for 1, 2, 4 and 8 ranks per point, as a table or as JSON. */
es_code_t es_plan_cluster(const es_plan_t *plan, const es_selection_t *selection, const es_cluster_t *cluster,
                          bool json, es_text_t *out, es_status_t *status);

/* Appends the selected points in shares of about equal cost, one line for each, as lists for --points; lines that start
 * with "# " before them give name, output, points and tasks. As many shares as each needs to hold `points_per_task`
 * points, at most `tasks`. */
es_code_t es_plan_tasks(const es_plan_t *plan, const es_selection_t *selection, int64_t tasks, int64_t points_per_task,
                        es_text_t *out, es_status_t *status);

#endif
