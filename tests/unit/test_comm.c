#include "eigenscope/comm.h"
#include "eigenscope/random.h"
#include "support/unit.h"
#include <string.h>

static es_group_t group_of(int lanes) {
  es_group_t group;
  assert_ok(es_group_create(&group, MPI_COMM_NULL, lanes, fresh()));
  return group;
}

TEST(group_without_mpi) {
  for (int lanes = 1; lanes <= 64; lanes *= 2) {
    es_group_t group = group_of(lanes);
    assert_int_equal(group.rank, 0);
    assert_int_equal(group.size, 1);
    assert_int_equal(group.lanes, lanes);
    assert_int_equal(group.lane_first, 0);
    assert_int_equal(group.lane_count, lanes);
  }
}

TEST(lanes_that_are_no_power_of_two) {
  const int wrong[] = {0, -1, 3, 6, 12};
  for (int i = 0; i < 5; i++) {
    es_group_t group;
    assert_fails_with(es_group_create(&group, MPI_COMM_NULL, wrong[i], fresh()), ES_INPUT, "power of two");
  }
}

TEST(lanes_cover_every_batch) {
  for (int lanes = 1; lanes <= 16; lanes *= 2) {
    es_group_t group = group_of(lanes);
    for (int64_t n = 0; n < 70; n++) {
      int64_t next = 0, first, count;
      for (int lane = 0; lane < lanes; lane++) {
        es_lane_range(n, lanes, lane, &first, &count);
        assert_int_equal(first, next);
        assert_in_range(count, n / lanes, (n + lanes - 1) / lanes);
        next = first + count;
      }
      assert_int_equal(next, n);
      es_group_range(&group, n, &first, &count);
      assert_int_equal(first, 0);
      assert_int_equal(count, n);
    }
  }
}

TEST(group_range_is_its_lanes) {
  for (int rank = 0; rank < 4; rank++) {
    es_group_t group = {
        .comm = MPI_COMM_NULL, .rank = rank, .size = 4, .lanes = 8, .lane_first = 2 * rank, .lane_count = 2};
    for (int64_t n = 0; n < 40; n++) {
      int64_t first[2], count[2], group_first, group_count;
      for (int i = 0; i < 2; i++) es_lane_range(n, 8, group.lane_first + i, &first[i], &count[i]);
      es_group_range(&group, n, &group_first, &group_count);
      assert_int_equal(group_first, first[0]);
      assert_int_equal(group_count, count[0] + count[1]);
    }
  }
}

enum { N = 37 };

static double value_of(int lane, int element) {
  uint32_t words[4];
  es_random_block(1, ES_RANDOM_TEST, (uint64_t)lane, (uint64_t)element, words);
  return ((double)words[0] - 0x1p31) / 3 * (double)(1u << (words[1] % 20)); /* dividing by 3 fills the mantissa */
}

/* The definition of the reduction tree: lanes first … first+count−1 are the sum of their halves. */
static double tree_f64(int first, int count, int element) {
  if (count == 1) return value_of(first, element);
  return tree_f64(first, count / 2, element) + tree_f64(first + count / 2, count / 2, element);
}

static float tree_f32(int first, int count, int element) {
  if (count == 1) return (float)value_of(first, element);
  return tree_f32(first, count / 2, element) + tree_f32(first + count / 2, count / 2, element);
}

TEST(tree_sum_is_the_tree) {
  for (int lanes = 1; lanes <= 32; lanes *= 2) {
    es_group_t group = group_of(lanes);
    double *values = es_allocate((size_t)lanes * N, sizeof *values);
    for (int i = 0; i < lanes * N; i++) values[i] = value_of(i / N, i % N);
    es_tree_sum_f64(&group, values, N);
    for (int i = 0; i < N; i++) assert_true(values[i] == tree_f64(0, lanes, i));
    es_free(values);
  }
}

TEST(order_matters_in_these_data) {
  int different = 0; /* otherwise the test above could not detect a wrong order */
  for (int i = 0; i < N; i++) {
    double running = 0;
    for (int lane = 0; lane < 32; lane++) running += value_of(lane, i);
    different += running != tree_f64(0, 32, i);
  }
  assert_true(different > 0);
}

TEST(stack_is_the_tree) {
  for (int lanes = 1; lanes <= 32; lanes *= 2) {
    es_group_t group = group_of(lanes);
    es_stack_t stack;
    assert_ok(es_stack_create(&stack, &group, N, fresh()));
    for (int repeat = 0; repeat < 2; repeat++) {
      es_stack_reset(&stack);
      for (int lane = 0; lane < lanes; lane++) {
        float *next = es_stack_next(&stack);
        for (int i = 0; i < N; i++) next[i] = (float)value_of(lane, i);
        es_stack_push(&stack);
      }
      const float *total = es_stack_total(&stack);
      for (int i = 0; i < N; i++) assert_true(total[i] == tree_f32(0, lanes, i));
    }
    es_stack_destroy(&stack);
  }
  es_stack_destroy(NULL);
}

TEST(stack_too_large) {
  es_group_t group = group_of(8);
  es_stack_t stack;
  assert_fails_with(es_stack_create(&stack, &group, SIZE_MAX / 8, fresh()), ES_SYSTEM, "out of memory");
  es_stack_destroy(&stack);
}

TEST(agree_without_mpi) {
  es_status_t status = {0};
  assert_int_equal(es_agree(MPI_COMM_NULL, &status), ES_OK);
  es_fail(&status, ES_SYSTEM, "test", "disk full");
  assert_int_equal(es_agree(MPI_COMM_NULL, &status), ES_SYSTEM);
  assert_string_equal(status.message, "disk full");
}
