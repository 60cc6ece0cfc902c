/* Max pooling of 2 × 2 positions, stride 2, without padding, alone or after batch norm and its activation. These loops
 * are our own because oneDNN's kernels go position by position and leave most of a vector empty in narrow layers (4
 * channels: 10 times slower). oneDNN computes all other pooling (onednn_pool.c). */
#include "eigenscope/memory.h"
#include "kernels.h"
#include "layout.h"
#include "unit.h"
#include <string.h>

typedef struct state {
  uint8_t *winner; /* index of the winner among the four, for each output of all stored samples */
  float *picked;   /* of one sample; never read */
  float *one, *zero, *scratch;
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  es_free(s->winner);
  es_free(s->picked);
  es_free(s);
  unit->state = NULL;
}

static es_code_t create(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  const es_shape_t in = unit->node->in;
  const size_t out = (size_t)unit->out.size, length = es_pattern_length((size_t)in.c);
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (s) s->winner = es_allocate((size_t)unit->samples, out * sizeof *s->winner);
  if (s) s->picked = es_allocate_zero(out + 2 * length + 2 * (size_t)in.w * (size_t)in.c, sizeof *s->picked);
  if (!s || !s->winner || !s->picked) return es_out_of_memory(status, "model", "%s", unit->node->name);
  s->zero = s->picked + out;
  s->one = s->zero + length;
  s->scratch = s->one + length;
  for (size_t i = 0; i < length; i++) s->one[i] = 1.0f;
  return ES_OK;
}

static uint8_t *winners(const es_unit_t *unit, const es_slice_t *slice) {
  return ((const state_t *)unit->state)->winner + slice->store * unit->out.size;
}

static void forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const es_shape_t in = unit->node->in;
  const state_t *s = unit->state;
  const es_affine_t as_it_is = {s->one, s->zero, ES_NO_ACTIVATION};
  for (int64_t i = 0; i < slice->count; i++)
    es_maxpool2_forward(es_storage_sample(&unit->out, slice, i), s->picked, winners(unit, slice) + i * unit->out.size,
                        es_storage_sample(&unit->in[0], slice, i), (size_t)in.h, (size_t)in.w, (size_t)in.c, &as_it_is,
                        s->scratch, unit->precision);
}

static void backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const es_shape_t in = unit->node->in;
  const state_t *s = unit->state;
  if (!unit->in_gradient[0].data) return;
  for (int64_t i = 0; i < slice->count; i++)
    es_maxpool2_spread(es_storage_sample(&unit->in_gradient[0], slice, i),
                       es_storage_sample(&unit->out_gradient, slice, i), winners(unit, slice) + i * unit->out.size,
                       (size_t)in.h, (size_t)in.w, (size_t)in.c, s->scratch, unit->precision);
}

static int64_t kept_bytes(const es_step_t *step, ES_UNUSED es_precision_t precision) {
  return es_shape_size(step->shape) * (int64_t)sizeof(uint8_t);
}

const es_unit_class_t es_unit_maxpool2 = {
    .kept_bytes = kept_bytes, .create = create, .destroy = destroy, .forward = forward, .backward = backward};
