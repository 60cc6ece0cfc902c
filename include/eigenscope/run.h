/** The batch engine: does the points of a job that have no result yet, on all ranks of MPI_COMM_WORLD. */
#ifndef EIGENSCOPE_RUN_H
#define EIGENSCOPE_RUN_H

#include "eigenscope/plan.h"
#include "eigenscope/status.h"
#include "eigenscope/store.h"

typedef enum es_progress_mode { ES_PROGRESS_NONE, ES_PROGRESS_LINES, ES_PROGRESS_LIVE } es_progress_mode_t;

/** What is asked of a run. Borrowed pointers. */
typedef struct es_run_settings {
  const char *path; /**< of the job file */
  const char *const *sets;
  int n_sets;
  const char *output, *points, *task; /**< --output, --points and --task, or NULL */
  int ranks_per_point;                /**< 0: 1, or all ranks for activations */
  double seconds;                     /**< after which it stops at the next batch; INFINITY for none */
  bool retry_failed, dry_run, accept_cpu_change;
  es_progress_mode_t progress;
  bool verbose;
} es_run_settings_t;

/** What a run has done. */
typedef struct es_run {
  es_plan_t plan;           /**< owned */
  es_selection_t selection; /**< owned; what was asked for */
  int64_t n_pending;        /**< of them: not done before */
  int64_t failed, stopped;  /**< in this run, of all ranks */
} es_run_t;

/** Signals USR1, USR2, TERM and INT stop es_run at the next batch from here on; files over the limit are an error of
 * that write. Before MPI starts, which may take long. */
void es_run_catch_signals(void);
/** Plans, checks files and memory, loads datasets, and hands the pending points out, the most expensive first. A failed
 * point is counted and never ends the others. A failure before the first point is ES_INPUT, whatever it was. Collective
 * over MPI_COMM_WORLD, all ranks return the same code; *out is to be destroyed in any case. */
es_code_t es_run(es_run_t *out, const es_run_settings_t *settings, es_status_t *status);
void es_run_destroy(es_run_t *run);

/** Provenance: version, revision, compiler, build, mpi, hdf5, blas, onednn (both with the instruction set), host, in
 * this order. Ranks and times are the caller's. Works before MPI_Init. Returns how many. Static storage. */
int es_run_provenance(const es_provenance_t **out);
/** Libraries and instruction set that decide bits: "oneDNN 2.6.3, avx2; OpenBLAS 0.3.21, Zen". Static storage. */
const char *es_run_engine(void);

/** How the points of a selection stand, read off the files of results and states. */
typedef struct es_results {
  int64_t counts[4];      /**< by es_outcome_t */
  int64_t started;        /**< of those without a sound result */
  es_selection_t missing; /**< also what is damaged; owned */
} es_results_t;

/** Looks at all points and appends a table of them; with `out` NULL names damaged files on stderr instead. *results is
 * to be destroyed in any case. */
es_code_t es_results_survey(es_results_t *results, const es_plan_t *plan, const es_selection_t *selection,
                            es_text_t *out, es_status_t *status);
void es_results_destroy(es_results_t *results);
/** Appends one row for each point of the selection that has a result: axes, outcome, accuracy, mean saturation, and
 * where the files are (what `run` ends with). Names damaged files on stderr. Returns how many points diverged or have a
 * damaged file. */
int64_t es_results_table(const es_plan_t *plan, const es_selection_t *selection, es_text_t *out);

#endif
