/* eigenscope model show: the layers of a network, as a table, JSON or a graph for Graphviz. Needs no MPI. */
#include "cli_internal.h"
#include "eigenscope/data.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include <string.h>

static const char usage[] =
    "eigenscope model show JOB|NETWORK [MODEL] [--width W] [--classes C] [--resolution R] [--format table|json|dot]\n\n"
    "Shows the operations of a network with the shape of their output, parameters, multiply-adds and receptive field. "
    "JOB is a\n"
    "job file, or the file of a description (a mapping with layers); NETWORK is a name of eigenscope model list such "
    "as\n"
    "resnet18. For a job, width, classes and resolution are those of its first point with this model.";
static const es_option_t options[] = {
    {"--width", "W", false, "factor of the channels, as in 1/4 (default: that of the job, else 1)"},
    {"--classes", "C", false, "number of classes (default: those of the job, else 10)"},
    {"--resolution", "R", false, "height and width of the images (default: that of the job, else 32)"},
    {"--set", "KEY=VALUE", true, "override a key of the job file"},
    {"--format", "table|json|dot", false, "format of the output (default: table)"},
};
const es_page_t es_page_model_show = {"model show", usage, options, sizeof options / sizeof *options};

/* ---- printing ---- */

static const char *shape_of(const es_node_t *node, char out[64]) {
  if (node->tokens)
    snprintf(out, 64, "%d x %d", node->out.h, node->out.c);
  else if (node->out.h * node->out.w == 1)
    snprintf(out, 64, "%d", node->out.c);
  else
    snprintf(out, 64, "%d x %d x %d", node->out.h, node->out.w, node->out.c);
  return out;
}

static void append_window(const es_node_t *n, char out[128]) {
  const size_t length = strlen(out);
  size_t at = length + (size_t)snprintf(out + length, 128 - length, " %d x %d", n->kernel, n->kernel_w);
  if (n->stride != 1 || n->stride_w != 1)
    at += (size_t)snprintf(out + at, 128 - at, n->stride == n->stride_w ? ", stride %d" : ", stride %d x %d", n->stride,
                           n->stride_w);
  if (n->dilation != 1 || n->dilation_w != 1)
    at += (size_t)snprintf(out + at, 128 - at, n->dilation == n->dilation_w ? ", dilation %d" : ", dilation %d x %d",
                           n->dilation, n->dilation_w);
  if (n->groups != 1) snprintf(out + at, 128 - at, ", %d groups", n->groups);
}

/* "conv 3 x 3, stride 2", "attention, 3 heads", "dropout 0.5". */
static const char *operation_of(const es_node_t *node, char out[128]) {
  char rate[32];
  snprintf(out, 128, "%s", es_op_name(node->op));
  const size_t length = strlen(out);
  if (node->kernel > 0)
    append_window(node, out);
  else if (node->groups > 1)
    snprintf(out + length, 128 - length, ", %d %s", node->groups, node->op == ES_OP_ATTENTION ? "heads" : "groups");
  else if (node->op == ES_OP_DROPOUT || node->op == ES_OP_DROP_PATH || node->op == ES_OP_LEAKY_RELU)
    snprintf(out + length, 128 - length, " %s", es_text_double(node->rate, rate));
  else if (node->op == ES_OP_LINEAR && node->each && node->out.h * node->out.w > 1)
    snprintf(out + length, 128 - length, " at each position");
  return out;
}

static const char *field_of(const es_graph_t *graph, const es_node_t *node, char out[32]) {
  const bool whole = node->least_field >= graph->nodes[0].out.h;
  snprintf(out, 32, "%d%s", node->receptive_field, whole ? " (all)" : "");
  return out;
}

static void append_totals(const es_graph_t *graph, es_text_t *out) {
  int64_t outputs = 0;
  int layers = 0;
  for (int32_t i = 1; i < graph->n_nodes; i++) {
    outputs += es_shape_size(graph->nodes[i].out);
    layers += es_node_is_layer(&graph->nodes[i]);
  }
  const es_bytes_t parameters = es_bytes(4 * graph->parameter_count), values = es_bytes(4 * outputs);
  const int32_t border = es_graph_border(graph);
  es_text_append(out, "\n%d operations, %d convolutions and linear layers\n", graph->n_nodes - 1, layers);
  es_text_append(out, "parameters           %lld (%s)\n", (long long)graph->parameter_count, parameters.text);
  if (graph->buffer_count > 0) es_text_append(out, "running statistics   %lld\n", (long long)graph->buffer_count);
  es_text_append(out, "multiply-adds        %lld for each image\n", (long long)graph->macs);
  es_text_append(out, "outputs              %lld numbers for each image (%s in float32)\n", (long long)outputs,
                 values.text);
  if (border < graph->n_nodes)
    es_text_append(out, "border layer         %s, the first whose input sees the whole image\n",
                   graph->nodes[border].name);
}

