/* The section `models`, and what the names on the model axis stand for. */
#include "eigenscope/graph.h"
#include "job_internal.h"
#include <stdio.h>
#include <string.h>

/* Every architecture has one of `kinds`, and options that belong to some of them. */
static const char *const kinds[] = {"vgg", "mlp", "resnet", "mobilenet"};
enum { KINDS = sizeof kinds / sizeof *kinds };
typedef struct option {
  const char *name;
  bool of[KINDS];
  const char *why;
} option_t;
static const option_t options[] = {
    {"head", {true, false, false, false}, "belongs to vgg; an mlp, resnet or mobilenet ends in one linear layer"},
    {"batch_norm", {true, false, false, false}, "belongs to vgg; the others always have batch norm"},
    {"stem", {false, false, true, true}, "belongs to resnet and mobilenet"},
    {"skip", {false, false, true, true}, "belongs to resnet and mobilenet; the others have no skip connections"},
};

static es_code_t check_kinds(const es_job_t *job, const es_yaml_t *map, const char *where, es_status_t *status) {
  int kind = -1;
  for (int i = 0; i < KINDS; i++) {
    const es_yaml_t *node = es_yaml_find(map, kinds[i]);
    if (node == NULL) continue;
    if (kind >= 0)
      return es_yaml_fail_key(&job->tree, node, status, "%s has both %s and %s; keep one", where, kinds[kind],
                              kinds[i]);
    kind = i;
  }
  if (kind < 0)
    return es_yaml_fail_key(&job->tree, map, status,
                            "%s says no architecture; it needs vgg, mlp, resnet or mobilenet, as in vgg: [64, M]",
                            where);
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    const es_yaml_t *node = es_yaml_find(map, options[i].name);
    if (node != NULL && !options[i].of[kind])
      return es_yaml_fail_key(&job->tree, node, status, "%s.%s %s", where, options[i].name, options[i].why);
  }
  return ES_OK;
}

static es_code_t read_entry(const es_job_t *job, const es_yaml_t *map, es_model_spec_t *out, es_status_t *status) {
  ES_TRY(es_name_check(job, map, "model", status));
  char where[2 * ES_NAME_MAX];
  snprintf(where, sizeof where, "models.%s", map->key);
  es_model_spec_t builtin;
  if (es_model_spec_builtin(&builtin, map->key))
    return es_yaml_fail_key(&job->tree, map, status, "%s has the name of a built-in model; choose another", where);
  *out = (es_model_spec_t){.head = ES_HEAD_AUTHORS};
  ES_TRY(es_section_read(&job->tree, "models.*", map, where, out, status));
  ES_TRY(check_kinds(job, map, where, status));
  snprintf(out->name, sizeof out->name, "%s", map->key);
  return ES_OK;
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
    ES_TRY(read_entry(job, entry, &job->models[job->n_models], status));
    job->n_models++;
  }
  return ES_OK;
}

es_code_t es_model_find(const es_job_t *job, const es_yaml_t *value, es_model_spec_t *out, es_status_t *status) {
  if (es_model_spec_builtin(out, value->text)) return ES_OK;
  const char *nearest = NULL;
  char excerpt[ES_EXCERPT_MAX], known[256] = "";
  size_t length = 0;
  for (const char *const *name = es_model_spec_names(); *name != NULL; name++) {
    if (nearest == NULL) nearest = es_text_nearest(value->text, name, 1);
    length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", length > 0 ? ", " : "", *name);
  }
  for (int i = 0; i < job->n_models; i++) {
    const char *name = job->models[i].name;
    if (strcmp(name, value->text) == 0) {
      *out = job->models[i];
      return ES_OK;
    }
    if (nearest == NULL) nearest = es_text_nearest(value->text, &name, 1);
    if (length < sizeof known) length += (size_t)snprintf(known + length, sizeof known - length, ", %s", name);
  }
  es_yaml_describe(value, excerpt);
  if (nearest != NULL)
    return es_yaml_fail(&job->tree, value, status, "unknown model %s; did you mean \"%s\"?", excerpt, nearest);
  return es_yaml_fail(&job->tree, value, status, "unknown model %s; known are %s; describe others under models",
                      excerpt, known);
}
