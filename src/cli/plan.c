/* eigenscope plan JOB: predicts work, time and memory of a job. */
#include "cli_internal.h"
#include "eigenscope/epochs.h"
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/rates.h"
#include "eigenscope/state.h"
#include "eigenscope/store.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MIB(bytes) ((double)(bytes) / (1 << 20))

static const char usage[] =
    "eigenscope plan JOB [options]\n\n"
    "Lists the points of a job: index (for run --points), id (name of the result file), the settings that differ "
    "between\n"
    "points, trainable parameters, multiply-adds of one image (GMAC/image), all multiply-adds of training, "
    "evaluation,\n"
    "covariances and eigenvalues (TMAC; those of networks in bfloat16 count half), the share of the total or, once "
    "`run` has\n"
    "measured this kind of CPU, the hours of one rank, memory, and what is done.\n"
    "With --cluster, simulates how long the job takes on a cluster with 1, 2, 4 and 8 ranks per point.\n"
    "With --interconnect, predicts the time of a training step on 1, 2, 4 ... ranks of a network, and how many ranks "
    "help.\n"
    "With --tasks, divides the points into shares of equal cost, one line each (for SLURM arrays; see "
    "slurm/submit.sh).\n"
    "With --resolved, writes a job file that stays valid when the job or the working directory changes "
    "(slurm/submit.sh\n"
    "does this), and prints its path.\n"
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
    {"--resolved", "FOLDER", false,
     "only write the job, with all defaults, changes of --set and absolute paths, to FOLDER/job-<hash>.yaml"},
    {"--set", "KEY=VALUE", true,
     "override a key of the job file, as train.epochs=2 or 'grid.seed=[0, 1]' (quoted for the shell)"},
};
const es_page_t es_page_plan = {"plan", usage, options, sizeof options / sizeof *options};

/* What earlier runs say about the points: measured speeds, results and states. */
typedef struct history {
  es_rates_t *rates; /* owned; NULL: unknown */
  const char *cpu;   /* this machine's if it has rates, else the CPU that worked longest; NULL: unknown */
  char own_cpu[ES_RATES_CPU_SIZE];
  bool results;            /* there may be results or states */
  int64_t complete, begun; /* points */
  int64_t unsound;         /* results that are damaged or unreadable; a warning names the first */
  double hours, left;      /* of one rank: all points, and what is not done */
} history_t;

static void open_history(history_t *h, const es_plan_t *plan) {
  es_status_t status = {0};
  char path[ES_PATH_MAX + 8];
  *h = (history_t){.rates = es_allocate_zero(1, sizeof *h->rates)};
  snprintf(path, sizeof path, "%s/points", plan->output);
  h->results = !es_file_is_missing(path);
  if (h->rates == NULL) fprintf(stderr, "eigenscope: warning: out of memory for measured rates; hours are unknown\n");
  if (h->rates == NULL || !es_source_has_network(es_job_base(plan->job)->source)) return;
  if (es_rates_load(h->rates, plan->output, &status) != ES_OK)
    fprintf(stderr, "eigenscope: warning: %s\n", status.message);
  h->cpu = es_rates_longest(h->rates);
  if (h->cpu != NULL && es_rates_find(h->rates, es_run_cpu(h->own_cpu), ES_FLOAT32, 1) > 0) h->cpu = h->own_cpu;
}

/* Hours of one rank on a CPU; NaN if unknown. */
static double hours_on(const history_t *h, const char *cpu, const es_plan_t *plan, int64_t index,
                       es_precision_t precision) {
  const double rate = cpu != NULL ? es_rates_find(h->rates, cpu, precision, es_plan_macs(plan, index)) : 0;
  return rate > 0 ? es_plan_cost(plan, index) / rate / 3600 : (double)NAN;
}

/* What is known of one point. */
typedef struct record {
  const char *outcome; /* "missing", "started", "complete", "diverged", ... */
  int32_t done;        /* epochs */
  double hours, left;
  char words[32]; /* for the table: "complete", "2/20", or "" */
} record_t;

