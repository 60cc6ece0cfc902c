/* The files of jobs that measure existing weights or activations. */
#include "job_internal.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Reads one {name} or {name:03}; *used is its length. */
static bool read_field(const char *text, char name[ES_NAME_MAX], size_t *used) {
  size_t length = strcspn(text + 1, "}:{"), end = length + 1;
  if (length == 0 || length >= ES_NAME_MAX) return false;
  snprintf(name, ES_NAME_MAX, "%.*s", (int)length, text + 1);
  if (text[end] == ':') {
    size_t digits = strspn(text + end + 1, "0123456789");
    if (digits != 2 || text[end + 1] != '0') return false;
    end += digits + 1;
  }
  *used = end + 1;
  return text[end] == '}';
}

/* The fields that a path may have besides {epoch}. */
typedef enum fields { NO_AXES, GRID_AXES, ANY_AXES /* checked by es_sources_check_axes */ } fields_t;

/* Checks the fields in braces; sets *epoch if {epoch} is one of them. */
static es_code_t check_template(const es_job_t *job, const es_yaml_t *node, const char *where, fields_t axes,
                                bool *epoch, es_status_t *status) {
  *epoch = false;
  for (const char *c = node->text; *c != '\0';) {
    char name[ES_NAME_MAX];
    size_t used = 1;
    if (*c == '{') {
      if (!read_field(c, name, &used))
        return es_yaml_fail(&job->tree, node, status,
                            "%s: { must be followed by a name and }, as in {epoch} or {epoch:03}", where);
      bool is_epoch = strcmp(name, "epoch") == 0;
      const bool known = axes == ANY_AXES || (axes == GRID_AXES && es_keys_find("grid", name) != NULL);
      if (!is_epoch && !known)
        return es_yaml_fail(&job->tree, node, status, "%s: {%s} is unknown; %s", where, name,
                            axes == GRID_AXES ? "only an axis of the grid or {epoch} may be in braces"
                                              : "only {epoch} may be in braces");
      *epoch = *epoch || is_epoch;
    }
    c += used;
  }
  return ES_OK;
}

/* Reads the template section.key, if it exists, as absolute path into `out`; sets *epoch if it contains {epoch}. */
static es_code_t read_template(const es_job_t *job, const es_yaml_t *section, const char *key, fields_t axes, char *out,
                               bool *epoch, es_status_t *status) {
  char where[2 * ES_NAME_MAX];
  const es_yaml_t *node = es_yaml_find(section, key);
  *epoch = false;
  if (node == NULL) return ES_OK;
  snprintf(where, sizeof where, "%s.%s", section->key, key);
  ES_TRY(check_template(job, node, where, axes, epoch, status));
  return es_expand_from_job(job, node, where, out, status);
}

/* Checks that the list of epochs exists if, and only if, the template contains {epoch}. */
static es_code_t check_epochs(const es_job_t *job, const es_yaml_t *section, bool epoch, es_status_t *status) {
  const es_yaml_t *epochs = es_yaml_find(section, "epochs");
  if (epoch && epochs == NULL)
    return es_yaml_fail_key(&job->tree, section, status, "%s has {epoch} in its path but no epochs; add epochs: [...]",
                            section->key);
  if (!epoch && epochs != NULL)
    return es_yaml_fail_key(&job->tree, epochs, status, "%s.epochs can only be used if the path has {epoch}",
                            section->key);
  return ES_OK;
}

/* Reads a folder of results, relative to the working directory, and makes it absolute, for resolved jobs. */
static es_code_t read_from(const es_job_t *job, const es_yaml_t *node, char out[ES_PATH_MAX], es_status_t *status) {
  enum { MOST = 480 }; /* leaves space for two paths and /checkpoints/<id>-<epoch>.safetensors */
  char folder[ES_PATH_MAX], here[MOST + 1] = "";
  ES_TRY(es_expand(job, node, "checkpoints.from", MOST, folder, status));
  if (folder[0] != '/' && getcwd(here, sizeof here) == NULL) snprintf(here, sizeof here, ".");
  snprintf(out, ES_PATH_MAX, "%s%s%.480s", here, here[0] != '\0' ? "/" : "", folder);
  return ES_OK;
}

