/* A whole job as YAML, resolved: what a merged file says of its grid. Made from the descriptions of its points
 * (es_point_describe), so that it says all that they say. */
#include "eigenscope/merge.h"
#include <string.h>

enum { OWN_AXES = 6 }; /* dataset, model, width, classes, resolution, seed: those of every point */

/* Where the section `name` begins behind its own line, NULL when there is none. */
static const char *find_section(const char *text, const char *name) {
  const size_t length = strlen(name);
  for (const char *line = text; *line != '\0';) {
    if (strncmp(line, name, length) == 0 && line[length] == ':' && line[length + 1] == '\n') return line + length + 2;
    line += strcspn(line, "\n");
    line += *line == '\n';
  }
  return NULL;
}

/* Bytes of the indented lines from here. */
static size_t section_size(const char *body) {
  const char *line = body;
  while (*line == ' ') {
    line += strcspn(line, "\n");
    line += *line == '\n';
  }
  return (size_t)(line - body);
}

static void append_value(es_text_t *out, const es_point_t *point, const char *axis) {
  for (int i = 0; i < point->n_axes; i++) {
    if (strcmp(point->axes[i].name, axis) != 0) continue;
    if (point->axes[i].is_number)
      es_text_append(out, "%s", point->axes[i].text);
    else
      es_text_append_quoted(out, point->axes[i].text);
  }
}

static void append_grid(es_text_t *out, const es_job_t *job) {
  es_text_append(out, "grid:\n");
  for (int block = 0; block < es_job_n_blocks(job); block++) {
    for (int a = 0; a < es_job_n_axes(job, block); a++) {
      const es_job_axis_t axis = es_job_axis(job, block, a);
      es_text_append(out, "%s%s: [", a == 0 ? "  - " : "    ", axis.name);
      for (int v = 0; v < axis.n_values; v++) {
        es_point_t point;
        es_job_start(job, block, &point);
        es_job_apply(job, block, a, v, &point, &(es_status_t){0});
        if (v > 0) es_text_append(out, ", ");
        append_value(out, &point, axis.name);
      }
      es_text_append(out, "]\n");
    }
  }
}

/* Appends the entry of a description under `section`, unless an earlier one had the same. */
static void add_entry(es_text_t *entries, const char *description, const char *section) {
  const char *body = find_section(description, section);
  es_text_t entry = {0};
  if (body != NULL) es_text_append(&entry, "%.*s", (int)section_size(body), body);
  if (strstr(es_text_get(entries), es_text_get(&entry)) == NULL) {
    es_text_append(entries, "%s", es_text_get(&entry));
  }
  if (entry.failed) entries->failed = true;
  es_text_destroy(&entry);
}

/* The models and datasets of all points. */
static void collect_entries(const es_job_t *job, const es_grid_t *grid, es_text_t *models, es_text_t *datasets) {
  es_point_t before = {0};
  for (int64_t i = 0; i < es_grid_count(grid); i++) {
    es_point_t point;
    es_grid_point(grid, i, &point);
    /* Neighbours mostly have both in common. */
    if (i > 0 && strcmp(point.model.name, before.model.name) == 0 &&
        strcmp(point.dataset.name, before.dataset.name) == 0)
      continue;
    es_text_t text = {0};
    es_point_describe(&point, es_job_name(job), &text);
    add_entry(models, es_text_get(&text), "models");
    add_entry(datasets, es_text_get(&text), "datasets");
    if (text.failed) models->failed = true;
    es_text_destroy(&text);
    before = point;
  }
}

/* The sections of a description, with the grid of all points and what they use in the place of its own. */
static void replace_sections(const es_job_t *job, const es_grid_t *grid, const char *description, es_text_t *out) {
  static const char *const replaced[] = {"grid:\n", "models:\n", "datasets:\n"};
  es_text_t models = {0}, datasets = {0};
  collect_entries(job, grid, &models, &datasets);
  for (const char *line = description; *line != '\0';) {
    size_t length = strcspn(line, "\n") + 1;
    int which = 0;
    while (which < 3 && strncmp(line, replaced[which], strlen(replaced[which])) != 0) which++;
    if (which < 3) length += section_size(line + length);
    if (which == 0) append_grid(out, job);
    if (which == 2) {
      if (models.length > 0) es_text_append(out, "models:\n%s", es_text_get(&models));
      es_text_append(out, "datasets:\n%s", es_text_get(&datasets));
    }
    if (which == 3) es_text_append(out, "%.*s", (int)length, line);
    line += length;
  }
  if (models.failed || datasets.failed) out->failed = true;
  es_text_destroy(&models);
  es_text_destroy(&datasets);
}

void es_merge_describe(const es_job_t *job, const es_grid_t *grid, es_text_t *out) {
  const es_point_t *base = es_job_base(job);
  es_text_t text = {0};
  es_point_t point;
  es_grid_point(grid, 0, &point);
  if (point.n_axes > OWN_AXES) point.n_axes = OWN_AXES;
  /* Settings as they are where no axis says otherwise. */
  point.train = base->train;
  point.measure = base->measure;
  point.probe = base->probe;
  point.checkpoint = base->checkpoint;
  es_point_describe(&point, es_job_name(job), &text);
  replace_sections(job, grid, es_text_get(&text), out);
  if (text.failed) out->failed = true;
  es_text_destroy(&text);
}
