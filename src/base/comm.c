#include "eigenscope/comm.h"
#include "eigenscope/clock.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const char STAGE[] = "comm";

void es_mpi_check(int code, const char *call, const char *file, int line) {
  if (code == MPI_SUCCESS) return;
  char reason[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0, rank = -1;
  MPI_Error_string(code, reason, &length);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  fprintf(stderr, "eigenscope: rank %d: %s:%d: %s failed: %s\n", rank, file, line, call, reason);
  MPI_Abort(MPI_COMM_WORLD, 4);
  abort();
}

static bool is_power_of_two(int n) {
  return n > 0 && (n & (n - 1)) == 0;
}

es_code_t es_group_create(es_group_t *out, MPI_Comm comm, int lanes, es_status_t *status) {
  *out = (es_group_t){.comm = comm, .rank = 0, .size = 1, .lanes = lanes};
  if (comm != MPI_COMM_NULL) {
    ES_MPI(MPI_Comm_rank(comm, &out->rank));
    ES_MPI(MPI_Comm_size(comm, &out->size));
  }
  if (!is_power_of_two(lanes)) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%d lanes: their number must be a power of two (train.lanes: 1, 2, 4, 8, ...)", lanes);
  }
  if (!is_power_of_two(out->size) || out->size > lanes) {
    return es_fail(status, ES_INPUT, STAGE,
                   "%d ranks cannot share %d lanes: --ranks-per-point must be a power of two, at most %d", out->size,
                   lanes, lanes);
  }
  out->lane_count = lanes / out->size;
  out->lane_first = out->rank * out->lane_count;
  return ES_OK;
}

es_code_t es_group_create_any(es_group_t *out, MPI_Comm comm, int lanes, es_status_t *status) {
  *out = (es_group_t){.comm = comm, .rank = 0, .size = 1, .lanes = lanes};
  if (comm != MPI_COMM_NULL) {
    ES_MPI(MPI_Comm_rank(comm, &out->rank));
    ES_MPI(MPI_Comm_size(comm, &out->size));
  }
  if (!is_power_of_two(lanes))
    return es_fail(status, ES_INPUT, STAGE, "%d lanes: their number must be a power of two", lanes);
  out->lane_first = (int)((int64_t)out->rank * lanes / out->size);
  out->lane_count = (int)((int64_t)(out->rank + 1) * lanes / out->size) - out->lane_first;
  return ES_OK;
}

