/** Description of a network as a graph: nodes in forward order, each with one or two earlier nodes as inputs. The
 * runtime (model.h), `plan`, receptive fields and tensor names all use this graph. It contains no weights, no oneDNN,
 * no MPI. Shapes are for one sample, NHWC.
 *
 * To add a family of architectures, add a row in src/network/families.c and a value of es_family_t; to add a built-in
 * architecture, a row in src/network/specs.c; to add an operation, a row in src/network/operations.c, a function that
 * adds it in builder.c, and a row in src/model/units.c. */
#ifndef EIGENSCOPE_GRAPH_H
#define EIGENSCOPE_GRAPH_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum es_op {
  ES_OP_INPUT,
  ES_OP_CONV,      /**< 2D, with or without bias; weight (out, in/groups, k, k) */
  ES_OP_LINEAR,    /**< weight (out, in) over the flattened C×H×W input (PyTorch's order of features), or over the
                      channels at each position (`each`); with or without bias */
  ES_OP_BATCHNORM, /**< statistics over all axes but the channel; weight, bias, running_mean, running_var */
  ES_OP_RELU,
  ES_OP_RELU6,   /**< min(max(0, x), 6) */
  ES_OP_ADD,     /**< sum of two nodes of equal shape */
  ES_OP_MAXPOOL, /**< padding is never the maximum */
  ES_OP_AVGPOOL, /**< a kernel of the input's size is global average pooling */
  ES_OP_DROPOUT,
  ES_OP_LEAKY_RELU,   /**< x, or rate·x below 0 */
  ES_OP_GELU,         /**< x·Φ(x) (Hendrycks and Gimpel, arXiv 1606.08415) */
  ES_OP_GELU_TANH,    /**< the approximation of GELU by tanh */
  ES_OP_SILU,         /**< x·σ(x) */
  ES_OP_SIGMOID,      /**< σ(x) = 1/(1 + e^−x) */
  ES_OP_HARD_SIGMOID, /**< min(max(0, x + 3), 6)/6 */
  ES_OP_HARD_SWISH,   /**< x·hard_sigmoid(x) */
  ES_OP_TANH,
  ES_OP_LAYERNORM,     /**< statistics of one position over its channels; weight, bias; epsilon in `rate` */
  ES_OP_GROUPNORM,     /**< statistics of one sample over all positions and the channels of a group; weight, bias */
  ES_OP_MULTIPLY,      /**< product of two nodes of equal shape, or of a map and a vector of its channels */
  ES_OP_CONCAT,        /**< the channels of two nodes, one after the other */
  ES_OP_SLICE,         /**< channels `first` … first + out.c − 1 */
  ES_OP_SHUFFLE,       /**< channel i·(C/groups) + j becomes channel j·groups + i */
  ES_OP_ADAPTIVE_POOL, /**< average of positions ⌊i·in/out⌋ … ⌈(i+1)·in/out⌉ − 1 on each axis */
  ES_OP_FLATTEN,       /**< a map as a vector in PyTorch's order C×H×W */
  ES_OP_TOKENS,        /**< a map of H×W positions as H·W tokens, row by row */
  ES_OP_CLASS_TOKEN,   /**< adds a learned token (1, 1, C) before the others */
  ES_OP_POSITION,      /**< adds a learned embedding (1, T, C) */
  ES_OP_ATTENTION,     /**< tokens of 3C features (query, key, value) to tokens of C: for each of `groups` heads
                          softmax(q·kᵀ/√(C/heads))·v (Vaswani et al., arXiv 1706.03762) */
  ES_OP_PICK,          /**< the token `first` as a vector */
  ES_OP_DROP_PATH,     /**< stochastic depth: 0 for a whole sample with probability `rate`, else x/(1 − rate) */
  ES_OP_SCALE,         /**< layer scale: weight (C), initially `rate` */
  ES_OPS
} es_op_t;

typedef enum es_initialiser {
  ES_INIT_ZERO,
  ES_INIT_ONE,
  ES_INIT_KAIMING_FAN_OUT, /**< normal, deviation √(2 / (out·k·k)) */
  ES_INIT_NORMAL_001,      /**< normal, deviation 0.01 */
  ES_INIT_UNIFORM_FAN_IN,  /**< uniform in ±1/√fan_in: PyTorch's default weight and bias of a linear layer */
  ES_INIT_NORMAL_002,      /**< normal, deviation 0.02 */
  ES_INIT_XAVIER,          /**< uniform in ±√(6/(fan_in + fan_out)); `fan` is the sum */
  ES_INIT_VALUE,           /**< `value` */
  ES_INIT_KAIMING_FAN_IN,  /**< normal, deviation √(2 / fan_in) */
  ES_INIT_KAIMING_UNIFORM, /**< uniform in ±√(6 / fan_in) */
  ES_INIT_UNIFORM_FAN_OUT, /**< uniform in ±1/√fan_out */
  ES_INIT_LECUN            /**< normal, deviation √(1 / fan_in) */
} es_initialiser_t;

