/** Ranks: the group that works on one point, its lanes, sums in one fixed order, agreement on failures.
 *
 * Lanes (src/README.md, "Design decisions"): a batch of n samples is cut into L lanes, L a power of two; rank r of a
 * group of G ranks (a power of two ≤ L) owns lanes r·L/G … (r+1)·L/G − 1. Whatever is summed over samples is summed in
 * order within a lane, then over the lanes in one binary tree, lane 0 with lane 1 and so on; so the bits do not depend
 * on G.
 */
#ifndef EIGENSCOPE_COMM_H
#define EIGENSCOPE_COMM_H

#include "eigenscope/status.h"
#include "eigenscope/traffic.h"
#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Aborts with rank, place and call when MPI itself fails. */
#define ES_MPI(call) es_mpi_check((call), #call, __FILE__, __LINE__)
void es_mpi_check(int code, const char *call, const char *file, int line);
/** MPI_Init. From then on what fails in MPI_COMM_WORLD, and in what is made of it, comes back to ES_MPI, which says
 * what it was and ends the job with exit code 4; MPI alone would end it with a code of its own. (Windows have to be
 * told one by one.) */
void es_mpi_start(int *argc, char ***argv);

/** The ranks that work on one point together. */
typedef struct es_group {
  MPI_Comm comm; /**< borrowed; MPI_COMM_NULL for a group of one without MPI (tests, benches) */
  int rank, size;
  int lanes;                  /**< L */
  int lane_first, lane_count; /**< lanes of this rank */
  es_traffic_t *traffic;      /**< borrowed; where sums over the ranks are counted, or NULL */
} es_group_t;

static inline bool es_is_power_of_two(int n) {
  return n > 0 && (n & (n - 1)) == 0;
}

/** Puts lanes on the ranks of comm. ES_INPUT unless the size is a power of two ≤ lanes and lanes is a power of two. */
es_code_t es_group_create(es_group_t *out, MPI_Comm comm, int lanes, es_status_t *status);

/** As es_group_create for any number of ranks, as activation files allow: rank r owns lanes ⌊rL/G⌋ … ⌊(r+1)L/G⌋ − 1,
 * none if there are more ranks than lanes. Such a group may use es_tree_sum_f64, es_cov_reduce and what is made of
 * them, but neither es_ranks_sum_* nor stacks. */
es_code_t es_group_create_any(es_group_t *out, MPI_Comm comm, int lanes, es_status_t *status);
/** The rank that owns a lane. */
int es_group_lane_owner(const es_group_t *group, int lane);

/** Samples first … first+count−1 of a batch of n are lane `lane`: ⌊lane·n/L⌋ … ⌊(lane+1)·n/L⌋ − 1; may be empty. */
void es_lane_range(int64_t n, int lanes, int lane, int64_t *first, int64_t *count);
/** All samples of this rank, one contiguous range. */
void es_group_range(const es_group_t *group, int64_t n, int64_t *first, int64_t *count);

/** Sums n values over the lanes in the fixed tree. On entry `lanes` holds lane_count × n values (room for n at least)
 * of this rank's lanes, in lane order; on return lanes[0 … n−1] holds the total on every rank (the rest is scratch).
 * Any group. Collective over the group. */
void es_tree_sum_f64(const es_group_t *group, double *lanes, size_t n);

/** The part of the tree above one rank's lanes: `values` holds this rank's subtree and becomes the total on every rank.
 * Recursive doubling, or for more than one message recursive halving and then doubling (traffic.h); either adds ranks
 * one bit apart, then two, …, and commutativity of + makes the same bits of it everywhere. `scratch`:
 * es_ranks_sum_room(n) values. Collective over the group. */
size_t es_ranks_sum_room(size_t n);
void es_ranks_sum_f64(const es_group_t *group, double *values, double *scratch, size_t n);
void es_ranks_sum_f32(const es_group_t *group, float *values, float *scratch, size_t n);

/** Sums n values over the ranks by MPI_Allreduce, whose order of additions nobody promises: for sums that are exact in
 * any order. Collective over the group. */
void es_group_allreduce_f64(const es_group_t *group, double *values, size_t n);

/** Adds up float vectors of consecutive lanes in the shape of the tree while holding only log₂(lanes)+1 of them: write
 * the next lane's vector into es_stack_next, then es_stack_push; after the last lane es_stack_total is the subtree of
 * this rank. */
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
/** A stack in memory of the caller, es_stack_vectors × n floats. */
void es_stack_place(es_stack_t *out, float *memory, size_t n);
void es_stack_reset(es_stack_t *stack);
float *es_stack_next(es_stack_t *stack);
void es_stack_push(es_stack_t *stack);
const float *es_stack_total(const es_stack_t *stack);

/** A number over the ranks. */
typedef struct es_ranks_range {
  double least, mean, most;
} es_ranks_range_t;
/** Of each of n ≤ ES_RANKS_RANGES values, on rank 0. Collective over comm. */
enum { ES_RANKS_RANGES = 32 };
void es_ranks_range(MPI_Comm comm, const double *values, es_ranks_range_t *out, int n);

/** Makes all ranks of comm leave a stage together: returns the code of the lowest failing rank on every rank, with its
 * message and rank (in comm) in `status`. Collective over comm (MPI_COMM_NULL: returns status->code). */
es_code_t es_agree(MPI_Comm comm, es_status_t *status);
/** es_agree over a group, whose traffic counts the time. */
es_code_t es_group_agree(const es_group_t *group, es_status_t *status);

#ifdef __clang_analyzer__
/* What an analyser of single files cannot know: nobody goes on after a failure of its own. */
static inline es_code_t es_agree_seen(es_code_t own, es_code_t agreed) {
  return own != ES_OK ? own : agreed;
}
#define es_agree(comm, status)        es_agree_seen((status)->code, es_agree(comm, status))
#define es_group_agree(group, status) es_agree_seen((status)->code, es_group_agree(group, status))
#endif

#endif
