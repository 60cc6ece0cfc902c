/* Convolution, pooling and linear layers by oneDNN's C API (version 2), in plain NHWC: the only file that knows oneDNN.
 *
 * Each unit holds one set of primitives for every slice size it will see. Weights are kept in the blocked layout that
 * the primitives for the largest slice ask for, packed again after each change; gradients are added up over lanes in
 * the layout of the kernels and unpacked once. */
#include "eigenscope/memory.h"
#include "kernels.h"
#include "unit.h"
#include <assert.h>
#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One engine and stream for the process: oneDNN's caches hang on them. */
static dnnl_engine_t engine;
static dnnl_stream_t stream;

static es_code_t start_engine(es_status_t *status) {
  if (engine) return ES_OK;
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
      dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success)
    return es_fail(status, ES_SYSTEM, "model", "oneDNN has no CPU engine here");
  return ES_OK;
}

void es_model_engine_single_thread(void) {
  omp_set_num_threads(1);
}

const char *es_model_engine_name(void) {
  static char name[64];
  const dnnl_version_t *v = dnnl_version();
  const char *isa = "unknown instruction set";
  switch (dnnl_get_effective_cpu_isa()) {
  case dnnl_cpu_isa_sse41:
    isa = "sse41";
    break;
  case dnnl_cpu_isa_avx:
    isa = "avx";
    break;
  case dnnl_cpu_isa_avx2:
    isa = "avx2";
    break;
  case dnnl_cpu_isa_avx2_vnni:
    isa = "avx2_vnni";
    break;
  case dnnl_cpu_isa_avx512_core:
    isa = "avx512_core";
    break;
  case dnnl_cpu_isa_avx512_core_vnni:
    isa = "avx512_core_vnni";
    break;
  case dnnl_cpu_isa_avx512_core_bf16:
    isa = "avx512_core_bf16";
    break;
  case dnnl_cpu_isa_avx512_core_amx:
    isa = "avx512_core_amx";
    break;
  default:
    break;
  }
  snprintf(name, sizeof name, "oneDNN %d.%d.%d, %s", v->major, v->minor, v->patch, isa);
  return name;
}

/* A primitive that was created does not fail for reasons that a user could mend. */
static void must(dnnl_status_t code, const char *what) {
  if (code == dnnl_success) return;
  fprintf(stderr, "eigenscope: oneDNN failed to %s (status %d); this is a bug\n", what, (int)code);
  abort();
}

enum { MEMORY_SRC, MEMORY_DST, MEMORY_DIFF_SRC, MEMORY_DIFF_DST, MEMORY_WORKSPACE, MEMORIES };

/* Primitives and memory objects for slices of one size; the pointers of the data are put in at each call. */
typedef struct kernels {
  dnnl_primitive_t forward, backward_data, backward_weights;
  dnnl_memory_t memory[MEMORIES];
} kernels_t;

/* Weights in the layout that a primitive wants, and how to get there from the flat vector. */
typedef struct packing {
  dnnl_memory_desc_t layout;
  dnnl_memory_t memory;
  dnnl_primitive_t reorder; /* NULL: the flat vector itself is used */
  float *data;              /* owned unless reorder is NULL */
} packing_t;

typedef struct state {
  kernels_t kernels[ES_SLICE_MAX + 1];
  packing_t forward, backward_data, gradient; /* gradient: reorder is from packed to flat */
  dnnl_memory_t flat, flat_gradient;
  dnnl_memory_t bias, bias_gradient; /* or NULL */
  es_stack_t sums;                   /* gradients of weights and bias, lane by lane; memory borrowed from the model */
  size_t packed_floats;              /* of the weights, rounded up so that the bias behind them is aligned */
  float *extra;                      /* gradient of the second, third … slice of a lane; borrowed */
  bool lane_started;
  uint8_t *workspace; /* max pooling: which input won; for all stored samples */
  size_t workspace_sample;
} state_t;

static es_code_t out_of_memory(const es_unit_t *unit, es_status_t *status) {
  return es_fail(status, ES_SYSTEM, "model", "out of memory for %s", unit->node->name);
}

static es_code_t no_kernel(const es_unit_t *unit, const char *what, dnnl_status_t code, es_status_t *status) {
  return es_fail(status, ES_SYSTEM, "model", "oneDNN has no kernel for %s of %s (status %d)", what, unit->node->name,
                 (int)code);
}