/** A parameter or a running statistic. */
typedef struct es_tensor {
  char name[ES_NAME_MAX]; /**< name in torchvision's state_dict: "features.0.weight" */
  int32_t rank;
  int64_t shape[4];
  int64_t offset, count; /**< in floats, in the flat vector of parameters (or of buffers) */
  es_initialiser_t init;
  int64_t fan; /**< fan of the initialiser */
  float value; /**< ES_INIT_VALUE */
} es_tensor_t;

typedef struct es_shape {
  int32_t h, w, c;
} es_shape_t;

static inline int64_t es_shape_size(es_shape_t shape) {
  return (int64_t)shape.h * shape.w * shape.c;
}

enum { ES_FIELD_WHOLE = INT32_MAX };
typedef struct es_node {
  es_op_t op;
  char name[ES_NAME_MAX]; /**< of PyTorch's module: "features.0"; a block that is a layer: "layer1.0" */
  int32_t input;          /**< node that is the input of this one; −1 for the input node */
  int32_t other;          /**< the second input node of a sum, product or concatenation; else −1 */
  es_shape_t in, out;
  bool tokens;                                       /**< the output is out.h tokens of out.c features; out.w is 1 */
  int32_t kernel, stride, padding, dilation;         /**< vertical */
  int32_t kernel_w, stride_w, padding_w, dilation_w; /**< horizontal */
  int32_t groups;         /**< of a convolution, norm or shuffle; heads of attention; else 1 */
  int32_t first;          /**< ES_OP_SLICE, ES_OP_PICK */
  bool each;              /**< ES_OP_LINEAR: at each position, instead of over the whole input */
  bool counts_padding;    /**< ES_OP_AVGPOOL: padding counts as zeros, instead of being left out of the average */
  double rate;            /**< probability of dropout, slope, epsilon of a norm, or initial layer scale */
  double momentum;        /**< ES_OP_BATCHNORM: weight of a batch in the running statistics */
  int32_t weight, bias;   /**< tensors in `parameters`, or −1 */
  int32_t mean, variance; /**< tensors in `buffers` (batch norm), or −1 */
  int32_t layer;          /**< index among the layers, whose outputs are captured, or −1 */
  es_layer_kind_t kind;   /**< of a layer; ES_LAYER_KINDS: shown to observers, but not measured (es_graph_features) */
  int64_t macs;           /**< multiply-adds of one sample, forward */
  int32_t receptive_field, jump; /**< in input pixels; ES_OP_ADD: the largest over its paths */
  int32_t least_field; /**< smallest receptive field over all paths from the image; ES_FIELD_WHOLE behind global
                          pooling and in linear layers, which read every position */
} es_node_t;

/** The first groups or heads of a description (scaled: true), at width 1, of which fewer are used than the width
 * leaves, because they do not divide the channels, or more, because the width leaves none; zeros if there are no such
 * ones. */
typedef struct es_other_groups {
  int32_t asked, used;
} es_other_groups_t;

typedef struct es_graph {
  int32_t n_nodes, n_layers;
  int32_t classes;
  es_node_t *nodes;        /**< owned; node 0 is the input, the last node gives the logits */
  int32_t *layers;         /**< owned; node of each layer, forward order; at least one */
  int32_t n_parameters;    /**< tensors */
  es_tensor_t *parameters; /**< owned */
  int64_t parameter_count; /**< floats */
  int32_t n_buffers;
  es_tensor_t *buffers; /**< owned; running_mean and running_var of each batch norm */
  int64_t buffer_count;
  int64_t macs; /**< of all nodes, one sample forward */
  es_other_groups_t other_groups;
} es_graph_t;

/** An option that some families of architectures have. */
typedef struct es_model_option {
  const char *name;         /**< key under `models`, and in the text that ids hash, so it must never change */
  const char *const *words; /**< names of the values, the default first; ends with NULL */
  size_t offset;            /**< offset of the value, an int32_t or enum, in es_model_spec_t */
  bool brief;               /**< a resolved job omits the default */
  const char *doc;          /**< for the reference */
  /** End of the error message for a family without this option, after the list of families that have it. If the second
   * text is given, the keys of the other families are printed between the two texts. */
  const char *elsewhere[2];
} es_model_option_t;

enum { ES_MODEL_OPTIONS = 4 };
enum { ES_HAS_HEAD = 1, ES_HAS_BATCH_NORM = 2, ES_HAS_STEM = 4, ES_HAS_SKIP = 8 };
/** Option `index` in key order; NULL after the last. */
const es_model_option_t *es_model_option(int index);
/** Value of the option in `spec`: an index into `words`. */
int32_t es_model_option_value(const es_model_option_t *option, const es_model_spec_t *spec);
void es_model_option_set(const es_model_option_t *option, es_model_spec_t *spec, int32_t value);

