/* What a batch makes the ranks of a group tell each other. Follows es_model_forward and es_model_backward. */
#include "eigenscope/model.h"

es_traffic_t es_model_traffic(const es_graph_t *graph, int lanes, int ranks, bool training, const es_link_t *link) {
  es_traffic_t traffic = {0};
  for (int i = 0; training && i < graph->n_nodes; i++) {
    const es_node_t *node = &graph->nodes[i];
    if (node->op != ES_OP_BATCHNORM) continue;
    for (int pass = 0; pass < 2; pass++) /* forward: moments; backward: of the gradient */
      es_traffic_tree_sum_f64(&traffic, lanes, ranks, 2 * (int64_t)node->in.c, link);
  }
  es_traffic_tree_sum_f64(&traffic, lanes, ranks, ES_LOSS_SUMS, link);
  if (training) es_traffic_ranks_sum_f32(&traffic, ranks, graph->parameter_count, link);
  return traffic;
}
