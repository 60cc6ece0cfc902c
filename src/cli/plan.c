/* eigenscope plan JOB: predicts work, time and memory of a job. */
#include "cli_internal.h"
#include "eigenscope/store.h"
#include <stdio.h>
#include <string.h>

#define MIB(bytes) ((double)(bytes) / (1 << 20))

static const char usage[] =
    "eigenscope plan JOB [options]\n\n"
    "Lists the points of a job: index (for run --points), id (name of the result file), the settings that differ "
    "between\n"
    "points, trainable parameters, multiply-adds of one image (GMAC/image), all multiply-adds of training, "
    "evaluation,\n"
    "covariances and eigenvalues (TMAC), the share of the total, and memory.\n"
    "With --cluster, simulates how long the job takes on a cluster with 1, 2, 4 and 8 ranks per point.\n"
    "With --interconnect, predicts the time of a training step on 1, 2, 4 ... ranks of a network, and how many ranks "
    "help.\n"
    "With --tasks, divides the points into shares of equal cost, one line each (for SLURM arrays; see "
    "slurm/submit.sh).\n"
    "Reads the headers and labels of the datasets; runs nothing and needs no MPI.";

static const es_option_t options[] = {
    {"--format", "table|json", false, "format of the output (default: table)"},
    {"--output", "DIR", false, "folder for results (default: the job's `output`)"},
    {"--points", "LIST", false, "only these points, as 0-3,7"},
    {"--ranks-per-point", "G", false, "predict memory for G ranks per point (default 1)"},
    {"--cluster", "nodes=N,cores=C", false,
     "simulate the schedule; optional: ,rate=GFLOP/s of a core,efficiency=share kept when the ranks per point double"},
    {"--interconnect", "NAME|LATENCY,BANDWIDTH", false,
     "predict steps on shared-memory, ethernet-1g, ethernet-10g, infiniband-hdr, or on a network such as "
     "20us,10Gbit/s"},
    {"--tasks", "N", false, "print the points of each task of a SLURM array with at most N tasks"},
    {"--points-per-task", "K", false, "with --tasks: give each task at least K points if possible (default 1)"},
    {"--set", "KEY=VALUE", true, "override a key of the job file, as train.epochs=2"},
};
const es_page_t es_page_plan = {"plan", usage, options, sizeof options / sizeof *options};

static double total_cost(const es_plan_t *plan, const es_selection_t *selection) {
  double total = 0;
  for (int64_t i = 0; i < selection->n; i++) total += es_plan_cost(plan, selection->index[i]);
  return total;
}

/* Predicted memory, collected point by point. */
typedef struct memory {
  int ranks; /* ranks that share a point */
  es_memory_prediction_t prediction;
  es_memory_need_t most;
  es_point_t hungriest;
  bool streams; /* images may stay in their file */
  bool failed;  /* out of memory: print no prediction */
} memory_t;

static es_memory_need_t predict(memory_t *m, const es_plan_t *plan, const es_point_t *point) {
  const es_memory_need_t *need = &m->prediction.need;
  if (es_memory_predict_next(&m->prediction, point, es_plan_info(plan, point), m->ranks, &(es_status_t){0}) != ES_OK)
    m->failed = true;
  if (m->failed) return (es_memory_need_t){0};
  if (need->rank > m->most.rank) {
    m->most.rank = need->rank;
    m->hungriest = *point;
  }
  m->streams = m->streams || es_dataset_streams(&point->dataset);
  if (need->shared > m->most.shared) m->most.shared = need->shared;
  return *need;
}

/* Prints what would help if a single rank on a node like this would not have enough memory. */
static void print_shortage(memory_t *m, const es_plan_t *plan, es_text_t *out) {
  const int64_t available = es_memory_available();
  const es_point_t *point = &m->hungriest;
  if (m->most.rank == 0) return;
  const int ranks = es_memory_fit(point, es_plan_info(plan, point), m->ranks, available);
  if (ranks < 0) m->failed = true;
  if (ranks == m->ranks) return;
  es_text_append(out, "this is more than the %s that are free on this machine", es_bytes(available).text);
  if (ranks > 0) es_text_append(out, "; use --ranks-per-point %d, with one rank on each node", ranks);
  es_text_append(out, "\n");
}

