/* Layer scale (Touvron et al., arXiv 2103.17239) and stochastic depth (Huang et al., arXiv 1603.09382). */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "kernels.h"
#include "lane_sums.h"
#include "number.h"
#include <string.h>

/* ---- layer scale: y = weight·x ---- */

/* All float vectors are patterns (kernels.h). */
typedef struct state {
  size_t channels;
  float *scale, *zero;
  double *scratch; /* 2 patterns */
  /* Sums Σ g and Σ g·x of es_rows_backward_sums; the gradient of the scale is Σ g·x, and Σ g is not used. */
  es_lane_sums_t sums;
  es_owned_t owned; /* owns the arrays above, except those of `sums` */
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  es_lane_sums_destroy(&s->sums);
  es_owned_free(&s->owned);
  es_free(s);
  unit->state = NULL;
}

static es_code_t create(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return es_out_of_memory(status, "model", "%s", unit->node->name);
  s->channels = (size_t)unit->node->in.c;
  const size_t length = es_pattern_length(s->channels);
  s->scale = es_owned_allocate_zero(&s->owned, 2 * length, sizeof *s->scale);
  s->scratch = es_owned_allocate_zero(&s->owned, 2 * length, sizeof *s->scratch);
  if (s->owned.failed) return es_out_of_memory(status, "model", "%s", unit->node->name);
  s->zero = s->scale + length;
  return unit->training ? es_lane_sums_create(&s->sums, unit, 2 * s->channels, status) : ES_OK;
}

static es_unit_floats_t floats(ES_UNUSED const es_graph_t *graph, const es_node_t *node, ES_UNUSED int64_t samples,
                               int lanes, ES_UNUSED es_precision_t precision) {
  es_unit_floats_t out = es_lane_sums_forecast(2 * (int64_t)node->in.c, lanes);
  out.packed += 6 * (int64_t)es_pattern_length((size_t)node->in.c);
  return out;
}

static size_t scratch_floats(const es_unit_t *unit) {
  return es_lane_sums_floats(&((const state_t *)unit->state)->sums, unit->group);
}

static void set_scratch(es_unit_t *unit, float *memory) {
  es_lane_sums_place(&((state_t *)unit->state)->sums, memory);
}

static void begin(es_unit_t *unit, const es_pass_t *pass) {
  state_t *s = unit->state;
  es_pattern_fill(s->scale, es_unit_parameter(unit, unit->node->weight), s->channels);
  if (pass->training) es_lane_sums_begin(&s->sums);
}

static void multiply(const es_unit_t *unit, void *y, const void *x, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const size_t rows = (size_t)(slice->count * unit->out.size) / s->channels;
  es_rows_affine(y, x, rows, s->channels, &(es_affine_t){s->scale, s->zero, ES_NO_ACTIVATION}, unit->precision);
}

static void scale_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  multiply(unit, es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice), slice);
}

static void scale_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  state_t *s = unit->state;
  const size_t rows = (size_t)(slice->count * unit->out.size) / s->channels;
  const void *dy = es_storage_at(&unit->out_gradient, slice);
  es_rows_backward_sums(s->sums.lane, dy, es_storage_at(&unit->in[0], slice), rows, s->channels,
                        &(es_affine_t){s->scale, s->zero, ES_NO_ACTIVATION}, s->zero, s->scratch, unit->precision);
  if (unit->in_gradient[0].data) multiply(unit, es_storage_at(&unit->in_gradient[0], slice), dy, slice);
}

static void lane_end(es_unit_t *unit, ES_UNUSED int lane) {
  es_lane_sums_end_lane(&((state_t *)unit->state)->sums);
}

static void backward_end(es_unit_t *unit) {
  const state_t *s = unit->state;
  memcpy(es_unit_gradient(unit, unit->node->weight), es_lane_sums_total(&s->sums) + s->channels,
         s->channels * sizeof(float));
}

const es_unit_class_t es_unit_scale = {.reads_input = true,
                                       .floats = floats,
                                       .create = create,
                                       .destroy = destroy,
                                       .scratch_floats = scratch_floats,
                                       .set_scratch = set_scratch,
                                       .begin = begin,
                                       .forward = scale_forward,
                                       .backward = scale_backward,
                                       .lane_end = lane_end,
                                       .backward_end = backward_end};

/* ---- stochastic depth ---- */

ES_KERNEL
static void multiply_by(void *y, const void *x, size_t n, float factor, es_precision_t type) {
  ES_FOR_PRECISION(type, for (size_t i = 0; i < n; i++) es_put(y, i, es_get(x, i, precision) * factor, precision));
}

/* y = x/(1 − rate) for a sample whose random number is at least `rate`, else 0. The number is a function of (seed,
 * node, step, sample), so backward draws it again. */
static void drop(const es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice, const es_storage_t *from,
                 const es_storage_t *to) {
  const float rate = (float)unit->node->rate, scale = (float)(1.0 / (1.0 - unit->node->rate));
  const size_t n = (size_t)unit->out.size, bytes = n * es_precision_bytes(unit->precision);
  for (int64_t i = 0; i < slice->count; i++) {
    uint32_t words[4];
    void *y = es_storage_sample(to, slice, i);
    es_random_block(pass->seed, ES_RANDOM_DROPOUT, pass->step | (uint64_t)unit->index << 40,
                    (uint64_t)(slice->first + i), words);
    if (es_random_unit(words[0]) < rate)
      memset(y, 0, bytes);
    else
      multiply_by(y, es_storage_sample(from, slice, i), n, scale, unit->precision);
  }
}

static void drop_path_forward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  if (pass->training && unit->node->rate > 0.0)
    drop(unit, pass, slice, &unit->in[0], &unit->out);
  else
    memcpy(es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice),
           (size_t)(slice->count * unit->out.size) * es_precision_bytes(unit->precision));
}

static void drop_path_backward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  if (!unit->in_gradient[0].data) return;
  if (unit->node->rate > 0.0)
    drop(unit, pass, slice, &unit->out_gradient, &unit->in_gradient[0]);
  else
    memcpy(es_storage_at(&unit->in_gradient[0], slice), es_storage_at(&unit->out_gradient, slice),
           (size_t)(slice->count * unit->out.size) * es_precision_bytes(unit->precision));
}

const es_unit_class_t es_unit_drop_path = {.forward = drop_path_forward, .backward = drop_path_backward};
