/** Hand-out of points to groups of ranks: one shared counter, the most expensive point first. No server: whoever is
 * free takes the next number (MPI_Fetch_and_op on rank 0's window). One-sided calls wait for a busy target on some
 * transports, so every rank calls es_schedule_progress at each batch. */
#ifndef EIGENSCOPE_SCHEDULE_H
#define EIGENSCOPE_SCHEDULE_H

#include "eigenscope/status.h"
#include <mpi.h>
#include <stdint.h>

typedef struct es_schedule es_schedule_t;

/** Sizes of the groups that `ranks` ranks form: as many of `ranks_per_point` as fit, then smaller powers of two for the
 * rest. Rank `rank` belongs to group *group (0 …), of which it is rank *rank_in_group. Pure. */
void es_schedule_assign(int rank, int ranks, int ranks_per_point, int *group, int *rank_in_group);

/** Splits comm into groups and opens the counter. `order`: the n points in the order of work, `cost` of each, same on
 * every rank; copied. Collective over comm; all ranks return the same code. */
es_code_t es_schedule_create(es_schedule_t **out, MPI_Comm comm, int ranks_per_point, const int64_t *order,
                             const double *cost, int64_t n, es_status_t *status);
/** Collective over comm. NULL is fine. */
void es_schedule_destroy(es_schedule_t *schedule);

/** This rank's group. Borrowed. */
MPI_Comm es_schedule_group(const es_schedule_t *schedule);
int es_schedule_group_number(const es_schedule_t *schedule);

/** The next point for this rank's group, or −1 when none is left. Collective over the group. */
int64_t es_schedule_next(es_schedule_t *schedule);
/** Tells the others that a point is done; the leader of the group alone. Returns how many are done with it, each number
 * once; 0 for a point that is none of the schedule. */
int64_t es_schedule_finished(es_schedule_t *schedule, int64_t point);
/** Points finished so far by all groups, and the share (0 … 1) of the whole cost in them. The leader of the group
 * alone. */
void es_schedule_look(es_schedule_t *schedule, int64_t *finished, double *share);
/** Lets MPI work on one-sided calls of others. Cheap; any rank, any time. */
void es_schedule_progress(es_schedule_t *schedule);

#endif
