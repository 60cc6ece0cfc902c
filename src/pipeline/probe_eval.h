/* Features of the eval split that are kept while its rows are measured, so that the predictions of the probes need no
 * pass of their own. They count against probe.memory. A point that was stopped between the rows and the probes has
 * none; its next run visits the split instead, with equal numbers. */
#ifndef ES_PIPELINE_PROBE_EVAL_H
#define ES_PIPELINE_PROBE_EVAL_H

#include "eigenscope/probe.h"
#include "source.h"

typedef struct es_probe_eval {
  es_point_source_t *source; /* borrowed */
  int32_t epoch;             /* of the features */
  bool kept;                 /* false: there are no features */
  void **features;           /* (layers): of the samples of this rank; owned, as their elements */
  uint8_t *slices;           /* (layers, samples) at the first sample of each slice of a pass: its samples */
  es_visit_samples_t samples;
  es_visitor_t visitor; /* borrowed by the source */
} es_probe_eval_t;

/* How the outputs of a layer become features. */
es_probe_pooling_t es_probe_eval_pooling(const es_point_source_t *source, int layer);

/* Lets the source keep the features of the eval split of this epoch, unless they need more than `room` bytes on a rank.
 * Call it before the rows. Collective. */
es_code_t es_probe_eval_begin(es_probe_eval_t *eval, es_point_source_t *source, int32_t epoch, int64_t room,
                              es_status_t *status);
/* Adds the predictions of a probe for the samples of this rank. Predicts slice by slice, as a visit. Not collective. */
es_code_t es_probe_eval_count(const es_probe_eval_t *eval, int layer, int64_t *confusion, const double *weights,
                              const int32_t *labels, es_status_t *status);
/* Frees the features of a layer, or of all. */
void es_probe_eval_drop(es_probe_eval_t *eval, int layer);
void es_probe_eval_end(es_probe_eval_t *eval);

#endif
