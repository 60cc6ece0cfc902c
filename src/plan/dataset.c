/* Finds the datasets of a plan by name. */
#include "plan_internal.h"
#include <string.h>

int es_plan_dataset(const es_plan_t *plan, const char *name) {
  for (int i = 0; i < plan->n_datasets; i++) {
    if (strcmp(es_job_dataset(plan->job, i)->name, name) == 0) return i;
  }
  return -1;
}

const es_dataset_info_t *es_plan_info_of(const es_plan_t *plan, const char *name) {
  return &plan->infos[es_plan_dataset(plan, name)];
}

const es_dataset_info_t *es_plan_info(const es_plan_t *plan, const es_point_t *point) {
  return es_plan_info_of(plan, point->dataset.name);
}
