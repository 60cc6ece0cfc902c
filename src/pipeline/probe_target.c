#include "probe_target.h"
#include <stdio.h>
#include <string.h>

int es_probe_targets(es_probe_target_t out[ES_PROBE_TARGETS_MAX], es_context_t *c, es_point_source_t *source) {
  int n = 0;
  out[n++] = (es_probe_target_t){c, source, ES_PROBE_OWN};
  for (int i = 0; i < source->n_others; i++) out[n++] = (es_probe_target_t){c, source->others[i], i};
  return n;
}

const char *es_probe_target_tensor(const es_probe_target_t *target, int layer, char out[ES_TENSOR_NAME_MAX]) {
  const char *name = es_result_layer(target->context->result, layer)->name;
  if (target->dataset == ES_PROBE_OWN)
    snprintf(out, ES_TENSOR_NAME_MAX, "probe.%s", name);
  else
    snprintf(out, ES_TENSOR_NAME_MAX, "probe_dataset.%d.%s", target->dataset, name);
  return out;
}

/* The variable of a number: of probes on the dataset of the point, and on others. */
typedef struct pair {
  es_field_t own, other;
} pair_t;
static const pair_t ACCURACY = {ES_FIELD_PROBE_ACCURACY, ES_FIELD_PROBE_DATASET_ACCURACY},
                    OBJECTIVE = {ES_FIELD_PROBE_OBJECTIVE, ES_FIELD_PROBE_DATASET_OBJECTIVE},
                    GRADIENT_NORM = {ES_FIELD_PROBE_GRADIENT_NORM, ES_FIELD_PROBE_DATASET_GRADIENT_NORM},
                    ITERATIONS = {ES_FIELD_PROBE_ITERATIONS, ES_FIELD_PROBE_DATASET_ITERATIONS},
                    CONVERGED = {ES_FIELD_PROBE_CONVERGED, ES_FIELD_PROBE_DATASET_CONVERGED},
                    STRENGTH = {ES_FIELD_PROBE_L2, ES_FIELD_PROBE_DATASET_L2};

/* Address of a number of a layer. */
static void *of_layer(const es_probe_target_t *t, const pair_t *pair, int64_t at, int layer) {
  const int64_t own[ES_RANK_MAX] = {at, layer}, other[ES_RANK_MAX] = {t->dataset, at, layer};
  const bool is_own = t->dataset == ES_PROBE_OWN;
  return es_result_at(t->context->result, is_own ? pair->own : pair->other, is_own ? own : other);
}

static double *accuracy_of(const es_probe_target_t *t, es_split_t split, int64_t at, int layer) {
  es_result_t *r = t->context->result;
  return t->dataset == ES_PROBE_OWN ? es_result_f64(r, ACCURACY.own, split, at, layer, 0)
                                    : es_result_f64(r, ACCURACY.other, t->dataset, split, at, layer);
}

uint8_t es_probe_target_converged(const es_probe_target_t *t, int64_t at, int layer) {
  return *(const uint8_t *)of_layer(t, &CONVERGED, at, layer);
}

int32_t es_probe_target_iterations(const es_probe_target_t *t, int64_t at, int layer) {
  return *(const int32_t *)of_layer(t, &ITERATIONS, at, layer);
}

void es_probe_target_store_fit(const es_probe_target_t *t, int64_t at, int layer, const es_probe_result_t *fit) {
  *accuracy_of(t, ES_TRAIN, at, layer) = fit->accuracy;
  *(double *)of_layer(t, &OBJECTIVE, at, layer) = fit->objective;
  *(double *)of_layer(t, &GRADIENT_NORM, at, layer) = fit->gradient_norm;
  *(int32_t *)of_layer(t, &ITERATIONS, at, layer) = fit->iterations > 0 ? fit->iterations : 0;
  *(uint8_t *)of_layer(t, &CONVERGED, at, layer) = fit->converged;
}

void es_probe_target_store_path(const es_probe_target_t *t, int64_t at, int layer, const es_probe_path_t *path) {
  const es_context_t *c = t->context;
  *(double *)of_layer(t, &STRENGTH, at, layer) = path->l2;
  for (int i = 0; t->dataset == ES_PROBE_OWN && i < c->point->probe.n_path; i++) {
    const int64_t cell[ES_RANK_MAX] = {i, at, layer};
    *es_result_f64(c->result, ES_FIELD_PROBE_PATH_ACCURACY, i, at, layer, 0) = path->accuracy[i];
    *(uint8_t *)es_result_at(c->result, ES_FIELD_PROBE_PATH_CONVERGED, cell) = path->converged[i];
  }
}

void es_probe_target_store_counts(const es_probe_target_t *t, int64_t at, int layer, const int64_t *confusion) {
  es_result_t *r = t->context->result;
  const int32_t classes = t->source->classes;
  const int64_t first[ES_RANK_MAX] = {at, layer};
  *accuracy_of(t, ES_EVAL, at, layer) = es_probe_accuracy(confusion, classes);
  if (t->dataset != ES_PROBE_OWN) return;
  memcpy(es_result_at(r, ES_FIELD_PROBE_CONFUSION, first), confusion,
         (size_t)classes * (size_t)classes * sizeof *confusion);
  es_probe_recall(es_result_at(r, ES_FIELD_PROBE_RECALL, first), confusion, classes);
}
