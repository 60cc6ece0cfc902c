/* eigenscope run: computes the result files of a job file. */
#define _GNU_SOURCE
#include "cli_internal.h"
#include "eigenscope/comm.h"
#include "eigenscope/terminal.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "eigenscope run JOB [options]\n\n"
    "Trains and measures the points of a job that have no result yet, and continues where an earlier run stopped. "
    "Under\n"
    "mpirun or srun each rank takes one point after the other, the most expensive first; with --ranks-per-point, "
    "several\n"
    "ranks work on one point. The signals USR1, USR2, TERM and INT stop the run as soon as possible.\n"
    "Exit code: 0 all points complete, 2 some failed, 3 unfinished.";

static const es_option_t options[] = {
    {"--output", "DIR", false, "folder for results (default: the job's `output`)"},
    {"--points", "LIST", false, "only these points, as 0-3,7"},
    {"--task", "I/N", false, "only share I of N (0 <= I < N), for SLURM arrays"},
    {"--ranks-per-point", "G", false, "ranks that work on one point together, a power of two (default 1)"},
    {"--max-time", "T", false,
     "stop before T is over, start only what fits: seconds, MM:SS, [D-]HH:MM:SS, 90s, 30m, 12h"},
    {"--set", "KEY=VALUE", true,
     "override a key of the job file, as train.epochs=2 or 'grid.seed=[0, 1]' (quoted for the shell)"},
    {"--retry-failed", NULL, false, "run diverged points again"},
    {"--dry-run", NULL, false, "train one batch of each point, and write nothing"},
    {"--accept-cpu-change", NULL, false, "continue from states that another kind of CPU wrote"},
    {"--allow-emulation", NULL, false,
     "compute train.precision: bfloat16 on a CPU without bfloat16 instructions, too: slow, for tests"},
    {"--progress", "lines|live", false,
     "print progress as lines, or as one live line for each running point (default: live for one process without "
     "mpirun "
     "or srun whose standard error is a terminal, unless --verbose is given; else lines)"},
    {"--quiet", NULL, false, "print only errors"},
    {"--verbose", NULL, false, "print the messages between ranks of a point and the time of each stage, too"},
};
const es_page_t es_page_run = {"run", usage, options, sizeof options / sizeof *options};

/* Found before MPI_Init. */
static bool is_alone_on_terminal;

/* Reads one to nine digits at *text and moves *text past them. */
static bool read_field(const char **text, double *out) {
  int digits = 0;
  for (*out = 0.0; **text >= '0' && **text <= '9' && digits < 10; ++*text, digits++)
    *out = *out * 10.0 + (**text - '0');
  return digits > 0 && digits < 10;
}

/* Seconds from "MM:SS" or "[D-]HH:MM:SS"; negative if the text is neither. */
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

/* Seconds from "90", "90s", "30m", "12h", "MM:SS" or "[D-]HH:MM:SS"; negative if the text is none of these. */
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

static es_code_t read_settings(const es_arguments_t *a, int ranks, es_run_settings_t *out, es_status_t *status) {
  const char *groups = es_arguments_option(a, "--ranks-per-point"), *time = es_arguments_option(a, "--max-time");
  const char *progress = es_arguments_option(a, "--progress");
  int64_t number = 0;
  if (groups && (!es_text_to_int(groups, &number) || number < 1 || number > INT_MAX))
    return es_fail(status, ES_INPUT, "run", "--ranks-per-point %s: must be a power of two (1, 2, 4, 8, ...)", groups);
  if (number > ranks)
    return es_fail(status, ES_INPUT, "run",
                   "--ranks-per-point %lld: there %s only %d rank%s; use mpirun -n %lld or more%s", (long long)number,
                   ranks == 1 ? "is" : "are", ranks, ranks == 1 ? "" : "s", (long long)number,
                   (number & (number - 1)) != 0 ? " for files; networks need a power of two (1, 2, 4, 8, ...)" : "");
  *out = (es_run_settings_t){.path = es_arguments_positional(a, 0),
                             .output = es_arguments_option(a, "--output"),
                             .points = es_arguments_option(a, "--points"),
                             .task = es_arguments_option(a, "--task"),
                             .ranks_per_point = (int)number,
                             .seconds = time ? parse_time(time) : INFINITY,
                             .retry_failed = es_arguments_option(a, "--retry-failed") != NULL,
                             .dry_run = es_arguments_option(a, "--dry-run") != NULL,
                             .accept_cpu_change = es_arguments_option(a, "--accept-cpu-change") != NULL,
                             .allow_emulation = es_arguments_option(a, "--allow-emulation") != NULL,
                             .progress = is_alone_on_terminal && ranks == 1 ? ES_PROGRESS_LIVE : ES_PROGRESS_LINES,
                             .verbose = es_arguments_option(a, "--verbose") != NULL};
  out->n_sets = es_arguments_all(a, "--set", &out->sets);
  if (!(out->seconds > 0.0))
    return es_fail(status, ES_INPUT, "run",
                   "--max-time %s: must be a time above zero, written as 90, 90s, 30m, 12h, MM:SS or [D-]HH:MM:SS",
                   time);
  if (out->verbose) out->progress = ES_PROGRESS_LINES; /* tables need lines */
  if (progress) out->progress = strcmp(progress, "live") == 0 ? ES_PROGRESS_LIVE : ES_PROGRESS_LINES;
  if (progress && out->progress == ES_PROGRESS_LINES && strcmp(progress, "lines") != 0)
    return es_fail(status, ES_INPUT, "run", "--progress %s: must be lines or live", progress);
  if (es_arguments_option(a, "--quiet")) out->progress = ES_PROGRESS_NONE;
  return ES_OK;
}

