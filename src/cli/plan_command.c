/* eigenscope plan JOB: what a job would do. */
#include "parts.h"
#include <stdio.h>
#include <string.h>

static const char usage[] = "eigenscope plan JOB [--format table|json] [--output DIR] [--set KEY=VALUE]...\n\n"
                            "The points of a job: index (for run --points), id (of the result file), what tells them "
                            "apart, trained parameters,\n"
                            "multiply-adds of one image, work in multiply-adds (training, evaluation, covariances, "
                            "eigenvalues) and its share.\n"
                            "Reads the headers and labels of the datasets; runs nothing and needs no MPI.";

static const es_option_t options[] = {
    {"--format", "table|json", false, "how to print it (default: table)"},
    {"--output", "DIR", false, "where results go (default: the job's `output`)"},
    {"--set", "KEY=VALUE", true, "override a key of the job file, as train.epochs=2"},
};

static double total_cost(const es_plan_t *plan) {
  double total = 0;
  for (int64_t i = 0; i < es_grid_count(plan->grid); i++) total += es_plan_cost(plan, i);
  return total;
}

static void print_table(const es_plan_t *plan, es_text_t *out) {
  const int64_t n = es_grid_count(plan->grid);
  const double total = total_cost(plan);
  es_table_t table = {0};
  es_varying_t varying;
  es_text_t common = {0};
  es_varying_find(plan, &varying, &common);
  es_table_column(&table, "point", true);
  es_table_column(&table, "id", false);
  es_varying_columns(&varying, &table);
  static const char *const headings[] = {"parameters", "GMAC/image", "TMAC", "share"};
  for (int i = 0; i < 4; i++) es_table_column(&table, headings[i], true);
  for (int64_t i = 0; i < n; i++) {
    es_point_t point;
    es_plan_point(plan, i, &point);
    es_table_cell(&table, "%lld", (long long)i);
    es_table_cell(&table, "%s", es_grid_id(plan->grid, i));
    es_varying_cells(&varying, &point, &table);
    es_table_cell(&table, "%lld", (long long)es_plan_parameters(plan, i));
    es_table_cell(&table, "%.5f", 1e-9 * (double)es_plan_macs(plan, i));
    es_table_cell(&table, "%.3f", 1e-12 * es_plan_cost(plan, i));
    es_table_cell(&table, "%.1f%%", 100 * es_plan_cost(plan, i) / total);
  }
  es_varying_heading(plan, &common, out);
  es_table_print(&table, out);
  es_text_append(out, "\n%lld point%s, %.3f TMAC; results go to %s/points/<id>.h5\n", (long long)n, n == 1 ? "" : "s",
                 1e-12 * total, plan->output);
  es_text_destroy(&common);
  es_table_destroy(&table);
}

static void print_axes(const es_point_t *point, es_text_t *out) {
  char number[32];
  for (int i = 0; i < point->n_axes; i++) {
    const es_axis_value_t *axis = &point->axes[i];
    es_text_append(out, "%s", i > 0 ? ", " : "");
    es_text_append_quoted(out, axis->name);
    es_text_append(out, ": ");
    if (axis->is_number)
      es_text_append(out, "%s", es_text_double(axis->number, number));
    else
      es_text_append_quoted(out, axis->text);
  }
}

static void print_json(const es_plan_t *plan, es_text_t *out) {
  const int64_t n = es_grid_count(plan->grid);
  const double total = total_cost(plan);
  es_text_append(out, "{\"job\": ");
  es_text_append_quoted(out, es_job_name(plan->job));
  es_text_append(out, ", \"output\": ");
  es_text_append_quoted(out, plan->output);
  es_text_append(out, ", \"total_macs\": %.0f, \"points\": [", total);
  for (int64_t i = 0; i < n; i++) {
    es_point_t point;
    es_plan_point(plan, i, &point);
    es_text_append(out, "%s\n  {\"index\": %lld, \"id\": \"%s\", \"axes\": {", i > 0 ? "," : "", (long long)i,
                   es_grid_id(plan->grid, i));
    print_axes(&point, out);
    es_text_append(out, "}, \"parameters\": %lld, \"macs_per_image\": %lld, \"macs\": %.0f, \"share\": %.6f}",
                   (long long)es_plan_parameters(plan, i), (long long)es_plan_macs(plan, i), es_plan_cost(plan, i),
                   es_plan_cost(plan, i) / total);
  }
  es_text_append(out, "\n]}\n");
}

static es_code_t plan_job(const es_arguments_t *arguments, es_status_t *status) {
  const char *format = es_arguments_option(arguments, "--format");
  const bool json = format != NULL && strcmp(format, "json") == 0;
  if (format != NULL && !json && strcmp(format, "table") != 0)
    return es_fail(status, ES_INPUT, "plan", "--format %.100s: must be table or json", format);
  es_plan_request_t request = {.path = es_arguments_positional(arguments, 0),
                               .output = es_arguments_option(arguments, "--output")};
  request.n_sets = es_arguments_all(arguments, "--set", &request.sets);
  es_plan_t plan;
  es_text_t text = {0};
  ES_TRY(es_plan_create(&plan, &request, status));
  if (json)
    print_json(&plan, &text);
  else
    print_table(&plan, &text);
  if (text.failed)
    es_fail(status, ES_SYSTEM, "plan", "out of memory for the table of %lld points",
            (long long)es_grid_count(plan.grid));
  else
    fputs(es_text_get(&text), stdout);
  es_text_destroy(&text);
  es_plan_destroy(&plan);
  return status->code;
}

int es_cli_plan(int argc, char **argv) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  if (es_arguments_parse(&arguments, argc, argv, usage, options, sizeof options / sizeof *options, 1, 1, &status) ==
      ES_OK)
    plan_job(arguments, &status);
  es_arguments_destroy(arguments);
  return es_cli_report(&status);
}
