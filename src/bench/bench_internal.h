/* What the benchmarks share. */
#ifndef ES_BENCH_INTERNAL_H
#define ES_BENCH_INTERNAL_H

#include "cli_internal.h"

enum { ES_BENCH_REPEATS_MOST = 64, ES_BENCH_NUMBERS_MOST = 16 };

typedef struct es_bench_numbers {
  int64_t value[ES_BENCH_NUMBERS_MOST];
  int n;
} es_bench_numbers_t;

/* Sorts them; NaN for none. */
double es_bench_median(double *values, int n);
/* Value of an option as a whole number of at least 1. */
es_code_t es_bench_number(const es_arguments_t *arguments, const char *name, int64_t otherwise, int64_t most,
                          int64_t *out, es_status_t *status);
/* As es_bench_number for a list with commas between; `otherwise` is such a list. */
es_code_t es_bench_numbers(const es_arguments_t *arguments, const char *name, const char *otherwise, int64_t most,
                           es_bench_numbers_t *out, es_status_t *status);

/* What a benchmark does on every rank, between MPI_Init and MPI_Finalize. A failure is the same on all ranks. */
typedef es_code_t es_bench_work_t(const es_arguments_t *arguments, es_status_t *status);
/* Reads the arguments, does the work with one thread on each rank, and returns the exit code. */
int es_bench_main(const es_page_t *page, es_bench_work_t *work, int argc, char **argv);

int es_cli_bench_train(int argc, char **argv);
int es_cli_bench_covariance(int argc, char **argv);
int es_cli_bench_spectrum(int argc, char **argv);
int es_cli_bench_probe(int argc, char **argv);

#endif
