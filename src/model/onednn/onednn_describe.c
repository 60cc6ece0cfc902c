/* Descriptions of convolutions and linear layers for oneDNN. */
#include "eigenscope/model.h"
#include "onednn_layers.h"
#include <stdio.h>

es_onednn_layout_t es_onednn_layer_bias(const es_unit_t *unit) {
  return (es_onednn_layout_t){1, {unit->node->out.c}, dnnl_a, dnnl_f32};
}

/* True for a linear layer whose input is a matrix: one row for each sample, or for each position of each sample. */
static bool is_matrix(const es_unit_t *unit) {
  const es_node_t *node = unit->node;
  return node->op == ES_OP_LINEAR && (node->each || (node->in.h == 1 && node->in.w == 1));
}

/* Rows of the output of a linear layer. */
static int rows_of(const es_node_t *node, int count) {
  return count * node->out.h * node->out.w;
}

es_onednn_layout_t es_onednn_layer_weights(const es_unit_t *unit) {
  const es_node_t *node = unit->node;
  const int64_t g = node->groups;
  if (is_matrix(unit)) return es_onednn_matrix(node->out.c, node->in.c, dnnl_oi, ES_FLOAT32);
  if (node->op != ES_OP_CONV)
    return (es_onednn_layout_t){4, {node->out.c, node->in.c, node->in.h, node->in.w}, dnnl_oihw, dnnl_f32};
  if (g == 1)
    return (es_onednn_layout_t){4, {node->out.c, node->in.c, node->kernel, node->kernel_w}, dnnl_oihw, dnnl_f32};
  return (es_onednn_layout_t){
      5, {g, node->out.c / g, node->in.c / g, node->kernel, node->kernel_w}, dnnl_goihw, dnnl_f32};
}

es_onednn_layout_t es_onednn_layer_source(const es_unit_t *unit, int count) {
  return is_matrix(unit) ? es_onednn_matrix(rows_of(unit->node, count), unit->node->in.c, dnnl_nc, unit->precision)
                         : es_onednn_activation(count, unit->node->in, unit->precision);
}

es_onednn_layout_t es_onednn_layer_target(const es_unit_t *unit, int count) {
  const es_node_t *node = unit->node;
  return node->op == ES_OP_LINEAR ? es_onednn_matrix(rows_of(node, count), node->out.c, dnnl_nc, unit->precision)
                                  : es_onednn_activation(count, node->out, unit->precision);
}

/* Weight gradient of strided 1 x 1 convolutions with fewer channels than a vector holds (shortcuts of narrow ResNets):
 * oneDNN's kernels ("jit_1x1") write past each position that their scratch has room for, by up to a whole vector of
 * channels, in NHWC, with AVX2 and AVX-512, up to at least 3.12 (uxlfoundation/oneDNN issue 6035). The next kernel is
 * as fast. */
static const char *avoided(const es_node_t *node, es_conv_direction_t direction) {
  const bool spoilt = node->op == ES_OP_CONV && node->kernel == 1 && node->kernel_w == 1 &&
                      (node->stride > 1 || node->stride_w > 1) && node->in.c / node->groups < 16;
  return spoilt && direction == CONV_BACKWARD_WEIGHTS ? "jit_1x1" : NULL;
}

void es_onednn_layer_describe(const es_unit_t *unit, es_conv_direction_t direction, es_onednn_algorithm_t algorithm,
                              es_onednn_view_t weights, int count, es_onednn_operation_t *out) {
  const es_node_t *node = unit->node;
  *out = (es_onednn_operation_t){.kind = node->op == ES_OP_CONV ? dnnl_convolution : dnnl_inner_product,
                                 .direction = direction,
                                 .training = unit->training,
                                 .algorithm = algorithm.kind,
                                 .src = es_onednn_layer_source(unit, count),
                                 .weights = es_onednn_layer_weights(unit),
                                 .dst = es_onednn_layer_target(unit, count),
                                 .packed = weights,
                                 .strides = {node->stride, node->stride_w},
                                 .padding = {node->padding, node->padding_w},
                                 .avoid = avoided(node, direction)};
  if (node->op == ES_OP_CONV) { /* oneDNN counts the positions that are left out */
    out->dilation[0] = node->dilation - 1;
    out->dilation[1] = node->dilation_w - 1;
  }
  if (node->bias >= 0) out->bias = es_onednn_layer_bias(unit);
  out->weights.tag = dnnl_format_tag_any;
  if (direction != CONV_BACKWARD_WEIGHTS) out->weights.type = es_onednn_type(unit->precision);
  if (algorithm.blocked) out->src.tag = out->dst.tag = dnnl_format_tag_any;
}

/* On these shapes, other algorithms than direct in NHWC are faster, including both changes of layout. Measured on
 * slices of 16 (Emerald Rapids, oneDNN 2.6.3, GFLOP/s): Winograd F(4x4, 3x3) 267 instead of 170 for 64 channels on 32 x
 * 32, 330 instead of 185 for 128 on 16 x 16, 280 instead of 185 for 256 on 8 x 8, less than direct on smaller maps;
 * forward on maps of 4 x 4 and 2 x 2, 256 channels and more, 175 instead of 112 and 137 instead of 50. Winograd kernels
 * need AVX-512 and oneDNN 2; their rounding errors are about 1e-6 of the largest output (tests/unit/test_conv.c). */
int es_onednn_layer_algorithms(const es_unit_t *unit, es_conv_direction_t direction,
                               es_onednn_algorithm_t out[ONEDNN_ALGORITHMS_MOST]) {
  const es_node_t *node = unit->node;
  const int32_t channels = node->in.c < node->out.c ? node->in.c : node->out.c;
  const int32_t side = node->in.h < node->in.w ? node->in.h : node->in.w;
  int n = 0;
  if (node->op == ES_OP_CONV && es_node_is_square(node) && node->groups == 1 && node->kernel == 3 &&
      node->stride == 1 && node->padding == 1 && node->in.c % 16 == 0 && node->out.c % 16 == 0 &&
      es_conv_isa() >= CONV_AVX512 && unit->precision == ES_FLOAT32) {
    if ((side >= 16 && channels >= 64) || (side >= 8 && channels >= 128))
      out[n++] = (es_onednn_algorithm_t){dnnl_convolution_winograd, true};
    else if (direction == CONV_FORWARD && side <= 4 && channels >= 256)
      out[n++] = (es_onednn_algorithm_t){dnnl_convolution_direct, true};
  }
  out[n++] = (es_onednn_algorithm_t){dnnl_convolution_direct, false};
  return n;
}

const char *es_model_convolutions(void) {
  static char text[192];
  const bool winograd = dnnl_version()->major < 3 && es_conv_isa() >= CONV_AVX512;
  snprintf(text, sizeof text, "ours (%s) where measured to be faster, else oneDNN's (direct%s)", es_conv_names(),
           winograd ? ", winograd" : "");
  return text;
}
