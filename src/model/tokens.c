/* Tokens: the class token, the embedding of positions, and the choice of one token. */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "kernels.h"
#include "lane_sums.h"
#include "number.h"
#include <string.h>

static es_lane_sums_t *sums_of(const es_unit_t *unit) {
  return unit->state;
}

/* ---- what the class token and the positions share: one learned vector ---- */

static size_t weights_of(const es_unit_t *unit) {
  return (size_t)unit->graph->parameters[unit->node->weight].count;
}

static es_code_t create(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  if (!unit->training) return ES_OK;
  unit->state = es_allocate_zero(1, sizeof(es_lane_sums_t));
  if (!unit->state) return es_out_of_memory(status, "model", "%s", unit->node->name);
  return es_lane_sums_create(unit->state, unit, weights_of(unit), status);
}

static void destroy(es_unit_t *unit) {
  if (unit->state) es_lane_sums_destroy(unit->state);
  es_free(unit->state);
  unit->state = NULL;
}

static es_unit_floats_t floats(const es_graph_t *graph, const es_node_t *node, ES_UNUSED int64_t samples, int lanes,
                               ES_UNUSED es_precision_t precision) {
  return es_lane_sums_forecast(graph->parameters[node->weight].count, lanes);
}

static size_t scratch_floats(const es_unit_t *unit) {
  return es_lane_sums_floats(sums_of(unit), unit->group);
}

static void set_scratch(es_unit_t *unit, float *memory) {
  es_lane_sums_place(unit->state, memory);
}

static void begin(es_unit_t *unit, const es_pass_t *pass) {
  if (pass->training) es_lane_sums_begin(unit->state);
}

static void lane_end(es_unit_t *unit, ES_UNUSED int lane) {
  es_lane_sums_end_lane(unit->state);
}

static void backward_end(es_unit_t *unit) {
  memcpy(es_unit_gradient(unit, unit->node->weight), es_lane_sums_total(sums_of(unit)),
         weights_of(unit) * sizeof(float));
}

/* sum += x, in double. */
ES_KERNEL
static void add_to(double *sum, const void *x, size_t n, es_precision_t type) {
  ES_FOR_PRECISION(type, for (size_t i = 0; i < n; i++) sum[i] += (double)es_get(x, i, precision));
}

/* ---- class token ---- */

static size_t token_bytes(const es_unit_t *unit) {
  return (size_t)unit->node->in.c * es_precision_bytes(unit->precision);
}

static void class_token_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const float *token = es_unit_parameter(unit, unit->node->weight);
  const size_t bytes = token_bytes(unit);
  for (int64_t i = 0; i < slice->count; i++) {
    char *out = es_storage_sample(&unit->out, slice, i);
    es_round(out, token, (size_t)unit->node->in.c, unit->precision);
    memcpy(out + bytes, es_storage_sample(&unit->in[0], slice, i), (size_t)unit->node->in.h * bytes);
  }
}

static void class_token_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t bytes = token_bytes(unit);
  for (int64_t i = 0; i < slice->count; i++) {
    const char *dy = es_storage_sample(&unit->out_gradient, slice, i);
    add_to(sums_of(unit)->lane, dy, (size_t)unit->node->in.c, unit->precision);
    if (unit->in_gradient[0].data)
      memcpy(es_storage_sample(&unit->in_gradient[0], slice, i), dy + bytes, (size_t)unit->node->in.h * bytes);
  }
}

const es_unit_class_t es_unit_class_token = {.floats = floats,
                                             .create = create,
                                             .destroy = destroy,
                                             .scratch_floats = scratch_floats,
                                             .set_scratch = set_scratch,
                                             .begin = begin,
                                             .forward = class_token_forward,
                                             .backward = class_token_backward,
                                             .lane_end = lane_end,
                                             .backward_end = backward_end};

/* ---- positions ---- */

ES_KERNEL
static void add_weights(void *y, const void *x, const float *weights, size_t n, es_precision_t type) {
  ES_FOR_PRECISION(type, for (size_t i = 0; i < n; i++) es_put(y, i, es_get(x, i, precision) + weights[i], precision));
}

static void position_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const float *weights = es_unit_parameter(unit, unit->node->weight);
  for (int64_t i = 0; i < slice->count; i++)
    add_weights(es_storage_sample(&unit->out, slice, i), es_storage_sample(&unit->in[0], slice, i), weights,
                (size_t)unit->out.size, unit->precision);
}

static void position_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t n = (size_t)unit->out.size;
  for (int64_t i = 0; i < slice->count; i++) {
    const void *dy = es_storage_sample(&unit->out_gradient, slice, i);
    add_to(sums_of(unit)->lane, dy, n, unit->precision);
    if (unit->in_gradient[0].data)
      memcpy(es_storage_sample(&unit->in_gradient[0], slice, i), dy, n * es_precision_bytes(unit->precision));
  }
}

const es_unit_class_t es_unit_position = {.floats = floats,
                                          .create = create,
                                          .destroy = destroy,
                                          .scratch_floats = scratch_floats,
                                          .set_scratch = set_scratch,
                                          .begin = begin,
                                          .forward = position_forward,
                                          .backward = position_backward,
                                          .lane_end = lane_end,
                                          .backward_end = backward_end};

/* ---- one token ---- */

static void pick_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t bytes = token_bytes(unit), at = (size_t)unit->node->first * bytes;
  for (int64_t i = 0; i < slice->count; i++) {
    const char *x = es_storage_sample(&unit->in[0], slice, i);
    memcpy(es_storage_sample(&unit->out, slice, i), x + at, bytes);
  }
}

static void pick_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t bytes = token_bytes(unit), at = (size_t)unit->node->first * bytes;
  for (int64_t i = 0; i < slice->count && unit->in_gradient[0].data; i++) {
    char *dx = es_storage_sample(&unit->in_gradient[0], slice, i);
    memset(dx, 0, (size_t)unit->node->in.h * bytes);
    memcpy(dx + at, es_storage_sample(&unit->out_gradient, slice, i), bytes);
  }
}

const es_unit_class_t es_unit_pick = {.forward = pick_forward, .backward = pick_backward};
