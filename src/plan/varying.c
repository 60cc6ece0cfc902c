/* Finds the axes that vary between the points of a grid. */
#include "eigenscope/plan.h"
#include <stdio.h>
#include <string.h>

static bool has_name(const char names[][ES_NAME_MAX], int n, const char *name) {
  for (int i = 0; i < n; i++) {
    if (strcmp(names[i], name) == 0) return true;
  }
  return false;
}

enum { NAMES_MAX = ES_COLUMNS_MAX - 16 }; /* leaves room for columns of the commands */

/* Collects the names of all axes: the six of every point, then the settings of the blocks. */
static int collect_names(const es_plan_t *plan, char names[NAMES_MAX][ES_NAME_MAX]) {
  es_point_t point;
  int n = 0;
  es_job_start(plan->job, 0, &point);
  for (; n < point.n_axes; n++) snprintf(names[n], ES_NAME_MAX, "%s", point.axes[n].name);
  for (int b = 0; b < es_job_n_blocks(plan->job); b++) {
    for (int a = 0; a < es_job_n_axes(plan->job, b) && n < NAMES_MAX; a++) {
      const char *name = es_job_axis(plan->job, b, a).name;
      if (!has_name(names, n, name)) snprintf(names[n++], ES_NAME_MAX, "%s", name);
    }
  }
  return n;
}

/* True unless the axis has the same value in all points of all blocks. */
static bool varies(const es_job_t *job, const char *name) {
  char first[ES_NAME_MAX] = "";
  for (int b = 0; b < es_job_n_blocks(job); b++) {
    es_point_t point;
    es_job_start(job, b, &point);
    for (int a = 0; a < es_job_n_axes(job, b); a++) {
      const es_job_axis_t axis = es_job_axis(job, b, a);
      if (strcmp(axis.name, name) != 0) continue;
      if (axis.n_values > 1) return true; /* values of one axis are distinct */
      es_job_apply(job, b, a, 0, &point, &(es_status_t){0});
    }
    if (b > 0 && strcmp(first, es_point_axis(&point, name)) != 0) return true;
    snprintf(first, sizeof first, "%s", es_point_axis(&point, name));
  }
  return false;
}

void es_varying_find(const es_plan_t *plan, es_varying_t *out) {
  char names[NAMES_MAX][ES_NAME_MAX];
  const int n = collect_names(plan, names);
  out->n = 0;
  for (int i = 0; i < n; i++) {
    if (varies(plan->job, names[i])) memcpy(out->names[out->n++], names[i], ES_NAME_MAX);
  }
}

void es_varying_heading(const es_varying_t *varying, const es_plan_t *plan, es_text_t *out) {
  char names[NAMES_MAX][ES_NAME_MAX];
  const int n = collect_names(plan, names);
  const char *separator = ": ";
  es_point_t point;
  es_grid_point(plan->grid, 0, &point);
  es_text_append(out, "%s", es_job_name(plan->job));
  for (int i = 0; i < n; i++) {
    if (has_name(varying->names, varying->n, names[i])) continue;
    es_text_append(out, "%s%s %s", separator, names[i], es_point_axis(&point, names[i]));
    separator = ", ";
  }
  es_text_append(out, "\n\n");
}

void es_varying_columns(const es_varying_t *varying, es_table_t *table) {
  for (int i = 0; i < varying->n; i++) es_table_column(table, varying->names[i], false);
}

void es_varying_cells(const es_varying_t *varying, const es_point_t *point, es_table_t *table) {
  for (int i = 0; i < varying->n; i++) {
    const char *value = es_point_axis(point, varying->names[i]);
    es_text_append_bytes(&table->cells, value, strlen(value) + 1);
  }
}
