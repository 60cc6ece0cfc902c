/** The whole flow of one point. Read this first, then src/pipeline/pipeline.c:
 *
 *   data -> model -> train -> capture -> covariance -> (MPI) reduce -> spectrum -> saturation -> one HDF5 file
 *
 * A point is a pure function of its description (point.h) and of its data. What is done, failed or missing is read off
 * the result files; a state file lets a killed point go on. */
#ifndef EIGENSCOPE_PIPELINE_H
#define EIGENSCOPE_PIPELINE_H

#include "eigenscope/comm.h"
#include "eigenscope/data.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/store.h"
#include "eigenscope/train.h"
#include <stdbool.h>

/** Where the time of a point went; the names are those of --verbose. */
typedef enum es_stage {
  ES_STAGE_PREPARE,  /**< selecting samples, building kernels, reading a state */
  ES_STAGE_TRAIN,    /**< training epochs without what is measured below */
  ES_STAGE_EVALUATE, /**< evaluation passes without what is measured below */
  ES_STAGE_CAPTURE,  /**< rows into covariances */
  ES_STAGE_WAIT,     /**< sums over ranks inside training and evaluation: messages and waiting for slower ranks */
  ES_STAGE_REDUCE,   /**< covariances over lanes and ranks */
  ES_STAGE_SPECTRUM, /**< eigenvalues */
  ES_STAGE_PROBE,    /**< probes, with their passes over both splits */
  ES_STAGE_STORE,    /**< states and results to disk */
  ES_STAGES
} es_stage_t;
extern const char *const es_stage_names[ES_STAGES];

/** What an epoch consists of, apart from what is saved. */
typedef enum es_work {
  ES_WORK_TRAIN,    /**< a step is a batch, with the capture of its outputs */
  ES_WORK_EVALUATE, /**< the same without training */
  ES_WORK_MEASURE,  /**< a step is a split: covariances over lanes and ranks, eigenvalues and what is made of them */
  ES_WORKS
} es_work_t;
extern const char *const es_work_names[ES_WORKS];

/** What one kind of work took in an epoch. Traffic (traffic.h) is that of the busiest rank. */
typedef struct es_effort {
  int64_t steps, images;         /**< no images are counted where they were measured before */
  double seconds;                /**< of the leader */
  int64_t sums, messages, bytes; /**< in all steps */
  double least, mean, most;      /**< seconds in sums and agreements, over the ranks: messages, and waiting for slower
                                    ranks */
} es_effort_t;

/** What a leader reports after each epoch. */
typedef struct es_epoch_report {
  const es_point_t *point;
  const char *point_id;
  int32_t epoch, epochs;
  bool trained; /**< false for epoch 0, which is only evaluated */
  es_epoch_stats_t stats[ES_SPLITS];
  int ranks;
  es_effort_t efforts[ES_WORKS];
  double saturation; /**< mean over layers but the output layer, first delta, eval if measured else train; NaN when not
                        measured */
} es_epoch_report_t;

/** What a run gives to all of its points. Borrowed pointers. */
typedef struct es_pipeline {
  MPI_Comm comm;      /**< ranks of this group */
  const char *output; /**< folder of results; its sub-folders exist */
  int64_t n_points;   /**< of the grid: whether results lie in sub-folders (es_result_path) */
  const char *job_name;
  const char *engine; /**< libraries and instruction set: what decides bits */
  const es_provenance_t *provenance;
  int n_provenance;
  es_watch_t watch;
  bool dry_run;           /**< one batch of each pass, nothing is written */
  bool accept_cpu_change; /**< of a state file */
  /** Called on the leader; NULL on all ranks if on one. */
  void (*report)(void *context, const es_epoch_report_t *report);
  void *report_context;
  /** Leader only; may be NULL: something went wrong and was made good. */
  void (*warn)(void *context, const char *message);
  double *profile;                 /**< or NULL; out: seconds of training by es_kind_t, this rank, added to */
  double stage_seconds[ES_STAGES]; /**< out: of the last point, this rank */
} es_pipeline_t;

/** Does one point: trains (from a state if there is one), measures, and leaves <output>/points/<id>.h5. `point` is
 * bound.
 *
 * ES_OK: the file is there, outcome "complete". ES_DIVERGED: the file is there, outcome "diverged", with the epochs so
 * far. ES_STOPPED: told to stop, the last saved state stays. Else: nothing was written, the machine or an input failed.
 * Collective over comm; all ranks return the same code. */
es_code_t es_pipeline_point(es_pipeline_t *pipeline, const es_point_t *point, const char *point_id,
                            const es_dataset_t *dataset, es_status_t *status);

#endif
