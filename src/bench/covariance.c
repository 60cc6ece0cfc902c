/* eigenscope bench covariance: compares accumulators with the bare product of the same rows by OpenBLAS. */
#include "eigenscope/covariance.h"
#include "bench_internal.h"
#include "eigenscope/blas.h"
#include "eigenscope/cblas.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "eigenscope/spread.h"
#include <stdio.h>

enum { SLICE = 256, SPREAD_BLOCK = 64, WAYS = 4 };
typedef enum way { STRAIGHT, SLICES, SPREAD, PLAIN } way_t;

typedef struct bench {
  const es_bench_covariance_t *settings;
  int rank, ranks;
  es_real_t real;
  /* for the current width */
  int32_t width, panel;
  int64_t panels; /* per measurement */
  void *data;     /* (2 panels, width) */
  void *product;  /* width × width */
  es_cov_t cov;
  es_cov_workspace_t workspace;
  es_spread_t *spread;
} bench_t;

static size_t element(const bench_t *b) {
  return b->real == ES_REAL_F64 ? sizeof(double) : sizeof(float);
}

static void fill(const bench_t *b, int64_t rows) {
  for (int64_t i = 0; i < rows * b->width; i++) {
    uint32_t words[4];
    es_random_block(1, ES_RANDOM_TEST, (uint64_t)b->rank, (uint64_t)i, words);
    if (b->real == ES_REAL_F64)
      ((double *)b->data)[i] = (double)es_random_unit(words[0]);
    else
      ((float *)b->data)[i] = es_random_unit(words[0]);
  }
}

static es_code_t open_width(bench_t *b, int32_t width, es_status_t *status) {
  b->width = width;
  b->panel = es_cov_panel_rows(width);
  const double budget = b->real == ES_REAL_F64 ? 1e10 : 2e10, needed = budget / ((double)width * width);
  const int64_t asked = b->settings->rows, rows = asked > 0 ? asked : (int64_t)(needed < 131072.0 ? needed : 131072.0);
  b->panels = 2 * ((rows + 2 * b->panel - 1) / (2 * b->panel));
  if (b->panels < 4) b->panels = 4;
  /* The data are two panels of rows, used in turn; the spread accumulator's own panels are larger. */
  const int64_t held = 2 * (int64_t)b->panel;
  b->data = es_allocate((size_t)held * (size_t)width, element(b));
  b->product = es_allocate((size_t)width * (size_t)width, element(b));
  if (!b->data || !b->product) return es_out_of_memory(status, "bench", "width %d", width);
  fill(b, held);
  ES_TRY(es_cov_create(&b->cov, width, b->real, status));
  return es_cov_workspace_create(&b->workspace, width, b->real, status);
}

static double seconds(bench_t *b, way_t way) {
  const int32_t d = b->width;
  const size_t line = (size_t)d * element(b);
  es_cov_reset(&b->cov);
  if (way == SPREAD) es_spread_reset(b->spread);
  const double start = es_bench_clock();
  for (int64_t p = 0; p < b->panels; p++) {
    const char *panel = (const char *)b->data + (size_t)(p % 2) * (size_t)b->panel * line;
    const void *rows = panel;
    if (way == PLAIN && b->real == ES_REAL_F64)
      cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, d, b->panel, 1.0, rows, d, 0.0, b->product, d);
    else if (way == PLAIN)
      cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, d, b->panel, 1.0f, rows, d, 0.0f, b->product, d);
    if (way == STRAIGHT) es_cov_add(&b->cov, &b->workspace, rows, b->panel);
    if (way == SPREAD) es_spread_add(b->spread, rows, b->panel);
    for (int32_t i = 0; way == SLICES && i < b->panel; i += SLICE)
      es_cov_add(&b->cov, &b->workspace, panel + (size_t)i * line, SLICE);
  }
  return es_bench_clock() - start;
}

static void measure(bench_t *b) {
  double taken[WAYS][ES_BENCH_REPEATS_MOST], rate[WAYS] = {0};
  const double flops = (double)b->ranks * (double)b->panels * b->panel * b->width * (b->width + 1.0);
  for (int r = -1; r < b->settings->repeats; r++) { /* run −1 is a warm-up and not counted */
    for (int way = 0; way < WAYS; way++) {
      if (way == SPREAD && !b->spread) continue;
      const double s = seconds(b, way);
      if (r >= 0) taken[way][r] = s;
    }
  }
  for (int way = 0; way < WAYS; way++) {
    if (way != SPREAD || b->spread) rate[way] = flops / es_bench_median(taken[way], b->settings->repeats) * 1e-9;
  }
  if (b->rank != 0) return;
  printf("%8d %8d %10.2f %10.2f %10.2f %8.0f %% %8.0f %%", b->width, b->panel, rate[STRAIGHT], rate[SLICES],
         rate[PLAIN], 100.0 * rate[STRAIGHT] / rate[PLAIN], 100.0 * rate[SLICES] / rate[PLAIN]);
  if (b->spread) printf(" %10.2f %8.0f %%", rate[SPREAD], 100.0 * rate[SPREAD] / rate[PLAIN]);
  printf("\n");
  fflush(stdout);
}

static es_code_t bench_width(bench_t *b, int32_t width, es_status_t *status) {
  open_width(b, width, status);
  if (es_agree(MPI_COMM_WORLD, status) == ES_OK && b->ranks > 1)
    es_spread_create(&b->spread, MPI_COMM_WORLD, width, SPREAD_BLOCK, b->real, status);
  if (status->code == ES_OK) measure(b);
  es_free(b->data);
  es_free(b->product);
  es_cov_destroy(&b->cov);
  es_cov_workspace_destroy(&b->workspace);
  es_spread_destroy(b->spread);
  b->data = b->product = NULL;
  b->spread = NULL;
  return status->code;
}

es_code_t es_bench_covariance(const es_bench_covariance_t *settings, es_status_t *status) {
  bench_t b = {.settings = settings, .real = settings->f64 ? ES_REAL_F64 : ES_REAL_F32};
  es_bench_ranks(&b.rank, &b.ranks);
  if (b.rank == 0) {
    printf("Covariance of %s rows on %d rank%s, %s; useful GFLOP/s, medians, repeats: %lld\n",
           settings->f64 ? "double" : "float", b.ranks, b.ranks == 1 ? "" : "s", es_blas_name(),
           (long long)settings->repeats);
    printf("%8s %8s %10s %10s %10s %10s %10s%s\n", "width", "panel", "straight", "slices", "SYRK", "of SYRK", "of SYRK",
           b.ranks > 1 ? "     spread    of SYRK" : "");
  }
  for (int w = 0; w < settings->widths.n; w++) ES_TRY(bench_width(&b, (int32_t)settings->widths.value[w], status));
  return ES_OK;
}
