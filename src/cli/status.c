/* eigenscope status JOB: shows which points are done, according to the result files. */
#include "cli_internal.h"
#include "eigenscope/search.h"
#include "eigenscope/terminal.h"
#include <stdio.h>
#include <unistd.h>

static const char usage[] =
    "eigenscope status JOB [--output DIR] [--points LIST] [--task I/N] [--missing] [--format table|json] [--set "
    "KEY=VALUE]... [--follow [--every S]] [--saved]\n\n"
    "Shows which points of a job are complete, diverged, damaged, unreadable, unfit (sound, but not of this job),\n"
    "missing, started (with the epochs that the next run will not repeat), running, or stale (their process ended\n"
    "without a word, as after kill -9, so a new run must continue them). Reads of results and states only what\n"
    "the table shows, while run and merge check all of a result; for weights with a written `classes: all` also the\n"
    "dataset, if it is there. Counts the results in the folder that belong to other versions of the job. Exit code:\n"
    "0 all points complete, 2 some diverged, 3 some missing, started, damaged (run the job again to complete them),\n"
    "unreadable or unfit. With --follow the command ends when each point has a result.";

static const es_option_t options[] = {
    {"--output", "DIR", false, "folder of the results (default: the job's `output`)"},
    {"--points", "LIST", false, "only these points, as 0-3,7"},
    {"--task", "I/N", false, "only share I of N, as in run --task (reads the datasets)"},
    {"--missing", NULL, false,
     "print only the list of missing points, as 0-3,7 (for run --points); prints nothing if none is missing"},
    {"--format", "table|json", false, "format of the output (default: table)"},
    {"--follow", NULL, false,
     "look again every few seconds: done, running, waiting, failed and stale points, the time left of the runs that go "
     "on, and the slowest point; in place on a terminal, else a line after each change and each minute"},
    {"--every", "S", false, "with --follow: seconds between two looks (default 3)"},
    {"--saved", NULL, false, "only what is saved in results and states, not which points run at present"},
    {"--set", "KEY=VALUE", true, "the same changes of the job file as in run"},
};
const es_page_t es_page_status = {"status", usage, options, sizeof options / sizeof *options};

/* Appends " (1 started, 1 running)": points that are not just missing. */
static void append_states(const es_results_t *results, es_text_t *text) {
  const int64_t counts[] = {results->started, results->running, results->stale};
  static const char *const words[] = {"started", "running", "stale"};
  bool any = false;
  for (int i = 0; i < 3; i++) {
    if (counts[i] == 0) continue;
    es_text_append(text, "%s%lld %s", any ? ", " : " (", (long long)counts[i], words[i]);
    any = true;
  }
  if (any) es_text_append(text, ")");
}

static int survey(const es_arguments_t *arguments, es_status_t *status) {
  const bool only_missing = es_arguments_option(arguments, "--missing") != NULL;
  const char *task = es_arguments_option(arguments, "--task");
  const es_plan_request_t request = es_cli_request(arguments, 0);
  es_plan_t plan = {0};
  es_selection_t selection = {0};
  es_results_t results = {0};
  es_text_t text = {0};
  const bool follows = es_arguments_option(arguments, "--follow") != NULL;
  const bool saved = only_missing || es_arguments_option(arguments, "--saved") != NULL;
  int64_t every = 3;
  bool json;
  ES_TRY(es_cli_format(arguments, &json, status));
  ES_TRY(es_cli_integer(arguments, "--every", 1, 86400, &every, status));
  if (follows && (json || saved))
    return es_fail(status, ES_INPUT, "status",
                   "--follow cannot be used together with --format json, --missing or --saved; a program can repeat "
                   "status --format json");
  if (json && only_missing)
    return es_fail(status, ES_INPUT, "status",
                   "--missing and --format json cannot be used together; json has the key "
                   "missing");
  /* Shares of --task depend on costs, and so on the datasets. Without --task the datasets may be missing. */
  ES_TRY((task != NULL ? es_plan_create : es_plan_open)(&plan, &request, status));
  es_plan_inspect_for_all(&plan);
  if (es_search_select(&plan, request.points, task, &selection, status) == ES_OK) {
    if (follows)
      es_cli_follow(&plan, &selection, every, es_terminal_is_own(STDOUT_FILENO), &results, status);
    else
      es_results_survey(&results, &plan, &selection, json, saved, only_missing ? NULL : &text, status);
  }
  if (follows) { /* it has printed */
  } else if (only_missing) {
    es_selection_print(&results.missing, &text);
    if (results.missing.n > 0) es_text_append(&text, "\n");
  } else if (!json) {
    const int64_t *counts = results.counts;
    es_text_append(&text, "\n%lld point%s: %lld complete, %lld diverged, %lld damaged, %lld missing",
                   (long long)selection.n, selection.n == 1 ? "" : "s", (long long)counts[ES_OUTCOME_COMPLETE],
                   (long long)counts[ES_OUTCOME_DIVERGED], (long long)counts[ES_OUTCOME_DAMAGED],
                   (long long)(counts[ES_OUTCOME_MISSING] - results.left_out));
    if (counts[ES_OUTCOME_UNREADABLE] > 0)
      es_text_append(&text, ", %lld unreadable", (long long)counts[ES_OUTCOME_UNREADABLE]);
    if (counts[ES_OUTCOME_UNFIT] > 0) es_text_append(&text, ", %lld unfit", (long long)counts[ES_OUTCOME_UNFIT]);
    if (counts[ES_OUTCOME_STOPPED] > 0)
      es_text_append(&text, ", %lld stopped early", (long long)counts[ES_OUTCOME_STOPPED]);
    append_states(&results, &text);
    es_text_append(&text, " in %s/points/\n", plan.output);
    es_kinds_print(&results.kinds, &text);
    if (results.problems > 0)
      es_text_append(&text,
                     "search: %lld of %lld problem%s answered, %lld point%s left out; eigenscope search %s "
                     "--explain says why\n",
                     (long long)results.answered, (long long)results.problems, es_plural(results.problems),
                     (long long)results.left_out, es_plural(results.left_out), es_job_path(plan.job));
    const int64_t others = es_results_others(&plan);
    if (others > 0)
      es_text_append(&text, "%lld other result%s there, of other versions of this job or of other jobs\n",
                     (long long)others, others == 1 ? " is" : "s are");
  }
  es_cli_print(&text, "the table of points", status);
  const int result = es_cli_results_code(&results);
  es_results_destroy(&results);
  es_selection_destroy(&selection);
  es_plan_destroy(&plan);
  return result;
}

/* A lack of memory exits with 1 here: 2 would mean that points have diverged. */
int es_cli_status(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_status, 1, 1, survey);
}
