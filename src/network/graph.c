/* Builds the graph of an architecture, a width and a class count. */
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "network_internal.h"
#include <assert.h>

es_code_t es_graph_create(es_graph_t **out, const es_point_t *point, es_status_t *status) {
  assert(point->classes > 0);
  *out = NULL;
  es_builder_t b = {.width = point->width, .status = status, .graph = es_allocate_zero(1, sizeof(es_graph_t))};
  if (!b.graph) return es_out_of_memory(status, "model", "the description of a network");
  b.graph->classes = point->classes;
  es_add_input(&b, (es_shape_t){point->resolution, point->resolution, 3});
  if (b.code == ES_OK) es_family(point->model.family)->build(&b, &point->model, point->classes);
  if (b.code != ES_OK) {
    es_graph_destroy(b.graph);
    return b.code;
  }
  assert(b.last == b.graph->n_nodes - 1 && es_shape_size(es_last_shape(&b)) == point->classes);
  *out = b.graph;
  return ES_OK;
}

void es_graph_destroy(es_graph_t *graph) {
  if (!graph) return;
  es_free(graph->nodes);
  es_free(graph->layers);
  es_free(graph->parameters);
  es_free(graph->buffers);
  es_free(graph);
}

int32_t es_graph_border(const es_graph_t *graph) {
  int32_t layer = 0;
  while (layer < graph->n_layers &&
         graph->nodes[graph->nodes[graph->layers[layer]].input].least_field < graph->nodes[0].out.h)
    layer++;
  return layer;
}

int64_t es_graph_parameters(const es_graph_t *graph, const es_node_t *node) {
  return (node->weight >= 0 ? graph->parameters[node->weight].count : 0) +
         (node->bias >= 0 ? graph->parameters[node->bias].count : 0);
}
