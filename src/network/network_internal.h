/* A graph under construction. Each call adds a node that reads the last one; a branch is made by setting `last` back.
 * The first failure stays, and later calls do nothing, so that an architecture reads as a list (families.c).
 *
 * Channels are given as they are at width 1 and scaled here. Nodes are called scope + name; a name of NULL counts, as
 * torchvision's nn.Sequential does. */
#ifndef ES_NETWORK_INTERNAL_H
#define ES_NETWORK_INTERNAL_H

#include "eigenscope/graph.h"

typedef struct es_builder {
  es_graph_t *graph;
  es_ratio_t width;
  int32_t last;            /* the node that the next one reads */
  char scope[ES_NAME_MAX]; /* "features.", "layer1.0." */
  int32_t index;           /* of the next node without a name in this scope */
  int32_t nodes_max;       /* that there is room for */
  es_code_t code;
  es_status_t *status;
} es_builder_t;

/* Starts a scope, and its count at 0. */
void es_scope(es_builder_t *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The output of the last node. */
es_shape_t es_last_shape(const es_builder_t *b);

/* The first node. */
void es_add_input(es_builder_t *b, es_shape_t shape);
/* Depthwise: one filter for each channel. */
typedef enum es_conv_kind { ES_CONV_PLAIN, ES_CONV_BIAS, ES_CONV_DEPTHWISE } es_conv_kind_t;
/* Channels at width 1; padding kernel/2. */
void es_add_conv(es_builder_t *b, const char *name, int64_t channels, int32_t kernel, int32_t stride,
                 es_conv_kind_t kind);
/* `features` as they are. Initialisers: what torchvision's VGG and MobileNet do, and PyTorch's default. */
typedef struct es_linear {
  int64_t features, features_at_one;
  es_initialiser_t weight, bias;
} es_linear_t;
void es_add_linear(es_builder_t *b, const char *name, es_linear_t linear);
/* An operation without settings: batch norm, ReLU, ReLU6. */
void es_add_simple(es_builder_t *b, const char *name, es_op_t op);
void es_add_dropout(es_builder_t *b, const char *name, double rate);
void es_add_pool(es_builder_t *b, const char *name, es_op_t op, int32_t kernel, int32_t stride, int32_t padding);
/* Average over all positions. */
void es_add_global_pool(es_builder_t *b, const char *name);
/* The last node plus `other`, of the same shape. */
void es_add_sum(es_builder_t *b, const char *name, int32_t other);

/* ---- operations.c ---- */

/* Settings that the builder hands to an operation; each reads those that concern it. */
typedef struct es_settings {
  int64_t channels; /* of the output, at this width */
  int32_t kernel, stride, padding;
  es_conv_kind_t kind;
  es_initialiser_t weight, bias;
  double rate;
  int32_t other; /* the second node that feeds a sum */
} es_settings_t;

/* One row of the table of operations. What runs them is in src/model/units.c. */
typedef struct es_operation {
  const char *name;
  /* Completes a node that has its input and the same shape as output: shape, settings, tensors, multiply-adds,
   * receptive field. There is room for two parameters and two buffers. NULL: there is nothing to complete. */
  void (*infer)(es_builder_t *b, es_node_t *node, const es_settings_t *settings);
  bool captured; /* a layer whose outputs are measured */
} es_operation_t;
const es_operation_t *es_operation(es_op_t op);

#endif
