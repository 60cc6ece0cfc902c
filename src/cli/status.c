/* eigenscope status JOB: what is done, read off the result files. Also the table that `run` ends with. */
#include "cli_internal.h"
#include "eigenscope/memory.h"
#include "eigenscope/state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "eigenscope status JOB [--output DIR] [--points LIST] [--task I/N] [--missing] [--set KEY=VALUE]...\n\n"
    "Which points of a job are complete, diverged, damaged, started (with the epochs that a next run need not repeat)\n"
    "or missing, read off the files of results and states alone. Exit code: 0 all complete, 2 some diverged, 3 some\n"
    "missing (those started or damaged are missing too; run again to go on).";

static const es_option_t options[] = {
    {"--output", "DIR", false, "where results are (default: the job's `output`)"},
    {"--points", "LIST", false, "only these points, as 0-3,7"},
    {"--task", "I/N", false, "only share I of N, as run --task takes it (needs the data at hand)"},
    {"--missing", NULL, false,
     "only the list of missing points, as 0-3,7 (for run --points); nothing when there is none"},
    {"--set", "KEY=VALUE", true, "as it was given to run"},
};
const es_page_t es_page_status = {"status", usage, options, sizeof options / sizeof *options};

static void summarize(const es_plan_t *plan, int64_t index, char path[ES_PATH_MAX], es_result_summary_t *out) {
  es_result_find(path, plan->output, es_grid_id(plan->grid, index));
  es_result_summarize(out, path);
}

static void add_columns(es_table_t *table, const es_varying_t *varying) {
  es_table_column(table, "point", true);
  es_varying_columns(varying, table);
  es_table_column(table, "outcome", false);
  es_table_column(table, "epochs", true);
  es_table_column(table, "accuracy", true);
  es_table_column(table, "saturation", true);
  es_table_column(table, "reason", false);
}

/* `started`: the last epoch in the state of a point without a result, or -1. */
static void add_row(es_table_t *table, const es_varying_t *varying, es_grid_walk_t *walk, int64_t index,
                    const es_result_summary_t *summary, int32_t started) {
  static const char *const words[] = {"missing", "complete", "diverged", "damaged"}; /* as es_outcome_t */
  const bool readable = summary->outcome == ES_OUTCOME_COMPLETE || summary->outcome == ES_OUTCOME_DIVERGED;
  const es_point_t *point = es_grid_walk(walk, index);
  es_table_cell(table, "%lld", (long long)index);
  es_varying_cells(varying, point, table);
  es_table_cell(table, "%s",
                summary->outcome == ES_OUTCOME_MISSING && started >= 0 ? "started" : words[summary->outcome]);
  if (readable && summary->stopped_at > 0)
    es_table_cell(table, "%d of %d", summary->stopped_at, summary->epochs);
  else if (readable)
    es_table_cell(table, "%d", summary->epochs);
  else if (started >= 0 && point->source != ES_SOURCE_TRAIN)
    es_table_cell(table, "%d/%d", started + 1, es_external_epochs(&point->external));
  else if (started >= 0)
    es_table_cell(table, "%d/%d", started, point->train.epochs);
  else
    es_table_cell(table, "-");
  es_table_number(table, readable ? summary->accuracy : NAN);
  es_table_number(table, readable ? summary->mean_saturation : NAN);
  es_table_cell(table, "%s", summary->reason);
}

static void name_damaged(const char *path, const es_result_summary_t *summary) {
  fprintf(stderr, "eigenscope: %s: damaged, counts as missing: %s\n", path, summary->reason);
}

int64_t es_plan_table(const es_plan_t *plan, const es_selection_t *selection, es_text_t *out) {
  es_grid_walk_t walk = {.grid = plan->grid};
  es_table_t table = {0};
  es_varying_t varying;
  es_text_t common = {0};
  es_varying_find(plan, &varying, &common);
  add_columns(&table, &varying);
  int64_t rows = 0, unsound = 0;
  for (int64_t i = 0; i < selection->n; i++) {
    char path[ES_PATH_MAX];
    es_result_summary_t summary;
    summarize(plan, selection->index[i], path, &summary);
    unsound += summary.outcome == ES_OUTCOME_DIVERGED || summary.outcome == ES_OUTCOME_DAMAGED;
    if (summary.outcome == ES_OUTCOME_DAMAGED) name_damaged(path, &summary);
    if (summary.outcome != ES_OUTCOME_COMPLETE && summary.outcome != ES_OUTCOME_DIVERGED) continue;
    add_row(&table, &varying, &walk, selection->index[i], &summary, -1);
    rows++;
  }
  if (rows > 0) {
    es_varying_heading(plan, &common, out);
    es_table_print(&table, out);
    es_text_append(out, "\n");
  }
  es_text_append(out, "results: %s/points/\n", plan->output);
  es_text_destroy(&common);
  es_table_destroy(&table);
  return unsound;
}

/* All points that were asked for, looked at once. */
typedef struct survey {
  int64_t counts[4];      /* by es_outcome_t */
  int64_t started;        /* of those without a sound result */
  es_selection_t missing; /* also what is damaged; the index array is owned */
} survey_t;

