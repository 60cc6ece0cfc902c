/* The unit that runs each operation. */
#include "conv.h"
#include "layout.h"
#include "unit.h"
#include <assert.h>

static const es_unit_class_t identity = {.identity = true};

static bool drops_nothing(const es_node_t *node) {
  return node->rate <= 0.0;
}

/* Pooling that oneDNN computes as PyTorch does: equal windows on both axes, which end inside the padding; averages
 * without padding. */
static bool is_plain(const es_node_t *node) {
  return es_node_is_square(node) && (node->op == ES_OP_MAXPOOL || node->padding == 0) &&
         (node->out.h - 1) * node->stride + node->kernel <= node->in.h + 2 * node->padding &&
         (node->out.w - 1) * node->stride + node->kernel <= node->in.w + 2 * node->padding;
}

/* The first row with the node's operation whose `applies` is true decides. */
static const struct {
  es_op_t op;
  const es_unit_class_t *class;
  bool (*applies)(const es_node_t *node); /* NULL: always */
} units[] = {
    {ES_OP_CONV, &es_unit_layer, NULL},
    {ES_OP_LINEAR, &es_unit_layer, NULL},
    {ES_OP_BATCHNORM, &es_unit_batchnorm, NULL},
    {ES_OP_RELU, &es_unit_activation, NULL},
    {ES_OP_RELU6, &es_unit_activation, NULL},
    {ES_OP_ADD, &es_unit_sum, NULL},
    {ES_OP_MAXPOOL, &es_unit_maxpool2, es_node_halves},
    {ES_OP_MAXPOOL, &es_unit_pool, is_plain},
    {ES_OP_MAXPOOL, &es_unit_windows, NULL},
    {ES_OP_AVGPOOL, &es_unit_pool, is_plain},
    {ES_OP_AVGPOOL, &es_unit_windows, NULL},
    {ES_OP_ADAPTIVE_POOL, &es_unit_windows, NULL},
    {ES_OP_DROPOUT, &identity, drops_nothing},
    {ES_OP_DROPOUT, &es_unit_dropout, NULL},
    {ES_OP_LEAKY_RELU, &es_unit_function, NULL},
    {ES_OP_GELU, &es_unit_function, NULL},
    {ES_OP_GELU_TANH, &es_unit_function, NULL},
    {ES_OP_SILU, &es_unit_function, NULL},
    {ES_OP_SIGMOID, &es_unit_function, NULL},
    {ES_OP_HARD_SIGMOID, &es_unit_function, NULL},
    {ES_OP_HARD_SWISH, &es_unit_function, NULL},
    {ES_OP_TANH, &es_unit_function, NULL},
    {ES_OP_MULTIPLY, &es_unit_product, NULL},
    {ES_OP_CONCAT, &es_unit_concat, NULL},
    {ES_OP_SLICE, &es_unit_slice, NULL},
    {ES_OP_SHUFFLE, &es_unit_shuffle, NULL},
    {ES_OP_FLATTEN, &es_unit_flatten, NULL},
    {ES_OP_LAYERNORM, &es_unit_layernorm, NULL},
    {ES_OP_GROUPNORM, &es_unit_groupnorm, NULL},
    {ES_OP_TOKENS, &identity, NULL}, /* positions lie row by row in NHWC */
    {ES_OP_CLASS_TOKEN, &es_unit_class_token, NULL},
    {ES_OP_POSITION, &es_unit_position, NULL},
    {ES_OP_ATTENTION, &es_unit_attention, NULL},
    {ES_OP_PICK, &es_unit_pick, NULL},
    {ES_OP_DROP_PATH, &identity, drops_nothing},
    {ES_OP_DROP_PATH, &es_unit_drop_path, NULL},
    {ES_OP_SCALE, &es_unit_scale, NULL},
};

const es_unit_class_t *es_unit_class(const es_node_t *node) {
  static const es_unit_class_t input = {0};
  if (node->op == ES_OP_INPUT) return &input;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (units[i].op == node->op && (!units[i].applies || units[i].applies(node))) return units[i].class;
  }
  assert(!"an operation without a unit");
  return &input;
}

bool es_node_widens(const es_node_t *node, es_precision_t precision) {
  if (precision != ES_BFLOAT16 || !es_unit_class(node)->emulated) return false;
  /* oneDNN adds the gradients of overlapping windows of max pooling in bfloat16. */
  return es_model_emulates(precision) || node->op == ES_OP_MAXPOOL || es_conv_widens(node);
}
