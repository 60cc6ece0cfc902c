/** The complete flow of one point. Read this first, then src/pipeline/pipeline.c:
 *
 *   data -> model -> train -> capture -> covariance -> (MPI) reduce -> spectrum -> saturation -> one HDF5 file
 *
 * A result is a pure function of the point (point.h) and of its data. The result files show which points are done,
 * failed or missing; a state file lets a killed point resume. */
#ifndef EIGENSCOPE_PIPELINE_H
#define EIGENSCOPE_PIPELINE_H

#include "eigenscope/comm.h"
#include "eigenscope/data.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/store.h"
#include "eigenscope/train.h"
#include <stdbool.h>

/** Stages of a point, for timing; --verbose prints their names. */
typedef enum es_stage {
  ES_STAGE_PREPARE,  /**< select samples, create kernels, read a state */
  ES_STAGE_TRAIN,    /**< training epochs, without the stages below */
  ES_STAGE_EVALUATE, /**< evaluation passes, without the stages below */
  ES_STAGE_CAPTURE,  /**< accumulation of covariances */
  ES_STAGE_WAIT,     /**< sums over ranks in training and evaluation: messages and waiting for slower ranks */
  ES_STAGE_REDUCE,   /**< merging of covariances over lanes and ranks */
  ES_STAGE_SPECTRUM, /**< eigenvalues */
  ES_STAGE_PROBE,    /**< probes, including their passes over both splits */
  ES_STAGE_STORE,    /**< writing of states and results */
  ES_STAGES
} es_stage_t;
extern const char *const es_stage_names[ES_STAGES];

/** Kinds of work in an epoch, without saving. */
typedef enum es_work {
  ES_WORK_TRAIN,    /**< a step is a training batch, including the capture of its outputs */
  ES_WORK_EVALUATE, /**< a step is an evaluation batch, including the capture of its outputs */
  ES_WORK_MEASURE,  /**< a step is a split: merging of covariances, eigenvalues and quantities computed from them */
  ES_WORKS
} es_work_t;
extern const char *const es_work_names[ES_WORKS];

/** Cost of one kind of work in an epoch. Traffic (traffic.h) is that of the rank with most of it. */
typedef struct es_effort {
  int64_t steps, images;         /**< images of ES_WORK_MEASURE are not counted, because they were counted before */
  double seconds;                /**< on the leader */
  int64_t sums, messages, bytes; /**< sum over all steps */
  double least, mean, most;      /**< over the ranks: share of the rank's own time that it spends in sums and es_agree
                                    (messages, waiting), 0 to 1; before es_timing_collect `mean` is in seconds */
} es_effort_t;

/** The rank of a group that worked longest in an epoch, without waiting for others. */
typedef struct es_slowest {
  int32_t rank;   /**< in the group */
  double busy;    /**< its share of the epoch's work in which it did not wait, 0 to 1 */
  char host[128]; /**< where it runs */
} es_slowest_t;

/** Report of the leader after each epoch. */
typedef struct es_epoch_report {
  const es_point_t *point;
  const char *point_id;
  int32_t epoch, epochs;
  bool trained; /**< false for epoch 0, which is only evaluated */
  es_epoch_stats_t stats[ES_SPLITS];
  int ranks;
  es_effort_t efforts[ES_WORKS];
  es_slowest_t slowest; /**< if there are several ranks */
  double saturation; /**< mean over layers except the output layer, at `delta`, eval if measured, else train; NaN if not
                        measured */
  double delta;      /**< the headline delta (saturation.h) */
} es_epoch_report_t;

/** Stage of the status of a point that stops because its next epoch does not fit into the time that is left. */
#define ES_SHORT_OF_TIME "time"

/** Settings that all points of a run share. Borrowed pointers. */
typedef struct es_pipeline {
  MPI_Comm comm;      /**< ranks of this group */
  const char *output; /**< folder of results with existing sub-folders */
  int64_t n_points;   /**< points of the grid; decides if results lie in sub-folders (es_result_path) */
  const char *job_name;
  const char *engine; /**< libraries and instruction set, which determine the bits */
  const es_provenance_t *provenance;
  int n_provenance;
  es_watch_t watch;
  bool dry_run;           /**< run one batch of each pass and write nothing */
  bool accept_cpu_change; /**< accept a state file of another engine */
  /** Called on the leader; must be NULL on all ranks or on none. */
  void (*report)(void *context, const es_epoch_report_t *report);
  void *report_context;
  /** Called on the leader if the point goes on after an epoch (its index) of an earlier run; may be NULL. */
  void (*resumed)(void *context, const es_point_t *point, int32_t epoch);
  /** Called on the leader after an error that was handled; may be NULL. */
  void (*warn)(void *context, const char *message);
  const es_dataset_t *const *probe_datasets; /**< those of the next point's probe.datasets */
  int32_t until;   /**< epoch after which a trained point stops, with its state kept and outcome "stopped"; 0: none */
  bool stopped;    /**< out: the last point stopped there */
  double *profile; /**< or NULL; out: seconds of training by es_kind_t on this rank, added to the values */
  double stage_seconds[ES_STAGES]; /**< out: seconds of the last point on this rank */
  double share;                    /**< out: share of the last point's epochs that this call finished, 0 to 1 */
} es_pipeline_t;

/** Runs one point: trains (resumes from a state if there is one), measures, and writes <output>/points/<id>.h5. `point`
 * is bound.
 *
 * ES_OK: the file exists, outcome "complete", or "stopped" if `until` is before the end. ES_DIVERGED: the file exists,
 * outcome "diverged", with the epochs so far. ES_STOPPED: told to stop, or the next epoch does not fit into the time
 * that is left; the last saved state remains, or the state of the last epoch if the point stopped between epochs. Other
 * codes: the machine or an input failed; no result was written. Collective over comm; all ranks return the same code.
 */
es_code_t es_pipeline_point(es_pipeline_t *pipeline, const es_point_t *point, const char *point_id,
                            const es_dataset_t *dataset, es_status_t *status);

#endif