/* Looks at one point and counts it. */
static int32_t look_at(const es_plan_t *plan, int64_t index, survey_t *survey, es_result_summary_t *summary,
                       char path[ES_PATH_MAX]) {
  summarize(plan, index, path, summary);
  survey->counts[summary->outcome]++;
  if (summary->outcome == ES_OUTCOME_COMPLETE || summary->outcome == ES_OUTCOME_DIVERGED) return -1;
  char state[ES_PATH_MAX];
  es_state_path(state, plan->output, es_grid_id(plan->grid, index));
  const int32_t started = es_state_epoch(state, es_grid_id(plan->grid, index));
  survey->started += started >= 0;
  survey->missing.index[survey->missing.n++] = index;
  return started;
}

/* `table` NULL: no rows, but what is damaged is named on stderr. */
static es_code_t look(const es_plan_t *plan, const es_selection_t *selection, es_table_t *table,
                      const es_varying_t *varying, survey_t *out, es_status_t *status) {
  es_grid_walk_t walk = {.grid = plan->grid};
  *out = (survey_t){.missing = {.index = es_allocate((size_t)selection->n, sizeof(int64_t))}};
  if (out->missing.index == NULL) return es_out_of_memory(status, "status", "%lld points", (long long)selection->n);
  for (int64_t i = 0; i < selection->n; i++) {
    char path[ES_PATH_MAX];
    es_result_summary_t summary;
    const int32_t started = look_at(plan, selection->index[i], out, &summary, path);
    if (table != NULL)
      add_row(table, varying, &walk, selection->index[i], &summary, started);
    else if (summary.outcome == ES_OUTCOME_DAMAGED)
      name_damaged(path, &summary);
  }
  return ES_OK;
}

static int exit_code(const survey_t *survey) {
  if (survey->missing.n > 0) return ES_EXIT_UNFINISHED;
  return survey->counts[ES_OUTCOME_DIVERGED] > 0 ? ES_EXIT_FAILED : ES_EXIT_OK;
}

/* "3 points: 2 complete, 0 diverged, 0 damaged, 1 missing (1 started) in results/x/points/" */
static void print_counts(const es_plan_t *plan, const survey_t *survey, int64_t n, es_text_t *out) {
  es_text_append(out, "\n%lld point%s: %lld complete, %lld diverged, %lld damaged, %lld missing", (long long)n,
                 n == 1 ? "" : "s", (long long)survey->counts[ES_OUTCOME_COMPLETE],
                 (long long)survey->counts[ES_OUTCOME_DIVERGED], (long long)survey->counts[ES_OUTCOME_DAMAGED],
                 (long long)survey->counts[ES_OUTCOME_MISSING]);
  if (survey->started > 0) es_text_append(out, " (%lld started)", (long long)survey->started);
  es_text_append(out, " in %s/points/\n", plan->output);
}

/* What is printed about the points of the selection. */
static es_code_t describe(const es_plan_t *plan, const es_selection_t *selection, bool only_missing, survey_t *survey,
                          es_text_t *out, es_status_t *status) {
  es_table_t table = {0};
  es_varying_t varying;
  es_text_t common = {0};
  es_varying_find(plan, &varying, &common);
  add_columns(&table, &varying);
  const es_code_t code = look(plan, selection, only_missing ? NULL : &table, &varying, survey, status);
  if (code == ES_OK && only_missing) {
    es_selection_print(&survey->missing, out);
    if (survey->missing.n > 0) es_text_append(out, "\n");
  } else if (code == ES_OK) {
    es_varying_heading(plan, &common, out);
    es_table_print(&table, out);
    print_counts(plan, survey, selection->n, out);
  }
  es_table_destroy(&table);
  es_text_destroy(&common);
  return code;
}

static es_code_t survey_job(const es_arguments_t *arguments, int *result, es_status_t *status) {
  es_plan_request_t request = {.path = es_arguments_positional(arguments, 0),
                               .output = es_arguments_option(arguments, "--output")};
  request.n_sets = es_arguments_all(arguments, "--set", &request.sets);
  es_plan_t plan;
  es_selection_t selection;
  survey_t survey = {0};
  es_text_t text = {0};
  /* Shares go by cost, which depends on the data. Otherwise the data need not be there. */
  const char *task = es_arguments_option(arguments, "--task");
  if (task != NULL)
    ES_TRY(es_plan_create(&plan, &request, status));
  else
    ES_TRY(es_plan_open(&plan, &request, status));
  if (es_plan_select(&plan, es_arguments_option(arguments, "--points"), task, &selection, status) == ES_OK) {
    const bool only_missing = es_arguments_option(arguments, "--missing") != NULL;
    if (describe(&plan, &selection, only_missing, &survey, &text, status) == ES_OK) {
      if (text.failed)
        es_out_of_memory(status, "status", "the table of %lld points", (long long)selection.n);
      else
        es_text_print(stdout, &text);
      *result = exit_code(&survey);
    }
    es_selection_destroy(&survey.missing);
    es_selection_destroy(&selection);
  }
  es_text_destroy(&text);
  es_plan_destroy(&plan);
  return status->code;
}

int es_cli_status(int argc, char **argv) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  int result = ES_EXIT_OK;
  if (es_arguments_parse(&arguments, argc, argv, &es_page_status, 1, 1, &status) == ES_OK)
    survey_job(arguments, &result, &status);
  es_arguments_destroy(arguments);
  if (status.code == ES_SYSTEM) status.code = ES_INPUT; /* 2 would say that points have diverged */
  return status.code == ES_OK ? result : es_cli_report(&status);
}
