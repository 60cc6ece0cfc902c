/* Batch norm over the whole batch (all lanes and ranks), with the ReLU and the max pooling that follow (Ioffe and
 * Szegedy, arXiv 1502.03167, algorithm 1; backward: section 3). Statistics are computed while each slice is in the
 * cache. oneDNN cannot do this slice by slice: its backward with given statistics omits their derivative. */
#include "eigenscope/memory.h"
#include "kernels.h"
#include "layout.h"
#include "number.h"
#include "unit.h"
#include <math.h>
#include <string.h>

/* All float vectors are patterns (kernels.h). */
typedef struct state {
  size_t channels, length;
  double *sums;    /* (lanes of this rank, 2 × channels) */
  double *scratch; /* 2 × length */
  double *inverse; /* channels: 1/√(variance + ε) of this batch */
  float *guess;    /* running mean before this batch: the shift of the moments */
  float *scale, *shift, *mean;
  float *a, *b, *c;  /* backward: dx = a·g + b·x + c */
  float *channel[3]; /* per-channel values before es_pattern_fill */
  /* With pooling, for each output of all stored samples: x of the winner, and the winner's index among the four. */
  void *picked;
  uint8_t *winner;
  float *pool_scratch;
  es_owned_t owned; /* owns the arrays above */
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  es_owned_free(&s->owned);
  es_free(s);
  unit->state = NULL;
}

static es_code_t create(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return es_out_of_memory(status, "model", "%s", unit->node->name);
  s->channels = (size_t)unit->node->in.c;
  s->length = es_pattern_length(s->channels);
  s->sums = es_owned_allocate_zero(&s->owned, (size_t)unit->group->lane_count * 2 * s->channels, sizeof *s->sums);
  s->scratch = es_owned_allocate_zero(&s->owned, 2 * s->length, sizeof *s->scratch);
  s->inverse = es_owned_allocate_zero(&s->owned, s->channels, sizeof *s->inverse);
  s->guess = es_owned_allocate_zero(&s->owned, 10 * s->length, sizeof *s->guess);
  if (unit->pools) {
    const size_t outputs = (size_t)unit->samples * (size_t)unit->out.size;
    s->picked = es_owned_allocate(&s->owned, outputs, es_precision_bytes(unit->precision));
    s->winner = es_owned_allocate(&s->owned, outputs, sizeof *s->winner);
    s->pool_scratch = es_owned_allocate(&s->owned, 2 * (size_t)unit->node->in.w, s->channels * sizeof *s->pool_scratch);
  }
  if (s->owned.failed) return es_out_of_memory(status, "model", "%s", unit->node->name);
  float **rows[] = {&s->scale, &s->shift,      &s->mean,       &s->a,         &s->b,
                    &s->c,     &s->channel[0], &s->channel[1], &s->channel[2]};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) *rows[i] = s->guess + (i + 1) * s->length;
  return ES_OK;
}

static size_t output_rows(const es_unit_t *unit, const es_slice_t *slice) {
  return (size_t)(slice->count * unit->out.size) / (size_t)unit->node->in.c;
}

static es_affine_t affine(const es_unit_t *unit) {
  const state_t *s = unit->state;
  return (es_affine_t){s->scale, s->shift, unit->activation};
}

/* With pooling: x of the winners of a slice's i-th sample. */
static void *picked(const es_unit_t *unit, const es_slice_t *slice, int64_t i) {
  const state_t *s = unit->state;
  return es_at(s->picked, (size_t)((slice->store + i) * unit->out.size), unit->precision);
}

/* Returns the values from which the output is computed element by element: the input, or with pooling the winners. */
static const void *source(const es_unit_t *unit, const es_slice_t *slice) {
  return unit->pools ? picked(unit, slice, 0) : es_storage_at(&unit->in[0], slice);
}

static void clear_sums(const es_unit_t *unit, state_t *s) {
  memset(s->sums, 0, (size_t)unit->group->lane_count * 2 * s->channels * sizeof *s->sums);
}

/* y = scale·x + shift from a mean and 1/√(variance + ε), per channel. */
static void set_affine(es_unit_t *unit, state_t *s, const float *mean, const double *inverse) {
  const float *gamma = es_unit_parameter(unit, unit->node->weight), *beta = es_unit_parameter(unit, unit->node->bias);
  for (size_t c = 0; c < s->channels; c++) {
    double scale = (double)gamma[c] * inverse[c];
    s->channel[0][c] = (float)scale;
    s->channel[1][c] = (float)((double)beta[c] - (double)mean[c] * scale);
  }
  es_pattern_fill(s->scale, s->channel[0], s->channels);
  es_pattern_fill(s->shift, s->channel[1], s->channels);
  es_pattern_fill(s->mean, mean, s->channels);
}

