/* eigenscope run: from the job file to the result files. Every rank walks the same steps; rank 0 alone looks at the
 * disk before the work starts and tells the others, so that they never see different things. */
#include "cli_internal.h"
#include "dataset_cache.h"
#include "eigenscope/cli.h"
#include "eigenscope/clock.h"
#include "eigenscope/comm.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/pipeline.h"
#include "eigenscope/schedule.h"
#include "eigenscope/spectrum.h"
#include "eigenscope/state.h"
#include "memory.h"
#include "progress.h"
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "eigenscope run JOB [options]\n\n"
    "Trains and measures the points of a job that have no result yet, or goes on where an earlier run stopped. Under\n"
    "mpirun or srun the ranks share the points out, the most expensive first; with --ranks-per-point several work on\n"
    "each. USR1, USR2, TERM and INT stop it at the next batch. Exit code: 0 all complete, 2 some failed, 3 unfinished.";

static const es_option_t options[] = {
    {"--output", "DIR", false, "where results go (default: the job's `output`)"},
    {"--points", "LIST", false, "only these points, as 0-3,7"},
    {"--task", "I/N", false, "only share I of N (0 <= I < N), for SLURM arrays"},
    {"--ranks-per-point", "G", false, "ranks that work on one point together, a power of two (default 1)"},
    {"--max-time", "T", false, "stop in time: seconds, MM:SS, [D-]HH:MM:SS or 90s, 30m, 12h"},
    {"--set", "KEY=VALUE", true, "override a key of the job file, as train.epochs=2"},
    {"--retry-failed", NULL, false, "run points again that diverged"},
    {"--dry-run", NULL, false, "one batch of each point; nothing is written"},
    {"--accept-cpu-change", NULL, false, "go on from states that another kind of CPU wrote"},
    {"--progress", "lines|live", false, "whole lines (default), or one live line for a terminal"},
    {"--quiet", NULL, false, "only errors"},
    {"--verbose", NULL, false, "also what ranks of a point tell each other, and the time of each stage"},
};
const es_page_t es_page_run = {"run", usage, options, sizeof options / sizeof *options};

typedef struct run {
  es_arguments_t *arguments;
  int rank, ranks, ranks_per_point;
  es_plan_t plan;
  es_selection_t selection; /* what was asked for */
  int64_t n_pending;
  int64_t *pending; /* what is to be done, in the order of work */
  double *cost;     /* of each pending point */
  es_dataset_cache_t loaded;
  es_schedule_t *schedule;
  es_progress_t progress;
  double deadline; /* on es_clock; INFINITY without --max-time */
  int64_t failed, stopped;
  bool ready; /* all is known to be right: what fails from here on are points, not the run */
} run_t;

/* ---- being told to stop ---- */

static volatile sig_atomic_t signalled;

static void on_signal(int number) {
  signalled = number;
}

