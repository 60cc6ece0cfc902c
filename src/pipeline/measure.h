/* From rows to numbers: merges covariances over lanes and ranks, computes eigenvalues and fills the result. */
#ifndef ES_PIPELINE_MEASURE_H
#define ES_PIPELINE_MEASURE_H

#include "analysis.h"

/* Measures layers first … first+n−1, whose rows the source has made, and passes each layer to the analyses. `epoch` is
 * an index. Collective; all ranks return the same code. */
es_code_t es_measure(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, es_split_t split,
                     int32_t epoch, int first, int n, es_status_t *status);

/* Measures all layers, whose rows the source has made at a training step (an index of the axis of steps), without
 * analyses. Collective; all ranks return the same code. */
es_code_t es_measure_step(es_context_t *c, es_point_source_t *source, int64_t step, es_status_t *status);

/* Bytes to measure a split on the busiest of `ranks` ranks: one merged covariance in transfer, plus the covariances
 * that the rank solves itself, with their leading eigenvectors if an analysis needs them. Not collective. */
int64_t es_measure_bytes(const es_forecast_t *forecast, int ranks);

#endif
