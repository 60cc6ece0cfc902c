/* Convolutions and linear layers. Activations are plain NHWC outside. A kernel with its own layout is used if it is
 * faster even with the change of layout (es_onednn_layer_algorithms); a kernel of ours is used if it is faster than all
 * of oneDNN's (conv.h).
 *
 * Each unit holds one set of primitives for every slice size. Weights are kept in the layout that the primitives for
 * the largest slice ask for, and packed again after each change. Gradients are summed over lanes in the layout of the
 * kernels and unpacked once. */
#include "onednn_layers.h"
#include "conv_small_weights.h"
#include "eigenscope/memory.h"
#include "kernels.h"
#include "onednn_rows.h"
#include <string.h>

/* One direction for slices of one size. */
typedef struct kernel {
  dnnl_primitive_t primitive;
  es_onednn_operand_t src, dst; /* or their gradients */
} kernel_t;

/* Weights in the layout that a primitive wants, with the reorder from the flat vector. */
typedef struct packing {
  dnnl_memory_t memory;     /* NULL: oneDNN has no primitive for this direction */
  dnnl_primitive_t reorder; /* NULL: the primitive uses the flat vector */
  float *data;              /* owned unless reorder is NULL */
} packing_t;

typedef struct state {
  const es_conv_algorithm_t *own[CONV_DIRECTIONS]; /* NULL: the kernels below, or `small` */
  kernel_t kernels[CONV_DIRECTIONS][ES_SLICE_MAX + 1];
  packing_t packing[CONV_DIRECTIONS]; /* of CONV_BACKWARD_WEIGHTS: the gradient, reordered from packed to flat */
  bool same_gradient;                 /* both backward directions read the output gradient in the same layout */
  dnnl_memory_t flat, flat_gradient;
  dnnl_memory_t bias, bias_gradient; /* or NULL */
  es_stack_t sums;      /* gradients of weights and bias, lane after lane; memory borrowed from the model */
  size_t packed_floats; /* of the weights, rounded up to align the bias that follows */
  float *extra;         /* gradient of a lane's second, third … slice; borrowed */
  bool scratch;         /* true if our own kernels use the scratch of the process */
  bool lane_started;
  es_small_weights_t *small; /* computes CONV_BACKWARD_WEIGHTS for all lanes at once, or NULL */
} state_t;

static void destroy_direction(state_t *s, es_conv_direction_t direction) {
  for (int i = 0; i <= ES_SLICE_MAX; i++) {
    kernel_t *k = &s->kernels[direction][i];
    if (k->primitive) dnnl_primitive_destroy(k->primitive);
    k->primitive = NULL;
    es_onednn_operand_destroy(&k->src);
    es_onednn_operand_destroy(&k->dst);
  }
  packing_t *p = &s->packing[direction];
  if (p->memory) dnnl_memory_destroy(p->memory);
  if (p->reorder) dnnl_primitive_destroy(p->reorder);
  es_free(p->data);
  *p = (packing_t){0};
}

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  for (int d = 0; d < CONV_DIRECTIONS; d++) destroy_direction(s, (es_conv_direction_t)d);
  dnnl_memory_t others[] = {s->flat, s->flat_gradient, s->bias, s->bias_gradient};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (others[i]) dnnl_memory_destroy(others[i]);
  }
  if (s->scratch) es_onednn_scratch_release();
  es_small_weights_destroy(s->small);
  es_free(s);
  unit->state = NULL;
}

/* ---- kernels ---- */

/* The algorithm that is not a primitive of oneDNN, or NULL. */
static const es_conv_algorithm_t *choose_own(const es_node_t *node, es_conv_direction_t direction,
                                             es_precision_t precision) {
  const es_conv_algorithm_t *rows = es_onednn_rows_choose(node, direction, precision);
  return rows ? rows : es_conv_choose(node, direction, precision);
}