static void catch_signals(void) {
  static const int numbers[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
  signal(SIGXFSZ, SIG_IGN); /* a file over the limit is an error of that write, not the end */
}

static bool must_stop(void *context) {
  const run_t *run = context;
  if (run->schedule) es_schedule_progress(run->schedule);
  return signalled != 0 || es_clock() > run->deadline;
}

/* One to nine digits at *text, moved past them. */
static bool read_field(const char **text, double *out) {
  int digits = 0;
  for (*out = 0.0; **text >= '0' && **text <= '9' && digits < 10; ++*text, digits++)
    *out = *out * 10.0 + (**text - '0');
  return digits > 0 && digits < 10;
}

/* "MM:SS" or "[D-]HH:MM:SS" in seconds; negative when it is neither. */
static double parse_clock(const char *text) {
  double days = 0.0, field[3] = {0.0};
  int n = 0;
  const bool has_days = strchr(text, '-') != NULL;
  if (has_days && (!read_field(&text, &days) || *text++ != '-')) return -1.0;
  do {
    if (!read_field(&text, &field[n++])) return -1.0;
  } while (n < 3 && *text == ':' && text++);
  if (*text || n < 2 || (has_days && (n < 3 || field[0] >= 24.0))) return -1.0;
  for (int i = 1; i < n; i++) {
    if (field[i] >= 60.0) return -1.0;
  }
  return n == 2 ? field[0] * 60.0 + field[1] : days * 86400.0 + field[0] * 3600.0 + field[1] * 60.0 + field[2];
}

/* "90", "90s", "30m", "12h", "MM:SS", "[D-]HH:MM:SS" in seconds; negative when it is none of these. */
static double parse_time(const char *text) {
  char number[32];
  double value;
  if (strchr(text, ':')) return parse_clock(text);
  const size_t length = strcspn(text, "smh");
  if (length >= sizeof number || (text[length] && text[length + 1])) return -1.0;
  snprintf(number, sizeof number, "%.*s", (int)length, text);
  if (!es_text_to_double(number, &value)) return -1.0;
  return text[length] == 'm' ? value * 60.0 : text[length] == 'h' ? value * 3600.0 : value;
}

/* ---- the command line ---- */

static es_code_t read_options(run_t *run, es_status_t *status) {
  const es_arguments_t *a = run->arguments;
  const char *text = es_arguments_option(a, "--ranks-per-point");
  int64_t number = 0; /* not said: 1, or all ranks for activations */
  if (text && (!es_text_to_int(text, &number) || number < 1 || number > INT_MAX))
    return es_fail(status, ES_INPUT, "run", "--ranks-per-point %s: must be a power of two (1, 2, 4, 8, ...)", text);
  if (number > run->ranks)
    return es_fail(status, ES_INPUT, "run", "--ranks-per-point %lld: there are only %d ranks (mpirun -n %lld or more)",
                   (long long)number, run->ranks, (long long)number);
  run->ranks_per_point = (int)number;
  run->deadline = INFINITY;
  text = es_arguments_option(a, "--max-time");
  if (text) {
    const double seconds = parse_time(text);
    if (!(seconds > 0.0))
      return es_fail(status, ES_INPUT, "run",
                     "--max-time %s: must be a time above zero as 90, 90s, 30m, 12h, MM:SS or [D-]HH:MM:SS", text);
    run->deadline = es_clock() + seconds;
  }
  text = es_arguments_option(a, "--progress");
  run->progress.mode = ES_PROGRESS_LINES;
  if (text && strcmp(text, "live") == 0)
    run->progress.mode = ES_PROGRESS_LIVE;
  else if (text && strcmp(text, "lines") != 0)
    return es_fail(status, ES_INPUT, "run", "--progress %s: must be lines or live", text);
  if (es_arguments_option(a, "--quiet")) run->progress.mode = ES_PROGRESS_NONE;
  run->progress.verbose = es_arguments_option(a, "--verbose") != NULL;
  return ES_OK;
}

/* ---- the plan ---- */

/* Rank 0 reads a file, all ranks get its bytes. *text is the caller's. */
static es_code_t share_file(const run_t *run, const char *path, char **text, size_t *size, es_status_t *status) {
  int length = 0;
  *text = NULL;
  if (run->rank == 0) es_file_read_most(path, ES_JOB_TEXT_MAX, text, size, status);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  length = (int)*size;
  ES_MPI(MPI_Bcast(&length, 1, MPI_INT, 0, MPI_COMM_WORLD));
  if (run->rank != 0) *text = es_allocate_zero((size_t)length + 1, 1);
  if (!*text) es_out_of_memory(status, "run", "the job file");
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  *size = (size_t)length;
  ES_MPI(MPI_Bcast(*text, length, MPI_CHAR, 0, MPI_COMM_WORLD));
  return ES_OK;
}

/* What rank 0 found about the datasets; *infos is the caller's except on rank 0. */
static es_code_t share_infos(const run_t *run, es_dataset_info_t **infos, es_status_t *status) {
  int n = run->plan.n_datasets;
  ES_MPI(MPI_Bcast(&n, 1, MPI_INT, 0, MPI_COMM_WORLD));
  *infos = run->rank == 0 ? run->plan.infos : es_allocate_zero((size_t)n, sizeof **infos);
  if (!*infos) es_out_of_memory(status, "run", "what is known of the datasets");
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  for (int i = 0; i < n; i++) ES_MPI(MPI_Bcast(&(*infos)[i], (int)sizeof **infos, MPI_BYTE, 0, MPI_COMM_WORLD));
  return ES_OK;
}

/* What rank 0 found of weights; *weights stays NULL for other sources. Else the caller's, but rank 0's are the plan's.
 */
static es_code_t share_weights(const run_t *run, es_plan_weights_t **weights, es_status_t *status) {
  int64_t n = run->rank == 0 && run->plan.weights ? es_grid_count(run->plan.grid) : 0;
  ES_MPI(MPI_Bcast(&n, 1, MPI_INT64_T, 0, MPI_COMM_WORLD));
  if (n == 0) return ES_OK;
  *weights = run->rank == 0 ? run->plan.weights : es_allocate_zero((size_t)n, sizeof **weights);
  if (!*weights) es_out_of_memory(status, "run", "what is known of the weights");
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  ES_MPI(MPI_Bcast(*weights, (int)((size_t)n * sizeof **weights), MPI_BYTE, 0, MPI_COMM_WORLD)); /* a million at most */
  return ES_OK;
}

/* Rank 0 reads the job file and looks at the datasets' headers; the others get both by message and resolve the same
 * plan. */
static es_code_t make_plan(run_t *run, es_status_t *status) {
  es_plan_request_t request = {.path = es_arguments_positional(run->arguments, 0),
                               .output = es_arguments_option(run->arguments, "--output"),
                               .points = es_arguments_option(run->arguments, "--points")};
  char *text = NULL;
  es_dataset_info_t *infos = NULL;
  es_plan_weights_t *weights = NULL;
  request.n_sets = es_arguments_all(run->arguments, "--set", &request.sets);
  es_code_t code = share_file(run, request.path, &text, &request.size, status);
  request.text = text;
  if (code == ES_OK) {
    if (run->rank == 0) es_plan_create(&run->plan, &request, status);
    code = es_agree(MPI_COMM_WORLD, status);
  }
  if (code == ES_OK) code = share_infos(run, &infos, status);
  if (code == ES_OK) code = share_weights(run, &weights, status);
  if (code == ES_OK && run->rank != 0) {
    request.infos = infos;
    request.weights = weights;
    es_plan_create(&run->plan, &request, status);
  }
  if (code == ES_OK) code = es_agree(MPI_COMM_WORLD, status);
  if (run->rank != 0) es_free(infos);
  if (run->rank != 0) es_free(weights);
  es_free(text);
  return code;
}

/* ---- what is to be done ---- */

static es_code_t select_points(run_t *run, es_status_t *status) {
  const char *task = es_arguments_option(run->arguments, "--task");
  ES_TRY(es_selection_parse(&run->selection, es_arguments_option(run->arguments, "--points"),
                            es_grid_count(run->plan.grid), status));
  double *cost = es_allocate((size_t)run->selection.n, sizeof *cost);
  run->pending = es_allocate((size_t)run->selection.n, sizeof *run->pending);
  run->cost = es_allocate((size_t)run->selection.n, sizeof *run->cost);
  if (!cost || !run->pending || !run->cost) {
    es_free(cost);
    return es_out_of_memory(status, "run", "%lld points", (long long)run->selection.n);
  }
  es_code_t code = ES_OK;
  for (int64_t i = 0; i < run->selection.n; i++) cost[i] = es_plan_cost(&run->plan, run->selection.index[i]);
  if (task) code = es_selection_task(&run->selection, task, cost, status);
  es_free(cost);
  return code;
}

/* Groups must fit the lanes of every point. */
static es_code_t check_lanes(run_t *run, es_status_t *status) {
  es_point_t point;
  const bool activations = es_job_base(run->plan.job)->source == ES_SOURCE_ACTIVATIONS;
  if (activations && run->ranks_per_point == 0) run->ranks_per_point = run->ranks;
  if (activations) return ES_OK;
  if (run->ranks_per_point == 0) run->ranks_per_point = 1;
  if (run->ranks_per_point & (run->ranks_per_point - 1))
    return es_fail(status, ES_INPUT, "run", "--ranks-per-point %d: must be a power of two (1, 2, 4, 8, ...)",
                   run->ranks_per_point);
  for (int64_t i = 0; i < run->selection.n; i++) {
    es_plan_point(&run->plan, run->selection.index[i], &point);
    if (run->ranks_per_point > point.train.lanes)
      return es_fail(status, ES_INPUT, "run",
                     "--ranks-per-point %d: point %lld has %d lanes; at most that many ranks can share it "
                     "(train.lanes: %d would do)",
                     run->ranks_per_point, (long long)run->selection.index[i], point.train.lanes, run->ranks_per_point);
  }
  return ES_OK;
}

static bool is_pending(const run_t *run, int64_t index) {
  char path[ES_PATH_MAX];
  es_result_summary_t summary;
  if (es_arguments_option(run->arguments, "--dry-run")) return true;
  es_result_find(path, run->plan.output, es_grid_id(run->plan.grid, index));
  es_result_summarize(&summary, path);
  if (summary.outcome == ES_OUTCOME_COMPLETE) { /* killed, or refused by the disk, before its state was removed */
    char state[ES_PATH_MAX];
    es_state_path(state, run->plan.output, es_grid_id(run->plan.grid, index));
    es_state_remove(state);
  }
  if (summary.outcome == ES_OUTCOME_DAMAGED)
    fprintf(stderr, "eigenscope: warning: %s: damaged, is made again: %s\n", path, summary.reason);
  if (summary.outcome == ES_OUTCOME_DIVERGED) return es_arguments_option(run->arguments, "--retry-failed") != NULL;
  return summary.outcome != ES_OUTCOME_COMPLETE;
}

typedef struct job_item {
  int64_t index;
  double cost;
} job_item_t;

/* Descending cost, then ascending index. */
static int compare_items(const void *a, const void *b) {
  const job_item_t *x = a, *y = b;
  if (x->cost != y->cost) return x->cost < y->cost ? 1 : -1;
  return x->index < y->index ? -1 : x->index > y->index;
}

/* Rank 0 looks which files are there; the order of work is by descending cost. */
static es_code_t find_pending(run_t *run, es_status_t *status) {
  job_item_t *items = run->rank == 0 ? es_allocate((size_t)run->selection.n, sizeof *items) : NULL;
  if (run->rank == 0 && !items) es_out_of_memory(status, "run", "the list of points");
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  for (int64_t i = 0; run->rank == 0 && i < run->selection.n; i++) {
    const int64_t index = run->selection.index[i];
    if (is_pending(run, index)) items[run->n_pending++] = (job_item_t){index, es_plan_cost(&run->plan, index)};
  }
  if (items) qsort(items, (size_t)run->n_pending, sizeof *items, compare_items);
  for (int64_t i = 0; items && i < run->n_pending; i++) {
    run->pending[i] = items[i].index;
    run->cost[i] = items[i].cost;
  }
  es_free(items);
  ES_MPI(MPI_Bcast(&run->n_pending, 1, MPI_INT64_T, 0, MPI_COMM_WORLD));
  ES_MPI(MPI_Bcast(run->pending, (int)run->n_pending, MPI_INT64_T, 0, MPI_COMM_WORLD));
  ES_MPI(MPI_Bcast(run->cost, (int)run->n_pending, MPI_DOUBLE, 0, MPI_COMM_WORLD));
  return ES_OK;
}

static es_code_t make_folders(const run_t *run, es_status_t *status) {
  static const char *const folders[] = {"points", "state", "checkpoints"};
  char path[ES_PATH_MAX + 16];
  for (size_t i = 0; i < sizeof folders / sizeof *folders && run->rank == 0; i++) {
    snprintf(path, sizeof path, "%s/%s", run->plan.output, folders[i]);
    if (es_directory_create(path, status) != ES_OK) break;
  }
  /* As es_result_path: by the first two digits of the id. */
  const int below = es_grid_count(run->plan.grid) > ES_FLAT_POINTS ? 256 : 0;
  for (int i = 0; i < below && run->rank == 0 && status->code == ES_OK; i++) {
    snprintf(path, sizeof path, "%s/points/%02x", run->plan.output, (unsigned)i);
    es_directory_create(path, status);
  }
  return es_agree(MPI_COMM_WORLD, status);
}

/* Activations: the files must be sound, and be those of the result that is there. */
static es_code_t check_files(const run_t *run, es_status_t *status) {
  es_external_info_t info;
  char path[ES_PATH_MAX];
  es_result_summary_t summary;
  if (run->rank == 0 && es_plan_external(&run->plan, &info, status) == ES_OK) {
    es_result_find(path, run->plan.output, es_grid_id(run->plan.grid, 0));
    es_result_summarize(&summary, path);
    if ((summary.outcome == ES_OUTCOME_COMPLETE || summary.outcome == ES_OUTCOME_DIVERGED) &&
        strcmp(summary.fingerprint, info.fingerprint) != 0)
      es_fail(status, ES_INPUT, "run",
              "%s: was measured on other activations (fingerprint %s, the files now have %s): use another --output, or "
              "remove it",
              path, summary.fingerprint, info.fingerprint);
    es_external_info_destroy(&info);
  }
  return es_agree(MPI_COMM_WORLD, status);
}

/* What the pending points need. */
static es_code_t load_datasets(run_t *run, es_status_t *status) {
  run->loaded.plan = &run->plan;
  if (run->loaded.stream && run->rank == 0 && run->progress.mode != ES_PROGRESS_NONE)
    printf("the images do not fit into memory: they are read from their files as they are needed\n");
  if (es_job_base(run->plan.job)->source == ES_SOURCE_ACTIVATIONS) return ES_OK;
  for (int64_t i = 0; i < run->n_pending; i++) {
    es_point_t point;
    es_plan_point(&run->plan, run->pending[i], &point);
    ES_TRY(es_dataset_cache_add(&run->loaded, &point, status));
  }
  return ES_OK;
}

/* ---- the work ---- */

static void note_outcome(run_t *run, const es_pipeline_t *pipeline, int64_t index, const es_point_t *point,
                         const es_status_t *status) {
  int rank;
  ES_MPI(MPI_Comm_rank(pipeline->comm, &rank));
  run->progress.index = index;
  run->progress.place = 0;
  if (rank == 0 && status->code != ES_STOPPED) run->progress.place = es_schedule_finished(run->schedule, index);
  if (status->code == ES_STOPPED)
    run->stopped += rank == 0;
  else if (status->code != ES_OK)
    run->failed += rank == 0;
  if (rank == 0 && status->code != ES_OK && status->code != ES_STOPPED)
    fprintf(stderr, "%seigenscope: point %lld (%s): %s\n",
            run->progress.mode == ES_PROGRESS_LIVE ? ES_PROGRESS_ERASE : "", (long long)index,
            es_grid_id(run->plan.grid, index), status->message);
  es_progress_point(&run->progress, point, pipeline, status);
  run->progress.place = 0;
}

/* Takes points until none is left or somebody says stop; one failed point never ends its neighbours. */
static void work(run_t *run) {
  es_pipeline_t pipeline = {.comm = es_schedule_group(run->schedule),
                            .output = run->plan.output,
                            .n_points = es_grid_count(run->plan.grid),
                            .job_name = es_job_name(run->plan.job),
                            .engine = es_cli_engine(),
                            .watch = {must_stop, run},
                            .dry_run = es_arguments_option(run->arguments, "--dry-run") != NULL,
                            .accept_cpu_change = es_arguments_option(run->arguments, "--accept-cpu-change") != NULL,
                            .report = es_progress_epoch,
                            .report_context = &run->progress,
                            .warn = es_progress_warn};
  pipeline.n_provenance = es_cli_provenance(&pipeline.provenance);
  for (int64_t index; (index = es_schedule_next(run->schedule)) >= 0;) {
    es_point_t point;
    es_status_t status = {0};
    es_plan_point(&run->plan, index, &point);
    run->progress.index = index;
    es_pipeline_point(&pipeline, &point, es_grid_id(run->plan.grid, index),
                      point.source == ES_SOURCE_ACTIVATIONS ? NULL : es_dataset_cache_find(&run->loaded, &point),
                      &status);
    note_outcome(run, &pipeline, index, &point, &status);
    if (status.code == ES_STOPPED) break;
  }
}

static es_code_t run_points(run_t *run, es_status_t *status) {
  run->progress.points = run->n_pending;
  run->progress.started = es_clock();
  ES_TRY(es_schedule_create(&run->schedule, MPI_COMM_WORLD, run->ranks_per_point, run->pending, run->cost,
                            run->n_pending, status));
  run->progress.schedule = run->schedule;
  work(run);
  int64_t counts[2] = {run->failed, run->stopped};
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, counts, 2, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD));
  run->failed = counts[0];
  run->stopped = counts[1];
  if (run->rank == 0) es_progress_end(&run->progress);
  return ES_OK;
}

