#include "eigenscope/random.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

/* Random123's published known answers (tests/kat_vectors, philox4x32 10). */
TEST(philox_known_answers) {
  static const struct {
    uint32_t counter[4], key[2], out[4];
  } answers[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
    uint32_t out[4];
    es_philox(answers[i].counter, answers[i].key, out);
    assert_memory_equal(out, answers[i].out, sizeof out);
  }
}

TEST(block_places_seed_purpose_and_counters) {
  /* Written out, because stored results depend on this layout. */
  const uint32_t counter[4] = {0x55667788, 0x11223344, 0x0a0b0c0d, 0x04070809};
  const uint32_t key[2] = {0xfffffff9, 0xffffffff};
  uint32_t expected[4], out[4];
  es_philox(counter, key, expected);
  es_random_block(-7, ES_RANDOM_DROPOUT, 0x0708090a0b0c0d, 0x1122334455667788, out);
  assert_memory_equal(out, expected, sizeof out);
}

TEST(streams_differ) {
  uint32_t blocks[5][4];
  es_random_block(1, ES_RANDOM_TEST, 2, 3, blocks[0]);
  es_random_block(2, ES_RANDOM_TEST, 2, 3, blocks[1]);
  es_random_block(1, ES_RANDOM_ORDER, 2, 3, blocks[2]);
  es_random_block(1, ES_RANDOM_TEST, 3, 3, blocks[3]);
  es_random_block(1, ES_RANDOM_TEST, 2, 4, blocks[4]);
  for (int a = 0; a < 5; a++) {
    for (int b = 0; b < a; b++) assert_memory_not_equal(blocks[a], blocks[b], sizeof blocks[a]);
  }
}

TEST(unit_and_below_stay_in_range) {
  assert_true(es_random_unit(0) == 0.0f);
  assert_true(es_random_unit(UINT32_MAX) == 1.0f - 0x1p-24f);
  assert_true(es_random_unit(0x80000000u) == 0.5f);
  assert_int_equal(es_random_below(0, 10), 0);
  assert_int_equal(es_random_below(UINT32_MAX, 10), 9);
  assert_int_equal(es_random_below(UINT32_MAX, 1), 0);
  int counts[10] = {0};
  for (uint64_t i = 0; i < 10000; i++) {
    uint32_t words[4];
    es_random_block(5, ES_RANDOM_TEST, 0, i, words);
    counts[es_random_below(words[0], 10)]++;
  }
  for (int i = 0; i < 10; i++) assert_in_range(counts[i], 880, 1120); /* four deviations of 30 */
}

/* Mean, variance, skewness and kurtosis of the deviates, and the correlation of a pair, to five standard errors. */
TEST(normal_moments) {
  const int n = 100000;
  double sums[5] = {0}, product = 0;
  for (int i = 0; i < n; i++) {
    uint32_t words[4];
    float pair[2];
    es_random_block(11, ES_RANDOM_TEST, 1, (uint64_t)i, words);
    es_random_normal(words[0], words[1], pair);
    product += (double)pair[0] * (double)pair[1];
    for (int j = 0; j < 2; j++) {
      for (int power = 1; power <= 4; power++) sums[power] += pow((double)pair[j], power);
    }
  }
  const double count = 2.0 * n, error = 5.0 / sqrt(count);
  assert_true(fabs(sums[1] / count) < error);
  assert_true(fabs(sums[2] / count - 1) < error * sqrt(2));
  assert_true(fabs(sums[3] / count) < error * sqrt(15));
  assert_true(fabs(sums[4] / count - 3) < error * sqrt(96));
  assert_true(fabs(product / n) < 5.0 / sqrt(n));
}

TEST(normal_is_finite_at_the_ends) {
  const uint32_t ends[] = {0, 1, UINT32_MAX};
  for (int a = 0; a < 3; a++) {
    for (int b = 0; b < 3; b++) {
      float pair[2];
      es_random_normal(ends[a], ends[b], pair);
      assert_true(isfinite(pair[0]) && isfinite(pair[1]));
      assert_true(hypot((double)pair[0], (double)pair[1]) < 6.7);
    }
  }
}

TEST(permutation_is_one_and_repeats) {
  enum { N = 1000 };
  int32_t order[N], again[N], other[N];
  int seen[N] = {0};
  es_random_permutation(3, 4, N, order);
  es_random_permutation(3, 4, N, again);
  es_random_permutation(3, 5, N, other);
  for (int i = 0; i < N; i++) {
    assert_in_range(order[i], 0, N - 1);
    seen[order[i]]++;
  }
  for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
  assert_memory_equal(order, again, sizeof order);
  assert_memory_not_equal(order, other, sizeof order);
  es_random_permutation(3, 4, 0, NULL);
  es_random_permutation(3, 4, 1, other);
  assert_int_equal(other[0], 0);
}

TEST(permutations_are_equally_likely) {
  int counts[27] = {0};
  for (uint64_t epoch = 0; epoch < 6000; epoch++) {
    int32_t order[3];
    es_random_permutation(9, epoch, 3, order);
    counts[order[0] * 9 + order[1] * 3 + order[2]]++;
  }
  int kinds = 0;
  for (int i = 0; i < 27; i++) {
    if (counts[i] == 0) continue;
    kinds++;
    assert_in_range(counts[i], 870, 1130); /* 1000 with a deviation of 29 */
  }
  assert_int_equal(kinds, 6);
}
