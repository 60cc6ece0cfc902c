/* Groups of ranks, and the assignment of points: every point once, in the order of work, for any load.
 * ranks: 1 2 3 5 8 */
#include "eigenscope/clock.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/schedule.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

enum { POINTS = 40 };

/* Groups are consecutive ranks, powers of two, not larger than requested, and as large as possible. */
TEST(place) {
  for (int per_point = 1; per_point <= 16; per_point *= 2) {
    for (int ranks = 1; ranks <= 40; ranks++) {
      int sizes[40] = {0}, last = -1;
      for (int r = 0; r < ranks; r++) {
        int group, place;
        es_schedule_assign(r, ranks, per_point, &group, &place);
        CHECK(group == last || group == last + 1);
        CHECK(place == sizes[group]);
        sizes[group]++;
        last = group;
      }
      for (int g = 0; g <= last; g++) {
        CHECK(sizes[g] <= per_point && (sizes[g] & (sizes[g] - 1)) == 0);
        CHECK(g == 0 || sizes[g] < sizes[g - 1] || sizes[g] == per_point);
        CHECK(g < ranks / per_point ? sizes[g] == per_point : sizes[g] < per_point);
      }
    }
  }
}

/* Points 100, 101, ... in reverse, so that positions and points differ; costs 1, 2, ... by position. */
static es_schedule_t *create(MPI_Comm comm, int per_point, int64_t n) {
  int64_t order[POINTS] = {0};
  double cost[POINTS] = {0};
  es_schedule_t *schedule = NULL;
  for (int64_t i = 0; i < n; i++) {
    order[i] = 100 + n - 1 - i;
    cost[i] = (double)(i + 1);
  }
  CHECK(es_schedule_create(&schedule, comm, per_point, order, cost, n, fresh()) == ES_OK);
  CHECK(schedule != NULL && said.code == ES_OK);
  return schedule;
}

/* Takes points until none is left; counts[point − 100]: points that this rank led. Some ranks are slow. */
static int64_t take_all(es_schedule_t *schedule, int64_t n, int64_t *counts) {
  int in_group;
  int64_t taken = 0, before = INT64_MAX;
  ES_MPI(MPI_Comm_rank(es_schedule_group(schedule), &in_group));
  for (int64_t point; (point = es_schedule_next(schedule)) >= 0; taken++) {
    CHECK(point >= 100 && point < 100 + n);
    CHECK(point < before); /* in the order of work */
    before = point;
    int64_t same = point;
    ES_MPI(MPI_Bcast(&same, 1, MPI_INT64_T, 0, es_schedule_group(schedule)));
    CHECK(same == point);
    for (double end = es_clock() + (rank % 3 == 0 ? 0.01 : 0.001); es_clock() < end;) es_schedule_progress(schedule);
    if (in_group != 0) continue;
    counts[point - 100]++;
    int64_t finished;
    double share;
    for (int i = 1; i < 4; i++) es_schedule_advance(schedule, 0.25 * i, i == 1); /* a quarter was done before */
    const double left = es_schedule_left(schedule, 10.0, &finished);
    CHECK(isfinite(left) && left >= 0.0 && finished >= 0);
    const int64_t place = es_schedule_finished(schedule, point);
    es_schedule_look(schedule, &finished, &share);
    CHECK(place > taken && finished >= place && finished <= n && share > 0.0 && share < 1.0 + 1e-4);
  }
  CHECK(es_schedule_next(schedule) == -1);
  return taken;
}

