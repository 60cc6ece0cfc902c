/* Layer norm (Ba et al., arXiv 1607.06450) of each position over its channels, and group norm (Wu and He, arXiv
 * 1803.08494) of each sample over all positions and the channels of a group. Statistics belong to one sample, so there
 * is no barrier. */
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "kernels.h"
#include "lane_sums.h"
#include "lanes.h"
#include "layout.h"
#include "number.h"
#include <math.h>
#include <string.h>

typedef struct state {
  size_t channels;
  es_lane_sums_t sums; /* gradients of bias, then of weight */
  /* Layer norm: 2 × channels, float sums of a few rows. */
  float *partial;
  /* Group norm. Float vectors are patterns (kernels.h). */
  float *scale, *shift, *mean, *zero; /* `zero` stays zero */
  float *a, *b, *c;                   /* dx = a·g + b·x + c */
  float *channel[3];                  /* values per channel before es_pattern_fill */
  double *moments;                    /* 2 × channels */
  double *scratch;                    /* 2 patterns */
  double *statistics;                 /* mean and 1/√(variance + ε) of each group of all stored samples */
  es_owned_t owned;                   /* owns the arrays above, except those of `sums` */
} state_t;

static void destroy(es_unit_t *unit) {
  state_t *s = unit->state;
  if (!s) return;
  es_lane_sums_destroy(&s->sums);
  es_owned_free(&s->owned);
  es_free(s);
  unit->state = NULL;
}

/* Creates the part of the state that both norms have. */
static es_code_t create_state(es_unit_t *unit, es_status_t *status) {
  state_t *s = unit->state = es_allocate_zero(1, sizeof *s);
  if (!s) return es_out_of_memory(status, "model", "%s", unit->node->name);
  s->channels = (size_t)unit->node->in.c;
  return unit->training ? es_lane_sums_create(&s->sums, unit, 2 * s->channels, status) : ES_OK;
}

static size_t scratch_floats(const es_unit_t *unit) {
  return es_lane_sums_floats(&((const state_t *)unit->state)->sums, unit->group);
}

static void set_scratch(es_unit_t *unit, float *memory) {
  es_lane_sums_place(&((state_t *)unit->state)->sums, memory);
}

static void begin(es_unit_t *unit, const es_pass_t *pass) {
  if (pass->training) es_lane_sums_begin(&((state_t *)unit->state)->sums);
}

static void lane_end(es_unit_t *unit, ES_UNUSED int lane) {
  es_lane_sums_end_lane(&((state_t *)unit->state)->sums);
}

static void backward_end(es_unit_t *unit) {
  const state_t *s = unit->state;
  const float *total = es_lane_sums_total(&s->sums);
  memcpy(es_unit_gradient(unit, unit->node->bias), total, s->channels * sizeof *total);
  memcpy(es_unit_gradient(unit, unit->node->weight), total + s->channels, s->channels * sizeof *total);
}

/* ---- layer norm ---- */

/* Gradients of at most ROWS rows are added in float. */
enum { ROWS = 64 };

/* The mean is guess + shift, in two parts because one float would lose digits where the mean is large. `inverse`:
 * 1/√(variance + ε). */
typedef struct moments {
  float guess, shift, inverse;
} moments_t;

static ES_INLINE float normal_of(float x, const moments_t *m) {
  return ((x - m->guess) - m->shift) * m->inverse;
}

static ES_INLINE moments_t moments_of(const void *x, size_t n, double epsilon, es_precision_t precision) {
  float sum[ES_LANES] = {0}, square[ES_LANES] = {0};
  ES_FOR_LANES(n, sum[l] += es_get(x, j, precision))
  const float guess = es_lanes_total(sum) / (float)n;
  for (size_t l = 0; l < ES_LANES; l++) sum[l] = 0.0f;
  ES_FOR_LANES(n, const float d = es_get(x, j, precision) - guess; sum[l] += d; square[l] += d * d)
  const double shift = (double)es_lanes_total(sum) / (double)n;
  const double variance = (double)es_lanes_total(square) / (double)n - shift * shift;
  return (moments_t){guess, (float)shift, (float)(1.0 / sqrt((variance > 0.0 ? variance : 0.0) + epsilon))};
}

/* A layer norm as the loops see it. */
typedef struct layer_norm {
  size_t channels;
  double epsilon;
  const float *weight, *bias;
} layer_norm_t;

static layer_norm_t layer_norm_of(const es_unit_t *unit) {
  return (layer_norm_t){(size_t)unit->node->in.c, unit->node->rate, es_unit_parameter(unit, unit->node->weight),
                        es_unit_parameter(unit, unit->node->bias)};
}

