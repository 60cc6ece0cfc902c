/* The datasets of probe.datasets as sources. Such a source has only `samples`, `shape` and `visit`: its visits run the
 * network of the point on images of the dataset. */
#ifndef ES_PIPELINE_SOURCE_OTHER_H
#define ES_PIPELINE_SOURCE_OTHER_H

#include "source_network.h"

/* Creates the sources s->base.others, with their samples. Not collective; the caller then calls es_agree. */
es_code_t es_other_sources_create(es_network_source_t *s, es_status_t *status);
/* Numbers of samples of all sources and splits, ES_SPLITS for each source. */
void es_other_sources_count(const es_network_source_t *s, int64_t out[ES_SPLITS * ES_PROBE_DATASETS_MAX]);
/* Fingerprint of the datasets of the point: that of its own; with other datasets the hash of all of them. */
void es_other_sources_fingerprint(const es_network_source_t *s, const es_dataset_t *own, char out[ES_ID_SIZE]);
void es_other_sources_destroy(es_network_source_t *s);

#endif
