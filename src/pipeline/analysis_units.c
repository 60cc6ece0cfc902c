/* Units (measure.units): share of units of each measured layer that are dead or dormant; point.h has the formulas.
 *
 * Sums are double and are added by lane in the fixed tree, so the bits do not depend on the number of ranks. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

static const char STAGE[] = "units";

/* Numbers of a layer's units, for the lanes of this rank. */
typedef struct es_units_layer {
  int shown;       /* captured layer whose outputs are those of the units; −1: those of the measured layer itself */
  bool active;     /* false: no activation follows the layer */
  int32_t units;   /* 0 if not active */
  double *sums;    /* owned; (lanes, units) Σ |h| */
  double *largest; /* owned; (units) */
  double rows;     /* of this rank */
} es_units_layer_t;

typedef struct es_units_analysis {
  es_context_t *context;
  es_point_source_t *source;
  int n;
  es_units_layer_t *layers; /* (n) */
  es_owned_t owned;
} es_units_analysis_t;

/* ---- opening ---- */

static void close_analysis(void *state) {
  es_units_analysis_t *a = state;
  for (int i = 0; a->layers && i < a->n; i++) {
    es_free(a->layers[i].sums);
    es_free(a->layers[i].largest);
  }
  es_owned_free(&a->owned);
  es_free(a);
}

/* es_tree_sum_f64 needs room for one lane even if this rank has none. */
static size_t lanes_of(const es_units_analysis_t *a) {
  return a->context->group.lane_count > 0 ? (size_t)a->context->group.lane_count : 1;
}

/* Finds the outputs of the units of a layer. */
static void find_outputs(const es_units_analysis_t *a, int layer, es_units_layer_t *out) {
  const es_graph_t *g = a->source->network;
  *out = (es_units_layer_t){.shown = -1, .active = g == NULL};
  if (g == NULL) {
    out->units = a->source->class->passes->shape(a->source, layer).c;
    return;
  }
  const char *name = es_result_layer(a->context->result, layer)->name;
  for (int32_t i = 0; i < g->n_layers; i++) {
    const int32_t node = g->layers[i];
    if (g->nodes[node].kind == ES_LAYER_KINDS || strcmp(g->nodes[node].name, name) != 0) continue;
    const int32_t activation = es_graph_activation(g, node);
    if (activation < 0) return;
    out->active = true;
    out->shown = g->nodes[activation].layer;
    out->units = g->nodes[activation].out.c;
    return;
  }
}

static void reset(es_units_analysis_t *a) {
  for (int i = 0; i < a->n; i++) {
    es_units_layer_t *layer = &a->layers[i];
    layer->rows = 0.0;
    if (!layer->active) continue;
    memset(layer->sums, 0, lanes_of(a) * (size_t)layer->units * sizeof *layer->sums);
    for (int32_t j = 0; j < layer->units; j++) layer->largest[j] = -INFINITY;
  }
}

static void take(void *context, const es_ride_t *ride);

static es_code_t open_analysis(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  if (!es_result_has(c->result, ES_GROUP_UNITS)) return ES_OK;
  const int n = es_context_layers(c);
  es_units_analysis_t *a = *state = es_allocate_zero(1, sizeof *a);
  if (!a) return es_out_of_memory(status, STAGE, "the units of %d layers", n);
  *a = (es_units_analysis_t){.context = c, .source = source, .n = n};
  a->layers = es_owned_allocate_zero(&a->owned, (size_t)n, sizeof *a->layers);
  bool good = a->layers != NULL;
  for (int i = 0; good && i < n; i++) {
    es_units_layer_t *layer = &a->layers[i];
    find_outputs(a, i, layer);
    layer->sums = es_allocate(lanes_of(a), (size_t)layer->units * sizeof *layer->sums);
    layer->largest = es_allocate((size_t)layer->units, sizeof *layer->largest);
    good = layer->sums && layer->largest;
  }
  if (!good) return es_out_of_memory(status, STAGE, "the units of %d layers", n);
  es_source_add_rider(source, (es_rider_t){take, a});
  return ES_OK;
}

/* ---- the pass over the rows ---- */