static es_onednn_view_t layout_of(dnnl_primitive_desc_t pd, es_conv_direction_t direction, bool source) {
  dnnl_query_t query = direction == CONV_BACKWARD_DATA ? dnnl_query_diff_src_md : dnnl_query_src_md;
  if (!source) query = direction == CONV_FORWARD ? dnnl_query_dst_md : dnnl_query_diff_dst_md;
  return dnnl_primitive_desc_query_md(pd, query, 0);
}

/* Makes the kernel of one direction for one slice size. The first (largest) size may choose the layout of the weights,
 * whose memory object is NULL until then; later sizes use that layout. The caller owns *pd. */
static es_code_t make_kernel(es_unit_t *unit, es_conv_direction_t direction, es_onednn_algorithm_t algorithm, int count,
                             const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd, es_status_t *status) {
  static const char *const names[] = {"the forward pass", "the gradient of the input", "the gradient of the weights"};
  state_t *s = unit->state;
  kernel_t *k = &s->kernels[direction][count];
  packing_t *packing = &s->packing[direction];
  const es_onednn_layout_t src = es_onednn_layer_source(unit, count), dst = es_onednn_layer_target(unit, count);
  es_onednn_operation_t operation;
  es_onednn_layer_describe(unit, direction, algorithm, packing->memory ? es_onednn_view(packing->memory) : NULL, count,
                           &operation);
  ES_TRY(es_onednn_primitive(unit, names[direction], &operation, hint, &k->primitive, pd, status));
  if (!packing->memory) {
    dnnl_query_t query = direction == CONV_BACKWARD_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    ES_TRY(es_onednn_memory(unit, &packing->memory, dnnl_primitive_desc_query_md(*pd, query, 0), status));
  }
  ES_TRY(es_onednn_operand_create(unit, &k->src, &src, layout_of(*pd, direction, true), ONEDNN_INPUT_SIDE,
                                  direction == CONV_BACKWARD_DATA, status));
  return es_onednn_operand_create(unit, &k->dst, &dst, layout_of(*pd, direction, false), ONEDNN_OUTPUT_SIDE,
                                  direction == CONV_FORWARD, status);
}

/* oneDNN's forward description of each slice size, which backward primitives need as a hint. */
typedef struct hints {
  dnnl_primitive_desc_t forward[ES_SLICE_MAX + 1];
} hints_t;

