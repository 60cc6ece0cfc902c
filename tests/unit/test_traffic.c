/* Times and counts of messages, compared with values computed by hand. */
#include "eigenscope/traffic.h"
#include "support/unit.h"

static const es_link_t link = {.latency = 1e-3, .bandwidth = 1e6};

static void check(const es_traffic_t *t, int64_t sums, int64_t messages, int64_t bytes, double seconds) {
  assert_int_equal(t->sums, sums);
  assert_int_equal(t->messages, messages);
  assert_int_equal(t->bytes, bytes);
  assert_float_equal(t->seconds, seconds, 1e-12);
}

TEST(small_sums) {
  es_traffic_t t = {0};
  es_traffic_tree_sum_f64(&t, 8, 1, 100, &link); /* a single rank */
  es_traffic_ranks_sum_f32(&t, 1, 100000, &link);
  es_traffic_allreduce(&t, 1, 100, &link);
  check(&t, 0, 0, 0, 0);
  es_traffic_message(&t, 500);
  check(&t, 0, 1, 500, 0);
  t = (es_traffic_t){0};
  es_traffic_tree_sum_f64(&t, 8, 4, 100, &link); /* two levels of 800 bytes: 1 ms, and 0.8 ms for the bytes */
  check(&t, 1, 2, 1600, 2 * 1.8e-3);
  es_traffic_ranks_sum_f32(&t, 8, 15360, NULL); /* a full message, three times */
  check(&t, 2, 5, 1600 + 3 * 61440, 2 * 1.8e-3);
}

TEST(large_sums) {
  es_traffic_t t = {0};
  es_traffic_ranks_sum_f32(&t, 2, 15361, &link); /* halves of 7681 and 7680 floats, there and back */
  check(&t, 1, 2, 4 * 15361, 2 * 1e-3 + 2 * 30.724e-3);
  t = (es_traffic_t){0};
  es_traffic_ranks_sum_f32(&t, 4, 100000, &link); /* 50000 floats are 4 simultaneous messages, 25000 are 2 */
  check(&t, 1, 2 * (4 + 2), 2 * 4 * 75000, 2 * (2 * 1e-3 + 0.3));
  t = (es_traffic_t){0};
  es_traffic_ranks_sum_f32(&t, 2, 2000000, &link); /* halves of 66 messages: three windows */
  check(&t, 1, 2 * 66, 8000000, 2 * (3 * 1e-3 + 4));
  t = (es_traffic_t){0};
  es_traffic_tree_sum_f64(&t, 2, 2, 30000, &link); /* one lane each: no buffer for more than the message being added */
  check(&t, 1, 2 * 2, 240000, 2 * 1e-3 + 0.12 + 1e-3 + 0.12);
}

TEST(allreduce) {
  es_traffic_t t = {0};
  es_traffic_allreduce(&t, 4, 1000, &link); /* there and back in two steps each; 3/4 of the bytes both times */
  check(&t, 1, 4, 1500, 4e-3 + 1.5e-3);
  t = (es_traffic_t){0};
  es_traffic_allreduce(&t, 3, 300, &link);
  check(&t, 1, 4, 400, 4e-3 + 0.4e-3);
}