struct es_builder;
/** A family of architectures: one row of the table in src/network/families.c. */
typedef struct es_family_row {
  const char *key; /**< key under `models`. If families share a key, a list belongs to the first one */
  const char *id;  /**< name in the text that ids hash, so it must never change */
  void (*build)(struct es_builder *b, const es_model_spec_t *spec, int32_t classes);
  unsigned options;            /**< ES_HAS_...: bit i means es_model_option(i) */
  const char *prefix;          /**< a word as value selects the built-in architecture prefix + word; NULL: no words */
  int32_t items_max, item_max; /**< lists: most numbers, and the largest number (the least is 1); 0: no lists */
  const char *letters; /**< letters allowed in a list: the first is stored as −1, the second as −2; NULL: none */
  bool prints_word;    /**< a resolved job prints the word, if there is one; else the list */
  bool whole_image;    /**< the first layer has weights for each pixel, so weights fit only one resolution */
  const char *example, *form, *doc; /**< for the reference; NULL if the first family with this key has them */
} es_family_row_t;

const es_family_row_t *es_family(es_family_t family);
/** The first family with this key, or NULL. */
const es_family_row_t *es_family_find(const char *key);
/** Appends the value of the key: "[64, M]", "18", "v2". */
void es_model_spec_print(const es_model_spec_t *spec, es_text_t *out);
/** Sets `out` to the built-in architecture that `word` selects for the key of `row`; keeps name and options of `out`.
 * False if there is none. */
bool es_model_spec_word(es_model_spec_t *out, const es_family_row_t *row, const char *word);

/** The architecture of a built-in name: vgg11 vgg13 vgg16 vgg19 (batch norm, the authors' head), mlp, resnet18 resnet34
 * resnet50 and mobilenet_v2 (CIFAR stem). False if unknown. */
bool es_model_spec_builtin(es_model_spec_t *out, const char *name);
/** The built-in name of this family and these items, regardless of options; NULL if there is none. */
const char *es_model_spec_base(const es_model_spec_t *spec);
/** Names of the built-in architectures; ends with NULL. */
const char *const *es_model_spec_names(void);

/** "conv", "linear", ...: the name of an operation. */
const char *es_op_name(es_op_t op);

/** Words of the kinds in measure.kinds and of layer_kind in results; ends with NULL. */
extern const char *const es_layer_kind_words[ES_LAYER_KINDS + 1];

/** Builds the network of a bound point (point->classes > 0). Its layers are the outputs of the kinds in measure.kinds;
 * except for convolutions and linear layers, only those whose names measure.layers matches. ES_INPUT if the width
 * leaves a layer without channels
 * ("<layer> would have no channels: ..."), if pooling would reduce the image to nothing, if the multiply-adds of an
 * image exceed 2^63, or if there is no layer; the caller adds file and line. *out is owned by the caller. */
es_code_t es_graph_create(es_graph_t **out, const es_point_t *point, es_status_t *status);
void es_graph_destroy(es_graph_t *graph);
/** A convolution or a linear layer, whatever measure.kinds says. */
static inline bool es_node_is_layer(const es_node_t *node) {
  return node->op == ES_OP_CONV || node->op == ES_OP_LINEAR;
}
/** The first convolution or linear layer. */
const es_node_t *es_graph_first(const es_graph_t *graph);
/** Node of the output layer: the last convolution or linear layer. The nodes behind it belong to the output, too. */
int32_t es_graph_output(const es_graph_t *graph);
/** The node whose output the classifier reads, before dropout; −1 if the output layer is not a linear layer over the
 * whole output of a node. With measure.classes, observers see this node. */
int32_t es_graph_features(const es_graph_t *graph);
/** The activation of a node: the node itself, or the activation behind it that it reaches through norms, scales and
 * dropout; −1 if there is none. With measure.units, observers see the activations of all layers. */
int32_t es_graph_activation(const es_graph_t *graph, int32_t node);
/** Node of the border layer: the first convolution or linear layer whose input already sees the whole image, because
 * every path to it has a receptive field at least as large as the image (Richter et al., arXiv 2106.12307; is_border of
 * receptive_field_analysis_toolbox). n_nodes if there is none. */
int32_t es_graph_border(const es_graph_t *graph);
/** True if kernel, stride and padding are equal on both axes, and nothing is dilated. */
static inline bool es_node_is_square(const es_node_t *node) {
  return node->kernel == node->kernel_w && node->stride == node->stride_w && node->padding == node->padding_w &&
         node->dilation == 1 && node->dilation_w == 1;
}
/** Number of weights and biases of one node. */
int64_t es_graph_parameters(const es_graph_t *graph, const es_node_t *node);

#endif
