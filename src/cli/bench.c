/* eigenscope bench: measures the program's own speed (bench.h). */
#include "eigenscope/bench.h"
#include "cli_internal.h"
#include "eigenscope/spectrum.h"
#include <stdlib.h>
#include <string.h>

/* Reads a whole number of at least 1. */
static es_code_t read_number(const es_arguments_t *arguments, const char *name, int64_t otherwise, int64_t most,
                             int64_t *out, es_status_t *status) {
  const char *text = es_arguments_option(arguments, name);
  *out = otherwise;
  if (!text || (es_text_to_int(text, out) && *out >= 1 && *out <= most)) return ES_OK;
  return es_fail(status, ES_INPUT, "bench", "%s %s: must be a whole number from 1 to %lld", name, text,
                 (long long)most);
}

/* Reads whole numbers separated by commas; `otherwise` is the default, in the same form. */
static es_code_t read_numbers(const es_arguments_t *arguments, const char *name, const char *otherwise, int64_t most,
                              es_bench_numbers_t *out, es_status_t *status) {
  const char *text = es_arguments_option(arguments, name);
  if (!text) text = otherwise;
  out->n = 0;
  for (const char *p = text; *p;) {
    char *end;
    const long long value = strtoll(p, &end, 10);
    if (end == p || value < 1 || value > most || out->n == ES_BENCH_NUMBERS_MOST || (*end && *end != ','))
      return es_fail(status, ES_INPUT, "bench", "%s %s: must be at most %d numbers from 1 to %lld, separated by commas",
                     name, text, ES_BENCH_NUMBERS_MOST, (long long)most);
    out->value[out->n++] = value;
    p = *end ? end + 1 : end;
  }
  return out->n > 0 ? ES_OK : es_fail(status, ES_INPUT, "bench", "%s: is empty", name);
}

static const char train_usage[] = "[mpirun -n P] eigenscope bench train [options]\n\n"
                                  "Measures how many images per second are trained, with everything included, in "
                                  "epochs with and without measurements\n"
                                  "in turns. Each rank trains one network on synthetic images.";

static const es_option_t train_options[] = {
    {"--model", "NETWORK", false, "name of eigenscope model list, or the file of a description (default vgg16)"},
    {"--widths", "LIST", false, "width multipliers (default 1/16,1/8,1/4)"},
    {"--samples", "N", false, "training images of 32 x 32, synthetic (default 5120)"},
    {"--pairs", "P", false,
     "pairs of an epoch without and an epoch with measurements; medians are printed (default 3)"},
    {"--batch", "B", false, "images per batch (default 128)"},
    {"--precision", "P", false, "float32 or bfloat16: train.precision (default float32)"},
    {"--profile", NULL, false,
     "print instead how the time per image is spent, and the rate that kernels alone would reach"},
};
const es_page_t es_page_bench_train = {"bench train", train_usage, train_options,
                                       sizeof train_options / sizeof *train_options};

static es_code_t read_precision(const es_arguments_t *arguments, es_precision_t *out, es_status_t *status) {
  const char *text = es_arguments_option(arguments, "--precision");
  const bool rounded = text && strcmp(text, "bfloat16") == 0;
  *out = rounded ? ES_BFLOAT16 : ES_FLOAT32;
  if (!text || rounded || strcmp(text, "float32") == 0) return ES_OK;
  return es_fail(status, ES_INPUT, "bench", "--precision %s: must be float32 or bfloat16", text);
}

static int train(const es_arguments_t *a, es_status_t *status) {
  const char *model = es_arguments_option(a, "--model"), *widths = es_arguments_option(a, "--widths");
  es_bench_train_t s = {.model = model ? model : "vgg16",
                        .widths = widths ? widths : "1/16,1/8,1/4",
                        .profile = es_arguments_option(a, "--profile") != NULL};
  ES_TRY(read_number(a, "--samples", 5120, 10000000, &s.samples, status));
  ES_TRY(read_number(a, "--pairs", 3, ES_BENCH_REPEATS_MOST - 2, &s.pairs, status));
  ES_TRY(read_number(a, "--batch", 128, 65536, &s.batch, status));
  ES_TRY(read_precision(a, &s.precision, status));
  return es_bench_train(&s, status);
}

static const char covariance_usage[] = "[mpirun -n P] eigenscope bench covariance [options]\n\n"
                                       "Measures covariances of float rows. Each rank uses one thread; all ranks "
                                       "compute at the same time. Useful GFLOP/s count\n"
                                       "rows*d*(d+1) operations of all ranks; medians of interleaved rounds are "
                                       "printed. 'straight': a whole panel of rows at a\n"
                                       "time; 'slices': 256 rows at a time, as from a layer; 'spread' (at least two "
                                       "ranks): one covariance over all ranks, each\n"
                                       "with its share of the rows.";

static const es_option_t covariance_options[] = {
    {"--widths", "LIST", false, "widths of the data matrix (default 16,32,64,128,256,512,1024,2048,4096)"},
    {"--rows", "N", false, "rows per rank and measurement, rounded up to whole panels (default about 0.3 s of work)"},
    {"--repeats", "R", false, "measurements of each width; medians are printed (default 7)"},
    {"--f64", NULL, false, "use rows of double instead of float"},
};
const es_page_t es_page_bench_covariance = {"bench covariance", covariance_usage, covariance_options,
                                            sizeof covariance_options / sizeof *covariance_options};

