/* Sums, dropout, and those ReLU and ReLU6 that follow neither a batch norm nor a sum. */
#include "eigenscope/random.h"
#include "kernels.h"
#include "number.h"
#include "unit.h"
#include <string.h>

static size_t slice_bytes(const es_unit_t *unit, const es_slice_t *slice) {
  return (size_t)(slice->count * unit->out.size) * es_precision_bytes(unit->precision);
}

static size_t slice_size(const es_unit_t *unit, const es_slice_t *slice) {
  return (size_t)(slice->count * unit->out.size);
}

static void activation_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  es_activate(es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice), slice_size(unit, slice),
              unit->activation, unit->precision);
}

static void activation_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  void *dx = es_storage_at(&unit->in_gradient[0], slice);
  if (dx)
    es_activate_backward(dx, es_storage_at(&unit->out_gradient, slice), es_storage_at(&unit->out, slice),
                         slice_size(unit, slice), unit->activation, unit->precision);
}

const es_unit_class_t es_unit_activation = {.forward = activation_forward, .backward = activation_backward};

static void sum_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  es_add_activate(es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice),
                  es_storage_at(&unit->in[1], slice), slice_size(unit, slice), unit->activation, unit->precision);
}

/* Both inputs get the sum's gradient: masked in place, then copied, except to an input that shares its buffer. */
static void sum_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  void *g = es_storage_at(&unit->out_gradient, slice);
  es_activate_backward(g, g, es_storage_at(&unit->out, slice), slice_size(unit, slice), unit->activation,
                       unit->precision);
  for (int i = 0; i < 2; i++) {
    void *dx = es_storage_at(&unit->in_gradient[i], slice);
    if (dx && dx != g) memcpy(dx, g, slice_bytes(unit, slice));
  }
}

const es_unit_class_t es_unit_sum = {.activates = true, .adds = true, .forward = sum_forward, .backward = sum_backward};

/* out = in / (1 − rate) if a uniform random number is at least `rate`, else 0. The random numbers are a function of
 * (seed, node, step, sample, element), so backward draws the same numbers again instead of storing a mask. */
static void drop(const es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice, const void *in, void *out) {
  const int64_t size = unit->out.size, blocks = (size + 3) / 4;
  const float rate = (float)unit->node->rate, scale = (float)(1.0 / (1.0 - unit->node->rate));
  const uint64_t major = pass->step | (uint64_t)unit->index << 40;
  for (int64_t i = 0; i < slice->count; i++) {
    for (int64_t block = 0; block < blocks; block++) {
      uint32_t words[4];
      es_random_block(pass->seed, ES_RANDOM_DROPOUT, major, (uint64_t)((slice->first + i) * blocks + block), words);
      for (int64_t j = block * 4; j < size && j < block * 4 + 4; j++) {
        const size_t at = (size_t)(i * size + j);
        const float kept = es_get(in, at, unit->precision) * scale;
        es_put(out, at, es_random_unit(words[j & 3]) < rate ? 0.0f : kept, unit->precision);
      }
    }
  }
}

static void dropout_forward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  const void *in = es_storage_at(&unit->in[0], slice);
  void *out = es_storage_at(&unit->out, slice);
  if (pass->training && unit->node->rate > 0.0)
    drop(unit, pass, slice, in, out);
  else
    memcpy(out, in, slice_bytes(unit, slice));
}

static void dropout_backward(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice) {
  void *dx = es_storage_at(&unit->in_gradient[0], slice);
  const void *dy = es_storage_at(&unit->out_gradient, slice);
  if (!dx) return;
  if (unit->node->rate > 0.0)
    drop(unit, pass, slice, dy, dx);
  else
    memcpy(dx, dy, slice_bytes(unit, slice));
}

const es_unit_class_t es_unit_dropout = {.forward = dropout_forward, .backward = dropout_backward};
