/* What a run says while it works: whole lines by the leader of each group, or one live line on a terminal. */
#ifndef ES_RUN_PROGRESS_H
#define ES_RUN_PROGRESS_H

#include "eigenscope/pipeline.h"
#include "eigenscope/run.h"
#include "eigenscope/schedule.h"

/* What goes before a line on stderr that takes the place of the live one. */
#define ES_PROGRESS_ERASE "\r\033[K"

typedef struct es_progress {
  es_progress_mode_t mode;
  bool verbose;
  es_varying_t varying;    /* axes that tell the points of this job apart */
  es_schedule_t *schedule; /* borrowed */
  int64_t points;          /* to be done in this run */
  int64_t index;           /* of the point under way */
  int64_t place;           /* of the point that was just finished among all that are; 0 while it is under way */
  double started;
} es_progress_t;

/* es_pipeline_t.report. */
void es_progress_epoch(void *context, const es_epoch_report_t *report);
/* es_pipeline_t.warn: a line on stderr. */
void es_progress_warn(void *context, const char *message);
/* After a point: its outcome, and with verbose the stage times. Collective over the group's comm. */
void es_progress_point(es_progress_t *progress, const es_point_t *point, const es_pipeline_t *pipeline,
                       const es_status_t *status);
/* The most that a rank had for itself, and the sum over the ranks of the first node. Collective over MPI_COMM_WORLD. */
void es_progress_memory(const es_progress_t *progress);
/* Ends a live line. Rank 0. */
void es_progress_end(const es_progress_t *progress);

#endif
