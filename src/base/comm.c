#include "eigenscope/comm.h"
#include "eigenscope/clock.h"
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const char STAGE[] = "comm";

void es_mpi_check(int code, const char *call, const char *file, int line) {
  if (code == MPI_SUCCESS) return;
  char reason[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0, rank = 0, started = 0, ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  const bool runs = started && !ended; /* else MPI must not be called */
  if (runs) {
    MPI_Error_string(code, reason, &length);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  }
  fprintf(stderr, "eigenscope: rank %d: %s:%d: %s failed: %s\n", rank, file, line, call, reason);
  if (runs) MPI_Abort(MPI_COMM_WORLD, 4);
  exit(4);
}

void es_mpi_start(int *argc, char ***argv) {
  ES_MPI(MPI_Init(argc, argv));
  ES_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
}

es_code_t es_group_create(es_group_t *out, MPI_Comm comm, int lanes, es_status_t *status) {
  ES_TRY(es_group_create_any(out, comm, lanes, status));
  if (es_is_power_of_two(out->size) && out->size <= lanes) return ES_OK;
  return es_fail(status, ES_INPUT, STAGE,
                 "%d ranks cannot share %d lane%s: --ranks-per-point must be a power of two, at most %d", out->size,
                 lanes, lanes == 1 ? "" : "s", lanes);
}

es_code_t es_group_create_any(es_group_t *out, MPI_Comm comm, int lanes, es_status_t *status) {
  *out = (es_group_t){.comm = comm, .rank = 0, .size = 1, .lanes = lanes};
  if (comm != MPI_COMM_NULL) {
    ES_MPI(MPI_Comm_rank(comm, &out->rank));
    ES_MPI(MPI_Comm_size(comm, &out->size));
  }
  if (!es_is_power_of_two(lanes))
    return es_fail(status, ES_INPUT, STAGE, "train.lanes is %d, but must be a power of two (1, 2, 4, 8, ...)", lanes);
  out->lane_first = (int)((int64_t)out->rank * lanes / out->size);
  out->lane_count = (int)((int64_t)(out->rank + 1) * lanes / out->size) - out->lane_first;
  return ES_OK;
}

int es_group_lane_owner(const es_group_t *group, int lane) {
  /* the largest rank whose first lane is ≤ `lane` */
  return (int)((((int64_t)lane + 1) * group->size + group->lanes - 1) / group->lanes) - 1;
}

void es_lane_range(int64_t n, int lanes, int lane, int64_t *first, int64_t *count) {
  *first = lane * n / lanes;
  *count = (lane + 1) * n / lanes - *first;
}

void es_group_range(const es_group_t *group, int64_t n, int64_t *first, int64_t *count) {
  *first = group->lane_first * n / group->lanes;
  *count = (group->lane_first + group->lane_count) * n / group->lanes - *first;
}

void es_ranks_range(MPI_Comm comm, const double *values, es_ranks_range_t *out, int n) {
  double least[ES_RANKS_RANGES], sum[ES_RANKS_RANGES], most[ES_RANKS_RANGES];
  int rank, size;
  assert(n <= ES_RANKS_RANGES);
  ES_MPI(MPI_Comm_rank(comm, &rank));
  ES_MPI(MPI_Comm_size(comm, &size));
  ES_MPI(MPI_Reduce(values, least, n, MPI_DOUBLE, MPI_MIN, 0, comm));
  ES_MPI(MPI_Reduce(values, sum, n, MPI_DOUBLE, MPI_SUM, 0, comm));
  ES_MPI(MPI_Reduce(values, most, n, MPI_DOUBLE, MPI_MAX, 0, comm));
  for (int i = 0; rank == 0 && i < n; i++) out[i] = (es_ranks_range_t){least[i], sum[i] / size, most[i]};
}

#undef es_agree /* the analyser's version in comm.h */
#undef es_group_agree
void es_group_broadcast(const es_group_t *group, void *data, size_t bytes, int from) {
  const size_t most = INT_MAX / 2;
  for (size_t done = 0, step; group->size > 1 && done < bytes; done += step) {
    step = bytes - done < most ? bytes - done : most;
    ES_MPI(MPI_Bcast((char *)data + done, (int)step, MPI_BYTE, from, group->comm));
  }
}

es_code_t es_agree(MPI_Comm comm, es_status_t *status) {
  assert(status);
  if (comm == MPI_COMM_NULL) return status->code;
  int rank, size;
  ES_MPI(MPI_Comm_rank(comm, &rank));
  ES_MPI(MPI_Comm_size(comm, &size));
  int mine = status->code == ES_OK ? size : rank;
  int lowest = size;
  ES_MPI(MPI_Allreduce(&mine, &lowest, 1, MPI_INT, MPI_MIN, comm));
  if (lowest == size) return ES_OK;
  status->rank = rank;
  ES_MPI(MPI_Bcast(status, (int)sizeof *status, MPI_BYTE, lowest, comm));
  return status->code;
}

es_code_t es_group_agree(const es_group_t *group, es_status_t *status) {
  es_timer_t timer = {0};
  es_timer_start(&timer);
  const es_code_t code = es_agree(group->comm, status);
  if (group->traffic && group->size > 1) group->traffic->seconds += es_timer_stop(&timer);
  return code;
}

es_code_t es_group_pause(const es_group_t *group, es_status_t *status) {
  if (es_watch_must_stop(group->watch)) es_fail(status, ES_STOPPED, STAGE, "stopped");
  return es_group_agree(group, status);
}
