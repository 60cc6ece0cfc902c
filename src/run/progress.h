/* Progress output of a run: whole lines printed by the leader of each group, or one live line on a terminal for each
 * running point. */
#ifndef ES_RUN_PROGRESS_H
#define ES_RUN_PROGRESS_H

#include "eigenscope/pipeline.h"
#include "eigenscope/rates.h"
#include "eigenscope/run.h"
#include "eigenscope/schedule.h"
#include "sign.h"

/* What is done of the current point: passes over the splits, weighted by the multiply-adds of their batches. */
typedef struct es_progress_part {
  int32_t epoch, epochs; /* index of the epoch that runs, and of the last one */
  int64_t batch;         /* batches done in this epoch */
  int64_t batches[ES_SPLITS];
  double weight[ES_SPLITS]; /* of a batch */
  double cost;              /* of the point; 0: unknown (activations, dry run) */
  int64_t macs;             /* of one image */
  es_precision_t precision;
  double part, since; /* what was done at the time `since`, to measure the rate */
} es_progress_part_t;

typedef struct es_progress {
  es_progress_mode_t mode;
  bool verbose, dry_run;
  es_varying_t varying;    /* axes that vary between points */
  es_schedule_t *schedule; /* borrowed */
  int64_t points;          /* points to run */
  int64_t epochs;          /* finished by this rank's group */
  int64_t index;           /* the current point */
  int64_t place;           /* number of finished points when this one ended; 0 while it runs */
  double started;
  bool leader, first; /* this rank leads its group; it is rank 0 of all */
  int ranks;          /* of the group */
  int row, rows;      /* live: this group's line, of so many */
  es_progress_part_t now;
  double next_look;  /* time of the next look at the schedule */
  double end;        /* by the last look: time when all will be done, NaN if unknown, ... */
  int64_t finished;  /* ... and finished points */
  double drawn;      /* live: time of the last drawing */
  bool estimated;    /* a time left was printed */
  char epoch[160];   /* live: numbers of the last epoch */
  es_rates_t *rates; /* borrowed; work of this rank's group, on leaders; NULL: not measured */
  char cpu[ES_RATES_CPU_SIZE];
  es_sign_t sign;     /* on leaders, unless nothing is written */
  int64_t sign_batch; /* training batches of the epoch at `sign_time`, for the speed at present */
  double sign_time;
} es_progress_t;

/* Begins a point: what its batches cost. */
void es_progress_begin(es_progress_t *progress, const es_plan_t *plan, int64_t index, const es_point_t *point);
/* Called at each batch on every rank. Not collective. */
void es_progress_batch(es_progress_t *progress, const es_point_t *point);
/* Called at each batch on every rank with the time of es_clock: replaces the sign of life if it is due. Not collective.
 */
void es_progress_sign(es_progress_t *progress, const es_point_t *point, double time);
/* Implements es_pipeline_t.resumed. */
void es_progress_resumed(void *context, const es_point_t *point, int32_t epoch);
/* Implements es_pipeline_t.report. */
void es_progress_epoch(void *context, const es_epoch_report_t *report);
/* Implements es_pipeline_t.warn: prints a line on stderr. */
void es_progress_warn(void *context, const char *message);
/* Prints a line on stderr that stays, above the live lines. */
void es_progress_print(const es_progress_t *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reports the outcome of a finished point, with `verbose` also the stage times. Collective over the group's comm. */
void es_progress_point(es_progress_t *progress, const es_point_t *point, const es_pipeline_t *pipeline,
                       const es_status_t *status);
/* Prints the largest memory of a rank, and the sum over the first node's ranks. Collective over MPI_COMM_WORLD. */
void es_progress_memory(const es_progress_t *progress);
/* Makes room for the live lines. Called on rank 0. */
void es_progress_start(const es_progress_t *progress);
/* Ends the live lines. Called on rank 0. */
void es_progress_end(const es_progress_t *progress);

#endif