static size_t rows_of(const es_unit_t *unit, const es_slice_t *slice) {
  return (size_t)(slice->count * unit->out.size) / (size_t)unit->node->in.c;
}

static ES_INLINE void normalise(void *y, const void *x, size_t rows, const layer_norm_t *f, es_precision_t precision) {
  for (size_t i = 0; i < rows; i++) {
    const void *from = es_at(x, i * f->channels, precision);
    void *to = es_at(y, i * f->channels, precision);
    const moments_t m = moments_of(from, f->channels, f->epsilon, precision);
    _Pragma("GCC ivdep") for (size_t j = 0; j < f->channels; j++)
        es_put(to, j, normal_of(es_get(from, j, precision), &m) * f->weight[j] + f->bias[j], precision);
  }
}

ES_KERNEL
static void normalise_rows(void *y, const void *x, size_t rows, const layer_norm_t *f, es_precision_t type) {
  ES_FOR_PRECISION(type, normalise(y, x, rows, f, precision));
}

static void layer_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const layer_norm_t f = layer_norm_of(unit);
  normalise_rows(es_storage_at(&unit->out, slice), es_storage_at(&unit->in[0], slice), rows_of(unit, slice), &f,
                 unit->precision);
}

/* One row: adds to the gradients of bias and weight, and writes dx unless it is NULL. With x̂ = (x − mean)·inverse and
 * g = weight·dy, dx = inverse·(g − mean of g − x̂·mean of g·x̂). */
static ES_INLINE void backward_row(void *dx, const void *dy, const void *x, const layer_norm_t *f, float *partial,
                                   es_precision_t precision) {
  const size_t n = f->channels;
  const moments_t m = moments_of(x, n, f->epsilon, precision);
  float *bias = partial, *weight = partial + n, sum[ES_LANES] = {0}, product[ES_LANES] = {0};
  _Pragma("GCC ivdep") for (size_t j = 0; j < n; j++) {
    const float d = es_get(dy, j, precision);
    bias[j] += d;
    weight[j] += d * normal_of(es_get(x, j, precision), &m);
  }
  if (!dx) return;
  ES_FOR_LANES(n, const float g = es_get(dy, j, precision) * f->weight[j]; sum[l] += g;
               product[l] += g * normal_of(es_get(x, j, precision), &m))
  const float mean = es_lanes_total(sum) / (float)n, slope = es_lanes_total(product) / (float)n;
  _Pragma("GCC ivdep") for (size_t j = 0; j < n; j++) {
    const float g = es_get(dy, j, precision) * f->weight[j];
    es_put(dx, j, m.inverse * (g - mean - normal_of(es_get(x, j, precision), &m) * slope), precision);
  }
}

static ES_INLINE void backward_block(void *dx, const void *dy, const void *x, size_t rows, const layer_norm_t *f,
                                     float *partial, double *sums, es_precision_t precision) {
  for (size_t i = 0; i < rows; i++) {
    const size_t at = i * f->channels;
    backward_row(dx ? es_at(dx, at, precision) : NULL, es_at(dy, at, precision), es_at(x, at, precision), f, partial,
                 precision);
  }
  for (size_t j = 0; j < 2 * f->channels; j++) {
    sums[j] += (double)partial[j];
    partial[j] = 0.0f;
  }
}

ES_KERNEL
static void backward_rows(void *dx, const void *dy, const void *x, size_t rows, const layer_norm_t *f, float *partial,
                          double *sums, es_precision_t type) {
  ES_FOR_PRECISION(type, backward_block(dx, dy, x, rows, f, partial, sums, precision));
}

static void layer_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  state_t *s = unit->state;
  const layer_norm_t f = layer_norm_of(unit);
  const size_t rows = rows_of(unit, slice);
  void *dx = es_storage_at(&unit->in_gradient[0], slice);
  const void *dy = es_storage_at(&unit->out_gradient, slice), *x = es_storage_at(&unit->in[0], slice);
  for (size_t i = 0; i < rows; i += ROWS) {
    const size_t at = i * s->channels, n = rows - i < ROWS ? rows - i : ROWS;
    backward_rows(dx ? es_at(dx, at, unit->precision) : NULL, es_at(dy, at, unit->precision),
                  es_at(x, at, unit->precision), n, &f, s->partial, s->sums.lane, unit->precision);
  }
}

static es_code_t create_layer(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  ES_TRY(create_state(unit, status));
  state_t *s = unit->state;
  s->partial = es_owned_allocate_zero(&s->owned, 2 * s->channels, sizeof *s->partial);
  return s->partial ? ES_OK : es_out_of_memory(status, "model", "%s", unit->node->name);
}

