/* eigenscope bench probe: measures the time of a fit by samples, classes and steps, on all ranks together. */
#include "eigenscope/probe.h"
#include "bench_internal.h"
#include "eigenscope/activations.h"
#include "eigenscope/blas.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LANES = 8 };

typedef struct bench {
  es_group_t group;
  const es_bench_probe_t *settings;
  es_activations_t *file; /* or NULL */
  int64_t features;
  float *kept, *rows; /* of this rank: the original rows, and the copy that a fit overwrites */
  int32_t *labels;
  double *weights;
} bench_t;

/* ---- data ---- */

static void generate(bench_t *b, int64_t first, int64_t n, int64_t classes) {
  for (int64_t i = 0; i < n; i++) {
    b->labels[i] = (int32_t)((first + i) % classes);
    for (int64_t j = 0; j < b->features; j += 2) {
      uint32_t words[4], centre[4];
      float z[2], c[2];
      es_random_block(1, ES_RANDOM_TEST, 0, (uint64_t)((first + i) * b->features + j), words);
      es_random_block(2, ES_RANDOM_TEST, 0, (uint64_t)(b->labels[i] * b->features + j), centre);
      es_random_normal(words[0], words[1], z);
      es_random_normal(centre[0], centre[1], c);
      for (int64_t e = 0; e < 2 && j + e < b->features; e++) b->kept[i * b->features + j + e] = z[e] + 0.1f * c[e];
    }
  }
}

static es_code_t fill(bench_t *b, int64_t samples, int64_t *classes, es_status_t *status) {
  int64_t first, n;
  int32_t found;
  es_group_range(&b->group, samples, &first, &n);
  const size_t size = (size_t)n * (size_t)b->features;
  b->kept = es_allocate(size, sizeof *b->kept);
  b->rows = es_allocate(size, sizeof *b->rows);
  b->labels = es_allocate((size_t)n, sizeof *b->labels);
  if (b->file) {
    ES_TRY(es_activations_classes(b->file, &found, status));
    *classes = found;
  }
  b->weights = es_allocate(es_probe_weights_size((int32_t)b->features, (int32_t)*classes), sizeof *b->weights);
  if (!b->kept || !b->rows || !b->labels || !b->weights)
    return es_out_of_memory(status, "bench", "%lld samples", (long long)samples);
  if (!b->file) {
    generate(b, first, n, *classes);
    return ES_OK;
  }
  ES_TRY(es_activations_labels(b->file, first, n, b->labels, status));
  return es_activations_read(b->file, 0, first, n, b->kept, status);
}

static es_code_t open_file(bench_t *b, const char *path, es_status_t *status) {
  const es_bench_numbers_t *samples = &b->settings->samples;
  ES_TRY(es_activations_open(&b->file, path, "labels", status));
  const es_activation_layer_t *layer = es_activations_layer(b->file, 0);
  if (!es_activations_has_labels(b->file))
    return es_fail(status, ES_INPUT, "bench", "--file %s: has no array \"labels\"", path);
  if (layer->is_double)
    return es_fail(status, ES_INPUT, "bench", "--file %s: the first layer must be float32 or float16", path);
  b->features = (int64_t)layer->h * layer->w * layer->c;
  for (int i = 0; i < samples->n; i++) {
    if (samples->value[i] > es_activations_samples(b->file))
      return es_fail(status, ES_INPUT, "bench", "--samples: must be at most the number of samples in %s, %lld", path,
                     (long long)es_activations_samples(b->file));
  }
  return ES_OK;
}

/* ---- fits ---- */

static es_code_t fit(bench_t *b, int64_t samples, int64_t classes, int64_t steps, es_status_t *status) {
  es_probe_result_t result;
  double seconds[ES_BENCH_REPEATS_MOST], cpu[ES_BENCH_REPEATS_MOST];
  int64_t first, n;
  es_group_range(&b->group, samples, &first, &n);
  const es_probe_problem_t problem = {.n = samples,
                                      .width = (int32_t)b->features,
                                      .classes = (int32_t)classes,
                                      .features = b->rows,
                                      .labels = b->labels,
                                      .l2 = 1.0,
                                      .iterations = (int32_t)steps};
  for (int64_t r = 0; r < b->settings->repeats; r++) {
    memcpy(b->rows, b->kept, (size_t)(n * b->features) * sizeof *b->rows);
    memset(b->weights, 0, es_probe_weights_size(problem.width, problem.classes) * sizeof *b->weights);
    const double start = es_bench_clock();
    const clock_t before = clock();
    ES_TRY(es_probe_fit(&result, b->weights, NULL, &problem, &b->group, status));
    cpu[r] = (double)(clock() - before) / CLOCKS_PER_SEC;
    seconds[r] = es_bench_clock() - start;
  }
  const double median = es_bench_median(seconds, b->settings->repeats);
  if (b->group.rank != 0) return ES_OK;
  const int32_t taken = result.iterations > 0 ? result.iterations : 0;
  printf("%10lld %8lld %8lld %6d %10.3f %10.3f %14.4f %12.2e %9s %7d %9.3f %9.2e\n", (long long)samples,
         (long long)b->features, (long long)classes, taken, median, taken ? 1e3 * median / taken : 0.0,
         result.objective, result.gradient_norm, result.converged ? "yes" : "no", result.passes,
         es_bench_median(cpu, b->settings->repeats), result.gap);
  fflush(stdout);
  return ES_OK;
}

static es_code_t fit_all(bench_t *b, int64_t samples, int64_t classes, es_status_t *status) {
  fill(b, samples, &classes, status);
  es_code_t code = es_agree(b->group.comm, status);
  const es_bench_numbers_t *steps = &b->settings->steps;
  for (int i = 0; i < steps->n && code == ES_OK; i++) code = fit(b, samples, classes, steps->value[i], status);
  es_free(b->kept);
  es_free(b->rows);
  es_free(b->labels);
  es_free(b->weights);
  b->kept = b->rows = NULL;
  b->labels = NULL;
  b->weights = NULL;
  return code;
}

es_code_t es_bench_probe(const es_bench_probe_t *settings, es_status_t *status) {
  bench_t b = {.settings = settings, .features = settings->features};
  ES_TRY(es_group_create_any(&b.group, MPI_COMM_WORLD, LANES, status));
  if (settings->file) open_file(&b, settings->file, status);
  es_code_t code = es_agree(MPI_COMM_WORLD, status);
  if (code == ES_OK && b.group.rank == 0) {
    printf("%d rank%s, one thread each; %s; medians, repeats: %lld\n", b.group.size, b.group.size == 1 ? "" : "s",
           es_blas_name(), (long long)settings->repeats);
    printf("%10s %8s %8s %6s %10s %10s %14s %12s %9s %7s %9s %9s\n", "samples", "features", "classes", "steps",
           "seconds", "ms/step", "objective", "gradient", "converged", "passes", "cpu", "gap");
  }
  for (int i = 0; i < settings->samples.n && code == ES_OK; i++) {
    for (int k = 0; k < settings->classes.n && code == ES_OK; k++)
      code = fit_all(&b, settings->samples.value[i], settings->classes.value[k], status);
  }
  if (b.file) es_activations_close(b.file);
  return code;
}
