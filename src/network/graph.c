/* From an architecture, a width and a class count to the graph. */
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "network_internal.h"
#include <assert.h>

es_code_t es_graph_create(es_graph_t **out, const es_point_t *point, es_status_t *status) {
  assert(point->classes > 0);
  es_builder_t b;
  if (es_builder_open(&b, point->resolution, point->width, status) == ES_OK)
    es_family(point->model.family)->build(&b, &point->model, point->classes);
  return es_builder_close(&b, point->classes, out);
}

void es_graph_destroy(es_graph_t *graph) {
  if (!graph) return;
  es_free(graph->nodes);
  es_free(graph->layers);
  es_free(graph->parameters);
  es_free(graph->buffers);
  es_free(graph);
}

int64_t es_graph_parameters(const es_graph_t *graph, const es_node_t *node) {
  return (node->weight >= 0 ? graph->parameters[node->weight].count : 0) +
         (node->bias >= 0 ? graph->parameters[node->bias].count : 0);
}
