/* A job: parses and checks all sections, and returns its properties. */
#include "eigenscope/job.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
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
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"

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
      ES_TRY_ALL(&job->tree, es_key_read(&job->tree, key, node, key->name, &job->top, status), status);
    else if (!is_section(node->key))
      ES_TRY_ALL(&job->tree, es_keys_unknown(&job->tree, node, "", "", status), status);
  }
  const es_yaml_t *name = es_yaml_find(root, "name"), *output = es_yaml_find(root, "output");
  if (job->top.name == NULL && es_faults_count(job->tree.faults) > 0) return ES_OK; /* the key may have a wrong name */
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
    if (node != NULL)
      ES_TRY_ALL(&job->tree, es_section_read(&job->tree, sections[i], node, sections[i], &job->base, status), status);
  }
  return ES_OK;
}

/* Creates the only point of a source without a network, as a block without axes. */
static es_code_t read_single_point(es_job_t *job, es_status_t *status) {
  const es_yaml_t *root = job->tree.root, *grid = es_yaml_find(root, "grid");
  if (grid != NULL)
    return es_yaml_fail_key(&job->tree, grid, status,
                            "a job with source: %s is one point and has no grid; leave the grid out",
                            es_yaml_find(root, "source")->text);
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
  /* Files of moments say themselves which epochs they hold. */
  const bool open = job->top.source == ES_SOURCE_MOMENTS && files->kind != ES_EPOCHS_LIST;
  for (int32_t i = 0, j = 0; job->top.source != ES_SOURCE_TRAIN && !open && i < probes->n; i++) {
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
  if (!es_source_has_network(job->top.source))
    return es_yaml_fail(&job->tree, node, status,
                        "measure.projection needs a network, and source: %s has none; leave it out",
                        es_yaml_find(job->tree.root, "source")->text);
  if (!es_measure_positions(m))
    return es_yaml_fail(
        &job->tree, node, status,
        "measure.projection projects each position separately, so it needs measure.method channelwise or {nearest: K}");
  return ES_OK;
}

static es_code_t check_weights(const es_job_t *job, es_status_t *status) {
  if (job->base.measure.weights != ES_ON || es_source_has_network(job->top.source)) return ES_OK;
  return es_yaml_fail(
      &job->tree, es_yaml_find(job->tree.root, "measure"), status,
      "measure.weights needs a network, and source: %s has none; leave it out, and run eigenscope weights "
      "on the files of weights",
      es_yaml_find(job->tree.root, "source")->text);
}

static es_code_t check_similarity(const es_job_t *job, es_status_t *status) {
  if (job->base.measure.similarity != ES_ON || job->top.source != ES_SOURCE_MOMENTS) return ES_OK;
  return es_yaml_fail(
      &job->tree, es_yaml_find(job->tree.root, "measure"), status,
      "measure.similarity needs the outputs of single samples, and source: moments has only sums; leave "
      "it out");
}

static es_code_t check_units(const es_job_t *job, es_status_t *status) {
  const es_yaml_t *node = es_yaml_find(job->tree.root, "measure");
  if (job->base.measure.units == ES_ON && job->top.source == ES_SOURCE_MOMENTS)
    return es_yaml_fail(&job->tree, node, status,
                        "measure.units needs the outputs of single samples, and files of moments have only sums; leave "
                        "it out, or measure activations or checkpoints");
  if (job->base.measure.gradients == ES_ON && job->top.source != ES_SOURCE_TRAIN)
    return es_yaml_fail(&job->tree, node, status,
                        "measure.gradients needs training, and source: %s does not train; leave it out",
                        es_yaml_find(job->tree.root, "source")->text);
  return ES_OK;
}

static es_code_t check_steps(const es_job_t *job, es_status_t *status) {
  const es_steps_t *steps = &job->base.measure.steps;
  const es_yaml_t *measure = es_yaml_find(job->tree.root, "measure");
  if (steps->kind != ES_STEPS_NONE && job->top.source != ES_SOURCE_TRAIN)
    return es_yaml_fail(&job->tree, es_yaml_find(measure, "steps"), status,
                        "measure.steps measures within the epochs of training, and source: %s does not train; leave it "
                        "out",
                        es_yaml_find(job->tree.root, "source")->text);
  if (steps->samples == 0 || steps->kind != ES_STEPS_NONE) return ES_OK;
  return es_yaml_fail(&job->tree, es_yaml_find(measure, "step_samples"), status,
                      "measure.step_samples can only be used with measure.steps, as in steps: {log: 20}");
}

/* Reads all sections. Faults of single values go to tree.faults; checks of several values together are left out then.
 */
static es_code_t read_job(es_job_t *job, es_status_t *status) {
  const es_yaml_t *root = job->tree.root;
  ES_TRY_ALL(&job->tree, read_top(job, status), status);
  ES_TRY(read_settings(job, status));
  job->base.source = job->top.source;
  ES_TRY_ALL(&job->tree, es_datasets_read(job, es_yaml_find(root, "datasets"), status), status);
  ES_TRY_ALL(&job->tree, es_models_read(job, es_yaml_find(root, "models"), status), status);
  ES_TRY_ALL(&job->tree, es_sources_read(job, status), status);
  const bool grid = job->top.source == ES_SOURCE_MOMENTS && es_yaml_find(root, "grid") != NULL;
  if (!es_source_has_network(job->top.source) && !grid)
    ES_TRY_ALL(&job->tree, read_single_point(job, status), status);
  else
    ES_TRY_ALL(&job->tree, es_axes_read(job, status), status);
  ES_TRY_ALL(&job->tree, es_probe_datasets_read(job, status), status);
  ES_TRY(es_faults_conclude(job->tree.faults, STAGE, status));
  ES_TRY(es_sources_check_axes(job, status));
  ES_TRY(es_search_read(job, status));
  ES_TRY(check_projection(job, status));
  ES_TRY(check_weights(job, status));
  ES_TRY(check_similarity(job, status));
  ES_TRY(check_units(job, status));
  ES_TRY(check_steps(job, status));
  return check_probes(job, status);
}

es_code_t es_job_parse(es_job_t **out, const char *text, size_t size, const char *path, const char *const *sets,
                       int n_sets, es_status_t *status) {
  return es_job_parse_with(out, text, size, path, sets, n_sets, NULL, status);
}

es_code_t es_job_parse_with(es_job_t **out, const char *text, size_t size, const char *path, const char *const *sets,
                            int n_sets, const es_text_t *files, es_status_t *status) {
  *out = NULL;
  if (strlen(path) >= ES_PATH_MAX)
    return es_fail(status, ES_INPUT, STAGE, "the path of the job file is longer than %d bytes", ES_PATH_MAX - 1);
  static const char hdf5[] = "\211HDF\r\n\032\n";
  if (size > 8 && memcmp(text, hdf5, 8) == 0)
    return es_fail(status, ES_INPUT, STAGE, "%s: is an HDF5 file, not a job file (YAML); eigenscope show %s prints it",
                   path, path);
  if (size > 9 && memcmp(text + 7, "\0{\"", 3) == 0)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: is a safetensors file, not a job file (YAML); eigenscope checkpoint info %s prints it", path,
                   path);
  es_job_t *job = es_allocate_zero(1, sizeof *job);
  if (job == NULL) return es_out_of_memory(status, STAGE, "the job %s", path);
  snprintf(job->path, sizeof job->path, "%s", path);
  job->given = files;
  es_code_t code = es_tree_parse(&job->tree, text, size, job->path, status);
  if (code == ES_OK) code = es_origin_read(job, text, size, status);
  es_faults_t *faults = es_allocate_zero(1, sizeof *faults);
  if (code == ES_OK && faults == NULL) code = es_tree_no_memory(&job->tree, status);
  job->tree.faults = faults;
  for (int i = 0; i < n_sets && code == ES_OK; i++) {
    if (es_tree_set(&job->tree, sets[i], status) != ES_OK) code = es_tree_take(&job->tree, status);
  }
  if (code == ES_OK) code = es_faults_conclude(faults, STAGE, status);
  if (code == ES_OK) code = read_job(job, status);
  job->tree.faults = NULL;
  job->given = NULL;
  es_free(faults);
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

/* True if the text is a description of a network. */
static bool is_description(const char *text, size_t size) {
  es_tree_t tree = {0};
  const bool read = es_tree_read(&tree, text, size, "", &(es_status_t){0}) == ES_OK && tree.root != NULL;
  const bool found = read && es_yaml_find(tree.root, "layers") != NULL && es_yaml_find(tree.root, "grid") == NULL;
  es_tree_destroy(&tree);
  return found;
}

/* Appends a job with one point, whose model is the description in the file `path`. */
static void append_job_of(const char *path, es_text_t *out) {
  const char *slash = strrchr(path, '/'), *file = slash != NULL ? slash + 1 : path;
  es_model_spec_t builtin;
  es_text_t doubled = {0};
  char name[ES_NAME_MAX];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(file, "."), file);
  const bool good = name[0] != '\0' && strspn(name, LETTERS) == strlen(name) && !es_model_spec_builtin(&builtin, name);
  for (const char *c = file; *c != '\0'; c++) es_text_append(&doubled, *c == '$' ? "$%c" : "%c", *c);
  es_text_append(out, "name: model\ngrid: {dataset: fashion-mnist, model: %s}\nmodels: {%s: {file: ",
                 good ? name : "network", good ? name : "network");
  es_text_append_quoted(out, es_text_get(&doubled));
  es_text_append(out, "}}\n");
  if (doubled.failed) out->failed = true;
  es_text_destroy(&doubled);
}

