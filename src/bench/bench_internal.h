/* What the benchmarks share. */
#ifndef ES_BENCH_INTERNAL_H
#define ES_BENCH_INTERNAL_H

#include "eigenscope/bench.h"
#include "eigenscope/comm.h"

/* This rank and how many there are. */
void es_bench_ranks(int *rank, int *ranks);
/* The time when all ranks have come here. Collective. */
double es_bench_clock(void);
/* Sorts them; NaN for none. */
double es_bench_median(double *values, int64_t n);

#endif
