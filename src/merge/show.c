/* Shows the points of a merged file as a table, csv or json. */
#include "eigenscope/memory.h"
#include "eigenscope/merge.h"
#include "eigenscope/table.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct listing {
  es_show_format_t format;
  es_text_t *out;
  es_table_t table;
  int64_t rows;
  es_kinds_t kinds;            /* instruction sets of the points */
  bool unconverged;            /* some point has probes that did not converge: a column of the table */
  bool varies[ES_COLUMNS_MAX]; /* columns that vary between points, or are no axes */
  char *first[ES_COLUMNS_MAX]; /* owned; cells of the first point */
} listing_t;

/* ---- find the varying axes before anything is shown ---- */

static void compare(void *context, const es_merged_info_t *info, const es_merged_point_t *point) {
  listing_t *l = context;
  if (point == NULL) return;
  for (int i = 0; i < info->n_names && i < ES_COLUMNS_MAX; i++) {
    if (l->rows == 0) l->first[i] = es_duplicate(point->cells[i]);
    const bool axis = i > 0 && i < info->n_names - 2;
    l->varies[i] = l->varies[i] || !axis || l->first[i] == NULL || strcmp(l->first[i], point->cells[i]) != 0;
  }
  l->unconverged = l->unconverged || point->unconverged > 0;
  l->kinds = *info->kinds;
  l->rows++;
}

/* ---- a table ---- */

/* The text of a cell; a width as the job file writes it. */
static const char *cell_text(const es_merged_info_t *info, int i, const char *cell, char ratio[32]) {
  double width;
  if (strcmp(info->names[i], "width") != 0 || !es_text_to_double(cell, &width)) return cell;
  return es_text_ratio(width, ratio);
}

static void begin_table(listing_t *l, const es_merged_info_t *info) {
  char heading[64], delta[32], ratio[32];
  bool any = false;
  es_text_append_plain(l->out, info->job_name);
  for (int i = 0; i < info->n_names; i++) {
    if (l->varies[i]) continue;
    es_text_append(l->out, "%s%s ", any ? ", " : ": ", info->names[i]);
    es_text_append_plain(l->out, cell_text(info, i, l->first[i] != NULL ? l->first[i] : "", ratio));
    any = true;
  }
  es_text_append(l->out, "\n%lld of %lld point%s", (long long)info->n_points, (long long)info->n_grid,
                 es_plural(info->n_grid));
  if (info->missing[0] != '\0') es_text_append(l->out, ", missing: ");
  es_text_append_plain(l->out, info->missing);
  es_text_append(l->out, "\n");
  es_kinds_print(&l->kinds, l->out);
  es_text_append(l->out, "\n");
  for (int i = 0; i < info->n_names - 1; i++) {
    if (l->varies[i]) es_table_column(&l->table, info->names[i], i == 0);
  }
  snprintf(heading, sizeof heading, "saturation (delta %s)", es_text_double(info->delta, delta));
  if (info->layers_chosen) es_table_column(&l->table, "layer", false);
  es_table_column(&l->table, "accuracy", true);
  es_table_column(&l->table, heading, true);
  if (l->unconverged) es_table_columns(&l->table, ">unconverged probes");
  es_table_column(&l->table, "reason", false);
}

static void add_table_row(listing_t *l, const es_merged_info_t *info, const es_merged_point_t *point) {
  for (int i = 0; i < info->n_names - 1; i++) {
    char ratio[32];
    if (l->varies[i]) es_table_cell(&l->table, "%s", cell_text(info, i, point->cells[i], ratio));
  }
  if (info->layers_chosen) es_table_cell(&l->table, "%s", point->layer);
  es_table_number(&l->table, point->accuracy);
  es_table_number(&l->table, point->saturation);
  if (l->unconverged) es_table_cell(&l->table, "%lld", (long long)point->unconverged);
  es_table_cell(&l->table, "%s", point->cells[info->n_names - 1]);
}

/* ---- csv and json: both have all columns ---- */

enum { NUMBERS = 3 };
static const char *number_name(const es_merged_info_t *info, int i) {
  static const char *const names[NUMBERS] = {"accuracy", "mean_saturation", "delta"};
  return i == 1 && info->layers_chosen ? "saturation" : names[i];
}