static void check_hand_out(MPI_Comm comm, int per_point, int64_t n) {
  es_schedule_t *schedule = create(comm, per_point, n);
  int64_t counts[POINTS] = {0};
  int group, place, ranks, in_comm, in_group, group_size, largest = 0;
  ES_MPI(MPI_Comm_rank(comm, &in_comm));
  ES_MPI(MPI_Comm_size(comm, &ranks));
  ES_MPI(MPI_Comm_rank(es_schedule_group(schedule), &in_group));
  ES_MPI(MPI_Comm_size(es_schedule_group(schedule), &group_size));
  es_schedule_assign(in_comm, ranks, per_point, &group, &place);
  CHECK(es_schedule_group_number(schedule) == group && in_group == place);
  ES_MPI(MPI_Allreduce(&group_size, &largest, 1, MPI_INT, MPI_MAX, comm));
  CHECK(largest <= per_point && (ranks < per_point || largest == per_point));
  take_all(schedule, n, counts);
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, counts, POINTS, MPI_INT64_T, MPI_SUM, comm));
  for (int64_t i = 0; i < n; i++) CHECK(counts[i] == 1);
  if (in_group == 0) { /* all points are finished, including those of other groups */
    int64_t finished;
    double share;
    es_schedule_look(schedule, &finished, &share);
    CHECK(finished == n && (n == 0 || fabs(share - 1.0) < 1e-4));
    CHECK(n == 0 ? isnan(es_schedule_left(schedule, 10.0, &finished))
                 : es_schedule_left(schedule, 10.0, &finished) < 10.0 * 2e-4);
  }
  es_schedule_destroy(schedule);
}

TEST(hand_out) {
  for (int per_point = 1; per_point <= size; per_point *= 2) {
    check_hand_out(MPI_COMM_WORLD, per_point, POINTS);
    check_hand_out(MPI_COMM_WORLD, per_point, 1);
    check_hand_out(MPI_COMM_WORLD, per_point, 0);
  }
}

/* Ranks that finish early take more: rank 0 is busy with one point until the others have emptied the list. */
TEST(balance) {
  es_schedule_t *schedule = create(MPI_COMM_WORLD, 1, POINTS);
  int64_t taken = 0;
  MPI_Request others;
  int empty = 0;
  if (rank == 0) CHECK(es_schedule_next(schedule) == 100 + POINTS - 1);
  ES_MPI(MPI_Barrier(MPI_COMM_WORLD));
  if (rank == 0 && size > 1)
    taken = 1;
  else
    for (taken = rank == 0; es_schedule_next(schedule) >= 0; taken++) es_schedule_progress(schedule);
  ES_MPI(MPI_Ibarrier(MPI_COMM_WORLD, &others));
  while (!empty) {
    es_schedule_progress(schedule);
    ES_MPI(MPI_Test(&others, &empty, MPI_STATUS_IGNORE));
  }
  CHECK(es_schedule_next(schedule) == -1);
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &taken, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD));
  CHECK(taken == POINTS);
  es_schedule_destroy(schedule);
}

/* What an earlier run did is not counted as speed: a half done before and a quarter in 10 s leave 10 s. */
TEST(time_left) {
  const int64_t order[] = {7};
  const double cost[] = {5.0};
  es_schedule_t *schedule;
  int64_t finished;
  CHECK(es_schedule_create(&schedule, MPI_COMM_WORLD, 1, order, cost, 1, fresh()) == ES_OK);
  if (es_schedule_next(schedule) == 7) {
    CHECK(isnan(es_schedule_left(schedule, 10.0, &finished)));
    es_schedule_advance(schedule, 0.5, true);
    CHECK(isnan(es_schedule_left(schedule, 10.0, &finished)));
    es_schedule_advance(schedule, 0.75, false);
    es_schedule_advance(schedule, 0.6, false); /* never back */
    CHECK(fabs(es_schedule_left(schedule, 10.0, &finished) - 10.0) < 1e-3 && finished == 0);
    CHECK(es_schedule_finished(schedule, 7) == 1);
    CHECK(es_schedule_left(schedule, 10.0, &finished) == 0.0 && finished == 1);
  }
  es_schedule_destroy(schedule);
}

/* Points of cost 0 have no share but are counted; an unknown point counts as nothing. */
TEST(points_without_cost) {
  const int64_t order[] = {3, 1};
  const double cost[] = {0.0, 0.0};
  es_schedule_t *schedule;
  CHECK(es_schedule_create(&schedule, MPI_COMM_WORLD, 1, order, cost, 2, fresh()) == ES_OK);
  if (rank == 0) {
    int64_t finished;
    double share;
    CHECK(es_schedule_finished(schedule, 3) == 1);
    CHECK(es_schedule_finished(schedule, 2) == 0);
    es_schedule_look(schedule, &finished, &share);
    CHECK(finished == 1 && share == 0.0);
  }
  es_schedule_destroy(schedule);
}

TEST(nothing_to_destroy) {
  es_schedule_destroy(NULL);
}