/* ---- the end ---- */

/* --verbose: the most that a rank had for itself, and the sum over the ranks of the first node. Collective. */
static void print_memory(const run_t *run) {
  if (!run->progress.verbose) return;
  MPI_Comm node;
  int64_t mine = es_memory_peak(), most = 0, sum = 0;
  ES_MPI(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, run->rank, MPI_INFO_NULL, &node));
  ES_MPI(MPI_Reduce(&mine, &most, 1, MPI_INT64_T, MPI_MAX, 0, MPI_COMM_WORLD));
  ES_MPI(MPI_Reduce(&mine, &sum, 1, MPI_INT64_T, MPI_SUM, 0, node));
  ES_MPI(MPI_Comm_free(&node));
  if (run->rank == 0 && run->progress.mode != ES_PROGRESS_NONE)
    printf("memory: peak %.0f MiB of a rank, %.0f MiB of all ranks of this node, without shared images\n",
           (double)most / (1 << 20), (double)sum / (1 << 20));
}

/* Rank 0. Returns how many results are not those of complete points: diverged in this or an earlier run, or not to be
 * read, although they were written. */
static int64_t print_summary(run_t *run) {
  const bool quiet = run->progress.mode == ES_PROGRESS_NONE;
  if (es_arguments_option(run->arguments, "--dry-run")) {
    if (quiet) return 0;
    printf("dry run: one batch of each of %lld points, ", (long long)run->n_pending);
    if (run->failed > 0) printf("%lld failed, ", (long long)run->failed);
    printf("%snothing was written\n", run->stopped > 0 ? "stopped before the end, " : "");
    return 0;
  }
  es_text_t text = {0};
  if (run->n_pending < run->selection.n)
    es_text_append(&text, "%lld of %lld points were done before and skipped\n",
                   (long long)(run->selection.n - run->n_pending), (long long)run->selection.n);
  const int64_t unsound = es_plan_table(&run->plan, &run->selection, &text);
  if (run->stopped > 0) es_text_append(&text, "unfinished: the same command goes on from here\n");
  if (text.failed)
    fprintf(stderr, "eigenscope: warning: out of memory for the table of results; eigenscope status prints it\n");
  else if (!quiet)
    es_text_print(stdout, &text);
  es_text_destroy(&text);
  return unsound;
}