static es_unit_floats_t layer_floats(ES_UNUSED const es_graph_t *graph, const es_node_t *node,
                                     ES_UNUSED int64_t samples, int lanes, ES_UNUSED es_precision_t precision) {
  es_unit_floats_t out = es_lane_sums_forecast(2 * (int64_t)node->in.c, lanes);
  out.packed += 2 * (int64_t)node->in.c;
  return out;
}

const es_unit_class_t es_unit_layernorm = {.reads_input = true,
                                           .floats = layer_floats,
                                           .create = create_layer,
                                           .destroy = destroy,
                                           .scratch_floats = scratch_floats,
                                           .set_scratch = set_scratch,
                                           .begin = begin,
                                           .forward = layer_forward,
                                           .backward = layer_backward,
                                           .lane_end = lane_end,
                                           .backward_end = backward_end};

/* ---- group norm: with the statistics of one sample, the arithmetic of batch norm ---- */

enum { PATTERNS = 7 };

static es_code_t create_group(es_unit_t *unit, ES_UNUSED uint32_t sizes, es_status_t *status) {
  ES_TRY(create_state(unit, status));
  state_t *s = unit->state;
  const size_t length = es_pattern_length(s->channels);
  float *patterns = es_owned_allocate_zero(&s->owned, PATTERNS * length, sizeof *patterns);
  float *channels = es_owned_allocate_zero(&s->owned, 3 * s->channels, sizeof *channels);
  s->moments = es_owned_allocate_zero(&s->owned, 2 * s->channels, sizeof *s->moments);
  s->scratch = es_owned_allocate_zero(&s->owned, 2 * length, sizeof *s->scratch);
  s->statistics =
      es_owned_allocate_zero(&s->owned, (size_t)unit->samples * (size_t)unit->node->groups, 2 * sizeof *s->statistics);
  if (s->owned.failed) return es_out_of_memory(status, "model", "%s", unit->node->name);
  float **rows[PATTERNS] = {&s->zero, &s->scale, &s->shift, &s->mean, &s->a, &s->b, &s->c};
  for (size_t i = 0; i < PATTERNS; i++) *rows[i] = patterns + i * length;
  for (size_t i = 0; i < 3; i++) s->channel[i] = channels + i * s->channels;
  return ES_OK;
}

static int64_t group_kept_bytes(const es_step_t *step, ES_UNUSED es_precision_t precision) {
  return 2 * (int64_t)sizeof(double) * step->node->groups;
}

static es_unit_floats_t group_floats(ES_UNUSED const es_graph_t *graph, const es_node_t *node,
                                     ES_UNUSED int64_t samples, int lanes, ES_UNUSED es_precision_t precision) {
  es_unit_floats_t out = es_lane_sums_forecast(2 * (int64_t)node->in.c, lanes);
  out.packed += (PATTERNS + 4) * (int64_t)es_pattern_length((size_t)node->in.c) + 7 * (int64_t)node->in.c;
  return out;
}

/* Mean and 1/√(variance + ε) of each group, for the i-th sample of a slice. */
static double *statistics_at(const es_unit_t *unit, const es_slice_t *slice, int64_t i) {
  return ((const state_t *)unit->state)->statistics + 2 * (slice->store + i) * unit->node->groups;
}

/* Sum over the channels of one group. */
static double group_sum(const double *values, size_t group, size_t channels) {
  double sum = 0.0;
  for (size_t c = group * channels; c < (group + 1) * channels; c++) sum += values[c];
  return sum;
}

/* Adds up x and x² around the means that `statistics` has, and corrects the means and sets the inverses. */
static void measure(const es_unit_t *unit, const void *x, double *statistics) {
  const state_t *s = unit->state;
  const size_t rows = (size_t)unit->node->in.h * (size_t)unit->node->in.w, groups = (size_t)unit->node->groups;
  const size_t channels = s->channels / groups;
  const double n = (double)(rows * channels);
  for (size_t c = 0; c < s->channels; c++) s->channel[0][c] = (float)statistics[2 * (c / channels)];
  es_pattern_fill(s->mean, s->channel[0], s->channels);
  memset(s->moments, 0, 2 * s->channels * sizeof *s->moments);
  es_rows_moments(s->moments, x, rows, s->channels, s->mean, s->scratch, unit->precision);
  for (size_t g = 0; g < groups; g++) {
    const double d = group_sum(s->moments, g, channels) / n;
    const double variance = group_sum(s->moments + s->channels, g, channels) / n - d * d;
    statistics[2 * g] = (double)s->channel[0][g * channels] + d;
    statistics[2 * g + 1] = 1.0 / sqrt((variance > 0.0 ? variance : 0.0) + unit->node->rate);
  }
}

