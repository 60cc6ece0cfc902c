#include "eigenscope/capture.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <assert.h>

struct es_capture {
  const es_graph_t *graph; /* borrowed */
  const es_group_t *group; /* borrowed */
  const es_method_t *method;
  int32_t method_size;
  int n_layers;
  int32_t *layers; /* captured layer of each measured one */
  int32_t *place;  /* measured layer of each captured one, or −1 */
  int32_t *widths;
  es_cov_t *covs; /* (n_layers, lanes of this rank) */
  es_cov_workspace_t workspace;
  float *scratch;
  double *buffer; /* of es_cov_reduce */
  double seconds;
  es_observer_t observer;
};

int es_capture_select(const es_graph_t *graph, const es_measure_settings_t *measure, int32_t *out) {
  int n = 0;
  for (int i = 0; i < graph->n_layers; i++) {
    const char *name = graph->nodes[graph->layers[i]].name;
    bool chosen = false;
    for (int p = 0; p < measure->n_layers; p++) chosen = chosen || es_text_match(measure->layers[p], name);
    if (chosen) out[n++] = i;
  }
  return n;
}

static void observe(void *context, int layer, int lane, const float *out, int64_t samples, es_shape_t shape) {
  es_capture_t *c = context;
  const int32_t place = c->place[layer];
  if (place < 0) return;
  const double start = es_clock();
  int64_t rows;
  const float *matrix = c->method->rows(out, samples, shape, c->method_size, c->scratch, &rows);
  es_cov_add(&c->covs[(size_t)place * (size_t)c->group->lane_count + (size_t)lane], &c->workspace, matrix, rows);
  c->seconds += es_clock() - start;
}

static es_code_t create_accumulators(es_capture_t *c, es_status_t *status) {
  const size_t lanes = (size_t)c->group->lane_count;
  int32_t widest = 1;
  int64_t scratch = 1;
  for (int i = 0; i < c->n_layers; i++) {
    const es_shape_t shape = es_capture_node(c, i)->out;
    c->widths[i] = c->method->width(shape, c->method_size);
    widest = c->widths[i] > widest ? c->widths[i] : widest;
    const int64_t need = c->method->scratch(shape, c->method_size);
    scratch = need > scratch ? need : scratch;
    for (size_t lane = 0; lane < lanes; lane++)
      ES_TRY(es_cov_create(&c->covs[(size_t)i * lanes + lane], c->widths[i], status));
  }
  c->scratch = es_allocate((size_t)scratch, sizeof *c->scratch);
  c->buffer = es_allocate(es_cov_moments_size(widest) + 1, sizeof *c->buffer);
  if (!c->scratch || !c->buffer) return es_fail(status, ES_SYSTEM, "capture", "out of memory");
  return es_cov_workspace_create(&c->workspace, widest, status);
}

static es_code_t fill(es_capture_t *c, const es_measure_settings_t *measure, es_status_t *status) {
  const size_t layers = (size_t)c->graph->n_layers;
  c->layers = es_allocate_zero(layers, sizeof *c->layers);
  c->place = es_allocate_zero(layers, sizeof *c->place);
  c->widths = es_allocate_zero(layers, sizeof *c->widths);
  c->covs = es_allocate_zero(layers * (size_t)c->group->lane_count, sizeof *c->covs);
  if (!c->layers || !c->place || !c->widths || !c->covs) return es_fail(status, ES_SYSTEM, "capture", "out of memory");
  if (!c->method) return es_fail(status, ES_INPUT, "capture", "this version does not have that method");
  c->n_layers = es_capture_select(c->graph, measure, c->layers);
  if (c->n_layers == 0)
    return es_fail(status, ES_INPUT, "capture", "no layer matches measure.layers; the first is \"%s\", the last \"%s\"",
                   c->graph->nodes[c->graph->layers[0]].name, c->graph->nodes[c->graph->layers[layers - 1]].name);
  for (size_t i = 0; i < layers; i++) c->place[i] = -1;
  for (int i = 0; i < c->n_layers; i++) c->place[c->layers[i]] = i;
  return create_accumulators(c, status);
}

es_code_t es_capture_create(es_capture_t **out, const es_graph_t *graph, const es_measure_settings_t *measure,
                            const es_group_t *group, es_status_t *status) {
  *out = NULL;
  es_capture_t *c = es_allocate_zero(1, sizeof *c);
  if (!c) return es_fail(status, ES_SYSTEM, "capture", "out of memory");
  c->graph = graph;
  c->group = group;
  c->method = es_method(measure->method);
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
  for (int i = 0; c->covs && i < c->n_layers * c->group->lane_count; i++) es_cov_destroy(&c->covs[i]);
  es_cov_workspace_destroy(&c->workspace);
  es_free(c->layers);
  es_free(c->place);
  es_free(c->widths);
  es_free(c->covs);
  es_free(c->scratch);
  es_free(c->buffer);
  es_free(c);
}

int es_capture_n_layers(const es_capture_t *c) {
  return c->n_layers;
}
const es_node_t *es_capture_node(const es_capture_t *c, int layer) {
  return &c->graph->nodes[c->graph->layers[c->layers[layer]]];
}
int32_t es_capture_width(const es_capture_t *c, int layer) {
  return c->widths[layer];
}
const es_observer_t *es_capture_observer(es_capture_t *c) {
  return &c->observer;
}
double es_capture_seconds(const es_capture_t *c) {
  return c->seconds;
}

void es_capture_reset(es_capture_t *c) {
  for (int i = 0; i < c->n_layers * c->group->lane_count; i++) es_cov_reset(&c->covs[i]);
  c->seconds = 0.0;
}

void es_capture_reduce(es_capture_t *c, int layer, es_cov_t *out) {
  es_cov_t *lanes = c->covs + (size_t)layer * (size_t)c->group->lane_count;
  for (int lane = 0; lane < c->group->lane_count; lane++) es_cov_flush(&lanes[lane], &c->workspace);
  es_cov_reduce(out, lanes, c->group, c->buffer);
}

int64_t es_capture_bytes(const es_graph_t *graph, const es_measure_settings_t *measure, int lanes) {
  const es_method_t *method = es_method(measure->method);
  int32_t *chosen = es_allocate((size_t)graph->n_layers, sizeof *chosen);
  int64_t bytes = 0, widest = 1;
  if (!chosen || !method) {
    es_free(chosen);
    return 0;
  }
  for (int i = 0, n = es_capture_select(graph, measure, chosen); i < n; i++) {
    const int64_t width = method->width(graph->nodes[graph->layers[chosen[i]]].out, measure->method_size);
    bytes += lanes * (8 * (int64_t)es_cov_moments_size((int32_t)width) + 4 * es_cov_panel_rows((int32_t)width) * width);
    widest = width > widest ? width : widest;
  }
  es_free(chosen);
  return bytes + widest * widest * (4 + 8) + 4 * es_cov_panel_rows((int32_t)widest) * widest;
}
