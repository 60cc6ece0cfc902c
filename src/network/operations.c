/* The table of operations: output shape, multiply-adds, receptive field and tensors of each. */
#include "network_internal.h"
#include <assert.h>
#include <stdio.h>

/* Adds a tensor named node.suffix; the caller sets rank, shape, initialiser and fan. Returns its index. */
static int32_t add_tensor(es_tensor_t *tensors, int32_t *n, int64_t *total, const es_node_t *node, const char *suffix) {
  es_tensor_t *t = &tensors[*n];
  snprintf(t->name, sizeof t->name, "%.*s.%s", ES_NAME_MAX - 20, node->name, suffix);
  t->offset = *total;
  t->count = 1;
  for (int i = 0; i < t->rank; i++) t->count *= t->shape[i];
  *total += t->count;
  return (*n)++;
}

static int32_t add_parameter(es_builder_t *b, const es_node_t *node, const char *suffix, es_tensor_t tensor) {
  es_graph_t *g = b->graph;
  g->parameters[g->n_parameters] = tensor;
  return add_tensor(g->parameters, &g->n_parameters, &g->parameter_count, node, suffix);
}

static int32_t add_buffer(es_builder_t *b, const es_node_t *node, const char *suffix, es_tensor_t tensor) {
  es_graph_t *g = b->graph;
  g->buffers[g->n_buffers] = tensor;
  return add_tensor(g->buffers, &g->n_buffers, &g->buffer_count, node, suffix);
}

/* Sets output shape and receptive field of a sliding window. */
static void slide(es_node_t *node, const es_settings_t *s) {
  node->kernel = s->kernel, node->stride = s->stride, node->padding = s->padding;
  node->out.h = (node->in.h + 2 * s->padding - s->kernel) / s->stride + 1;
  node->out.w = (node->in.w + 2 * s->padding - s->kernel) / s->stride + 1;
  node->receptive_field += (s->kernel - 1) * node->jump;
  node->least_field += (s->kernel - 1) * node->jump;
  node->jump *= s->stride;
}

static void infer_pool(ES_UNUSED es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  slide(node, s);
}

static es_tensor_t vector_of(int64_t n, es_initialiser_t init) {
  return (es_tensor_t){.rank = 1, .shape = {n}, .init = init};
}

static void infer_conv(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const int64_t k2 = (int64_t)s->kernel * s->kernel;
  assert(s->kind != ES_CONV_DEPTHWISE || node->in.c == s->channels);
  slide(node, s);
  node->out.c = (int32_t)s->channels;
  if (s->kind == ES_CONV_DEPTHWISE) node->groups = node->in.c;
  const int64_t filters = node->in.c / node->groups;
  node->weight = add_parameter(b, node, "weight",
                               (es_tensor_t){.rank = 4,
                                             .shape = {s->channels, filters, s->kernel, s->kernel},
                                             .init = ES_INIT_KAIMING_FAN_OUT,
                                             .fan = s->channels * k2});
  if (s->kind == ES_CONV_BIAS) node->bias = add_parameter(b, node, "bias", vector_of(s->channels, ES_INIT_ZERO));
  node->macs = k2 * filters * es_shape_size(node->out);
}

static void infer_linear(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const int64_t fan_in = es_shape_size(node->in);
  node->receptive_field += (node->in.h - 1) * node->jump; /* reads every position of its input */
  node->least_field = ES_FIELD_WHOLE;
  node->out = (es_shape_t){1, 1, (int32_t)s->channels};
  node->weight = add_parameter(
      b, node, "weight", (es_tensor_t){.rank = 2, .shape = {s->channels, fan_in}, .init = s->weight, .fan = fan_in});
  node->bias =
      add_parameter(b, node, "bias", (es_tensor_t){.rank = 1, .shape = {s->channels}, .init = s->bias, .fan = fan_in});
  node->macs = fan_in * s->channels;
}

static void infer_batchnorm(es_builder_t *b, es_node_t *node, ES_UNUSED const es_settings_t *s) {
  node->weight = add_parameter(b, node, "weight", vector_of(node->in.c, ES_INIT_ONE));
  node->bias = add_parameter(b, node, "bias", vector_of(node->in.c, ES_INIT_ZERO));
  node->mean = add_buffer(b, node, "running_mean", vector_of(node->in.c, ES_INIT_ZERO));
  node->variance = add_buffer(b, node, "running_var", vector_of(node->in.c, ES_INIT_ONE));
}

static void infer_dropout(ES_UNUSED es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  node->rate = s->rate;
}

static void infer_sum(es_builder_t *b, es_node_t *node, const es_settings_t *s) {
  const es_node_t *second = &b->graph->nodes[s->other];
  assert(s->other != node->input && es_shape_size(second->out) == es_shape_size(node->out) &&
         second->out.c == node->out.c && second->jump == node->jump);
  node->other = s->other;
  if (second->receptive_field > node->receptive_field) node->receptive_field = second->receptive_field;
  if (second->least_field < node->least_field) node->least_field = second->least_field;
}

static const es_operation_t operations[] = {
    [ES_OP_INPUT] = {.name = "input"},
    [ES_OP_CONV] = {"conv", .infer = infer_conv, .captured = true},
    [ES_OP_LINEAR] = {"linear", .infer = infer_linear, .captured = true},
    [ES_OP_BATCHNORM] = {"batch norm", .infer = infer_batchnorm},
    [ES_OP_RELU] = {.name = "relu"},
    [ES_OP_RELU6] = {.name = "relu6"},
    [ES_OP_ADD] = {"sum", .infer = infer_sum},
    [ES_OP_MAXPOOL] = {"max pooling", .infer = infer_pool},
    [ES_OP_AVGPOOL] = {"average pooling", .infer = infer_pool},
    [ES_OP_DROPOUT] = {"dropout", .infer = infer_dropout},
};
_Static_assert(sizeof operations / sizeof *operations == ES_OPS, "every operation has a row");

const es_operation_t *es_operation(es_op_t op) {
  return &operations[op];
}

const char *es_op_name(es_op_t op) {
  return operations[op].name;
}
