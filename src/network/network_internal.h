/* A graph under construction. Each call adds a node whose input is the last node; to start a branch, set `last` to an
 * earlier node. After a failure later calls do nothing, so an architecture is a plain list of calls (families.c).
 *
 * Callers pass channels at width 1; the builder scales them. A node's name is scope + name; a name of NULL is a running
 * number, as in torch's nn.Sequential. */
#ifndef ES_NETWORK_INTERNAL_H
#define ES_NETWORK_INTERNAL_H

#include "eigenscope/graph.h"

typedef struct es_builder {
  es_graph_t *graph;
  es_ratio_t width;
  int32_t last;            /* input of the next node */
  char scope[ES_NAME_MAX]; /* "features.", "layer1.0." */
  int32_t index;           /* number of the next node without a name in this scope */
  int32_t nodes_max;       /* allocated nodes */
  es_code_t code;
  es_status_t *status;
} es_builder_t;

/* Starts a scope and sets its running number to 0. */
void es_scope(es_builder_t *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Shape of the last node's output. */
es_shape_t es_last_shape(const es_builder_t *b);

/* Adds the input node. */
void es_add_input(es_builder_t *b, es_shape_t shape);
/* Depthwise: one filter per channel. */
typedef enum es_conv_kind { ES_CONV_PLAIN, ES_CONV_BIAS, ES_CONV_DEPTHWISE } es_conv_kind_t;
/* Channels at width 1; padding kernel/2. */
void es_add_conv(es_builder_t *b, const char *name, int64_t channels, int32_t kernel, int32_t stride,
                 es_conv_kind_t kind);
/* `features` are not scaled. Initialisers: those of torchvision's VGG and MobileNet, and PyTorch's default. */
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
/* Adds the sum of the last node and `other`, of equal shape. */
void es_add_sum(es_builder_t *b, const char *name, int32_t other);

/* ---- operations.c ---- */

/* Settings that the builder passes to an operation; each operation reads only its own. */
typedef struct es_settings {
  int64_t channels; /* channels of the output, at this width */
  int32_t kernel, stride, padding;
  es_conv_kind_t kind;
  es_initialiser_t weight, bias;
  double rate;
  int32_t other; /* second input of a sum */
} es_settings_t;

/* One row of the table of operations. src/model/units.c runs them. */
typedef struct es_operation {
  const char *name;
  /* Completes a node whose input is set and whose output shape equals the input shape: sets shape, settings, tensors,
   * multiply-adds, receptive field. There is space for two parameters and two buffers. May be NULL. */
  void (*infer)(es_builder_t *b, es_node_t *node, const es_settings_t *settings);
  bool captured; /* a layer that can be measured */
} es_operation_t;
const es_operation_t *es_operation(es_op_t op);

#endif
