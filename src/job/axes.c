/* The section `grid`: blocks of axes. Every value is checked here once, so that resolving a point cannot fail later. */
#include "eigenscope/description.h"
#include "eigenscope/memory.h"
#include "job_internal.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STANDARD_AXES = 6 };

/* Finds the key of an axis of moments: a setting of measure or probe, or NULL for a label. */
static es_code_t find_key_of_moments(es_job_t *job, const es_yaml_t *node, const es_key_t **out, const char **name,
                                     es_status_t *status) {
  const es_key_t *key = strchr(node->key, '.') != NULL ? es_keys_find_dotted(node->key) : NULL;
  const bool measures = key != NULL && es_key_is_axis(key) && strcmp(key->section, "train") != 0;
  *out = measures ? key : NULL;
  if (!measures) return es_label_name(job, node, name, status);
  if (strcmp(key->name, "method") != 0 && strcmp(key->name, "projection") != 0) return ES_OK;
  return es_yaml_fail_key(&job->tree, node, status, "%s cannot be used with source: moments", node->key);
}

/* Checks that a model has the parameter of an axis model.NAME. */
static es_code_t find_parameter(const es_job_t *job, const es_yaml_t *node, es_status_t *status) {
  const char *name = es_description_axis(node->key), *names[64];
  int n = 0;
  for (int i = 0; i < job->n_models; i++) {
    const es_description_t *d = job->models[i].description;
    if (d != NULL && es_description_parameter(d, name) >= 0) return ES_OK;
    for (int k = 0; d != NULL && k < d->n_parameters && n < 64; k++) names[n++] = d->parameters[k].name;
  }
  const char *nearest = es_text_nearest(name, names, n);
  if (nearest != NULL)
    return es_yaml_fail_key(&job->tree, node, status,
                            "grid.%.80s: no model has the parameter %.60s; did you mean model.%s?", node->key, name,
                            nearest);
  return es_yaml_fail_key(&job->tree, node, status,
                          "grid.%.80s: no model has the parameter %.60s; give it to the description of a model, as in "
                          "parameters: {%.60s: 2}",
                          node->key, name, name);
}

/* Checks that each model of a block has the parameters that are axes of the block. */
static es_code_t check_parameters(const es_job_t *job, const es_block_t *block, es_status_t *status) {
  for (int a = 0; a < block->n_axes; a++) {
    const es_axis_t *axis = &block->axes[a];
    const char *name = axis->parameter ? es_description_axis(axis->name) : NULL;
    for (int b = 0; name != NULL && b < block->n_axes; b++) {
      for (int v = 0; v < block->axes[b].n && strcmp(block->axes[b].name, "model") == 0; v++) {
        es_model_spec_t model;
        ES_TRY(es_model_find(job, block->axes[b].nodes[v], &model, status));
        if (model.description != NULL && es_description_parameter(model.description, name) >= 0) continue;
        return es_fail(status, ES_INPUT, "job", "%s:%d: grid.%s: model %s has no parameter %s", es_job_path(job),
                       axis->line, axis->name, model.name, name);
      }
    }
  }
  return ES_OK;
}

/* Finds the key of an axis by name, and its name if it is a label; ES_INPUT with the reason if the key cannot be an
 * axis. */
static es_code_t find_key(es_job_t *job, const es_yaml_t *node, const es_key_t **out, const char **name,
                          es_status_t *status) {
  if (job->top.source == ES_SOURCE_MOMENTS) return find_key_of_moments(job, node, out, name, status);
  *out = es_keys_find("grid", node->key);
  if (*out != NULL) return ES_OK;
  if (es_description_axis(node->key) != NULL) return find_parameter(job, node, status);
  const es_key_t *key = strchr(node->key, '.') != NULL ? es_keys_find_dotted(node->key) : NULL;
  if (key == NULL || !es_key_is_of_point(key)) return es_keys_unknown(&job->tree, node, "grid", "grid", status);
  if (!es_key_is_axis(key))
    return es_yaml_fail_key(&job->tree, node, status, "%s cannot be an axis: %s; set it under %s", node->key,
                            strcmp(key->section, "checkpoint") == 0 ? "it does not change the results"
                                                                    : "its value is not a single number or word",
                            key->section);
  *out = key;
  return ES_OK;
}

