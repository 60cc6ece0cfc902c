/* Projection (measure.projection): accuracy of the network while layer outputs are projected onto their leading
 * eigenspaces, or onto as many random directions. It shows how much of a layer's output the rest of the network needs.
 * The eigenspaces come from the last epoch, of the train split if it is measured, else of the eval split. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

/* All fields are equal on all ranks. */
typedef struct es_projection_analysis {
  es_context_t *context;
  es_point_source_t *source;
  es_projector_t *projector;
  double *means;    /* means of all layers, layer after layer */
  int32_t *k;       /* (layers, deltas); −1 if the layer is not projected */
  bool ready;       /* true after the last layer of an epoch */
  es_owned_t owned; /* means and k */
} es_projection_analysis_t;

enum { ALL = -1 };

static void close_analysis(void *state) {
  es_projection_analysis_t *a = state;
  es_projector_destroy(a->projector);
  es_owned_free(&a->owned);
  es_free(a);
}

static es_code_t open_analysis(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  const int layers = es_context_layers(c);
  size_t total = 0;
  if (!c->point->measure.projection || !source->class->passes->evaluate) return ES_OK;
  es_projection_analysis_t *a = *state = es_allocate_zero(1, sizeof *a);
  int32_t *widths = es_allocate((size_t)layers, sizeof *widths);
  for (int i = 0; widths && i < layers; i++) total += (size_t)(widths[i] = es_context_width(c, i));
  if (a && widths) {
    a->context = c;
    a->source = source;
    a->means = es_owned_allocate_zero(&a->owned, total, sizeof *a->means);
    a->k = es_owned_allocate_zero(&a->owned, (size_t)(layers * c->point->measure.n_deltas), sizeof *a->k);
  }
  if (!a || !widths || a->owned.failed)
    es_out_of_memory(status, "pipeline", "projections");
  else
    es_projector_create(&a->projector, widths, layers, status);
  es_free(widths);
  return status->code;
}

/* ---- vectors ---- */

static int wants_vectors(const void *state, es_split_t split, int32_t epoch, ES_UNUSED int layer) {
  const es_context_t *c = ((const es_projection_analysis_t *)state)->context;
  const bool may_be_last = epoch == c->last || c->point->train.stop_when_stable.patience > 0;
  return split == (c->point->measure.splits[ES_TRAIN] ? ES_TRAIN : ES_EVAL) && may_be_last ? ES_VECTORS_EVERYBODY
                                                                                           : ES_VECTORS_NOBODY;
}

static double *mean_of(const es_projection_analysis_t *a, int layer) {
  double *mean = a->means;
  for (int i = 0; i < layer; i++) mean += es_context_width(a->context, i);
  return mean;
}

/* Number of vectors for the layer's largest delta. */
static int32_t most_vectors(const es_projection_analysis_t *a, int layer) {
  const int deltas = a->context->point->measure.n_deltas;
  int32_t most = -1;
  for (int d = 0; d < deltas; d++) most = a->k[layer * deltas + d] > most ? a->k[layer * deltas + d] : most;
  return most;
}

static es_code_t receive_layer(void *state, const es_solved_t *s, es_status_t *status) {
  es_projection_analysis_t *a = state;
  const int deltas = a->context->point->measure.n_deltas;
  if (wants_vectors(a, s->split, s->epoch, s->layer) == ES_VECTORS_NOBODY) return ES_OK;
  memcpy(a->k + s->layer * deltas, s->k, (size_t)deltas * sizeof *a->k);
  a->ready = s->layer == es_context_layers(a->context) - 1;
  const int32_t most = most_vectors(a, s->layer);
  if (most < 0) return ES_OK;
  memcpy(mean_of(a, s->layer), s->reduced->mean, (size_t)es_context_width(a->context, s->layer) * sizeof(double));
  return es_projector_set(a->projector, s->layer, s->problem->vectors.rows, most, s->reduced->mean, status);
}

static es_code_t choose_random_vectors(es_projection_analysis_t *a, es_status_t *status) {
  const es_context_t *c = a->context;
  for (int layer = 0; layer < es_context_layers(c) && status->code == ES_OK; layer++) {
    const int32_t most = most_vectors(a, layer);
    if (es_context_must_stop(c)) es_fail(status, ES_STOPPED, "pipeline", "stopped");
    if (most >= 0 && status->code == ES_OK)
      es_projector_set_random(a->projector, layer, c->point->seed, most, mean_of(a, layer), status);
  }
  return es_agree(c->group.comm, status);
}

