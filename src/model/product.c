/* Functions of one number, and products: of two maps of equal shape, or of a map and a vector of its channels. */
#include "eigenscope/memory.h"
#include "unit.h"
#include <string.h>

static size_t slice_size(const es_unit_t *unit, const es_slice_t *slice) {
  return (size_t)(slice->count * unit->out.size);
}

static void function_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  es_function_apply(es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice), slice_size(unit, slice),
                    unit->node->op, (float)unit->node->rate, unit->precision);
}

static void function_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  void *dx = es_storage_at(&unit->in_gradient[0], slice);
  if (dx)
    es_function_backward(dx, es_storage_at(&unit->out_gradient, slice), es_storage_at(&unit->in[0], slice),
                         slice_size(unit, slice), unit->node->op, (float)unit->node->rate, unit->precision);
}

const es_unit_class_t es_unit_function = {
    .reads_input = true, .forward = function_forward, .backward = function_backward};

/* The state is scratch for the gradient of a vector of channels: double sums, and two vectors of floats. */
static void destroy(es_unit_t *unit) {
  es_free(unit->state);
  unit->state = NULL;
}

static bool has_vector(const es_unit_t *unit) {
  return unit->in[1].size != unit->out.size;
}

static es_code_t create(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  const size_t channels = (size_t)unit->node->out.c;
  if (!unit->training || !has_vector(unit)) return ES_OK;
  unit->state = es_allocate(channels, sizeof(double) + 2 * sizeof(float));
  return unit->state ? ES_OK : es_out_of_memory(status, "model", "%s", unit->node->name);
}

static void forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const size_t channels = (size_t)unit->node->out.c, rows = (size_t)unit->out.size / channels;
  if (!has_vector(unit)) {
    es_multiply(es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice),
                es_storage_at(&unit->in[1], slice), slice_size(unit, slice), unit->precision);
    return;
  }
  for (int64_t i = 0; i < slice->count; i++)
    es_rows_multiply(es_storage_sample(&unit->out, slice, i), es_storage_sample(&unit->in[0], slice, i),
                     es_storage_sample(&unit->in[1], slice, i), rows, channels, unit->precision);
}

/* The gradient of the vector is a sum over all positions. */
static void backward_vector(es_unit_t *unit, const es_slice_t *slice, int64_t i) {
  const size_t channels = (size_t)unit->node->out.c, rows = (size_t)unit->out.size / channels;
  double *sums = unit->state;
  float *total = (void *)(sums + channels), *part = total + channels;
  memset(sums, 0, channels * sizeof *sums);
  es_rows_products(sums, part, es_storage_sample(&unit->out_gradient, slice, i),
                   es_storage_sample(&unit->in[0], slice, i), rows, channels, unit->precision);
  for (size_t c = 0; c < channels; c++) total[c] = (float)sums[c];
  es_round(es_storage_sample(&unit->in_gradient[1], slice, i), total, channels, unit->precision);
}

static void backward_map(es_unit_t *unit, const es_slice_t *slice, int64_t i) {
  const size_t channels = (size_t)unit->node->out.c, rows = (size_t)unit->out.size / channels;
  es_rows_multiply(es_storage_sample(&unit->in_gradient[0], slice, i), es_storage_sample(&unit->out_gradient, slice, i),
                   es_storage_sample(&unit->in[1], slice, i), rows, channels, unit->precision);
}

static void backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  for (int k = 0; k < 2; k++) {
    void *dx = es_storage_at(&unit->in_gradient[k], slice);
    if (!dx) continue;
    if (!has_vector(unit)) {
      es_multiply(dx, es_storage_at(&unit->out_gradient, slice), es_storage_at(&unit->in[1 - k], slice),
                  slice_size(unit, slice), unit->precision);
      continue;
    }
    for (int64_t i = 0; i < slice->count; i++) (k == 0 ? backward_map : backward_vector)(unit, slice, i);
  }
}

const es_unit_class_t es_unit_product = {
    .reads_input = true, .create = create, .destroy = destroy, .forward = forward, .backward = backward};