static es_code_t make_memory(const es_unit_t *unit, dnnl_memory_t *out, const dnnl_memory_desc_t *layout,
                             es_status_t *status) {
  return dnnl_memory_create(out, layout, engine, DNNL_MEMORY_NONE) == dnnl_success ? ES_OK
                                                                                   : out_of_memory(unit, status);
}

/* Primitive from an operation's description; *pd is the caller's. */
static es_code_t make_primitive(const es_unit_t *unit, const char *what, const void *description,
                                const_dnnl_primitive_desc_t hint, dnnl_primitive_t *out, dnnl_primitive_desc_t *pd,
                                es_status_t *status) {
  dnnl_status_t code = dnnl_primitive_desc_create(pd, description, NULL, engine, hint);
  if (code == dnnl_success) code = dnnl_primitive_create(out, *pd);
  return code == dnnl_success ? ES_OK : no_kernel(unit, what, code, status);
}

static void destroy_packing(packing_t *p) {
  dnnl_memory_destroy(p->memory);
  if (p->reorder) dnnl_primitive_destroy(p->reorder);
  es_free(p->data);
}

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  for (int i = 0; i <= ES_SLICE_MAX; i++) {
    kernels_t *k = &s->kernels[i];
    if (k->forward) dnnl_primitive_destroy(k->forward);
    if (k->backward_data) dnnl_primitive_destroy(k->backward_data);
    if (k->backward_weights) dnnl_primitive_destroy(k->backward_weights);
    for (int m = 0; m < MEMORIES; m++) {
      if (k->memory[m]) dnnl_memory_destroy(k->memory[m]);
    }
  }
  destroy_packing(&s->forward);
  destroy_packing(&s->backward_data);
  destroy_packing(&s->gradient);
  dnnl_memory_t others[] = {s->flat, s->flat_gradient, s->bias, s->bias_gradient};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (others[i]) dnnl_memory_destroy(others[i]);
  }
  es_free(s->workspace);
  es_free(s);
  unit->state = NULL;
}

/* Layouts. Activations are NHWC of (n, c, h, w), or (n, c) where there is one position. */
static dnnl_memory_desc_t activation_layout(int count, es_shape_t shape) {
  dnnl_memory_desc_t md;
  dnnl_dims_t dims = {count, shape.c, shape.h, shape.w};
  must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, dnnl_nhwc), "describe an activation");
  return md;
}

static dnnl_memory_desc_t matrix_layout(int rows, int columns, dnnl_format_tag_t tag) {
  dnnl_memory_desc_t md;
  dnnl_dims_t dims = {rows, columns};
  must(dnnl_memory_desc_init_by_tag(&md, 2, dims, dnnl_f32, tag), "describe a matrix");
  return md;
}

static dnnl_memory_desc_t bias_layout(const es_unit_t *unit) {
  dnnl_memory_desc_t md;
  dnnl_dims_t dims = {unit->node->out.c};
  must(dnnl_memory_desc_init_by_tag(&md, 1, dims, dnnl_f32, dnnl_a), "describe a bias");
  return md;
}

static bool is_matrix(const es_unit_t *unit) {
  return unit->node->op == ES_OP_LINEAR && unit->node->in.h == 1 && unit->node->in.w == 1;
}

/* Weights as PyTorch has them (tag oihw, goihw or oi), or in whatever layout the kernels prefer (tag any). */
static dnnl_memory_desc_t weight_layout(const es_unit_t *unit, bool any) {
  const es_node_t *node = unit->node;
  if (is_matrix(unit)) return matrix_layout(node->out.c, node->in.c, any ? dnnl_format_tag_any : dnnl_oi);
  dnnl_memory_desc_t md;
  const bool conv = node->op == ES_OP_CONV;
  if (conv && node->groups > 1) {
    const int64_t g = node->groups;
    dnnl_dims_t grouped = {g, node->out.c / g, node->in.c / g, node->kernel, node->kernel};
    must(dnnl_memory_desc_init_by_tag(&md, 5, grouped, dnnl_f32, any ? dnnl_format_tag_any : dnnl_goihw),
         "describe weights");
    return md;
  }
  dnnl_dims_t dims = {node->out.c, node->in.c, conv ? node->kernel : node->in.h, conv ? node->kernel : node->in.w};
  must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, any ? dnnl_format_tag_any : dnnl_oihw), "describe weights");
  return md;
}

static dnnl_memory_desc_t source_layout(const es_unit_t *unit, int count) {
  return is_matrix(unit) ? matrix_layout(count, unit->node->in.c, dnnl_nc) : activation_layout(count, unit->node->in);
}

