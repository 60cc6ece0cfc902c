/* The datasets of probe.datasets as sources. Such a source has only `samples`, `shape` and `visit`: its visits run the
 * network of the point on images of the dataset. */
#ifndef ES_PIPELINE_SOURCE_OTHER_H
#define ES_PIPELINE_SOURCE_OTHER_H

#include "source.h"

/* What the source of the point does for the others. */
typedef struct es_other_runner {
  /* Lists the samples of a set as `show` shows them. Not collective. */
  es_code_t (*list)(const es_point_source_t *source, const es_samples_t *samples, es_visit_samples_t *out,
                    es_status_t *status);
  /* As es_source_passes_t.visit, for samples of another dataset. */
  es_code_t (*show)(es_point_source_t *source, const es_samples_t *samples, int32_t epoch, int first, int n,
                    const es_visitor_t *visitor, es_status_t *status);
} es_other_runner_t;

/* Creates the sources source->others, with their samples. `runner` is static. Not collective; the caller then calls
 * es_agree. */
es_code_t es_other_sources_create(es_point_source_t *source, const es_other_runner_t *runner, es_status_t *status);
/* Numbers of samples of all sources and splits, ES_SPLITS for each source. */
void es_other_sources_count(const es_point_source_t *source, int64_t out[ES_SPLITS * ES_PROBE_DATASETS_MAX]);
/* Fingerprint of the datasets of the point: that of its own; with other datasets the hash of all of them. */
void es_other_sources_fingerprint(const es_point_source_t *source, const es_dataset_t *own, char out[ES_ID_SIZE]);
void es_other_sources_destroy(es_point_source_t *source);

#endif
