/* The section `models`, and the lookup of names on the model axis. */
#include "eigenscope/graph.h"
#include "job_internal.h"
#include <stdio.h>
#include <string.h>

/* Appends "vgg, mlp or resnet": the keys of the families that have (`has` true) or lack (false) one of these options;
 * all families for `has` false and no options. Options say nothing about descriptions. `last` is the text before the
 * last one. */
static void list_families(es_text_t *out, unsigned options, bool has, const char *last) {
  const char *keys[ES_FAMILIES];
  int n = 0;
  for (int i = 0; i < ES_FAMILIES; i++) {
    const es_family_row_t *row = es_family((es_family_t)i);
    if (options != 0 && i == ES_FAMILY_DESCRIPTION) continue;
    if (es_family_find(row->key) == row && ((row->options & options) != 0) == has) keys[n++] = row->key;
  }
  for (int i = 0; i < n; i++) es_text_append(out, "%s%s", i == 0 ? "" : i == n - 1 ? last : ", ", keys[i]);
}

static es_code_t refuse_option(const es_job_t *job, const es_yaml_t *node, const char *where, int i,
                               es_status_t *status) {
  const es_model_option_t *option = es_model_option(i);
  es_text_t text = {0};
  list_families(&text, 1u << i, true, " and ");
  es_text_append(&text, "%s", option->elsewhere[0]);
  if (option->elsewhere[1]) {
    list_families(&text, 1u << i, false, " or ");
    es_text_append(&text, "%s", option->elsewhere[1]);
  }
  es_yaml_fail_key(&job->tree, node, status, "%s.%s can only be used with %s", where, option->name, es_text_get(&text));
  es_text_destroy(&text);
  return status->code;
}

/* Checks that an architecture has one family, and only options of this family. */
static es_code_t check_family(const es_job_t *job, const es_yaml_t *map, const char *where, es_status_t *status) {
  const es_family_row_t *row = NULL;
  for (int i = 0; i < ES_FAMILIES; i++) {
    const es_family_row_t *other = es_family((es_family_t)i);
    const es_yaml_t *node = es_yaml_find(map, other->key);
    if (node == NULL && i == ES_FAMILY_DESCRIPTION) node = es_yaml_find(map, "file");
    if (node == NULL && i == ES_FAMILY_DESCRIPTION) node = es_yaml_find(map, "base");
    if (node == NULL || es_family_find(other->key) != other) continue;
    if (row != NULL)
      return es_yaml_fail_key(&job->tree, node, status, "%s has both %s and %s; keep one", where, row->key, node->key);
    row = other;
  }
  if (row == NULL) {
    es_text_t keys = {0};
    list_families(&keys, 0, false, " or ");
    es_yaml_fail_key(&job->tree, map, status, "%s has no architecture; it needs %s, as in vgg: [64, M]", where,
                     es_text_get(&keys));
    es_text_destroy(&keys);
    return status->code;
  }
  for (int i = 0; es_model_option(i) != NULL; i++) {
    const es_yaml_t *node = es_yaml_find(map, es_model_option(i)->name);
    if (node != NULL && (row->options >> i & 1) == 0) return refuse_option(job, node, where, i, status);
  }
  return ES_OK;
}

static es_code_t read_entry(es_job_t *job, const es_yaml_t *map, es_model_spec_t *out, es_status_t *status) {
  snprintf(out->name, sizeof out->name, "%s",
           map->key); /* also of an entry with faults, so that the grid may name it */
  ES_TRY(es_name_check(job, map, "model", status));
  char where[2 * ES_NAME_MAX];
  snprintf(where, sizeof where, "models.%s", map->key);
  es_model_spec_t builtin;
  if (es_model_spec_builtin(&builtin, map->key))
    return es_yaml_fail_key(&job->tree, map, status, "%s has the name of a built-in model; choose another", where);
  const int before = es_faults_count(job->tree.faults);
  ES_TRY(es_section_read(&job->tree, "models.*", map, where, out, status));
  if (es_faults_count(job->tree.faults) > before) return ES_OK;
  ES_TRY(check_family(job, map, where, status));
  const bool described = es_yaml_find(map, "layers") || es_yaml_find(map, "file") || es_yaml_find(map, "base");
  if (described) return es_description_read(job, map, where, out, status);
  const es_yaml_t *other = es_yaml_find(map, "parameters");
  if (other == NULL) other = es_yaml_find(map, "blocks");
  if (other == NULL) return ES_OK;
  return es_yaml_fail_key(&job->tree, other, status, "%s.%s can only be used with layers", where, other->key);
}

