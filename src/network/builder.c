/* Builds a graph, one node at a time. */
#include "eigenscope/memory.h"
#include "network_internal.h"
#include <stdarg.h>
#include <stdio.h>

static void *grow(void *array, int32_t n, size_t size, bool *failed) {
  void *larger = es_reallocate(array, (size_t)n, size);
  *failed = *failed || !larger;
  return larger ? larger : array;
}

/* Makes space for one node, its two parameters and two buffers. */
static bool make_room(es_builder_t *b) {
  es_graph_t *g = b->graph;
  if (b->code != ES_OK || g->n_nodes < b->nodes_max) return b->code == ES_OK;
  const int32_t most = 2 * b->nodes_max + 64;
  bool failed = false;
  g->nodes = grow(g->nodes, most, sizeof *g->nodes, &failed);
  g->parameters = grow(g->parameters, 2 * most, sizeof *g->parameters, &failed);
  g->buffers = grow(g->buffers, 2 * most, sizeof *g->buffers, &failed);
  if (failed) return (b->code = es_out_of_memory(b->status, "model", "the description of a network")) == ES_OK;
  b->nodes_max = most;
  return true;
}

/* A node with default values, before its operation completes it. */
static es_node_t new_node(es_op_t op, int32_t input, es_shape_t in) {
  return (es_node_t){.op = op,
                     .input = input,
                     .other = -1,
                     .in = in,
                     .out = in,
                     .dilation = 1,
                     .dilation_w = 1,
                     .groups = 1,
                     .weight = -1,
                     .bias = -1,
                     .mean = -1,
                     .variance = -1,
                     .layer = -1,
                     .receptive_field = 1,
                     .least_field = 1,
                     .jump = 1};
}

void es_add_input(es_builder_t *b, es_shape_t shape) {
  if (!make_room(b)) return;
  b->graph->nodes[0] = new_node(ES_OP_INPUT, -1, shape);
  snprintf(b->graph->nodes[0].name, ES_NAME_MAX, "input");
  b->graph->n_nodes = 1;
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

/* The output has the shape of the input unless the operation changes it. */
void es_add_operation(es_builder_t *b, const char *name, es_op_t op, const es_settings_t *settings) {
  if (!make_room(b)) return;
  es_graph_t *g = b->graph;
  const es_operation_t *operation = es_operation(op);
  const es_node_t *previous = &g->nodes[b->last];
  es_node_t *node = &g->nodes[g->n_nodes];
  *node = new_node(op, b->last, previous->out);
  node->receptive_field = previous->receptive_field;
  node->least_field = previous->least_field;
  node->jump = previous->jump;
  node->tokens = previous->tokens;
  full_name(b, name, node->name);
  if (!name) b->index++;
  if (operation->infer) operation->infer(b, node, settings);
  if (b->code != ES_OK) return;
  b->last = g->n_nodes++;
  if (__builtin_add_overflow(g->macs, node->macs, &g->macs))
    b->code = es_fail(b->status, ES_INPUT, "model",
                      "layer %s is too large: an image would need more than 2^63 multiplications", node->name);
}

/* True if the next node, `name`, has channels; else fails. */
static bool has_channels(es_builder_t *b, const char *name, int64_t channels, int64_t at_one) {
  if (b->code != ES_OK || channels > 0) return b->code == ES_OK;
  char full[ES_NAME_MAX];
  full_name(b, name, full);
  b->code = es_fail(b->status, ES_INPUT, "model",
                    "layer %s would have no channels (%lld at width 1); use a larger width", full, (long long)at_one);
  return false;
}

static es_window_t window_of(int32_t kernel, int32_t stride, int32_t padding) {
  return (es_window_t){kernel, stride, padding, 1};
}

void es_add_conv(es_builder_t *b, const char *name, int64_t channels_at_one, int32_t kernel, int32_t stride,
                 es_conv_kind_t kind) {
  const int64_t channels = es_ratio_scale(b->width, channels_at_one);
  if (!has_channels(b, name, channels, channels_at_one)) return;
  const es_window_t window = window_of(kernel, stride, kernel / 2);
  es_add_operation(b, name, ES_OP_CONV,
                   &(es_settings_t){.channels = channels,
                                    .window = {window, window},
                                    .groups = kind == ES_CONV_DEPTHWISE ? es_last_shape(b).c : 1,
                                    .biased = kind == ES_CONV_BIAS,
                                    .weight = ES_INIT_KAIMING_FAN_OUT,
                                    .bias = ES_INIT_ZERO});
}

void es_add_linear(es_builder_t *b, const char *name, es_linear_t linear) {
  if (!has_channels(b, name, linear.features, linear.features_at_one)) return;
  es_add_operation(
      b, name, ES_OP_LINEAR,
      &(es_settings_t){.channels = linear.features, .biased = true, .weight = linear.weight, .bias = linear.bias});
}

void es_add_simple(es_builder_t *b, const char *name, es_op_t op) {
  es_add_operation(b, name, op, &(es_settings_t){0});
}

void es_add_dropout(es_builder_t *b, const char *name, double rate) {
  es_add_operation(b, name, ES_OP_DROPOUT, &(es_settings_t){.rate = rate});
}

void es_add_pool(es_builder_t *b, const char *name, es_op_t op, int32_t kernel, int32_t stride, int32_t padding) {
  const es_window_t window = window_of(kernel, stride, padding);
  es_add_operation(b, name, op, &(es_settings_t){.window = {window, window}, .counts_padding = true});
}

void es_add_global_pool(es_builder_t *b, const char *name) {
  if (b->code == ES_OK && es_last_shape(b).h > 1)
    es_add_pool(b, name, ES_OP_AVGPOOL, es_last_shape(b).h, es_last_shape(b).h, 0);
  if (b->code == ES_OK) b->graph->nodes[b->last].least_field = ES_FIELD_WHOLE;
}

void es_add_sum(es_builder_t *b, const char *name, int32_t other) {
  es_add_operation(b, name, ES_OP_ADD, &(es_settings_t){.other = other});
}
