/* eigenscope bench train: alternates epochs that only train with epochs that also measure; one point on each rank. */
#include "bench_internal.h"
#include "eigenscope/blas.h"
#include "eigenscope/clock.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/grid.h"
#include "eigenscope/job.h"
#include "eigenscope/model.h"
#include "eigenscope/pipeline.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Times epochs from one report to the next. Odd epochs only train, even ones also measure (measure.every = 2). */
typedef struct stopwatch {
  const es_pipeline_t *pipeline;
  double last;
  double seconds[2][ES_BENCH_REPEATS_MOST];
  int n[2];
  double kinds[ES_KINDS];   /* seconds of training */
  double before[ES_STAGES]; /* seconds of the pipeline when timing began */
} stopwatch_t;

static void on_epoch(void *context, const es_epoch_report_t *report) {
  stopwatch_t *w = context;
  const double now = es_clock();
  const int kind = report->epoch % 2 == 0;
  /* Epoch 0 only evaluates; the first pair builds kernels and warms caches. */
  if (report->epoch > 2) {
    w->seconds[kind][w->n[kind]++] = now - w->last;
  } else {
    memset(w->kinds, 0, sizeof w->kinds);
    memcpy(w->before, w->pipeline->stage_seconds, sizeof w->before);
  }
  w->last = now;
}

typedef struct bench {
  es_point_t point;
  es_dataset_t *dataset;
  es_job_t *job; /* owns the description of the network, if it has one */
  const es_bench_train_t *settings;
  int rank, ranks;
  char folder[ES_PATH_MAX];
} bench_t;

/* Prints microseconds per image on this rank; only every second epoch was measured. */
static void print_profile(const bench_t *b, const char *width, const stopwatch_t *w) {
  const double per_pair = 1e6 / (double)(b->settings->pairs * b->settings->samples), per_image = 0.5 * per_pair;
  double stages[ES_STAGES], measured = 0.0;
  for (int s = 0; s < ES_STAGES; s++) stages[s] = w->pipeline->stage_seconds[s] - w->before[s];
  for (int i = 0; i < w->n[1]; i++) measured += w->seconds[1][i] * per_pair;
  const double layers = w->kinds[ES_KIND_LAYERS] * per_image, capture = stages[ES_STAGE_CAPTURE] * per_pair,
               eigenvalues = (stages[ES_STAGE_REDUCE] + stages[ES_STAGE_SPECTRUM]) * per_pair;
  printf("%8s %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f %10.1f %12.1f %% %12.0f %12.0f\n", width, layers, capture,
         w->kinds[ES_KIND_BETWEEN] * per_image, w->kinds[ES_KIND_DATA] * per_image,
         w->kinds[ES_KIND_UPDATE] * per_image, eigenvalues, stages[ES_STAGE_WAIT] * per_image,
         stages[ES_STAGE_STORE] * per_image, measured, 100.0 * (layers + capture) / measured, 1e6 / measured,
         1e6 / (layers + capture));
}

static es_code_t bench_point(bench_t *b, const char *width, es_status_t *status) {
  char *end;
  const long numerator = strtol(width, &end, 10), denominator = *end == '/' ? strtol(end + 1, &end, 10) : 1;
  if (numerator < 1 || denominator < 1 || *end)
    return es_fail(status, ES_INPUT, "bench", "--widths: %s is not a width; write widths as 1/8 or 2", width);
  b->point.width = (es_ratio_t){numerator, denominator};
  b->point.seed = b->rank;
  es_graph_t *graph;
  ES_TRY(es_graph_create(&graph, &b->point, status));
  stopwatch_t watch = {.last = es_clock()};
  es_pipeline_t pipeline = {.comm = MPI_COMM_SELF,
                            .output = b->folder,
                            .job_name = "bench",
                            .engine = "",
                            .report = on_epoch,
                            .report_context = &watch,
                            .profile = b->settings->profile ? watch.kinds : NULL};
  watch.pipeline = &pipeline;
  char id[ES_ID_SIZE];
  es_point_id(&b->point, id);
  ES_MPI(MPI_Barrier(MPI_COMM_WORLD));
  es_pipeline_point(&pipeline, &b->point, id, b->dataset, status);
  char path[ES_PATH_MAX];
  es_result_path(path, b->folder, id, 1);
  unlink(path);
  const es_code_t code = es_agree(MPI_COMM_WORLD, status);
  if (code == ES_OK) {
    double rate[2];
    struct rusage resources;
    getrusage(RUSAGE_SELF, &resources);
    for (int kind = 0; kind < 2; kind++)
      rate[kind] = (double)b->settings->samples / es_bench_median(watch.seconds[kind], watch.n[kind]);
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, rate, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD));
    if (b->rank == 0 && b->settings->profile)
      print_profile(b, width, &watch);
    else if (b->rank == 0)
      printf("%8s %12lld %10.2f %12.0f %12.0f %10.1f %% %12.1f %10.0f\n", width, (long long)graph->parameter_count,
             (double)graph->macs * 1e-6, rate[0], rate[1], 100.0 * (rate[0] / rate[1] - 1.0),
             6e-9 * (double)graph->macs * rate[0], (double)resources.ru_maxrss / 1024.0);
  }
  es_graph_destroy(graph);
  return code;
}

