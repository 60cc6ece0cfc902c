/** Distributes points to groups of ranks, the most expensive point first. There is no server rank: a free group takes
 * the next number of one shared counter (MPI_Fetch_and_op on rank 0's window). On some transports one-sided calls wait
 * for a busy target, so every rank calls es_schedule_progress at each batch. */
#ifndef EIGENSCOPE_SCHEDULE_H
#define EIGENSCOPE_SCHEDULE_H

#include "eigenscope/status.h"
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct es_schedule es_schedule_t;

/** Computes the group of a rank: `ranks` ranks form as many groups of `ranks_per_point` as fit, then groups of smaller
 * powers of two. Rank `rank` belongs to group *group (0 …) and is rank *rank_in_group in it. Pure. */
void es_schedule_assign(int rank, int ranks, int ranks_per_point, int *group, int *rank_in_group);

/** Splits comm into groups and creates the counter. `order`: the n points in order of execution; `cost`: cost of each;
 * equal on every rank; copied. Collective over comm; all ranks return the same code. */
es_code_t es_schedule_create(es_schedule_t **out, MPI_Comm comm, int ranks_per_point, const int64_t *order,
                             const double *cost, int64_t n, es_status_t *status);
/** Collective over comm. NULL is allowed. */
void es_schedule_destroy(es_schedule_t *schedule);

/** This rank's group. Borrowed. */
MPI_Comm es_schedule_group(const es_schedule_t *schedule);
int es_schedule_group_number(const es_schedule_t *schedule);

/** The next point for this rank's group, or −1 if none is left. Collective over the group. */
int64_t es_schedule_next(es_schedule_t *schedule);
/** Reports a point as done; only the leader of the group calls it. Returns the number of done points including this one
 * (each number is returned once); 0 for a point that is not in the schedule. */
int64_t es_schedule_finished(es_schedule_t *schedule, int64_t point);
/** Reports that this part (0 … 1) of the cost of the group's point is done; `skipped`: by an earlier run. Parts below
 * an earlier one are ignored. Only the leader of the group calls it. */
void es_schedule_advance(es_schedule_t *schedule, double part, bool skipped);
/** Returns the number of points that all groups finished so far, and their share (0 … 1) of the total cost. Only the
 * leader of the group calls it. */
void es_schedule_look(es_schedule_t *schedule, int64_t *finished, double *share);
/** Seconds until all points are done, if the rest goes as fast as what this run did in `elapsed` seconds; NaN before it
 * did anything. Also the number of finished points. Only the leader of the group calls it. */
double es_schedule_left(es_schedule_t *schedule, double elapsed, int64_t *finished);
/** Lets MPI process one-sided calls of other ranks. Cheap; any rank, any time. */
void es_schedule_progress(es_schedule_t *schedule);

#endif
