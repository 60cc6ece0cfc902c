#include "eigenscope/forecast.h"
#include "eigenscope/graph.h"
#include "eigenscope/plan.h"
#include <stdint.h>
#include <string.h>

es_code_t es_memory_predict(es_memory_need_t *out, const es_point_t *point, const es_dataset_info_t *info, int ranks,
                            es_status_t *status) {
  es_graph_t *graph;
  es_forecast_t forecast;
  ES_TRY(es_graph_create(&graph, point, status));
  es_code_t code = es_forecast_network(&forecast, point, graph, status);
  if (code == ES_OK) {
    for (int split = 0; split < ES_SPLITS; split++)
      forecast.samples[split] = es_point_samples(point, info, (es_split_t)split);
    *out = (es_memory_need_t){.rank = es_forecast_bytes(&forecast, ranks),
                              .shared = es_dataset_bytes(info, point->resolution),
                              .features = es_forecast_features(&forecast)};
    for (int i = 0; i < es_probe_others(&point->probe); i++) {
      const es_probe_dataset_t *other = &point->probe.datasets[i];
      if (strcmp(other->spec->name, point->dataset.name) != 0) out->shared += other->images;
    }
    if (out->rank == 0) code = es_out_of_memory(status, "memory", "the prediction of memory");
  }
  es_forecast_destroy(&forecast);
  es_graph_destroy(graph);
  return code;
}

es_code_t es_memory_predict_next(es_memory_prediction_t *p, const es_point_t *point, const es_dataset_info_t *info,
                                 int ranks, es_status_t *status) {
  es_point_t key = *point; /* without settings that do not affect the prediction */
  es_train_settings_t *t = &key.train;
  key.seed = 0;
  key.n_axes = 0;
  memset(key.axes, 0, sizeof key.axes);
  t->learning_rate = t->momentum = t->weight_decay = t->schedule_gamma = 0.0;
  /* Different padding only causes a needless new prediction.
   * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
  if (p->ranks == ranks && memcmp(&key, &p->key, sizeof key) == 0) return ES_OK;
  p->ranks = 0;
  ES_TRY(es_memory_predict(&p->need, point, info, ranks, status));
  p->key = key;
  p->ranks = ranks;
  return ES_OK;
}

int es_memory_fit(const es_point_t *point, const es_dataset_info_t *info, int ranks, int64_t available) {
  for (; ranks <= point->train.lanes; ranks *= 2) {
    es_memory_need_t need = {0};
    if (es_memory_predict(&need, point, info, ranks, &(es_status_t){0}) != ES_OK) return -1;
    if (0.8 * (double)need.rank <= (double)available) return ranks;
  }
  return 0;
}
