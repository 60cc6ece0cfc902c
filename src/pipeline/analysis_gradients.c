/* Gradients (measure.gradients): norms of the gradients of the weights of each measured layer over the training steps
 * of each measured epoch; point.h has the formulas.
 *
 * Each layer has one rank, which adds in the order of the elements and steps: all ranks have the same gradients. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/train.h"
#include <math.h>
#include <string.h>

typedef struct es_gradients_analysis {
  es_context_t *context;
  es_point_source_t *source;
  int n;
  const es_tensor_t **weights; /* (n) or NULL */
  double *sums;                /* (n, 2) Σ ‖g‖², Σ ‖g‖²/‖w‖² */
  double steps;
  es_owned_t owned;
} es_gradients_analysis_t;

static void close_analysis(void *state) {
  es_gradients_analysis_t *a = state;
  es_owned_free(&a->owned);
  es_free(a);
}

ES_KERNEL
static double sum_of_squares(const float *restrict x, int64_t n) {
  enum { SUMS = 8 };
  double sums[SUMS] = {0.0}, sum = 0.0;
  int64_t i = 0;
  for (; i + SUMS <= n; i += SUMS)
    for (int s = 0; s < SUMS; s++) sums[s] += (double)x[i + s] * (double)x[i + s];
  for (; i < n; i++) sum += (double)x[i] * (double)x[i];
  for (int s = 0; s < SUMS; s++) sum += sums[s];
  return sum;
}

/* After the backward pass of a step. Not collective. */
static void add_step(void *context) {
  es_gradients_analysis_t *a = context;
  es_model_t *model = es_trainer_model(a->source->runner);
  const es_group_t *group = &a->context->group;
  a->steps += 1.0;
  for (int i = group->rank; i < a->n; i += group->size) {
    if (!a->weights[i]) continue;
    const double g = sum_of_squares(es_model_gradients(model) + a->weights[i]->offset, a->weights[i]->count);
    const double w = sum_of_squares(es_model_parameters(model) + a->weights[i]->offset, a->weights[i]->count);
    a->sums[2 * i] += g;
    a->sums[2 * i + 1] += g / w;
  }
}

static es_code_t open_analysis(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  if (!es_result_has(c->result, ES_GROUP_GRADIENTS)) return ES_OK;
  const int n = es_context_layers(c);
  const es_graph_t *g = source->network;
  es_gradients_analysis_t *a = *state = es_allocate_zero(1, sizeof *a);
  if (!a) return es_out_of_memory(status, "pipeline", "the gradients of %d layers", n);
  *a = (es_gradients_analysis_t){.context = c, .source = source, .n = n};
  a->weights = es_owned_allocate_zero(&a->owned, (size_t)n, sizeof *a->weights);
  a->sums = es_owned_allocate_zero(&a->owned, 2 * (size_t)n, sizeof *a->sums);
  if (a->owned.failed) return es_out_of_memory(status, "pipeline", "the gradients of %d layers", n);
  for (int i = 0; i < n; i++) {
    for (int32_t k = 0; k < g->n_nodes; k++) {
      if (g->nodes[k].weight < 0 || strcmp(g->nodes[k].name, es_result_layer(c->result, i)->name) != 0) continue;
      a->weights[i] = &g->parameters[g->nodes[k].weight];
    }
  }
  return ES_OK;
}

static es_code_t begin(void *state, int32_t epoch, ES_UNUSED es_status_t *status) {
  es_gradients_analysis_t *a = state;
  const es_context_t *c = a->context;
  const bool measured = es_context_is_measured(c, ES_TRAIN, epoch) || es_context_is_measured(c, ES_EVAL, epoch);
  memset(a->sums, 0, 2 * (size_t)a->n * sizeof *a->sums);
  a->steps = 0.0;
  a->source->after_backward = measured && epoch > 0 ? add_step : NULL;
  a->source->after_backward_context = a;
  return ES_OK;
}

static es_code_t measure_epoch(void *state, int32_t epoch, ES_UNUSED es_status_t *status) {
  es_gradients_analysis_t *a = state;
  const es_context_t *c = a->context;
  if (!(a->steps > 0.0)) return ES_OK; /* also after a resume: the state has the numbers */
  /* Each number is added to zeros of the other ranks, which is exact. */
  if (c->group.size > 1) es_group_allreduce_f64(&c->group, a->sums, 2 * (size_t)a->n);
  for (int i = 0; es_context_is_leader(c) && i < a->n; i++) {
    if (!a->weights[i]) continue;
    *es_result_f64(c->result, ES_FIELD_GRADIENT_NORM, epoch, i, 0, 0) = sqrt(a->sums[2 * i] / a->steps);
    *es_result_f64(c->result, ES_FIELD_GRADIENT_RATIO, epoch, i, 0, 0) = sqrt(a->sums[2 * i + 1] / a->steps);
  }
  a->steps = 0.0;
  return ES_OK;
}

extern const es_analysis_t es_analysis_gradients;
const es_analysis_t es_analysis_gradients = {
    .open = open_analysis, .begin = begin, .epoch = measure_epoch, .close = close_analysis};
