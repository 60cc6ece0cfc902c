/* A job: parses and checks all sections, and returns its properties. */
#include "eigenscope/job.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "job_internal.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "job";

enum {
  NAME_BYTES_MAX = 200,
  OUTPUT_BYTES_MAX = ES_PATH_MAX - 64 /* room for /checkpoints/<id>-<epoch>.safetensors */
};

/* True for the name of a section: the part of a key's section before the first dot. */
static bool is_section(const char *name) {
  size_t length = strlen(name);
  for (int i = 0; i < es_keys_count(); i++) {
    const char *section = es_keys_get(i)->section;
    if (strncmp(section, name, length) == 0 && (section[length] == '\0' || section[length] == '.')) return length > 0;
  }
  return false;
}

static es_code_t read_name(const es_job_t *job, const es_yaml_t *node, es_status_t *status) {
  char excerpt[ES_EXCERPT_MAX];
  const char *name = job->top.name;
  if (strlen(name) > NAME_BYTES_MAX)
    return es_yaml_fail(&job->tree, node, status, "name has %zu bytes, but must have at most %d", strlen(name),
                        NAME_BYTES_MAX);
  if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return es_yaml_fail(&job->tree, node, status,
                        "name must be text without /, because results go to results/<name>; not %s",
                        es_yaml_describe(node, excerpt));
  return ES_OK;
}

/* Reads name, output and source; refuses unknown keys at the top level. */
static es_code_t read_top(es_job_t *job, es_status_t *status) {
  const es_yaml_t *root = job->tree.root;
  for (const es_yaml_t *node = root->first; node != NULL; node = node->next) {
    const es_key_t *key = es_keys_find("", node->key);
    if (key != NULL)
      ES_TRY(es_key_read(&job->tree, key, node, key->name, &job->top, status));
    else if (!is_section(node->key))
      return es_keys_unknown(&job->tree, node, "", "", status);
  }
  const es_yaml_t *name = es_yaml_find(root, "name"), *output = es_yaml_find(root, "output");
  if (name == NULL)
    return es_yaml_fail(&job->tree, root, status, "the job has no name; it needs one, as in name: first-look");
  ES_TRY(read_name(job, name, status));
  if (output != NULL) return es_expand(job, output, "output", OUTPUT_BYTES_MAX, job->output, status);
  snprintf(job->output, sizeof job->output, "results/%s", job->top.name);
  return ES_OK;
}

static es_code_t read_settings(es_job_t *job, es_status_t *status) {
  static const char *const sections[] = {"train", "measure", "probe", "checkpoint"};
  ES_TRY(es_section_defaults(&job->tree, "grid", &job->base, status));
  for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
    const es_yaml_t *node = es_yaml_find(job->tree.root, sections[i]);
    ES_TRY(es_section_defaults(&job->tree, sections[i], &job->base, status));
    if (node != NULL) ES_TRY(es_section_read(&job->tree, sections[i], node, sections[i], &job->base, status));
  }
  return ES_OK;
}

/* Creates the only point of source: activations, as a block without axes. */
static es_code_t read_single_point(es_job_t *job, es_status_t *status) {
  const es_yaml_t *root = job->tree.root, *grid = es_yaml_find(root, "grid");
  if (grid != NULL)
    return es_yaml_fail_key(&job->tree, grid, status,
                            "a job with source: activations is one point and has no grid; leave the grid out");
  job->n_blocks = 1;
  job->blocks = es_tree_allocate(&job->tree, 1, sizeof *job->blocks);
  if (job->blocks == NULL) return es_tree_no_memory(&job->tree, status);
  job->blocks[0].node = root;
  return ES_OK;
}

/* Refuses probes after an epoch that no point has, because they would never be fitted. */
static es_code_t check_probes(const es_job_t *job, es_status_t *status) {
  const es_yaml_t *root = job->tree.root, *node = es_yaml_find(es_yaml_find(root, "probe"), "epochs");
  const es_epochs_t *probes = &job->base.probe.epochs, *files = &job->base.external.epochs;
  if (probes->kind != ES_EPOCHS_LIST) return ES_OK;
  bool is_axis = false;
  for (int b = 0; b < job->n_blocks; b++) is_axis |= es_yaml_find(job->blocks[b].node, "train.epochs") != NULL;
  if (job->top.source == ES_SOURCE_TRAIN && !is_axis && probes->list[probes->n - 1] > job->base.train.epochs)
    return es_yaml_fail(&job->tree, node, status, "probe.epochs has epoch %d, but training ends after epoch %d",
                        probes->list[probes->n - 1], job->base.train.epochs);
  for (int32_t i = 0, j = 0; job->top.source != ES_SOURCE_TRAIN && i < probes->n; i++) {
    while (j < files->n && files->list[j] < probes->list[i]) j++;
    if (j == files->n || files->list[j] != probes->list[i])
      return es_yaml_fail(&job->tree, node, status, "probe.epochs has epoch %d, but there are no files of this epoch",
                          probes->list[i]);
  }
  return ES_OK;
}