static void begin(es_unit_t *unit, const es_pass_t *pass) {
  state_t *s = unit->state;
  const float *running_mean = es_unit_buffer(unit, unit->node->mean);
  if (pass->training) {
    clear_sums(unit, s);
    es_pattern_fill(s->guess, running_mean, s->channels);
    return;
  }
  const float *running_variance = es_unit_buffer(unit, unit->node->variance);
  for (size_t c = 0; c < s->channels; c++) s->inverse[c] = 1.0 / sqrt((double)running_variance[c] + unit->node->rate);
  set_affine(unit, s, running_mean, s->inverse);
}

static void gather(es_unit_t *unit, const es_slice_t *slice) {
  state_t *s = unit->state;
  const size_t rows = (size_t)slice->count * (size_t)unit->node->in.h * (size_t)unit->node->in.w;
  es_rows_moments(s->sums + (size_t)slice->lane * 2 * s->channels, es_storage_at(&unit->in[0], slice), rows,
                  s->channels, s->guess, s->scratch, unit->precision);
}

static double sum_lanes(es_unit_t *unit, state_t *s, const es_pass_t *pass) {
  es_tree_sum_f64(unit->group, s->sums, 2 * s->channels);
  return (double)pass->n * unit->node->in.h * unit->node->in.w;
}

static void synchronise(es_unit_t *unit, const es_pass_t *pass) {
  state_t *s = unit->state;
  const double rows = sum_lanes(unit, s, pass);
  float *running_mean = es_unit_buffer(unit, unit->node->mean);
  float *running_variance = es_unit_buffer(unit, unit->node->variance);
  for (size_t c = 0; c < s->channels; c++) {
    double d = s->sums[c] / rows, mean = (double)s->guess[c] + d;
    double variance = s->sums[s->channels + c] / rows - d * d;
    if (variance < 0.0) variance = 0.0;
    s->inverse[c] = 1.0 / sqrt(variance + unit->node->rate);
    s->channel[2][c] = (float)mean;
    double unbiased = rows > 1.0 ? variance * rows / (rows - 1.0) : variance;
    running_mean[c] = (float)((1.0 - unit->node->momentum) * (double)running_mean[c] + unit->node->momentum * mean);
    running_variance[c] =
        (float)((1.0 - unit->node->momentum) * (double)running_variance[c] + unit->node->momentum * unbiased);
  }
  set_affine(unit, s, s->channel[2], s->inverse);
  clear_sums(unit, s); /* for backward */
}

static void renew(es_unit_t *unit, const es_slice_t *slice) {
  const es_affine_t f = affine(unit);
  es_rows_affine(es_storage_at(&unit->out, slice), source(unit, slice), output_rows(unit, slice),
                 ((const state_t *)unit->state)->channels, &f, unit->precision);
}

static void forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  if (!unit->pools) {
    renew(unit, slice);
    return;
  }
  const state_t *s = unit->state;
  const es_shape_t in = unit->node->in;
  const es_affine_t f = affine(unit);
  for (int64_t i = 0; i < slice->count; i++)
    es_maxpool2_forward(es_storage_sample(&unit->out, slice, i), picked(unit, slice, i),
                        s->winner + (slice->store + i) * unit->out.size, es_storage_sample(&unit->in[0], slice, i),
                        (size_t)in.h, (size_t)in.w, (size_t)in.c, &f, s->pool_scratch, unit->precision);
}

/* Pools values as they are; only in inference, where a and b are free. */
static void pool_alone(es_unit_t *unit, const es_slice_t *slice, const void *values) {
  const state_t *s = unit->state;
  const es_shape_t in = unit->node->in;
  const es_affine_t as_it_is = {s->a, s->b, ES_NO_ACTIVATION};
  for (size_t i = 0; i < s->length; i++) s->a[i] = 1.0f, s->b[i] = 0.0f;
  for (int64_t i = 0; i < slice->count; i++)
    es_maxpool2_forward(es_storage_sample(&unit->out, slice, i), picked(unit, slice, i),
                        s->winner + (slice->store + i) * unit->out.size,
                        es_at(values, (size_t)(i * es_shape_size(in)), unit->precision), (size_t)in.h, (size_t)in.w,
                        (size_t)in.c, &as_it_is, s->pool_scratch, unit->precision);
}