static record_t look_up(history_t *h, const es_plan_t *plan, int64_t index, const es_point_t *point) {
  record_t r = {.outcome = "missing", .hours = hours_on(h, h->cpu, plan, index, point->train.precision)};
  const char *id = es_grid_id(plan->grid, index);
  const bool trains = point->source == ES_SOURCE_TRAIN;
  const int32_t epochs = trains ? point->train.epochs : es_external_epochs(&point->external);
  char path[ES_PATH_MAX];
  double part = 0;
  es_result_summary_t summary = {.outcome = ES_OUTCOME_MISSING};
  if (h->results) es_results_summarize(plan, index, NULL, path, &summary);
  es_results_compare(plan, index, &summary);
  if (summary.outcome != ES_OUTCOME_MISSING) {
    const bool unsound = summary.outcome == ES_OUTCOME_DAMAGED || summary.outcome == ES_OUTCOME_UNREADABLE;
    if (unsound && h->unsound++ == 0)
      fprintf(stderr, "eigenscope: warning: %s: %s; eigenscope status lists all results\n", path, summary.reason);
    r.outcome = es_outcome_word(summary.outcome);
    r.done = summary.reached;
    part = summary.outcome == ES_OUTCOME_COMPLETE || summary.outcome == ES_OUTCOME_DIVERGED;
    snprintf(r.words, sizeof r.words, "%s", r.outcome);
    h->complete += summary.outcome == ES_OUTCOME_COMPLETE;
  }
  if (h->results && part < 1) {
    es_state_path(path, plan->output, id);
    const int32_t state = es_state_epoch(path, id);
    if (state >= 0) {
      r.done = state + !trains;
      part = epochs > 0 ? (double)r.done / epochs : 0;
      if (r.words[0] == '\0') r.outcome = "started";
      if (r.words[0] == '\0') snprintf(r.words, sizeof r.words, "%d/%d", r.done, epochs);
    }
  }
  h->begun += r.words[0] != '\0';
  r.left = (1 - part) * r.hours;
  h->hours += r.hours;
  h->left += r.left;
  return r;
}

/* Writes hours with three digits. Returns out. */
static const char *hours_text(double hours, char out[32]) {
  if (hours > 0 && hours < 0.001)
    snprintf(out, 32, "<0.001");
  else
    snprintf(out, 32, "%.*f", hours >= 100 ? 0 : hours >= 10 ? 1 : hours >= 1 ? 2 : 3, hours);
  return out;
}

/* Appends where the hours come from, and those of other CPUs. */
static void append_cpus(const history_t *h, const es_plan_t *plan, const es_selection_t *selection, es_text_t *out) {
  enum { SHOWN = 4 };
  es_grid_walk_t walk = {.grid = plan->grid};
  char text[32];
  int shown = 1;
  es_text_append(out, "hours: of one rank on ");
  es_text_append_plain(out, h->cpu);
  es_text_append(out, ", by earlier runs\n");
  for (int i = 0; i < h->rates->n && shown < SHOWN; i++) {
    const char *cpu = h->rates->list[i].cpu;
    bool seen = strcmp(cpu, h->cpu) == 0;
    for (int k = 0; k < i; k++) seen = seen || strcmp(cpu, h->rates->list[k].cpu) == 0;
    if (seen) continue;
    double hours = 0;
    for (int64_t k = 0; k < selection->n; k++) {
      const int64_t index = selection->index[k];
      hours += hours_on(h, cpu, plan, index, es_grid_walk(&walk, index)->train.precision);
    }
    es_text_append(out, "       %s on ", hours_text(hours, text));
    es_text_append_plain(out, cpu);
    es_text_append(out, "\n");
    shown++;
  }
}

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
  int64_t features; /* bytes of all points on the disk */
  es_point_t hungriest;
  bool streams; /* images may stay in their file */
  bool failed;  /* out of memory: print no prediction */
} memory_t;

