/* Declarations shared by the files of this module. */
#ifndef ES_PLAN_INTERNAL_H
#define ES_PLAN_INTERNAL_H

#include "eigenscope/graph.h"
#include "eigenscope/plan.h"

/* Number of the network of a point; equal for points with the same network and the same measurements. */
int32_t es_plan_network(const es_plan_t *plan, int64_t index);
/* Groups or heads of the network of a point that are not those of its description. */
es_other_groups_t es_plan_other_groups(const es_plan_t *plan, int64_t index);
/* Number of the dataset of that name in the job. */
int es_plan_dataset(const es_plan_t *plan, const char *name);
/* Reads the files of weights of the selected points, or copies the findings of another rank from the request. Does
 * nothing for other sources. */
es_code_t es_plan_weights_find(es_plan_t *plan, const es_plan_request_t *request, es_status_t *status);
/* Applies these findings to a point before it is bound. */
void es_plan_weights_apply(const es_plan_t *plan, int64_t index, es_point_t *point);

/* The same for files of moments; also checks that they have what the selected points need. */
es_code_t es_plan_moments_find(es_plan_t *plan, const es_plan_request_t *request, es_status_t *status);
void es_plan_moments_apply(const es_plan_t *plan, int64_t index, es_point_t *point);

/* Bytes that this process may still allocate within its memory cgroups (version 1 or 2), INT64_MAX without a limit.
 * `membership`: /proc/self/cgroup; `mount`: /sys/fs/cgroup. */
int64_t es_cgroup_available(const char *membership, const char *mount);

/* Default floating-point operations per second of a core, and the core on which they were measured. */
extern const double es_core_rate;
extern const char es_core_kind[];

/* Costs of the selected points. The caller owns *out. */
es_code_t es_plan_costs(const es_plan_t *plan, const es_selection_t *selection, double **out, es_status_t *status);

#endif
