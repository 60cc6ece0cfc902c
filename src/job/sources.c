/* Jobs that measure what others trained: their sections are read and checked whole, and what this version cannot do yet
 * is refused in one place. */
#include "parts.h"
#include <stdio.h>
#include <string.h>

/* One {name} or {name:03}; *used is its length. */
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

/* Checks the fields in braces; `epoch` says whether {epoch} is among them. */
static es_code_t check_template(const es_job_t *job, const es_yaml_t *node, const char *where, bool axes, bool *epoch,
                                es_status_t *status) {
  *epoch = false;
  for (const char *c = node->text; *c != '\0';) {
    char name[ES_NAME_MAX];
    size_t used = 1;
    if (*c == '{') {
      if (!read_field(c, name, &used))
        return es_yaml_fail(&job->tree, node, status,
                            "%s: after { a name and } must follow, as in {epoch} or {epoch:03}", where);
      bool is_epoch = strcmp(name, "epoch") == 0;
      if (!is_epoch && (!axes || es_keys_find("grid", name) == NULL))
        return es_yaml_fail(&job->tree, node, status, "%s: {%s} is unknown; %s", where, name,
                            axes ? "an axis of the grid or {epoch} may stand there" : "only {epoch} may stand there");
      *epoch = *epoch || is_epoch;
    }
    c += used;
  }
  return ES_OK;
}

/* A template with {epoch} needs the list of epochs, and only then is it read. */
static es_code_t check_epochs(const es_job_t *job, const es_yaml_t *section, const char *name, bool epoch,
                              es_status_t *status) {
  const es_yaml_t *epochs = es_yaml_find(section, "epochs");
  if (epoch && epochs == NULL)
    return es_yaml_fail_key(&job->tree, section, status, "%s has {epoch} but no epochs; add epochs: [...]", name);
  if (!epoch && epochs != NULL)
    return es_yaml_fail_key(&job->tree, epochs, status, "%s.epochs is for paths with {epoch}; this one has none", name);
  return ES_OK;
}

static es_code_t read_section(es_job_t *job, const char *name, const char *file, void *target, es_status_t *status) {
  const es_yaml_t *section = es_yaml_find(job->tree.root, name);
  const es_yaml_t *source = es_yaml_find(job->tree.root, "source");
  const bool wanted =
      job->top.source == (strcmp(name, "checkpoints") == 0 ? ES_SOURCE_CHECKPOINT : ES_SOURCE_ACTIVATIONS);
  const char *word = strcmp(name, "checkpoints") == 0 ? "checkpoint" : "activations";
  if (section == NULL && wanted)
    return es_yaml_fail(&job->tree, source, status, "source: %s needs a section %s", word, name);
  if (section == NULL) return ES_OK;
  char where[2 * ES_NAME_MAX], path[ES_PATH_MAX];
  bool epoch;
  snprintf(where, sizeof where, "%s.%s", name, file);
  ES_TRY(es_section_read(&job->tree, name, section, name, target, status));
  const es_yaml_t *node = es_yaml_find(section, file);
  ES_TRY(check_template(job, node, where, strcmp(name, "checkpoints") == 0, &epoch, status));
  ES_TRY(check_epochs(job, section, name, epoch, status));
  ES_TRY(es_expand_from_job(job, node, where, path, status));
  if (!wanted)
    return es_yaml_fail_key(&job->tree, section, status, "%s is read only with source: %s; leave the section out", name,
                            word);
  return ES_OK;
}

es_code_t es_sources_read(es_job_t *job, es_status_t *status) {
  job->activations.labels = "labels";
  ES_TRY(read_section(job, "checkpoints", "files", &job->checkpoints, status));
  return read_section(job, "activations", "file", &job->activations, status);
}
