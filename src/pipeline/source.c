#include "source.h"
#include "eigenscope/memory.h"

const es_source_class_t *es_source_class(es_source_t source) {
  static const es_source_class_t *const classes[] = {[ES_SOURCE_TRAIN] = &es_source_train,
                                                     [ES_SOURCE_CHECKPOINT] = &es_source_checkpoint,
                                                     [ES_SOURCE_ACTIVATIONS] = &es_source_activations};
  return classes[source];
}

void es_visit_samples_destroy(es_visit_samples_t *samples) {
  es_free(samples->lane_start);
  es_free(samples->position);
  es_free(samples->label);
  *samples = (es_visit_samples_t){0};
}
