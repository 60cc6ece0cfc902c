/* Progress output of a run: whole lines printed by the leader of each group, or one live line on a terminal. */
#ifndef ES_RUN_PROGRESS_H
#define ES_RUN_PROGRESS_H

#include "eigenscope/pipeline.h"
#include "eigenscope/run.h"
#include "eigenscope/schedule.h"

/* Erases the live line; print it before any other line on stderr. */
#define ES_PROGRESS_ERASE "\r\033[K"

typedef struct es_progress {
  es_progress_mode_t mode;
  bool verbose;
  es_varying_t varying;    /* axes that vary between points */
  es_schedule_t *schedule; /* borrowed */
  int64_t points;          /* points to run */
  int64_t index;           /* the current point */
  int64_t place;           /* number of finished points when this one ended; 0 while it runs */
  double started;
} es_progress_t;

/* Implements es_pipeline_t.report. */
void es_progress_epoch(void *context, const es_epoch_report_t *report);
/* Implements es_pipeline_t.warn: prints a line on stderr. */
void es_progress_warn(void *context, const char *message);
/* Reports the outcome of a finished point, with `verbose` also the stage times. Collective over the group's comm. */
void es_progress_point(es_progress_t *progress, const es_point_t *point, const es_pipeline_t *pipeline,
                       const es_status_t *status);
/* Prints the largest memory of a rank, and the sum over the first node's ranks. Collective over MPI_COMM_WORLD. */
void es_progress_memory(const es_progress_t *progress);
/* Ends a live line. Called on rank 0. */
void es_progress_end(const es_progress_t *progress);

#endif
