/* eigenscope bench: the program's own figures, as tables that anyone can make again. Not tests: nothing is judged. */
#include "bench.h"
#include "eigenscope/clock.h"
#include "eigenscope/covariance.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/pipeline.h"
#include "eigenscope/random.h"
#include "eigenscope/spectrum.h"
#include "eigenscope/state.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double es_bench_median(double *values, int n) {
  if (n == 0) return NAN;
  qsort(values, (size_t)n, sizeof *values, compare_doubles);
  return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

es_code_t es_bench_number(const es_arguments_t *arguments, const char *name, int64_t otherwise, int64_t most,
                          int64_t *out, es_status_t *status) {
  const char *text = es_arguments_option(arguments, name);
  *out = otherwise;
  if (!text || (es_text_to_int(text, out) && *out >= 1 && *out <= most)) return ES_OK;
  return es_fail(status, ES_INPUT, "bench", "%s %s: must be a whole number from 1 to %lld", name, text,
                 (long long)most);
}

static const es_option_t train_options[] = {
    {"--model", "NAME", false, "built-in network (default vgg16)"},
    {"--widths", "LIST", false, "width multipliers (default 1/16,1/8,1/4)"},
    {"--samples", "N", false, "training images of 32 x 32, synthetic (default 5120)"},
    {"--pairs", "P", false, "pairs of a bare and a measured epoch, medians are printed (default 3)"},
    {"--batch", "B", false, "images in a batch (default 128)"},
};

/* Times epochs from one report to the next; odd epochs are bare, even ones measured (measure.every = 2). */
typedef struct stopwatch {
  double last;
  double seconds[2][ES_BENCH_REPEATS_MOST];
  int n[2];
} stopwatch_t;

static void on_epoch(void *context, const es_epoch_report_t *report) {
  stopwatch_t *w = context;
  const double now = es_clock();
  const int kind = report->epoch % 2 == 0;
  /* Epoch 0 only evaluates; the first pair builds kernels and warms caches. */
  if (report->epoch > 2) w->seconds[kind][w->n[kind]++] = now - w->last;
  w->last = now;
}

typedef struct train_bench {
  es_point_t point;
  es_dataset_t *dataset;
  int rank, ranks;
  int64_t samples, pairs;
  char folder[ES_PATH_MAX];
} train_bench_t;

static es_code_t bench_point(train_bench_t *b, const char *width, es_status_t *status) {
  char *end;
  const long numerator = strtol(width, &end, 10), denominator = *end == '/' ? strtol(end + 1, &end, 10) : 1;
  if (numerator < 1 || denominator < 1 || *end)
    return es_fail(status, ES_INPUT, "bench", "--widths: %s is no width as 1/8 or 2", width);
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
                            .report_context = &watch};
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
    for (int kind = 0; kind < 2; kind++)
      rate[kind] = (double)b->samples / es_bench_median(watch.seconds[kind], watch.n[kind]);
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, rate, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD));
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (b->rank == 0)
      printf("%8s %12lld %10.2f %12.0f %12.0f %10.1f %% %12.1f %10.0f\n", width, (long long)graph->parameter_count,
             (double)graph->macs * 1e-6, rate[0], rate[1], 100.0 * (rate[0] / rate[1] - 1.0),
             6e-9 * (double)graph->macs * rate[0], (double)usage.ru_maxrss / 1024.0);
  }
  es_graph_destroy(graph);
  return code;
}

