/* eigenscope plan JOB: what a job would do. */
#include "memory.h"
#include "parts.h"
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "eigenscope plan JOB [--format table|json] [--output DIR] [--ranks-per-point G] [--set KEY=VALUE]...\n\n"
    "The points of a job: index (for run --points), id (of the result file), what tells them "
    "apart, trained parameters,\n"
    "multiply-adds of one image, work in multiply-adds (training, evaluation, covariances, "
    "eigenvalues) and its share.\n"
    "Reads the headers and labels of the datasets; runs nothing and needs no MPI.";

static const es_option_t options[] = {
    {"--format", "table|json", false, "how to print it (default: table)"},
    {"--output", "DIR", false, "where results go (default: the job's `output`)"},
    {"--ranks-per-point", "G", false, "predict memory for groups of so many ranks (default 1)"},
    {"--set", "KEY=VALUE", true, "override a key of the job file, as train.epochs=2"},
};

static double total_cost(const es_plan_t *plan) {
  double total = 0;
  for (int64_t i = 0; i < es_grid_count(plan->grid); i++) total += es_plan_cost(plan, i);
  return total;
}

/* Predicted memory of point after point; those that differ only in their seed are looked at once. */
typedef struct memory {
  int ranks; /* that share a point */
  es_point_t last;
  es_memory_need_t need, most;
} memory_t;

static const es_memory_need_t *predict(memory_t *m, const es_plan_t *plan, const es_point_t *point) {
  es_point_t key = *point;
  key.seed = 0;
  key.n_axes = 0;
  memset(key.axes, 0, sizeof key.axes);
  if (memcmp(&key, &m->last, sizeof key) != 0) {
    m->last = key;
    m->need = (es_memory_need_t){0};
    es_memory_predict(&m->need, point, es_plan_info(plan, point), m->ranks, NULL); /* the plan has built this network */
  }
  if (m->need.rank > m->most.rank) m->most.rank = m->need.rank;
  if (m->need.shared > m->most.shared) m->most.shared = m->need.shared;
  return &m->need;
}

static double mebibytes(int64_t bytes) {
  return (double)bytes / (1 << 20);
}

static void print_table(const es_plan_t *plan, memory_t *memory, es_text_t *out) {
  const int64_t n = es_grid_count(plan->grid);
  const double total = total_cost(plan);
  es_table_t table = {0};
  es_varying_t varying;
  es_text_t common = {0};
  es_varying_find(plan, &varying, &common);
  es_table_column(&table, "point", true);
  es_table_column(&table, "id", false);
  es_varying_columns(&varying, &table);
  static const char *const headings[] = {"parameters", "GMAC/image", "TMAC", "share", "MiB/rank"};
  for (int i = 0; i < 5; i++) es_table_column(&table, headings[i], true);
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
    es_table_cell(&table, "%.0f", mebibytes(predict(memory, plan, &point)->rank));
  }
  es_varying_heading(plan, &common, out);
  es_table_print(&table, out);
  es_text_append(out, "\n%lld point%s, %.3f TMAC; results go to %s/points/<id>.h5\n", (long long)n, n == 1 ? "" : "s",
                 1e-12 * total, plan->output);
  es_text_append(out, "memory: up to %.0f MiB for each rank, and %.0f MiB of images once on each node\n",
                 mebibytes(memory->most.rank), mebibytes(memory->most.shared));
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

static void print_json(const es_plan_t *plan, memory_t *memory, es_text_t *out) {
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
    const es_memory_need_t *need = predict(memory, plan, &point);
    es_text_append(out, "%s\n  {\"index\": %lld, \"id\": \"%s\", \"axes\": {", i > 0 ? "," : "", (long long)i,
                   es_grid_id(plan->grid, i));
    print_axes(&point, out);
    es_text_append(out,
                   "}, \"parameters\": %lld, \"macs_per_image\": %lld, \"macs\": %.0f, \"share\": %.6f, "
                   "\"bytes_per_rank\": %lld, \"bytes_shared_per_node\": %lld}",
                   (long long)es_plan_parameters(plan, i), (long long)es_plan_macs(plan, i), es_plan_cost(plan, i),
                   es_plan_cost(plan, i) / total, (long long)need->rank, (long long)need->shared);
  }
  es_text_append(out, "\n]}\n");
}

static es_code_t plan_job(const es_arguments_t *arguments, es_status_t *status) {
  const char *format = es_arguments_option(arguments, "--format");
  const bool json = format != NULL && strcmp(format, "json") == 0;
  if (format != NULL && !json && strcmp(format, "table") != 0)
    return es_fail(status, ES_INPUT, "plan", "--format %.100s: must be table or json", format);
  int64_t ranks = 1;
  const char *text_ranks = es_arguments_option(arguments, "--ranks-per-point");
  if (text_ranks != NULL && (!es_text_to_int(text_ranks, &ranks) || ranks < 1 || ranks > 256 || (ranks & (ranks - 1))))
    return es_fail(status, ES_INPUT, "plan", "--ranks-per-point %.100s: must be a power of two (1, 2, 4, 8, ...)",
                   text_ranks);
  es_plan_request_t request = {.path = es_arguments_positional(arguments, 0),
                               .output = es_arguments_option(arguments, "--output")};
  request.n_sets = es_arguments_all(arguments, "--set", &request.sets);
  es_plan_t plan;
  es_text_t text = {0};
  memory_t *memory = &(memory_t){.ranks = (int)ranks};
  ES_TRY(es_plan_create(&plan, &request, status));
  if (json)
    print_json(&plan, memory, &text);
  else
    print_table(&plan, memory, &text);
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
