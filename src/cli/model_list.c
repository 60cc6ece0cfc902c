/* eigenscope model list: names of the networks that the program knows. Needs no MPI. */
#include "cli_internal.h"
#include "eigenscope/description.h"
#include "eigenscope/job.h"
#include "eigenscope/shipped.h"
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "eigenscope model list [WORD] [--format table|json]\n\n"
    "Lists the networks that grid.model may name, with their parameters (weights and biases) at width 1 and 1000 "
    "classes. The\n"
    "format json also has the numbers that a job may change. WORD: only networks whose name or description contains "
    "it.";
static const es_option_t options[] = {
    {"--format", "table|json", false, "format of the output (default: table)"},
};
const es_page_t es_page_model_list = {"model list", usage, options, sizeof options / sizeof *options};

enum { CLASSES = 1000, RESOLUTION = 224 };

/* The point of a network at width 1. */
static es_code_t load(const char *name, es_job_t **job, es_point_t *point, es_status_t *status) {
  ES_TRY(es_job_load_model(job, name, NULL, 0, status));
  es_job_start(*job, 0, point);
  for (int axis = 0; axis < es_job_n_axes(*job, 0); axis++) ES_TRY(es_job_apply(*job, 0, axis, 0, point, status));
  point->width = (es_ratio_t){1, 1};
  point->classes = CLASSES;
  point->resolution = RESOLUTION;
  return ES_OK;
}

/* Appends the numbers of a description that a job may change, as JSON. */
static void append_numbers(const es_description_t *d, es_text_t *out) {
  char number[32];
  es_text_append(out, "{");
  for (int i = 0; d != NULL && i < d->n_parameters; i++)
    es_text_append(out, "%s\"%s\": %s", i > 0 ? ", " : "", d->parameters[i].name,
                   es_text_double(d->parameters[i].value, number));
  es_text_append(out, "}");
}

/* A list that is printed: a row of the table, or an object of JSON. */
typedef struct list {
  bool json;
  int n;
  es_table_t table;
  es_text_t text;
} list_t;

static void append_graph(list_t *list, const es_point_t *point, const es_graph_t *graph, const char *doc) {
  const long long parameters = (long long)graph->parameter_count;
  int layers = 0;
  for (int32_t i = 1; i < graph->n_nodes; i++) layers += es_node_is_layer(&graph->nodes[i]);
  if (!list->json) {
    es_table_cell(&list->table, "%s", point->model.name);
    es_table_cell(&list->table, "%lld", parameters);
    es_table_cell(&list->table, "%d", layers);
    es_table_cell(&list->table, "%s", doc);
    return;
  }
  es_text_append(&list->text, "%s\n  {\"name\": \"%s\", \"parameters\": %lld, \"layers\": %d, \"description\": ",
                 list->n > 0 ? "," : "", point->model.name, parameters, layers);
  es_text_append_quoted(&list->text, doc);
  es_text_append(&list->text, ", \"numbers\": ");
  append_numbers(point->model.description, &list->text);
  es_text_append(&list->text, "}");
}

/* Adds a model, unless `word` is neither in its name nor in its description. */
static es_code_t add(list_t *list, const char *word, const char *name, const char *doc, es_status_t *status) {
  es_job_t *job = NULL;
  es_graph_t *graph = NULL;
  es_point_t point;
  if (word != NULL && strstr(name, word) == NULL && strstr(doc, word) == NULL) return ES_OK;
  if (load(name, &job, &point, status) == ES_OK && es_graph_create(&graph, &point, status) == ES_OK)
    append_graph(list, &point, graph, doc);
  list->n++;
  es_graph_destroy(graph);
  es_job_destroy(job);
  return status->code;
}

/* A name near the word, or the letters with which names of a family begin (densenet of densenet121); NULL if there is
 * none. */
static const char *find_nearest(const char *word, char families[ES_SHIPPED_MAX][ES_NAME_MAX]) {
  const char *names[ES_SHIPPED_MAX * 2];
  int n = 0;
  for (int i = 0; es_shipped_row(i) != NULL && n < ES_SHIPPED_MAX; i++) names[n++] = es_shipped_row(i)->name;
  for (const char *const *name = es_model_spec_names(); *name != NULL && n < ES_SHIPPED_MAX; name++) names[n++] = *name;
  for (int i = 0, models = n; i < models; i++) {
    snprintf(families[i], ES_NAME_MAX, "%.*s", (int)strcspn(names[i], "0123456789_"), names[i]);
    names[n++] = families[i];
  }
  return es_text_nearest(word, names, n);
}

static int list_models(const es_arguments_t *a, es_status_t *status) {
  static const char builtin[] = "built in; a ResNet or MobileNet has first layers for small images";
  const char *word = es_arguments_positional(a, 0);
  list_t list = {0};
  ES_TRY(es_cli_format(a, &list.json, status));
  es_table_columns(&list.table, "model|>parameters|>layers|description");
  if (list.json) es_text_append(&list.text, "[");
  for (const char *const *name = es_model_spec_names(); *name != NULL && status->code == ES_OK; name++)
    add(&list, word, *name, builtin, status);
  for (int i = 0; es_shipped_row(i) != NULL && status->code == ES_OK; i++)
    add(&list, word, es_shipped_row(i)->name, es_shipped_row(i)->doc, status);
  if (list.json)
    es_text_append(&list.text, "\n]\n");
  else
    es_table_print(&list.table, &list.text);
  es_table_destroy(&list.table);
  if (list.n == 0 && status->code == ES_OK) {
    char families[ES_SHIPPED_MAX][ES_NAME_MAX];
    const char *nearest = find_nearest(word, families);
    es_fail(status, ES_INPUT, "model", "no model has %.60s in its name or description%s%s%s", word,
            nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
  }
  return es_cli_print(&list.text, "the models", status);
}

int es_cli_model_list(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_model_list, 0, 1, list_models);
}
