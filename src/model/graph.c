/* From an architecture, a width and a class count to the list of nodes: shapes, tensors, costs, receptive fields. */
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { NODES_MAX = 4 * ES_ITEMS_MAX + 16, TENSORS_MAX = 2 * NODES_MAX };

/* A graph under construction: `last` is the node that the next one reads. */
typedef struct builder {
  es_graph_t *graph;
  const char *prefix; /* "features" or "classifier" */
  int index;          /* within the prefix, as torchvision's nn.Sequential counts */
  es_status_t *status;
} builder_t;

static const es_node_t *last_node(const builder_t *b) {
  return &b->graph->nodes[b->graph->n_nodes - 1];
}

static es_node_t *add_node(builder_t *b, es_op_t op) {
  es_graph_t *g = b->graph;
  assert(g->n_nodes < NODES_MAX);
  const es_node_t *previous = last_node(b);
  es_node_t *node = &g->nodes[g->n_nodes];
  *node = (es_node_t){.op = op,
                      .input = g->n_nodes - 1,
                      .in = previous->out,
                      .out = previous->out,
                      .weight = -1,
                      .bias = -1,
                      .mean = -1,
                      .variance = -1,
                      .layer = -1,
                      .receptive_field = previous->receptive_field,
                      .jump = previous->jump};
  snprintf(node->name, sizeof node->name, "%s.%d", b->prefix, b->index++);
  g->n_nodes++;
  return node;
}

