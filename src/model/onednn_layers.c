/* Convolutions and linear layers. Activations are plain NHWC outside; where a kernel in a layout of its own is so much
 * faster that changing the layout pays, one is used (list_ways).
 *
 * Each unit holds one set of primitives for every slice size it will see. Weights are kept in the layout that the
 * primitives for the largest slice ask for, packed again after each change; gradients are added up over lanes in the
 * layout of the kernels and unpacked once. */
#include "eigenscope/memory.h"
#include "kernels.h"
#include "onednn.h"
#include <string.h>

typedef enum direction { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS, DIRECTIONS } direction_t;

/* How one direction of a layer is computed. */
typedef struct way {
  dnnl_alg_kind_t algorithm;
  bool blocked; /* activations in the layout that the kernel prefers */
} way_t;

/* One direction for slices of one size. */
typedef struct kernel {
  dnnl_primitive_t primitive;
  onednn_operand_t src, dst; /* or their gradients */
} kernel_t;

/* Weights in the layout that a primitive wants, and how to get there from the flat vector. */
typedef struct packing {
  dnnl_memory_desc_t layout;
  dnnl_memory_t memory;
  dnnl_primitive_t reorder; /* NULL: the flat vector itself is used */
  float *data;              /* owned unless reorder is NULL */
} packing_t;

typedef struct state {
  kernel_t kernels[DIRECTIONS][ES_SLICE_MAX + 1];
  packing_t packing[DIRECTIONS]; /* of BACKWARD_WEIGHTS the gradient: its reorder is from packed to flat */
  bool same_gradient;            /* both backward directions take the gradient of the output in one layout */
  dnnl_memory_t flat, flat_gradient;
  dnnl_memory_t bias, bias_gradient; /* or NULL */
  es_stack_t sums;                   /* gradients of weights and bias, lane by lane; memory borrowed from the model */
  size_t packed_floats;              /* of the weights, rounded up so that the bias behind them is aligned */
  float *extra;                      /* gradient of the second, third … slice of a lane; borrowed */
  bool lane_started;
} state_t;

static void destroy_packing(packing_t *p) {
  if (p->memory) dnnl_memory_destroy(p->memory);
  if (p->reorder) dnnl_primitive_destroy(p->reorder);
  es_free(p->data);
  *p = (packing_t){0};
}

static void destroy_direction(state_t *s, direction_t direction) {
  for (int i = 0; i <= ES_SLICE_MAX; i++) {
    kernel_t *k = &s->kernels[direction][i];
    if (k->primitive) dnnl_primitive_destroy(k->primitive);
    k->primitive = NULL;
    onednn_operand_destroy(&k->src);
    onednn_operand_destroy(&k->dst);
  }
  destroy_packing(&s->packing[direction]);
}

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  for (int d = 0; d < DIRECTIONS; d++) destroy_direction(s, (direction_t)d);
  dnnl_memory_t others[] = {s->flat, s->flat_gradient, s->bias, s->bias_gradient};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (others[i]) dnnl_memory_destroy(others[i]);
  }
  es_free(s);
  unit->state = NULL;
}

/* ---- how a layer is described to oneDNN ---- */

static dnnl_memory_desc_t bias_layout(const es_unit_t *unit) {
  dnnl_memory_desc_t md;
  dnnl_dims_t dims = {unit->node->out.c};
  onednn_must(dnnl_memory_desc_init_by_tag(&md, 1, dims, dnnl_f32, dnnl_a), "describe a bias");
  return md;
}

static bool is_matrix(const es_unit_t *unit) {
  return unit->node->op == ES_OP_LINEAR && unit->node->in.h == 1 && unit->node->in.w == 1;
}

/* Weights as PyTorch has them (tag oihw, goihw or oi), or in whatever layout the kernels prefer (tag any). */
static dnnl_memory_desc_t weight_layout(const es_unit_t *unit, bool any) {
  const es_node_t *node = unit->node;
  if (is_matrix(unit)) return onednn_matrix(node->out.c, node->in.c, any ? dnnl_format_tag_any : dnnl_oi);
  dnnl_memory_desc_t md;
  const bool conv = node->op == ES_OP_CONV;
  if (conv && node->groups > 1) {
    const int64_t g = node->groups;
    dnnl_dims_t grouped = {g, node->out.c / g, node->in.c / g, node->kernel, node->kernel};
    onednn_must(dnnl_memory_desc_init_by_tag(&md, 5, grouped, dnnl_f32, any ? dnnl_format_tag_any : dnnl_goihw),
                "describe weights");
    return md;
  }
  dnnl_dims_t dims = {node->out.c, node->in.c, conv ? node->kernel : node->in.h, conv ? node->kernel : node->in.w};
  onednn_must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, any ? dnnl_format_tag_any : dnnl_oihw),
              "describe weights");
  return md;
}

