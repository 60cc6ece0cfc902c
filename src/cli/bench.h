/* What the benchmarks share. */
#ifndef ES_CLI_BENCH_H
#define ES_CLI_BENCH_H

#include "eigenscope/cli.h"

enum { ES_BENCH_REPEATS_MOST = 64 };

/* Sorts them; NaN for none. */
double es_bench_median(double *values, int n);
/* Value of an option as a whole number of at least 1. */
es_code_t es_bench_number(const es_arguments_t *arguments, const char *name, int64_t otherwise, int64_t most,
                          int64_t *out, es_status_t *status);

int es_cli_bench_covariance(int argc, char **argv);
int es_cli_bench_spectrum(int argc, char **argv);
int es_cli_bench_probe(int argc, char **argv);

#endif
