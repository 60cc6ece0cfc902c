/* The target of probes: the dataset to which they are fitted, which is that of the point or one of probe.datasets, and
 * the variables of the result that take their numbers. */
#ifndef ES_PIPELINE_PROBE_TARGET_H
#define ES_PIPELINE_PROBE_TARGET_H

#include "eigenscope/checkpoint.h"
#include "eigenscope/probe.h"
#include "probe_path.h"
#include "source.h"

enum { ES_PROBE_OWN = -1, ES_PROBE_TARGETS_MAX = 1 + ES_PROBE_DATASETS_MAX };

typedef struct es_probe_target {
  es_context_t *context;     /* borrowed */
  es_point_source_t *source; /* its visits show the dataset; its classes are those of the dataset. Borrowed */
  int dataset;               /* index in probe.datasets; ES_PROBE_OWN: the dataset of the point */
} es_probe_target_t;

/* Collects the targets of a point, its own dataset first; returns their number. */
int es_probe_targets(es_probe_target_t out[ES_PROBE_TARGETS_MAX], es_context_t *c, es_point_source_t *source);
/* Name of the tensor of a layer's last solution in the state: "probe.conv1", "probe_dataset.0.conv1". */
const char *es_probe_target_tensor(const es_probe_target_t *target, int layer, char out[ES_TENSOR_NAME_MAX]);

/* `at`: index on the axis of probe epochs. Value of `probe_converged`: 255 if the probe is not fitted. */
uint8_t es_probe_target_converged(const es_probe_target_t *target, int64_t at, int layer);
/* Iterations of a fit; −1 if the probe is not fitted. */
int32_t es_probe_target_iterations(const es_probe_target_t *target, int64_t at, int layer);
void es_probe_target_store_fit(const es_probe_target_t *target, int64_t at, int layer, const es_probe_result_t *fit);
void es_probe_target_store_path(const es_probe_target_t *target, int64_t at, int layer, const es_probe_path_t *path);
/* Stores the counts (classes × classes) of the eval split, summed over the ranks. */
void es_probe_target_store_counts(const es_probe_target_t *target, int64_t at, int layer, const int64_t *confusion);

#endif