static dnnl_memory_desc_t target_layout(const es_unit_t *unit, int count) {
  return unit->node->op == ES_OP_LINEAR ? matrix_layout(count, unit->node->out.c, dnnl_nc)
                                        : activation_layout(count, unit->node->out);
}

/* What differs between a convolution and a linear layer is how an operation is described. */
typedef union description {
  dnnl_convolution_desc_t convolution;
  dnnl_inner_product_desc_t linear;
} description_t;

typedef enum direction { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS } direction_t;

static void describe(const es_unit_t *unit, direction_t direction, const dnnl_memory_desc_t *weights, int count,
                     description_t *out) {
  const es_node_t *node = unit->node;
  const dnnl_memory_desc_t src = source_layout(unit, count), dst = target_layout(unit, count);
  const dnnl_memory_desc_t bias_md = bias_layout(unit), *bias = node->bias >= 0 ? &bias_md : NULL;
  const dnnl_prop_kind_t kind = unit->training ? dnnl_forward_training : dnnl_forward_inference;
  const dnnl_alg_kind_t algorithm = dnnl_convolution_direct;
  const dnnl_dims_t strides = {node->stride, node->stride}, padding = {node->padding, node->padding};
  dnnl_status_t code = dnnl_success;
  if (node->op == ES_OP_CONV) {
    dnnl_convolution_desc_t *d = &out->convolution;
    if (direction == FORWARD)
      code =
          dnnl_convolution_forward_desc_init(d, kind, algorithm, &src, weights, bias, &dst, strides, padding, padding);
    else if (direction == BACKWARD_DATA)
      code = dnnl_convolution_backward_data_desc_init(d, algorithm, &src, weights, &dst, strides, padding, padding);
    else
      code = dnnl_convolution_backward_weights_desc_init(d, algorithm, &src, weights, bias, &dst, strides, padding,
                                                         padding);
  } else {
    dnnl_inner_product_desc_t *d = &out->linear;
    if (direction == FORWARD)
      code = dnnl_inner_product_forward_desc_init(d, kind, &src, weights, bias, &dst);
    else if (direction == BACKWARD_DATA)
      code = dnnl_inner_product_backward_data_desc_init(d, &src, weights, &dst);
    else
      code = dnnl_inner_product_backward_weights_desc_init(d, &src, weights, bias, &dst);
  }
  must(code, "describe a layer");
}

/* The primitives of one direction for one slice size. The first (largest) size may choose the layout of the weights
 * (its layout has ndims 0 until then); the others take it. */
static es_code_t make_direction(es_unit_t *unit, direction_t direction, packing_t *packing, int count,
                                const_dnnl_primitive_desc_t hint, dnnl_primitive_t *out, dnnl_primitive_desc_t *pd,
                                es_status_t *status) {
  static const char *const names[] = {"the forward pass", "the gradient of the input", "the gradient of the weights"};
  const bool choose = packing->layout.ndims == 0;
  const dnnl_memory_desc_t weights = choose ? weight_layout(unit, true) : packing->layout;
  description_t description;
  describe(unit, direction, &weights, count, &description);
  ES_TRY(make_primitive(unit, names[direction], &description, hint, out, pd, status));
  if (choose) {
    dnnl_query_t query = direction == BACKWARD_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    packing->layout = *dnnl_primitive_desc_query_md(*pd, query, 0);
  }
  return ES_OK;
}

static es_code_t make_weighted_kernels(es_unit_t *unit, int count, es_status_t *status) {
  state_t *s = unit->state;
  kernels_t *k = &s->kernels[count];
  dnnl_primitive_desc_t forward = NULL, pd = NULL;
  es_code_t code = make_direction(unit, FORWARD, &s->forward, count, NULL, &k->forward, &forward, status);
  if (code == ES_OK && unit->training) {
    code = make_direction(unit, BACKWARD_WEIGHTS, &s->gradient, count, forward, &k->backward_weights, &pd, status);
    if (pd) dnnl_primitive_desc_destroy(pd);
    pd = NULL;
    if (code == ES_OK && unit->in_gradient[0].data)
      code = make_direction(unit, BACKWARD_DATA, &s->backward_data, count, forward, &k->backward_data, &pd, status);
    if (pd) dnnl_primitive_desc_destroy(pd);
  }
  if (forward) dnnl_primitive_desc_destroy(forward);
  const dnnl_memory_desc_t src = source_layout(unit, count), dst = target_layout(unit, count);
  if (code == ES_OK) code = make_memory(unit, &k->memory[MEMORY_SRC], &src, status);
  if (code == ES_OK) code = make_memory(unit, &k->memory[MEMORY_DIFF_SRC], &src, status);
  if (code == ES_OK) code = make_memory(unit, &k->memory[MEMORY_DST], &dst, status);
  if (code == ES_OK) code = make_memory(unit, &k->memory[MEMORY_DIFF_DST], &dst, status);
  return code;
}