static es_code_t try_algorithm(es_unit_t *unit, es_conv_direction_t direction, es_onednn_algorithm_t algorithm,
                               uint32_t sizes, hints_t *hints, es_status_t *status) {
  es_code_t code = ES_OK;
  for (int count = ES_SLICE_MAX; count > 0 && code == ES_OK; count--) {
    dnnl_primitive_desc_t pd = NULL;
    if (!(sizes >> count & 1)) continue;
    code = make_kernel(unit, direction, algorithm, count, direction == CONV_FORWARD ? NULL : hints->forward[count], &pd,
                       status);
    if (direction == CONV_FORWARD && code == ES_OK)
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

/* Selects a kernel of ours. oneDNN has no layout for its packed weights. */
static es_code_t use_own(es_unit_t *unit, es_conv_direction_t direction, const es_conv_algorithm_t *own,
                         es_status_t *status) {
  state_t *s = unit->state;
  const es_node_t *node = unit->node;
  s->own[direction] = own;
  if (own->scratch_floats) {
    const bool new_user = !s->scratch;
    s->scratch = true;
    ES_TRY(es_onednn_scratch_reserve(unit, ONEDNN_INPUT_SIDE, own->scratch_floats(node) * sizeof(float), new_user,
                                     status));
  }
  if (!own->pack) return ES_OK;
  s->packing[direction].data = es_allocate_zero(own->packed_floats(node), sizeof(float));
  return s->packing[direction].data ? ES_OK : es_onednn_out_of_memory(unit, status);
}

static es_code_t make_direction(es_unit_t *unit, es_conv_direction_t direction, uint32_t sizes, hints_t *hints,
                                es_status_t *status) {
  es_onednn_algorithm_t algorithms[ONEDNN_ALGORITHMS_MOST];
  const es_conv_algorithm_t *own = choose_own(unit->node, direction, unit->precision);
  if (own) return use_own(unit, direction, own, status);
  const int n = es_onednn_layer_algorithms(unit, direction, algorithms);
  for (int i = 0; i < n - 1; i++) {
    es_status_t attempt = {0};
    if (try_algorithm(unit, direction, algorithms[i], sizes, hints, &attempt) == ES_OK) return ES_OK;
    destroy_direction(unit->state, direction);
    if (direction == CONV_FORWARD) forget(hints);
  }
  return try_algorithm(unit, direction, algorithms[n - 1], sizes, hints, status);
}

static bool takes_same_gradient(const state_t *s, uint32_t sizes) {
  for (int count = ES_SLICE_MAX; count > 0; count--) {
    if (!(sizes >> count & 1)) continue;
    const es_onednn_operand_t *a = &s->kernels[CONV_BACKWARD_WEIGHTS][count].dst,
                              *b = &s->kernels[CONV_BACKWARD_DATA][count].dst;
    if (!a->blocked || !b->blocked) return false;
    if (!dnnl_memory_desc_equal(es_onednn_view(a->blocked), es_onednn_view(b->blocked))) return false;
  }
  return true;
}

static es_code_t make_kernels(es_unit_t *unit, uint32_t sizes, es_status_t *status) {
  state_t *s = unit->state;
  hints_t hints = {{NULL}};
  const bool data = unit->training && unit->in_gradient[0].data;
  es_code_t code = make_direction(unit, CONV_FORWARD, sizes, &hints, status);
  if (code == ES_OK && unit->training && !s->small)
    code = make_direction(unit, CONV_BACKWARD_WEIGHTS, sizes, &hints, status);
  if (code == ES_OK && data) code = make_direction(unit, CONV_BACKWARD_DATA, sizes, &hints, status);
  forget(&hints);
  s->same_gradient = code == ES_OK && data && !s->small && takes_same_gradient(s, sizes);
  return code;
}

/* Creates the reorder of packed weights from the flat vector, and their data. For a gradient, the reorder is to the
 * flat vector, and the data are in the stack of lane sums. */
static es_code_t make_packing(es_unit_t *unit, packing_t *p, es_onednn_view_t flat, bool gradient,
                              es_status_t *status) {
  if (!p->memory) return ES_OK;
  es_onednn_view_t layout = es_onednn_view(p->memory);
  if (!gradient && dnnl_memory_desc_equal(layout, flat)) return ES_OK;
  ES_TRY(es_onednn_reorder(unit, &p->reorder, gradient ? layout : flat, gradient ? flat : layout, status));
  if (gradient) return ES_OK;
  p->data = es_allocate_zero(1, dnnl_memory_desc_get_size(layout));
  if (!p->data) return es_onednn_out_of_memory(unit, status);
  es_onednn_at(p->memory, p->data);
  return ES_OK;
}

static bool all_lanes_at_once(const es_node_t *node, es_precision_t precision) {
  const es_conv_algorithm_t *own = choose_own(node, CONV_BACKWARD_WEIGHTS, precision);
  return own && !own->run;
}

/* Floats of the packed weights of a direction: oneDNN's layouts are hardly larger than the flat vector. */
static int64_t packed_size(const es_graph_t *graph, const es_node_t *node, es_conv_direction_t direction,
                           es_precision_t precision) {
  const es_conv_algorithm_t *own = choose_own(node, direction, precision);
  if (own && own->packed_floats) return (int64_t)own->packed_floats(node);
  return graph->parameters[node->weight].count * (int64_t)es_precision_bytes(precision) / (int64_t)sizeof(float);
}

/* Floats of the gradient of weights and bias in the layout of its kernel. With groups, oneDNN's pads the channels of
 * each group to a vector; its kernel for depthwise layers does not. */
static int64_t gradient_size(const es_graph_t *graph, const es_node_t *node, es_precision_t precision) {
  const int64_t parameters = es_graph_parameters(graph, node), weights = graph->parameters[node->weight].count;
  const int64_t in = node->in.c / node->groups, out = node->out.c / node->groups;
  if (node->groups == 1 || (in == 1 && out == 1) || es_conv_choose(node, CONV_BACKWARD_WEIGHTS, precision))
    return parameters;
  return parameters - weights + weights / (in * out) * ((in + 15) / 16 * 16) * ((out + 15) / 16 * 16);
}

/* Floats that es_unit_emulated adds: activations of one slice, and rounded weights. */
static int64_t emulation_size(const es_graph_t *graph, const es_node_t *node) {
  return ES_SLICE_MAX * (es_shape_size(node->in) + es_shape_size(node->out)) + es_graph_parameters(graph, node);
}

/* Must match the allocations of `create` and the result of scratch_floats. */
static es_unit_floats_t floats(const es_graph_t *graph, const es_node_t *node, int64_t samples, int lanes,
                               es_precision_t precision) {
  const es_group_t group = {.lane_count = lanes};
  const int64_t vectors = (int64_t)es_stack_vectors(&group) + 1;
  const bool emulated = es_model_emulates(precision) || (precision == ES_BFLOAT16 && es_conv_widens(node));
  const es_precision_t own = emulated ? ES_FLOAT32 : precision; /* of the kernels */
  return (es_unit_floats_t){
      .packed = packed_size(graph, node, CONV_FORWARD, own) + packed_size(graph, node, CONV_BACKWARD_DATA, own) +
                (emulated ? emulation_size(graph, node) : 0),
      .scratch = all_lanes_at_once(node, own) ? (int64_t)es_small_weights_floats(node, samples, lanes, own)
                                              : vectors * gradient_size(graph, node, own)};
}

static size_t scratch_floats(const es_unit_t *unit) {
  const state_t *s = unit->state;
  return s->small ? es_small_weights_floats(unit->node, unit->samples, unit->group->lane_count, unit->precision)
                  : (es_stack_vectors(unit->group) + 1) * s->sums.n;
}

static void set_scratch(es_unit_t *unit, float *memory) {
  state_t *s = unit->state;
  if (s->small) {
    es_small_weights_set_memory(s->small, unit->group, memory);
    return;
  }
  s->extra = memory;
  es_stack_place(&s->sums, memory + s->sums.n, s->sums.n);
}

static es_code_t create(es_unit_t *unit, uint32_t sizes, es_status_t *status) {
  ES_TRY(es_onednn_start(status));
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return es_onednn_out_of_memory(unit, status);
  if (unit->training && all_lanes_at_once(unit->node, unit->precision)) {
    s->small = es_small_weights_create(unit, unit->precision);
    if (!s->small) return es_onednn_out_of_memory(unit, status);
  }
  ES_TRY(make_kernels(unit, sizes, status));
  const es_onednn_layout_t weights = es_onednn_layer_weights(unit), bias = es_onednn_layer_bias(unit);
  const bool biased = unit->node->bias >= 0;
  ES_TRY(es_onednn_plain_memory(unit, &s->flat, &weights, status));
  ES_TRY(es_onednn_plain_memory(unit, &s->flat_gradient, &weights, status));
  if (biased) ES_TRY(es_onednn_plain_memory(unit, &s->bias, &bias, status));
  if (biased) ES_TRY(es_onednn_plain_memory(unit, &s->bias_gradient, &bias, status));
  es_onednn_view_t flat = es_onednn_view(s->flat);
  ES_TRY(make_packing(unit, &s->packing[CONV_FORWARD], flat, false, status));
  ES_TRY(make_packing(unit, &s->packing[CONV_BACKWARD_DATA], flat, false, status));
  ES_TRY(make_packing(unit, &s->packing[CONV_BACKWARD_WEIGHTS], flat, true, status));
  es_onednn_at(s->flat, es_unit_parameter(unit, unit->node->weight));
  if (biased) es_onednn_at(s->bias, es_unit_parameter(unit, unit->node->bias));
  if (!unit->training || s->small) return ES_OK;
  es_onednn_at(s->flat_gradient, es_unit_gradient(unit, unit->node->weight));
  dnnl_memory_t packed_gradient = s->own[CONV_BACKWARD_WEIGHTS] ? s->flat : s->packing[CONV_BACKWARD_WEIGHTS].memory;
  s->packed_floats = (dnnl_memory_desc_get_size(es_onednn_view(packed_gradient)) / sizeof(float) + 15) / 16 * 16;
  s->sums.n = s->packed_floats + (biased ? ((size_t)unit->node->out.c + 15) / 16 * 16 : 0);
  return ES_OK;
}

static void pack_one(const es_unit_t *unit, es_conv_direction_t direction) {
  const state_t *s = unit->state;
  const es_conv_algorithm_t *own = s->own[direction];
  const packing_t *p = &s->packing[direction];
  if (own && own->pack) own->pack(p->data, es_unit_parameter(unit, unit->node->weight), unit->node);
  if (!p->reorder) return;
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, s->flat}, {DNNL_ARG_TO, p->memory}};
  es_onednn_run(p->reorder, arguments, 2, "pack weights");
}

