/* Nodes, tensors, shapes, costs and receptive fields, one node at a time. */
#include "builder.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static es_code_t fail_memory(es_builder_t *b) {
  return b->code = es_out_of_memory(b->status, "model", "the description of a network");
}

/* Room for one node, its tensors and its place among the layers. */
static bool make_room(es_builder_t *b) {
  es_graph_t *g = b->graph;
  if (b->code != ES_OK) return false;
  if (g->n_nodes == b->nodes_max) {
    const int32_t most = 2 * b->nodes_max + 64;
    es_node_t *nodes = es_reallocate(g->nodes, (size_t)most, sizeof *nodes);
    if (nodes) g->nodes = nodes;
    int32_t *layers = es_reallocate(g->layers, (size_t)most, sizeof *layers);
    if (layers) g->layers = layers;
    if (!nodes || !layers) return fail_memory(b) == ES_OK;
    b->nodes_max = most;
  }
  if (g->n_parameters + 2 > b->tensors_max || g->n_buffers + 2 > b->tensors_max) {
    const int32_t most = 2 * b->tensors_max + 64;
    es_tensor_t *parameters = es_reallocate(g->parameters, (size_t)most, sizeof *parameters);
    if (parameters) g->parameters = parameters;
    es_tensor_t *buffers = es_reallocate(g->buffers, (size_t)most, sizeof *buffers);
    if (buffers) g->buffers = buffers;
    if (!parameters || !buffers) return fail_memory(b) == ES_OK;
    b->tensors_max = most;
  }
  return true;
}

es_code_t es_builder_open(es_builder_t *out, int32_t resolution, es_ratio_t width, es_status_t *status) {
  *out = (es_builder_t){.width = width, .status = status, .graph = es_allocate_zero(1, sizeof(es_graph_t))};
  if (!out->graph) return fail_memory(out);
  if (!make_room(out)) return out->code;
  const es_shape_t image = {resolution, resolution, 3};
  out->graph->n_nodes = 1;
  out->graph->nodes[0] = (es_node_t){.op = ES_OP_INPUT,
                                     .name = "input",
                                     .input = -1,
                                     .other = -1,
                                     .in = image,
                                     .out = image,
                                     .weight = -1,
                                     .bias = -1,
                                     .mean = -1,
                                     .variance = -1,
                                     .layer = -1,
                                     .receptive_field = 1,
                                     .jump = 1};
  return ES_OK;
}

es_code_t es_builder_close(es_builder_t *b, int32_t classes, es_graph_t **out) {
  *out = NULL;
  if (b->code != ES_OK) {
    es_graph_destroy(b->graph);
    return b->code;
  }
  assert(b->last == b->graph->n_nodes - 1 && es_shape_size(es_last_shape(b)) == classes);
  b->graph->classes = classes;
  *out = b->graph;
  return ES_OK;
}

void es_scope(es_builder_t *b, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(b->scope, sizeof b->scope, format, arguments);
  va_end(arguments);
  b->index = 0;
}

es_shape_t es_last_shape(const es_builder_t *b) {
  return b->graph->nodes[b->last].out;
}

/* The full name of the next node. */
static void full_name(const es_builder_t *b, const char *name, char out[ES_NAME_MAX]) {
  if (name)
    snprintf(out, ES_NAME_MAX, "%.40s%s", b->scope, name);
  else
    snprintf(out, ES_NAME_MAX, "%.40s%d", b->scope, b->index);
}

/* A node that reads the last one and puts out the same shape; NULL after a failure. */
static es_node_t *add_node(es_builder_t *b, const char *name, es_op_t op) {
  if (!make_room(b)) return NULL;
  es_graph_t *g = b->graph;
  const es_node_t *previous = &g->nodes[b->last];
  es_node_t *node = &g->nodes[g->n_nodes];
  *node = (es_node_t){.op = op,
                      .input = b->last,
                      .other = -1,
                      .in = previous->out,
                      .out = previous->out,
                      .groups = 1,
                      .weight = -1,
                      .bias = -1,
                      .mean = -1,
                      .variance = -1,
                      .layer = -1,
                      .receptive_field = previous->receptive_field,
                      .jump = previous->jump};
  full_name(b, name, node->name);
  if (!name) b->index++;
  b->last = g->n_nodes++;
  return node;
}

static int32_t add_tensor(es_tensor_t *tensors, int32_t *n, int64_t *total, const es_node_t *node, const char *suffix,
                          int rank, const int64_t *shape, es_initialiser_t init, int64_t fan) {
  es_tensor_t *t = &tensors[*n];
  *t = (es_tensor_t){.rank = rank, .offset = *total, .count = 1, .init = init, .fan = fan};
  snprintf(t->name, sizeof t->name, "%.*s.%s", ES_NAME_MAX - 20, node->name, suffix);
  for (int i = 0; i < rank; i++) {
    t->shape[i] = shape[i];
    t->count *= shape[i];
  }
  *total += t->count;
  return (*n)++;
}

static int32_t add_parameter(es_graph_t *g, const es_node_t *node, const char *suffix, int rank, const int64_t *shape,
                             es_initialiser_t init, int64_t fan) {
  return add_tensor(g->parameters, &g->n_parameters, &g->parameter_count, node, suffix, rank, shape, init, fan);
}

static int32_t add_buffer(es_graph_t *g, const es_node_t *node, const char *suffix, const int64_t *shape,
                          es_initialiser_t init) {
  return add_tensor(g->buffers, &g->n_buffers, &g->buffer_count, node, suffix, 1, shape, init, 0);
}

