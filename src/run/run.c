/* The batch engine: computes the result files of a job. All ranks follow the same steps. Before the work starts, rank 0
 * alone looks at the disk and tells the others, so that all ranks see the same files. */
#include "dataset_cache.h"
#include "eigenscope/clock.h"
#include "eigenscope/comm.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/pipeline.h"
#include "eigenscope/schedule.h"
#include "eigenscope/state.h"
#include "progress.h"
#include "run_internal.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
  const es_run_settings_t *settings;
  es_run_t *out;
  int rank, ranks_per_point;
  int64_t *pending; /* owned; points to run, in the order of work */
  double *cost;     /* owned; cost of each pending point */
  es_dataset_cache_t datasets;
  es_schedule_t *schedule; /* owned */
  es_progress_t progress;
  double deadline; /* in seconds of es_clock */
} run_t;

/* ---- requests to stop ---- */

static volatile sig_atomic_t signalled;

static void on_signal(int number) {
  signalled = number;
}

void es_run_catch_signals(void) {
  static const int numbers[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
  signal(SIGXFSZ, SIG_IGN); /* a write past the size limit then fails instead of killing us */
}

static bool must_stop(void *context) {
  const run_t *run = context;
  if (run->schedule) es_schedule_progress(run->schedule);
  return signalled != 0 || es_clock() > run->deadline;
}

/* ---- choosing the pending points ---- */

/* Checks that the ranks per point do not exceed the lanes of any point. */
static es_code_t choose_groups(run_t *run, es_status_t *status) {
  const es_run_t *out = run->out;
  const int asked = run->settings->ranks_per_point;
  const bool activations = es_job_base(out->plan.job)->source == ES_SOURCE_ACTIVATIONS;
  run->ranks_per_point = asked > 0 ? asked : 1;
  if (activations && asked == 0) ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &run->ranks_per_point));
  if (activations) return ES_OK;
  if (asked & (asked - 1))
    return es_fail(status, ES_INPUT, "run", "--ranks-per-point %d: must be a power of two (1, 2, 4, 8, ...)", asked);
  for (int64_t i = 0; i < out->selection.n; i++) {
    es_point_t point;
    es_plan_point(&out->plan, out->selection.index[i], &point);
    if (run->ranks_per_point > point.train.lanes)
      return es_fail(
          status, ES_INPUT, "run",
          "--ranks-per-point %d: point %lld has only %d lane%s, and at most one rank per lane can work on it "
          "(set train.lanes: %d)",
          asked, (long long)out->selection.index[i], point.train.lanes, point.train.lanes == 1 ? "" : "s", asked);
  }
  return ES_OK;
}

static bool is_pending(const run_t *run, int64_t index) {
  const char *output = run->out->plan.output, *id = es_grid_id(run->out->plan.grid, index);
  char path[ES_PATH_MAX], state[ES_PATH_MAX];
  es_result_summary_t summary;
  if (run->settings->dry_run) return true;
  es_result_find(path, output, id);
  es_result_summarize(&summary, path);
  if (summary.outcome == ES_OUTCOME_COMPLETE) { /* killed, or the disk failed, before its state was removed */
    es_state_path(state, output, id);
    es_state_remove(state);
  }
  if (summary.outcome == ES_OUTCOME_DAMAGED)
    fprintf(stderr, "eigenscope: warning: %s: is damaged, so the point is computed again: %s\n", path, summary.reason);
  run->out->unreadable += summary.outcome == ES_OUTCOME_UNREADABLE; /* es_results_table says so at the end */
  if (summary.outcome == ES_OUTCOME_UNREADABLE) return false;
  if (summary.outcome == ES_OUTCOME_DIVERGED) return run->settings->retry_failed;
  return summary.outcome != ES_OUTCOME_COMPLETE;
}

typedef struct item {
  int64_t index;
  double cost;
} item_t;

/* Orders by descending cost, then ascending index. */
static int compare_items(const void *a, const void *b) {
  const item_t *x = a, *y = b;
  if (x->cost != y->cost) return x->cost < y->cost ? 1 : -1;
  return x->index < y->index ? -1 : x->index > y->index;
}