static void stage(es_unit_t *unit, const es_slice_t *slice, const es_node_t *node, void *values) {
  const state_t *s = unit->state;
  const size_t n = (size_t)(slice->count * es_shape_size(unit->node->in));
  void *to = node == unit->last ? es_storage_at(&unit->out, slice) : values;
  if (node == unit->node)
    es_rows_affine(to, es_storage_at(&unit->in[0], slice), n / s->channels, s->channels,
                   &(es_affine_t){s->scale, s->shift, ES_NO_ACTIVATION}, unit->precision);
  else if (node->op == ES_OP_MAXPOOL)
    pool_alone(unit, slice, values);
  else
    es_activate(to, values, n, unit->activation, unit->precision);
}

static void backward_gather(es_unit_t *unit, const es_slice_t *slice) {
  state_t *s = unit->state;
  const es_affine_t f = affine(unit);
  es_rows_backward_sums(s->sums + (size_t)slice->lane * 2 * s->channels, es_storage_at(&unit->out_gradient, slice),
                        source(unit, slice), output_rows(unit, slice), s->channels, &f, s->mean, s->scratch,
                        unit->precision);
}

static void backward_synchronise(es_unit_t *unit, const es_pass_t *pass) {
  state_t *s = unit->state;
  const double rows = sum_lanes(unit, s, pass);
  float *gamma_gradient = es_unit_gradient(unit, unit->node->weight);
  float *beta_gradient = es_unit_gradient(unit, unit->node->bias);
  const float *gamma = es_unit_parameter(unit, unit->node->weight);
  const bool first = unit->group->rank == 0; /* every rank has the total, but the sum over ranks must count it once */
  for (size_t c = 0; c < s->channels; c++) {
    double g = s->sums[c], gx = s->sums[s->channels + c], inverse = s->inverse[c];
    gamma_gradient[c] = first ? (float)(gx * inverse) : 0.0f;
    beta_gradient[c] = first ? (float)g : 0.0f;
    double a = (double)gamma[c] * inverse, b = -a * inverse * inverse * gx / rows;
    s->channel[0][c] = (float)a;
    s->channel[1][c] = (float)b;
    s->channel[2][c] = (float)(-a * g / rows - b * (double)s->mean[c]);
  }
  es_pattern_fill(s->a, s->channel[0], s->channels);
  es_pattern_fill(s->b, s->channel[1], s->channels);
  es_pattern_fill(s->c, s->channel[2], s->channels);
}

static void backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const es_affine_t f = affine(unit);
  const es_backward_t t = {s->a, s->b, s->c};
  if (!unit->in_gradient[0].data) return;
  if (!unit->pools) {
    es_rows_backward_apply(es_storage_at(&unit->in_gradient[0], slice), es_storage_at(&unit->out_gradient, slice),
                           es_storage_at(&unit->in[0], slice), output_rows(unit, slice), s->channels, &f, &t,
                           unit->precision);
    return;
  }
  const es_shape_t in = unit->node->in;
  for (int64_t i = 0; i < slice->count; i++)
    es_maxpool2_backward(es_storage_sample(&unit->in_gradient[0], slice, i),
                         es_storage_sample(&unit->out_gradient, slice, i),
                         s->winner + (slice->store + i) * unit->out.size, es_storage_sample(&unit->in[0], slice, i),
                         (size_t)in.h, (size_t)in.w, (size_t)in.c, &t, s->pool_scratch, unit->precision);
}

/* Bytes per sample with pooling: x of the winner, and the winner's index among the four. */
static int64_t kept_bytes(const es_step_t *step, es_precision_t precision) {
  return step->pools ? es_shape_size(step->shape) * (int64_t)(es_precision_bytes(precision) + sizeof(uint8_t)) : 0;
}

/* Sums of each channel, forward: first and second moments; backward: of the gradient, alone and times x. */
static int64_t sums(const es_node_t *node) {
  return 2 * (int64_t)node->in.c;
}

const es_unit_class_t es_unit_batchnorm = {.activates = true,
                                           .pools = true,
                                           .kept_bytes = kept_bytes,
                                           .sums = sums,
                                           .create = create,
                                           .destroy = destroy,
                                           .begin = begin,
                                           .gather = gather,
                                           .synchronise = synchronise,
                                           .forward = forward,
                                           .stage = stage,
                                           .renew = renew,
                                           .backward_gather = backward_gather,
                                           .backward_synchronise = backward_synchronise,
                                           .backward = backward};
