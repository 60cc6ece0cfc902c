/* One parser for the arguments of all commands, so that options and error messages are the same everywhere. */
#include "cli_internal.h"
#include "eigenscope/memory.h"
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "arguments";

struct es_arguments {
  const es_page_t *page; /* borrowed */
  int n_positional, capacity;
  const char **positional; /* capacity */
  const char **values;     /* options × capacity; the values given to each option, in order */
  int *counts;             /* options */
};

/* The first line of the usage: "eigenscope run JOB [options]". */
static const char *synopsis(const char *usage, char out[256]) {
  snprintf(out, 256, "%.*s", (int)strcspn(usage, "\n"), usage);
  return out;
}

static es_code_t refuse_unknown(const es_page_t *page, const char *name, es_status_t *status) {
  const char *known[64];
  char line[256];
  int n = page->n_options < 64 ? page->n_options : 64;
  for (int i = 0; i < n; i++) known[i] = page->options[i].name;
  const char *nearest = es_text_nearest(name, known, n);
  if (nearest != NULL)
    return es_fail(status, ES_INPUT, STAGE, "unknown option %.100s; did you mean %s?", name, nearest);
  return es_fail(status, ES_INPUT, STAGE, "unknown option %.100s; usage: %s (--help lists the options)", name,
                 synopsis(page->usage, line));
}

/* Reads one option at argv[*i]; its value follows '=' or is the next argument. */
static es_code_t read_option(es_arguments_t *a, int argc, char **argv, int *i, es_status_t *status) {
  const char *argument = argv[*i], *equals = strchr(argument, '=');
  const size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
  char name[128];
  snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), argument);
  int option = 0;
  while (option < a->page->n_options && strcmp(a->page->options[option].name, name) != 0) option++;
  if (option == a->page->n_options) return refuse_unknown(a->page, name, status);
  const es_option_t *o = &a->page->options[option];
  const char *value = "";
  if (o->value == NULL && equals != NULL)
    return es_fail(status, ES_INPUT, STAGE, "%s takes no value; write %s alone", o->name, o->name);
  if (o->value != NULL) {
    const bool next = equals == NULL && *i + 1 < argc && strncmp(argv[*i + 1], "--", 2) != 0;
    if (equals == NULL && !next)
      return es_fail(status, ES_INPUT, STAGE, "%s needs a value: %s %s", o->name, o->name, o->value);
    value = equals != NULL ? equals + 1 : argv[++*i];
  }
  a->values[(size_t)option * (size_t)a->capacity + (size_t)a->counts[option]++] = value;
  return ES_OK;
}

es_code_t es_arguments_parse(es_arguments_t **out, int argc, char **argv, const es_page_t *page, int least, int most,
                             es_status_t *status) {
  *out = NULL;
  es_arguments_t *a = es_allocate_zero(1, sizeof *a);
  if (a == NULL) return es_out_of_memory(status, STAGE, "the arguments");
  a->page = page;
  a->capacity = argc + 1;
  a->positional = es_allocate_zero((size_t)a->capacity, sizeof *a->positional);
  a->values = es_allocate_zero((size_t)a->capacity * (size_t)page->n_options, sizeof *a->values);
  a->counts = es_allocate_zero((size_t)page->n_options, sizeof *a->counts);
  es_code_t code = ES_OK;
  char line[256];
  if (a->positional == NULL || a->values == NULL || a->counts == NULL)
    code = es_out_of_memory(status, STAGE, "the arguments");
  bool only_positional = false;
  for (int i = 0; i < argc && code == ES_OK; i++) {
    if (!only_positional && strcmp(argv[i], "--") == 0)
      only_positional = true;
    else if (!only_positional && argv[i][0] == '-' && argv[i][1] != '\0')
      code = read_option(a, argc, argv, &i, status);
    else
      a->positional[a->n_positional++] = argv[i];
  }
  if (code == ES_OK && a->n_positional < least)
    code = es_fail(status, ES_INPUT, STAGE, "an argument is missing; usage: %s", synopsis(page->usage, line));
  if (code == ES_OK && a->n_positional > most)
    code = es_fail(status, ES_INPUT, STAGE, "the argument %.100s is one too many; usage: %s", a->positional[most],
                   synopsis(page->usage, line));
  if (code != ES_OK) {
    es_arguments_destroy(a);
    return code;
  }
  *out = a;
  return ES_OK;
}

void es_arguments_destroy(es_arguments_t *arguments) {
  if (arguments == NULL) return;
  es_free(arguments->positional);
  es_free(arguments->values);
  es_free(arguments->counts);
  es_free(arguments);
}

const char *es_arguments_positional(const es_arguments_t *arguments, int index) {
  return index < arguments->n_positional ? arguments->positional[index] : NULL;
}

int es_arguments_all(const es_arguments_t *arguments, const char *name, const char *const **values) {
  for (int i = 0; i < arguments->page->n_options; i++) {
    if (strcmp(arguments->page->options[i].name, name) != 0) continue;
    *values = &arguments->values[(size_t)i * (size_t)arguments->capacity];
    return arguments->counts[i];
  }
  *values = NULL;
  return 0;
}

const char *es_arguments_option(const es_arguments_t *arguments, const char *name) {
  const char *const *values;
  const int n = es_arguments_all(arguments, name, &values);
  return n > 0 ? values[n - 1] : NULL;
}