static void pack(es_unit_t *unit) {
  pack_one(unit, CONV_FORWARD);
  pack_one(unit, CONV_BACKWARD_DATA);
}

static void begin(es_unit_t *unit, const es_pass_t *pass) {
  state_t *s = unit->state;
  if (s->small) es_small_weights_begin(s->small);
  if (!pass->training || !s->sums.data) return;
  es_stack_reset(&s->sums);
  s->lane_started = false;
}

static dnnl_memory_t packed(const state_t *s, es_conv_direction_t direction) {
  return s->packing[direction].reorder ? s->packing[direction].memory : s->flat;
}

/* ---- our own kernels ---- */

static void run_own(es_unit_t *unit, es_conv_direction_t direction, const es_slice_t *slice) {
  state_t *s = unit->state;
  const float *packed_weights = s->packing[direction].data;
  float *sum = direction == CONV_BACKWARD_WEIGHTS ? es_stack_next(&s->sums) : NULL;
  const bool biased = unit->node->bias >= 0;
  const es_conv_task_t task = {.node = unit->node,
                               .count = slice->count,
                               .x = es_storage_at(&unit->in[0], slice),
                               .dy = es_storage_at(&unit->out_gradient, slice),
                               .y = es_storage_at(&unit->out, slice),
                               .dx = es_storage_at(&unit->in_gradient[0], slice),
                               .dw = sum,
                               .db = sum && biased ? sum + s->packed_floats : NULL,
                               .weights = packed_weights ? packed_weights : es_unit_parameter(unit, unit->node->weight),
                               .bias = biased ? es_unit_parameter(unit, unit->node->bias) : NULL,
                               .scratch = s->scratch ? es_onednn_scratch(ONEDNN_INPUT_SIDE) : NULL,
                               .first = !s->lane_started};
  s->own[direction]->run(&task);
}