static es_code_t prepare(train_bench_t *b, const es_arguments_t *arguments, es_status_t *status) {
  const char *model = es_arguments_option(arguments, "--model");
  int64_t batch;
  ES_TRY(es_bench_number(arguments, "--samples", 5120, 10000000, &b->samples, status));
  ES_TRY(es_bench_number(arguments, "--pairs", 3, ES_BENCH_REPEATS_MOST - 2, &b->pairs, status));
  ES_TRY(es_bench_number(arguments, "--batch", 128, 65536, &batch, status));
  b->point = (es_point_t){
      .classes = 10,
      .resolution = 32,
      .dataset = {.name = "synthetic", .format = ES_FORMAT_SYNTHETIC, .synthetic = {10, 4, 28, 1, b->samples, 16, 0}},
      .train = {.epochs = (int32_t)(2 * b->pairs + 2),
                .batch = (int32_t)batch,
                .lanes = 8,
                .learning_rate = 0.05,
                .momentum = 0.9,
                .weight_decay = 5e-4,
                .crop = true,
                .flip = true},
      .measure = {.every = 2, .n_deltas = 1, .delta = {0.99}, .splits = {true, false}, .n_layers = 1, .layers = {"*"}},
      .checkpoint = {1, ES_KEEP_NONE}};
  if (!es_model_spec_builtin(&b->point.model, model ? model : "vgg16"))
    return es_fail(status, ES_INPUT, "bench", "--model %s: no built-in network of that name", model);
  const char *base = getenv("TMPDIR");
  snprintf(b->folder, sizeof b->folder, "%s/eigenscope-bench-XXXXXX", base ? base : "/tmp");
  if (b->rank == 0 && !mkdtemp(b->folder)) es_fail(status, ES_SYSTEM, "bench", "%s: cannot be made", b->folder);
  ES_TRY(es_agree(MPI_COMM_WORLD, status));
  ES_MPI(MPI_Bcast(b->folder, sizeof b->folder, MPI_CHAR, 0, MPI_COMM_WORLD));
  return es_dataset_load(&b->dataset, &b->point.dataset, b->point.resolution, MPI_COMM_WORLD, status);
}

/* Makes or removes the folders that the pipeline writes to. */
static void folders(const train_bench_t *b, bool make) {
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

static es_code_t bench_widths(train_bench_t *b, const es_arguments_t *arguments, es_status_t *status) {
  char list[256];
  const char *text = es_arguments_option(arguments, "--widths");
  snprintf(list, sizeof list, "%s", text ? text : "1/16,1/8,1/4");
  ES_TRY(prepare(b, arguments, status));
  if (b->rank == 0) {
    folders(b, true);
    printf("%s on %d rank%s, one point each, %lld images of 32 x 32, batch %d; %s; %s\n", b->point.model.name, b->ranks,
           b->ranks == 1 ? "" : "s", (long long)b->samples, b->point.train.batch, es_model_engine_name(),
           es_spectrum_library_name());
    printf("everything included (augmentation, states on disk); medians of %lld epochs\n", (long long)b->pairs);
    printf("%8s %12s %10s %12s %12s %12s %12s %10s\n", "width", "parameters", "MMAC", "images/s", "measured/s",
           "measuring", "GFLOP/s", "MiB a rank");
  }
  ES_MPI(MPI_Barrier(MPI_COMM_WORLD));
  char *rest = list;
  for (char *width; status->code == ES_OK && (width = strsep(&rest, ","));) bench_point(b, width, status);
  es_dataset_destroy(b->dataset);
  if (b->rank == 0) folders(b, false);
  return status->code;
}

static int bench_train(int argc, char **argv) {
  train_bench_t b = {0};
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  es_model_engine_single_thread();
  es_spectrum_single_thread();
  ES_MPI(MPI_Init(NULL, NULL));
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &b.rank));
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, &b.ranks));
  if (es_arguments_parse(&arguments, argc, argv, "[mpirun -n P] eigenscope bench train [options]", train_options,
                         sizeof train_options / sizeof *train_options, 0, 0, &status) == ES_OK)
    bench_widths(&b, arguments, &status);
  es_arguments_destroy(arguments);
  const int result = status.code == ES_OK ? ES_EXIT_OK
                     : b.rank == 0        ? es_cli_report(&status)
                                          : es_cli_exit_code(&status);
  ES_MPI(MPI_Finalize());
  return result;
}

int es_cli_bench(int argc, char **argv) {
  if (argc > 0 && strcmp(argv[0], "train") == 0) return bench_train(argc - 1, argv + 1);
  if (argc > 0 && strcmp(argv[0], "covariance") == 0) return es_cli_bench_covariance(argc - 1, argv + 1);
  if (argc > 0 && strcmp(argv[0], "spectrum") == 0) return es_cli_bench_spectrum(argc - 1, argv + 1);
  if (argc > 0 && strcmp(argv[0], "probe") == 0) return es_cli_bench_probe(argc - 1, argv + 1);
  es_status_t status = {0};
  es_fail(&status, ES_INPUT, "bench", "bench: which one? eigenscope bench train | covariance | spectrum | probe");
  return es_cli_report(&status);
}
