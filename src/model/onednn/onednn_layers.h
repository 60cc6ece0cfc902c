/* Descriptions of convolutions and linear layers for oneDNN, and the choice of its kernels. */
#ifndef ES_MODEL_ONEDNN_LAYERS_H
#define ES_MODEL_ONEDNN_LAYERS_H

#include "conv.h"
#include "onednn.h"

/* oneDNN's algorithm for one direction of a layer. */
typedef struct es_onednn_algorithm {
  dnnl_alg_kind_t kind;
  bool blocked; /* activations in the layout that the kernel prefers */
} es_onednn_algorithm_t;

/* Lists the algorithms for a direction, fastest first, and returns their number; the last one is always available.
 * Depends only on the shape, so that all slice sizes and ranks choose the same. */
enum { ONEDNN_ALGORITHMS_MOST = 2 };
int es_onednn_layer_algorithms(const es_unit_t *unit, es_conv_direction_t direction,
                               es_onednn_algorithm_t out[ONEDNN_ALGORITHMS_MOST]);

/* Returns the start of the names of kernels that must not compute a direction, or NULL. */
const char *es_onednn_layer_avoids(const es_unit_t *unit, es_conv_direction_t direction);

/* Layout of the weights: PyTorch's (tag oihw, goihw or oi), or the one that the kernels prefer (tag any). */
dnnl_memory_desc_t es_onednn_layer_weights(const es_unit_t *unit, bool any);
dnnl_memory_desc_t es_onednn_layer_bias(const es_unit_t *unit);
dnnl_memory_desc_t es_onednn_layer_source(const es_unit_t *unit, int count);
dnnl_memory_desc_t es_onednn_layer_target(const es_unit_t *unit, int count);

/* oneDNN has separate description types for a convolution and a linear layer. */
typedef union onednn_description {
  dnnl_convolution_desc_t convolution;
  dnnl_inner_product_desc_t linear;
} es_onednn_description_t;
void es_onednn_layer_describe(const es_unit_t *unit, es_conv_direction_t direction, es_onednn_algorithm_t algorithm,
                              const dnnl_memory_desc_t *weights, int count, es_onednn_description_t *out);

#endif
