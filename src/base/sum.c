/* Sums over lanes and ranks in one fixed tree. */
#include "eigenscope/clock.h"
#include "eigenscope/comm.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <limits.h>
#include <stdlib.h>

static const char STAGE[] = "comm";

enum { MESSAGE_DOUBLES = ES_MESSAGE_BYTES / sizeof(double), RANKS_BITS = 31 };

static void count_message(const es_group_t *group, size_t bytes) {
  if (group->traffic) es_traffic_message(group->traffic, (int64_t)bytes);
}

/* Counts a sum over the ranks, if there is more than one rank. */
static void count_sum(const es_group_t *group, es_timer_t *timer) {
  if (!group->traffic || group->size == 1) return;
  group->traffic->sums++;
  group->traffic->seconds += es_timer_stop(timer);
}

ES_KERNEL static void add_f64(void *restrict into, const void *restrict from, size_t n) {
  double *restrict a = into;
  const double *restrict b = from;
  for (size_t i = 0; i < n; i++) a[i] += b[i];
}

ES_KERNEL static void add_f32(void *restrict into, const void *restrict from, size_t n) {
  float *restrict a = into;
  const float *restrict b = from;
  for (size_t i = 0; i < n; i++) a[i] += b[i];
}

/* ---- over the ranks ---- */

/* State of one sum. */
typedef struct sum {
  const es_group_t *group;
  char *values, *scratch;
  size_t size; /* bytes of a number */
  size_t room; /* numbers that fit into scratch */
  MPI_Datatype type;
  void (*add)(void *into, const void *from, size_t n);
} sum_t;

typedef struct part {
  size_t first, n;
} part_t;

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Receives numbers first … end−1 of the part `in` from the partner (into the scratch if they are added) and sends those
 * of `out`. Both sides cut messages equally. Received numbers are added in order, after the numbers at the same
 * position are sent. */
static void trade_window(const sum_t *s, int partner, part_t out, part_t in, bool adds, size_t first, size_t end) {
  const size_t message = ES_MESSAGE_BYTES / s->size;
  MPI_Request come[ES_MESSAGES_WINDOW], go[ES_MESSAGES_WINDOW];
  char *target = adds ? s->scratch : s->values + (in.first + first) * s->size;
  const size_t in_end = least(in.n, end), out_end = least(out.n, end);
  int n_come = 0, n_go = 0;
  for (size_t i = first; i < in_end; i += message)
    ES_MPI(MPI_Irecv(target + (i - first) * s->size, (int)least(message, in_end - i), s->type, partner, 0,
                     s->group->comm, &come[n_come++]));
  for (size_t i = first; i < out_end; i += message) {
    const size_t n = least(message, out_end - i);
    count_message(s->group, n * s->size);
    ES_MPI(MPI_Isend(s->values + (out.first + i) * s->size, (int)n, s->type, partner, 0, s->group->comm, &go[n_go++]));
  }
  for (int k = 0; k < n_come; k++) {
    const size_t i = first + (size_t)k * message;
    ES_MPI(MPI_Wait(&come[k], MPI_STATUS_IGNORE));
    if (k < n_go) ES_MPI(MPI_Wait(&go[k], MPI_STATUS_IGNORE));
    if (adds) s->add(s->values + (in.first + i) * s->size, target + (i - first) * s->size, least(message, in_end - i));
  }
  for (int k = n_come; k < n_go; k++) ES_MPI(MPI_Wait(&go[k], MPI_STATUS_IGNORE));
}

/* Exchanges parts with the partner: sends `out`, receives `in` and adds it to the values or overwrites them. */
static void trade(const sum_t *s, int partner, part_t out, part_t in, bool adds) {
  const size_t message = ES_MESSAGE_BYTES / s->size, most = out.n > in.n ? out.n : in.n;
  size_t window = ES_MESSAGES_WINDOW;
  if (adds && s->room < in.n) window = least(window, s->room / message);
  for (size_t first = 0; first < most; first += window * message)
    trade_window(s, partner, out, in, adds, first, first + window * message);
}

static part_t half(part_t whole, bool upper) {
  const size_t lower = whole.n - whole.n / 2;
  return upper ? (part_t){whole.first + lower, whole.n / 2} : (part_t){whole.first, lower};
}

