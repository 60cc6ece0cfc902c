#include "bench_internal.h"
#include "eigenscope/clock.h"
#include <math.h>
#include <stdlib.h>

void es_bench_ranks(int *rank, int *ranks) {
  ES_MPI(MPI_Comm_rank(MPI_COMM_WORLD, rank));
  ES_MPI(MPI_Comm_size(MPI_COMM_WORLD, ranks));
}

double es_bench_clock(void) {
  ES_MPI(MPI_Barrier(MPI_COMM_WORLD));
  return es_clock();
}

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double es_bench_median(double *values, int64_t n) {
  if (n == 0) return NAN;
  qsort(values, (size_t)n, sizeof *values, compare_doubles);
  return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}
