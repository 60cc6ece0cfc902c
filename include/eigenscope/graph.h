/** A network described once, as a small graph: nodes in forward order, each fed by one or two before it. The runtime
 * (model.h), `plan`, the receptive fields and the names of tensors all read this. Pure description: no weights, no
 * oneDNN, no MPI. Shapes are of one sample, NHWC.
 *
 * A new kind of architecture is a row in src/network/families.c (and its number, es_family_t); a new built-in one a row
 * in src/network/specs.c; a new operation a row in src/network/operations.c, a function that adds it in builder.c, and
 * a row in src/model/units.c. */
#ifndef EIGENSCOPE_GRAPH_H
#define EIGENSCOPE_GRAPH_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Layers of a network that can be captured, at most: es_graph_create refuses more. */
enum { ES_GRAPH_LAYERS_MAX = 2048 };

typedef enum es_op {
  ES_OP_INPUT,
  ES_OP_CONV,      /**< 2D, with or without bias; weight (out, in/groups, k, k) */
  ES_OP_LINEAR,    /**< bias; weight (out, in) over the flattened C×H×W input (PyTorch's order of features) */
  ES_OP_BATCHNORM, /**< over all but the channel; weight, bias, running_mean, running_var */
  ES_OP_RELU,
  ES_OP_RELU6,   /**< min(max(0, x), 6) */
  ES_OP_ADD,     /**< of two nodes of the same shape */
  ES_OP_MAXPOOL, /**< padding counts for nothing */
  ES_OP_AVGPOOL, /**< kernel = stride; a kernel of the input's size is global average pooling */
  ES_OP_DROPOUT,
  ES_OPS
} es_op_t;

typedef enum es_initialiser {
  ES_INIT_ZERO,
  ES_INIT_ONE,
  ES_INIT_KAIMING_FAN_OUT, /**< normal, deviation √(2 / (out·k·k)) */
  ES_INIT_NORMAL_001,      /**< normal, deviation 0.01 */
  ES_INIT_UNIFORM_FAN_IN   /**< uniform in ±1/√fan_in: PyTorch's default weight and bias of a linear layer */
} es_initialiser_t;

/** A parameter or a running statistic. */
typedef struct es_tensor {
  char name[ES_NAME_MAX]; /**< as in torchvision's state_dict: "features.0.weight" */
  int32_t rank;
  int64_t shape[4];
  int64_t offset, count; /**< in floats, in the flat vector of parameters (or of buffers) */
  es_initialiser_t init;
  int64_t fan; /**< of the initialiser */
} es_tensor_t;

typedef struct es_shape {
  int32_t h, w, c;
} es_shape_t;

static inline int64_t es_shape_size(es_shape_t shape) {
  return (int64_t)shape.h * shape.w * shape.c;
}

typedef struct es_node {
  es_op_t op;
  char name[ES_NAME_MAX]; /**< module name: "features.0" */
  int32_t input;          /**< node that feeds this one; −1 for the input node */
  int32_t other;          /**< of a sum: the second node that feeds it; else −1 */
  es_shape_t in, out;
  int32_t kernel, stride, padding, groups;
  double rate;                   /**< dropout */
  int32_t weight, bias;          /**< tensors in `parameters`, or −1 */
  int32_t mean, variance;        /**< tensors in `buffers` (batch norm), or −1 */
  int32_t layer;                 /**< index among the captured layers (convolutions and linear layers), or −1 */
  int64_t macs;                  /**< multiply-adds of one sample, forward */
  int32_t receptive_field, jump; /**< in input pixels; of a sum the largest over its paths */
} es_node_t;

typedef struct es_graph {
  int32_t n_nodes, n_layers;
  int32_t classes;
  es_node_t *nodes;        /**< owned; node 0 is the input, the last node gives the logits */
  int32_t *layers;         /**< owned; node of each captured layer, forward order; the last is the output layer */
  int32_t n_parameters;    /**< tensors */
  es_tensor_t *parameters; /**< owned */
  int64_t parameter_count; /**< floats */
  int32_t n_buffers;
  es_tensor_t *buffers; /**< owned; running_mean and running_var of each batch norm */
  int64_t buffer_count;
  int64_t macs; /**< of all nodes, one sample forward */
} es_graph_t;

