/* Which axes tell the points of a grid apart. */
#include "eigenscope/plan.h"
#include <stdio.h>
#include <string.h>

/* One axis over all blocks: whether every point has the same value of it, and which. */
typedef struct axis_values {
  bool seen, varies;
  char text[ES_NAME_MAX];
} axis_values_t;

static void look_at(axis_values_t *axis, const char *text) {
  if (axis->seen && strcmp(axis->text, text) != 0) axis->varies = true;
  axis->seen = true;
  snprintf(axis->text, sizeof axis->text, "%s", text);
}

static void look_at_block(const es_plan_t *plan, int block, const char *name, axis_values_t *out) {
  es_point_t point;
  es_job_start(plan->job, block, &point);
  for (int a = 0; a < es_job_n_axes(plan->job, block); a++) {
    const es_job_axis_t axis = es_job_axis(plan->job, block, a);
    if (strcmp(axis.name, name) != 0) continue;
    if (axis.n_values > 1) out->varies = true; /* values of one axis differ */
    es_job_apply(plan->job, block, a, 0, &point, &(es_status_t){0});
  }
  look_at(out, es_point_axis(&point, name));
}

static bool has_name(char names[][ES_NAME_MAX], int n, const char *name) {
  for (int i = 0; i < n; i++) {
    if (strcmp(names[i], name) == 0) return true;
  }
  return false;
}

/* Names of all axes: the six of every point, then the settings of the blocks. */
static int collect_names(const es_plan_t *plan, char names[][ES_NAME_MAX], int most) {
  es_point_t point;
  int n = 0;
  es_job_start(plan->job, 0, &point);
  for (; n < point.n_axes; n++) snprintf(names[n], ES_NAME_MAX, "%s", point.axes[n].name);
  for (int b = 0; b < es_job_n_blocks(plan->job); b++) {
    for (int a = 0; a < es_job_n_axes(plan->job, b) && n < most; a++) {
      const char *name = es_job_axis(plan->job, b, a).name;
      if (!has_name(names, n, name)) snprintf(names[n++], ES_NAME_MAX, "%s", name);
    }
  }
  return n;
}

void es_varying_find(const es_plan_t *plan, es_varying_t *out, es_text_t *common) {
  enum { NAMES_MAX = ES_COLUMNS_MAX - 16 }; /* the commands have columns of their own */
  char names[NAMES_MAX][ES_NAME_MAX];
  const int n = collect_names(plan, names, NAMES_MAX);
  out->n = 0;
  for (int i = 0; i < n; i++) {
    axis_values_t axis = {0};
    for (int b = 0; b < es_job_n_blocks(plan->job) && !axis.varies; b++) look_at_block(plan, b, names[i], &axis);
    if (axis.varies)
      memcpy(out->names[out->n++], names[i], ES_NAME_MAX);
    else
      es_text_append(common, "%s%s %s", common->length > 0 ? ", " : "", names[i], axis.text);
  }
}

void es_varying_heading(const es_plan_t *plan, const es_text_t *common, es_text_t *out) {
  es_text_append(out, "%s%s%s\n\n", es_job_name(plan->job), common->length > 0 ? ": " : "", es_text_get(common));
  if (common->failed) out->failed = true;
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