/* Reads the values as nodes: a scalar is a list of one value. */
static es_code_t read_values(es_job_t *job, const es_yaml_t *node, es_axis_t *axis, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  if (node->kind == ES_NODE_MAP || es_yaml_is_empty(node))
    return es_yaml_fail(&job->tree, node, status, "grid.%s must be a value or a list of values, not %s", axis->name,
                        es_yaml_describe(node, excerpt));
  axis->n = node->kind == ES_NODE_LIST ? node->n : 1;
  if (axis->n == 0)
    return es_yaml_fail(&job->tree, node, status, "grid.%s is an empty list; an axis needs at least one value",
                        axis->name);
  axis->values = es_tree_allocate(&job->tree, (size_t)axis->n, sizeof *axis->values);
  axis->lines = es_tree_allocate(&job->tree, (size_t)axis->n, sizeof *axis->lines);
  axis->nodes = es_tree_allocate(&job->tree, (size_t)axis->n, sizeof *axis->nodes);
  if (axis->values == NULL || axis->lines == NULL || axis->nodes == NULL) return es_tree_no_memory(&job->tree, status);
  const es_yaml_t *item = node->kind == ES_NODE_LIST ? node->first : node;
  for (int i = 0; i < axis->n; i++, item = item->next) {
    if (item->kind != ES_NODE_SCALAR || es_yaml_is_empty(item))
      return es_yaml_fail(&job->tree, item, status, "a value of grid.%s must be a single number or word, not %s",
                          axis->name, es_yaml_describe(item, excerpt));
    axis->values[i] = item->text;
    axis->lines[i] = es_origin_line(job, item->line);
    axis->nodes[i] = item;
  }
  return ES_OK;
}

typedef struct entry {
  char text[ES_NAME_MAX];
  int index;
} entry_t;

