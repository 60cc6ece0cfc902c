/* Time of a point by stage and by kind of work, and the traffic between its ranks. */
#ifndef ES_PIPELINE_TIMING_H
#define ES_PIPELINE_TIMING_H

#include "eigenscope/pipeline.h"

typedef struct es_timing {
  double *stages;                /* seconds by es_stage_t; borrowed from the settings of the run */
  es_traffic_t traffic;          /* of this rank since the point began; es_group_t updates it */
  es_effort_t efforts[ES_WORKS]; /* of this rank in the current epoch */
  double started;                /* es_clock at the start of the point */
  char start[32];                /* UTC date at the start of the point */
} es_timing_t;

void es_timing_start(es_timing_t *timing, double *stages);
/* Adds the time since `since` to a stage. */
void es_timing_charge(es_timing_t *timing, es_stage_t stage, double since);

/* The moment at which some work begins. */
typedef struct es_timing_mark {
  double clock;
  es_traffic_t traffic;
} es_timing_mark_t;
es_timing_mark_t es_timing_mark(const es_timing_t *timing);
/* Adds the time and the traffic since `since` to a kind of work of this epoch. */
void es_timing_work(es_timing_t *timing, es_work_t work, const es_timing_mark_t *since, int64_t steps, int64_t images);
/* Ends the epoch: collects all ranks' efforts in the leader's `out`, finds the slowest rank (of several), and resets
 * the efforts. Collective over the group. */
void es_timing_collect(es_timing_t *timing, const es_group_t *group, es_effort_t out[ES_WORKS], es_slowest_t *slowest);

#endif
