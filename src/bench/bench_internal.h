/* Functions shared by the benchmarks. */
#ifndef ES_BENCH_INTERNAL_H
#define ES_BENCH_INTERNAL_H

#include "eigenscope/bench.h"
#include "eigenscope/comm.h"

/* This rank and the number of ranks. */
void es_bench_ranks(int *rank, int *ranks);
/* Waits for all ranks, then returns the time. Collective. */
double es_bench_clock(void);
/* Sorts the values; NaN for none. */
double es_bench_median(double *values, int64_t n);

#endif
