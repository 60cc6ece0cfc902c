#include "source.h"

const es_source_class_t *es_source_class(es_source_t source) {
  static const es_source_class_t *const classes[] = {[ES_SOURCE_TRAIN] = &es_source_train,
                                                     [ES_SOURCE_CHECKPOINT] = &es_source_checkpoint,
                                                     [ES_SOURCE_ACTIVATIONS] = &es_source_activations,
                                                     [ES_SOURCE_MOMENTS] = &es_source_moments};
  return classes[source];
}
