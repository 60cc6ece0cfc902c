/* A layer or a pooling of bfloat16 activations on a CPU whose kernels only know float32: widens a slice, runs the
 * float32 kernels with weights rounded to bfloat16, and rounds their results. */
#include "eigenscope/memory.h"
#include "layout.h"
#include "unit.h"
#include <string.h>

/* The inner unit is a copy of the unit with one layer as its whole graph, and float32 storage for one slice. */
typedef struct state {
  es_unit_t inner;
  es_graph_t graph;
  es_node_t node;
  es_tensor_t tensors[2]; /* weight and bias */
  float *in, *out;        /* of one slice; hold also their gradients. Owned */
  float *parameters;      /* owned */
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  if (s->inner.state) s->inner.class->destroy(&s->inner);
  es_free(s->in);
  es_free(s->out);
  es_free(s->parameters);
  es_free(s);
  unit->state = NULL;
}

static es_storage_t slice_storage(const es_storage_t *storage, float *data) {
  return (es_storage_t){
      .data = storage->data ? data : NULL, .size = storage->size, .stride = storage->size, .precision = ES_FLOAT32};
}

/* Gives the weight and the bias of the layer the offsets from the start of the weight. */
static void set_tensors(es_unit_t *unit, state_t *s) {
  if (s->node.weight < 0) return;
  const es_tensor_t *weight = &unit->graph->parameters[s->node.weight];
  s->tensors[0] = *weight;
  if (s->node.bias >= 0) s->tensors[1] = unit->graph->parameters[s->node.bias];
  s->tensors[0].offset = 0;
  s->tensors[1].offset -= weight->offset;
  s->graph.parameters = s->tensors;
  s->node.weight = 0;
  if (s->node.bias >= 0) s->node.bias = 1;
  if (unit->training) s->inner.gradients = unit->gradients + weight->offset;
}

static es_code_t create(es_unit_t *unit, uint32_t sizes, es_status_t *status) {
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return es_out_of_memory(status, "model", "%s", unit->node->name);
  s->in = es_allocate(ES_SLICE_MAX, (size_t)unit->in[0].size * sizeof *s->in);
  s->out = es_allocate(ES_SLICE_MAX, (size_t)unit->out.size * sizeof *s->out);
  s->parameters = es_allocate_zero((size_t)es_graph_parameters(unit->graph, unit->node) + 1, sizeof *s->parameters);
  if (!s->in || !s->out || !s->parameters) return es_out_of_memory(status, "model", "%s", unit->node->name);
  s->graph = *unit->graph;
  s->node = *unit->node;
  s->inner = *unit;
  s->inner.class = es_unit_class(unit->node);
  s->inner.graph = &s->graph;
  s->inner.node = &s->node;
  s->inner.precision = ES_FLOAT32;
  s->inner.in[0] = slice_storage(&unit->in[0], s->in);
  s->inner.out = slice_storage(&unit->out, s->out);
  s->inner.in_gradient[0] = slice_storage(&unit->in_gradient[0], s->in);
  s->inner.out_gradient = slice_storage(&unit->out_gradient, s->out);
  s->inner.parameters = s->parameters;
  s->inner.state = NULL;
  set_tensors(unit, s);
  return s->inner.class->create(&s->inner, sizes, status);
}

static size_t scratch_floats(const es_unit_t *unit) {
  const state_t *s = unit->state;
  return s->inner.class->scratch_floats ? s->inner.class->scratch_floats(&s->inner) : 0;
}

static void set_scratch(es_unit_t *unit, float *memory) {
  state_t *s = unit->state;
  if (s->inner.class->set_scratch) s->inner.class->set_scratch(&s->inner, memory);
}

static void pack(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s->inner.class->pack) return;
  const size_t weights = (size_t)s->tensors[0].count, biases = s->node.bias >= 0 ? (size_t)s->tensors[1].count : 0;
  es_keep_bfloat16(s->parameters, es_unit_parameter(unit, unit->node->weight), weights);
  if (biases > 0)
    memcpy(s->parameters + s->tensors[1].offset, es_unit_parameter(unit, unit->node->bias), biases * sizeof(float));
  s->inner.class->pack(&s->inner);
}

static void begin(es_unit_t *unit, const es_pass_t *pass) {
  state_t *s = unit->state;
  if (s->inner.class->begin) s->inner.class->begin(&s->inner, pass);
}

static void widen(const es_storage_t *from, float *to, const es_slice_t *slice) {
  es_widen(to, es_storage_at(from, slice), (size_t)(slice->count * from->size), from->precision);
}

static void round_to(const es_storage_t *to, const float *from, const es_slice_t *slice) {
  es_round(es_storage_at(to, slice), from, (size_t)(slice->count * to->size), to->precision);
}

static void forward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  state_t *s = unit->state;
  widen(&unit->in[0], s->in, slice);
  s->inner.class->forward(&s->inner, pass, slice);
  round_to(&unit->out, s->out, slice);
}

static void backward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  state_t *s = unit->state;
  widen(&unit->in[0], s->in, slice);
  widen(&unit->out_gradient, s->out, slice);
  s->inner.class->backward(&s->inner, pass, slice);
  if (unit->in_gradient[0].data) round_to(&unit->in_gradient[0], s->in, slice);
}

static void lane_end(es_unit_t *unit, int lane) {
  state_t *s = unit->state;
  if (s->inner.class->lane_end) s->inner.class->lane_end(&s->inner, lane);
}

static void backward_end(es_unit_t *unit) {
  state_t *s = unit->state;
  if (s->inner.class->backward_end) s->inner.class->backward_end(&s->inner);
}

const es_unit_class_t es_unit_emulated = {.create = create,
                                          .destroy = destroy,
                                          .scratch_floats = scratch_floats,
                                          .set_scratch = set_scratch,
                                          .pack = pack,
                                          .begin = begin,
                                          .forward = forward,
                                          .backward = backward,
                                          .lane_end = lane_end,
                                          .backward_end = backward_end};