ES_KERNEL
static void add_floats(double *restrict sums, double *restrict largest, const float *restrict rows, int64_t n,
                       int64_t units) {
  for (int64_t i = 0; i < n; i++, rows += units) {
    for (int64_t j = 0; j < units; j++) {
      const double h = (double)rows[j];
      sums[j] += fabs(h);
      largest[j] = h > largest[j] ? h : largest[j];
    }
  }
}

ES_KERNEL
static void add_doubles(double *restrict sums, double *restrict largest, const double *restrict rows, int64_t n,
                        int64_t units) {
  for (int64_t i = 0; i < n; i++, rows += units) {
    for (int64_t j = 0; j < units; j++) {
      sums[j] += fabs(rows[j]);
      largest[j] = rows[j] > largest[j] ? rows[j] : largest[j];
    }
  }
}

static void take(void *context, const es_ride_t *ride) {
  es_units_analysis_t *a = context;
  const int64_t rows = ride->n * ride->shape.h * ride->shape.w;
  for (int i = 0; i < a->n; i++) {
    es_units_layer_t *layer = &a->layers[i];
    if (!layer->active || (ride->shown >= 0 ? layer->shown != ride->shown : i != ride->layer)) continue;
    double *sums = layer->sums + (size_t)ride->lane * (size_t)layer->units;
    layer->rows += (double)rows;
    if (ride->is_double)
      add_doubles(sums, layer->largest, ride->out, rows, layer->units);
    else
      add_floats(sums, layer->largest, ride->out, rows, layer->units);
  }
}

static es_code_t begin(void *state, ES_UNUSED int32_t epoch, ES_UNUSED es_status_t *status) {
  reset(state);
  return ES_OK;
}

/* ---- splits ---- */

/* Shares of dead and dormant units. Collective. */
static void measure_layer(es_units_analysis_t *a, es_units_layer_t *layer, double *dead, double *dormant) {
  const es_group_t *group = &a->context->group;
  double rows = layer->rows, mean = 0.0, n_dead = 0.0, n_dormant = 0.0;
  es_tree_sum_f64(group, layer->sums, (size_t)layer->units);
  for (int32_t j = 0; j < layer->units; j++) layer->largest[j] = layer->largest[j] > 0.0 ? 1.0 : 0.0;
  if (group->size > 1) {
    es_group_allreduce_f64(group, layer->largest, (size_t)layer->units);
    es_group_allreduce_f64(group, &rows, 1);
  }
  for (int32_t j = 0; j < layer->units; j++) mean += layer->sums[j] / layer->units;
  for (int32_t j = 0; j < layer->units; j++) {
    n_dead += layer->largest[j] > 0.0 ? 0.0 : 1.0;
    n_dormant += layer->sums[j] <= a->context->point->measure.dormant * mean ? 1.0 : 0.0;
  }
  *dead = *dormant = NAN;
  if (!(rows > 0.0) || !isfinite(mean)) return;
  *dead = n_dead / layer->units;
  *dormant = n_dormant / layer->units;
}

static es_code_t measure_split(void *state, es_split_t split, int32_t epoch, ES_UNUSED es_status_t *status) {
  es_units_analysis_t *a = state;
  const double start = es_clock();
  for (int i = 0; i < a->n; i++) {
    double dead = NAN, dormant = NAN;
    if (a->layers[i].active) measure_layer(a, &a->layers[i], &dead, &dormant);
    if (!es_context_is_leader(a->context)) continue;
    *es_result_f64(a->context->result, ES_FIELD_DEAD_UNITS, split, epoch, i, 0) = dead;
    *es_result_f64(a->context->result, ES_FIELD_DORMANT_UNITS, split, epoch, i, 0) = dormant;
  }
  reset(a);
  es_timing_charge(&a->context->timing, ES_STAGE_REDUCE, start);
  return ES_OK;
}

/* ---- forecasts ---- */

static int64_t bytes(const es_forecast_t *f, ES_UNUSED int ranks) {
  int64_t sum = 0;
  for (int i = 0; f->point->measure.units == ES_ON && i < f->n_layers; i++)
    sum += 8 * (int64_t)f->layers[i].rows.width * (f->point->train.lanes + 1);
  return sum;
}

extern const es_analysis_t es_analysis_units;
const es_analysis_t es_analysis_units = {
    .bytes = bytes, .open = open_analysis, .begin = begin, .split = measure_split, .close = close_analysis};
