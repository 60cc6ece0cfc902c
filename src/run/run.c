/* The batch engine: computes the result files of a job. All ranks follow the same steps. Before the work starts, rank 0
 * alone looks at the disk and tells the others, so that all ranks see the same files. */
#include "dataset_cache.h"
#include "eigenscope/clock.h"
#include "eigenscope/comm.h"
#include "eigenscope/epochs.h"
#include "eigenscope/file.h"
#include "eigenscope/live.h"
#include "eigenscope/memory.h"
#include "eigenscope/pipeline.h"
#include "eigenscope/schedule.h"
#include "eigenscope/search.h"
#include "eigenscope/state.h"
#include "pace.h"
#include "progress.h"
#include "run_internal.h"
#include <math.h>
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
  int32_t *until;   /* owned; epoch after which a search stops each of the sorted points, or 0 */
  int64_t *sorted;  /* owned; pending points, ascending */
  uint8_t *fate;    /* owned; what became of each of them */
  es_dataset_cache_t datasets;
  es_schedule_t *schedule; /* owned */
  es_progress_t progress;
  es_rates_t *rates;       /* owned; the work that this rank's group did, NULL in a dry run */
  const es_point_t *point; /* borrowed; the current point */
  es_pace_t pace;
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
  run_t *run = context;
  if (run->schedule) es_schedule_progress(run->schedule);
  if (run->point) es_progress_batch(&run->progress, run->point);
  const bool over = es_pace_is_over(&run->pace);
  if (run->point) es_progress_sign(&run->progress, run->point, run->pace.asked);
  return over || signalled != 0;
}

static double time_left(void *context) {
  return es_pace_left(&((const run_t *)context)->pace);
}

/* ---- choosing the pending points ---- */