static dnnl_memory_desc_t source_layout(const es_unit_t *unit, int count) {
  return is_matrix(unit) ? onednn_matrix(count, unit->node->in.c, dnnl_nc) : onednn_activation(count, unit->node->in);
}

static dnnl_memory_desc_t target_layout(const es_unit_t *unit, int count) {
  return unit->node->op == ES_OP_LINEAR ? onednn_matrix(count, unit->node->out.c, dnnl_nc)
                                        : onednn_activation(count, unit->node->out);
}

static void leave_open(dnnl_memory_desc_t *layout) {
  dnnl_memory_desc_t open;
  onednn_must(dnnl_memory_desc_init_by_tag(&open, layout->ndims, layout->dims, layout->data_type, dnnl_format_tag_any),
              "describe an activation");
  *layout = open;
}

/* What differs between a convolution and a linear layer is how an operation is described. */
typedef union description {
  dnnl_convolution_desc_t convolution;
  dnnl_inner_product_desc_t linear;
} description_t;

static void describe(const es_unit_t *unit, direction_t direction, way_t way, const dnnl_memory_desc_t *weights,
                     int count, description_t *out) {
  const es_node_t *node = unit->node;
  dnnl_memory_desc_t src = source_layout(unit, count), dst = target_layout(unit, count);
  const dnnl_memory_desc_t bias_md = bias_layout(unit), *bias = node->bias >= 0 ? &bias_md : NULL;
  const dnnl_prop_kind_t kind = unit->training ? dnnl_forward_training : dnnl_forward_inference;
  const dnnl_dims_t strides = {node->stride, node->stride}, padding = {node->padding, node->padding};
  dnnl_status_t code = dnnl_success;
  if (way.blocked) leave_open(&src);
  if (way.blocked) leave_open(&dst);
  if (node->op == ES_OP_CONV) {
    dnnl_convolution_desc_t *d = &out->convolution;
    const dnnl_alg_kind_t a = way.algorithm;
    if (direction == FORWARD)
      code = dnnl_convolution_forward_desc_init(d, kind, a, &src, weights, bias, &dst, strides, padding, padding);
    else if (direction == BACKWARD_DATA)
      code = dnnl_convolution_backward_data_desc_init(d, a, &src, weights, &dst, strides, padding, padding);
    else
      code = dnnl_convolution_backward_weights_desc_init(d, a, &src, weights, bias, &dst, strides, padding, padding);
  } else {
    dnnl_inner_product_desc_t *d = &out->linear;
    if (direction == FORWARD)
      code = dnnl_inner_product_forward_desc_init(d, kind, &src, weights, bias, &dst);
    else if (direction == BACKWARD_DATA)
      code = dnnl_inner_product_backward_data_desc_init(d, &src, weights, &dst);
    else
      code = dnnl_inner_product_backward_weights_desc_init(d, &src, weights, bias, &dst);
  }
  onednn_must(code, "describe a layer");
}

/* ---- kernels ---- */

enum { WAYS_MOST = 2 };

/* The ways to compute a direction, the fastest first; the last one is always there. By shape alone, so that all slice
 * sizes and ranks choose alike. Where the others pay, with both changes of layout counted in, was measured on slices of
 * 16 (Sapphire Rapids, oneDNN 2.6.3, GFLOP/s): Winograd F(4x4, 3x3) 267 instead of 170 for 64 channels on 32 x 32, 330
 * instead of 185 for 128 on 16 x 16, 280 instead of 185 for 256 on 8 x 8, less than direct on smaller maps; forward on
 * maps of 4 x 4 and 2 x 2, 256 channels and more, 175 instead of 112 and 137 instead of 50. Winograd's kernels are for
 * AVX-512; its rounding errors are some 1e-6 of the largest output (tests/unit/test_conv.c). */
