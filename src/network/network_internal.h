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
  const es_point_t *point; /* borrowed */
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

typedef void (*es_build_t)(es_builder_t *b, const es_model_spec_t *spec, int32_t classes);
/* es_graph_create with any function that adds the nodes after the input. */
es_code_t es_graph_build(es_graph_t **out, const es_point_t *point, es_build_t build, es_status_t *status);
/* description.c: the network of a description. _loose: any number of outputs, for hashes without a number of classes.
 */
void es_build_description(es_builder_t *b, const es_model_spec_t *spec, int32_t classes);
void es_build_description_loose(es_builder_t *b, const es_model_spec_t *spec, int32_t classes);
/* Adds the input node. */
void es_add_input(es_builder_t *b, es_shape_t shape);
/* Depthwise: one filter per channel. The other kinds have one group. */
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

/* layers.c: sets the layers of a finished graph, which has none yet. */
es_code_t es_graph_choose(es_graph_t *graph, const es_measure_settings_t *measure, es_status_t *status);

/* ---- operations.c ---- */

/* One axis of a sliding window. */
typedef struct es_window {
  int32_t kernel, stride, padding, dilation;
} es_window_t;

/* Settings that the builder passes to an operation; each operation reads only its own. */
typedef struct es_settings {
  int64_t channels;      /* channels of the output, at this width */
  es_window_t window[2]; /* vertical, horizontal */
  bool ceil;             /* pooling: the last window may reach beyond the padding */
  bool counts_padding;   /* as es_node_t */
  int32_t groups;        /* as es_node_t; 0 = 1 */
  bool biased;           /* convolutions and linear layers */
  bool each;             /* as es_node_t */
  int32_t first;         /* as es_node_t */
  es_shape_t shape;      /* output of adaptive pooling: h, w */
  es_initialiser_t weight, bias;
  double rate;            /* as es_node_t; of a norm, 0 = 1e-5 */
  double momentum;        /* as es_node_t; 0 = 0.1 */
  int32_t other;          /* second input of a sum, product or concatenation */
  const char *tensors[4]; /* full names of weight, bias, running_mean and running_var, or NULL for node.weight ... */
} es_settings_t;

/* Adds a node whose input is the last one. A name of NULL is a running number. Its channels are not scaled. Fails with
 * "layer <name> ..." if the operation cannot take its inputs. */
void es_add_operation(es_builder_t *b, const char *name, es_op_t op, const es_settings_t *settings);
/* Stops the construction with "layer <name> <message>". */
void es_builder_fail(es_builder_t *b, const es_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One row of the table of operations. src/model/units.c runs them. */
typedef struct es_operation {
  const char *name;
  /* Completes a node whose input is set and whose output shape equals the input shape: sets shape, settings, tensors,
   * multiply-adds, receptive field. There is space for two parameters and two buffers. May be NULL. */
  void (*infer)(es_builder_t *b, es_node_t *node, const es_settings_t *settings);
} es_operation_t;
const es_operation_t *es_operation(es_op_t op);

#endif