/* ---- passes ---- */

static void project(void *context, int layer, float *rows, int64_t n) {
  es_projector_apply(((es_projection_analysis_t *)context)->projector, layer, rows, n);
}

/* Selects one layer or ALL for projection; returns false if none of them can be projected. */
static bool choose(const es_projection_analysis_t *a, int which, int delta) {
  bool any = false;
  for (int layer = 0; layer < es_context_layers(a->context); layer++) {
    const int32_t k = a->k[layer * a->context->point->measure.n_deltas + delta];
    const bool chosen = k >= 0 && (which == ALL || which == layer);
    es_projector_choose(a->projector, layer, chosen ? k : ES_PROJECT_NOTHING);
    any = any || chosen;
  }
  return any;
}

/* True if the choice for a delta is that for the delta before, as often with many deltas. */
static bool same_choice(const es_projection_analysis_t *a, int which, int delta) {
  for (int layer = 0; delta > 0 && layer < es_context_layers(a->context); layer++) {
    const int32_t *k = a->k + layer * a->context->point->measure.n_deltas + delta;
    if ((which == ALL || which == layer) && k[0] != k[-1]) return false;
  }
  return delta > 0;
}

static es_code_t evaluate_all(es_projection_analysis_t *a, es_projection_t onto, es_status_t *status) {
  const es_context_t *c = a->context;
  const es_layer_editor_t editor = {project, a};
  for (int which = ALL; which < es_context_layers(c); which++) {
    for (int delta = 0; delta < c->point->measure.n_deltas; delta++) {
      double *accuracy = es_result_f64(c->result, ES_FIELD_PROJECTED_ACCURACY, onto, which + 1, delta, 0);
      if (same_choice(a, which, delta))
        *accuracy = *es_result_f64(c->result, ES_FIELD_PROJECTED_ACCURACY, onto, which + 1, delta - 1, 0);
      else if (choose(a, which, delta))
        ES_TRY(a->source->class->passes->evaluate(a->source, c->last, &editor, accuracy, status));
    }
  }
  return ES_OK;
}

static es_code_t finish(void *state, bool complete, es_status_t *status) {
  es_projection_analysis_t *a = state;
  const double start = es_clock();
  if (!complete || !a->ready) return ES_OK;
  es_code_t code = evaluate_all(a, ES_ONTO_EIGENSPACE, status);
  if (code == ES_OK) code = choose_random_vectors(a, status);
  if (code == ES_OK) code = evaluate_all(a, ES_ONTO_RANDOM, status);
  es_timing_charge(&a->context->timing, ES_STAGE_EVALUATE, start);
  return code;
}

/* ---- forecasts ---- */

static int64_t bytes(const es_forecast_t *f, ES_UNUSED int ranks) {
  if (!f->point->measure.projection) return 0;
  int32_t *widths = es_allocate((size_t)f->n_layers, sizeof *widths);
  if (!widths) return -1;
  for (int i = 0; i < f->n_layers; i++) widths[i] = f->layers[i].rows.width;
  const int64_t sum = es_projector_bytes(widths, f->n_layers, ES_EXPECTED_SATURATION);
  es_free(widths);
  return sum;
}

/* At most one evaluation per delta, for each layer and for all layers together, onto eigenvectors and onto random
 * directions. Each layer is projected in two of these evaluations, by two products with about half as many vectors as
 * its width. */
static double cost(const es_forecast_t *f) {
  const double passes = f->point->measure.projection ? 2.0 * f->point->measure.n_deltas : 0.0;
  return passes * (double)f->samples[ES_EVAL] * ((f->n_layers + 1) * es_forecast_pass(f) + 2 * 2 * f->covariance);
}

extern const es_analysis_t es_analysis_projection;
const es_analysis_t es_analysis_projection = {.bytes = bytes,
                                              .cost = cost,
                                              .open = open_analysis,
                                              .wants_vectors = wants_vectors,
                                              .layer = receive_layer,
                                              .finish = finish,
                                              .close = close_analysis};