static es_memory_need_t predict(memory_t *m, const es_plan_t *plan, int64_t index, const es_point_t *point) {
  es_memory_need_t *need = &m->prediction.need;
  if (plan->moments != NULL) {
    *need = (es_memory_need_t){.rank = es_plan_external_bytes(plan, index, m->ranks)};
    m->failed = m->failed || need->rank == 0;
  } else if (es_memory_predict_next(&m->prediction, point, es_plan_info(plan, point), m->ranks, &(es_status_t){0}) !=
             ES_OK) {
    m->failed = true;
  }
  if (m->failed) return (es_memory_need_t){0};
  if (need->rank > m->most.rank) {
    m->most.rank = need->rank;
    m->hungriest = *point;
  }
  m->streams = m->streams || es_dataset_streams(&point->dataset);
  for (int i = 0; i < es_probe_others(&point->probe); i++)
    m->streams = m->streams || es_dataset_streams(point->probe.datasets[i].spec);
  if (need->shared > m->most.shared) m->most.shared = need->shared;
  m->features += need->features;
  return *need;
}

/* Prints what would help if a single rank on a node like this would not have enough memory. */
static void print_shortage(memory_t *m, const es_plan_t *plan, es_text_t *out) {
  const int64_t available = es_memory_available();
  const es_point_t *point = &m->hungriest;
  if (m->most.rank == 0) return;
  const int ranks = plan->moments == NULL ? es_memory_fit(point, es_plan_info(plan, point), m->ranks, available)
                    : 0.8 * (double)m->most.rank <= (double)available ? m->ranks
                                                                      : 0;
  if (ranks < 0) m->failed = true;
  if (ranks == m->ranks) return;
  es_text_append(out, "this is more than the %s that are free on this machine", es_bytes(available).text);
  if (ranks > 0) es_text_append(out, "; use --ranks-per-point %d, with one rank on each node", ranks);
  es_text_append(out, "\n");
}

static void append_shape(es_table_t *table, const es_plan_t *plan, int64_t i) {
  if (plan->moments != NULL) {
    es_table_cell(table, "%d", plan->moments[i].n_layers);
    es_table_cell(table, "%d", plan->moments[i].widest);
    es_table_cell(table, "%d", plan->moments[i].epochs.n);
  } else {
    es_table_cell(table, "%lld", (long long)es_plan_parameters(plan, i));
    es_table_cell(table, "%.5f", 1e-9 * (double)es_plan_macs(plan, i));
  }
}

