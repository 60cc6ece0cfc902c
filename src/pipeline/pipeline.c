#include "eigenscope/pipeline.h"
#include "context.h"
#include "eigenscope/clock.h"
#include <string.h>

const char *es_stage_name(es_stage_t stage) {
  static const char *const names[ES_STAGES] = {"prepare", "train",    "evaluate", "capture", "wait",
                                               "reduce",  "spectrum", "probe",    "store"};
  return names[stage];
}

const char *es_work_name(es_work_t work) {
  static const char *const names[ES_WORKS] = {"train", "evaluate", "measure"};
  return names[work];
}

bool flow_is_leader(const flow_t *f) {
  return f->group.rank == 0;
}

bool flow_is_trained(const flow_t *f) {
  return f->point->source == ES_SOURCE_TRAIN;
}

void flow_charge(flow_t *f, es_stage_t stage, double since) {
  f->pipeline->stage_seconds[stage] += es_clock() - since;
}

bool flow_is_last(const flow_t *f, int32_t epoch) {
  return epoch == f->last;
}

/* As far as the description of the point says. */
static int32_t last_epoch(const es_pipeline_t *pipeline, const es_point_t *point) {
  if (point->source != ES_SOURCE_TRAIN) return es_external_epochs(&point->external) - 1;
  return pipeline->dry_run ? 1 : point->train.epochs;
}

void flow_warn(const flow_t *f, const char *message) {
  if (flow_is_leader(f) && f->pipeline->warn) f->pipeline->warn(f->pipeline->report_context, message);
}

es_code_t es_pipeline_point(es_pipeline_t *pipeline, const es_point_t *point, const char *point_id,
                            const es_dataset_t *dataset, es_status_t *status) {
  flow_t f = {.pipeline = pipeline,
              .point = point,
              .id = point_id,
              .dataset = dataset,
              .last = last_epoch(pipeline, point),
              .started = es_clock()};
  es_clock_utc(f.start);
  memset(pipeline->stage_seconds, 0, sizeof pipeline->stage_seconds);
  const es_code_t code = point->source == ES_SOURCE_ACTIVATIONS  ? flow_activations(&f, status)
                         : point->source == ES_SOURCE_CHECKPOINT ? flow_checkpoint(&f, status)
                                                                 : flow_train(&f, status);
  flow_spaces_close(&f);
  flow_projection_close(&f);
  flow_probe_close(&f);
  flow_network_close(&f);
  return code;
}