/* Recursive halving and doubling. One rank adds each number, in the same tree as recursive doubling: bit 0 first. */
static void sum_by_halves(const sum_t *s, size_t n) {
  const int rank = s->group->rank;
  part_t parts[RANKS_BITS + 1] = {{0, n}};
  int level = 0;
  for (int bit = 1; bit < s->group->size; bit *= 2, level++) {
    const bool upper = (rank & bit) != 0;
    parts[level + 1] = half(parts[level], upper);
    trade(s, rank ^ bit, half(parts[level], !upper), parts[level + 1], true);
  }
  for (int bit = s->group->size / 2; bit > 0; bit /= 2) {
    level--;
    trade(s, rank ^ bit, parts[level + 1], half(parts[level], !(rank & bit)), false);
  }
}

static void sum_over_ranks(const sum_t *s, size_t n) {
  es_timer_t timer = {0};
  es_timer_start(&timer);
  if (n * s->size > ES_MESSAGE_BYTES) {
    sum_by_halves(s, n);
  } else {
    const part_t all = {0, n};
    for (int bit = 1; bit < s->group->size; bit *= 2) trade(s, s->group->rank ^ bit, all, all, true);
  }
  count_sum(s->group, &timer);
}

static void ranks_sum_f64(const es_group_t *group, double *values, double *scratch, size_t room, size_t n) {
  sum_over_ranks(&(sum_t){.group = group,
                          .values = (char *)values,
                          .scratch = (char *)scratch,
                          .size = sizeof *values,
                          .room = room,
                          .type = MPI_DOUBLE,
                          .add = add_f64},
                 n);
}

size_t es_ranks_sum_room(size_t n) {
  return least(n, ES_MESSAGES_WINDOW * ES_MESSAGE_BYTES / sizeof(float));
}

void es_ranks_sum_f64(const es_group_t *group, double *values, double *scratch, size_t n) {
  ranks_sum_f64(group, values, scratch, least(n, ES_MESSAGES_WINDOW * MESSAGE_DOUBLES), n);
}

void es_ranks_sum_f32(const es_group_t *group, float *values, float *scratch, size_t n) {
  sum_over_ranks(&(sum_t){.group = group,
                          .values = (char *)values,
                          .scratch = (char *)scratch,
                          .size = sizeof *values,
                          .room = es_ranks_sum_room(n),
                          .type = MPI_FLOAT,
                          .add = add_f32},
                 n);
}

/* ---- over lanes and ranks ---- */

/* The tree for any distribution of lanes: the owner of a right subtree sends it to the owner of the left one; the owner
 * of lane 0 broadcasts the total. */
static void tree_sum_any(const es_group_t *group, double *lanes, size_t n) {
  double scratch[MESSAGE_DOUBLES];
  const size_t room = MESSAGE_DOUBLES;
  es_timer_t timer = {0};
  es_timer_start(&timer);
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
    step = n - done < room ? n - done : room;
    ES_MPI(MPI_Bcast(lanes + done, (int)step, MPI_DOUBLE, es_group_lane_owner(group, 0), group->comm));
    if (group->rank == es_group_lane_owner(group, 0)) count_message(group, step * sizeof *lanes);
  }
  count_sum(group, &timer);
}

void es_tree_sum_f64(const es_group_t *group, double *lanes, size_t n) {
  if (!es_is_power_of_two(group->size) || group->size > group->lanes) {
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
    double scratch[MESSAGE_DOUBLES]; /* on the stack: a rank may have only one lane, and must not fail */
    ranks_sum_f64(group, lanes, scratch, MESSAGE_DOUBLES, n);
  }
}

void es_group_allreduce_f64(const es_group_t *group, double *values, size_t n) {
  if (group->size == 1) return;
  es_timer_t timer = {0};
  es_timer_start(&timer);
  const size_t most = (size_t)INT_MAX / 16;
  for (size_t done = 0, step; done < n; done += step) {
    step = n - done < most ? n - done : most;
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, values + done, (int)step, MPI_DOUBLE, MPI_SUM, group->comm));
  }
  if (!group->traffic) return;
  es_traffic_allreduce(group->traffic, group->size, (int64_t)(n * sizeof *values), NULL);
  group->traffic->seconds += es_timer_stop(&timer);
}

/* ---- stacks ---- */

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
    return es_fail(status, ES_SYSTEM, STAGE, "out of memory for the sums over the lanes: %zu vectors of %zu floats",
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
  /* As in a binary counter, the carry merges the two top subtrees of equal size. */
  for (int carry = stack->count; carry % 2 == 0; carry /= 2) {
    stack->depth--;
    float *top = stack->data + (size_t)stack->depth * stack->n;
    add_f32(top - stack->n, top, stack->n);
  }
}

const float *es_stack_total(const es_stack_t *stack) {
  assert(stack->depth == 1); /* true after all lanes of the rank (a power of two) are pushed */
  return stack->data;
}