/* Reads the file names of weights, or the results folder of the job that trained them. */
static es_code_t read_weights(es_job_t *job, const es_yaml_t *section, es_external_t *out, es_status_t *status) {
  const es_yaml_t *files = es_yaml_find(section, "files"), *from = es_yaml_find(section, "from");
  bool epoch;
  const int before = es_faults_count(job->tree.faults);
  ES_TRY(es_section_read(&job->tree, "checkpoints", section, "checkpoints", &job->checkpoints, status));
  if (es_faults_count(job->tree.faults) > before) return ES_OK;
  if ((files == NULL) == (from == NULL))
    return es_yaml_fail_key(&job->tree, section, status,
                            "checkpoints has %s; it needs exactly one of the two, as in files: "
                            "\"run/{model}-{width}-{epoch:03}.safetensors\" or from: results/reference",
                            files == NULL ? "neither files nor from" : "both files and from");
  out->epochs = job->checkpoints.epochs;
  out->from_results = from != NULL;
  out->precision = job->checkpoints.precision;
  if (from == NULL && out->precision != ES_TRAINED_SAME)
    return es_yaml_fail(&job->tree, es_yaml_find(section, "precision"), status,
                        "checkpoints.precision can only be used with checkpoints.from; leave it out");
  if (from != NULL) return read_from(job, from, out->file[ES_TRAIN], status);
  ES_TRY(read_template(job, section, "files", GRID_AXES, out->file[ES_TRAIN], &epoch, status));
  return check_epochs(job, section, epoch, status);
}

static es_code_t read_activations(es_job_t *job, const es_yaml_t *section, es_external_t *out, es_status_t *status) {
  static const char *const keys[ES_SPLITS] = {"file", "eval"};
  bool epoch[ES_SPLITS];
  job->activations.labels = "labels";
  const int before = es_faults_count(job->tree.faults);
  ES_TRY(es_section_read(&job->tree, "activations", section, "activations", &job->activations, status));
  if (es_faults_count(job->tree.faults) > before) return ES_OK;
  for (int split = 0; split < ES_SPLITS; split++)
    ES_TRY(read_template(job, section, keys[split], NO_AXES, out->file[split], &epoch[split], status));
  const es_yaml_t *eval = es_yaml_find(section, "eval");
  if (eval != NULL && epoch[ES_TRAIN] != epoch[ES_EVAL])
    return es_yaml_fail(&job->tree, eval, status,
                        "activations.file and activations.eval must both have {epoch}, or neither");
  ES_TRY(check_epochs(job, section, epoch[ES_TRAIN], status));
  out->epochs = job->activations.epochs;
  if (strlen(job->activations.labels) >= ES_VARIABLE_MAX)
    return es_yaml_fail(&job->tree, es_yaml_find(section, "labels"), status,
                        "activations.labels is longer than %d bytes", ES_VARIABLE_MAX - 1);
  snprintf(out->labels, sizeof out->labels, "%s", job->activations.labels);
  return ES_OK;
}

static es_code_t read_moments(es_job_t *job, const es_yaml_t *section, es_external_t *out, es_status_t *status) {
  const es_yaml_t *root = job->tree.root, *method = es_yaml_find(es_yaml_find(root, "measure"), "method");
  bool epoch;
  const int before = es_faults_count(job->tree.faults);
  ES_TRY(es_section_read(&job->tree, "moments", section, "moments", &job->moments, status));
  if (es_faults_count(job->tree.faults) > before) return ES_OK;
  ES_TRY(read_template(job, section, "files", ANY_AXES, out->file[ES_TRAIN], &epoch, status));
  if (epoch)
    return es_yaml_fail(&job->tree, es_yaml_find(section, "files"), status,
                        "moments.files has {epoch}, but a file of moments holds all epochs; leave {epoch} out");
  out->epochs = job->moments.epochs;
  if (job->base.measure.method != ES_METHOD_CHANNELWISE)
    return es_yaml_fail(
        &job->tree, method, status,
        "measure.method cannot be used with source: moments: the program that wrote the file has chosen "
        "the rows; leave it out");
  return ES_OK;
}