/* Memory for packed weights, and the reorder from (or, for gradients, to) the flat vector. `allocate` false: the packed
 * data live elsewhere (in the stack of lane sums). */
static es_code_t make_packing(es_unit_t *unit, packing_t *p, const dnnl_memory_desc_t *flat, bool gradient,
                              es_status_t *status) {
  if (p->layout.ndims == 0) return ES_OK;
  ES_TRY(make_memory(unit, &p->memory, &p->layout, status));
  if (!gradient && dnnl_memory_desc_equal(&p->layout, flat)) return ES_OK;
  dnnl_primitive_desc_t pd = NULL;
  const dnnl_memory_desc_t *from = gradient ? &p->layout : flat, *to = gradient ? flat : &p->layout;
  dnnl_status_t code = dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, NULL);
  if (code == dnnl_success) code = dnnl_primitive_create(&p->reorder, pd);
  if (pd) dnnl_primitive_desc_destroy(pd);
  if (code != dnnl_success) return no_kernel(unit, "packing the weights", code, status);
  if (gradient) return ES_OK;
  p->data = es_allocate_zero(1, dnnl_memory_desc_get_size(&p->layout));
  if (!p->data) return out_of_memory(unit, status);
  must(dnnl_memory_set_data_handle(p->memory, p->data), "set packed weights");
  return ES_OK;
}

static size_t scratch_floats(const es_unit_t *unit) {
  const state_t *s = unit->state;
  return (es_stack_vectors(unit->group) + 1) * s->sums.n;
}

static void place_scratch(es_unit_t *unit, float *memory) {
  state_t *s = unit->state;
  s->extra = memory;
  es_stack_place(&s->sums, memory + s->sums.n, s->sums.n);
}

static es_code_t create_weighted(es_unit_t *unit, uint32_t sizes, es_status_t *status) {
  ES_TRY(start_engine(status));
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return out_of_memory(unit, status);
  for (int count = ES_SLICE_MAX; count > 0; count--) {
    if (sizes >> count & 1) ES_TRY(make_weighted_kernels(unit, count, status));
  }

  const dnnl_memory_desc_t flat = weight_layout(unit, false), bias = bias_layout(unit);
  const bool biased = unit->node->bias >= 0;
  ES_TRY(make_memory(unit, &s->flat, &flat, status));
  ES_TRY(make_memory(unit, &s->flat_gradient, &flat, status));
  if (biased) ES_TRY(make_memory(unit, &s->bias, &bias, status));
  if (biased) ES_TRY(make_memory(unit, &s->bias_gradient, &bias, status));
  ES_TRY(make_packing(unit, &s->forward, &flat, false, status));
  ES_TRY(make_packing(unit, &s->backward_data, &flat, false, status));
  ES_TRY(make_packing(unit, &s->gradient, &flat, true, status));
  must(dnnl_memory_set_data_handle(s->flat, es_unit_parameter(unit, unit->node->weight)), "set weights");
  if (biased) must(dnnl_memory_set_data_handle(s->bias, es_unit_parameter(unit, unit->node->bias)), "set a bias");
  if (!unit->training) return ES_OK;
  must(dnnl_memory_set_data_handle(s->flat_gradient, es_unit_gradient(unit, unit->node->weight)), "set a gradient");
  s->packed_floats = (dnnl_memory_desc_get_size(&s->gradient.layout) / sizeof(float) + 15) / 16 * 16;
  s->sums.n = s->packed_floats + (biased ? ((size_t)unit->node->out.c + 15) / 16 * 16 : 0);
  return ES_OK;
}

static void run(dnnl_primitive_t primitive, const dnnl_exec_arg_t *arguments, int n, const char *what) {
  must(dnnl_primitive_execute(primitive, stream, n, arguments), what);
}

static void pack_one(const state_t *s, const packing_t *p) {
  if (!p->reorder) return;
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, s->flat}, {DNNL_ARG_TO, p->memory}};
  run(p->reorder, arguments, 2, "pack weights");
}

static void pack(es_unit_t *unit) {
  const state_t *s = unit->state;
  pack_one(s, &s->forward);
  pack_one(s, &s->backward_data);
}