/* Sets scale, shift and mean for a sample with these statistics. */
static void set_affine(const es_unit_t *unit, const double *statistics) {
  const state_t *s = unit->state;
  const size_t channels = s->channels / (size_t)unit->node->groups;
  const float *weight = es_unit_parameter(unit, unit->node->weight), *bias = es_unit_parameter(unit, unit->node->bias);
  for (size_t c = 0; c < s->channels; c++) {
    const double *of = statistics + 2 * (c / channels), scale = (double)weight[c] * of[1];
    s->channel[0][c] = (float)scale;
    s->channel[1][c] = (float)((double)bias[c] - of[0] * scale);
    s->channel[2][c] = (float)of[0];
  }
  es_pattern_fill(s->scale, s->channel[0], s->channels);
  es_pattern_fill(s->shift, s->channel[1], s->channels);
  es_pattern_fill(s->mean, s->channel[2], s->channels);
}

static void group_forward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const size_t rows = (size_t)unit->node->in.h * (size_t)unit->node->in.w;
  for (int64_t i = 0; i < slice->count; i++) {
    const void *x = es_storage_sample(&unit->in[0], slice, i);
    double *statistics = statistics_at(unit, slice, i);
    memset(statistics, 0, 2 * (size_t)unit->node->groups * sizeof *statistics);
    measure(unit, x, statistics); /* around 0 */
    measure(unit, x, statistics);
    set_affine(unit, statistics);
    es_rows_affine(es_storage_sample(&unit->out, slice, i), x, rows, s->channels,
                   &(es_affine_t){s->scale, s->shift, ES_NO_ACTIVATION}, unit->precision);
  }
}

/* Adds to the gradients of bias and weight, and sets a, b and c, from the sums of g and g·(x − mean) over positions. */
static void set_backward(const es_unit_t *unit, const double *statistics) {
  const state_t *s = unit->state;
  const size_t groups = (size_t)unit->node->groups, channels = s->channels / groups;
  const double n = (double)channels * unit->node->in.h * unit->node->in.w;
  const float *weight = es_unit_parameter(unit, unit->node->weight);
  for (size_t g = 0; g < groups; g++) {
    const double mean = statistics[2 * g], inverse = statistics[2 * g + 1];
    double sum = 0.0, product = 0.0;
    for (size_t c = g * channels; c < (g + 1) * channels; c++) {
      s->sums.lane[c] += s->moments[c];
      s->sums.lane[s->channels + c] += s->moments[s->channels + c] * inverse;
      sum += (double)weight[c] * s->moments[c];
      product += (double)weight[c] * s->moments[s->channels + c];
    }
    const double b = -inverse * inverse * inverse * product / n;
    for (size_t c = g * channels; c < (g + 1) * channels; c++) {
      s->channel[0][c] = (float)((double)weight[c] * inverse);
      s->channel[1][c] = (float)b;
      s->channel[2][c] = (float)(-inverse * sum / n - b * mean);
    }
  }
  es_pattern_fill(s->a, s->channel[0], s->channels);
  es_pattern_fill(s->b, s->channel[1], s->channels);
  es_pattern_fill(s->c, s->channel[2], s->channels);
}

static void group_backward(es_unit_t *unit, ES_UNUSED const es_pass_t *pass, const es_slice_t *slice) {
  const state_t *s = unit->state;
  const size_t rows = (size_t)unit->node->in.h * (size_t)unit->node->in.w;
  const es_affine_t f = {s->scale, s->shift, ES_NO_ACTIVATION};
  for (int64_t i = 0; i < slice->count; i++) {
    const void *x = es_storage_sample(&unit->in[0], slice, i), *dy = es_storage_sample(&unit->out_gradient, slice, i);
    const double *statistics = statistics_at(unit, slice, i);
    set_affine(unit, statistics);
    memset(s->moments, 0, 2 * s->channels * sizeof *s->moments);
    es_rows_backward_sums(s->moments, dy, x, rows, s->channels, &f, s->mean, s->scratch, unit->precision);
    set_backward(unit, statistics);
    if (unit->in_gradient[0].data)
      es_rows_backward_apply(es_storage_sample(&unit->in_gradient[0], slice, i), dy, x, rows, s->channels, &f,
                             &(es_backward_t){s->a, s->b, s->c}, unit->precision);
  }
}

const es_unit_class_t es_unit_groupnorm = {.reads_input = true,
                                           .kept_bytes = group_kept_bytes,
                                           .floats = group_floats,
                                           .create = create_group,
                                           .destroy = destroy,
                                           .scratch_floats = scratch_floats,
                                           .set_scratch = set_scratch,
                                           .begin = begin,
                                           .forward = group_forward,
                                           .backward = group_backward,
                                           .lane_end = lane_end,
                                           .backward_end = backward_end};
