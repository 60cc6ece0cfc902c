#include "eigenscope/capture.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <assert.h>

struct es_capture {
  const es_graph_t *graph; /* borrowed */
  const es_group_t *group; /* borrowed */
  es_method_kind_t method;
  int32_t method_size;
  int n_layers;
  int32_t *layers; /* captured layer of each measured layer */
  int32_t *place;  /* measured layer of each captured layer, or −1 */
  int32_t *widths;
  es_accumulator_t **accumulators; /* owned; of each measured layer, from one `begin` to the next */
  es_cov_workspace_t workspace;
  float *scratch;
  const float *rows; /* of the output that was observed last */
  es_timer_t timer;  /* of observe and exchange, since begin */
  es_observer_t observer;
  es_owned_t owned; /* owns the arrays above */
};

int es_capture_select(const es_graph_t *graph, const es_measure_settings_t *measure, int32_t *out) {
  int n = 0;
  for (int i = 0; i < graph->n_layers; i++) {
    if (es_capture_takes(measure, &graph->nodes[graph->layers[i]])) out[n++] = i;
  }
  return n;
}

static void observe(void *context, int layer, int lane, const float *out, int64_t samples, es_shape_t shape) {
  es_capture_t *c = context;
  const int32_t place = c->place[layer];
  if (place < 0) return;
  es_timer_start(&c->timer);
  const es_method_t *method = es_method_of(c->method, es_capture_node(c, place));
  c->rows = method->rows(out, samples, shape, c->method_size, c->scratch);
  const int64_t rows = samples * method->positions(shape, c->method_size);
  es_accumulator_add(c->accumulators[place], &c->workspace, lane, c->rows, rows);
  es_timer_stop(&c->timer);
}

static es_code_t create_scratch(es_capture_t *c, es_status_t *status) {
  int32_t widest = 1;
  int64_t scratch = 1;
  for (int i = 0; i < c->n_layers; i++) {
    const es_node_t *node = es_capture_node(c, i);
    const es_method_t *method = es_method_of(c->method, node);
    c->widths[i] = method->width(node->out, c->method_size);
    /* Layers that are spread over the ranks have their own scratch. */
    if (es_accumulator_strategy(c->widths[i], INT64_MAX) == ES_STRATEGY_LANES && c->widths[i] > widest)
      widest = c->widths[i];
    const int64_t need = method->scratch(node->out, c->method_size);
    scratch = need > scratch ? need : scratch;
  }
  c->scratch = es_owned_allocate(&c->owned, (size_t)scratch, sizeof *c->scratch);
  if (!c->scratch) return es_out_of_memory(status, "capture", "a slice of outputs");
  return es_cov_workspace_create(&c->workspace, widest, ES_REAL_F32, status);
}

static es_code_t fill(es_capture_t *c, const es_measure_settings_t *measure, es_status_t *status) {
  const size_t layers = (size_t)c->graph->n_layers;
  c->layers = es_owned_allocate_zero(&c->owned, layers, sizeof *c->layers);
  c->place = es_owned_allocate_zero(&c->owned, layers, sizeof *c->place);
  c->widths = es_owned_allocate_zero(&c->owned, layers, sizeof *c->widths);
  c->accumulators = es_owned_allocate_zero(&c->owned, layers, sizeof *c->accumulators);
  if (c->owned.failed) return es_out_of_memory(status, "capture", "the measured layers");
  if (!es_method(c->method))
    return es_fail(status, ES_INPUT, "capture", "this version does not have this measure.method");
  c->n_layers = es_capture_select(c->graph, measure, c->layers);
  if (c->n_layers == 0)
    return es_fail(status, ES_INPUT, "capture",
                   "no layer matches measure.layers; the first layer is \"%s\", the last layer is \"%s\"",
                   c->graph->nodes[c->graph->layers[0]].name, c->graph->nodes[c->graph->layers[layers - 1]].name);
  for (size_t i = 0; i < layers; i++) c->place[i] = -1;
  for (int i = 0; i < c->n_layers; i++) c->place[c->layers[i]] = i;
  return create_scratch(c, status);
}

es_code_t es_capture_create(es_capture_t **out, const es_graph_t *graph, const es_measure_settings_t *measure,
                            const es_group_t *group, es_status_t *status) {
  *out = NULL;
  es_capture_t *c = es_allocate_zero(1, sizeof *c);
  if (!c) return es_out_of_memory(status, "capture", "the measurement of the layers");
  c->graph = graph;
  c->group = group;
  c->method = measure->method;
  c->method_size = measure->method_size;
  c->observer = (es_observer_t){observe, c};
  const es_code_t code = fill(c, measure, status);
  if (code == ES_OK)
    *out = c;
  else
    es_capture_destroy(c);
  return code;
}

