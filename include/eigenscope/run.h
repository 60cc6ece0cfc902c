/** The batch engine: runs the points of a job that have no result yet, on all ranks of MPI_COMM_WORLD. */
#ifndef EIGENSCOPE_RUN_H
#define EIGENSCOPE_RUN_H

#include "eigenscope/plan.h"
#include "eigenscope/status.h"
#include "eigenscope/store.h"

typedef enum es_progress_mode { ES_PROGRESS_NONE, ES_PROGRESS_LINES, ES_PROGRESS_LIVE } es_progress_mode_t;

/** Settings of a run. Borrowed pointers. */
typedef struct es_run_settings {
  const char *path; /**< path of the job file */
  const char *const *sets;
  int n_sets;
  const char *output, *points, *task; /**< --output, --points and --task, or NULL */
  int ranks_per_point;                /**< 0: the default, 1, or all ranks for activations */
  double seconds;                     /**< time limit, after which the run stops at the next batch; INFINITY for none */
  bool retry_failed, dry_run, accept_cpu_change;
  es_progress_mode_t progress;
  bool verbose;
} es_run_settings_t;

/** Outcome of a run. */
typedef struct es_run {
  es_plan_t plan;           /**< owned */
  es_selection_t selection; /**< owned; the requested points */
  int64_t n_pending;        /**< requested points without a result before this run */
  int64_t failed, stopped;  /**< number of points in this run, over all ranks */
  int64_t unreadable;       /**< requested points left out, because their results could not be read; on rank 0 */
} es_run_t;

/** Installs handlers: USR1, USR2, TERM and INT stop es_run at the next batch; a file that exceeds the size limit makes
 * the write fail. Call it before MPI starts, because that may take long. */
void es_run_catch_signals(void);
/** Plans, checks files and memory, loads datasets, and distributes the pending points, the most expensive first. A
 * failed point is counted; the other points continue. Any failure before the first point returns ES_INPUT. Collective
 * over MPI_COMM_WORLD, all ranks return the same code; the caller destroys *out in any case. */
es_code_t es_run(es_run_t *out, const es_run_settings_t *settings, es_status_t *status);
void es_run_destroy(es_run_t *run);

/** Provenance: version, revision, compiler, build, mpi, hdf5, blas, onednn (both with the instruction set), host, in
 * this order. The caller adds ranks and times. Works before MPI_Init. Returns the number of entries. Static storage. */
int es_run_provenance(const es_provenance_t **out);
/** Libraries and instruction set, which decide bits: "oneDNN 2.6.3, avx2; OpenBLAS 0.3.21, Zen". Static storage. */
const char *es_run_engine(void);

/** Compares the result of point `index`, if it is complete or diverged, with the job. Where a job of weights from files
 * says `classes: all`, the result must have as many classes as the dataset, because a job that leaves `classes` out has
 * the same ids. Otherwise the outcome becomes ES_OUTCOME_UNFIT, and the reason "has 2 classes, but ...; ...". Does
 * nothing if the plan does not have the dataset. */
void es_results_compare(const es_plan_t *plan, int64_t index, es_result_summary_t *summary);

/** Status of the points of a selection, from the files of results and states. */
typedef struct es_results {
  int64_t counts[ES_OUTCOMES]; /**< by es_outcome_t */
  int64_t started;             /**< points with a state but without a valid result */
  es_selection_t missing;      /**< owned; includes points with a damaged, unreadable or unfit result */
} es_results_t;

/** Inspects all points and appends a table of them; if `out` is NULL, names damaged files on stderr instead. The caller
 * destroys *results in any case. */
es_code_t es_results_survey(es_results_t *results, const es_plan_t *plan, const es_selection_t *selection,
                            es_text_t *out, es_status_t *status);
void es_results_destroy(es_results_t *results);
/** Appends the table that `run` prints at the end: one row per point of the selection with a result (axes, outcome,
 * accuracy, mean saturation) and the path of the files. Names damaged and unreadable files on stderr. `unreadable`:
 * points that the run left out because their results could not be read. Returns the number of points that diverged,
 * have a damaged or unreadable file, or were left out and have no unreadable file now. */
int64_t es_results_table(const es_plan_t *plan, const es_selection_t *selection, int64_t unreadable, es_text_t *out);

#endif
