/* eigenscope search JOB: shows what the search of a job has decided, according to the result files. */
#include "eigenscope/search.h"
#include "cli_internal.h"
#include "eigenscope/file.h"
#include <stdio.h>

static const char usage[] =
    "eigenscope search JOB [--output DIR] [--explain] [--format table|json] [--set KEY=VALUE]...\n\n"
    "Shows the answers of a job with a section `search`: for each problem the answer, what was measured for it, and "
    "its\n"
    "share of the cost of the full grid. Reads only result files and replays all decisions, so it says the same after "
    "any\n"
    "kill and on any number of ranks. Where the results of the full grid exist, it also says what they answer.\n"
    "Exit code: 0 all problems answered, 3 some are open (run the job to go on).";

static const es_option_t options[] = {
    {"--output", "DIR", false, "folder of the results (default: the job's `output`)"},
    {"--explain", NULL, false, "also each decision with the numbers that it rests on"},
    {"--format", "table|json", false, "format of the output (default: table); json has all decisions"},
    {"--set", "KEY=VALUE", true, "the same changes of the job file as in run"},
};
const es_page_t es_page_search = {"search", usage, options, sizeof options / sizeof *options};

/* Opens the plan with costs if the data are there, else without. */
static es_code_t open_plan(es_plan_t *plan, const es_plan_request_t *request, bool *costs, es_status_t *status) {
  es_status_t looking = {0};
  *costs = es_plan_create(plan, request, &looking) == ES_OK;
  if (*costs) return ES_OK;
  es_plan_destroy(plan);
  *plan = (es_plan_t){0};
  return es_plan_open(plan, request, status);
}

static int search(const es_arguments_t *arguments, es_status_t *status) {
  const es_plan_request_t request = es_cli_request(arguments, 0);
  es_plan_t plan = {0};
  es_search_t *found = NULL;
  es_text_t text = {0};
  bool json, costs;
  int result = ES_EXIT_OK;
  ES_TRY(es_cli_format(arguments, &json, status));
  ES_TRY(open_plan(&plan, &request, &costs, status));
  if (es_job_search(plan.job)->kind == ES_SEARCH_NONE)
    es_fail(status, ES_INPUT, "search",
            "%s: has no section search, so all points are run; a search is written as in search: {axis: width}",
            es_job_path(plan.job));
  else if (es_search_create(&found, &plan, status) == ES_OK && es_search_look(found, status) == ES_OK) {
    if (es_file_is_missing(plan.output))
      fprintf(stderr, "eigenscope: note: the folder %s does not exist, so there are no results yet\n", plan.output);
    if (json)
      es_search_print_json(found, &text);
    else
      es_search_print(found, es_arguments_option(arguments, "--explain") != NULL, costs, &text);
    if (es_search_answered(found) < es_search_problems(found)) result = ES_EXIT_UNFINISHED;
  }
  es_cli_print(&text, "the decisions of the search", status);
  es_search_destroy(found);
  es_plan_destroy(&plan);
  return result;
}

int es_cli_search(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_search, 1, 1, search);
}
