/* Pooling, in plain NHWC. */
#include "eigenscope/memory.h"
#include "layout.h"
#include "onednn.h"

/* For slices of one size; data pointers are set in each call. */
typedef struct kernels {
  dnnl_primitive_t forward, backward;
  dnnl_memory_t src, dst, workspace;
} kernels_t;

typedef struct state {
  kernels_t kernels[ES_SLICE_MAX + 1];
  uint8_t *workspace; /* max pooling: index of the winning input, for all stored samples */
  size_t workspace_sample;
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  for (int i = 0; i <= ES_SLICE_MAX; i++) {
    kernels_t *k = &s->kernels[i];
    if (k->forward) dnnl_primitive_destroy(k->forward);
    if (k->backward) dnnl_primitive_destroy(k->backward);
    if (k->src) dnnl_memory_destroy(k->src);
    if (k->dst) dnnl_memory_destroy(k->dst);
    if (k->workspace) dnnl_memory_destroy(k->workspace);
  }
  es_free(s->workspace);
  es_free(s);
  unit->state = NULL;
}

static es_code_t make_pool_kernels(es_unit_t *unit, int count, es_status_t *status) {
  state_t *s = unit->state;
  kernels_t *k = &s->kernels[count];
  const es_node_t *node = unit->node;
  es_onednn_operation_t pooling = {.kind = dnnl_pooling,
                                   .direction = CONV_FORWARD,
                                   .training = unit->training,
                                   .algorithm =
                                       node->op == ES_OP_MAXPOOL ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding,
                                   .src = es_onednn_activation(count, node->in, unit->precision),
                                   .dst = es_onednn_activation(count, node->out, unit->precision),
                                   .kernel = {node->kernel, node->kernel},
                                   .strides = {node->stride, node->stride},
                                   .padding = {node->padding, node->padding}};
  dnnl_primitive_desc_t forward = NULL, pd = NULL;
  es_code_t code = es_onednn_primitive(unit, "pooling", &pooling, NULL, &k->forward, &forward, status);
  const bool workspace = code == ES_OK && unit->training && node->op == ES_OP_MAXPOOL;
  if (workspace) {
    es_onednn_view_t layout = dnnl_primitive_desc_query_md(forward, dnnl_query_workspace_md, 0);
    const size_t sample = (dnnl_memory_desc_get_size(layout) + (size_t)count - 1) / (size_t)count;
    if (sample > s->workspace_sample) s->workspace_sample = sample;
    code = es_onednn_memory(unit, &k->workspace, layout, status);
  }
  if (code == ES_OK && unit->training) {
    pooling.direction = CONV_BACKWARD_DATA;
    code = es_onednn_primitive(unit, "the gradient of pooling", &pooling, forward, &k->backward, &pd, status);
    if (pd) dnnl_primitive_desc_destroy(pd);
  }
  if (forward) dnnl_primitive_desc_destroy(forward);
  if (code == ES_OK) code = es_onednn_plain_memory(unit, &k->src, &pooling.src, status);
  if (code == ES_OK) code = es_onednn_plain_memory(unit, &k->dst, &pooling.dst, status);
  return code;
}

static es_code_t create_pool(es_unit_t *unit, uint32_t sizes, es_status_t *status) {
  ES_TRY(es_onednn_start(status));
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return es_onednn_out_of_memory(unit, status);
  for (int count = ES_SLICE_MAX; count > 0; count--) {
    if (sizes >> count & 1) ES_TRY(make_pool_kernels(unit, count, status));
  }
  if (!s->workspace_sample) return ES_OK;
  s->workspace = es_allocate((size_t)unit->samples, s->workspace_sample);
  return s->workspace ? ES_OK : es_onednn_out_of_memory(unit, status);
}

static dnnl_memory_t pool_workspace(const es_unit_t *unit, const kernels_t *k, const es_slice_t *slice) {
  const state_t *s = unit->state;
  return es_onednn_at(k->workspace, s->workspace + (size_t)slice->store * s->workspace_sample);
}

static void pool_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const kernels_t *k = &s->kernels[slice->count];
  dnnl_exec_arg_t arguments[3] = {{DNNL_ARG_SRC, es_onednn_at(k->src, es_storage_at(&unit->in[0], slice))},
                                  {DNNL_ARG_DST, es_onednn_at(k->dst, es_storage_at(&unit->out, slice))}};
  if (s->workspace) arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_WORKSPACE, pool_workspace(unit, k, slice)};
  es_onednn_run(k->forward, arguments, s->workspace ? 3 : 2, "pool");
}

static void pool_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const kernels_t *k = &s->kernels[slice->count];
  if (!unit->in_gradient[0].data) return;
  dnnl_exec_arg_t arguments[3] = {
      {DNNL_ARG_DIFF_SRC, es_onednn_at(k->src, es_storage_at(&unit->in_gradient[0], slice))},
      {DNNL_ARG_DIFF_DST, es_onednn_at(k->dst, es_storage_at(&unit->out_gradient, slice))}};
  if (s->workspace) arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_WORKSPACE, pool_workspace(unit, k, slice)};
  es_onednn_run(k->backward, arguments, s->workspace ? 3 : 2, "run the gradient of pooling");
}

/* For max pooling, oneDNN keeps a number for each output. */
static int64_t kept_bytes(const es_step_t *step, ES_UNUSED es_precision_t precision) {
  return step->node->op == ES_OP_MAXPOOL ? es_shape_size(step->shape) * (int64_t)sizeof(int32_t) : 0;
}

const es_unit_class_t es_unit_pool = {.emulated = true,
                                      .kept_bytes = kept_bytes,
                                      .create = create_pool,
                                      .destroy = destroy,
                                      .forward = pool_forward,
                                      .backward = pool_backward};