/* Finds the points without a result. Rank 0 looks at the files and tells the others. */
static es_code_t find_pending(run_t *run, es_status_t *status) {
  const es_selection_t *selection = &run->out->selection;
  int64_t n = 0;
  item_t *items = es_allocate((size_t)selection->n, sizeof *items);
  run->pending = es_allocate((size_t)selection->n, sizeof *run->pending);
  run->cost = es_allocate((size_t)selection->n, sizeof *run->cost);
  if (!items || !run->pending || !run->cost) es_out_of_memory(status, "run", "%lld points", (long long)selection->n);
  if (es_agree(MPI_COMM_WORLD, status) != ES_OK) goto out;
  for (int64_t i = 0; run->rank == 0 && i < selection->n; i++) {
    const int64_t index = selection->index[i];
    if (is_pending(run, index)) items[n++] = (item_t){index, es_plan_cost(&run->out->plan, index)};
  }
  qsort(items, (size_t)n, sizeof *items, compare_items);
  ES_MPI(MPI_Bcast(&n, 1, MPI_INT64_T, 0, MPI_COMM_WORLD));
  ES_MPI(MPI_Bcast(items, (int)((size_t)n * sizeof *items), MPI_BYTE, 0, MPI_COMM_WORLD)); /* at most a million items */
  for (int64_t i = 0; i < n; i++) {
    run->pending[i] = items[i].index;
    run->cost[i] = items[i].cost;
  }
  run->out->n_pending = n;
out:
  es_free(items);
  return status->code;
}

/* ---- files ---- */

static es_code_t make_folders(const run_t *run, es_status_t *status) {
  static const char *const folders[] = {"points", "state", "checkpoints"};
  char path[ES_PATH_MAX + 16];
  for (size_t i = 0; i < sizeof folders / sizeof *folders && run->rank == 0; i++) {
    snprintf(path, sizeof path, "%s/%s", run->out->plan.output, folders[i]);
    if (es_directory_create(path, status) != ES_OK) break;
  }
  /* Like es_result_path, one subfolder for the first two digits of the id. */
  const int below = es_grid_count(run->out->plan.grid) > ES_FLAT_POINTS ? 256 : 0;
  for (int i = 0; i < below && run->rank == 0 && status->code == ES_OK; i++) {
    snprintf(path, sizeof path, "%s/points/%02x", run->out->plan.output, (unsigned)i);
    es_directory_create(path, status);
  }
  return es_agree(MPI_COMM_WORLD, status);
}

/* Checks a job of activations: the files must be sound, and be those from which an existing result was made. */
static es_code_t check_activations(const run_t *run, es_status_t *status) {
  const es_plan_t *plan = &run->out->plan;
  es_external_info_t info;
  char path[ES_PATH_MAX];
  es_result_summary_t summary;
  if (run->rank == 0 && es_plan_external(plan, &info, status) == ES_OK) {
    es_result_find(path, plan->output, es_grid_id(plan->grid, 0));
    es_result_summarize(&summary, path);
    if ((summary.outcome == ES_OUTCOME_COMPLETE || summary.outcome == ES_OUTCOME_DIVERGED) &&
        strcmp(summary.fingerprint, info.fingerprint) != 0)
      es_fail(status, ES_INPUT, "run",
              "%s: was measured on other activations (fingerprint %s, but the files now have %s); use another "
              "--output, or remove this result",
              path, summary.fingerprint, info.fingerprint);
    es_external_info_destroy(&info);
  }
  return es_agree(MPI_COMM_WORLD, status);
}

/* Loads the datasets of the pending points, and checks existing results against them. */
static es_code_t load_data(run_t *run, es_status_t *status) {
  const es_plan_t *plan = &run->out->plan;
  run->datasets.plan = plan;
  if (run->datasets.stream && run->rank == 0 && run->progress.mode != ES_PROGRESS_NONE)
    printf("the images do not fit into memory, so they are read from the file during the run\n");
  if (es_job_base(plan->job)->source == ES_SOURCE_ACTIVATIONS) return check_activations(run, status);
  for (int64_t i = 0; i < run->out->n_pending; i++) {
    es_point_t point;
    es_plan_point(plan, run->pending[i], &point);
    ES_TRY(es_dataset_cache_add(&run->datasets, &point, status));
  }
  return es_dataset_cache_check(&run->datasets, &run->out->selection, status);
}

/* ---- the work ---- */