static void print_table(const es_plan_t *plan, const es_selection_t *selection, memory_t *memory, es_text_t *out) {
  const int64_t n = selection->n;
  const double total = total_cost(plan, selection);
  es_grid_walk_t walk = {.grid = plan->grid};
  es_table_t table = {0};
  es_varying_t varying;
  es_varying_find(plan, &varying);
  es_table_columns(&table, ">point|id");
  es_varying_columns(&varying, &table);
  es_table_columns(&table, ">parameters|>GMAC/image|>TMAC|>share|>MiB/rank");
  for (int64_t k = 0; k < n; k++) {
    const int64_t i = selection->index[k];
    es_point_t point;
    es_plan_walk(plan, &walk, i, &point);
    es_table_cell(&table, "%lld", (long long)i);
    es_table_cell(&table, "%s", es_grid_id(plan->grid, i));
    es_varying_cells(&varying, plan, i, &point, &table);
    es_table_cell(&table, "%lld", (long long)es_plan_parameters(plan, i));
    es_table_cell(&table, "%.5f", 1e-9 * (double)es_plan_macs(plan, i));
    es_table_cell(&table, "%.3f", 1e-12 * es_plan_cost(plan, i));
    es_table_cell(&table, "%.1f%%", 100 * es_plan_cost(plan, i) / total);
    es_table_cell(&table, "%.0f", MIB(predict(memory, plan, &point).rank));
  }
  es_varying_heading(&varying, plan, out);
  es_table_print(&table, out);
  es_text_append(out, "\n%lld point%s, %.3f TMAC; results go to %s/points/%s<id>.h5\n", (long long)n, n == 1 ? "" : "s",
                 1e-12 * total, plan->output, n > ES_FLAT_POINTS ? "<first two digits of id>/" : "");
  es_text_append(out, "memory: up to %.0f MiB for each rank, and %.0f MiB for images on each node%s\n",
                 MIB(memory->most.rank), MIB(memory->most.shared),
                 memory->streams ? " (read from the file if they do not fit)" : "");
  print_shortage(memory, plan, out);
  es_table_destroy(&table);
}

static void print_json(const es_plan_t *plan, const es_selection_t *selection, memory_t *memory, es_text_t *out) {
  const double total = total_cost(plan, selection);
  es_grid_walk_t walk = {.grid = plan->grid};
  es_text_append(out, "{\"job\": ");
  es_text_append_quoted(out, es_job_name(plan->job));
  es_text_append(out, ", \"output\": ");
  es_text_append_quoted(out, plan->output);
  es_text_append(out, ", \"total_macs\": %.0f, \"points\": [", total);
  for (int64_t k = 0; k < selection->n; k++) {
    const int64_t i = selection->index[k];
    char number[32];
    es_point_t point;
    es_plan_walk(plan, &walk, i, &point);
    const es_memory_need_t need = predict(memory, plan, &point);
    es_text_append(out, "%s\n  {\"index\": %lld, \"id\": \"%s\", \"axes\": {", k > 0 ? "," : "", (long long)i,
                   es_grid_id(plan->grid, i));
    for (int a = 0; a < point.n_axes; a++) {
      const es_axis_value_t *axis = &point.axes[a];
      es_text_append(out, "%s", a > 0 ? ", " : "");
      es_text_append_quoted(out, axis->name);
      es_text_append(out, ": ");
      if (axis->is_whole)
        es_text_append(out, "%lld", (long long)axis->whole);
      else if (axis->is_number)
        es_text_append(out, "%s", es_text_double(axis->number, number));
      else
        es_text_append_quoted(out, axis->text);
    }
    es_text_append(out,
                   "}, \"parameters\": %lld, \"macs_per_image\": %lld, \"macs\": %.0f, \"share\": %.6f, "
                   "\"bytes_per_rank\": %lld, \"bytes_shared_per_node\": %lld}",
                   (long long)es_plan_parameters(plan, i), (long long)es_plan_macs(plan, i), es_plan_cost(plan, i),
                   es_plan_cost(plan, i) / total, (long long)need.rank, (long long)need.shared);
  }
  es_text_append(out, "\n]}\n");
}