/* True if the path has the field of this axis. */
static bool has_field(const char *path, const char *axis) {
  for (const char *c = path; *c != '\0'; c++) {
    char name[ES_NAME_MAX];
    size_t used;
    if (*c == '{' && read_field(c, name, &used) && es_label_is_called(axis, name)) return true;
  }
  return false;
}

/* Checks that every field is an axis of the block, and that every label with several values is a field. */
static es_code_t check_block(const es_job_t *job, const es_yaml_t *files, const es_block_t *block,
                             es_status_t *status) {
  for (const char *c = files->text; *c != '\0'; c++) {
    char name[ES_NAME_MAX];
    size_t used;
    bool found = false;
    if (*c != '{' || !read_field(c, name, &used)) continue;
    for (int a = 0; a < block->n_axes; a++) found = found || es_label_is_called(block->axes[a].name, name);
    if (!found)
      return es_yaml_fail(&job->tree, files, status,
                          "moments.files: {%s} is unknown; only an axis of the grid may be in braces, as in grid: {%s: "
                          "[...]}",
                          name, name);
  }
  for (int a = 0; a < block->n_axes; a++) {
    const es_axis_t *axis = &block->axes[a];
    if (axis->key == NULL && axis->n > 1 && !has_field(files->text, axis->name))
      return es_yaml_fail(&job->tree, axis->nodes[0], status,
                          "grid.%s has %d values, but moments.files has no {%s}, so all of them would measure one file",
                          axis->name, axis->n, axis->name);
  }
  return ES_OK;
}

es_code_t es_sources_check_axes(const es_job_t *job, es_status_t *status) {
  const es_yaml_t *files = es_yaml_find(es_yaml_find(job->tree.root, "moments"), "files");
  if (job->top.source != ES_SOURCE_MOMENTS) return ES_OK;
  for (int b = 0; b < job->n_blocks; b++) ES_TRY(check_block(job, files, &job->blocks[b], status));
  return ES_OK;
}

es_code_t es_sources_read(es_job_t *job, es_status_t *status) {
  static const struct {
    es_source_t source;
    const char *word, *section;
    es_code_t (*read)(es_job_t *job, const es_yaml_t *section, es_external_t *out, es_status_t *status);
  } rows[] = {{ES_SOURCE_CHECKPOINT, "checkpoint", "checkpoints", read_weights},
              {ES_SOURCE_ACTIVATIONS, "activations", "activations", read_activations},
              {ES_SOURCE_MOMENTS, "moments", "moments", read_moments}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const es_yaml_t *section = es_yaml_find(job->tree.root, rows[i].section);
    const bool wanted = job->top.source == rows[i].source;
    es_external_t external = {0};
    if (section != NULL) {
      external.line = es_origin_line(job, section->key_line);
      ES_TRY_ALL(&job->tree, rows[i].read(job, section, &external, status), status);
    }
    if (es_faults_count(job->tree.faults) > 0) continue; /* `source` may be one of them */
    if (section == NULL && wanted)
      return es_yaml_fail(&job->tree, es_yaml_find(job->tree.root, "source"), status, "source: %s needs a section %s",
                          rows[i].word, rows[i].section);
    if (section != NULL && !wanted)
      return es_yaml_fail_key(&job->tree, section, status, "%s can only be used with source: %s; leave the section out",
                              rows[i].section, rows[i].word);
    if (wanted) job->base.external = external;
  }
  return ES_OK;
}
