/* The unit that runs each operation. */
#include "layout.h"
#include "unit.h"
#include <assert.h>

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
    {ES_OP_MAXPOOL, &es_unit_pool, NULL},
    {ES_OP_AVGPOOL, &es_unit_pool, NULL},
    {ES_OP_DROPOUT, &es_unit_dropout, NULL},
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