int es_group_lane_owner(const es_group_t *group, int lane) {
  /* the largest rank whose first lane is at most `lane` */
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

static void count_message(const es_group_t *group, size_t bytes) {
  if (group->traffic) es_traffic_message(group->traffic, (int64_t)bytes, NULL);
}

/* A sum that began at `start`, and is one only where there is somebody to add. */
static void count_sum(const es_group_t *group, double start) {
  if (!group->traffic || group->size == 1) return;
  group->traffic->sums++;
  group->traffic->seconds += es_clock() - start;
}

ES_KERNEL static void add_f64(double *restrict into, const double *restrict from, size_t n) {
  for (size_t i = 0; i < n; i++) into[i] += from[i];
}

ES_KERNEL static void add_f32(float *restrict into, const float *restrict from, size_t n) {
  for (size_t i = 0; i < n; i++) into[i] += from[i];
}

/* Swaps n ≤ ES_MESSAGE_VALUES values of `size` bytes with the partner of one level of the tree. */
static void exchange(const es_group_t *group, int partner, const void *mine, void *theirs, size_t n, size_t size,
                     MPI_Datatype type) {
  count_message(group, n * size);
  ES_MPI(
      MPI_Sendrecv(mine, (int)n, type, partner, 0, theirs, (int)n, type, partner, 0, group->comm, MPI_STATUS_IGNORE));
}

/* The tree above the ranks' subtrees: rank pairs one bit apart, then two, ... `scratch` holds `room` values. */
static void ranks_sum_f64(const es_group_t *group, double *values, double *scratch, size_t n, size_t room) {
  const double start = es_clock();
  if (room > ES_MESSAGE_VALUES) room = ES_MESSAGE_VALUES;
  for (int bit = 1; bit < group->size; bit *= 2) {
    for (size_t done = 0, step; done < n; done += step) {
      step = n - done < room ? n - done : room;
      exchange(group, group->rank ^ bit, values + done, scratch, step, sizeof *values, MPI_DOUBLE);
      add_f64(values + done, scratch, step);
    }
  }
  count_sum(group, start);
}

void es_ranks_sum_f64(const es_group_t *group, double *values, double *scratch, size_t n) {
  ranks_sum_f64(group, values, scratch, n, n);
}

void es_ranks_sum_f32(const es_group_t *group, float *values, float *scratch, size_t n) {
  const double start = es_clock();
  for (int bit = 1; bit < group->size; bit *= 2) {
    for (size_t done = 0, step; done < n; done += step) {
      step = n - done < ES_MESSAGE_VALUES ? n - done : ES_MESSAGE_VALUES;
      exchange(group, group->rank ^ bit, values + done, scratch, step, sizeof *values, MPI_FLOAT);
      add_f32(values + done, scratch, step);
    }
  }
  count_sum(group, start);
}

/* The tree for lanes that are spread in any way: the owner of a right subtree sends it to the owner of the left one,
 * and whoever owns lane 0 tells all. */
static void tree_sum_any(const es_group_t *group, double *lanes, size_t n) {
  double scratch[ES_MESSAGE_VALUES_LEAST];
  const size_t room = sizeof scratch / sizeof *scratch;
  const double start = es_clock();
  for (int stride = 1; stride < group->lanes; stride *= 2) {
    for (int lane = 0; lane < group->lanes; lane += 2 * stride) {
      const int left = es_group_lane_owner(group, lane), right = es_group_lane_owner(group, lane + stride);
      if (group->rank != left && group->rank != right) continue;
      double *into = lanes + (size_t)(lane - group->lane_first) * n;
      double *from = lanes + (size_t)(lane + stride - group->lane_first) * n;
      if (left == right) {
        add_f64(into, from, n);
        continue;
      }
      for (size_t done = 0, step; done < n; done += step) {
        step = n - done < room ? n - done : room;
        if (group->rank == right) {
          count_message(group, step * sizeof *from);
          ES_MPI(MPI_Send(from + done, (int)step, MPI_DOUBLE, left, 0, group->comm));
        } else {
          ES_MPI(MPI_Recv(scratch, (int)step, MPI_DOUBLE, right, 0, group->comm, MPI_STATUS_IGNORE));
          add_f64(into + done, scratch, step);
        }
      }
    }
  }
  for (size_t done = 0, step; done < n; done += step) {
    step = n - done < ES_MESSAGE_VALUES ? n - done : ES_MESSAGE_VALUES;
    ES_MPI(MPI_Bcast(lanes + done, (int)step, MPI_DOUBLE, es_group_lane_owner(group, 0), group->comm));
    if (group->rank == es_group_lane_owner(group, 0)) count_message(group, step * sizeof *lanes);
  }
  count_sum(group, start);
}

void es_tree_sum_f64(const es_group_t *group, double *lanes, size_t n) {
  if (!is_power_of_two(group->size) || group->size > group->lanes) {
    tree_sum_any(group, lanes, n);
    return;
  }
  for (int stride = 1; stride < group->lane_count; stride *= 2) {
    for (int lane = 0; lane < group->lane_count; lane += 2 * stride) {
      add_f64(lanes + (size_t)lane * n, lanes + (size_t)(lane + stride) * n, n);
    }
  }
  if (group->lane_count > 1) {
    ranks_sum_f64(group, lanes, lanes + n, n, n);
  } else {
    double scratch[ES_MESSAGE_VALUES_LEAST]; /* a rank with one lane has no lane to spare, and nothing here may fail for
                                                lack of memory */
    ranks_sum_f64(group, lanes, scratch, n, sizeof scratch / sizeof scratch[0]);
  }
}

void es_group_allreduce_f64(const es_group_t *group, double *values, size_t n) {
  if (group->size == 1) return;
  const double start = es_clock();
  const size_t most = (size_t)INT_MAX / 16;
  for (size_t done = 0, step; done < n; done += step) {
    step = n - done < most ? n - done : most;
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, values + done, (int)step, MPI_DOUBLE, MPI_SUM, group->comm));
  }
  if (!group->traffic) return;
  es_traffic_allreduce(group->traffic, group->size, (int64_t)(n * sizeof *values), NULL);
  group->traffic->seconds += es_clock() - start;
}

size_t es_stack_vectors(const es_group_t *group) {
  size_t vectors = 2;
  for (int lanes = group->lane_count; lanes > 1; lanes /= 2) vectors++;
  return vectors;
}

void es_stack_place(es_stack_t *out, float *memory, size_t n) {
  *out = (es_stack_t){.n = n, .data = memory};
}

es_code_t es_stack_create(es_stack_t *out, const es_group_t *group, size_t n, es_status_t *status) {
  *out = (es_stack_t){.n = n};
  const size_t vectors = es_stack_vectors(group);
  size_t size;
  if (!__builtin_mul_overflow(n, sizeof(float), &size)) out->data = es_allocate(vectors, size);
  if (out->data == NULL) {
    return es_fail(status, ES_SYSTEM, STAGE, "out of memory: %zu vectors of %zu floats to add up over the lanes",
                   vectors, n);
  }
  return ES_OK;
}

void es_stack_destroy(es_stack_t *stack) {
  if (stack == NULL) return;
  es_free(stack->data);
  *stack = (es_stack_t){0};
}

void es_stack_reset(es_stack_t *stack) {
  stack->depth = 0;
  stack->count = 0;
}

float *es_stack_next(es_stack_t *stack) {
  return stack->data + (size_t)stack->depth * stack->n;
}

void es_stack_push(es_stack_t *stack) {
  stack->depth++;
  stack->count++;
  /* A binary counter: two subtrees of equal size on top become one, as a carry does. */
  for (int carry = stack->count; carry % 2 == 0; carry /= 2) {
    stack->depth--;
    float *top = stack->data + (size_t)stack->depth * stack->n;
    add_f32(top - stack->n, top, stack->n);
  }
}

const float *es_stack_total(const es_stack_t *stack) {
  assert(stack->depth == 1); /* all lanes of the rank were pushed, a power of two */
  return stack->data;
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

es_code_t es_agree(MPI_Comm comm, es_status_t *status) {
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
  const double start = es_clock();
  const es_code_t code = es_agree(group->comm, status);
  if (group->traffic && group->size > 1) group->traffic->seconds += es_clock() - start;
  return code;
}