/* A built-in network, or the file of a description. */
static es_code_t find_model(bench_t *b, es_status_t *status) {
  const char *model = b->settings->model;
  if (es_model_spec_builtin(&b->point.model, model)) return ES_OK;
  if (!es_file_exists(model))
    return es_fail(status, ES_INPUT, "bench", "--model %s: there is no built-in network and no file with this name",
                   model);
  ES_TRY(es_job_load_model(&b->job, model, NULL, 0, status));
  es_point_t point;
  es_job_start(b->job, 0, &point);
  for (int axis = 0; axis < es_job_n_axes(b->job, 0); axis++) ES_TRY(es_job_apply(b->job, 0, axis, 0, &point, status));
  b->point.model = point.model;
  return ES_OK;
}

static es_code_t prepare(bench_t *b, es_status_t *status) {
  const es_bench_train_t *s = b->settings;
  b->point = (es_point_t){
      .classes = 10,
      .resolution = 32,
      .dataset = {.name = "synthetic", .format = ES_FORMAT_SYNTHETIC, .synthetic = {10, 4, 28, 1, s->samples, 16, 0}},
      .train = {.epochs = (int32_t)(2 * s->pairs + 2),
                .batch = (int32_t)s->batch,
                .lanes = 8,
                .precision = s->precision,
                .learning_rate = 0.05,
                .momentum = 0.9,
                .weight_decay = 5e-4,
                .augment = {.crop = true, .flip = true}},
      .measure = {.every = 2, .n_deltas = 1, .delta = {0.99}, .splits = {true, false}, .n_layers = 1, .layers = {"*"}},
      .checkpoint = {1, ES_KEEP_NONE}};
  ES_TRY(find_model(b, status));
  const char *base = getenv("TMPDIR");
  snprintf(b->folder, sizeof b->folder, "%s/eigenscope-bench-XXXXXX", base ? base : "/tmp");
  if (b->rank == 0 && !mkdtemp(b->folder))
    es_fail(status, ES_SYSTEM, "bench", "%s: the folder cannot be created", b->folder);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  ES_MPI(MPI_Bcast(b->folder, sizeof b->folder, MPI_CHAR, 0, MPI_COMM_WORLD));
  return es_dataset_load(&b->dataset, &b->point.dataset, b->point.resolution, MPI_COMM_WORLD, status);
}

/* Creates or removes the folders to which the pipeline writes. */
static void folders(const bench_t *b, bool make) {
  static const char *const names[] = {"points", "state", "checkpoints", ""};
  es_status_t ignored = {0};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[ES_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/%s", b->folder, names[i]);
    if (make)
      es_directory_create(path, &ignored);
    else
      rmdir(path);
  }
}

es_code_t es_bench_train(const es_bench_train_t *settings, es_status_t *status) {
  bench_t bench = {.settings = settings}, *b = &bench;
  es_bench_ranks(&b->rank, &b->ranks);
  char list[256];
  snprintf(list, sizeof list, "%s", settings->widths);
  if (prepare(b, status) != ES_OK) {
    es_job_destroy(b->job);
    return status->code;
  }
  if (b->rank == 0) {
    folders(b, true);
    printf("%s on %d rank%s, one point each, %lld images of 32 x 32, batch %d, %s%s; %s; %s\n", b->point.model.name,
           b->ranks, b->ranks == 1 ? "" : "s", (long long)b->settings->samples, b->point.train.batch,
           es_precision_words[settings->precision], es_model_emulates(settings->precision) ? " (emulated)" : "",
           es_model_engine_name(), es_blas_name());
    printf("times include everything (augmentation, states written to disk); medians, epochs: %lld\n",
           (long long)b->settings->pairs);
    if (settings->profile)
      printf("microseconds per image in a measured epoch on one rank; kernels: layers and covariances\n"
             "%8s %8s %8s %8s %8s %8s %8s %8s %8s %10s %14s %12s %12s\n",
             "width", "layers", "cov.", "between", "data", "update", "eigen", "wait", "store", "all", "in kernels",
             "images/s", "kernels/s");
    else
      printf("%8s %12s %10s %12s %12s %12s %12s %10s\n", "width", "parameters", "MMAC", "images/s", "measured/s",
             "measuring", "GFLOP/s", "MiB/rank");
  }
  ES_MPI(MPI_Barrier(MPI_COMM_WORLD));
  char *rest = list;
  for (char *width; status->code == ES_OK && (width = strsep(&rest, ","));) bench_point(b, width, status);
  es_dataset_destroy(b->dataset);
  es_job_destroy(b->job);
  if (b->rank == 0) folders(b, false);
  return status->code;
}
