/* eigenscope status JOB: what is done, read off the result files. Also the table that `run` ends with. */
#include "eigenscope/memory.h"
#include "parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "eigenscope status JOB [--output DIR] [--missing] [--set KEY=VALUE]...\n\n"
    "Which points of a job are complete, diverged, damaged or missing, read off the result files alone.\n"
    "Exit code: 0 all complete, 2 some diverged, 3 some missing (a damaged file counts as missing; run again to go "
    "on).";

static const es_option_t options[] = {
    {"--output", "DIR", false, "where results are (default: the job's `output`)"},
    {"--missing", NULL, false,
     "only the list of missing points, as 0-3,7 (for run --points); nothing when there is none"},
    {"--set", "KEY=VALUE", true, "as it was given to run"},
};

static void summarize(const es_plan_t *plan, int64_t index, char path[ES_PATH_MAX], es_result_summary_t *out) {
  es_result_path(path, plan->output, es_grid_id(plan->grid, index));
  es_result_summarize(out, path);
}

/* A number, or a dash for NaN. */
static void number_cell(es_table_t *table, double value) {
  if (isnan(value))
    es_table_cell(table, "-");
  else
    es_table_cell(table, "%.4f", value);
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

static void add_row(es_table_t *table, const es_varying_t *varying, const es_plan_t *plan, int64_t index,
                    const es_result_summary_t *summary) {
  static const char *const words[] = {"missing", "complete", "diverged", "damaged"}; /* as es_outcome_t */
  const bool readable = summary->outcome == ES_OUTCOME_COMPLETE || summary->outcome == ES_OUTCOME_DIVERGED;
  es_point_t point;
  es_grid_point(plan->grid, index, &point);
  es_table_cell(table, "%lld", (long long)index);
  es_varying_cells(varying, &point, table);
  es_table_cell(table, "%s", words[summary->outcome]);
  if (readable)
    es_table_cell(table, "%d", summary->epochs);
  else
    es_table_cell(table, "-");
  number_cell(table, readable ? summary->accuracy : NAN);
  number_cell(table, readable ? summary->mean_saturation : NAN);
  es_table_cell(table, "%s", summary->reason);
}

void es_plan_table(const es_plan_t *plan, const es_selection_t *selection, es_text_t *out) {
  es_table_t table = {0};
  es_varying_t varying;
  es_text_t common = {0};
  es_varying_find(plan, &varying, &common);
  add_columns(&table, &varying);
  int64_t rows = 0;
  for (int64_t i = 0; i < selection->n; i++) {
    char path[ES_PATH_MAX];
    es_result_summary_t summary;
    summarize(plan, selection->index[i], path, &summary);
    if (summary.outcome != ES_OUTCOME_COMPLETE && summary.outcome != ES_OUTCOME_DIVERGED) continue;
    add_row(&table, &varying, plan, selection->index[i], &summary);
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
}

/* All points looked at once. */
typedef struct survey {
  int64_t counts[4];      /* by es_outcome_t */
  es_selection_t missing; /* also what is damaged; the index array is owned */
} survey_t;

static es_code_t look(const es_plan_t *plan, bool name_damaged, es_table_t *table, const es_varying_t *varying,
                      survey_t *out, es_status_t *status) {
  const int64_t n = es_grid_count(plan->grid);
  *out = (survey_t){.missing = {.index = es_allocate((size_t)n, sizeof(int64_t))}};
  if (out->missing.index == NULL)
    return es_fail(status, ES_SYSTEM, "status", "out of memory for %lld points", (long long)n);
  for (int64_t i = 0; i < n; i++) {
    char path[ES_PATH_MAX];
    es_result_summary_t summary;
    summarize(plan, i, path, &summary);
    out->counts[summary.outcome]++;
    if (summary.outcome == ES_OUTCOME_MISSING || summary.outcome == ES_OUTCOME_DAMAGED)
      out->missing.index[out->missing.n++] = i;
    if (summary.outcome == ES_OUTCOME_DAMAGED && name_damaged)
      fprintf(stderr, "eigenscope: %s: damaged, counts as missing: %s\n", path, summary.reason);
    add_row(table, varying, plan, i, &summary);
  }
  return ES_OK;
}

static int exit_code(const survey_t *survey) {
  if (survey->missing.n > 0) return ES_EXIT_UNFINISHED;
  return survey->counts[ES_OUTCOME_DIVERGED] > 0 ? ES_EXIT_FAILED : ES_EXIT_OK;
}

static void print_survey(const es_plan_t *plan, const survey_t *survey, const es_table_t *table,
                         const es_text_t *common, es_text_t *out) {
  const int64_t n = es_grid_count(plan->grid);
  es_varying_heading(plan, common, out);
  es_table_print(table, out);
  es_text_append(out, "\n%lld point%s: %lld complete, %lld diverged, %lld damaged, %lld missing in %s/points/\n",
                 (long long)n, n == 1 ? "" : "s", (long long)survey->counts[ES_OUTCOME_COMPLETE],
                 (long long)survey->counts[ES_OUTCOME_DIVERGED], (long long)survey->counts[ES_OUTCOME_DAMAGED],
                 (long long)survey->counts[ES_OUTCOME_MISSING], plan->output);
}

static es_code_t survey_job(const es_arguments_t *arguments, int *result, es_status_t *status) {
  const bool only_missing = es_arguments_option(arguments, "--missing") != NULL;
  es_plan_request_t request = {.path = es_arguments_positional(arguments, 0),
                               .output = es_arguments_option(arguments, "--output")};
  request.n_sets = es_arguments_all(arguments, "--set", &request.sets);
  es_plan_t plan;
  ES_TRY(es_plan_open(&plan, &request, status));
  es_table_t table = {0};
  es_varying_t varying;
  es_text_t common = {0}, text = {0};
  survey_t survey;
  es_varying_find(&plan, &varying, &common);
  add_columns(&table, &varying);
  if (look(&plan, only_missing, &table, &varying, &survey, status) == ES_OK) {
    if (only_missing) {
      es_selection_print(&survey.missing, &text);
      if (survey.missing.n > 0) es_text_append(&text, "\n");
    } else {
      print_survey(&plan, &survey, &table, &common, &text);
    }
    if (text.failed)
      es_fail(status, ES_SYSTEM, "status", "out of memory for the table of %lld points",
              (long long)es_grid_count(plan.grid));
    else
      fputs(es_text_get(&text), stdout);
    *result = exit_code(&survey);
  }
  es_selection_destroy(&survey.missing);
  es_table_destroy(&table);
  es_text_destroy(&common);
  es_text_destroy(&text);
  es_plan_destroy(&plan);
  return status->code;
}

int es_cli_status(int argc, char **argv) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  int result = ES_EXIT_OK;
  if (es_arguments_parse(&arguments, argc, argv, usage, options, sizeof options / sizeof *options, 1, 1, &status) ==
      ES_OK)
    survey_job(arguments, &result, &status);
  es_arguments_destroy(arguments);
  return status.code == ES_OK ? result : es_cli_report(&status);
}
