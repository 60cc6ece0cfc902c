/* Times and counts of messages, by hand. */
#include "check.h"
#include "eigenscope/traffic.h"

static const es_link_t link = {.latency = 1e-3, .bandwidth = 1e6};

static void check(const es_traffic_t *t, int64_t sums, int64_t messages, int64_t bytes, double seconds) {
  assert_int_equal(t->sums, sums);
  assert_int_equal(t->messages, messages);
  assert_int_equal(t->bytes, bytes);
  assert_float_equal(t->seconds, seconds, 1e-12);
}

static void test_message(void **state) {
  (void)state;
  es_traffic_t t = {0};
  es_traffic_message(&t, 500, &link); /* 1 ms, and 0.5 ms for the bytes */
  check(&t, 0, 1, 500, 1.5e-3);
  es_traffic_message(&t, 65536, &link);
  check(&t, 0, 2, 66036, 1.5e-3 + 66.536e-3);
  es_traffic_message(&t, 65537, &link); /* announced first */
  check(&t, 0, 3, 131573, 1.5e-3 + 66.536e-3 + 68.537e-3);
  es_traffic_message(&t, 1, NULL);
  check(&t, 0, 4, 131574, 1.5e-3 + 66.536e-3 + 68.537e-3);
}

static void test_sums(void **state) {
  (void)state;
  es_traffic_t t = {0};
  es_traffic_tree_sum_f64(&t, 8, 1, 100, &link); /* alone */
  es_traffic_ranks_sum_f32(&t, 1, 100, &link);
  es_traffic_allreduce(&t, 1, 100, &link);
  check(&t, 0, 0, 0, 0);
  es_traffic_tree_sum_f64(&t, 8, 4, 100, &link); /* two levels of 800 bytes */
  check(&t, 1, 2, 1600, 2 * 1.8e-3);
  t = (es_traffic_t){0};
  es_traffic_tree_sum_f64(&t, 8, 8, 1500, &link); /* three levels of 1024 and 476 doubles */
  check(&t, 1, 6, 3 * 12000, 6 * 1e-3 + 36e-3);
  t = (es_traffic_t){0};
  es_traffic_ranks_sum_f32(&t, 2, 131073, &link); /* 524288 bytes, which are announced, and 4 */
  check(&t, 1, 2, 524292, 4e-3 + 0.524292);
  t = (es_traffic_t){0};
  es_traffic_allreduce(&t, 4, 1000, &link); /* there and back in two steps each; 3/4 of the bytes both times */
  check(&t, 1, 4, 1500, 4e-3 + 1.5e-3);
  t = (es_traffic_t){0};
  es_traffic_allreduce(&t, 3, 300, &link);
  check(&t, 1, 4, 400, 4e-3 + 0.4e-3);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_message), cmocka_unit_test(test_sums)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