/* Checks the requirements of projections: a network to evaluate again, and rows that are outputs at single positions.
 * Methods on an axis are checked when the network is built. */
static es_code_t check_projection(const es_job_t *job, es_status_t *status) {
  const es_measure_settings_t *m = &job->base.measure;
  const es_yaml_t *node = es_yaml_find(job->tree.root, "measure");
  if (m->projection != ES_ON) return ES_OK;
  if (job->top.source == ES_SOURCE_ACTIVATIONS)
    return es_yaml_fail(&job->tree, node, status,
                        "measure.projection needs a network, and source: activations has none; leave it out");
  if (!es_measure_positions(m))
    return es_yaml_fail(
        &job->tree, node, status,
        "measure.projection projects each position separately, so it needs measure.method channelwise or {nearest: K}");
  return ES_OK;
}

static es_code_t read_job(es_job_t *job, es_status_t *status) {
  const es_yaml_t *root = job->tree.root;
  ES_TRY(read_top(job, status));
  ES_TRY(read_settings(job, status));
  job->base.source = job->top.source;
  ES_TRY(es_datasets_read(job, es_yaml_find(root, "datasets"), status));
  ES_TRY(es_models_read(job, es_yaml_find(root, "models"), status));
  ES_TRY(es_sources_read(job, status));
  if (job->top.source == ES_SOURCE_ACTIVATIONS)
    ES_TRY(read_single_point(job, status));
  else
    ES_TRY(es_axes_read(job, status));
  ES_TRY(check_projection(job, status));
  return check_probes(job, status);
}

es_code_t es_job_parse(es_job_t **out, const char *text, size_t size, const char *path, const char *const *sets,
                       int n_sets, es_status_t *status) {
  *out = NULL;
  if (strlen(path) >= ES_PATH_MAX)
    return es_fail(status, ES_INPUT, STAGE, "the path of the job file is longer than %d bytes", ES_PATH_MAX - 1);
  es_job_t *job = es_allocate_zero(1, sizeof *job);
  if (job == NULL) return es_out_of_memory(status, STAGE, "the job %s", path);
  snprintf(job->path, sizeof job->path, "%s", path);
  es_code_t code = es_tree_parse(&job->tree, text, size, job->path, status);
  for (int i = 0; i < n_sets && code == ES_OK; i++) code = es_tree_set(&job->tree, sets[i], status);
  if (code == ES_OK) code = read_job(job, status);
  if (code == ES_OK)
    *out = job;
  else
    es_job_destroy(job);
  return code;
}

es_code_t es_job_load(es_job_t **out, const char *path, const char *const *sets, int n_sets, es_status_t *status) {
  *out = NULL;
  char *text = NULL;
  size_t size = 0;
  es_status_t reading = {0};
  /* An unreadable job file is a wrong command (ES_INPUT), not a failure of the machine. */
  if (es_file_read_most(path, ES_JOB_TEXT_MAX, &text, &size, &reading) != ES_OK)
    return es_fail(status, ES_INPUT, STAGE, "%s", reading.message);
  es_code_t code = es_job_parse(out, text, size, path, sets, n_sets, status);
  es_free(text);
  return code;
}

void es_job_destroy(es_job_t *job) {
  if (job == NULL) return;
  es_tree_destroy(&job->tree);
  es_free(job);
}

const char *es_job_path(const es_job_t *job) {
  return job->path;
}

const char *es_job_name(const es_job_t *job) {
  return job->top.name;
}

const char *es_job_output(const es_job_t *job) {
  return job->output;
}

const es_point_t *es_job_base(const es_job_t *job) {
  return &job->base;
}

int es_job_n_datasets(const es_job_t *job) {
  return job->n_datasets;
}

const es_dataset_spec_t *es_job_dataset(const es_job_t *job, int index) {
  assert(index >= 0 && index < job->n_datasets);
  return &job->datasets[index];
}

int es_job_n_blocks(const es_job_t *job) {
  return job->n_blocks;
}

int es_job_n_axes(const es_job_t *job, int block) {
  return job->blocks[block].n_axes;
}

es_job_axis_t es_job_axis(const es_job_t *job, int block, int axis) {
  const es_axis_t *a = &job->blocks[block].axes[axis];
  return (es_job_axis_t){.name = a->name, .line = a->line, .n_values = a->n, .values = a->values, .lines = a->lines};
}
