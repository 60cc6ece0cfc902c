/* Traffic between the ranks of a group in one batch. Must match es_model_forward and es_model_backward. */
#include "unit.h"

es_traffic_t es_model_traffic(const es_graph_t *graph, int lanes, int ranks, bool training, const es_link_t *link) {
  es_traffic_t traffic = {0};
  for (int i = 0; training && i < graph->n_nodes; i++) {
    const es_unit_class_t *class = es_unit_class(&graph->nodes[i]);
    for (int pass = 0; class->sums && pass < 2; pass++) /* forward and backward */
      es_traffic_tree_sum_f64(&traffic, lanes, ranks, class->sums(&graph->nodes[i]), link);
  }
  es_traffic_tree_sum_f64(&traffic, lanes, ranks, ES_LOSS_SUMS, link);
  if (training) es_traffic_ranks_sum_f32(&traffic, ranks, graph->parameter_count, link);
  return traffic;
}