/* Fails for a word that is neither a file nor a model: the models are known, so the nearest one is named. */
static es_code_t refuse_word(const char *word, es_status_t *status) {
  const char *nearest = es_model_nearest(NULL, word);
  if (nearest != NULL)
    return es_fail(status, ES_INPUT, STAGE, "%s: is no file and no model; did you mean %s?", word, nearest);
  return es_fail(status, ES_INPUT, STAGE, "%s: is no file and no model; eigenscope model list names the models", word);
}

es_code_t es_job_load_model(es_job_t **out, const char *path, const char *const *sets, int n_sets,
                            es_status_t *status) {
  char *text = NULL;
  size_t size = 0;
  es_text_t job = {0};
  es_model_spec_t builtin;
  *out = NULL;
  if (!es_file_exists(path) && strpbrk(path, "/.") == NULL) {
    if (!es_model_spec_builtin(&builtin, path) && es_shipped_find(path) == NULL) return refuse_word(path, status);
    es_text_append(&job, "{name: model, grid: {dataset: fashion-mnist, model: %s}}", path);
    es_job_parse(out, es_text_get(&job), job.length, path, sets, n_sets, status);
    es_text_destroy(&job);
    return status->code;
  }
  if (es_file_read_most(path, ES_JOB_TEXT_MAX, &text, &size, &(es_status_t){0}) != ES_OK ||
      !is_description(text, size)) {
    es_free(text);
    return es_job_load(out, path, sets, n_sets, status);
  }
  es_free(text);
  append_job_of(path, &job);
  if (job.failed)
    es_out_of_memory(status, STAGE, "the job %s", path);
  else
    es_job_parse(out, es_text_get(&job), job.length, path, sets, n_sets, status);
  es_text_destroy(&job);
  return status->code;
}

void es_job_destroy(es_job_t *job) {
  if (job == NULL) return;
  for (es_job_file_t *file = job->files; file != NULL; file = file->next) {
    es_tree_destroy(&file->tree);
    es_free(file->text);
  }
  es_tree_destroy(&job->tree);
  es_free(job);
}

const char *es_job_name(const es_job_t *job) {
  return job->top.name;
}

const char *es_job_output(const es_job_t *job) {
  return job->output;
}

bool es_job_sets(const es_job_t *job, const char *section, const char *name) {
  const es_yaml_t *map = es_yaml_find(job->tree.root, section);
  return map != NULL && map->kind == ES_NODE_MAP && es_yaml_find(map, name) != NULL;
}

const es_point_t *es_job_base(const es_job_t *job) {
  return &job->base;
}

const es_search_settings_t *es_job_search(const es_job_t *job) {
  return &job->search;
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