static int32_t add_tensor(es_tensor_t *tensors, int32_t *n, int64_t *total, const es_node_t *node, const char *suffix,
                          int rank, const int64_t *shape, es_initialiser_t init, int64_t fan) {
  assert(*n < TENSORS_MAX);
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

static es_code_t without_channels(builder_t *b, int64_t channels_at_one) {
  return es_fail(b->status, ES_INPUT, "model",
                 "layer %s.%d would have no channels (%lld at width 1): a larger width is needed", b->prefix, b->index,
                 (long long)channels_at_one);
}

static void mark_layer(es_graph_t *g, es_node_t *node) {
  node->layer = g->n_layers;
  g->layers[g->n_layers++] = (int32_t)(node - g->nodes);
  g->macs += node->macs;
}

static void add_conv(builder_t *b, int64_t channels) {
  es_graph_t *g = b->graph;
  es_node_t *node = add_node(b, ES_OP_CONV);
  node->kernel = 3, node->stride = 1, node->padding = 1;
  node->out.c = (int32_t)channels;
  node->receptive_field += (node->kernel - 1) * node->jump;
  int64_t k2 = (int64_t)node->kernel * node->kernel;
  int64_t shape[4] = {channels, node->in.c, node->kernel, node->kernel};
  node->weight = add_parameter(g, node, "weight", 4, shape, ES_INIT_KAIMING_FAN_OUT, channels * k2);
  node->bias = add_parameter(g, node, "bias", 1, shape, ES_INIT_ZERO, 0);
  node->macs = k2 * node->in.c * es_shape_size(node->out);
  mark_layer(g, node);
}

static void add_linear(builder_t *b, int64_t features) {
  es_graph_t *g = b->graph;
  es_node_t *node = add_node(b, ES_OP_LINEAR);
  int64_t fan_in = es_shape_size(node->in);
  node->receptive_field += (node->in.h - 1) * node->jump; /* sees every position of its input */
  node->out = (es_shape_t){1, 1, (int32_t)features};
  int64_t shape[2] = {features, fan_in};
  node->weight = add_parameter(g, node, "weight", 2, shape, ES_INIT_NORMAL_001, fan_in);
  node->bias = add_parameter(g, node, "bias", 1, shape, ES_INIT_UNIFORM_FAN_IN, fan_in);
  node->macs = fan_in * features;
  mark_layer(g, node);
}

static void add_batchnorm(builder_t *b) {
  es_graph_t *g = b->graph;
  es_node_t *node = add_node(b, ES_OP_BATCHNORM);
  int64_t shape[1] = {node->in.c};
  node->weight = add_parameter(g, node, "weight", 1, shape, ES_INIT_ONE, 0);
  node->bias = add_parameter(g, node, "bias", 1, shape, ES_INIT_ZERO, 0);
  node->mean = add_tensor(g->buffers, &g->n_buffers, &g->buffer_count, node, "running_mean", 1, shape, ES_INIT_ZERO, 0);
  node->variance =
      add_tensor(g->buffers, &g->n_buffers, &g->buffer_count, node, "running_var", 1, shape, ES_INIT_ONE, 0);
}

static void add_dropout(builder_t *b, double rate) {
  add_node(b, ES_OP_DROPOUT)->rate = rate;
}

static es_code_t add_pool(builder_t *b, es_op_t op, int kernel) {
  const es_shape_t in = last_node(b)->out;
  if (in.h < kernel || in.w < kernel)
    return es_fail(b->status, ES_INPUT, "model",
                   "%s.%d would pool an image of %d x %d away: a larger resolution or fewer pooling layers are needed",
                   b->prefix, b->index, in.h, in.w);
  es_node_t *node = add_node(b, op);
  node->kernel = node->stride = kernel;
  node->out = (es_shape_t){in.h / kernel, in.w / kernel, in.c};
  node->receptive_field += (kernel - 1) * node->jump;
  node->jump *= kernel;
  return ES_OK;
}

/* BatchNorm1d, Dropout 0.25, Linear(f, f/2), ReLU, BatchNorm1d, Dropout 0.25, Linear(f/2, classes): the authors' head.
 */
static es_code_t add_authors_head(builder_t *b, int64_t classes) {
  int64_t features = last_node(b)->out.c;
  add_batchnorm(b);
  add_dropout(b, 0.25);
  if (features / 2 == 0) return without_channels(b, 256);
  add_linear(b, features / 2);
  add_node(b, ES_OP_RELU);
  add_batchnorm(b);
  add_dropout(b, 0.25);
  add_linear(b, classes);
  return ES_OK;
}

/* Linear(f, f), ReLU, Dropout 0.5, twice, Linear(f, classes): torchvision's order, at this network's number of
 * features. */
static es_code_t add_torchvision_head(builder_t *b, int64_t classes) {
  int64_t features = last_node(b)->out.c;
  for (int i = 0; i < 2; i++) {
    add_linear(b, features);
    add_node(b, ES_OP_RELU);
    add_dropout(b, 0.5);
  }
  add_linear(b, classes);
  return ES_OK;
}

static es_code_t build_vgg(builder_t *b, const es_point_t *point) {
  b->prefix = "features";
  for (int i = 0; i < point->model.n_items; i++) {
    int32_t item = point->model.items[i];
    if (item == ES_ITEM_MAXPOOL) {
      ES_TRY(add_pool(b, ES_OP_MAXPOOL, 2));
    } else if (item == ES_ITEM_AVGPOOL) {
      ES_TRY(add_pool(b, ES_OP_AVGPOOL, 2));
    } else {
      int64_t channels = es_ratio_scale(point->width, item);
      if (channels < 1) return without_channels(b, item);
      add_conv(b, channels);
      add_batchnorm(b);
      add_node(b, ES_OP_RELU);
    }
  }
  if (last_node(b)->out.h > 1) {
    b->prefix = "avgpool";
    b->index = 0;
    ES_TRY(add_pool(b, ES_OP_AVGPOOL, last_node(b)->out.h));
  }
  b->prefix = "classifier";
  b->index = 0;
  return point->model.head == ES_HEAD_TORCHVISION ? add_torchvision_head(b, point->classes)
                                                  : add_authors_head(b, point->classes);
}

static es_code_t build_mlp(builder_t *b, const es_point_t *point) {
  b->prefix = "classifier";
  for (int i = 0; i < point->model.n_items; i++) {
    int64_t features = es_ratio_scale(point->width, point->model.items[i]);
    if (features < 1) return without_channels(b, point->model.items[i]);
    add_linear(b, features);
    add_batchnorm(b);
    add_node(b, ES_OP_RELU);
  }
  add_linear(b, point->classes);
  return ES_OK;
}

es_code_t es_graph_create(es_graph_t **out, const es_point_t *point, es_status_t *status) {
  assert(point->classes > 0);
  *out = NULL;
  es_graph_t *g = es_allocate_zero(1, sizeof *g);
  if (g) {
    g->nodes = es_allocate_zero(NODES_MAX, sizeof *g->nodes);
    g->layers = es_allocate_zero(NODES_MAX, sizeof *g->layers);
    g->parameters = es_allocate_zero(TENSORS_MAX, sizeof *g->parameters);
    g->buffers = es_allocate_zero(TENSORS_MAX, sizeof *g->buffers);
  }
  if (!g || !g->nodes || !g->layers || !g->parameters || !g->buffers) {
    es_graph_destroy(g);
    return es_fail(status, ES_SYSTEM, "model", "out of memory for the description of %s", point->model.name);
  }
  g->classes = point->classes;
  g->n_nodes = 1;
  g->nodes[0] = (es_node_t){.op = ES_OP_INPUT,
                            .name = "input",
                            .input = -1,
                            .out = {point->resolution, point->resolution, 3},
                            .weight = -1,
                            .bias = -1,
                            .mean = -1,
                            .variance = -1,
                            .layer = -1,
                            .receptive_field = 1,
                            .jump = 1};
  g->nodes[0].in = g->nodes[0].out;
  builder_t b = {.graph = g, .prefix = "classifier", .status = status};
  es_code_t code = point->model.family == ES_FAMILY_VGG ? build_vgg(&b, point) : build_mlp(&b, point);
  if (code != ES_OK) {
    es_graph_destroy(g);
    return code;
  }
  *out = g;
  return ES_OK;
}

void es_graph_destroy(es_graph_t *graph) {
  if (!graph) return;
  es_free(graph->nodes);
  es_free(graph->layers);
  es_free(graph->parameters);
  es_free(graph->buffers);
  es_free(graph);
}
