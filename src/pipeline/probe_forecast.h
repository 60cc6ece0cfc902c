/* Memory and cost of the probes of a point. */
#ifndef ES_PIPELINE_PROBE_FORECAST_H
#define ES_PIPELINE_PROBE_FORECAST_H

#include "eigenscope/forecast.h"
#include "source.h"

/* Bytes of the features of a sample. */
typedef struct es_probe_features {
  int64_t all, largest; /* of all layers, of the largest layer */
} es_probe_features_t;

es_probe_features_t es_probe_features(const es_point_source_t *source);
/* Most bytes of features of n samples on a rank in a round of all layers: its own rows; on several ranks also the
 * layers that it receives. Fits differ in steps, so a rank may receive twice as much as another one. */
int64_t es_probe_round_bytes(const es_probe_features_t *features, int64_t n, int ranks);

/* As in es_analysis_t. */
int64_t es_probe_forecast_bytes(const es_forecast_t *f, int ranks);
double es_probe_forecast_cost(const es_forecast_t *f);

#endif
