#include "analysis.h"
#include "eigenscope/memory.h"
#include <string.h>

/* The analyses, in the order in which they receive each layer, split and epoch. Stability comes before probes because
 * stability may end training, and probes are fitted after the last epoch. Similarity comes after probes because its
 * rider passes the outputs on to theirs. */
extern const es_analysis_t es_analysis_projection, es_analysis_stability, es_analysis_weights, es_analysis_classes,
    es_analysis_units, es_analysis_gradients, es_analysis_eigenspace, es_analysis_probe, es_analysis_similarity;
static const es_analysis_t *const table[] = {&es_analysis_projection, &es_analysis_stability, &es_analysis_weights,
                                             &es_analysis_classes,    &es_analysis_units,     &es_analysis_gradients,
                                             &es_analysis_eigenspace, &es_analysis_probe,     &es_analysis_similarity};
#define ROWS ((int)(sizeof table / sizeof *table))
_Static_assert(ROWS <= (int)ES_ANALYSES_MAX, "es_analyses_t has no room for the states of all analyses");

es_code_t es_analyses_open(es_analyses_t *a, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  *a = (es_analyses_t){.context = c};
  for (int i = 0; i < ROWS && status->code == ES_OK; i++) table[i]->open(&a->states[i], c, source, status);
  return es_agree(c->group.comm, status);
}

es_code_t es_analyses_begin(es_analyses_t *a, int32_t epoch, es_status_t *status) {
  for (int i = 0; i < ROWS; i++)
    if (a->states[i] && table[i]->begin) ES_TRY(table[i]->begin(a->states[i], epoch, status));
  return ES_OK;
}

int es_analyses_want_vectors(const es_analyses_t *a, es_split_t split, int32_t epoch, int layer) {
  int wanted = ES_VECTORS_NOBODY;
  for (int i = 0; i < ROWS; i++) {
    if (!a->states[i] || !table[i]->wants_vectors) continue;
    const int wants = table[i]->wants_vectors(a->states[i], split, epoch, layer);
    if (wants == ES_VECTORS_NOBODY || wants == wanted) continue;
    wanted = wanted == ES_VECTORS_NOBODY ? wants : ES_VECTORS_EVERYBODY;
  }
  return wanted;
}

es_code_t es_analyses_reduced(es_analyses_t *a, const es_merged_t *merged, es_status_t *status) {
  for (int i = 0; i < ROWS; i++)
    if (a->states[i] && table[i]->reduced) ES_TRY(table[i]->reduced(a->states[i], merged, status));
  return ES_OK;
}

es_code_t es_analyses_layer(es_analyses_t *a, const es_solved_t *solved, es_status_t *status) {
  bool any = false;
  for (int i = 0; i < ROWS; i++) {
    if (!a->states[i] || !table[i]->layer) continue;
    any = true;
    if (status->code == ES_OK) table[i]->layer(a->states[i], solved, status);
  }
  return any ? es_agree(a->context->group.comm, status) : ES_OK;
}

es_code_t es_analyses_split(es_analyses_t *a, es_split_t split, int32_t epoch, es_status_t *status) {
  for (int i = 0; i < ROWS; i++)
    if (a->states[i] && table[i]->split) ES_TRY(table[i]->split(a->states[i], split, epoch, status));
  return ES_OK;
}

es_code_t es_analyses_epoch(es_analyses_t *a, int32_t epoch, es_status_t *status) {
  for (int i = 0; i < ROWS; i++)
    if (a->states[i] && table[i]->epoch) ES_TRY(table[i]->epoch(a->states[i], epoch, status));
  return ES_OK;
}

es_code_t es_analyses_finish(es_analyses_t *a, bool complete, es_status_t *status) {
  for (int i = 0; i < ROWS; i++)
    if (a->states[i] && table[i]->finish) ES_TRY(table[i]->finish(a->states[i], complete, status));
  return ES_OK;
}

es_code_t es_analyses_save(es_analyses_t *a, es_tensor_view_t **tensors, int *n, es_status_t *status) {
  const es_tensor_view_t *views[ROWS];
  int counts[ROWS] = {0}, at = 0;
  *n = 0;
  for (int i = 0; i < ROWS; i++) {
    if (a->states[i] && table[i]->save) counts[i] = table[i]->save(a->states[i], &views[i]);
    *n += counts[i];
  }
  *tensors = es_allocate((size_t)*n, sizeof **tensors);
  if (!*tensors) return es_out_of_memory(status, "checkpoint", "%d tensors of a state", *n);
  for (int i = 0; i < ROWS; at += counts[i++])
    if (counts[i] > 0) memcpy(*tensors + at, views[i], (size_t)counts[i] * sizeof **tensors);
  return ES_OK;
}

es_code_t es_analyses_restore(void *analyses, const es_safetensors_t *file, es_status_t *status) {
  es_analyses_t *a = analyses;
  for (int i = 0; i < ROWS; i++)
    if (a->states[i] && table[i]->restore) ES_TRY(table[i]->restore(a->states[i], file, status));
  return ES_OK;
}

es_code_t es_analyses_resume(es_analyses_t *a, es_status_t *status) {
  for (int i = 0; i < ROWS; i++)
    if (a->states[i] && table[i]->resume) ES_TRY(table[i]->resume(a->states[i], status));
  return ES_OK;
}

void es_analyses_close(es_analyses_t *a) {
  for (int i = 0; i < ROWS; i++)
    if (a->states[i]) table[i]->close(a->states[i]);
}

int64_t es_analyses_bytes(const es_forecast_t *forecast, int ranks) {
  int64_t bytes = 0;
  for (int i = 0; i < ROWS; i++) {
    const int64_t more = table[i]->bytes ? table[i]->bytes(forecast, ranks) : 0;
    if (more < 0) return -1;
    bytes += more;
  }
  return bytes;
}

double es_analyses_cost(const es_forecast_t *forecast) {
  double cost = 0;
  for (int i = 0; i < ROWS; i++)
    if (table[i]->cost) cost += table[i]->cost(forecast);
  return cost;
}