/* The same on all ranks. */
static int exit_code(const run_t *run, int64_t unsound) {
  int64_t failed = run->failed + unsound;
  ES_MPI(MPI_Bcast(&failed, 1, MPI_INT64_T, 0, MPI_COMM_WORLD));
  return run->stopped > 0 ? ES_EXIT_UNFINISHED : failed > 0 ? ES_EXIT_FAILED : ES_EXIT_OK;
}

static void close_run(run_t *run) {
  es_schedule_destroy(run->schedule);
  es_dataset_cache_destroy(&run->loaded);
  es_free(run->pending);
  es_free(run->cost);
  es_selection_destroy(&run->selection);
  es_plan_destroy(&run->plan);
  es_arguments_destroy(run->arguments);
}

/* All steps; every rank returns the same code. */
static es_code_t steps(run_t *run, int argc, char **argv, es_status_t *status) {
  if (es_arguments_parse(&run->arguments, argc, argv, &es_page_run, 1, 1, status) == ES_OK) read_options(run, status);
  ES_TRY(es_agree(MPI_COMM_WORLD, status)); /* memory may be out on one rank alone */
  ES_TRY(make_plan(run, status));
  es_text_t common = {0};
  es_varying_find(&run->plan, &run->progress.varying, &common);
  es_text_destroy(&common);
  select_points(run, status);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  ES_TRY(check_lanes(run, status));
  ES_TRY(find_pending(run, status));
  ES_TRY(es_memory_check(&run->plan, run->pending, run->n_pending, run->ranks_per_point, &run->loaded.stream, status));
  ES_TRY(load_datasets(run, status));
  if (es_job_base(run->plan.job)->source != ES_SOURCE_ACTIVATIONS)
    ES_TRY(es_dataset_cache_check(&run->loaded, &run->selection, status));
  else
    ES_TRY(check_files(run, status));
  if (run->n_pending == 0) return ES_OK;
  run->ready = true;
  if (!es_arguments_option(run->arguments, "--dry-run")) ES_TRY(make_folders(run, status));
  return run_points(run, status);
}

int es_cli_run(int argc, char **argv) {
  run_t run = {0};
  es_status_t status = {0};
  catch_signals();
  es_model_engine_single_thread();
  es_spectrum_single_thread();
  es_mpi_start(&argc, &argv);
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &run.rank));
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &run.ranks));
  const es_code_t code = steps(&run, argc, argv, &status);
  if (code == ES_SYSTEM && !run.ready) status.code = ES_INPUT; /* nothing was run */
  int result = ES_EXIT_OK;
  if (code == ES_OK) {
    print_memory(&run);
    result = exit_code(&run, run.rank == 0 ? print_summary(&run) : 0);
  } else if (run.rank == 0) {
    result = es_cli_report(&status);
  } else {
    result = es_cli_exit_code(&status);
  }
  close_run(&run);
  fflush(stdout); /* once a rank ends with a code above 0, the launcher does not wait for what others still print */
  ES_MPI(MPI_Finalize());
  return result;
}
