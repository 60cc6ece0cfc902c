/* eigenscope status JOB: shows which points are done, according to the result files. */
#include "cli_internal.h"
#include <stdio.h>

static const char usage[] =
    "eigenscope status JOB [--output DIR] [--points LIST] [--task I/N] [--missing] [--set KEY=VALUE]...\n\n"
    "Shows which points of a job are complete, diverged, damaged, unreadable, unfit (sound, but not of this job),\n"
    "missing, or started (with the epochs that the next run will not repeat). Reads only the files of results and\n"
    "states; for weights with a written `classes: all` also the dataset, if it is there. Exit code: 0 all points\n"
    "complete, 2 some diverged, 3 some missing, started, damaged (run the job again to complete them), unreadable or\n"
    "unfit.";

static const es_option_t options[] = {
    {"--output", "DIR", false, "folder of the results (default: the job's `output`)"},
    {"--points", "LIST", false, "only these points, as 0-3,7"},
    {"--task", "I/N", false, "only share I of N, as in run --task (reads the datasets)"},
    {"--missing", NULL, false,
     "print only the list of missing points, as 0-3,7 (for run --points); prints nothing if none is missing"},
    {"--set", "KEY=VALUE", true, "the same changes of the job file as in run"},
};
const es_page_t es_page_status = {"status", usage, options, sizeof options / sizeof *options};

static int survey(const es_arguments_t *arguments, es_status_t *status) {
  const bool only_missing = es_arguments_option(arguments, "--missing") != NULL;
  const char *task = es_arguments_option(arguments, "--task");
  const es_plan_request_t request = es_cli_request(arguments, 0);
  es_plan_t plan = {0};
  es_selection_t selection = {0};
  es_results_t results = {0};
  es_text_t text = {0};
  /* Shares of --task depend on costs, and so on the datasets. Without --task the datasets may be missing. */
  ES_TRY((task != NULL ? es_plan_create : es_plan_open)(&plan, &request, status));
  es_plan_inspect_for_all(&plan);
  if (es_plan_select(&plan, request.points, task, &selection, status) == ES_OK)
    es_results_survey(&results, &plan, &selection, only_missing ? NULL : &text, status);
  if (only_missing) {
    es_selection_print(&results.missing, &text);
    if (results.missing.n > 0) es_text_append(&text, "\n");
  } else {
    const int64_t *counts = results.counts;
    es_text_append(&text, "\n%lld point%s: %lld complete, %lld diverged, %lld damaged, %lld missing",
                   (long long)selection.n, selection.n == 1 ? "" : "s", (long long)counts[ES_OUTCOME_COMPLETE],
                   (long long)counts[ES_OUTCOME_DIVERGED], (long long)counts[ES_OUTCOME_DAMAGED],
                   (long long)counts[ES_OUTCOME_MISSING]);
    if (counts[ES_OUTCOME_UNREADABLE] > 0)
      es_text_append(&text, ", %lld unreadable", (long long)counts[ES_OUTCOME_UNREADABLE]);
    if (counts[ES_OUTCOME_UNFIT] > 0) es_text_append(&text, ", %lld unfit", (long long)counts[ES_OUTCOME_UNFIT]);
    if (results.started > 0) es_text_append(&text, " (%lld started)", (long long)results.started);
    es_text_append(&text, " in %s/points/\n", plan.output);
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
