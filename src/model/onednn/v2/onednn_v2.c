/* Operations for oneDNN 2, where descriptors of memory and of operations are values. */
#include "onednn_operation.h"

static dnnl_status_t describe_layout(dnnl_memory_desc_t *out, const es_onednn_layout_t *layout) {
  *out = (dnnl_memory_desc_t){0}; /* no operand */
  return layout->n == 0 ? dnnl_success
                        : dnnl_memory_desc_init_by_tag(out, layout->n, layout->dims, layout->type, layout->tag);
}

dnnl_status_t es_onednn_create_memory(dnnl_memory_t *out, const es_onednn_layout_t *layout, dnnl_engine_t engine) {
  dnnl_memory_desc_t md;
  const dnnl_status_t code = describe_layout(&md, layout);
  return code == dnnl_success ? dnnl_memory_create(out, &md, engine, DNNL_MEMORY_NONE) : code;
}

typedef union description {
  dnnl_convolution_desc_t convolution;
  dnnl_inner_product_desc_t linear;
  dnnl_pooling_desc_t pooling;
} description_t;

typedef struct layouts {
  dnnl_memory_desc_t src, weights, bias, dst;
} layouts_t;

static dnnl_status_t describe_convolution(dnnl_convolution_desc_t *out, const es_onednn_operation_t *o,
                                          dnnl_prop_kind_t kind, const layouts_t *l) {
  const dnnl_alg_kind_t a = o->algorithm;
  if (o->direction == CONV_FORWARD)
    return dnnl_dilated_convolution_forward_desc_init(out, kind, a, &l->src, &l->weights, &l->bias, &l->dst, o->strides,
                                                      o->dilation, o->padding, o->padding);
  if (o->direction == CONV_BACKWARD_DATA)
    return dnnl_dilated_convolution_backward_data_desc_init(out, a, &l->src, &l->weights, &l->dst, o->strides,
                                                            o->dilation, o->padding, o->padding);
  return dnnl_dilated_convolution_backward_weights_desc_init(out, a, &l->src, &l->weights, &l->bias, &l->dst,
                                                             o->strides, o->dilation, o->padding, o->padding);
}

static dnnl_status_t describe_linear(dnnl_inner_product_desc_t *out, const es_onednn_operation_t *o,
                                     dnnl_prop_kind_t kind, const layouts_t *l) {
  if (o->direction == CONV_FORWARD)
    return dnnl_inner_product_forward_desc_init(out, kind, &l->src, &l->weights, &l->bias, &l->dst);
  if (o->direction == CONV_BACKWARD_DATA)
    return dnnl_inner_product_backward_data_desc_init(out, &l->src, &l->weights, &l->dst);
  return dnnl_inner_product_backward_weights_desc_init(out, &l->src, &l->weights, &l->bias, &l->dst);
}

static dnnl_status_t describe_pooling(dnnl_pooling_desc_t *out, const es_onednn_operation_t *o, dnnl_prop_kind_t kind,
                                      const layouts_t *l) {
  if (o->direction == CONV_FORWARD)
    return dnnl_pooling_forward_desc_init(out, kind, o->algorithm, &l->src, &l->dst, o->strides, o->kernel, o->padding,
                                          o->padding);
  return dnnl_pooling_backward_desc_init(out, o->algorithm, &l->src, &l->dst, o->strides, o->kernel, o->padding,
                                         o->padding);
}

static dnnl_status_t describe(description_t *out, const es_onednn_operation_t *o) {
  const dnnl_prop_kind_t kind = o->training ? dnnl_forward_training : dnnl_forward_inference;
  layouts_t l;
  dnnl_status_t code = describe_layout(&l.src, &o->src);
  if (code == dnnl_success) code = describe_layout(&l.weights, &o->weights);
  if (code == dnnl_success) code = describe_layout(&l.bias, &o->bias);
  if (code == dnnl_success) code = describe_layout(&l.dst, &o->dst);
  if (code != dnnl_success) return code;
  if (o->packed) l.weights = *o->packed;
  if (o->kind == dnnl_convolution) return describe_convolution(&out->convolution, o, kind, &l);
  if (o->kind == dnnl_inner_product) return describe_linear(&out->linear, o, kind, &l);
  return describe_pooling(&out->pooling, o, kind, &l);
}

dnnl_status_t es_onednn_find_kernel(dnnl_primitive_desc_t *out, const es_onednn_operation_t *operation,
                                    const_dnnl_primitive_desc_t hint, dnnl_engine_t engine) {
  description_t description;
  dnnl_primitive_desc_iterator_t kernels = NULL;
  *out = NULL;
  dnnl_status_t code = describe(&description, operation);
  if (code == dnnl_success && !operation->avoid)
    return dnnl_primitive_desc_create(out, &description, NULL, engine, hint);
  if (code == dnnl_success) code = dnnl_primitive_desc_iterator_create(&kernels, &description, NULL, engine, hint);
  while (code == dnnl_success) {
    *out = dnnl_primitive_desc_iterator_fetch(kernels);
    if (!*out) code = dnnl_out_of_memory;
    if (!*out || !es_onednn_is_avoided(*out, operation->avoid)) break;
    dnnl_primitive_desc_destroy(*out);
    *out = NULL;
    code = dnnl_primitive_desc_iterator_next(kernels);
  }
  if (kernels) dnnl_primitive_desc_iterator_destroy(kernels);
  return code;
}