/* ---- passes ---- */

static void forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const state_t *s = unit->state;
  if (s->own[CONV_FORWARD]) {
    run_own(unit, CONV_FORWARD, slice);
    return;
  }
  const kernel_t *k = &s->kernels[CONV_FORWARD][slice->count];
  const dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_SRC, es_onednn_operand_read(&k->src, es_storage_at(&unit->in[0], slice))},
      {DNNL_ARG_WEIGHTS, packed(s, CONV_FORWARD)},
      {DNNL_ARG_DST, es_onednn_operand_at(&k->dst, es_storage_at(&unit->out, slice))},
      {DNNL_ARG_BIAS, s->bias}};
  es_onednn_run(k->primitive, arguments, s->bias ? 4 : 3, "run a layer forward");
  es_onednn_operand_written(&k->dst);
}

static void backward_weights(es_unit_t *unit, const es_slice_t *slice) {
  state_t *s = unit->state;
  const kernel_t *k = &s->kernels[CONV_BACKWARD_WEIGHTS][slice->count];
  float *sum = es_stack_next(&s->sums), *target = s->lane_started ? s->extra : sum;
  if (s->bias) es_onednn_at(s->bias_gradient, target + s->packed_floats);
  const dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_SRC, es_onednn_operand_read(&k->src, es_storage_at(&unit->in[0], slice))},
      {DNNL_ARG_DIFF_DST, es_onednn_operand_read(&k->dst, es_storage_at(&unit->out_gradient, slice))},
      {DNNL_ARG_DIFF_WEIGHTS, es_onednn_at(s->packing[CONV_BACKWARD_WEIGHTS].memory, target)},
      {DNNL_ARG_DIFF_BIAS, s->bias_gradient}};
  es_onednn_run(k->primitive, arguments, s->bias ? 4 : 3, "run a layer's weight gradient");
  if (s->lane_started) es_vector_add(sum, s->extra, s->sums.n);
}

