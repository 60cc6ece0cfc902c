#include "eigenscope/forecast.h"
#include "analysis.h"
#include "eigenscope/capture.h"
#include "eigenscope/epochs.h"
#include "eigenscope/memory.h"
#include "eigenscope/probe.h"

static void add_layer(es_forecast_t *f, es_rows_info_t rows, es_shape_t shape, int64_t positions) {
  const double width = rows.width;
  es_forecast_layer_t *layer = &f->layers[f->n_layers++];
  layer->rows = rows;
  layer->order = es_accumulator_strategy(rows.width, rows.rows) == ES_STRATEGY_GRAM ? (int32_t)rows.rows : rows.width;
  layer->features = es_probe_width(shape.h, shape.w, shape.c, f->point->probe.pool);
  f->covariance += (double)positions * width * width / 2;
  f->solve += width * width * width * (es_measure_vectors(&f->point->measure) ? 10 : 4) / 3;
  f->features += layer->features;
}

es_code_t es_forecast_network(es_forecast_t *out, const es_point_t *point, const es_graph_t *graph,
                              es_status_t *status) {
  const es_measure_settings_t *m = &point->measure;
  *out = (es_forecast_t){.point = point,
                         .classes = point->classes,
                         .graph = graph,
                         .parameters = graph->parameter_count,
                         .macs = graph->macs,
                         .layers = es_allocate_zero((size_t)graph->n_layers, sizeof *out->layers)};
  if (!out->layers) return es_out_of_memory(status, "plan", "%d layers", graph->n_layers);
  for (int i = 0; i < graph->n_layers; i++) {
    const es_node_t *node = &graph->nodes[graph->layers[i]];
    if (!es_capture_takes(m, node)) continue;
    const es_method_t *method = es_method_of(m->method, node);
    /* Networks process so many samples that every layer has at least as many rows as columns. */
    const es_rows_info_t rows = {.width = method->width(node->out, m->method_size), .rows = INT64_MAX};
    add_layer(out, rows, node->out, method->positions(node->out, m->method_size));
  }
  return ES_OK;
}

es_code_t es_forecast_files(es_forecast_t *out, const es_point_t *point, const es_external_info_t *info,
                            es_status_t *status) {
  *out = (es_forecast_t){.point = point,
                         .classes = info->classes,
                         .layers = es_allocate_zero((size_t)info->n_layers, sizeof *out->layers)};
  if (!out->layers) return es_out_of_memory(status, "plan", "%d layers", info->n_layers);
  for (int split = 0; split < ES_SPLITS; split++)
    out->samples[split] = !es_point_has_split(point, (es_split_t)split) ? 0
                          : point->source == ES_SOURCE_MOMENTS          ? info->samples[split]
                                                                        : info->most_samples;
  for (int i = 0; i < info->n_layers; i++) {
    const es_external_layer_t *layer = &info->layers[i];
    if (!es_measure_takes(&point->measure, layer->name)) continue;
    es_rows_info_t rows = es_forecast_rows(layer, &point->measure, info->most_samples);
    const int64_t positions = rows.rows / info->most_samples;
    if (point->source == ES_SOURCE_MOMENTS) rows.rows = INT64_MAX; /* the covariance exists, however few rows it has */
    const bool sums = point->source == ES_SOURCE_MOMENTS;          /* no covariance has to be computed */
    add_layer(out, rows, (es_shape_t){layer->h, layer->w, layer->c}, sums ? 0 : positions);
    out->layers[out->n_layers - 1].is_double = layer->is_double;
  }
  return ES_OK;
}

void es_forecast_destroy(es_forecast_t *forecast) {
  es_free(forecast->layers);
  forecast->layers = NULL;
}

double es_forecast_cost(const es_forecast_t *f) {
  double cost = es_source_class(f->point->source)->cost(f);
  for (int split = 0; split < ES_SPLITS; split++)
    cost +=
        es_point_measured_count(f->point, (es_split_t)split) * ((double)f->samples[split] * f->covariance + f->solve);
  return cost + es_analyses_cost(f);
}

int64_t es_forecast_bytes(const es_forecast_t *f, int ranks) {
  const int64_t source = es_source_class(f->point->source)->bytes(f, ranks);
  int64_t widths = 0; /* eigenvalues are packed layer after layer */
  for (int i = 0; i < f->n_layers; i++) widths += f->layers[i].rows.width;
  const int64_t numbers = 8 * widths + f->n_layers * (12 * f->point->measure.n_deltas + 64);
  /* The result in memory, plus the image of the state or result file being written. Analyses count their own fields
   * where those grow with widths or classes. */
  const int64_t result = 2 * ES_SPLITS * es_point_epochs(f->point) * numbers;
  const int64_t analyses = es_analyses_bytes(f, ranks);
  return source == 0 || analyses < 0 ? 0 : source + result + analyses;
}

int64_t es_forecast_features(const es_forecast_t *f) {
  const bool files = f->graph == NULL;
  const es_split_t split = files && !es_external_has(&f->point->external, ES_EVAL) ? ES_TRAIN : ES_EVAL;
  const int32_t train = es_point_measured_count(f->point, ES_TRAIN), eval = es_point_measured_count(f->point, ES_EVAL);
  const int64_t most = f->point->measure.similarity_samples, all = f->samples[split];
  int64_t row = 0;
  if (f->point->measure.similarity != ES_ON) return 0;
  for (int i = 0; i < f->n_layers; i++) row += (int64_t)f->layers[i].features * (f->layers[i].is_double ? 8 : 4);
  return row * (all < most ? all : most) * (train > eval ? train : eval);
}