static void note_outcome(run_t *run, const es_pipeline_t *pipeline, int64_t index, const es_point_t *point,
                         const es_status_t *status) {
  const bool stopped = status->code == ES_STOPPED, failed = status->code != ES_OK && !stopped;
  int rank;
  ES_MPI(MPI_Comm_rank(pipeline->comm, &rank));
  run->progress.place = rank == 0 && !stopped ? es_schedule_finished(run->schedule, index) : 0;
  run->out->stopped += rank == 0 && stopped;
  run->out->failed += rank == 0 && failed;
  if (rank == 0 && failed)
    fprintf(stderr, "%seigenscope: point %lld (%s): %s\n",
            run->progress.mode == ES_PROGRESS_LIVE ? ES_PROGRESS_ERASE : "", (long long)index,
            es_grid_id(run->out->plan.grid, index), status->message);
  es_progress_point(&run->progress, point, pipeline, status);
  run->progress.place = 0;
}

/* Runs points until none is left or a stop is requested; a point that fails does not end the others. */
static es_code_t run_points(run_t *run, es_status_t *status) {
  es_run_t *out = run->out;
  ES_TRY(es_schedule_create(&run->schedule, MPI_COMM_WORLD, run->ranks_per_point, run->pending, run->cost,
                            out->n_pending, status));
  run->progress.points = out->n_pending;
  run->progress.started = es_clock();
  run->progress.schedule = run->schedule;
  es_pipeline_t pipeline = {.comm = es_schedule_group(run->schedule),
                            .output = out->plan.output,
                            .n_points = es_grid_count(out->plan.grid),
                            .job_name = es_job_name(out->plan.job),
                            .engine = es_run_engine(),
                            .watch = {must_stop, run},
                            .dry_run = run->settings->dry_run,
                            .accept_cpu_change = run->settings->accept_cpu_change,
                            .report = es_progress_epoch,
                            .report_context = &run->progress,
                            .warn = es_progress_warn};
  pipeline.n_provenance = es_run_provenance(&pipeline.provenance);
  for (int64_t index; (index = es_schedule_next(run->schedule)) >= 0;) {
    es_point_t point;
    es_status_t own = {0};
    es_plan_point(&out->plan, index, &point);
    run->progress.index = index;
    es_pipeline_point(&pipeline, &point, es_grid_id(out->plan.grid, index),
                      point.source == ES_SOURCE_ACTIVATIONS ? NULL : es_dataset_cache_find(&run->datasets, &point),
                      &own);
    note_outcome(run, &pipeline, index, &point, &own);
    if (own.code == ES_STOPPED) break;
  }
  int64_t counts[2] = {out->failed, out->stopped};
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, counts, 2, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD));
  out->failed = counts[0];
  out->stopped = counts[1];
  if (run->rank == 0) es_progress_end(&run->progress);
  return ES_OK;
}

/* Does everything before the first point. */
static es_code_t prepare(run_t *run, es_status_t *status) {
  const es_run_settings_t *settings = run->settings;
  es_run_t *out = run->out;
  ES_TRY(es_run_share_plan(&out->plan, settings, status));
  es_varying_find(&out->plan, &run->progress.varying);
  es_plan_select(&out->plan, settings->points, settings->task, &out->selection, status);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  ES_TRY(choose_groups(run, status));
  ES_TRY(find_pending(run, status));
  const es_selection_t pending = {out->n_pending, run->pending};
  if (run->rank == 0 && settings->progress != ES_PROGRESS_NONE) es_plan_print_notes(&out->plan, &pending);
  ES_TRY(es_run_check_memory(&out->plan, run->pending, out->n_pending, run->ranks_per_point, &run->datasets.stream,
                             status));
  return load_data(run, status);
}

es_code_t es_run(es_run_t *out, const es_run_settings_t *settings, es_status_t *status) {
  run_t run = {.settings = settings,
               .out = out,
               .progress = {.mode = settings->progress, .verbose = settings->verbose},
               .deadline = es_clock() + settings->seconds};
  *out = (es_run_t){0};
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &run.rank));
  es_code_t code = prepare(&run, status);
  if (code == ES_SYSTEM) code = status->code = ES_INPUT; /* no point was run */
  if (code == ES_OK && out->n_pending > 0 && !settings->dry_run) code = make_folders(&run, status);
  if (code == ES_OK && out->n_pending > 0) code = run_points(&run, status);
  if (code == ES_OK && settings->verbose) es_progress_memory(&run.progress);
  es_schedule_destroy(run.schedule);
  es_dataset_cache_destroy(&run.datasets);
  es_free(run.pending);
  es_free(run.cost);
  return code;
}

void es_run_destroy(es_run_t *run) {
  es_selection_destroy(&run->selection);
  es_plan_destroy(&run->plan);
}
