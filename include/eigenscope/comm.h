/** Ranks: groups that work on one point, lanes, sums in a fixed order, agreement on failures.
 *
 * Lanes (src/README.md, "Design decisions"): a batch of n samples is cut into L lanes, L a power of two; rank r of a
 * group of G ranks (a power of two ≤ L) owns lanes r·L/G … (r+1)·L/G − 1. Every sum over samples adds in order within a
 * lane, then over the lanes in one binary tree, lane 0 with lane 1 and so on. So the bits do not depend on G. */
#ifndef EIGENSCOPE_COMM_H
#define EIGENSCOPE_COMM_H

#include "eigenscope/status.h"
#include "eigenscope/traffic.h"
#include "eigenscope/watch.h"
#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Aborts with rank, source line and call if an MPI call fails. */
#define ES_MPI(call) es_mpi_check((call), #call, __FILE__, __LINE__)
void es_mpi_check(int code, const char *call, const char *file, int line);
/** Calls MPI_Init and sets the error handler so that MPI returns errors of MPI_COMM_WORLD, and of communicators derived
 * from it, to ES_MPI, which prints the error and ends the job with exit code 4; by default MPI ends the job with
 * another code. (The error handler of each window must be set separately.) */
void es_mpi_start(int *argc, char ***argv);

/** The ranks that work on one point together. */
typedef struct es_group {
  MPI_Comm comm; /**< borrowed; MPI_COMM_NULL for a group of one without MPI (tests, benches) */
  int rank, size;
  int lanes;                  /**< L */
  int lane_first, lane_count; /**< lanes of this rank */
  es_traffic_t *traffic;      /**< borrowed; counts the sums over the ranks; or NULL */
  const es_watch_t *watch;    /**< borrowed; asked between stretches of work; or NULL */
} es_group_t;

static inline bool es_is_power_of_two(int n) {
  return n > 0 && (n & (n - 1)) == 0;
}

/** Assigns lanes to the ranks of comm. ES_INPUT unless lanes and the size are powers of two, size ≤ lanes. */
es_code_t es_group_create(es_group_t *out, MPI_Comm comm, int lanes, es_status_t *status);

/** Like es_group_create, but for any number of ranks (for activation files): rank r owns lanes ⌊rL/G⌋ … ⌊(r+1)L/G⌋ − 1,
 * possibly none if there are more ranks than lanes. Such a group may use es_tree_sum_f64, es_cov_reduce and functions
 * built on them, but neither es_ranks_sum_* nor stacks. */
es_code_t es_group_create_any(es_group_t *out, MPI_Comm comm, int lanes, es_status_t *status);
/** The rank that owns a lane. */
int es_group_lane_owner(const es_group_t *group, int lane);

/** Lane `lane` of a batch of n holds samples first … first+count−1: ⌊lane·n/L⌋ … ⌊(lane+1)·n/L⌋ − 1; may be empty. */
void es_lane_range(int64_t n, int lanes, int lane, int64_t *first, int64_t *count);
/** Range of all samples of this rank, which are contiguous. */
void es_group_range(const es_group_t *group, int64_t n, int64_t *first, int64_t *count);

/** Sums n values over the lanes in the fixed tree. On entry `lanes` holds lane_count × n values of this rank's lanes,
 * in lane order (space for at least n); on return lanes[0 … n−1] holds the total on every rank (the rest is scratch).
 * Works for any group. Collective over the group. */
void es_tree_sum_f64(const es_group_t *group, double *lanes, size_t n);

/** Sums over the ranks, the upper part of the tree: on entry `values` holds the sum over this rank's lanes, on return
 * the total on every rank. Uses recursive doubling, or, for more than one message, recursive halving and then doubling
 * (traffic.h). Both add ranks that differ in bit 0, then in bit 1, …; because + is commutative, every rank gets the
 * same bits. `scratch`: es_ranks_sum_room(n) values. Collective over the group. */
size_t es_ranks_sum_room(size_t n);
void es_ranks_sum_f64(const es_group_t *group, double *values, double *scratch, size_t n);
void es_ranks_sum_f32(const es_group_t *group, float *values, float *scratch, size_t n);

/** Sums n values over the ranks by MPI_Allreduce, which does not guarantee an order of additions. Use it only for sums
 * that are exact in any order. Collective over the group. */
void es_group_allreduce_f64(const es_group_t *group, double *values, size_t n);

/** Adds float vectors of consecutive lanes in tree order while holding only log₂(lanes)+1 of them. Write the next
 * lane's vector into es_stack_next, then call es_stack_push; after the last lane es_stack_total is the sum over this
 * rank's lanes. */
typedef struct es_stack {
  size_t n;
  int depth, count; /**< vectors on the stack; lanes pushed */
  float *data;      /**< (log₂ lanes + 2) × n; owned after es_stack_create, borrowed after es_stack_place */
} es_stack_t;
es_code_t es_stack_create(es_stack_t *out, const es_group_t *group, size_t n, es_status_t *status);
/** Only after es_stack_create. */
void es_stack_destroy(es_stack_t *stack);
/** Vectors that a stack over the lanes of this rank holds: log₂ lanes + 2. */
size_t es_stack_vectors(const es_group_t *group);
/** Creates a stack in memory that the caller owns, es_stack_vectors × n floats. */
void es_stack_place(es_stack_t *out, float *memory, size_t n);
void es_stack_reset(es_stack_t *stack);
float *es_stack_next(es_stack_t *stack);
void es_stack_push(es_stack_t *stack);
const float *es_stack_total(const es_stack_t *stack);

/** Least, mean and largest value of a number over the ranks. */
typedef struct es_ranks_range {
  double least, mean, most;
} es_ranks_range_t;
/** Computes the range of each of n ≤ ES_RANKS_RANGES values, on rank 0. Collective over comm. */
enum { ES_RANKS_RANGES = 32 };
void es_ranks_range(MPI_Comm comm, const double *values, es_ranks_range_t *out, int n);

/** Broadcasts data of any size from a rank of the group to all. Collective over the group. */
void es_group_broadcast(const es_group_t *group, void *data, size_t bytes, int from);

/** Makes all ranks of comm agree on success or failure: returns the code of the lowest failing rank on every rank, with
 * its message and rank (in comm) in `status`. Collective over comm (MPI_COMM_NULL: returns status->code). */
es_code_t es_agree(MPI_Comm comm, es_status_t *status);
/** es_agree over a group; adds the time to the group's traffic. */
es_code_t es_group_agree(const es_group_t *group, es_status_t *status);
/** Ends a stretch of work: ES_STOPPED on every rank if one of them must stop. Collective over the group. */
es_code_t es_group_pause(const es_group_t *group, es_status_t *status);

#ifdef __clang_analyzer__
/* Tells the static analyser, which sees one file at a time, that no rank continues after its own failure. */
static inline es_code_t es_agree_seen(es_code_t own, es_code_t agreed) {
  return own != ES_OK ? own : agreed;
}
#define es_agree(comm, status)        es_agree_seen((status)->code, es_agree(comm, status))
#define es_group_agree(group, status) es_agree_seen((status)->code, es_group_agree(group, status))
#endif

#endif
