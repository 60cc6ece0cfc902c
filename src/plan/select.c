/* Which points a command looks at: --points and --task, as `run` takes them. */
#include "eigenscope/memory.h"
#include "plan_internal.h"

static es_code_t keep_share(const es_plan_t *plan, const char *task, es_selection_t *selection, es_status_t *status) {
  double *cost = es_allocate((size_t)selection->n, sizeof *cost);
  if (cost == NULL) return es_out_of_memory(status, "plan", "%lld points", (long long)selection->n);
  for (int64_t i = 0; i < selection->n; i++) cost[i] = es_plan_cost(plan, selection->index[i]);
  const es_code_t code = es_selection_task(selection, task, cost, status);
  es_free(cost);
  return code;
}

es_code_t es_plan_select(const es_plan_t *plan, const char *points, const char *task, es_selection_t *out,
                         es_status_t *status) {
  ES_TRY(es_selection_parse(out, points, es_grid_count(plan->grid), status));
  if (task == NULL || keep_share(plan, task, out, status) == ES_OK) return ES_OK;
  es_selection_destroy(out);
  return status->code;
}