/** A choice that architectures of some families offer. */
typedef struct es_model_option {
  const char *name;         /**< key under `models`, and in the text behind ids, which never changes */
  const char *const *words; /**< by value, the default first; NULL at the end */
  size_t offset;            /**< of the value, an int32_t or enum, in es_model_spec_t */
  bool brief;               /**< a resolved job leaves the default out */
  const char *doc;          /**< for the reference */
  /** The end of the message where the option does not belong, behind the families that have it. With a second text, the
   * keys of the other families stand between the two. */
  const char *elsewhere[2];
} es_model_option_t;

enum { ES_MODEL_OPTIONS = 4 };
enum { ES_HAS_HEAD = 1, ES_HAS_BATCH_NORM = 2, ES_HAS_STEM = 4, ES_HAS_SKIP = 8 };
/** Option `index` in the order of the keys; NULL behind the last. */
const es_model_option_t *es_model_option(int index);
/** The value that an architecture has: an index into `words`. */
int32_t es_model_option_value(const es_model_option_t *option, const es_model_spec_t *spec);
void es_model_option_set(const es_model_option_t *option, es_model_spec_t *spec, int32_t value);

struct es_builder;
/** All that the program knows of a kind of architecture: one row of the table in src/network/families.c. */
typedef struct es_family_row {
  const char *key; /**< under `models`. Families may share one: a list is then of the first */
  const char *id;  /**< in the text behind ids, which never changes */
  void (*build)(struct es_builder *b, const es_model_spec_t *spec, int32_t classes);
  unsigned options;            /**< ES_HAS_...: bit i stands for es_model_option(i) */
  const char *prefix;          /**< a word behind the key stands for the built-in prefix + word; NULL: no words */
  int32_t items_max, item_max; /**< of a list: how many numbers, and the largest (the least is 1); 0: no lists */
  const char *letters; /**< of a list beside numbers: the first is kept as −1, the second as −2; NULL: none */
  bool prints_word;    /**< a resolved job has the word, if there is one; else the list */
  bool whole_image;    /**< the first layer has weights for each pixel: they fit one resolution only */
  const char *example, *form, *doc; /**< for the reference; NULL where the first family with this key has them */
} es_family_row_t;

const es_family_row_t *es_family(es_family_t family);
/** The first family with this key, or NULL. */
const es_family_row_t *es_family_find(const char *key);
/** Appends what stands behind the key: "[64, M]", "18", "v2". */
void es_model_spec_print(const es_model_spec_t *spec, es_text_t *out);
/** Puts the built-in architecture that `word` stands for behind the key of `row` into `out`, whose name and options
 * stay. False if there is none. */
bool es_model_spec_word(es_model_spec_t *out, const es_family_row_t *row, const char *word);

/** The architecture of a built-in name: vgg11 vgg13 vgg16 vgg19 (batch norm, the authors' head), mlp, resnet18 resnet34
 * resnet50 and mobilenet_v2 (CIFAR stem). False if unknown. */
bool es_model_spec_builtin(es_model_spec_t *out, const char *name);
/** The built-in name of this family and these items, whatever the options are; NULL if there is none. */
const char *es_model_spec_base(const es_model_spec_t *spec);
/** Names of the built-in architectures, NULL at the end. */
const char *const *es_model_spec_names(void);

/** "conv", "linear", ...: the name of an operation, which results have as layer_kind. */
const char *es_op_name(es_op_t op);

/** Builds the network of a bound point (point->classes > 0). ES_INPUT with "<layer> would have no channels: ..." when a
 * width leaves a layer without channels, when pooling would shrink an image away, or when the network has more layers
 * or needs more arithmetic than can be counted; without file and line, which the caller adds. *out is owned by the
 * caller. */
es_code_t es_graph_create(es_graph_t **out, const es_point_t *point, es_status_t *status);
void es_graph_destroy(es_graph_t *graph);
/** Weights and biases of one node. */
int64_t es_graph_parameters(const es_graph_t *graph, const es_node_t *node);

#endif