static int by_text(const void *a, const void *b) {
  const entry_t *x = a, *y = b;
  int order = strcmp(x->text, y->text);
  return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* Applies every value of an axis to a scratch point. Refuses a value equal to an earlier one, also if written
 * differently (0.1 and 0.10). */
static es_code_t check_values(es_job_t *job, int block, int index, es_point_t *scratch, es_status_t *status) {
  const es_axis_t *axis = &job->blocks[block].axes[index];
  const bool dataset = axis->key != NULL && strcmp(axis->name, "dataset") == 0;
  es_code_t code = ES_OK;
  const int before = es_faults_count(job->tree.faults);
  int repetition = -1;
  char excerpt[ES_EXCERPT_MAX];
  entry_t *entries = es_allocate_zero((size_t)axis->n, sizeof *entries);
  if (entries == NULL) return es_tree_no_memory(&job->tree, status);
  for (int i = 0; i < axis->n; i++) {
    if (dataset) code = es_dataset_resolve(job, axis->nodes[i], status);
    if (code == ES_OK) code = es_job_apply(job, block, index, i, scratch, status);
    if (code != ES_OK) code = es_tree_take(&job->tree, status);
    if (code != ES_OK) goto out;
    entries[i].index = i;
    for (int k = 0; k < scratch->n_axes; k++) {
      const es_axis_value_t *value = &scratch->axes[k];
      if (strcmp(value->name, axis->name) != 0) continue;
      memcpy(entries[i].text, value->text, ES_NAME_MAX);
      if (axis->key == NULL && value->is_number) es_text_double(value->number, entries[i].text);
    }
  }
  if (es_faults_count(job->tree.faults) > before) goto out; /* then not every entry has its text */
  qsort(entries, (size_t)axis->n, sizeof *entries, by_text);
  for (int i = 1; i < axis->n; i++) {
    /* An entry has no text if its fault is that of an earlier block, which is not counted again. */
    const bool same = entries[i].text[0] != '\0' && strcmp(entries[i].text, entries[i - 1].text) == 0;
    if (same && (repetition < 0 || entries[i].index < repetition)) repetition = entries[i].index;
  }
  if (repetition >= 0)
    code = es_yaml_fail(&job->tree, axis->nodes[repetition], status, "grid.%s has %s twice", axis->name,
                        es_yaml_describe(axis->nodes[repetition], excerpt));
out:
  es_free(entries);
  return code;
}

static es_code_t read_block(es_job_t *job, int index, es_status_t *status) {
  es_block_t *block = &job->blocks[index];
  const int before = es_faults_count(job->tree.faults);
  int extra = 0;
  ES_TRY(es_models_ship(job, es_yaml_find(block->node, "model"), status));
  block->axes = es_tree_allocate(&job->tree, (size_t)block->node->n, sizeof *block->axes);
  if (block->axes == NULL) return es_tree_no_memory(&job->tree, status);
  for (const es_yaml_t *node = block->node->first; node != NULL; node = node->next) {
    es_axis_t *axis = &block->axes[block->n_axes];
    *axis = (es_axis_t){.name = node->key, .line = es_origin_line(job, node->key_line)};
    const bool network = es_source_has_network(job->top.source);
    axis->parameter = network && es_description_axis(node->key) != NULL;
    if (find_key(job, node, &axis->key, &axis->name, status) != ES_OK) {
      ES_TRY(es_tree_take(&job->tree, status));
      continue;
    }
    extra += axis->key == NULL || strcmp(axis->key->section, "grid") != 0;
    if (extra > ES_AXES_MAX - STANDARD_AXES)
      return es_yaml_fail_key(&job->tree, node, status, "the grid has more than %d axes", ES_AXES_MAX - STANDARD_AXES);
    if (read_values(job, node, axis, status) == ES_OK)
      block->n_axes++;
    else
      ES_TRY(es_tree_take(&job->tree, status));
  }
  es_point_t scratch;
  es_job_start(job, index, &scratch);
  const int before_values = es_faults_count(job->tree.faults);
  for (int i = 0; i < block->n_axes; i++) ES_TRY_ALL(&job->tree, check_values(job, index, i, &scratch, status), status);
  if (before_values > before) return ES_OK; /* a missing axis may be one with a wrong name */
  for (int i = 0; es_source_has_network(job->top.source) && i < 2; i++) {
    const char *name = i == 0 ? "dataset" : "model";
    if (es_yaml_find(block->node, name) == NULL)
      return es_yaml_fail(&job->tree, block->node, status, "grid has no %s; it needs one, as in %s: [%s]", name, name,
                          es_keys_find("grid", name)->fallback);
  }
  return es_faults_count(job->tree.faults) > before ? ES_OK : check_parameters(job, block, status);
}

/* Refuses a setting that is an axis of every block and also set in its section: that value would never be used. */
static es_code_t check_overrides(const es_job_t *job, es_status_t *status) {
  for (int a = 0; a < job->blocks[0].n_axes; a++) {
    const es_axis_t *axis = &job->blocks[0].axes[a];
    if (axis->key == NULL || strcmp(axis->key->section, "grid") == 0) continue;
    const es_yaml_t *node = es_yaml_find(es_yaml_find(job->tree.root, axis->key->section), axis->key->name);
    bool everywhere = node != NULL;
    for (int b = 1; b < job->n_blocks && everywhere; b++)
      everywhere = es_yaml_find(job->blocks[b].node, axis->name) != NULL;
    if (everywhere)
      return es_yaml_fail_key(&job->tree, node, status, "%s is also an axis of the grid (line %d); keep one of them",
                              axis->name, axis->line);
  }
  return ES_OK;
}

es_code_t es_axes_read(es_job_t *job, es_status_t *status) {
  const es_yaml_t *grid = es_yaml_find(job->tree.root, "grid");
  char excerpt[ES_EXCERPT_MAX];
  if (grid == NULL && es_faults_count(job->tree.faults) > 0) return ES_OK; /* the key may have a wrong name */
  if (grid == NULL)
    return es_yaml_fail(&job->tree, job->tree.root, status,
                        "the job has no grid; it needs one, as in grid: {dataset: [fashion-mnist], model: [vgg11]}");
  if (grid->kind == ES_NODE_SCALAR && !es_yaml_is_empty(grid))
    return es_yaml_fail(&job->tree, grid, status, "grid must be a mapping of axes or a list of such mappings, not %s",
                        es_yaml_describe(grid, excerpt));
  if (grid->n == 0)
    return es_yaml_fail_key(&job->tree, grid, status,
                            "grid is empty; it needs axes, as in grid: {dataset: [fashion-mnist], model: [vgg11]}");
  const bool list = grid->kind == ES_NODE_LIST;
  job->n_blocks = list ? grid->n : 1;
  job->blocks = es_tree_allocate(&job->tree, (size_t)job->n_blocks, sizeof *job->blocks);
  if (job->blocks == NULL) return es_tree_no_memory(&job->tree, status);
  const es_yaml_t *node = list ? grid->first : grid;
  for (int i = 0; i < job->n_blocks; i++, node = node->next) {
    if (node->kind != ES_NODE_MAP)
      return es_yaml_fail(&job->tree, node, status, "an entry of grid must be a mapping of axes, not %s",
                          es_yaml_describe(node, excerpt));
    job->blocks[i].node = node;
    ES_TRY_ALL(&job->tree, read_block(job, i, status), status);
  }
  return es_faults_count(job->tree.faults) > 0 ? ES_OK : check_overrides(job, status);
}

/* Sets the number of an axis whose value in the point has this text; words have none. */
static void set_number(const es_key_t *key, const es_point_t *point, es_axis_value_t *axis) {
  int64_t whole;
  double real;
  axis->is_number = axis->is_whole = false;
  axis->number = 0;
  if (key->type == ES_KEY_NAME) return;
  if (key->type == ES_KEY_RATIO)
    es_axis_set_real(axis, es_ratio_value(point->width));
  else if (es_text_to_int(axis->text, &whole))
    es_axis_set_whole(axis, whole);
  else if (es_text_to_double(axis->text, &real))
    es_axis_set_real(axis, real);
  else if (key->type == ES_KEY_COUNT32)
    es_axis_set_whole(axis, 0); /* `all`, until the dataset is known */
}

/* Leaves an axis to the shapes in files of weights, unless the axis selects the files. */
static void leave_to_files(es_point_t *point, const char *name) {
  char field[ES_NAME_MAX];
  snprintf(field, sizeof field, "{%s", name);
  if (point->external.from_results || strstr(point->external.file[ES_TRAIN], field) != NULL) return;
  if (strcmp(name, "width") == 0) point->width = (es_ratio_t){0, 1};
  for (int i = 0; i < point->n_axes; i++) {
    if (strcmp(point->axes[i].name, name) != 0) continue;
    point->axes[i].number = 0;
    snprintf(point->axes[i].text, sizeof point->axes[i].text, "%s", ES_AXIS_OF_FILES);
  }
}

void es_job_start(const es_job_t *job, int block, es_point_t *out) {
  *out = job->base;
  const int line = es_origin_line(job, job->blocks[block].node->line);
  out->line_model = out->line_width = out->line_classes = out->line_resolution = line;
  if (!es_source_has_network(job->top.source)) return; /* files have only the axes that the job gives them */
  for (int i = 0; i < es_keys_count(); i++) {
    const es_key_t *key = es_keys_get(i);
    if (strcmp(key->section, "grid") != 0) continue;
    es_axis_value_t *axis = &out->axes[out->n_axes++];
    snprintf(axis->name, sizeof axis->name, "%s", key->name);
    if (key->type == ES_KEY_NAME) continue;
    snprintf(axis->text, sizeof axis->text, "%s", key->fallback);
    set_number(key, out, axis);
  }
  assert(out->n_axes == STANDARD_AXES);
  if (job->top.source != ES_SOURCE_CHECKPOINT) return;
  leave_to_files(out, "width");
  leave_to_files(out, "classes");
}

/* Sets text and number of an axis from the value in the point. */
static void describe_value(const es_key_t *key, const es_yaml_t *node, const es_point_t *point, es_axis_value_t *out) {
  char text[ES_SETTING_MAX];
  if (key->type == ES_KEY_NAME)
    snprintf(text, sizeof text, "%s", node->text);
  else
    es_key_print(key, point, text);
  snprintf(out->text, sizeof out->text, "%.*s", ES_NAME_MAX - 1, text);
  set_number(key, point, out);
}

/* The entry of an axis in a point, added if there is none. */
static es_axis_value_t *entry_of(es_point_t *point, const char *name) {
  int i = 0;
  while (i < point->n_axes && strcmp(point->axes[i].name, name) != 0) i++;
  if (i == point->n_axes) {
    assert(point->n_axes < ES_AXES_MAX);
    point->n_axes++;
    snprintf(point->axes[i].name, sizeof point->axes[i].name, "%s", name);
  }
  return &point->axes[i];
}

static void note_line(const char *name, int line, es_point_t *point) {
  if (strcmp(name, "model") == 0) point->line_model = line;
  if (strcmp(name, "width") == 0) point->line_width = line;
  if (strcmp(name, "classes") == 0) point->line_classes = line;
  if (strcmp(name, "resolution") == 0) point->line_resolution = line;
}

/* Sets a parameter of a description. It stays in the axes of the point, where es_graph_create finds it. */
static es_code_t apply_parameter(const es_job_t *job, const char *name, const es_yaml_t *node, es_axis_value_t *out,
                                 es_status_t *status) {
  char text[32], excerpt[ES_EXCERPT_MAX];
  int64_t whole;
  double real;
  if (!node->plain || !es_text_to_double(node->text, &real))
    return es_yaml_fail(&job->tree, node, status, "grid.%s must be a number, not %s", name,
                        es_yaml_describe(node, excerpt));
  if (es_text_to_int(node->text, &whole))
    es_axis_set_whole(out, whole);
  else
    es_axis_set_real(out, real);
  snprintf(out->text, sizeof out->text, "%s", es_text_double(out->number, text));
  return ES_OK;
}

es_code_t es_job_apply(const es_job_t *job, int block, int axis, int value, es_point_t *point, es_status_t *status) {
  const es_axis_t *a = &job->blocks[block].axes[axis];
  const es_yaml_t *node = a->nodes[value];
  if (a->parameter) return apply_parameter(job, a->name, node, entry_of(point, a->name), status);
  if (a->key == NULL) {
    es_axis_value_t label;
    ES_TRY(es_label_read(job, a->name, node, &label, status));
    *entry_of(point, a->name) = label;
    return ES_OK;
  }
  const bool setting = strcmp(a->key->section, "grid") != 0;
  char where[2 * ES_NAME_MAX];
  snprintf(where, sizeof where, "%s%s", setting ? "" : "grid.", a->name);
  if (strcmp(a->name, "dataset") == 0)
    ES_TRY(es_dataset_find(job, node, &point->dataset, status));
  else if (strcmp(a->name, "model") == 0)
    ES_TRY(es_model_find(job, node, &point->model, status));
  else
    ES_TRY(es_key_read(&job->tree, a->key, node, where, point, status));
  describe_value(a->key, node, point, entry_of(point, a->name));
  note_line(a->name, a->lines[value], point);
  return ES_OK;
}