static void weighted_begin(es_unit_t *unit, const es_pass_t *pass) {
  state_t *s = unit->state;
  if (!pass->training || !s->sums.data) return;
  es_stack_reset(&s->sums);
  s->lane_started = false;
}

static dnnl_memory_t at(const kernels_t *k, int which, const void *data) {
  must(dnnl_memory_set_data_handle(k->memory[which], (void *)data), "set data");
  return k->memory[which];
}

static dnnl_memory_t packed(const state_t *s, const packing_t *p) {
  return p->reorder ? p->memory : s->flat;
}

static void weighted_forward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  (void)pass;
  const state_t *s = unit->state;
  const kernels_t *k = &s->kernels[slice->count];
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, at(k, MEMORY_SRC, es_storage_at(&unit->in[0], slice))},
                                       {DNNL_ARG_WEIGHTS, packed(s, &s->forward)},
                                       {DNNL_ARG_DST, at(k, MEMORY_DST, es_storage_at(&unit->out, slice))},
                                       {DNNL_ARG_BIAS, s->bias}};
  run(k->forward, arguments, s->bias ? 4 : 3, "run a layer forward");
}

static void weighted_backward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  (void)pass;
  state_t *s = unit->state;
  const kernels_t *k = &s->kernels[slice->count];
  dnnl_memory_t gradient = at(k, MEMORY_DIFF_DST, es_storage_at(&unit->out_gradient, slice));
  float *sum = es_stack_next(&s->sums), *target = s->lane_started ? s->extra : sum;
  must(dnnl_memory_set_data_handle(s->gradient.memory, target), "set a gradient");
  if (s->bias) must(dnnl_memory_set_data_handle(s->bias_gradient, target + s->packed_floats), "set a gradient");
  const dnnl_exec_arg_t weights[] = {{DNNL_ARG_SRC, at(k, MEMORY_SRC, es_storage_at(&unit->in[0], slice))},
                                     {DNNL_ARG_DIFF_DST, gradient},
                                     {DNNL_ARG_DIFF_WEIGHTS, s->gradient.memory},
                                     {DNNL_ARG_DIFF_BIAS, s->bias_gradient}};
  run(k->backward_weights, weights, s->bias ? 4 : 3, "run a layer's weight gradient");
  if (s->lane_started) es_vector_add(sum, s->extra, s->sums.n);
  s->lane_started = true;
  if (!unit->in_gradient[0].data) return;
  const dnnl_exec_arg_t data[] = {
      {DNNL_ARG_DIFF_DST, gradient},
      {DNNL_ARG_WEIGHTS, packed(s, &s->backward_data)},
      {DNNL_ARG_DIFF_SRC, at(k, MEMORY_DIFF_SRC, es_storage_at(&unit->in_gradient[0], slice))}};
  run(k->backward_data, data, 3, "run a layer's input gradient");
}

static void weighted_lane_end(es_unit_t *unit, int lane) {
  (void)lane;
  state_t *s = unit->state;
  if (!s->lane_started) memset(es_stack_next(&s->sums), 0, s->sums.n * sizeof(float));
  es_stack_push(&s->sums);
  s->lane_started = false;
}

static void weighted_backward_end(es_unit_t *unit) {
  const state_t *s = unit->state;
  const float *total = es_stack_total(&s->sums);
  must(dnnl_memory_set_data_handle(s->gradient.memory, (void *)total), "set a gradient");
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, s->gradient.memory}, {DNNL_ARG_TO, s->flat_gradient}};
  run(s->gradient.reorder, arguments, 2, "unpack a gradient");
  if (!s->bias) return;
  memcpy(es_unit_gradient(unit, unit->node->bias), total + s->packed_floats, (size_t)unit->node->out.c * sizeof *total);
}

#define WEIGHTED                                                                                                       \
  .create = create_weighted, .destroy = destroy, .scratch_floats = scratch_floats, .place_scratch = place_scratch,     \
  .pack = pack, .begin = weighted_begin, .forward = weighted_forward, .backward = weighted_backward,                   \
  .lane_end = weighted_lane_end, .backward_end = weighted_backward_end

const es_unit_class_t es_unit_conv = {.name = "convolution", WEIGHTED};
const es_unit_class_t es_unit_linear = {.name = "linear", WEIGHTED};

/* Pooling. */

