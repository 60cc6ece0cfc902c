/* Sums have equal bits on any number of ranks, and all ranks return together from failures.
 * ranks: 1 2 3 4 5 11 */
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "support/mpi.h"
#include <string.h>

enum { LANES = 8 };

/* Lane 5 is empty (zeros), as after a short last batch. Magnitudes differ, so that the order of sums changes bits. */
static double value_of(int lane, size_t element) {
  if (lane == 5) return 0;
  uint32_t words[4];
  es_random_block(1, ES_RANDOM_TEST, (uint64_t)lane, element, words);
  return ((double)words[0] - 0x1p31) / 3 * (double)(1u << (words[1] % 20)); /* dividing by 3 fills the mantissa */
}

/* The definition of the reduction tree, computed on every rank alone. */
static double tree_f64(int first, int count, size_t element) {
  if (count == 1) return value_of(first, element);
  return tree_f64(first, count / 2, element) + tree_f64(first + count / 2, count / 2, element);
}

static float tree_f32(int first, int count, size_t element) {
  if (count == 1) return (float)value_of(first, element);
  return tree_f32(first, count / 2, element) + tree_f32(first + count / 2, count / 2, element);
}

static void check_tree_sum(const es_group_t *group, size_t n) {
  double *lanes = es_allocate((size_t)(group->lane_count ? group->lane_count : 1) * n, sizeof *lanes);
  CHECK(lanes != NULL);
  for (int lane = 0; lane < group->lane_count; lane++) {
    for (size_t i = 0; i < n; i++) lanes[(size_t)lane * n + i] = value_of(group->lane_first + lane, i);
  }
  es_tree_sum_f64(group, lanes, n);
  for (size_t i = 0; i < n; i++) CHECK(lanes[i] == tree_f64(0, group->lanes, i));
  es_free(lanes);
}

/* Sums over stack and ranks, as for weight gradients. */
static void check_stack(const es_group_t *group, size_t n) {
  es_stack_t stack;
  CHECK(es_stack_create(&stack, group, n, fresh()) == ES_OK);
  for (int lane = 0; lane < group->lane_count; lane++) {
    float *next = es_stack_next(&stack);
    for (size_t i = 0; i < n; i++) next[i] = (float)value_of(group->lane_first + lane, i);
    es_stack_push(&stack);
  }
  float *values = es_allocate(2 * n, sizeof *values);
  CHECK(values != NULL);
  memcpy(values, es_stack_total(&stack), n * sizeof *values);
  es_ranks_sum_f32(group, values, values + n, n);
  for (size_t i = 0; i < n; i++) CHECK(values[i] == tree_f32(0, group->lanes, i));
  es_free(values);
  es_stack_destroy(&stack);
}

static void check_ranks_sum_f64(const es_group_t *group, size_t n) {
  double *values = es_allocate(2 * n, sizeof *values);
  CHECK(values != NULL);
  for (size_t i = 0; i < n; i++) values[i] = tree_f64(group->lane_first, group->lane_count, i);
  es_ranks_sum_f64(group, values, values + n, n);
  for (size_t i = 0; i < n; i++) CHECK(values[i] == tree_f64(0, group->lanes, i));
  es_free(values);
}

TEST(sums) {
  if ((size & (size - 1)) != 0) return;
  /* Sizes at the limits of one message and of simultaneous messages, and 0. */
  const size_t sizes[] = {0, 1, 5, 7680, 7681, 15360, 15361, 30723, 131073};
  for (int lanes = size; lanes <= LANES; lanes *= 2) { /* starts at one lane per rank, which needs no scratch */
    es_group_t group;
    CHECK(es_group_create(&group, MPI_COMM_WORLD, lanes, fresh()) == ES_OK);
    CHECK(group.rank == rank && group.size == size && group.lanes == lanes);
    CHECK(group.lane_count * size == lanes && group.lane_first == rank * group.lane_count);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      check_tree_sum(&group, sizes[i]);
      check_stack(&group, sizes[i]);
      check_ranks_sum_f64(&group, sizes[i]);
    }
    if (lanes == size) check_ranks_sum_f64(&group, 491523); /* halves exceed the simultaneous messages */
  }
}

/* Any number of ranks, also more than lanes: each lane has one owner, ranks own ordered ranges, sums are equal. */
TEST(any_groups) {
  const size_t sizes[] = {0, 1, 7681, 131073};
  for (int lanes = 1; lanes <= 16; lanes *= 2) {
    es_group_t group;
    CHECK(es_group_create_any(&group, MPI_COMM_WORLD, lanes, fresh()) == ES_OK);
    for (int lane = 0; lane < lanes; lane++) {
      const bool mine = lane >= group.lane_first && lane < group.lane_first + group.lane_count;
      CHECK(mine == (es_group_lane_owner(&group, lane) == rank));
    }
    int total = 0;
    ES_MPI(MPI_Allreduce(&group.lane_count, &total, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD));
    CHECK(total == lanes);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) check_tree_sum(&group, sizes[i]);
    CHECK(es_group_create_any(&group, MPI_COMM_WORLD, 3 * lanes, fresh()) == ES_INPUT);
  }
}

TEST(refusals) {
  es_group_t group;
  bool power_of_two = (size & (size - 1)) == 0;
  CHECK(es_group_create(&group, MPI_COMM_WORLD, LANES, fresh()) == (power_of_two ? ES_OK : ES_INPUT));
  CHECK(power_of_two == (strstr(said.message, "--ranks-per-point") == NULL));
  if (size > 1) { /* more ranks than lanes */
    CHECK(es_group_create(&group, MPI_COMM_WORLD, 1, fresh()) == ES_INPUT);
    CHECK(strstr(said.message, "at most 1") != NULL);
  }
}

/* The ranks of `failing` (bits) fail; every rank must return code, rank and message of the lowest one. */
static void check_agreement(unsigned failing) {
  es_status_t status = {0};
  if (failing >> rank & 1) es_fail(&status, rank % 2 ? ES_SYSTEM : ES_INPUT, "test", "rank %d lost its disk", rank);
  es_code_t code = es_agree(MPI_COMM_WORLD, &status);
  CHECK(code == status.code);
  if (failing == 0) {
    CHECK(code == ES_OK && status.rank == 0 && status.message[0] == '\0');
    return;
  }
  int lowest = __builtin_ctz(failing);
  char expected[64];
  snprintf(expected, sizeof expected, "rank %d lost its disk", lowest);
  CHECK(code == (lowest % 2 ? ES_SYSTEM : ES_INPUT));
  CHECK(status.rank == lowest);
  CHECK(strcmp(status.message, expected) == 0);
  CHECK(strcmp(status.stage, "test") == 0);
}

TEST(agreement) {
  for (unsigned failing = 0; failing < 1u << (size < 5 ? size : 5); failing++) check_agreement(failing);
}
