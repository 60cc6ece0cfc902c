/* The section `datasets`, and the lookup of names on the dataset axis. */
#include "eigenscope/dataset_reader.h"
#include "job_internal.h"
#include <stdio.h>
#include <string.h>

static const char BUILTIN_NAME[] = "fashion-mnist";
static const char BUILTIN_PATH[] = "/usr/share/datasets/fashion-mnist";

/* Refuses keys that the format does not have, and a missing path that it needs. */
static es_code_t check_format(const es_job_t *job, const es_yaml_t *map, es_format_t format, const char *where,
                              es_status_t *status) {
  const es_dataset_reader_t *reader = es_reader_of(format);
  const bool with_path = es_yaml_find(map, "path") != NULL;
  for (const es_yaml_t *node = map->first; node != NULL; node = node->next) {
    char formats[ES_FORMATS_TEXT];
    const bool is_path = strcmp(node->key, "path") == 0;
    if (is_path ? reader->hint != NULL : es_reader_key(reader, node->key) != NULL) continue;
    if (es_formats_with(node->key, formats) == 0) continue; /* all formats have it */
    return es_yaml_fail_key(&job->tree, node, status, "%s.%s can only be used with format: %s", where, node->key,
                            formats);
  }
  if (reader->hint == NULL || with_path) return ES_OK;
  return es_yaml_fail_key(&job->tree, map, status, "%s has no path; it needs %s", where, reader->hint);
}

/* Reads the path. An unset variable is not expanded: it is an error only if the grid uses the dataset
 * (es_dataset_resolve). */
static es_code_t read_path(const es_job_t *job, const es_yaml_t *map, es_dataset_spec_t *spec, es_status_t *status) {
  const es_yaml_t *node = es_yaml_find(map, "path");
  char where[2 * ES_NAME_MAX + 8];
  snprintf(where, sizeof where, "datasets.%s.path", map->key);
  if (es_expand_is_set(node)) return es_expand_from_job(job, node, where, spec->path, status);
  if (strlen(node->text) >= ES_PATH_MAX)
    return es_yaml_fail(&job->tree, node, status, "%s is longer than %d bytes", where, ES_PATH_MAX - 1);
  snprintf(spec->path, ES_PATH_MAX, "%s", node->text);
  return ES_OK;
}

static es_code_t read_entry(es_job_t *job, const es_yaml_t *map, es_dataset_spec_t *out, es_status_t *status) {
  snprintf(out->name, sizeof out->name, "%s",
           map->key); /* also of an entry with faults, so that the grid may name it */
  ES_TRY(es_name_check(job, map, "dataset", status));
  char where[2 * ES_NAME_MAX];
  snprintf(where, sizeof where, "datasets.%s", map->key);
  es_dataset_entry_t entry = {0};
  ES_TRY(es_section_defaults(&job->tree, "datasets.*", &entry, status));
  entry.path = NULL; /* the table's fallback is only an example */
  const int before = es_faults_count(job->tree.faults);
  ES_TRY(es_section_read(&job->tree, "datasets.*", map, where, &entry, status));
  if (es_faults_count(job->tree.faults) > before) return ES_OK;
  ES_TRY(check_format(job, map, entry.spec.format, where, status));
  snprintf(entry.spec.name, sizeof entry.spec.name, "%s", map->key);
  entry.spec.line = es_origin_line(job, map->key_line);
  if (entry.path != NULL) ES_TRY(read_path(job, map, &entry.spec, status));
  *out = entry.spec;
  return ES_OK;
}

es_code_t es_datasets_read(es_job_t *job, const es_yaml_t *map, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  job->datasets = es_tree_allocate(&job->tree, (map != NULL ? (size_t)map->n : 0) + 1, sizeof *job->datasets);
  if (job->datasets == NULL) return es_tree_no_memory(&job->tree, status);
  if (map != NULL && map->kind != ES_NODE_MAP && !es_yaml_is_empty(map))
    return es_yaml_fail(&job->tree, map, status, "datasets must be a mapping from names to descriptions, not %s",
                        es_yaml_describe(map, excerpt));
  for (const es_yaml_t *entry = map != NULL ? map->first : NULL; entry != NULL; entry = entry->next) {
    ES_TRY_ALL(&job->tree, read_entry(job, entry, &job->datasets[job->n_datasets], status), status);
    job->n_datasets++;
  }
  return ES_OK;
}

static const es_dataset_spec_t *find(const es_job_t *job, const char *name) {
  for (int i = 0; i < job->n_datasets; i++) {
    if (strcmp(job->datasets[i].name, name) == 0) return &job->datasets[i];
  }
  return NULL;
}

