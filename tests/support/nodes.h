/* Nodes that tests make by hand. */
#ifndef ES_TEST_SUPPORT_NODES_H
#define ES_TEST_SUPPORT_NODES_H

#include "eigenscope/graph.h"

/* Sets the same window on both axes, without dilation. */
static inline void set_window(es_node_t *node, int kernel, int stride, int padding) {
  node->kernel = node->kernel_w = kernel;
  node->stride = node->stride_w = stride;
  node->padding = node->padding_w = padding;
  node->dilation = node->dilation_w = 1;
}

#endif