/* Whether the next node, to be called `name`, has channels; else fails. */
static bool has_channels(es_builder_t *b, const char *name, int64_t channels, int64_t at_one) {
  if (b->code != ES_OK || channels > 0) return b->code == ES_OK;
  char full[ES_NAME_MAX];
  full_name(b, name, full);
  b->code =
      es_fail(b->status, ES_INPUT, "model",
              "layer %s would have no channels (%lld at width 1): a larger width is needed", full, (long long)at_one);
  return false;
}

static void mark_layer(es_graph_t *g, es_node_t *node) {
  node->layer = g->n_layers;
  g->layers[g->n_layers++] = (int32_t)(node - g->nodes);
  g->macs += node->macs;
}

/* A window that slides over the input. */
static void slide(es_node_t *node, int32_t kernel, int32_t stride, int32_t padding) {
  node->kernel = kernel, node->stride = stride, node->padding = padding;
  node->out.h = (node->in.h + 2 * padding - kernel) / stride + 1;
  node->out.w = (node->in.w + 2 * padding - kernel) / stride + 1;
  node->receptive_field += (kernel - 1) * node->jump;
  node->jump *= stride;
}

void es_add_conv(es_builder_t *b, const char *name, int64_t channels_at_one, int32_t kernel, int32_t stride,
                 es_conv_kind_t kind) {
  const int64_t channels = es_ratio_scale(b->width, channels_at_one), k2 = (int64_t)kernel * kernel;
  if (!has_channels(b, name, channels, channels_at_one)) return;
  es_node_t *node = add_node(b, name, ES_OP_CONV);
  if (!node) return;
  slide(node, kernel, stride, kernel / 2);
  node->out.c = (int32_t)channels;
  if (kind == ES_CONV_DEPTHWISE) {
    assert(node->in.c == channels);
    node->groups = node->in.c;
  }
  const int64_t shape[4] = {channels, node->in.c / node->groups, kernel, kernel};
  node->weight = add_parameter(b->graph, node, "weight", 4, shape, ES_INIT_KAIMING_FAN_OUT, channels * k2);
  if (kind == ES_CONV_BIAS) node->bias = add_parameter(b->graph, node, "bias", 1, shape, ES_INIT_ZERO, 0);
  node->macs = k2 * shape[1] * es_shape_size(node->out);
  mark_layer(b->graph, node);
}

void es_add_linear(es_builder_t *b, const char *name, es_linear_t linear) {
  if (!has_channels(b, name, linear.features, linear.features_at_one)) return;
  es_node_t *node = add_node(b, name, ES_OP_LINEAR);
  if (!node) return;
  const int64_t fan_in = es_shape_size(node->in), shape[2] = {linear.features, fan_in};
  node->receptive_field += (node->in.h - 1) * node->jump; /* sees every position of its input */
  node->out = (es_shape_t){1, 1, (int32_t)linear.features};
  node->weight = add_parameter(b->graph, node, "weight", 2, shape, linear.weight, fan_in);
  node->bias = add_parameter(b->graph, node, "bias", 1, shape, linear.bias, fan_in);
  node->macs = fan_in * linear.features;
  mark_layer(b->graph, node);
}

void es_add_batchnorm(es_builder_t *b, const char *name) {
  es_node_t *node = add_node(b, name, ES_OP_BATCHNORM);
  if (!node) return;
  const int64_t shape[1] = {node->in.c};
  node->weight = add_parameter(b->graph, node, "weight", 1, shape, ES_INIT_ONE, 0);
  node->bias = add_parameter(b->graph, node, "bias", 1, shape, ES_INIT_ZERO, 0);
  node->mean = add_buffer(b->graph, node, "running_mean", shape, ES_INIT_ZERO);
  node->variance = add_buffer(b->graph, node, "running_var", shape, ES_INIT_ONE);
}

void es_add_activation(es_builder_t *b, const char *name, es_op_t op) {
  assert(op == ES_OP_RELU || op == ES_OP_RELU6);
  add_node(b, name, op);
}

void es_add_dropout(es_builder_t *b, const char *name, double rate) {
  es_node_t *node = add_node(b, name, ES_OP_DROPOUT);
  if (node) node->rate = rate;
}

void es_add_pool(es_builder_t *b, const char *name, es_op_t op, int32_t kernel, int32_t stride, int32_t padding) {
  if (b->code != ES_OK) return;
  const es_shape_t in = es_last_shape(b);
  if (in.h + 2 * padding < kernel || in.w + 2 * padding < kernel) {
    char full[ES_NAME_MAX];
    full_name(b, name, full);
    b->code = es_fail(b->status, ES_INPUT, "model",
                      "%s would pool an image of %d x %d away: a larger resolution or fewer pooling layers are needed",
                      full, in.h, in.w);
    return;
  }
  es_node_t *node = add_node(b, name, op);
  if (node) slide(node, kernel, stride, padding);
}

void es_add_global_pool(es_builder_t *b, const char *name) {
  if (b->code != ES_OK || es_last_shape(b).h == 1) return;
  es_add_pool(b, name, ES_OP_AVGPOOL, es_last_shape(b).h, es_last_shape(b).h, 0);
}

void es_add_sum(es_builder_t *b, const char *name, int32_t other) {
  es_node_t *node = add_node(b, name, ES_OP_ADD);
  if (!node) return;
  const es_node_t *second = &b->graph->nodes[other];
  assert(other != node->input && es_shape_size(second->out) == es_shape_size(node->out) &&
         second->out.c == node->out.c && second->jump == node->jump);
  node->other = other;
  if (second->receptive_field > node->receptive_field) node->receptive_field = second->receptive_field;
}