es_code_t es_dataset_resolve(es_job_t *job, const es_yaml_t *value, es_status_t *status) {
  if (strcmp(value->text, BUILTIN_NAME) == 0 && find(job, BUILTIN_NAME) == NULL) {
    es_dataset_entry_t entry = {0};
    ES_TRY(es_section_defaults(&job->tree, "datasets.*", &entry, status));
    entry.spec.format = ES_FORMAT_IDX;
    entry.spec.line = es_origin_line(job, value->line);
    snprintf(entry.spec.name, sizeof entry.spec.name, "%s", BUILTIN_NAME);
    snprintf(entry.spec.path, sizeof entry.spec.path, "%s", BUILTIN_PATH);
    job->datasets[job->n_datasets++] = entry.spec;
  }
  es_dataset_spec_t found;
  ES_TRY(es_dataset_find(job, value, &found, status));
  const es_yaml_t *map = es_yaml_find(es_yaml_find(job->tree.root, "datasets"), value->text);
  const es_yaml_t *node = map != NULL ? es_yaml_find(map, "path") : NULL;
  char where[2 * ES_NAME_MAX + 8];
  snprintf(where, sizeof where, "datasets.%s.path", found.name);
  if (node == NULL || es_expand_is_set(node)) return ES_OK;
  es_status_t own = {0};
  es_expand(job, node, where, ES_PATH_MAX - 1, found.path, &own); /* names the unset variable */
  return es_fail(status, own.code, "job", "%s; it must lead to %s: export the variable, or use --set %s=PATH",
                 own.message, es_reader_of(found.format)->hint, where);
}

es_code_t es_dataset_find(const es_job_t *job, const es_yaml_t *value, es_dataset_spec_t *out, es_status_t *status) {
  const es_dataset_spec_t *spec = find(job, value->text);
  if (spec != NULL) {
    *out = *spec;
    return ES_OK;
  }
  char excerpt[ES_EXCERPT_MAX], known[256];
  const char *nearest = es_text_nearest(value->text, (const char *const[]){BUILTIN_NAME}, 1);
  size_t length = (size_t)snprintf(known, sizeof known, "%s", BUILTIN_NAME);
  for (int i = 0; i < job->n_datasets; i++) {
    const char *name = job->datasets[i].name;
    if (nearest == NULL) nearest = es_text_nearest(value->text, &name, 1);
    if (strcmp(name, BUILTIN_NAME) != 0 && length < sizeof known)
      length += (size_t)snprintf(known + length, sizeof known - length, ", %s", name);
  }
  es_yaml_describe_name(value, excerpt);
  if (nearest != NULL)
    return es_yaml_fail(&job->tree, value, status, "unknown dataset %s; did you mean \"%s\"?", excerpt, nearest);
  return es_yaml_fail(&job->tree, value, status,
                      "unknown dataset %s; known datasets are %s; describe other datasets under datasets", excerpt,
                      known);
}

/* Adds one dataset to probe.datasets. A value of another form is a fault that was reported when the key was read. */
static es_code_t add_to_probes(es_job_t *job, const es_yaml_t *name, es_status_t *status) {
  es_probe_settings_t *probe = &job->base.probe;
  if (name->kind != ES_NODE_SCALAR || es_yaml_is_empty(name) || probe->n_datasets == ES_PROBE_DATASETS_MAX)
    return ES_OK;
  ES_TRY(es_dataset_resolve(job, name, status));
  for (int i = 0; i < probe->n_datasets; i++) {
    if (strcmp(probe->datasets[i].spec->name, name->text) == 0)
      return es_yaml_fail(&job->tree, name, status, "probe.datasets has \"%s\" twice", name->text);
  }
  probe->datasets[probe->n_datasets++] = (es_probe_dataset_t){.spec = find(job, name->text)};
  return ES_OK;
}

es_code_t es_probe_datasets_read(es_job_t *job, es_status_t *status) {
  const es_yaml_t *probe = es_yaml_find(job->tree.root, "probe");
  const es_yaml_t *node = probe != NULL && probe->kind == ES_NODE_MAP ? es_yaml_find(probe, "datasets") : NULL;
  if (node == NULL) return ES_OK;
  const es_yaml_t *name = node->kind == ES_NODE_LIST ? node->first : node;
  if (name != NULL && !es_source_has_network(job->top.source))
    return es_yaml_fail(&job->tree, node, status,
                        "probe.datasets needs a network that can be run on other images, and source: %s has only files "
                        "of its outputs; leave it out",
                        es_yaml_find(job->tree.root, "source")->text);
  for (; name != NULL; name = node->kind == ES_NODE_LIST ? name->next : NULL)
    ES_TRY_ALL(&job->tree, add_to_probes(job, name, status), status);
  return ES_OK;
}

bool es_dataset_setting(const es_dataset_spec_t *spec, int i, es_dataset_setting_t *out) {
  static const char top[] = "datasets.*";
  const es_dataset_reader_t *reader = es_reader_of(spec->format);
  for (int k = 0; k < reader->n_keys; k++) {
    const es_key_t *key = &reader->keys[k];
    if (key->type == ES_KEY_SECTION || i-- > 0) continue;
    const bool nested = strcmp(key->section, top) != 0;
    *out = (es_dataset_setting_t){
        .section = nested ? key->section + sizeof top : "", .name = key->name, .in_id = key->type != ES_KEY_VARIABLE};
    if (key->type == ES_KEY_VARIABLE) {
      const char *variable = (const char *)spec + key->offset;
      es_text_t quoted = {0};
      es_text_append_quoted(&quoted, variable);
      snprintf(out->value, sizeof out->value, "%s", es_text_get(&quoted));
      es_text_destroy(&quoted);
      out->is_default = variable[0] == '\0';
    } else {
      es_key_print(key, spec, out->value);
      out->is_default = strcmp(out->value, key->fallback) == 0; /* reuses the printed value: runs for every point */
    }
    return true;
  }
  return false;
}
