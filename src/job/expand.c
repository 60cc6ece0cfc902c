/* Expands paths with environment variables and the folder of the job file; checks names. */
#include "job_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

/* Reads a variable after a dollar sign: its name and length; false if there is none. */
static bool read_variable(const char *text, char name[ES_NAME_MAX], size_t *used) {
  const bool braces = text[0] == '{';
  const char *start = text + braces;
  const size_t length = strspn(start, LETTERS DIGITS "_");
  if (strspn(start, LETTERS "_") == 0) return false;
  if (length >= ES_NAME_MAX || (braces && start[length] != '}')) return false;
  snprintf(name, ES_NAME_MAX, "%.*s", (int)length, start);
  *used = length + 2 * (size_t)braces;
  return true;
}

bool es_expand_is_set(const es_yaml_t *node) {
  for (const char *c = node->text; *c != '\0'; c++) {
    char name[ES_NAME_MAX];
    size_t used;
    if (c[0] != '$') continue;
    if (c[1] == '$')
      c++;
    else if (read_variable(c + 1, name, &used) && getenv(name) == NULL)
      return false;
  }
  return true;
}

es_code_t es_expand(const es_job_t *job, const es_yaml_t *node, const char *where, size_t most, char out[ES_PATH_MAX],
                    es_status_t *status) {
  size_t length = 0;
  for (const char *c = node->text; *c != '\0';) {
    const char *piece = c;
    size_t n = 1, used = 1;
    char name[ES_NAME_MAX];
    if (c[0] == '$' && c[1] == '$') {
      used = 2;
    } else if (c[0] == '$') {
      if (!read_variable(c + 1, name, &used))
        return es_yaml_fail(&job->tree, node, status,
                            "%s: a $ must start a variable, as in $NAME or ${NAME}; write $$ for a dollar sign", where);
      used++;
      piece = getenv(name);
      if (piece == NULL)
        return es_yaml_fail(&job->tree, node, status, "%s: the environment variable %s is not set", where, name);
      n = strlen(piece);
    }
    if (length + n > most) return es_yaml_fail(&job->tree, node, status, "%s is longer than %zu bytes", where, most);
    memcpy(out + length, piece, n);
    length += n;
    c += used;
  }
  while (length > 1 && out[length - 1] == '/') length--;
  out[length] = '\0';
  if (length == 0) return es_yaml_fail(&job->tree, node, status, "%s is empty", where);
  return ES_OK;
}

es_code_t es_expand_from_job(const es_job_t *job, const es_yaml_t *node, const char *where, char out[ES_PATH_MAX],
                             es_status_t *status) {
  char path[ES_PATH_MAX] = "", folder[ES_PATH_MAX] = "";
  ES_TRY(es_expand(job, node, where, ES_PATH_MAX - 1, path, status));
  if (path[0] == '/') {
    memcpy(out, path, ES_PATH_MAX);
    return ES_OK;
  }
  /* Adds the working directory, so that the path is valid anywhere (the job in a result file). */
  if (job->path[0] != '/' && getcwd(folder, sizeof folder) == NULL) snprintf(folder, sizeof folder, ".");
  const char *slash = strrchr(job->path, '/');
  const int n_job = slash != NULL ? (int)(slash - job->path) : 0;
  const char *rest = strncmp(path, "./", 2) == 0 ? path + 2 : path;
  const char *between = folder[0] != '\0' && n_job > 0 ? "/" : "";
  const int length = snprintf(out, ES_PATH_MAX, "%s%s%.*s/%s", folder, between, n_job, job->path, rest);
  if (length >= ES_PATH_MAX)
    return es_yaml_fail(&job->tree, node, status, "%s: the whole path is longer than %d bytes", where, ES_PATH_MAX - 1);
  return ES_OK;
}

es_code_t es_name_check(const es_job_t *job, const es_yaml_t *node, const char *what, es_status_t *status) {
  size_t length = strlen(node->key);
  /* Names become parts of paths ({model}, {dataset}), which must not leave their folder. */
  if (strcmp(node->key, ".") == 0 || strcmp(node->key, "..") == 0)
    return es_yaml_fail_key(&job->tree, node, status, "%s is a folder, but must be the name of a %s", node->key, what);
  if (length > 0 && length < ES_NAME_MAX && strspn(node->key, LETTERS DIGITS "._-+") == length) return ES_OK;
  char excerpt[ES_EXCERPT_MAX];
  const es_yaml_t shown = {.kind = ES_NODE_SCALAR, .plain = true, .text = node->key};
  return es_yaml_fail_key(&job->tree, node, status,
                          "%s cannot be the name of a %s; a name has at most %d letters, digits, '.', '_', '-' and '+'",
                          es_yaml_describe(&shown, excerpt), what, ES_NAME_MAX - 1);
}