static es_code_t make_pool_kernels(es_unit_t *unit, int count, es_status_t *status) {
  state_t *s = unit->state;
  kernels_t *k = &s->kernels[count];
  const es_node_t *node = unit->node;
  const dnnl_memory_desc_t src = source_layout(unit, count), dst = target_layout(unit, count);
  const dnnl_alg_kind_t algorithm = node->op == ES_OP_MAXPOOL ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding;
  const dnnl_dims_t kernel = {node->kernel, node->kernel}, strides = {node->stride, node->stride},
                    padding = {node->padding, node->padding};
  const dnnl_prop_kind_t kind = unit->training ? dnnl_forward_training : dnnl_forward_inference;
  dnnl_pooling_desc_t description;
  dnnl_primitive_desc_t forward = NULL, pd = NULL;
  must(dnnl_pooling_forward_desc_init(&description, kind, algorithm, &src, &dst, strides, kernel, padding, padding),
       "describe pooling");
  es_code_t code = make_primitive(unit, "pooling", &description, NULL, &k->forward, &forward, status);
  const bool workspace = code == ES_OK && unit->training && node->op == ES_OP_MAXPOOL;
  if (workspace) {
    const dnnl_memory_desc_t layout = *dnnl_primitive_desc_query_md(forward, dnnl_query_workspace_md, 0);
    const size_t sample = (dnnl_memory_desc_get_size(&layout) + (size_t)count - 1) / (size_t)count;
    if (sample > s->workspace_sample) s->workspace_sample = sample;
    code = make_memory(unit, &k->memory[MEMORY_WORKSPACE], &layout, status);
  }
  if (code == ES_OK && unit->training) {
    must(dnnl_pooling_backward_desc_init(&description, algorithm, &src, &dst, strides, kernel, padding, padding),
         "describe pooling");
    code = make_primitive(unit, "the gradient of pooling", &description, forward, &k->backward_data, &pd, status);
    if (pd) dnnl_primitive_desc_destroy(pd);
  }
  if (forward) dnnl_primitive_desc_destroy(forward);
  if (code == ES_OK) code = make_memory(unit, &k->memory[MEMORY_SRC], &src, status);
  if (code == ES_OK) code = make_memory(unit, &k->memory[MEMORY_DST], &dst, status);
  return code;
}

static es_code_t create_pool(es_unit_t *unit, uint32_t sizes, es_status_t *status) {
  ES_TRY(start_engine(status));
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return out_of_memory(unit, status);
  for (int count = ES_SLICE_MAX; count > 0; count--) {
    if (sizes >> count & 1) ES_TRY(make_pool_kernels(unit, count, status));
  }
  if (!s->workspace_sample) return ES_OK;
  s->workspace = es_allocate((size_t)unit->samples, s->workspace_sample);
  return s->workspace ? ES_OK : out_of_memory(unit, status);
}

static dnnl_memory_t pool_workspace(const es_unit_t *unit, const kernels_t *k, const es_slice_t *slice) {
  const state_t *s = unit->state;
  return at(k, MEMORY_WORKSPACE, s->workspace + (size_t)slice->store * s->workspace_sample);
}

static void pool_forward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  (void)pass;
  const state_t *s = unit->state;
  const kernels_t *k = &s->kernels[slice->count];
  dnnl_exec_arg_t arguments[3] = {{DNNL_ARG_SRC, at(k, MEMORY_SRC, es_storage_at(&unit->in[0], slice))},
                                  {DNNL_ARG_DST, at(k, MEMORY_DST, es_storage_at(&unit->out, slice))}};
  if (s->workspace) arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_WORKSPACE, pool_workspace(unit, k, slice)};
  run(k->forward, arguments, s->workspace ? 3 : 2, "pool");
}

static void pool_backward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  (void)pass;
  const state_t *s = unit->state;
  const kernels_t *k = &s->kernels[slice->count];
  if (!unit->in_gradient[0].data) return;
  dnnl_exec_arg_t arguments[3] = {{DNNL_ARG_DIFF_SRC, at(k, MEMORY_SRC, es_storage_at(&unit->in_gradient[0], slice))},
                                  {DNNL_ARG_DIFF_DST, at(k, MEMORY_DST, es_storage_at(&unit->out_gradient, slice))}};
  if (s->workspace) arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_WORKSPACE, pool_workspace(unit, k, slice)};
  run(k->backward_data, arguments, s->workspace ? 3 : 2, "run the gradient of pooling");
}

const es_unit_class_t es_unit_pool = {
    .name = "pooling", .create = create_pool, .destroy = destroy, .forward = pool_forward, .backward = pool_backward};