static void backward_data(es_unit_t *unit, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const kernel_t *k = &s->kernels[CONV_BACKWARD_DATA][slice->count];
  const void *gradient = es_storage_at(&unit->out_gradient, slice);
  const dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_DIFF_DST,
       s->same_gradient ? es_onednn_operand_at(&k->dst, gradient) : es_onednn_operand_read(&k->dst, gradient)},
      {DNNL_ARG_WEIGHTS, packed(s, CONV_BACKWARD_DATA)},
      {DNNL_ARG_DIFF_SRC, es_onednn_operand_at(&k->src, es_storage_at(&unit->in_gradient[0], slice))}};
  es_onednn_run(k->primitive, arguments, 3, "run a layer's input gradient");
  es_onednn_operand_written(&k->src);
}

static void backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  state_t *s = unit->state;
  if (s->small)
    es_small_weights_slice(s->small, slice, es_storage_at(&unit->in[0], slice),
                           es_storage_at(&unit->out_gradient, slice));
  else if (s->own[CONV_BACKWARD_WEIGHTS])
    run_own(unit, CONV_BACKWARD_WEIGHTS, slice);
  else
    backward_weights(unit, slice);
  s->lane_started = true;
  if (!unit->in_gradient[0].data) return;
  if (s->own[CONV_BACKWARD_DATA])
    run_own(unit, CONV_BACKWARD_DATA, slice);
  else
    backward_data(unit, slice);
}

static void lane_end(es_unit_t *unit, ES_UNUSED int lane) {
  state_t *s = unit->state;
  if (s->small) {
    es_small_weights_lane_end(s->small);
    return;
  }
  if (!s->lane_started) memset(es_stack_next(&s->sums), 0, s->sums.n * sizeof(float));
  es_stack_push(&s->sums);
  s->lane_started = false;
}

static void backward_end(es_unit_t *unit) {
  const state_t *s = unit->state;
  if (s->small) {
    es_small_weights_finish(s->small, es_unit_gradient(unit, unit->node->weight),
                            s->bias ? es_unit_gradient(unit, unit->node->bias) : NULL);
    return;
  }
  const float *total = es_stack_total(&s->sums);
  if (s->own[CONV_BACKWARD_WEIGHTS]) {
    const int32_t weight = unit->node->weight;
    memcpy(es_unit_gradient(unit, weight), total, (size_t)unit->graph->parameters[weight].count * sizeof *total);
  } else {
    const packing_t *p = &s->packing[CONV_BACKWARD_WEIGHTS];
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, es_onednn_at(p->memory, total)},
                                         {DNNL_ARG_TO, s->flat_gradient}};
    es_onednn_run(p->reorder, arguments, 2, "unpack a gradient");
  }
  if (!s->bias) return;
  memcpy(es_unit_gradient(unit, unit->node->bias), total + s->packed_floats, (size_t)unit->node->out.c * sizeof *total);
}

const es_unit_class_t es_unit_layer = {.reads_input = true,
                                       .emulated = true,
                                       .floats = floats,
                                       .create = create,
                                       .destroy = destroy,
                                       .scratch_floats = scratch_floats,
                                       .set_scratch = set_scratch,
                                       .pack = pack,
                                       .begin = begin,
                                       .forward = forward,
                                       .backward = backward,
                                       .lane_end = lane_end,
                                       .backward_end = backward_end};