static int list_ways(const es_unit_t *unit, direction_t direction, way_t out[WAYS_MOST]) {
  const es_node_t *node = unit->node;
  const int32_t channels = node->in.c < node->out.c ? node->in.c : node->out.c;
  const int32_t side = node->in.h < node->in.w ? node->in.h : node->in.w;
  int n = 0;
  if (node->op == ES_OP_CONV && node->groups == 1 && node->kernel == 3 && node->stride == 1 && node->padding == 1 &&
      node->in.c % 16 == 0 && node->out.c % 16 == 0 && onednn_has_avx512()) {
    if ((side >= 16 && channels >= 64) || (side >= 8 && channels >= 128))
      out[n++] = (way_t){dnnl_convolution_winograd, true};
    else if (direction == FORWARD && side <= 4 && channels >= 256)
      out[n++] = (way_t){dnnl_convolution_direct, true};
  }
  out[n++] = (way_t){dnnl_convolution_direct, false};
  return n;
}

static const dnnl_memory_desc_t *layout_of(dnnl_primitive_desc_t pd, direction_t direction, bool source) {
  dnnl_query_t query = direction == BACKWARD_DATA ? dnnl_query_diff_src_md : dnnl_query_src_md;
  if (!source) query = direction == FORWARD ? dnnl_query_dst_md : dnnl_query_diff_dst_md;
  return dnnl_primitive_desc_query_md(pd, query, 0);
}

/* One direction for one slice size. The first (largest) size may choose the layout of the weights (its layout has ndims
 * 0 until then); the others take it. *pd is the caller's. */
static es_code_t make_kernel(es_unit_t *unit, direction_t direction, way_t way, int count,
                             const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd, es_status_t *status) {
  static const char *const names[] = {"the forward pass", "the gradient of the input", "the gradient of the weights"};
  state_t *s = unit->state;
  kernel_t *k = &s->kernels[direction][count];
  packing_t *packing = &s->packing[direction];
  const bool choose = packing->layout.ndims == 0;
  const dnnl_memory_desc_t weights = choose ? weight_layout(unit, true) : packing->layout;
  const dnnl_memory_desc_t src = source_layout(unit, count), dst = target_layout(unit, count);
  description_t description;
  describe(unit, direction, way, &weights, count, &description);
  ES_TRY(onednn_primitive(unit, names[direction], &description, hint, &k->primitive, pd, status));
  if (choose) {
    dnnl_query_t query = direction == BACKWARD_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    packing->layout = *dnnl_primitive_desc_query_md(*pd, query, 0);
  }
  ES_TRY(onednn_operand_create(unit, &k->src, &src, layout_of(*pd, direction, true), ONEDNN_INPUT_SIDE,
                               direction == BACKWARD_DATA, status));
  return onednn_operand_create(unit, &k->dst, &dst, layout_of(*pd, direction, false), ONEDNN_OUTPUT_SIDE,
                               direction == FORWARD, status);
}

/* What oneDNN said of the forward pass of each slice size: its backward passes want to know. */
typedef struct hints {
  dnnl_primitive_desc_t forward[ES_SLICE_MAX + 1];
} hints_t;

static es_code_t try_way(es_unit_t *unit, direction_t direction, way_t way, uint32_t sizes, hints_t *hints,
                         es_status_t *status) {
  es_code_t code = ES_OK;
  for (int count = ES_SLICE_MAX; count > 0 && code == ES_OK; count--) {
    dnnl_primitive_desc_t pd = NULL;
    if (!(sizes >> count & 1)) continue;
    code = make_kernel(unit, direction, way, count, direction == FORWARD ? NULL : hints->forward[count], &pd, status);
    if (direction == FORWARD && code == ES_OK)
      hints->forward[count] = pd;
    else if (pd)
      dnnl_primitive_desc_destroy(pd);
  }
  return code;
}

static void forget(hints_t *hints) {
  for (int i = 0; i <= ES_SLICE_MAX; i++) {
    if (hints->forward[i]) dnnl_primitive_desc_destroy(hints->forward[i]);
    hints->forward[i] = NULL;
  }
}

static es_code_t make_direction(es_unit_t *unit, direction_t direction, uint32_t sizes, hints_t *hints,
                                es_status_t *status) {
  way_t ways[WAYS_MOST];
  const int n = list_ways(unit, direction, ways);
  for (int i = 0; i < n - 1; i++) {
    es_status_t attempt = {0};
    if (try_way(unit, direction, ways[i], sizes, hints, &attempt) == ES_OK) return ES_OK;
    destroy_direction(unit->state, direction);
    if (direction == FORWARD) forget(hints);
  }
  return try_way(unit, direction, ways[n - 1], sizes, hints, status);
}

