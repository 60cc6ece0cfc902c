/* State and passes that all sources with a network share: samples, graph, trainer and capture. */
#ifndef ES_PIPELINE_SOURCE_NETWORK_H
#define ES_PIPELINE_SOURCE_NETWORK_H

#include "eigenscope/capture.h"
#include "source.h"

typedef struct es_stepper es_stepper_t;

typedef struct es_network_source {
  es_point_source_t base;
  bool trains;
  es_samples_t samples[ES_SPLITS];
  es_graph_t *graph;
  es_trainer_t *trainer;
  es_capture_t *capture, *active;              /* active: `capture`, or that of the stepper (borrowed) */
  bool capturing;                              /* true while outputs go to `active` */
  es_stepper_t *stepper;                       /* or NULL */
  char training[ES_ID_SIZE], description[256]; /* of the state key */
  char data[ES_ID_SIZE];                       /* fingerprint of all datasets */
  char engine[256];                            /* of the state key */
} es_network_source_t;

/* Opens group, samples, network, capture, result and trainer. Without `trains` the network only runs forward. */
es_code_t es_network_source_open(es_network_source_t *s, es_context_t *c, const es_dataset_t *dataset, bool trains,
                                 es_status_t *status);
/* Frees everything except `s` itself. */
void es_network_source_close(es_network_source_t *s);

/* Members for es_source_class_t. */
extern const es_source_passes_t es_network_source_passes;
int64_t es_network_source_bytes(const es_forecast_t *forecast, int ranks);

#endif
