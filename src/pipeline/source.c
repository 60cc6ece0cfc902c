#include "source.h"

const es_source_class_t *es_source_class(es_source_t source) {
  static const es_source_class_t *const classes[] = {[ES_SOURCE_TRAIN] = &es_source_train,
                                                     [ES_SOURCE_CHECKPOINT] = &es_source_checkpoint,
                                                     [ES_SOURCE_ACTIVATIONS] = &es_source_activations};
  return classes[source];
}

bool es_visit_samples_allocate(es_visit_samples_t *out, int64_t n, int64_t n_local, int lane_count) {
  *out = (es_visit_samples_t){.n = n};
  out->lane_start = es_owned_allocate(&out->owned, (size_t)lane_count + 1, sizeof *out->lane_start);
  out->position = es_owned_allocate(&out->owned, (size_t)n_local, sizeof *out->position);
  out->label = es_owned_allocate(&out->owned, (size_t)n, sizeof *out->label);
  return !out->owned.failed;
}