static int covariance(const es_arguments_t *a, es_status_t *status) {
  es_bench_covariance_t s = {.f64 = es_arguments_option(a, "--f64") != NULL};
  ES_TRY(read_numbers(a, "--widths", "16,32,64,128,256,512,1024,2048,4096", 65536, &s.widths, status));
  ES_TRY(read_number(a, "--rows", 0, INT32_MAX, &s.rows, status));
  ES_TRY(read_number(a, "--repeats", 7, ES_BENCH_REPEATS_MOST, &s.repeats, status));
  return es_bench_covariance(&s, status);
}

static const char spectrum_usage[] = "[mpirun -n P] eigenscope bench spectrum [options]\n\n"
                                     "Measures how many seconds the eigenvalues of a full symmetric matrix take "
                                     "(medians of interleaved rounds). 'alone': rank\n"
                                     "0 solves one problem while the other ranks wait. 'each': every rank solves its "
                                     "own problem at the same time; the seconds\n"
                                     "printed are the time divided by P. 'together': all ranks solve one problem. "
                                     "GFLOP/s count 4/3 n^3 operations for every\n"
                                     "algorithm.";

static const es_option_t spectrum_options[] = {
    {"--orders", "LIST", false, "orders of the matrices (default 256,512,1024,2048)"},
    {"--repeats", "N", false, "rounds; medians are printed (default 3)"},
    {"--who", "LIST", false, "measure only these, a list of alone, each and together"},
    {"--vectors", NULL, false, "compute all eigenvectors, too"},
};
const es_page_t es_page_bench_spectrum = {"bench spectrum", spectrum_usage, spectrum_options,
                                          sizeof spectrum_options / sizeof *spectrum_options};

static int spectrum(const es_arguments_t *a, es_status_t *status) {
  es_bench_spectrum_t s = {.who = es_arguments_option(a, "--who"),
                           .vectors = es_arguments_option(a, "--vectors") != NULL};
  ES_TRY(read_numbers(a, "--orders", "256,512,1024,2048", ES_VECTORS_ORDER_MOST, &s.orders, status));
  ES_TRY(read_number(a, "--repeats", 3, ES_BENCH_REPEATS_MOST, &s.repeats, status));
  return es_bench_spectrum(&s, status);
}

static const char probe_usage[] = "[mpirun -n P] eigenscope bench probe [options]\n\n"
                                  "Measures how many seconds the fit of one logistic regression on all ranks takes "
                                  "(medians), from zero weights to the\n"
                                  "optimum, or at most --steps iterations. The features are normally distributed "
                                  "around a centre for each class, or are the\n"
                                  "first layer of a file of activations with labels.";

static const es_option_t probe_options[] = {
    {"--samples", "LIST", false, "samples; of a file, the first ones (default 10000)"},
    {"--classes", "LIST", false, "classes (default 10); not with --file"},
    {"--features", "D", false, "features (default 784); not with --file"},
    {"--file", "PATH", false, "use activations from this HDF5 file or folder of .npy files, with labels"},
    {"--steps", "LIST", false, "most iterations of the fit (default 1000)"},
    {"--repeats", "N", false, "fits; medians are printed (default 3)"},
};
const es_page_t es_page_bench_probe = {"bench probe", probe_usage, probe_options,
                                       sizeof probe_options / sizeof *probe_options};

static int probe(const es_arguments_t *a, es_status_t *status) {
  es_bench_probe_t s = {.file = es_arguments_option(a, "--file")};
  ES_TRY(read_numbers(a, "--samples", "10000", 100000000, &s.samples, status));
  ES_TRY(read_numbers(a, "--classes", "10", 65536, &s.classes, status));
  ES_TRY(read_numbers(a, "--steps", "1000", 1000000, &s.steps, status));
  ES_TRY(read_number(a, "--features", 784, 1000000, &s.features, status));
  ES_TRY(read_number(a, "--repeats", 3, ES_BENCH_REPEATS_MOST, &s.repeats, status));
  if (s.file && (es_arguments_option(a, "--classes") || es_arguments_option(a, "--features")))
    return es_fail(status, ES_INPUT, "bench",
                   "--classes and --features cannot be used with --file, because the file gives these numbers");
  return es_bench_probe(&s, status);
}

int es_cli_bench(int argc, char **argv) {
  const char *which = argc > 0 ? argv[0] : "";
  if (strcmp(which, "train") == 0) return es_cli_command_mpi(argc - 1, argv + 1, &es_page_bench_train, 0, 0, train);
  if (strcmp(which, "covariance") == 0)
    return es_cli_command_mpi(argc - 1, argv + 1, &es_page_bench_covariance, 0, 0, covariance);
  if (strcmp(which, "spectrum") == 0)
    return es_cli_command_mpi(argc - 1, argv + 1, &es_page_bench_spectrum, 0, 0, spectrum);
  if (strcmp(which, "probe") == 0) return es_cli_command_mpi(argc - 1, argv + 1, &es_page_bench_probe, 0, 0, probe);
  es_status_t status = {0};
  es_fail(&status, ES_INPUT, "bench",
          "bench needs one of train, covariance, spectrum and probe, as in eigenscope bench train");
  return es_cli_report(&status);
}