static void begin_json(listing_t *l, const es_merged_info_t *info) {
  es_text_append(l->out, "{\n  \"job_name\": ");
  es_text_append_quoted(l->out, info->job_name);
  es_text_append(l->out, ",\n  \"n_points\": %lld,\n  \"n_grid\": %lld,\n  \"missing\": ", (long long)info->n_points,
                 (long long)info->n_grid);
  es_text_append_quoted(l->out, info->missing);
  es_text_append(l->out, ",\n  \"points\": [");
}

static void add_csv_row(listing_t *l, const es_merged_info_t *info, const es_merged_point_t *point) {
  const double numbers[] = {point->accuracy, point->saturation, info->delta};
  char text[32];
  for (int i = 0; i < info->n_names; i++) {
    es_text_append_csv(l->out, point->cells[i]);
    es_text_append(l->out, ",");
  }
  if (info->layers_chosen) {
    es_text_append_csv(l->out, point->layer);
    es_text_append(l->out, ",");
  }
  for (int i = 0; i < NUMBERS; i++)
    es_text_append(l->out, "%s%s", isnan(numbers[i]) ? "" : es_text_double(numbers[i], text),
                   i < NUMBERS - 1 ? "," : "\n");
}

static void add_json_row(listing_t *l, const es_merged_info_t *info, const es_merged_point_t *point) {
  const double numbers[] = {point->accuracy, point->saturation, info->delta};
  char text[32];
  es_text_append(l->out, "%s\n    {", l->rows > 0 ? "," : "");
  for (int i = 0; i < info->n_names; i++) {
    es_text_append(l->out, "%s\"%s\": ", i > 0 ? ", " : "", info->names[i]);
    if (info->words[i])
      es_text_append_quoted(l->out, point->cells[i]);
    else
      es_text_append(l->out, "%s", point->cells[i][0] != '\0' ? point->cells[i] : "null");
  }
  if (info->layers_chosen) es_text_append(l->out, ", \"layer\": ");
  if (info->layers_chosen && point->layer[0] != '\0')
    es_text_append_quoted(l->out, point->layer);
  else if (info->layers_chosen)
    es_text_append(l->out, "null");
  for (int i = 0; i < NUMBERS; i++)
    es_text_append(l->out, ", \"%s\": %s", number_name(info, i),
                   isfinite(numbers[i]) ? es_text_double(numbers[i], text) : "null");
  es_text_append(l->out, "}");
}

static void show_point(void *context, const es_merged_info_t *info, const es_merged_point_t *point) {
  listing_t *l = context;
  if (point != NULL) {
    (l->format == ES_SHOW_TABLE ? add_table_row
     : l->format == ES_SHOW_CSV ? add_csv_row
                                : add_json_row)(l, info, point);
    l->rows++;
  } else if (l->format == ES_SHOW_CSV) {
    for (int i = 0; i < info->n_names; i++) es_text_append(l->out, "%s,", info->names[i]);
    if (info->layers_chosen) es_text_append(l->out, "layer,");
    for (int i = 0; i < NUMBERS; i++)
      es_text_append(l->out, "%s%s", number_name(info, i), i < NUMBERS - 1 ? "," : "\n");
  } else {
    (l->format == ES_SHOW_TABLE ? begin_table : begin_json)(l, info);
  }
}

es_code_t es_merged_show(es_text_t *out, const char *path, es_show_format_t format, double delta, const char *layer,
                         es_status_t *status) {
  listing_t l = {.format = format, .out = out};
  es_code_t code = format == ES_SHOW_TABLE ? es_merged_read(path, delta, layer, compare, &l, status) : ES_OK;
  l.rows = 0;
  if (code == ES_OK) code = es_merged_read(path, delta, layer, show_point, &l, status);
  if (format == ES_SHOW_TABLE) es_table_print(&l.table, out);
  if (format == ES_SHOW_JSON) es_text_append(out, "\n  ]\n}\n");
  if (code == ES_OK && out->failed)
    code = es_fail(status, ES_SYSTEM, "show", "%s: cannot be shown: out of memory", path);
  for (int i = 0; i < ES_COLUMNS_MAX; i++) es_free(l.first[i]);
  es_table_destroy(&l.table);
  return code;
}