/* Checks that the ranks per point do not exceed the lanes of any point. */
static es_code_t choose_groups(run_t *run, es_status_t *status) {
  const es_run_t *out = run->out;
  const int asked = run->settings->ranks_per_point;
  const bool activations = !es_source_has_network(es_job_base(out->plan.job)->source);
  run->ranks_per_point = asked > 0 ? asked : 1;
  if (activations && asked == 0) { /* all ranks: a single point has them all */
    int ranks;
    ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
    run->ranks_per_point = ranks > out->selection.n ? ranks / (int)out->selection.n : 1;
  }
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

/* `known` receives the result unless the point is pending. */
static bool is_pending(const run_t *run, int64_t index, es_live_look_t *look, es_known_t *known) {
  const char *output = run->out->plan.output, *id = es_grid_id(run->out->plan.grid, index);
  char path[ES_PATH_MAX], state[ES_PATH_MAX];
  es_result_summary_t summary;
  if (run->settings->dry_run) return true;
  es_result_find(path, output, id);
  es_result_summarize(&summary, path);
  if (summary.outcome == ES_OUTCOME_COMPLETE) { /* killed, or the disk failed, before its state was removed */
    es_state_path(state, output, id);
    es_state_remove(state);
    es_live_path(state, output, id);
    es_live_remove(state);
  } else {
    es_live_clean(look, id);
  }
  if (summary.outcome == ES_OUTCOME_DAMAGED)
    fprintf(stderr, "eigenscope: warning: %s: is damaged, so the point is computed again: %s\n", path, summary.reason);
  run->out->unreadable += summary.outcome == ES_OUTCOME_UNREADABLE; /* es_results_table says so at the end */
  run->out->done += summary.outcome == ES_OUTCOME_COMPLETE;
  run->out->diverged += summary.outcome == ES_OUTCOME_DIVERGED;
  run->out->paused += summary.outcome == ES_OUTCOME_STOPPED;
  if (summary.outcome == ES_OUTCOME_UNREADABLE) return false;
  const bool pending =
      summary.outcome == ES_OUTCOME_DIVERGED ? run->settings->retry_failed : summary.outcome != ES_OUTCOME_COMPLETE;
  if (!pending) (void)es_results_remember(known, &summary); /* else its file is read again */
  return pending;
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

static int compare_indices(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Gives all ranks the pending points of rank 0, the most expensive first. */
static void share_pending(run_t *run, item_t *items, int64_t n) {
  qsort(items, (size_t)n, sizeof *items, compare_items);
  ES_MPI(MPI_Bcast(&n, 1, MPI_INT64_T, 0, MPI_COMM_WORLD));
  ES_MPI(MPI_Bcast(items, (int)((size_t)n * sizeof *items), MPI_BYTE, 0, MPI_COMM_WORLD)); /* at most a million items */
  for (int64_t i = 0; i < n; i++) {
    run->pending[i] = items[i].index;
    run->cost[i] = items[i].cost;
    run->sorted[i] = items[i].index;
    run->fate[i] = 0;
  }
  qsort(run->sorted, (size_t)n, sizeof *run->sorted, compare_indices);
  run->out->n_pending = n;
}

/* Finds the points without a result. Rank 0 looks at the files and tells the others. */
static es_code_t find_pending(run_t *run, es_status_t *status) {
  const es_selection_t *selection = &run->out->selection;
  int64_t n = 0;
  item_t *items = es_allocate((size_t)selection->n, sizeof *items);
  run->pending = es_allocate((size_t)selection->n, sizeof *run->pending);
  run->cost = es_allocate((size_t)selection->n, sizeof *run->cost);
  run->out->n_known = run->rank == 0 ? selection->n : 0;
  run->out->known = es_allocate_zero((size_t)run->out->n_known, sizeof *run->out->known);
  run->sorted = es_allocate((size_t)selection->n, sizeof *run->sorted);
  run->fate = es_allocate_zero((size_t)selection->n, sizeof *run->fate);
  run->until = es_allocate_zero((size_t)selection->n, sizeof *run->until);
  if (!items || !run->pending || !run->cost || !run->sorted || !run->fate || !run->until || !run->out->known)
    es_out_of_memory(status, "run", "%lld points", (long long)selection->n);
  if (es_agree(MPI_COMM_WORLD, status) != ES_OK) goto out;
  es_live_look_t look = {.output = run->out->plan.output};
  for (int64_t i = 0; run->rank == 0 && i < selection->n; i++) {
    const int64_t index = selection->index[i];
    if (is_pending(run, index, &look, &run->out->known[i]))
      items[n++] = (item_t){index, es_plan_cost(&run->out->plan, index)};
  }
  share_pending(run, items, n);
out:
  es_free(items);
  return status->code;
}

/* Number of pending points that a search may still want. Called on rank 0. */
static int64_t count_wanted(const es_run_t *out, const int64_t *pending) {
  es_search_t *search = NULL;
  es_status_t looking = {0};
  int64_t n = out->n_pending;
  if (es_search_create(&search, &out->plan, &looking) == ES_OK && es_search_look(search, &looking) == ES_OK) {
    for (int64_t i = 0; i < out->n_pending; i++) n -= es_search_is_over(search, pending[i]);
  }
  es_search_destroy(search);
  return n;
}

/* Prints the first line of a run: what it will do. Called on rank 0. */
static void print_opening(const run_t *run) {
  const es_run_t *out = run->out;
  int ranks;
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
  const int64_t n = out->selection.n, grid = es_grid_count(out->plan.grid);
  const bool retry = run->settings->retry_failed, dry = run->settings->dry_run;
  const bool search = !dry && out->n_pending > 0 && es_job_search(out->plan.job)->kind != ES_SEARCH_NONE;
  const int64_t most = search ? count_wanted(out, run->pending) : out->n_pending;
  printf("%s: ", es_job_name(out->plan.job));
  if (n < grid) printf("%lld of ", (long long)n);
  printf("%lld point%s", (long long)grid, es_plural(grid));
  if (!dry) printf(", %lld done", (long long)out->done);
  if (out->diverged > 0)
    printf(", %lld diverged%s", (long long)out->diverged, retry ? "" : " (--retry-failed runs such points again)");
  if (out->unreadable > 0) printf(", %lld unreadable", (long long)out->unreadable);
  if (out->paused > 0) printf(", %lld stopped early", (long long)out->paused);
  if (search && most == 0) printf(", none to run, because the search needs no more of them");
  if (most > 0) {
    printf(", %s%lld to %s on %d rank%s", search ? "at most " : "", (long long)most, dry ? "try" : "run", ranks,
           es_plural(ranks));
    if (run->ranks_per_point > 1 && ranks > 1) printf(", %d for each point", run->ranks_per_point);
  }
  if (dry)
    printf("; nothing is written\n");
  else
    printf("; results %s %s/points/\n", most > 0 ? "go to" : "are in", out->plan.output);
  fflush(stdout);
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

/* Checks that the files of a point are those from which an existing result was made. */
static es_code_t compare_files(const run_t *run, int64_t i, const char *fingerprint, es_status_t *status) {
  char path[ES_PATH_MAX];
  es_result_summary_t summary;
  es_results_summarize(&run->out->plan, run->out->selection.index[i], &run->out->known[i], path, &summary);
  if (!es_outcome_is_sound(summary.outcome) || strcmp(summary.fingerprint, fingerprint) == 0) return ES_OK;
  return es_fail(status, ES_INPUT, "run",
                 "%s: was measured on other files (fingerprint %s, but the files now have %s); use another "
                 "--output, or remove this result",
                 path, summary.fingerprint, fingerprint);
}

/* Checks a job of activations or moments: the files must be sound, and be those of existing results. */
static es_code_t check_activations(const run_t *run, es_status_t *status) {
  const es_plan_t *plan = &run->out->plan;
  const es_selection_t *selection = &run->out->selection;
  es_external_info_t info;
  if (run->rank == 0 && plan->moments != NULL) { /* they were sound when the plan was made */
    for (int64_t i = 0; status->code == ES_OK && i < selection->n; i++)
      compare_files(run, i, plan->moments[selection->index[i]].fingerprint, status);
  } else if (run->rank == 0 && es_plan_external(plan, 0, &info, status) == ES_OK) {
    compare_files(run, 0, info.fingerprint, status);
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
  if (!es_source_has_network(es_job_base(plan->job)->source)) return check_activations(run, status);
  for (int64_t i = 0; i < run->out->n_pending; i++) {
    es_point_t point;
    es_plan_point(plan, run->pending[i], &point);
    ES_TRY(es_dataset_cache_add(&run->datasets, &point, status));
  }
  return es_dataset_cache_check(&run->datasets, &run->out->selection, run->out->known, status);
}

/* ---- the work ---- */

/* What became of a pending point. */
enum { WAITING, SHORT_OF_TIME, BEGUN, FINISHED };

static int64_t place_of(const run_t *run, int64_t index) {
  const int64_t *at = bsearch(&index, run->sorted, (size_t)run->out->n_pending, sizeof index, compare_indices);
  return at - run->sorted;
}

static void mark(run_t *run, int64_t index, uint8_t fate) {
  run->fate[place_of(run, index)] = fate;
}

static void note_outcome(run_t *run, const es_pipeline_t *pipeline, int64_t index, const es_point_t *point,
                         const es_status_t *status) {
  const bool stopped = status->code == ES_STOPPED, failed = status->code != ES_OK && !stopped;
  int rank;
  ES_MPI(MPI_Comm_rank(pipeline->comm, &rank));
  run->progress.place = rank == 0 && !stopped ? es_schedule_finished(run->schedule, index) : 0;
  mark(run, index, stopped ? BEGUN : FINISHED);
  run->out->failed += rank == 0 && failed;
  if (rank == 0 && failed)
    es_progress_print(&run->progress, "eigenscope: point %lld (%s): %s", (long long)index,
                      es_grid_id(run->out->plan.grid, index), status->message);
  es_progress_point(&run->progress, point, pipeline, status);
  run->progress.place = 0;
}

/* Prepares the output of progress, and the measurement of rates on the leaders of groups. */
static void start_progress(run_t *run) {
  es_progress_t *p = &run->progress;
  int in_group, ranks, last_in_group;
  ES_MPI(MPI_Comm_rank(es_schedule_group(run->schedule), &in_group));
  ES_MPI(MPI_Comm_size(es_schedule_group(run->schedule), &p->ranks));
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
  p->points = run->out->n_pending;
  p->started = es_clock();
  p->schedule = run->schedule;
  p->leader = in_group == 0;
  p->first = run->rank == 0;
  p->row = es_schedule_group_number(run->schedule);
  es_schedule_assign(ranks - 1, ranks, run->ranks_per_point, &p->rows, &last_in_group);
  p->rows++;
  p->end = (double)NAN;
  if (p->leader && !run->settings->dry_run) es_sign_start(&p->sign, es_job_name(run->out->plan.job), p->ranks, p->rows);
  es_free(run->rates);
  run->rates = NULL;
  if (p->leader && !run->settings->dry_run) p->rates = run->rates = es_allocate_zero(1, sizeof *run->rates);
  es_run_cpu(p->cpu);
  if (p->first) es_progress_start(p);
}

/* True if what the point still lacks fits into the time that is left, by its forecast and the speed of this group so
 * far. A point that is too long for any run with this time limit is started nevertheless, because its epochs are saved.
 * A group that has done nothing yet knows no speed, and starts any point. Collective over the group. */
static bool fits(run_t *run, const es_point_t *point, int64_t index) {
  const char *id = es_grid_id(run->out->plan.grid, index);
  const double epochs = es_point_epochs(point);
  char state[ES_PATH_MAX];
  int does = 1, rank;
  ES_MPI(MPI_Comm_rank(es_schedule_group(run->schedule), &rank));
  if (rank == 0 && run->pace.cost > 0.0 && isfinite(run->pace.limit)) {
    es_state_path(state, run->out->plan.output, id);
    const double lacks = epochs - 1 - es_state_epoch(state, id); /* epochs; without a state, its epoch is −1 */
    const double needed = es_pace_predict(&run->pace, lacks / epochs * es_plan_cost(&run->out->plan, index));
    const double left = es_pace_left(&run->pace);
    does = needed <= left || (needed > run->pace.limit && needed / lacks <= left);
  }
  ES_MPI(MPI_Bcast(&does, 1, MPI_INT, 0, es_schedule_group(run->schedule)));
  return does;
}

/* Lists the points of the run that are not finished. Collective over MPI_COMM_WORLD. */
static es_code_t list_left(run_t *run, es_status_t *status) {
  es_run_t *out = run->out;
  const int n = (int)out->n_pending; /* at most a million */
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, run->fate, n, MPI_UINT8_T, MPI_MAX, MPI_COMM_WORLD));
  for (int i = 0; i < n; i++) out->stopped += run->fate[i] != FINISHED;
  if (run->rank != 0 || out->stopped == 0) return ES_OK;
  out->begun.index = es_allocate((size_t)out->stopped, sizeof *out->begun.index);
  out->waiting.index = es_allocate((size_t)out->stopped, sizeof *out->waiting.index);
  if (!out->begun.index || !out->waiting.index)
    return es_out_of_memory(status, "run", "%lld points", (long long)out->stopped);
  for (int i = 0; i < n; i++) {
    es_selection_t *list = run->fate[i] == BEGUN ? &out->begun : &out->waiting;
    if (run->fate[i] != FINISHED) list->index[list->n++] = run->sorted[i];
    out->short_of_time = out->short_of_time || run->fate[i] == SHORT_OF_TIME;
  }
  return ES_OK;
}

/* Runs points until none is left or a stop is requested; a point that fails does not end the others. */
static es_code_t run_points(run_t *run, es_status_t *status) {
  es_run_t *out = run->out;
  ES_TRY(es_schedule_create(&run->schedule, MPI_COMM_WORLD, run->ranks_per_point, run->pending, run->cost,
                            out->n_pending, status));
  start_progress(run);
  es_pipeline_t pipeline = {.comm = es_schedule_group(run->schedule),
                            .output = out->plan.output,
                            .n_points = es_grid_count(out->plan.grid),
                            .job_name = es_job_name(out->plan.job),
                            .engine = es_run_engine(),
                            .watch = {must_stop, time_left, run},
                            .dry_run = run->settings->dry_run,
                            .accept_cpu_change = run->settings->accept_cpu_change,
                            .report = es_progress_epoch,
                            .report_context = &run->progress,
                            .resumed = es_progress_resumed,
                            .warn = es_progress_warn};
  pipeline.n_provenance = es_run_provenance(&pipeline.provenance);
  const es_group_t group = {.comm = pipeline.comm, .watch = &pipeline.watch};
  es_pace_begin(&run->pace);
  for (int64_t index; es_group_pause(&group, &(es_status_t){0}) == ES_OK;) {
    es_point_t point;
    es_status_t own = {0};
    if ((index = es_schedule_next(run->schedule)) < 0) break;
    es_plan_point(&out->plan, index, &point);
    if (!fits(run, &point, index)) { /* a cheaper one may fit */
      mark(run, index, SHORT_OF_TIME);
      continue;
    }
    es_progress_begin(&run->progress, &out->plan, index, &point);
    run->point = &point;
    pipeline.until = run->until[place_of(run, index)];
    const double start = es_clock();
    const bool network = es_source_has_network(point.source);
    const es_dataset_t *others[ES_PROBE_DATASETS_MAX] = {0},
                       *dataset = network ? es_dataset_cache_find(&run->datasets, &point, others) : NULL;
    pipeline.probe_datasets = others;
    es_pipeline_point(&pipeline, &point, es_grid_id(out->plan.grid, index), dataset, &own);
    run->point = NULL;
    note_outcome(run, &pipeline, index, &point, &own);
    if (pipeline.share > 0.0)
      es_pace_note(&run->pace, pipeline.share * es_plan_cost(&out->plan, index), es_clock() - start);
  }
  int64_t counts[2] = {out->failed, run->progress.leader ? run->progress.epochs : 0};
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, counts, 2, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD));
  out->failed = counts[0];
  out->epochs = counts[1];
  list_left(run, status);
  if (run->rank == 0) es_progress_end(&run->progress);
  if (!run->settings->dry_run)
    es_run_store_rates(run->rates, out->plan.output, run->progress.mode == ES_PROGRESS_NONE || out->failed > 0);
  return es_agree(MPI_COMM_WORLD, status);
}

/* ---- rounds of a search ---- */

/* What the search wants now, of the points that this run may compute. Called on rank 0. */
static int64_t choose_round(run_t *run, es_search_t *search, const item_t *all, int64_t n_all, item_t *items,
                            es_status_t *status) {
  const es_search_ask_t *asks;
  int64_t n = 0;
  if (es_search_look(search, status) != ES_OK) return 0;
  const int64_t n_asks = es_search_asks(search, &asks);
  for (int64_t i = 0, a = 0; i < n_all; i++) {
    while (a < n_asks && asks[a].index < all[i].index) a++;
    if (a == n_asks || asks[a].index != all[i].index) continue;
    es_point_t point;
    es_plan_point(&run->out->plan, all[i].index, &point);
    const double share = asks[a].epochs > 0 ? (double)asks[a].epochs / point.train.epochs : 1.0;
    run->until[n] = asks[a].epochs;
    items[n++] = (item_t){all[i].index, share * all[i].cost};
  }
  return n;
}

/* Writes what the search has decided beside the results. A failure is a warning, because `search` says it too. */
static void write_decisions(const run_t *run, const es_search_t *search) {
  char path[ES_PATH_MAX + 16];
  es_text_t text = {0};
  es_status_t status = {0};
  es_search_print_json(search, &text);
  snprintf(path, sizeof path, "%s/search.json", run->out->plan.output);
  es_file_remove_parts(path); /* of a killed run */
  if (text.failed || es_file_write_atomic(path, es_text_get(&text), text.length, &status) != ES_OK)
    fprintf(stderr, "eigenscope: warning: %s\n", text.failed ? "out of memory for search.json" : status.message);
  es_text_destroy(&text);
}

static int compare_by_index(const void *a, const void *b) {
  const item_t *x = a, *y = b;
  return (x->index > y->index) - (x->index < y->index);
}

/* Runs what the search wants, looks at the results, and goes on until the search has ended, or wants only points that
 * this run must not compute. Rank 0 alone decides. Collective over MPI_COMM_WORLD. */
static es_code_t run_search(run_t *run, es_status_t *status) {
  es_run_t *out = run->out;
  const int64_t n_all = out->n_pending;
  int64_t ran = 0;
  es_search_t *search = NULL;
  item_t *all = es_allocate((size_t)n_all, sizeof *all), *items = es_allocate((size_t)n_all, sizeof *items);
  if (all == NULL || items == NULL) es_out_of_memory(status, "run", "%lld points", (long long)n_all);
  if (run->rank == 0 && status->code == ES_OK) es_search_create(&search, &out->plan, status);
  for (int64_t i = 0; all != NULL && i < n_all; i++) all[i] = (item_t){run->pending[i], run->cost[i]};
  if (all != NULL) qsort(all, (size_t)n_all, sizeof *all, compare_by_index);
  for (;;) {
    int64_t n = 0;
    if (es_agree(MPI_COMM_WORLD, status) != ES_OK) break;
    if (run->rank == 0) n = choose_round(run, search, all, n_all, items, status);
    if (es_agree(MPI_COMM_WORLD, status) != ES_OK) break;
    share_pending(run, items, n);
    ES_MPI(MPI_Bcast(run->until, (int)out->n_pending, MPI_INT32_T, 0, MPI_COMM_WORLD));
    if (run->rank == 0) write_decisions(run, search);
    if (out->n_pending == 0) break;
    if (run_points(run, status) != ES_OK) break;
    es_schedule_destroy(run->schedule);
    run->schedule = NULL;
    ran += out->n_pending;
    if (out->failed > 0 || out->stopped > 0) break; /* the same command goes on from here */
  }
  if (run->rank == 0 && search != NULL) {
    if (out->failed == 0 && out->stopped > 0) (void)es_search_look(search, &(es_status_t){0});
    out->problems = es_search_problems(search);
    out->answered = es_search_answered(search);
  }
  out->n_pending = ran;
  es_search_destroy(search);
  es_free(all);
  es_free(items);
  return status->code;
}

/* Does everything before the first point. */
static es_code_t prepare(run_t *run, es_status_t *status) {
  const es_run_settings_t *settings = run->settings;
  es_run_t *out = run->out;
  ES_TRY(es_run_share_plan(&out->plan, settings, status));
  es_varying_find(&out->plan, &run->progress.varying);
  es_search_select(&out->plan, settings->points, settings->task, &out->selection, status);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  ES_TRY(choose_groups(run, status));
  if (run->rank == 0 && !settings->dry_run) es_rates_clean(out->plan.output);
  ES_TRY(find_pending(run, status));
  const es_selection_t pending = {out->n_pending, run->pending};
  const char *lacks = settings->allow_emulation ? NULL : es_run_lacks(&out->plan, &pending);
  if (lacks != NULL) es_fail(status, ES_INPUT, "run", "%s: %s", es_job_path(out->plan.job), lacks);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  if (run->rank == 0 && settings->progress != ES_PROGRESS_NONE) es_plan_print_notes(&out->plan, &pending);
  ES_TRY(es_run_check_memory(&out->plan, run->pending, out->n_pending, run->ranks_per_point, &run->datasets.stream,
                             status));
  return load_data(run, status);
}

es_code_t es_run(es_run_t *out, const es_run_settings_t *settings, es_status_t *status) {
  run_t run = {.settings = settings,
               .out = out,
               .progress = {.mode = settings->progress, .verbose = settings->verbose, .dry_run = settings->dry_run}};
  es_pace_start(&run.pace, settings->seconds);
  *out = (es_run_t){0};
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &run.rank));
  es_code_t code = prepare(&run, status);
  if (code == ES_SYSTEM) code = status->code = ES_INPUT; /* no point was run */
  if (code == ES_OK && out->n_pending > 0 && !settings->dry_run) code = make_folders(&run, status);
  if (code == ES_OK && run.rank == 0 && settings->progress != ES_PROGRESS_NONE) print_opening(&run);
  const bool search =
      out->plan.job != NULL && es_job_search(out->plan.job)->kind != ES_SEARCH_NONE && !settings->dry_run;
  if (code == ES_OK && out->n_pending > 0) code = (search ? run_search : run_points)(&run, status);
  if (code == ES_OK && settings->verbose) es_progress_memory(&run.progress);
  es_schedule_destroy(run.schedule);
  es_dataset_cache_destroy(&run.datasets);
  es_free(run.pending);
  es_free(run.sorted);
  es_free(run.fate);
  es_free(run.until);
  es_free(run.cost);
  es_free(run.rates);
  return code;
}

void es_run_destroy(es_run_t *run) {
  for (int64_t i = 0; run->known && i < run->n_known; i++) es_free(run->known[i].reason);
  es_free(run->known);
  es_selection_destroy(&run->selection);
  es_selection_destroy(&run->begun);
  es_selection_destroy(&run->waiting);
  es_plan_destroy(&run->plan);
}