static void print_table(const es_plan_t *plan, const es_selection_t *selection, memory_t *memory, es_text_t *out) {
  const int64_t n = selection->n;
  const bool files = plan->moments != NULL;
  const double total = total_cost(plan, selection);
  es_grid_walk_t walk = {.grid = plan->grid};
  es_table_t table = {0};
  es_varying_t varying;
  history_t history;
  char text[32];
  open_history(&history, plan);
  es_varying_find(plan, &varying);
  es_table_columns(&table, ">point|id");
  es_varying_columns(&varying, &table);
  es_table_columns(&table, files ? ">layers|>widest|>epochs|>TMAC" : ">parameters|>GMAC/image|>TMAC");
  es_table_columns(&table, history.cpu != NULL ? ">hours|>MiB/rank|done" : ">share|>MiB/rank|done");
  for (int64_t k = 0; k < n; k++) {
    const int64_t i = selection->index[k];
    es_point_t point;
    es_plan_walk(plan, &walk, i, &point);
    es_table_cell(&table, "%lld", (long long)i);
    es_table_cell(&table, "%s", es_grid_id(plan->grid, i));
    es_varying_cells(&varying, plan, i, &point, &table);
    append_shape(&table, plan, i);
    es_table_cell(&table, "%.3f", 1e-12 * es_plan_cost(plan, i));
    const record_t record = look_up(&history, plan, i, &point);
    if (history.cpu != NULL)
      es_table_cell(&table, "%s", hours_text(record.hours, text));
    else
      es_table_cell(&table, "%.1f%%", 100 * es_plan_cost(plan, i) / total);
    es_table_cell(&table, "%.0f", MIB(predict(memory, plan, i, &point).rank));
    es_table_cell(&table, "%s", record.words);
  }
  es_varying_heading(&varying, plan, out);
  es_table_print(&table, out);
  es_text_append(out, "\n%lld point%s, %.3f TMAC", (long long)n, n == 1 ? "" : "s", 1e-12 * total);
  if (history.cpu != NULL)
    es_text_append(out, ", %s hours", hours_text(history.hours, text));
  else if (!files)
    es_text_append(out, ", hours unknown");
  es_text_append(out, "; results go to %s/points/%s<id>.h5\n", plan->output,
                 n > ES_FLAT_POINTS ? "<first two digits of id>/" : "");
  if (es_job_search(plan->job)->kind != ES_SEARCH_NONE)
    es_text_append(
        out, "search: a run computes at most these points, and ends when each problem has its answer; its cost is "
             "at most this\n");
  if (history.begun > 0) {
    es_text_append(out, "done: %lld of %lld point%s complete", (long long)history.complete, (long long)n, es_plural(n));
    if (history.cpu != NULL) es_text_append(out, "; %s hours remain", hours_text(history.left, text));
    es_text_append(out, "\n");
  }
  if (history.cpu != NULL) append_cpus(&history, plan, selection, out);
  es_text_append(out, "memory: up to %.0f MiB for each rank", MIB(memory->most.rank));
  if (!files)
    es_text_append(out, ", and %.0f MiB for images on each node%s", MIB(memory->most.shared),
                   memory->streams ? " (read from the file if they do not fit)" : "");
  es_text_append(out, "\n");
  if (memory->features > 0)
    es_text_append(out, "features: %s in %lld file%s <id>.features.h5 beside the results\n",
                   es_bytes(memory->features).text, (long long)n, es_plural(n));
  print_shortage(memory, plan, out);
  es_table_destroy(&table);
  es_free(history.rates);
}

static void append_number(es_text_t *out, const char *name, double value) {
  char number[32];
  es_text_append(out, ", \"%s\": %s", name, isfinite(value) ? es_text_double(value, number) : "null");
}

/* With a search, the numbers of the plan are the most that a run does. */
static void append_search(const es_job_t *job, es_text_t *out) {
  const es_search_settings_t *search = es_job_search(job);
  es_text_append(out, ", \"search\": ");
  if (search->kind == ES_SEARCH_NONE)
    es_text_append(out, "null");
  else if (search->kind == ES_SEARCH_HALVING)
    es_text_append(out, "{\"kind\": \"halving\"}");
  else {
    es_text_append(out, "{\"kind\": \"smallest\", \"axis\": ");
    es_text_append_quoted(out, search->axis);
    es_text_append(out, "}");
  }
}

