/* Descriptions of convolutions and linear layers for oneDNN, and the choice of its kernels. */
#ifndef ES_MODEL_ONEDNN_LAYERS_H
#define ES_MODEL_ONEDNN_LAYERS_H

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

/* Layout of the weights as PyTorch has them: oihw, goihw or oi. */
es_onednn_layout_t es_onednn_layer_weights(const es_unit_t *unit);
es_onednn_layout_t es_onednn_layer_bias(const es_unit_t *unit);
es_onednn_layout_t es_onednn_layer_source(const es_unit_t *unit, int count);
es_onednn_layout_t es_onednn_layer_target(const es_unit_t *unit, int count);

/* `weights`: their layout, or NULL if the kernel chooses it; borrowed by *out. */
void es_onednn_layer_describe(const es_unit_t *unit, es_conv_direction_t direction, es_onednn_algorithm_t algorithm,
                              es_onednn_view_t weights, int count, es_onednn_operation_t *out);

#endif
