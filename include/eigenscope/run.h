/** The batch engine: runs the points of a job that have no result yet, on all ranks of MPI_COMM_WORLD. */
#ifndef EIGENSCOPE_RUN_H
#define EIGENSCOPE_RUN_H

#include "eigenscope/plan.h"
#include "eigenscope/rates.h"
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
  double seconds;                     /**< time limit, before which the run stops; INFINITY for none */
  bool retry_failed, dry_run, accept_cpu_change, allow_emulation;
  es_progress_mode_t progress;
  bool verbose;
} es_run_settings_t;

/** A result that existed when the run began and that the run leaves as it is, so that its file is read only once. */
typedef struct es_known {
  es_outcome_t outcome; /**< ES_OUTCOME_MISSING: nothing is known */
  char *reason;         /**< owned; NULL for none */
  char fingerprint[ES_ID_SIZE];
  int32_t classes, epochs, reached;
  double accuracy, loss, mean_saturation;
} es_known_t;

/** Outcome of a run. */
typedef struct es_run {
  es_plan_t plan;             /**< owned */
  es_selection_t selection;   /**< owned; the requested points */
  int64_t n_pending;          /**< requested points without a result before this run */
  int64_t failed;             /**< number of points in this run, over all ranks */
  int64_t epochs;             /**< number of epochs that all groups finished in this run */
  int64_t stopped;            /**< pending points that this run did not finish, over all ranks */
  es_selection_t begun;       /**< owned, on rank 0: those of them that this run started */
  es_selection_t waiting;     /**< owned, on rank 0: those of them that it did not start */
  bool short_of_time;         /**< on rank 0: some were not started because they need more time than was left */
  int64_t done, diverged;     /**< requested points that were so before this run; on rank 0 */
  int64_t paused;             /**< requested points that a search had stopped early; on rank 0 */
  int64_t problems, answered; /**< of a search, after the run; on rank 0 */
  int64_t unreadable;         /**< requested points left out, because their results could not be read; on rank 0 */
  es_known_t *known;          /**< owned; for each requested point; on rank 0 */
  int64_t n_known;
} es_run_t;

/** Installs handlers: USR1, USR2, TERM and INT stop es_run (watch.h); a file that exceeds the size limit makes
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

/** Sentence for a job whose selected points need bfloat16 instructions that this CPU lacks, "this CPU (avx2) has no
 * instructions for ..."; NULL if it has them, or if no point needs them. Static storage. */
const char *es_run_lacks(const es_plan_t *plan, const es_selection_t *selection);

/** The key of this machine in rates.json: model of the CPU, and the instruction set of oneDNN. Returns out. */
const char *es_run_cpu(char out[ES_RATES_CPU_SIZE]);

/** Keeps the numbers of a summary. False without memory; then nothing is known. */
bool es_results_remember(es_known_t *out, const es_result_summary_t *summary);
/** Summarizes the result of point `index`: as it was known at the start, else by es_result_glance. `known` may be NULL.
 * Sets the path of the file, too. */
void es_results_summarize(const es_plan_t *plan, int64_t index, const es_known_t *known, char path[ES_PATH_MAX],
                          es_result_summary_t *summary);
/** Compares the result of point `index`, if it is complete or diverged, with the job. Where a job of weights from files
 * says `classes: all`, the result must have as many classes as the dataset, because a job that leaves `classes` out has
 * the same ids. Otherwise the outcome becomes ES_OUTCOME_UNFIT, and the reason "has 2 classes, but ...; ...". Does
 * nothing if the plan does not have the dataset. */
void es_results_compare(const es_plan_t *plan, int64_t index, es_result_summary_t *summary);

/** "missing", "complete", "diverged", "damaged", "unreadable", "unfit" or "stopped". Static storage. */
const char *es_outcome_word(es_outcome_t outcome);

/** Status of the points of a selection, from the files of results and states. */
typedef struct es_results {
  int64_t counts[ES_OUTCOMES]; /**< by es_outcome_t */
  int64_t started;             /**< points with a state but without a valid result */
  int64_t problems, answered;  /**< of a search */
  int64_t left_out;            /**< points without a result that a search does not need */
  int64_t running, stale;      /**< points without a valid result by their sign of life (live.h) */
  es_kinds_t kinds;            /**< of the complete and diverged points */
  es_selection_t missing;      /**< owned; includes points with a damaged, unreadable or unfit result, and points that a
                                    search has stopped, except those that a search does not need any more */
} es_results_t;

/** Inspects all points and appends a table of them, or with `json` a JSON document (slurm/README.md has its keys); if
 * `out` is NULL, names damaged files on stderr instead. With `saved`, ignores signs of life. The caller destroys
 * *results in any case. */
es_code_t es_results_survey(es_results_t *results, const es_plan_t *plan, const es_selection_t *selection, bool json,
                            bool saved, es_text_t *out, es_status_t *status);
/** Counts the result files in the folder whose ids are not in the grid: those of other versions of the job, or of other
 * jobs. 0 if out of memory. */
int64_t es_results_others(const es_plan_t *plan);
void es_results_destroy(es_results_t *results);
/** Appends the table that `run` prints at the end: one row per point of the selection with a result (axes, outcome,
 * accuracy, mean saturation) and the path of the files. Names damaged and unreadable files on stderr. `unreadable`:
 * points that the run left out because their results could not be read. `known`: one for each point, or NULL. Returns
 * the number of points that diverged, have a damaged or unreadable file, or were left out and have no unreadable file
 * now. */
int64_t es_results_table(const es_plan_t *plan, const es_selection_t *selection, const es_known_t *known,
                         int64_t unreadable, es_text_t *out);

#endif
