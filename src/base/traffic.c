#include "eigenscope/traffic.h"

void es_traffic_message(es_traffic_t *traffic, int64_t bytes) {
  traffic->messages++;
  traffic->bytes += bytes;
}

static int64_t cuts(int64_t bytes, int64_t most) {
  return (bytes + most - 1) / most;
}

/* Adds one exchange in which rank 0 sends `sent` bytes and receives `got`, up to `window` messages concurrently. */
static void exchange(es_traffic_t *traffic, int64_t sent, int64_t got, int64_t window, const es_link_t *link) {
  const int64_t longer = sent > got ? sent : got;
  traffic->messages += cuts(sent, ES_MESSAGE_BYTES);
  traffic->bytes += sent;
  if (!link) return;
  traffic->seconds +=
      (double)cuts(longer, window * ES_MESSAGE_BYTES) * link->latency + (double)longer / link->bandwidth;
}

/* Adds a sum of n numbers of `size` bytes. Numbers to be added arrive in up to `window` concurrent messages. */
static void sum(es_traffic_t *traffic, int ranks, int64_t n, int64_t size, int64_t window, const es_link_t *link) {
  if (ranks == 1) return;
  traffic->sums++;
  if (n * size <= ES_MESSAGE_BYTES) {
    for (int bit = 1; bit < ranks; bit *= 2) exchange(traffic, n * size, n * size, 1, link);
    return;
  }
  for (int bit = 1; bit < ranks; bit *= 2) { /* rank 0 keeps the lower half, the longer one if they differ */
    const int64_t upper = n / 2;
    n -= upper;
    exchange(traffic, upper * size, n * size, window, link);             /* halving */
    exchange(traffic, n * size, upper * size, ES_MESSAGES_WINDOW, link); /* doubling */
  }
}

void es_traffic_ranks_sum_f32(es_traffic_t *traffic, int ranks, int64_t n, const es_link_t *link) {
  sum(traffic, ranks, n, (int64_t)sizeof(float), ES_MESSAGES_WINDOW, link);
}

void es_traffic_tree_sum_f64(es_traffic_t *traffic, int lanes, int ranks, int64_t n, const es_link_t *link) {
  sum(traffic, ranks, n, (int64_t)sizeof(double), lanes > ranks ? ES_MESSAGES_WINDOW : 1, link);
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
