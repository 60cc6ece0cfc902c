/* What the files of this module share. */
#ifndef ES_PLAN_INTERNAL_H
#define ES_PLAN_INTERNAL_H

#include "eigenscope/plan.h"

/* A number that points have in common if they have the same network, measured in the same way. */
int32_t es_plan_network(const es_plan_t *plan, int64_t index);
/* Number of the dataset of that name in the job. */
int es_plan_dataset(const es_plan_t *plan, const char *name);
/* Looks at the files of weights of the points that the request selects, or copies what another rank found; nothing for
 * other sources. */
es_code_t es_plan_weights_find(es_plan_t *plan, const es_plan_request_t *request, es_status_t *status);
/* Puts what was found into a point, before it is bound. */
void es_plan_weights_apply(const es_plan_t *plan, int64_t index, es_point_t *point);

/* Floating-point operations of a core in a second where nobody says how many, and of what core. */
extern const double es_core_rate;
extern const char es_core_kind[];

/* Costs of the selected points; the caller's. */
es_code_t es_plan_costs(const es_plan_t *plan, const es_selection_t *selection, double **out, es_status_t *status);

#endif