/* Appends an argument of a command as a shell needs it. */
static void append_argument(es_text_t *out, const char *argument) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./,:=@%";
  const bool quoted = argument[0] == '\0' || strspn(argument, plain) < strlen(argument);
  es_text_append(out, quoted ? " '" : " ");
  for (const char *c = argument; *c != '\0'; c++) es_text_append(out, *c == '\'' ? "'\\''" : "%c", *c);
  if (quoted) es_text_append(out, "'");
}

/* Appends "eigenscope <command> JOB --output DIR --set ...", as this run was called. */
static void append_command(es_text_t *out, const char *command, const es_run_settings_t *settings) {
  es_text_append(out, "%s %s", program_invocation_name, command);
  append_argument(out, settings->path);
  if (settings->output) {
    es_text_append(out, " --output");
    append_argument(out, settings->output);
  }
  for (int i = 0; i < settings->n_sets; i++) {
    es_text_append(out, " --set");
    append_argument(out, settings->sets[i]);
  }
}

/* Appends what to do next. */
static void print_next(const es_run_t *run, const es_run_settings_t *settings, bool failed, es_text_t *out) {
  if (run->stopped > 0) {
    es_text_append(out, "unfinished: to continue, run the same command again%s\n",
                   run->epochs > 0 ? "" : ", and give it more time, because no epoch was finished in this run");
    return;
  }
  es_text_append(out, "next: ");
  if (failed || run->selection.n < es_grid_count(run->plan.grid)) {
    append_command(out, "status", settings);
    es_text_append(out, failed ? "    # shows what failed\n" : "    # shows the other points\n");
    return;
  }
  char file[ES_PATH_MAX], folder[ES_PATH_MAX];
  snprintf(folder, sizeof folder, "%s", es_job_name(run->plan.job));
  snprintf(file, sizeof file, "%s.h5", es_job_name(run->plan.job));
  append_command(out, "merge", settings);
  es_text_append(out, " --to");
  append_argument(out, file);
  es_text_append(out, "\n      %s report", program_invocation_name);
  append_argument(out, file);
  es_text_append(out, " --to");
  append_argument(out, folder);
  es_text_append(out, "\n");
}

/* Appends "stopped: 2 points (3, 7)". */
static void append_left(es_text_t *text, const char *what, const es_selection_t *points, const char *why) {
  if (points->n == 0) return;
  es_text_append(text, "%s: %lld point%s (", what, (long long)points->n, es_plural(points->n));
  es_selection_print(points, text);
  es_text_append(text, ")%s\n", why);
}

/* Called on rank 0. Returns the number of results that are not complete: diverged in this or an earlier run, or written
 * but unreadable. */
static int64_t print_summary(const es_run_t *run, const es_run_settings_t *settings) {
  const bool quiet = settings->progress == ES_PROGRESS_NONE;
  if (settings->dry_run && quiet) return 0;
  if (settings->dry_run) {
    printf("dry run: %lld point%s, one batch each; ", (long long)run->n_pending, run->n_pending == 1 ? "" : "s");
    if (run->failed > 0) printf("%lld failed; ", (long long)run->failed);
    printf("%snothing was written\n", run->stopped > 0 ? "the run was stopped before the end; " : "");
    return 0;
  }
  es_text_t text = {0};
  const int64_t unsound = es_results_table(&run->plan, &run->selection, run->known, run->unreadable, &text);
  append_left(&text, "stopped", &run->begun, "");
  append_left(&text, "not started", &run->waiting,
              run->short_of_time ? ", because they need more time than was left" : "");
  if (run->problems > 0)
    es_text_append(&text, "search: %lld of %lld problem%s answered\n", (long long)run->answered,
                   (long long)run->problems, es_plural(run->problems));
  print_next(run, settings, unsound + run->failed > 0, &text);
  if (text.failed)
    fprintf(stderr,
            "eigenscope: warning: out of memory for the table of results; eigenscope status prints this table\n");
  else if (!quiet)
    es_text_print(stdout, &text);
  es_text_destroy(&text);
  return unsound;
}

static int run(const es_arguments_t *arguments, es_status_t *status) {
  es_run_settings_t settings;
  es_run_t done = {0};
  int rank, ranks, result = ES_EXIT_OK;
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
  ES_TRY(read_settings(arguments, ranks, &settings, status));
  if (es_run(&done, &settings, status) == ES_OK) {
    int64_t failed = done.failed + (rank == 0 ? print_summary(&done, &settings) : 0);
    ES_MPI(MPI_Bcast(&failed, 1, MPI_INT64_T, 0, MPI_COMM_WORLD));
    result = done.stopped > 0 ? ES_EXIT_UNFINISHED : failed > 0 ? ES_EXIT_FAILED : ES_EXIT_OK;
  }
  es_run_destroy(&done);
  return result;
}

int es_cli_run(int argc, char **argv) {
  es_run_catch_signals();
  is_alone_on_terminal = es_terminal_is_own(STDERR_FILENO);
  return es_cli_command_mpi(argc, argv, &es_page_run, 1, 1, run);
}