static void print_json(const es_plan_t *plan, const es_selection_t *selection, memory_t *memory, es_text_t *out) {
  const double total = total_cost(plan, selection);
  es_grid_walk_t walk = {.grid = plan->grid};
  history_t history;
  open_history(&history, plan);
  es_text_append(out, "{\"job\": ");
  es_text_append_quoted(out, es_job_name(plan->job));
  es_text_append(out, ", \"output\": ");
  es_text_append_quoted(out, plan->output);
  append_search(plan->job, out);
  es_text_append(out, ", \"total_macs\": %.0f, \"points\": [", total);
  for (int64_t k = 0; k < selection->n; k++) {
    const int64_t i = selection->index[k];
    es_point_t point;
    es_plan_walk(plan, &walk, i, &point);
    const es_memory_need_t need = predict(memory, plan, i, &point);
    const record_t record = look_up(&history, plan, i, &point);
    es_text_append(out, "%s\n  {\"index\": %lld, \"id\": \"%s\", \"axes\": ", k > 0 ? "," : "", (long long)i,
                   es_grid_id(plan->grid, i));
    es_plan_append_axes(&point, out);
    if (plan->moments != NULL)
      es_text_append(out, ", \"layers\": %d, \"widest\": %d, \"epochs\": %d", plan->moments[i].n_layers,
                     plan->moments[i].widest, plan->moments[i].epochs.n);
    else
      es_text_append(out, ", \"parameters\": %lld, \"macs_per_image\": %lld", (long long)es_plan_parameters(plan, i),
                     (long long)es_plan_macs(plan, i));
    es_text_append(
        out,
        ", \"macs\": %.0f, \"share\": %.6f, "
        "\"bytes_per_rank\": %lld, \"bytes_shared_per_node\": %lld, \"outcome\": \"%s\", \"epochs_done\": %d",
        es_plan_cost(plan, i), es_plan_cost(plan, i) / total, (long long)need.rank, (long long)need.shared,
        record.outcome, record.done);
    if (need.features > 0) es_text_append(out, ", \"bytes_features\": %lld", (long long)need.features);
    append_number(out, "hours", record.hours);
    append_number(out, "hours_left", record.left);
    es_text_append(out, "}");
  }
  es_text_append(out, "\n], \"cpu\": ");
  if (history.cpu != NULL)
    es_text_append_quoted(out, history.cpu);
  else
    es_text_append(out, "null");
  append_number(out, "hours", history.cpu != NULL ? history.hours : (double)NAN);
  append_number(out, "hours_left", history.cpu != NULL ? history.left : (double)NAN);
  es_text_append(out, "}\n");
  es_free(history.rates);
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
  const char *folder = es_arguments_option(arguments, "--resolved");
  ES_TRY(read_request(arguments, &request, status));
  if (folder != NULL) {
    ES_TRY(es_plan_open(&plan, &job, status));
    es_plan_resolve(&plan, &job, folder, &text, status);
    es_plan_destroy(&plan);
    return es_cli_print(&text, "the resolved job", status);
  }
  ES_TRY(es_plan_create(&plan, &job, status));
  const bool activations = !es_source_has_network(es_job_base(plan.job)->source);
  const bool grid = plan.moments != NULL && es_grid_count(plan.grid) > 1;
  if (activations && request.network) {
    es_fail(status, ES_INPUT, "plan",
            "--interconnect: %s has no network, and without training there are no steps to predict", job.path);
  } else if (grid && request.simulate) {
    es_fail(status, ES_INPUT, "plan", "--cluster: %s measures files, and only networks can be simulated", job.path);
  } else if (activations && !grid && request.tasks == 0) {
    es_external_info_t info;
    if (es_plan_external(&plan, 0, &info, status) == ES_OK) {
      es_plan_activations_table(&plan, &info, (int)request.ranks, &text);
      es_external_info_destroy(&info);
    }
  } else if (!activations && request.ranks > es_plan_lanes(&plan)) {
    es_fail(status, ES_INPUT, "plan", "--ranks-per-point %lld: must be at most %d, the lanes of a point (train.lanes)",
            (long long)request.ranks, es_plan_lanes(&plan));
  } else if (es_plan_select(&plan, job.points, NULL, &selection, status) == ES_OK) {
    append_points(&plan, &selection, &request, &text, status);
    if (status->code == ES_OK) es_plan_print_notes(&plan, &selection);
    const char *lacks = es_run_lacks(&plan, &selection);
    if (status->code == ES_OK && lacks != NULL) fprintf(stderr, "eigenscope: note: %s: %s\n", job.path, lacks);
    es_selection_destroy(&selection);
  }
  es_plan_destroy(&plan);
  return es_cli_print(&text, "the table of points", status);
}

int es_cli_plan(int argc, char **argv) {
  return es_cli_command(argc, argv, &es_page_plan, 1, 1, plan_job);
}