es_code_t es_models_read(es_job_t *job, const es_yaml_t *map, es_status_t *status) {
  if (map == NULL || es_yaml_is_empty(map)) return ES_OK;
  char excerpt[ES_EXCERPT_MAX];
  if (map->kind != ES_NODE_MAP)
    return es_yaml_fail(&job->tree, map, status, "models must be a mapping from names to architectures, not %s",
                        es_yaml_describe(map, excerpt));
  job->models = es_tree_allocate(&job->tree, (size_t)map->n, sizeof *job->models);
  if (job->models == NULL) return es_tree_no_memory(&job->tree, status);
  for (const es_yaml_t *entry = map->first; entry != NULL; entry = entry->next) {
    ES_TRY_ALL(&job->tree, read_entry(job, entry, &job->models[job->n_models], status), status);
    job->n_models++;
  }
  return ES_OK;
}

static bool has_model(const es_job_t *job, const char *name) {
  es_model_spec_t builtin;
  for (int i = 0; i < job->n_models; i++) {
    if (strcmp(job->models[i].name, name) == 0) return true;
  }
  return es_model_spec_builtin(&builtin, name);
}

static es_code_t add_shipped(es_job_t *job, const es_shipped_t *row, es_status_t *status) {
  es_model_spec_t *models = es_tree_allocate(&job->tree, (size_t)job->n_models + 1, sizeof *models);
  if (models == NULL) return es_tree_no_memory(&job->tree, status);
  if (job->n_models > 0) memcpy(models, job->models, (size_t)job->n_models * sizeof *models);
  job->models = models;
  ES_TRY(es_description_read_shipped(job, row, &models[job->n_models], status));
  job->n_models++;
  return ES_OK;
}

es_code_t es_models_ship(es_job_t *job, const es_yaml_t *value, es_status_t *status) {
  if (value == NULL) return ES_OK;
  for (const es_yaml_t *node = value->kind == ES_NODE_LIST ? value->first : value; node != NULL; node = node->next) {
    const es_shipped_t *row = node->kind == ES_NODE_SCALAR ? es_shipped_find(node->text) : NULL;
    if (row != NULL && !has_model(job, row->name)) ES_TRY(add_shipped(job, row, status));
    if (value->kind != ES_NODE_LIST) break;
  }
  return ES_OK;
}

es_code_t es_model_find(const es_job_t *job, const es_yaml_t *value, es_model_spec_t *out, es_status_t *status) {
  if (es_model_spec_builtin(out, value->text)) return ES_OK;
  char excerpt[ES_EXCERPT_MAX], known[256] = "", word[ES_NAME_MAX];
  size_t length = 0;
  snprintf(word, sizeof word, "%s", value->text);
  char *batch_norm = strstr(word, "_bn"); /* torchvision's vgg11_bn; here every VGG has batch norm */
  if (batch_norm != NULL) *batch_norm = '\0';
  for (const char *const *name = es_model_spec_names(); *name != NULL; name++)
    length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", length > 0 ? ", " : "", *name);
  for (int i = 0; i < job->n_models; i++) {
    const char *name = job->models[i].name;
    if (strcmp(name, value->text) == 0) {
      *out = job->models[i];
      return ES_OK;
    }
    if (length < sizeof known) length += (size_t)snprintf(known + length, sizeof known - length, ", %s", name);
  }
  es_yaml_describe_name(value, excerpt);
  const char *nearest = es_model_nearest(job, word);
  if (nearest != NULL)
    return es_yaml_fail(&job->tree, value, status, "unknown model %s; did you mean \"%s\"?", excerpt, nearest);
  return es_yaml_fail(
      &job->tree, value, status,
      "unknown model %s; known models are %s, and those of eigenscope model list; describe other models "
      "under models",
      excerpt, known);
}
