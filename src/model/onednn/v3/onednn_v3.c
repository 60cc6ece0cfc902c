/* Operations for oneDNN 3, where descriptors of memory are objects with an owner. */
#include "onednn_operation.h"

static dnnl_status_t describe_layout(dnnl_memory_desc_t *out, const es_onednn_layout_t *layout) {
  *out = NULL; /* no operand */
  return layout->n == 0 ? dnnl_success
                        : dnnl_memory_desc_create_with_tag(out, layout->n, layout->dims, layout->type, layout->tag);
}

dnnl_status_t es_onednn_create_memory(dnnl_memory_t *out, const es_onednn_layout_t *layout, dnnl_engine_t engine) {
  dnnl_memory_desc_t md;
  dnnl_status_t code = describe_layout(&md, layout);
  if (code == dnnl_success) code = dnnl_memory_create(out, md, engine, DNNL_MEMORY_NONE);
  dnnl_memory_desc_destroy(md);
  return code;
}

typedef struct layouts {
  es_onednn_view_t src, weights, bias, dst;
} layouts_t;

static dnnl_status_t find_convolution(dnnl_primitive_desc_t *out, const es_onednn_operation_t *o, dnnl_prop_kind_t kind,
                                      const layouts_t *l, const_dnnl_primitive_desc_t hint, dnnl_engine_t engine) {
  const dnnl_alg_kind_t a = o->algorithm;
  if (o->direction == CONV_FORWARD)
    return dnnl_convolution_forward_primitive_desc_create(out, engine, kind, a, l->src, l->weights, l->bias, l->dst,
                                                          o->strides, o->dilation, o->padding, o->padding, NULL);
  if (o->direction == CONV_BACKWARD_DATA)
    return dnnl_convolution_backward_data_primitive_desc_create(out, engine, a, l->src, l->weights, l->dst, o->strides,
                                                                o->dilation, o->padding, o->padding, hint, NULL);
  return dnnl_convolution_backward_weights_primitive_desc_create(
      out, engine, a, l->src, l->weights, l->bias, l->dst, o->strides, o->dilation, o->padding, o->padding, hint, NULL);
}

static dnnl_status_t find_linear(dnnl_primitive_desc_t *out, const es_onednn_operation_t *o, dnnl_prop_kind_t kind,
                                 const layouts_t *l, const_dnnl_primitive_desc_t hint, dnnl_engine_t engine) {
  if (o->direction == CONV_FORWARD)
    return dnnl_inner_product_forward_primitive_desc_create(out, engine, kind, l->src, l->weights, l->bias, l->dst,
                                                            NULL);
  if (o->direction == CONV_BACKWARD_DATA)
    return dnnl_inner_product_backward_data_primitive_desc_create(out, engine, l->src, l->weights, l->dst, hint, NULL);
  return dnnl_inner_product_backward_weights_primitive_desc_create(out, engine, l->src, l->weights, l->bias, l->dst,
                                                                   hint, NULL);
}

static dnnl_status_t find_pooling(dnnl_primitive_desc_t *out, const es_onednn_operation_t *o, dnnl_prop_kind_t kind,
                                  const layouts_t *l, const_dnnl_primitive_desc_t hint, dnnl_engine_t engine) {
  if (o->direction == CONV_FORWARD)
    return dnnl_pooling_forward_primitive_desc_create(out, engine, kind, o->algorithm, l->src, l->dst, o->strides,
                                                      o->kernel, o->dilation, o->padding, o->padding, NULL);
  return dnnl_pooling_backward_primitive_desc_create(out, engine, o->algorithm, l->src, l->dst, o->strides, o->kernel,
                                                     o->dilation, o->padding, o->padding, hint, NULL);
}

static dnnl_status_t find_first(dnnl_primitive_desc_t *out, const es_onednn_operation_t *o, const layouts_t *l,
                                const_dnnl_primitive_desc_t hint, dnnl_engine_t engine) {
  const dnnl_prop_kind_t kind = o->training ? dnnl_forward_training : dnnl_forward_inference;
  if (o->kind == dnnl_convolution) return find_convolution(out, o, kind, l, hint, engine);
  if (o->kind == dnnl_inner_product) return find_linear(out, o, kind, l, hint, engine);
  return find_pooling(out, o, kind, l, hint, engine);
}

dnnl_status_t es_onednn_find_kernel(dnnl_primitive_desc_t *out, const es_onednn_operation_t *operation,
                                    const_dnnl_primitive_desc_t hint, dnnl_engine_t engine) {
  dnnl_memory_desc_t src = NULL, weights = NULL, bias = NULL, dst = NULL;
  *out = NULL;
  dnnl_status_t code = describe_layout(&src, &operation->src);
  if (code == dnnl_success) code = describe_layout(&weights, &operation->weights);
  if (code == dnnl_success) code = describe_layout(&bias, &operation->bias);
  if (code == dnnl_success) code = describe_layout(&dst, &operation->dst);
  const layouts_t layouts = {src, operation->packed ? operation->packed : weights, bias, dst};
  if (code == dnnl_success) code = find_first(out, operation, &layouts, hint, engine);
  while (code == dnnl_success && es_onednn_is_avoided(*out, operation->avoid))
    code = dnnl_primitive_desc_next_impl(*out);
  dnnl_memory_desc_destroy(src);
  dnnl_memory_desc_destroy(weights);
  dnnl_memory_desc_destroy(bias);
  dnnl_memory_desc_destroy(dst);
  if (code == dnnl_success || !*out) return code;
  dnnl_primitive_desc_destroy(*out);
  *out = NULL;
  return code;
}