static bool takes_same_gradient(const state_t *s, uint32_t sizes) {
  for (int count = ES_SLICE_MAX; count > 0; count--) {
    if (!(sizes >> count & 1)) continue;
    const onednn_operand_t *a = &s->kernels[BACKWARD_WEIGHTS][count].dst, *b = &s->kernels[BACKWARD_DATA][count].dst;
    const dnnl_memory_desc_t *x, *y;
    if (!a->blocked || !b->blocked) return false;
    onednn_must(dnnl_memory_get_memory_desc(a->blocked, &x), "look at a layout");
    onednn_must(dnnl_memory_get_memory_desc(b->blocked, &y), "look at a layout");
    if (!dnnl_memory_desc_equal(x, y)) return false;
  }
  return true;
}

static es_code_t make_kernels(es_unit_t *unit, uint32_t sizes, es_status_t *status) {
  state_t *s = unit->state;
  hints_t hints = {{NULL}};
  const bool data = unit->training && unit->in_gradient[0].data;
  es_code_t code = make_direction(unit, FORWARD, sizes, &hints, status);
  if (code == ES_OK && unit->training) code = make_direction(unit, BACKWARD_WEIGHTS, sizes, &hints, status);
  if (code == ES_OK && data) code = make_direction(unit, BACKWARD_DATA, sizes, &hints, status);
  forget(&hints);
  s->same_gradient = code == ES_OK && data && takes_same_gradient(s, sizes);
  return code;
}

/* Memory for packed weights, and the reorder from (or, for gradients, to) the flat vector. `allocate` false: the packed
 * data live elsewhere (in the stack of lane sums). */
static es_code_t make_packing(es_unit_t *unit, packing_t *p, const dnnl_memory_desc_t *flat, bool gradient,
                              es_status_t *status) {
  if (p->layout.ndims == 0) return ES_OK;
  ES_TRY(onednn_memory(unit, &p->memory, &p->layout, status));
  if (!gradient && dnnl_memory_desc_equal(&p->layout, flat)) return ES_OK;
  ES_TRY(onednn_reorder(unit, &p->reorder, gradient ? &p->layout : flat, gradient ? flat : &p->layout, status));
  if (gradient) return ES_OK;
  p->data = es_allocate_zero(1, dnnl_memory_desc_get_size(&p->layout));
  if (!p->data) return onednn_out_of_memory(unit, status);
  onednn_must(dnnl_memory_set_data_handle(p->memory, p->data), "set packed weights");
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
  ES_TRY(onednn_start(status));
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return onednn_out_of_memory(unit, status);
  ES_TRY(make_kernels(unit, sizes, status));
  const dnnl_memory_desc_t flat = weight_layout(unit, false), bias = bias_layout(unit);
  const bool biased = unit->node->bias >= 0;
  ES_TRY(onednn_memory(unit, &s->flat, &flat, status));
  ES_TRY(onednn_memory(unit, &s->flat_gradient, &flat, status));
  if (biased) ES_TRY(onednn_memory(unit, &s->bias, &bias, status));
  if (biased) ES_TRY(onednn_memory(unit, &s->bias_gradient, &bias, status));
  ES_TRY(make_packing(unit, &s->packing[FORWARD], &flat, false, status));
  ES_TRY(make_packing(unit, &s->packing[BACKWARD_DATA], &flat, false, status));
  ES_TRY(make_packing(unit, &s->packing[BACKWARD_WEIGHTS], &flat, true, status));
  onednn_must(dnnl_memory_set_data_handle(s->flat, es_unit_parameter(unit, unit->node->weight)), "set weights");
  if (biased)
    onednn_must(dnnl_memory_set_data_handle(s->bias, es_unit_parameter(unit, unit->node->bias)), "set a bias");
  if (!unit->training) return ES_OK;
  onednn_must(dnnl_memory_set_data_handle(s->flat_gradient, es_unit_gradient(unit, unit->node->weight)),
              "set a gradient");
  s->packed_floats = (dnnl_memory_desc_get_size(&s->packing[BACKWARD_WEIGHTS].layout) / sizeof(float) + 15) / 16 * 16;
  s->sums.n = s->packed_floats + (biased ? ((size_t)unit->node->out.c + 15) / 16 * 16 : 0);
  return ES_OK;
}

static void pack_one(const state_t *s, const packing_t *p) {
  if (!p->reorder) return;
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, s->flat}, {DNNL_ARG_TO, p->memory}};
  onednn_run(p->reorder, arguments, 2, "pack weights");
}

