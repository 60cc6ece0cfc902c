/* Functions that all sources share. */
#include "eigenscope/epochs.h"
#include "source.h"

es_code_t es_source_create_result(const es_point_source_t *source, const es_layer_info_t *layers, int n_layers,
                                  int32_t classes, es_status_t *status) {
  es_context_t *c = source->context;
  const es_point_t *point = c->point;
  const int32_t n_epochs = es_point_epochs(point);
  int32_t epochs[ES_EPOCHS_MAX], *probes = es_allocate((size_t)n_epochs, sizeof *probes);
  if (!probes) return es_out_of_memory(status, "pipeline", "the result");
  const bool listed = point->source != ES_SOURCE_TRAIN; /* else epochs count from 0 */
  for (int32_t i = 0; listed && i < n_epochs; i++) epochs[i] = es_point_epoch_number(point, i);
  const es_result_shape_t shape = {.point = point,
                                   .layers = layers,
                                   .n_layers = n_layers,
                                   .epochs = listed ? epochs : NULL,
                                   .n_epochs = n_epochs,
                                   .n_classes = classes,
                                   .probe_epochs = probes,
                                   .n_probe_epochs = es_point_probe_epochs(point, probes),
                                   .eigenspace = point->measure.eigenspace != ES_EIGENSPACE_NO,
                                   .eigenvectors = point->measure.eigenspace == ES_EIGENSPACE_STORE,
                                   .projection = source->class->passes->evaluate && point->measure.projection == ES_ON,
                                   .steps = source->steps,
                                   .n_steps = source->n_steps,
                                   .steps_of_epoch = source->steps_of_epoch,
                                   .weights = source->network != NULL && point->measure.weights == ES_ON,
                                   .classes = (classes > 0 || source->knows_classes) && point->measure.classes == ES_ON,
                                   .units = point->measure.units == ES_ON,
                                   .gradients = point->source == ES_SOURCE_TRAIN && point->measure.gradients == ES_ON};
  es_result_create(&c->result, &shape, status);
  es_free(probes);
  return status->code;
}

bool es_visit_samples_allocate(es_visit_samples_t *out, int64_t n, int64_t n_local, int lane_count) {
  *out = (es_visit_samples_t){.n = n};
  out->lane_start = es_owned_allocate(&out->owned, (size_t)lane_count + 1, sizeof *out->lane_start);
  out->position = es_owned_allocate(&out->owned, (size_t)n_local, sizeof *out->position);
  out->label = es_owned_allocate(&out->owned, (size_t)n, sizeof *out->label);
  return !out->owned.failed;
}
