/* Selects the points of a command by --points and --task, as `run` does it. */
#include "eigenscope/memory.h"
#include "plan_internal.h"

es_code_t es_plan_costs(const es_plan_t *plan, const es_selection_t *selection, double **out, es_status_t *status) {
  *out = es_allocate((size_t)selection->n, sizeof **out);
  if (*out == NULL) return es_out_of_memory(status, "plan", "%lld points", (long long)selection->n);
  for (int64_t i = 0; i < selection->n; i++) (*out)[i] = es_plan_cost(plan, selection->index[i]);
  return ES_OK;
}

es_code_t es_plan_select(const es_plan_t *plan, const char *points, const char *task, es_selection_t *out,
                         es_status_t *status) {
  double *cost = NULL;
  ES_TRY(es_selection_parse(out, points, es_grid_count(plan->grid), status));
  if (task == NULL) return ES_OK;
  if (es_plan_costs(plan, out, &cost, status) == ES_OK) es_selection_task(out, task, cost, status);
  if (status->code != ES_OK) es_selection_destroy(out);
  es_free(cost);
  return status->code;
}