static void pack(es_unit_t *unit) {
  const state_t *s = unit->state;
  pack_one(s, &s->packing[FORWARD]);
  pack_one(s, &s->packing[BACKWARD_DATA]);
}

static void weighted_begin(es_unit_t *unit, const es_pass_t *pass) {
  state_t *s = unit->state;
  if (!pass->training || !s->sums.data) return;
  es_stack_reset(&s->sums);
  s->lane_started = false;
}

static dnnl_memory_t packed(const state_t *s, direction_t direction) {
  return s->packing[direction].reorder ? s->packing[direction].memory : s->flat;
}

/* Where gradients of weights are, in the layout of the kernels. */
static dnnl_memory_t gradient_of(const state_t *s, const float *data) {
  const dnnl_memory_t memory = s->packing[BACKWARD_WEIGHTS].memory;
  onednn_must(dnnl_memory_set_data_handle(memory, (void *)data), "set a gradient");
  return memory;
}

static void weighted_forward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  (void)pass;
  const state_t *s = unit->state;
  const kernel_t *k = &s->kernels[FORWARD][slice->count];
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, onednn_operand_read(&k->src, es_storage_at(&unit->in[0], slice))},
                                       {DNNL_ARG_WEIGHTS, packed(s, FORWARD)},
                                       {DNNL_ARG_DST, onednn_operand_write(&k->dst, es_storage_at(&unit->out, slice))},
                                       {DNNL_ARG_BIAS, s->bias}};
  onednn_run(k->primitive, arguments, s->bias ? 4 : 3, "run a layer forward");
  onednn_operand_written(&k->dst);
}

static void backward_weights(es_unit_t *unit, const es_slice_t *slice) {
  state_t *s = unit->state;
  const kernel_t *k = &s->kernels[BACKWARD_WEIGHTS][slice->count];
  float *sum = es_stack_next(&s->sums), *target = s->lane_started ? s->extra : sum;
  if (s->bias) onednn_must(dnnl_memory_set_data_handle(s->bias_gradient, target + s->packed_floats), "set a gradient");
  const dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_SRC, onednn_operand_read(&k->src, es_storage_at(&unit->in[0], slice))},
      {DNNL_ARG_DIFF_DST, onednn_operand_read(&k->dst, es_storage_at(&unit->out_gradient, slice))},
      {DNNL_ARG_DIFF_WEIGHTS, gradient_of(s, target)},
      {DNNL_ARG_DIFF_BIAS, s->bias_gradient}};
  onednn_run(k->primitive, arguments, s->bias ? 4 : 3, "run a layer's weight gradient");
  if (s->lane_started) es_vector_add(sum, s->extra, s->sums.n);
  s->lane_started = true;
}

static void backward_data(es_unit_t *unit, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const kernel_t *k = &s->kernels[BACKWARD_DATA][slice->count];
  const float *gradient = es_storage_at(&unit->out_gradient, slice);
  const dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_DIFF_DST,
       s->same_gradient ? onednn_operand_again(&k->dst, gradient) : onednn_operand_read(&k->dst, gradient)},
      {DNNL_ARG_WEIGHTS, packed(s, BACKWARD_DATA)},
      {DNNL_ARG_DIFF_SRC, onednn_operand_write(&k->src, es_storage_at(&unit->in_gradient[0], slice))}};
  onednn_run(k->primitive, arguments, 3, "run a layer's input gradient");
  onednn_operand_written(&k->src);
}

static void weighted_backward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  (void)pass;
  backward_weights(unit, slice);
  if (unit->in_gradient[0].data) backward_data(unit, slice);
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
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, gradient_of(s, total)}, {DNNL_ARG_TO, s->flat_gradient}};
  onednn_run(s->packing[BACKWARD_WEIGHTS].reorder, arguments, 2, "unpack a gradient");
  if (!s->bias) return;
  memcpy(es_unit_gradient(unit, unit->node->bias), total + s->packed_floats, (size_t)unit->node->out.c * sizeof *total);
}

#define WEIGHTED                                                                                                       \
  .create = create_weighted, .destroy = destroy, .scratch_floats = scratch_floats, .place_scratch = place_scratch,     \
  .pack = pack, .begin = weighted_begin, .forward = weighted_forward, .backward = weighted_backward,                   \
  .lane_end = weighted_lane_end, .backward_end = weighted_backward_end

const es_unit_class_t es_unit_conv = {.name = "convolution", WEIGHTED};
const es_unit_class_t es_unit_linear = {.name = "linear", WEIGHTED};
