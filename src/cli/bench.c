/* eigenscope bench: the program's own figures, as tables that anyone can make again. Not tests: nothing is judged. */
#include "bench_internal.h"
#include "eigenscope/comm.h"
#include "eigenscope/model.h"
#include "eigenscope/spectrum.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

es_code_t es_bench_numbers(const es_arguments_t *arguments, const char *name, const char *otherwise, int64_t most,
                           es_bench_numbers_t *out, es_status_t *status) {
  const char *text = es_arguments_option(arguments, name);
  if (!text) text = otherwise;
  out->n = 0;
  for (const char *p = text; *p;) {
    char *end;
    const long long value = strtoll(p, &end, 10);
    if (end == p || value < 1 || value > most || out->n == ES_BENCH_NUMBERS_MOST || (*end && *end != ','))
      return es_fail(status, ES_INPUT, "bench", "%s %s: must be up to %d numbers from 1 to %lld with commas between",
                     name, text, ES_BENCH_NUMBERS_MOST, (long long)most);
    out->value[out->n++] = value;
    p = *end ? end + 1 : end;
  }
  return out->n > 0 ? ES_OK : es_fail(status, ES_INPUT, "bench", "%s: is empty", name);
}

int es_bench_main(const es_page_t *page, es_bench_work_t *work, int argc, char **argv) {
  es_arguments_t *arguments = NULL;
  es_status_t status = {0};
  int rank;
  es_model_engine_single_thread();
  es_spectrum_single_thread();
  es_mpi_start(NULL, NULL);
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  es_arguments_parse(&arguments, argc, argv, page, 0, 0, &status);
  if (es_agree(MPI_COMM_WORLD, &status) == ES_OK) work(arguments, &status);
  es_arguments_destroy(arguments);
  const int result = status.code == ES_OK ? ES_EXIT_OK : rank == 0 ? es_cli_report(&status) : es_cli_exit_code(&status);
  ES_MPI(MPI_Finalize());
  return result;
}

int es_cli_bench(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
  } benches[] = {{"train", es_cli_bench_train},
                 {"covariance", es_cli_bench_covariance},
                 {"spectrum", es_cli_bench_spectrum},
                 {"probe", es_cli_bench_probe}};
  for (size_t i = 0; argc > 0 && i < sizeof benches / sizeof *benches; i++) {
    if (strcmp(argv[0], benches[i].name) == 0) return benches[i].run(argc - 1, argv + 1);
  }
  es_status_t status = {0};
  es_fail(&status, ES_INPUT, "bench", "bench: which one? eigenscope bench train | covariance | spectrum | probe");
  return es_cli_report(&status);
}
