/* Finds the axes that vary between the points of a grid. */
#include "plan_internal.h"
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

/* Resolves point `index` with what is known of its files of weights. */
static void look_at(const es_plan_t *plan, int64_t index, es_point_t *out) {
  es_grid_point(plan->grid, index, out);
  es_plan_weights_apply(plan, index, out);
}

/* Finds the first point whose files of weights were read; 0 if there is none. */
static int64_t first_known(const es_plan_t *plan) {
  for (int64_t i = 0; plan->weights != NULL && i < es_grid_count(plan->grid); i++) {
    if (plan->weights[i].known) return i;
  }
  return 0;
}

/* True if the files of weights determine different values of an axis. */
static bool varies_in_files(const es_plan_t *plan, const char *name) {
  es_point_t point;
  char first[32] = "", number[32];
  if (plan->weights == NULL) return false;
  look_at(plan, 0, &point);
  if (!es_point_axis_is_of_files(&point, name)) return false;
  for (int64_t i = first_known(plan); i < es_grid_count(plan->grid); i++) {
    if (!plan->weights[i].known) continue;
    look_at(plan, i, &point);
    const char *value = es_point_axis_value(&point, name, number);
    if (first[0] != '\0' && strcmp(first, value) != 0) return true;
    snprintf(first, sizeof first, "%s", value);
  }
  return false;
}

/* True unless the axis has the same value in all points of all blocks. */
static bool varies_in_job(const es_job_t *job, const char *name) {
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
  *out = (es_varying_t){0};
  for (int i = 0; i < n; i++) {
    if (varies_in_job(plan->job, names[i]) || varies_in_files(plan, names[i]))
      memcpy(out->names[out->n++], names[i], ES_NAME_MAX);
  }
  es_point_t point;
  look_at(plan, first_known(plan), &point);
  if (es_source_has_network(point.source) && !has_name(out->names, out->n, "dataset"))
    out->classes = es_plan_dataset_classes(plan, &point);
}

void es_varying_heading(const es_varying_t *varying, const es_plan_t *plan, es_text_t *out) {
  char names[NAMES_MAX][ES_NAME_MAX];
  const int n = collect_names(plan, names);
  const char *separator = ": ";
  es_point_t point;
  look_at(plan, first_known(plan), &point);
  if (point.classes == 0) point.classes = varying->classes;
  es_text_append(out, "%s", es_job_name(plan->job));
  for (int i = 0; i < n; i++) {
    if (has_name(varying->names, varying->n, names[i])) continue;
    char number[32];
    const char *value = es_point_axis_value(&point, names[i], number);
    es_text_append(out, "%s%s %s%s", separator, names[i], value,
                   value == number && es_point_axis_is_of_files(&point, names[i]) ? " (from the files)" : "");
    separator = ", ";
  }
  es_text_append(out, "\n\n");
}

void es_plan_append_axes(const es_point_t *point, es_text_t *out) {
  char number[32];
  es_text_append(out, "{");
  for (int a = 0; a < point->n_axes; a++) {
    const es_axis_value_t *axis = &point->axes[a];
    const bool all = strcmp(axis->name, "classes") == 0 && strcmp(axis->text, "all") == 0;
    es_text_append(out, "%s", a > 0 ? ", " : "");
    es_text_append_quoted(out, axis->name);
    es_text_append(out, ": ");
    if (all && point->classes > 0)
      es_text_append(out, "%d", point->classes);
    else if (axis->is_whole && !all)
      es_text_append(out, "%lld", (long long)axis->whole);
    else if (axis->is_number && !all)
      es_text_append(out, "%s", es_text_double(axis->number, number));
    else
      es_text_append_quoted(out, axis->text);
  }
  es_text_append(out, "}");
}

void es_varying_columns(const es_varying_t *varying, es_table_t *table) {
  for (int i = 0; i < varying->n; i++) es_table_column(table, varying->names[i], false);
}

void es_varying_cells(const es_varying_t *varying, const es_plan_t *plan, int64_t index, const es_point_t *point,
                      es_table_t *table) {
  es_point_t known;
  if (plan->weights != NULL) {
    known = *point;
    es_plan_weights_apply(plan, index, &known);
    point = &known;
  }
  for (int i = 0; i < varying->n; i++) {
    char number[32];
    const char *value = es_point_axis_value(point, varying->names[i], number);
    es_text_append_bytes(&table->cells, value, strlen(value) + 1);
  }
}
