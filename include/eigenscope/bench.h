/** Benchmarks, printed as tables that users can reproduce. Not tests: no result passes or fails.
 *
 * All functions are collective over MPI_COMM_WORLD, use one thread per rank, print on rank 0, and return the same code
 * on all ranks. The caller checks the settings. */
#ifndef EIGENSCOPE_BENCH_H
#define EIGENSCOPE_BENCH_H

#include "eigenscope/precision.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

enum { ES_BENCH_REPEATS_MOST = 64, ES_BENCH_NUMBERS_MOST = 16 };

typedef struct es_bench_numbers {
  int64_t value[ES_BENCH_NUMBERS_MOST];
  int n;
} es_bench_numbers_t;

/** Compares accumulators with OpenBLAS's plain product of the same rows. */
typedef struct es_bench_covariance {
  es_bench_numbers_t widths;
  int64_t rows; /**< rows per rank and measurement; 0: about 0.3 s of work */
  int64_t repeats;
  bool f64;
} es_bench_covariance_t;
es_code_t es_bench_covariance(const es_bench_covariance_t *settings, es_status_t *status);

/** Compares eigensolvers: on one rank, on each rank at the same time, and on all ranks together. */
typedef struct es_bench_spectrum {
  es_bench_numbers_t orders;
  int64_t repeats;
  const char *who; /**< some of "alone,each,together", or NULL for all */
  bool vectors;
} es_bench_spectrum_t;
es_code_t es_bench_spectrum(const es_bench_spectrum_t *settings, es_status_t *status);

/** Times a probe fit by samples, classes and steps, on all ranks together. */
typedef struct es_bench_probe {
  es_bench_numbers_t samples, classes, steps;
  int64_t features, repeats;
  const char *file; /**< activations with labels, which define the numbers of features and classes; or NULL */
} es_bench_probe_t;
es_code_t es_bench_probe(const es_bench_probe_t *settings, es_status_t *status);

/** Times epochs that only train against epochs that also measure, alternating, one point per rank. */
typedef struct es_bench_train {
  const char *model, *widths; /**< built-in; "1/16,1/8" */
  es_precision_t precision;
  int64_t samples, batch;
  int64_t pairs; /**< at most ES_BENCH_REPEATS_MOST − 2 */
  bool profile;
} es_bench_train_t;
es_code_t es_bench_train(const es_bench_train_t *settings, es_status_t *status);

#endif
