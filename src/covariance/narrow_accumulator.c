#include "narrow_accumulator.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "panel.h"
#include "syrk.h"
#include <stdbool.h>
#include <string.h>

/* The current panel. Its arrays follow the struct in one block; each starts on a cache line, because the width is a
 * multiple of 16. */
struct es_narrow_accumulator {
  _Alignas(64) int32_t rows; /* rows so far; if 0, the other fields are not set yet */
  float *product;            /* d × d, lower triangle */
  float *shift;
  double *sums, *squares; /* of deviations from the shift */
};

size_t es_narrow_accumulator_bytes(int32_t width) {
  const size_t d = (size_t)width;
  return sizeof(es_narrow_accumulator_t) + 2 * d * sizeof(double) + (d + 1) * d * sizeof(float);
}

es_narrow_accumulator_t *es_narrow_accumulator_create(int32_t width) {
  es_narrow_accumulator_t *b = es_allocate(es_narrow_accumulator_bytes(width), 1);
  const size_t d = (size_t)width;
  if (!b) return NULL;
  b->rows = 0;
  char *parts = (char *)(b + 1);
  b->product = (void *)parts;
  b->shift = b->product + d * d;
  b->sums = (void *)(parts + (d * d + d) * sizeof(float));
  b->squares = b->sums + d;
  return b;
}

void es_narrow_accumulator_reset(es_narrow_accumulator_t *b) {
  b->rows = 0;
}

void es_narrow_accumulator_close(es_cov_t *cov, es_cov_workspace_t *w) {
  es_narrow_accumulator_t *b = cov->open;
  if (b->rows == 0) return;
  for (int32_t j = 0; j < cov->width; j++) b->sums[j] /= (double)b->rows;
  es_covariance_merge_product(cov, b->product, b->shift, b->sums, b->rows, w->sums);
  b->rows = 0;
}

static void clear(es_narrow_accumulator_t *b, int32_t width) {
  const size_t d = (size_t)width;
  memset(b->sums, 0, d * sizeof *b->sums);
  memset(b->squares, 0, d * sizeof *b->squares);
  memset(b->product, 0, d * d * sizeof *b->product);
}

/* True if the mean of the deviations, including one more block, stays so small relative to them that float loses at
 * most one digit of the deviations about this mean. `rows` includes the block. */
ES_KERNEL
static bool fits(const es_narrow_accumulator_t *b, const float *s, const float *q, double rows, size_t width) {
  int fine = 1;
  for (size_t j = 0; j < width; j++) {
    const double sum = b->sums[j] + (double)s[j], square = b->squares[j] + (double)q[j];
    fine &= sum * sum <= 0.9 * rows * square;
  }
  return fine;
}

ES_KERNEL
static void add(double *out, const float *values, size_t n) {
  for (size_t j = 0; j < n; j++) out[j] += (double)values[j];
}

void es_narrow_accumulator_take(es_cov_t *cov, es_cov_workspace_t *w, const float *rows, int32_t n) {
  es_narrow_accumulator_t *b = cov->open;
  const size_t d = (size_t)cov->width;
  float *s = w->shift, *q = s + d;
  if (b->rows == 0) {
    clear(b, cov->width);
    if (cov->n == 0) es_covariance_guess_shift(b->shift, rows, n, d);
    for (size_t j = 0; cov->n > 0 && j < d; j++) b->shift[j] = (float)cov->moments[j];
  }
  es_syrk_kernels()->centre(w->centred, s, q, rows, n, cov->width, b->shift);
  if (!fits(b, s, q, (double)(b->rows + n),
            d)) { /* a new panel about the mean of the block: s / n, relative to the old shift */
    es_narrow_accumulator_close(cov, w);
    clear(b, cov->width);
    for (size_t j = 0; j < d; j++) b->shift[j] = (float)((double)b->shift[j] + (double)s[j] / (double)n);
    es_syrk_kernels()->centre(w->centred, s, q, rows, n, cov->width, b->shift);
  }
  add(b->sums, s, d);
  add(b->squares, q, d);
  es_syrk_kernels()->tiles(b->product, w->centred, n, cov->width);
  b->rows += n;
  if (b->rows >= es_cov_panel_rows(cov->width)) es_narrow_accumulator_close(cov, w);
}
