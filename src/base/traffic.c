#include "eigenscope/traffic.h"

void es_traffic_message(es_traffic_t *traffic, int64_t bytes, const es_link_t *link) {
  traffic->messages++;
  traffic->bytes += bytes;
  if (link) traffic->seconds += (bytes > ES_MESSAGE_EAGER ? 3 : 1) * link->latency + (double)bytes / link->bandwidth;
}

/* Recursive doubling of n numbers of `size` bytes, at most `most` in a message. */
static void double_recursively(es_traffic_t *traffic, int ranks, int64_t n, int64_t most, int64_t size,
                               const es_link_t *link) {
  if (ranks == 1) return;
  traffic->sums++;
  for (int bit = 1; bit < ranks; bit *= 2) {
    for (int64_t left = n; left > 0; left -= most)
      es_traffic_message(traffic, (left < most ? left : most) * size, link);
  }
}

void es_traffic_ranks_sum_f32(es_traffic_t *traffic, int ranks, int64_t n, const es_link_t *link) {
  double_recursively(traffic, ranks, n, ES_MESSAGE_VALUES, (int64_t)sizeof(float), link);
}

void es_traffic_tree_sum_f64(es_traffic_t *traffic, int lanes, int ranks, int64_t n, const es_link_t *link) {
  const int64_t most = lanes > ranks ? ES_MESSAGE_VALUES : ES_MESSAGE_VALUES_LEAST;
  double_recursively(traffic, ranks, n, most, (int64_t)sizeof(double), link);
}

void es_traffic_allreduce(es_traffic_t *traffic, int ranks, int64_t bytes, const es_link_t *link) {
  if (ranks == 1) return;
  int levels = 0;
  while (1 << levels < ranks) levels++;
  const int64_t sent = 2 * bytes * (ranks - 1) / ranks;
  traffic->sums++;
  traffic->messages += 2 * levels;
  traffic->bytes += sent;
  if (link) traffic->seconds += 2 * levels * link->latency + (double)sent / link->bandwidth;
}
