/* The comments of a resolved job, which name the job file that it was made from, its --set options, and its lines. */
#include "eigenscope/file.h"
#include "job_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char HEAD[] = "# A resolved job, written by eigenscope: ";
static const char FROM[] = "# job: ", SET[] = "# set: ", LINE[] = "  # line ";

/* If the text line [text, end) starts with `key` and its rest is plain and short enough, copies the rest. */
static bool read_value(const char *text, const char *end, const char *key, char out[ES_PATH_MAX]) {
  const size_t skip = strlen(key);
  if ((size_t)(end - text) < skip || strncmp(text, key, skip) != 0) return false;
  const size_t length = (size_t)(end - text) - skip;
  if (length == 0 || length >= ES_PATH_MAX || memchr(text, '\0', length + skip) != NULL) return false;
  snprintf(out, ES_PATH_MAX, "%.*s", (int)length, text + skip);
  return es_text_is_plain(out);
}

/* The number in "…  # line 12" at the end of a text line, 0 if there is none. */
static int read_line(const char *text, const char *end) {
  const char *digits = end;
  const ptrdiff_t length = (ptrdiff_t)sizeof LINE - 1;
  while (digits > text && isdigit((unsigned char)digits[-1])) digits--;
  if (end - digits < 1 || end - digits > 8 || digits - text < length) return 0;
  return strncmp(digits - length, LINE, (size_t)length) == 0 ? atoi(digits) : 0;
}

es_code_t es_origin_read(es_job_t *job, const char *text, size_t size, es_status_t *status) {
  const char *const stop = text + size;
  if (size < sizeof HEAD || strncmp(text, HEAD, sizeof HEAD - 1) != 0) return ES_OK;
  int n = 1, n_head = 1, line = 1;
  bool in_head = true;
  for (const char *c = text; c < stop; c++) {
    n += *c == '\n';
    in_head = in_head && (*c != '\n' || (c + 1 < stop && c[1] == '#'));
    n_head += in_head && *c == '\n';
  }
  in_head = true;
  job->lines = es_tree_allocate(&job->tree, (size_t)n, sizeof *job->lines);
  job->sets = es_tree_allocate(&job->tree, (size_t)n_head, sizeof *job->sets);
  if (job->lines == NULL || job->sets == NULL) return es_tree_no_memory(&job->tree, status);
  for (const char *end; text < stop; text = end + 1) {
    char value[ES_PATH_MAX];
    end = memchr(text, '\n', (size_t)(stop - text));
    if (end == NULL) end = stop;
    in_head = in_head && *text == '#';
    if (in_head && read_value(text, end, FROM, value)) memcpy(job->origin, value, sizeof job->origin);
    if (in_head && read_value(text, end, SET, value)) {
      const size_t bytes = strlen(value) + 1;
      char *set = es_tree_allocate(&job->tree, bytes, 1);
      if (set == NULL) return es_tree_no_memory(&job->tree, status);
      job->sets[job->n_sets++] = memcpy(set, value, bytes);
    }
    const int found = read_line(text, end);
    if (found > 0) line = found;
    job->lines[job->n_lines++] = line;
  }
  return ES_OK;
}

const char *es_job_path(const es_job_t *job) {
  return job->origin[0] != '\0' ? job->origin : job->path;
}

int es_origin_line(const es_job_t *job, int line) {
  return line > 0 && line <= job->n_lines ? job->lines[line - 1] : line;
}

void es_job_print_origin(const es_job_t *job, const char *const *sets, int n_sets, es_text_t *out) {
  char folder[ES_PATH_MAX] = "";
  const char *path = es_job_path(job);
  es_text_append(out, "%sall settings, and absolute paths, as they were then.\n", HEAD);
  if (path[0] != '/' && getcwd(folder, sizeof folder) == NULL) snprintf(folder, sizeof folder, ".");
  es_text_append(out, "%s", FROM);
  es_text_append_plain(out, folder);
  es_text_append(out, "%s", folder[0] != '\0' ? "/" : "");
  es_text_append_plain(out, path);
  es_text_append(out, "\n");
  for (int i = 0; i < job->n_sets + n_sets; i++) {
    char shown[ES_PATH_MAX - 64], hash[32] = "";
    const char *set = i < job->n_sets ? job->sets[i] : sets[i - job->n_sets];
    const int length = snprintf(shown, sizeof shown, "%s", set);
    const bool cut = i >= job->n_sets && length >= (int)sizeof shown;
    if (cut) snprintf(hash, sizeof hash, "... %016llx", (unsigned long long)es_hash(set, (size_t)length, 0));
    es_text_append(out, "%s%s%s\n", SET, i < job->n_sets ? set : es_text_make_plain(shown), hash);
  }
}

void es_job_print_line(int line, es_text_t *out) {
  if (line > 0) es_text_append(out, "%s%d", LINE, line);
  es_text_append(out, "\n");
}