void es_capture_destroy(es_capture_t *c) {
  if (!c) return;
  for (int i = 0; c->accumulators && i < c->n_layers; i++) es_accumulator_destroy(c->accumulators[i]);
  es_cov_workspace_destroy(&c->workspace);
  es_owned_free(&c->owned);
  es_free(c);
}

int es_capture_n_layers(const es_capture_t *c) {
  return c->n_layers;
}
const es_node_t *es_capture_node(const es_capture_t *c, int layer) {
  return &c->graph->nodes[c->graph->layers[c->layers[layer]]];
}
int es_capture_measured(const es_capture_t *c, int captured) {
  return c->place[captured];
}
int32_t es_capture_width(const es_capture_t *c, int layer) {
  return c->widths[layer];
}
const es_observer_t *es_capture_observer(es_capture_t *c) {
  return &c->observer;
}
const float *es_capture_rows(const es_capture_t *c) {
  return c->rows;
}
double es_capture_seconds(const es_capture_t *c) {
  return c->timer.seconds;
}

static es_rows_info_t rows_of(es_method_kind_t kind, int32_t size, const es_node_t *node, int64_t samples) {
  const es_method_t *method = es_method_of(kind, node);
  return (es_rows_info_t){method->width(node->out, size), ES_REAL_F32, samples * method->positions(node->out, size)};
}

es_code_t es_capture_begin(es_capture_t *c, int64_t samples, es_status_t *status) {
  c->timer = (es_timer_t){0};
  for (int i = 0; i < c->n_layers; i++) {
    const es_rows_info_t info = rows_of(c->method, c->method_size, es_capture_node(c, i), samples);
    es_accumulator_t **a = &c->accumulators[i];
    if (*a && es_accumulator_serves(*a, &info)) {
      es_accumulator_reset(*a);
      continue;
    }
    es_accumulator_destroy(*a);
    ES_TRY(es_accumulator_create(a, c->group, &info, status));
  }
  return ES_OK;
}

es_code_t es_capture_exchange(es_capture_t *c, es_status_t *status) {
  es_timer_start(&c->timer);
  for (int i = 0; i < c->n_layers; i++) ES_TRY(es_accumulator_exchange(c->accumulators[i], status));
  es_timer_stop(&c->timer);
  return ES_OK;
}

int32_t es_capture_order(const es_capture_t *c, int layer) {
  return es_accumulator_order(c->accumulators[layer]);
}

es_code_t es_capture_finish(es_capture_t *c, int layer, es_reduced_t *out, es_status_t *status) {
  return es_accumulator_finish(c->accumulators[layer], &c->workspace, out, status);
}

/* Describes the rows of captured layer `layer`; returns false if it is not measured, or if its method is unknown. */
static bool find_rows(const es_graph_t *graph, const es_measure_settings_t *measure, int layer, int64_t samples,
                      es_rows_info_t *out) {
  const es_node_t *node = &graph->nodes[graph->layers[layer]];
  if (!es_method(measure->method) || !es_capture_takes(measure, node)) return false;
  *out = rows_of(measure->method, measure->method_size, node, samples);
  return true;
}

int64_t es_capture_bytes(const es_graph_t *graph, const es_measure_settings_t *measure, int64_t samples, int lanes,
                         int ranks) {
  es_rows_info_t info;
  int64_t bytes = 0, widest = 1;
  if (!es_method(measure->method)) return 0;
  for (int i = 0; i < graph->n_layers; i++) {
    if (!find_rows(graph, measure, i, samples, &info)) continue;
    bytes += es_accumulator_bytes(&info, lanes, ranks);
    if (es_accumulator_strategy(info.width, INT64_MAX) == ES_STRATEGY_LANES && info.width > widest) widest = info.width;
  }
  return bytes + widest * widest * 4 + 4 * es_cov_panel_rows((int32_t)widest) * widest;
}

es_traffic_t es_capture_traffic(const es_graph_t *graph, const es_measure_settings_t *measure, int64_t samples,
                                int lanes, int ranks, const es_link_t *link) {
  es_rows_info_t info;
  es_traffic_t traffic = {0};
  for (int i = 0; i < graph->n_layers; i++) {
    if (!find_rows(graph, measure, i, samples, &info)) continue;
    if (es_accumulator_strategy(info.width, info.rows) != ES_STRATEGY_LANES) continue;
    const int64_t bytes = 8 * ((int64_t)es_cov_moments_size(info.width) + 1); /* and the number of rows */
    for (int lane = 0; lane < lanes; lane++) es_traffic_allreduce(&traffic, ranks, bytes, link);
  }
  return traffic;
}
