/* Axes of networks that trained elsewhere: names of the user's own, whose values are numbers or words. An axis that is
 * a setting of train in other jobs, such as learning_rate, has the name train.learning_rate, as in results of such
 * jobs. */
#include "job_internal.h"
#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

static const char section[] = "train.";
enum { SECTION = sizeof section - 1 };

bool es_label_is_called(const char *axis, const char *name) {
  const bool trains = strncmp(axis, section, SECTION) == 0;
  return strcmp(axis, name) == 0 || (trains && strcmp(axis + SECTION, name) == 0);
}

es_code_t es_label_name(es_job_t *job, const es_yaml_t *node, const char **out, es_status_t *status) {
  const char *name = strncmp(node->key, section, SECTION) == 0 ? node->key + SECTION : node->key;
  const size_t length = strlen(name);
  *out = node->key;
  if (es_keys_find("train", name) != NULL) {
    char *own = es_tree_allocate(&job->tree, SECTION + length + 1, 1);
    if (own == NULL) return es_tree_no_memory(&job->tree, status);
    snprintf(own, SECTION + length + 1, "%s%s", section, name);
    *out = own;
    return ES_OK;
  }
  if (strcmp(name, "epoch") == 0 || strcmp(name, "id") == 0)
    return es_yaml_fail_key(&job->tree, node, status, "grid.%s: an axis cannot be named %s", name, name);
  if (name == node->key && length > 0 && length < ES_NAME_MAX && strspn(name, LETTERS) > 0 &&
      strspn(name, LETTERS "0123456789") == length)
    return ES_OK;
  return es_yaml_fail_key(&job->tree, node, status,
                          "grid.%.80s: with source: moments, an axis is a setting of measure or probe that is a single "
                          "number or word, or a name of your own: at most %d letters, digits and '_', as in "
                          "learning_rate",
                          node->key, ES_NAME_MAX - 1);
}

/* Reads "1/16"; false if the text is something else. */
static bool read_ratio(const char *text, double *out) {
  char numerator[32];
  int64_t a, b;
  const char *slash = strchr(text, '/');
  if (slash == NULL || slash - text >= (int)sizeof numerator) return false;
  snprintf(numerator, sizeof numerator, "%.*s", (int)(slash - text), text);
  if (!es_text_to_int(numerator, &a) || !es_text_to_int(slash + 1, &b) || a < 1 || b < 1) return false;
  *out = (double)a / (double)b;
  return true;
}

es_code_t es_label_read(const es_job_t *job, const char *name, const es_yaml_t *node, es_axis_value_t *out,
                        es_status_t *status) {
  int64_t whole;
  double real;
  *out = (es_axis_value_t){0};
  snprintf(out->name, sizeof out->name, "%s", name);
  if (strlen(node->text) >= ES_NAME_MAX || node->text[0] == '\0' || strpbrk(node->text, "{}") != NULL)
    return es_yaml_fail(&job->tree, node, status,
                        "grid.%s: a value must be a number or 1 to %d bytes of text without braces", name,
                        ES_NAME_MAX - 1);
  snprintf(out->text, sizeof out->text, "%s", node->text);
  const bool width = strcmp(name, "width") == 0; /* in results every width is a real number */
  if (!node->plain) return ES_OK;
  if (!width && es_text_to_int(node->text, &whole))
    es_axis_set_whole(out, whole);
  else if (es_text_to_double(node->text, &real) || (width && read_ratio(node->text, &real)))
    es_axis_set_real(out, real);
  return ES_OK;
}
