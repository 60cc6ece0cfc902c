/* Descriptions of convolutions and linear layers for oneDNN. */
#include "onednn_layers.h"

dnnl_memory_desc_t es_onednn_layer_bias(const es_unit_t *unit) {
  dnnl_memory_desc_t md;
  dnnl_dims_t dims = {unit->node->out.c};
  es_onednn_must(dnnl_memory_desc_init_by_tag(&md, 1, dims, dnnl_f32, dnnl_a), "describe a bias");
  return md;
}

static bool is_matrix(const es_unit_t *unit) {
  return unit->node->op == ES_OP_LINEAR && unit->node->in.h == 1 && unit->node->in.w == 1;
}

dnnl_memory_desc_t es_onednn_layer_weights(const es_unit_t *unit, bool any) {
  const es_node_t *node = unit->node;
  if (is_matrix(unit)) return es_onednn_matrix(node->out.c, node->in.c, any ? dnnl_format_tag_any : dnnl_oi);
  dnnl_memory_desc_t md;
  const bool conv = node->op == ES_OP_CONV;
  if (conv && node->groups > 1) {
    const int64_t g = node->groups;
    dnnl_dims_t grouped = {g, node->out.c / g, node->in.c / g, node->kernel, node->kernel};
    es_onednn_must(dnnl_memory_desc_init_by_tag(&md, 5, grouped, dnnl_f32, any ? dnnl_format_tag_any : dnnl_goihw),
                   "describe weights");
    return md;
  }
  dnnl_dims_t dims = {node->out.c, node->in.c, conv ? node->kernel : node->in.h, conv ? node->kernel : node->in.w};
  es_onednn_must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, any ? dnnl_format_tag_any : dnnl_oihw),
                 "describe weights");
  return md;
}

dnnl_memory_desc_t es_onednn_layer_source(const es_unit_t *unit, int count) {
  return is_matrix(unit) ? es_onednn_matrix(count, unit->node->in.c, dnnl_nc)
                         : es_onednn_activation(count, unit->node->in);
}

dnnl_memory_desc_t es_onednn_layer_target(const es_unit_t *unit, int count) {
  return unit->node->op == ES_OP_LINEAR ? es_onednn_matrix(count, unit->node->out.c, dnnl_nc)
                                        : es_onednn_activation(count, unit->node->out);
}

static void leave_open(dnnl_memory_desc_t *layout) {
  dnnl_memory_desc_t open;
  es_onednn_must(
      dnnl_memory_desc_init_by_tag(&open, layout->ndims, layout->dims, layout->data_type, dnnl_format_tag_any),
      "describe an activation");
  *layout = open;
}

void es_onednn_layer_describe(const es_unit_t *unit, es_conv_direction_t direction, es_onednn_algorithm_t algorithm,
                              const dnnl_memory_desc_t *weights, int count, es_onednn_description_t *out) {
  const es_node_t *node = unit->node;
  dnnl_memory_desc_t src = es_onednn_layer_source(unit, count), dst = es_onednn_layer_target(unit, count);
  const dnnl_memory_desc_t bias_md = es_onednn_layer_bias(unit), *bias = node->bias >= 0 ? &bias_md : NULL;
  const dnnl_prop_kind_t kind = unit->training ? dnnl_forward_training : dnnl_forward_inference;
  const dnnl_dims_t strides = {node->stride, node->stride}, padding = {node->padding, node->padding};
  dnnl_status_t code = dnnl_success;
  if (algorithm.blocked) leave_open(&src);
  if (algorithm.blocked) leave_open(&dst);
  if (node->op == ES_OP_CONV) {
    dnnl_convolution_desc_t *d = &out->convolution;
    const dnnl_alg_kind_t a = algorithm.kind;
    if (direction == CONV_FORWARD)
      code = dnnl_convolution_forward_desc_init(d, kind, a, &src, weights, bias, &dst, strides, padding, padding);
    else if (direction == CONV_BACKWARD_DATA)
      code = dnnl_convolution_backward_data_desc_init(d, a, &src, weights, &dst, strides, padding, padding);
    else
      code = dnnl_convolution_backward_weights_desc_init(d, a, &src, weights, bias, &dst, strides, padding, padding);
  } else {
    dnnl_inner_product_desc_t *d = &out->linear;
    if (direction == CONV_FORWARD)
      code = dnnl_inner_product_forward_desc_init(d, kind, &src, weights, bias, &dst);
    else if (direction == CONV_BACKWARD_DATA)
      code = dnnl_inner_product_backward_data_desc_init(d, &src, weights, &dst);
    else
      code = dnnl_inner_product_backward_weights_desc_init(d, &src, weights, bias, &dst);
  }
  es_onednn_must(code, "describe a layer");
}

/* On these shapes, other algorithms than direct in NHWC are faster, including both changes of layout. Measured on
 * slices of 16 (Emerald Rapids, oneDNN 2.6.3, GFLOP/s): Winograd F(4x4, 3x3) 267 instead of 170 for 64 channels on 32 x
 * 32, 330 instead of 185 for 128 on 16 x 16, 280 instead of 185 for 256 on 8 x 8, less than direct on smaller maps;
 * forward on maps of 4 x 4 and 2 x 2, 256 channels and more, 175 instead of 112 and 137 instead of 50. Winograd kernels
 * need AVX-512; their rounding errors are about 1e-6 of the largest output (tests/unit/test_conv.c). */
int es_onednn_layer_algorithms(const es_unit_t *unit, es_conv_direction_t direction,
                               es_onednn_algorithm_t out[ONEDNN_ALGORITHMS_MOST]) {
  const es_node_t *node = unit->node;
  const int32_t channels = node->in.c < node->out.c ? node->in.c : node->out.c;
  const int32_t side = node->in.h < node->in.w ? node->in.h : node->in.w;
  int n = 0;
  if (node->op == ES_OP_CONV && node->groups == 1 && node->kernel == 3 && node->stride == 1 && node->padding == 1 &&
      node->in.c % 16 == 0 && node->out.c % 16 == 0 && es_conv_isa() == CONV_AVX512) {
    if ((side >= 16 && channels >= 64) || (side >= 8 && channels >= 128))
      out[n++] = (es_onednn_algorithm_t){dnnl_convolution_winograd, true};
    else if (direction == CONV_FORWARD && side <= 4 && channels >= 256)
      out[n++] = (es_onednn_algorithm_t){dnnl_convolution_direct, true};
  }
  out[n++] = (es_onednn_algorithm_t){dnnl_convolution_direct, false};
  return n;
}

/* Weight gradient of strided 1 x 1 convolutions with fewer channels than a vector holds (shortcuts of narrow ResNets):
 * oneDNN's kernels ("jit_1x1") write past each position that their scratch has room for, by up to a whole vector of
 * channels, in NHWC, with AVX2 and AVX-512, up to at least 3.12 (uxlfoundation/oneDNN issue 6035). The next kernel is
 * as fast. */
const char *es_onednn_layer_avoids(const es_unit_t *unit, es_conv_direction_t direction) {
  const es_node_t *node = unit->node;
  const bool spoilt = node->op == ES_OP_CONV && node->kernel == 1 && node->stride > 1 && node->in.c / node->groups < 16;
  return spoilt && direction == CONV_BACKWARD_WEIGHTS ? "jit_1x1" : NULL;
}