static void print_table(const es_point_t *point, const es_graph_t *graph, es_text_t *out) {
  char width[32], text[128];
  es_table_t table = {0};
  es_text_append(out, "%s: width %s, %d classes, images of %d x %d\n\n", point->model.name,
                 es_text_ratio(es_ratio_value(point->width), width), point->classes, point->resolution,
                 point->resolution);
  es_table_columns(&table, "layer|operation|>output|>parameters|>multiply-adds|>receptive field");
  for (int32_t i = 0; i < graph->n_nodes; i++) {
    const es_node_t *node = &graph->nodes[i];
    const int64_t parameters = es_graph_parameters(graph, node);
    es_table_cell(&table, "%s", node->name);
    es_table_cell(&table, "%s", i == 0 ? "" : operation_of(node, text));
    es_table_cell(&table, "%s", shape_of(node, text));
    es_table_cell(&table, parameters > 0 ? "%lld" : "", (long long)parameters);
    es_table_cell(&table, node->macs > 0 ? "%lld" : "", (long long)node->macs);
    es_table_cell(&table, "%s", field_of(graph, node, text));
  }
  es_table_print(&table, out);
  es_table_destroy(&table);
  append_totals(graph, out);
}

static void append_tensor(const es_tensor_t *tensors, int32_t index, bool *first, es_text_t *out) {
  if (index < 0) return;
  es_text_append(out, "%s{\"name\": ", *first ? "" : ", ");
  es_text_append_quoted(out, tensors[index].name);
  for (int32_t i = 0; i < tensors[index].rank; i++)
    es_text_append(out, "%s%lld", i == 0 ? ", \"shape\": [" : ", ", (long long)tensors[index].shape[i]);
  es_text_append(out, "]}");
  *first = false;
}

static void print_json(const es_point_t *point, const es_graph_t *graph, es_text_t *out) {
  const int32_t border = es_graph_border(graph);
  char width[32], text[128];
  snprintf(text, sizeof text, "%d", border);
  es_text_append(out, "{\"model\": ");
  es_text_append_quoted(out, point->model.name);
  es_text_append(out,
                 ", \"width\": \"%s\", \"classes\": %d, \"resolution\": %d, \"parameters\": %lld, \"buffers\": %lld, "
                 "\"multiply_adds\": %lld, \"border_layer\": %s,\n\"layers\": [",
                 es_text_ratio(es_ratio_value(point->width), width), point->classes, point->resolution,
                 (long long)graph->parameter_count, (long long)graph->buffer_count, (long long)graph->macs,
                 border < graph->n_nodes ? text : "null");
  for (int32_t i = 0; i < graph->n_nodes; i++) {
    const es_node_t *node = &graph->nodes[i];
    bool first = true;
    es_text_append(out, "%s\n  {\"name\": ", i > 0 ? "," : "");
    es_text_append_quoted(out, node->name);
    es_text_append(out, ", \"operation\": ");
    es_text_append_quoted(out, operation_of(node, text));
    es_text_append(out, ", \"inputs\": [");
    if (node->input >= 0) es_text_append(out, "%d", node->input);
    if (node->other >= 0) es_text_append(out, ", %d", node->other);
    if (node->tokens)
      es_text_append(out, "], \"output\": [%d, %d]", node->out.h, node->out.c);
    else
      es_text_append(out, "], \"output\": [%d, %d, %d]", node->out.h, node->out.w, node->out.c);
    es_text_append(out,
                   ", \"parameters\": %lld, \"multiply_adds\": %lld, \"receptive_field\": %d, \"sees_all\": %s, "
                   "\"tensors\": [",
                   (long long)es_graph_parameters(graph, node), (long long)node->macs, node->receptive_field,
                   node->least_field >= graph->nodes[0].out.h ? "true" : "false");
    append_tensor(graph->parameters, node->weight, &first, out);
    append_tensor(graph->parameters, node->bias, &first, out);
    append_tensor(graph->buffers, node->mean, &first, out);
    append_tensor(graph->buffers, node->variance, &first, out);
    es_text_append(out, "]}");
  }
  es_text_append(out, "\n]}\n");
}

static void print_dot(const es_point_t *point, const es_graph_t *graph, es_text_t *out) {
  char text[128];
  es_text_append(out, "digraph ");
  es_text_append_quoted(out, point->model.name);
  es_text_append(out, " {\n  node [shape=box, fontname=\"sans-serif\"];\n");
  for (int32_t i = 0; i < graph->n_nodes; i++) {
    const es_node_t *node = &graph->nodes[i];
    es_text_append(out, "  n%d [label=\"%s\\n", i, node->name);
    if (i > 0) es_text_append(out, "%s\\n", operation_of(node, text));
    es_text_append(out, "%s\"];\n", shape_of(node, text));
    if (node->input >= 0) es_text_append(out, "  n%d -> n%d;\n", node->input, i);
    if (node->other >= 0) es_text_append(out, "  n%d -> n%d;\n", node->other, i);
  }
  es_text_append(out, "}\n");
}

