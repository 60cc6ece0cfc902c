/* Builds the graph of an architecture, a width and a class count. */
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "network_internal.h"
#include <assert.h>

es_code_t es_graph_build(es_graph_t **out, const es_point_t *point, es_build_t build, es_status_t *status) {
  assert(point->classes > 0);
  *out = NULL;
  es_builder_t b = {
      .width = point->width, .point = point, .status = status, .graph = es_allocate_zero(1, sizeof(es_graph_t))};
  if (!b.graph) return es_out_of_memory(status, "model", "the description of a network");
  b.graph->classes = point->classes;
  es_add_input(&b, (es_shape_t){point->resolution, point->resolution, 3});
  if (b.code == ES_OK) build(&b, &point->model, point->classes);
  if (b.code == ES_OK) b.code = es_graph_choose(b.graph, &point->measure, status);
  if (b.code != ES_OK) {
    es_graph_destroy(b.graph);
    return b.code;
  }
  assert(b.last == b.graph->n_nodes - 1);
  *out = b.graph;
  return ES_OK;
}

es_code_t es_graph_create(es_graph_t **out, const es_point_t *point, es_status_t *status) {
  const es_code_t code = es_graph_build(out, point, es_family(point->model.family)->build, status);
  assert(code != ES_OK || es_shape_size((*out)->nodes[(*out)->n_nodes - 1].out) == point->classes);
  return code;
}

void es_graph_destroy(es_graph_t *graph) {
  if (!graph) return;
  es_free(graph->nodes);
  es_free(graph->layers);
  es_free(graph->parameters);
  es_free(graph->buffers);
  es_free(graph);
}

const es_node_t *es_graph_first(const es_graph_t *graph) {
  const es_node_t *node = graph->nodes;
  while (node < graph->nodes + graph->n_nodes - 1 && !es_node_is_layer(node)) node++;
  return node;
}

int32_t es_graph_border(const es_graph_t *graph) {
  int32_t node = 1;
  while (node < graph->n_nodes && !(es_node_is_layer(&graph->nodes[node]) &&
                                    graph->nodes[graph->nodes[node].input].least_field >= graph->nodes[0].out.h))
    node++;
  return node;
}

int64_t es_graph_parameters(const es_graph_t *graph, const es_node_t *node) {
  return (node->weight >= 0 ? graph->parameters[node->weight].count : 0) +
         (node->bias >= 0 ? graph->parameters[node->bias].count : 0);
}