/* The options of the command besides the selection of points. */
typedef struct request {
  bool json, simulate, network;
  int64_t ranks;           /* per point */
  int64_t tasks, per_task; /* array tasks; tasks 0: not asked for */
  es_cluster_t cluster;
  es_interconnect_t interconnect;
} request_t;

static es_code_t read_request(const es_arguments_t *arguments, request_t *out, es_status_t *status) {
  const char *cluster = es_arguments_option(arguments, "--cluster");
  const char *ranks = es_arguments_option(arguments, "--ranks-per-point");
  const char *interconnect = es_arguments_option(arguments, "--interconnect");
  *out = (request_t){.ranks = 1, .per_task = 1, .simulate = cluster != NULL, .network = interconnect != NULL};
  ES_TRY(es_cli_format(arguments, &out->json, status));
  if (ranks != NULL &&
      (!es_text_to_int(ranks, &out->ranks) || out->ranks < 1 || out->ranks > 256 || (out->ranks & (out->ranks - 1))))
    return es_fail(status, ES_INPUT, "plan", "--ranks-per-point %.100s: must be a power of two (1, 2, 4, 8, ...)",
                   ranks);
  if (cluster != NULL) ES_TRY(es_cluster_parse(&out->cluster, cluster, status));
  if (out->network) ES_TRY(es_interconnect_parse(&out->interconnect, interconnect, status));
  ES_TRY(es_cli_integer(arguments, "--tasks", 1, 1000000, &out->tasks, status));
  if (out->network && (out->simulate || out->tasks > 0))
    return es_fail(status, ES_INPUT, "plan", "--interconnect and %s cannot be used together; use one at a time",
                   out->simulate ? "--cluster" : "--tasks");
  return es_cli_integer(arguments, "--points-per-task", 1, 1000000, &out->per_task, status);
}

static void append_points(const es_plan_t *plan, const es_selection_t *selection, const request_t *request,
                          es_text_t *out, es_status_t *status) {
  memory_t memory = {.ranks = (int)request->ranks};
  if (request->tasks > 0) {
    es_plan_tasks(plan, selection, request->tasks, request->per_task, out, status);
  } else if (request->simulate) {
    es_plan_cluster(plan, selection, &request->cluster, request->json, out, status);
  } else if (request->network) {
    es_plan_interconnect(plan, selection, &request->interconnect, request->json, out, status);
  } else {
    (request->json ? print_json : print_table)(plan, selection, &memory, out);
    if (memory.failed) es_out_of_memory(status, "plan", "the prediction of memory");
  }
}

static int plan_job(const es_arguments_t *arguments, es_status_t *status) {
  const es_plan_request_t job = es_cli_request(arguments, 0);
  request_t request;
  es_plan_t plan;
  es_selection_t selection;
  es_text_t text = {0};
  ES_TRY(read_request(arguments, &request, status));
  ES_TRY(es_plan_create(&plan, &job, status));
  const bool activations = es_job_base(plan.job)->source == ES_SOURCE_ACTIVATIONS;
  if (activations && request.network) {
    es_fail(status, ES_INPUT, "plan",
            "--interconnect: %s has source: activations, and without training there are no steps to predict", job.path);
  } else if (activations && request.tasks == 0) {
    es_external_info_t info;
    if (es_plan_external(&plan, &info, status) == ES_OK) {
      es_plan_activations_table(&plan, &info, (int)request.ranks, &text);
      es_external_info_destroy(&info);
    }
  } else if (!activations && request.ranks > es_plan_lanes(&plan)) {
    es_fail(status, ES_INPUT, "plan", "--ranks-per-point %lld: must be at most %d, the lanes of a point (train.lanes)",
            (long long)request.ranks, es_plan_lanes(&plan));
  } else if (es_plan_select(&plan, job.points, NULL, &selection, status) == ES_OK) {
    append_points(&plan, &selection, &request, &text, status);
    if (status->code == ES_OK) es_plan_print_notes(&plan, &selection);
    es_selection_destroy(&selection);
  }
  es_plan_destroy(&plan);
  return es_cli_print(&text, "the table of points", status);
}

int es_cli_plan(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_plan, 1, 1, plan_job);
}