/* ---- finding the network ---- */

/* Finds the first point with the model, or with the only model of the job. */
static es_code_t find_point(const es_job_t *job, const es_grid_t *grid, const char *model, es_point_t *out,
                            es_status_t *status) {
  es_grid_walk_t walk = {.grid = grid};
  es_text_t names = {0};
  bool found = false, several = false;
  if (!es_source_has_network(es_job_base(job)->source))
    return es_fail(status, ES_INPUT, "model", "%s: a job of this source has no networks", es_job_path(job));
  for (int64_t i = 0; i < es_grid_count(grid); i++) {
    const es_point_t *point = es_grid_walk(&walk, i);
    const bool fits = !model || strcmp(point->model.name, model) == 0;
    char name[ES_NAME_MAX + 2];
    if (fits && found && strcmp(point->model.name, out->model.name) != 0) several = true;
    if (fits && !found) *out = *point;
    found = found || fits;
    snprintf(name, sizeof name, " %s,", point->model.name);
    if (!strstr(es_text_get(&names), name)) es_text_append(&names, "%s", name);
  }
  if (names.length > 0) names.data[--names.length] = '\0';
  if (!found)
    es_fail(status, ES_INPUT, "model", "%s: no point has the model %.60s; the models are%s", es_job_path(job), model,
            es_text_get(&names));
  else if (several)
    es_fail(status, ES_INPUT, "model", "%s: the job has several models; name one of%s", es_job_path(job),
            es_text_get(&names));
  es_text_destroy(&names);
  return status->code;
}

/* Sets what the options say, and what the job leaves to its data. */
static es_code_t complete(const es_arguments_t *a, bool is_job, es_point_t *point, es_status_t *status) {
  const char *width = es_arguments_option(a, "--width");
  int64_t classes = point->classes, resolution = point->resolution;
  if (width && (!es_ratio_parse(width, &point->width) || !es_ratio_in_range(point->width)))
    return es_fail(status, ES_INPUT, "model", "--width %.100s: must be a ratio from 1/64 to 16, as in 1/16, 0.125 or 2",
                   width);
  if (point->width.numerator == 0) point->width = (es_ratio_t){1, 1};
  ES_TRY(es_cli_integer(a, "--classes", 2, ES_CLASSES_MAX, &classes, status));
  ES_TRY(es_cli_integer(a, "--resolution", 8, ES_RESOLUTION_MAX, &resolution, status));
  if (classes == 0 && is_job) {
    es_status_t own = {0};
    es_dataset_info_t *info = es_allocate(1, sizeof *info);
    if (!info) return es_out_of_memory(status, "model", "the description of a dataset");
    es_dataset_inspect(info, &point->dataset, &own);
    classes = info->classes;
    es_free(info);
    if (own.code != ES_OK)
      return es_fail(status, ES_INPUT, "model", "the number of classes is that of dataset %s: %s; give --classes",
                     point->dataset.name, own.message);
  }
  point->classes = classes == 0 ? 10 : (int32_t)classes;
  point->resolution = (int32_t)resolution;
  return ES_OK;
}

static int show(const es_arguments_t *a, es_status_t *status) {
  static const char *const names[] = {"table", "json", "dot"};
  static void (*const print[])(const es_point_t *, const es_graph_t *, es_text_t *) = {print_table, print_json,
                                                                                       print_dot};
  const char *said = es_arguments_option(a, "--format");
  es_job_t *job = NULL;
  es_grid_t *grid = NULL;
  es_graph_t *graph = NULL;
  es_text_t text = {0};
  es_point_t point;
  int format = 0;
  while (said && format < 3 && strcmp(said, names[format]) != 0) format++;
  if (format == 3) return es_fail(status, ES_INPUT, "model", "--format %.100s: must be table, json or dot", said);
  const char *const *sets;
  const int n_sets = es_arguments_all(a, "--set", &sets);
  if (es_job_load_model(&job, es_arguments_positional(a, 0), sets, n_sets, status) != ES_OK ||
      es_grid_create(&grid, job, status) != ES_OK)
    goto out;
  const bool is_job = strcmp(es_job_name(job), "model") != 0;
  if (find_point(job, grid, es_arguments_positional(a, 1), &point, status) != ES_OK) goto out;
  if (complete(a, is_job, &point, status) != ES_OK) goto out;
  if (es_graph_create(&graph, &point, status) == ES_OK) print[format](&point, graph, &text);
out:
  es_graph_destroy(graph);
  es_grid_destroy(grid);
  es_job_destroy(job);
  return es_cli_print(&text, "the layers", status);
}

int es_cli_model_show(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_model_show, 1, 2, show);
}
