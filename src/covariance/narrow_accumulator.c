#include "narrow_accumulator.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "panel.h"
#include "syrk.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* The current panel. Its arrays follow the struct in one block; each starts on a cache line, because the width is a
 * multiple of 16. */
struct es_narrow_accumulator {
  _Alignas(64) int32_t rows; /* rows so far; if 0, the other fields are not set yet */
  int exponent;              /* rows are multiplied by 2^exponent, and the numbers below are of these products */
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
  es_narrow_accumulator_reset(b);
  char *parts = (char *)(b + 1);
  b->product = (void *)parts;
  b->shift = b->product + d * d;
  b->sums = (void *)(parts + (d * d + d) * sizeof(float));
  b->squares = b->sums + d;
  return b;
}

void es_narrow_accumulator_reset(es_narrow_accumulator_t *b) {
  b->rows = 0;
  b->exponent = 0;
}

void es_narrow_accumulator_close(es_cov_t *cov, es_cov_workspace_t *w) {
  es_narrow_accumulator_t *b = cov->open;
  if (b->rows == 0) return;
  for (int32_t j = 0; j < cov->width; j++) b->sums[j] /= (double)b->rows;
  const es_panel_product_t panel = {b->product, b->shift, b->sums, b->exponent, b->rows};
  es_covariance_merge_product(cov, &panel, w->sums);
  b->rows = 0;
}

static void clear(es_narrow_accumulator_t *b, int32_t width) {
  const size_t d = (size_t)width;
  memset(b->sums, 0, d * sizeof *b->sums);
  memset(b->squares, 0, d * sizeof *b->squares);
  memset(b->product, 0, d * d * sizeof *b->product);
}

/* Judges the panel with one more block; `rows` includes the block. */
ES_KERNEL
static int judge(const es_narrow_accumulator_t *b, const float *s, const float *q, double rows, size_t width) {
  int64_t fits = 1, below = 1, enough = 0; /* as wide as double, for vectors */
  for (size_t j = 0; j < width; j++) {
    const double sum = b->sums[j] + (double)s[j], square = b->squares[j] + (double)q[j];
    fits &= sum * sum <= 0.9 * rows * square;
    below &= square <= ES_PANEL_MOST;
    enough |= square >= ES_PANEL_LEAST;
  }
  return (fits ? ES_PANEL_FITS : 0) | (below && enough ? ES_PANEL_ORDINARY : 0);
}

ES_KERNEL
static void add(double *out, const float *values, size_t n) {
  for (size_t j = 0; j < n; j++) out[j] += (double)values[j];
}

/* Chooses the exponent for the panel and one more block, and converts the panel. `centre`: scratch, `width` doubles. */
static void choose_exponent(es_cov_t *cov, const float *rows, int32_t n, double *centre) {
  es_narrow_accumulator_t *b = cov->open;
  const size_t d = (size_t)cov->width;
  double squares = 0.0;
  for (size_t j = 0; j < d; j++) {
    centre[j] = b->rows > 0 ? ldexp((double)b->shift[j], -b->exponent) : cov->moments[j];
    squares = fmax(squares, b->squares[j]);
  }
  const bool centred = b->rows > 0 || cov->n > 0;
  const double before = ldexp(sqrt(squares), -b->exponent);
  const int exponent = es_panel_exponent(rows, (size_t)n, d, centred ? centre : NULL, before);
  const int change = exponent - b->exponent;
  b->exponent = exponent;
  for (size_t j = 0; b->rows > 0 && change != 0 && j < d; j++) {
    b->shift[j] = (float)ldexp((double)b->shift[j], change);
    b->sums[j] = ldexp(b->sums[j], change);
    b->squares[j] = ldexp(b->squares[j], 2 * change);
    for (size_t i = 0; i <= j; i++) b->product[j * d + i] = (float)ldexp((double)b->product[j * d + i], 2 * change);
  }
}

/* Scales a block and centres it about the panel's shift. Starts a panel if none is open. Returns the scaled rows. */
static const float *centre_block(es_cov_t *cov, es_cov_workspace_t *w, const float *rows, int32_t n) {
  es_narrow_accumulator_t *b = cov->open;
  const size_t d = (size_t)cov->width;
  float *s = w->shift, *centred = w->centred, *scaled = centred + (size_t)n * d;
  if (b->exponent != 0) {
    es_panel_scale(scaled, rows, (size_t)n * d, b->exponent);
    rows = scaled;
  }
  if (b->rows == 0) {
    clear(b, cov->width);
    if (cov->n == 0) es_covariance_guess_shift(b->shift, rows, n, d);
    const double unit = es_panel_unit(b->exponent);
    for (size_t j = 0; cov->n > 0 && j < d; j++) b->shift[j] = (float)(cov->moments[j] * unit);
  }
  es_syrk_kernels()->centre(centred, s, s + d, rows, n, cov->width, b->shift);
  return rows;
}

void es_narrow_accumulator_take(es_cov_t *cov, es_cov_workspace_t *w, const float *rows, int32_t n) {
  es_narrow_accumulator_t *b = cov->open;
  const size_t d = (size_t)cov->width;
  float *s = w->shift, *q = s + d;
  const float *scaled = centre_block(cov, w, rows, n);
  int verdict = judge(b, s, q, (double)(b->rows + n), d);
  if (!(verdict & ES_PANEL_ORDINARY)) {
    const int before = b->exponent;
    choose_exponent(cov, rows, n, w->sums);
    if (b->exponent != before) {
      scaled = centre_block(cov, w, rows, n);
      verdict = judge(b, s, q, (double)(b->rows + n), d);
    }
  }
  if (!(verdict & ES_PANEL_FITS)) { /* a new panel about the mean of the block: s / n, relative to the old shift */
    es_narrow_accumulator_close(cov, w);
    clear(b, cov->width);
    for (size_t j = 0; j < d; j++) b->shift[j] = (float)((double)b->shift[j] + (double)s[j] / (double)n);
    es_syrk_kernels()->centre(w->centred, s, q, scaled, n, cov->width, b->shift);
  }
  add(b->sums, s, d);
  add(b->squares, q, d);
  es_syrk_kernels()->tiles(b->product, w->centred, n, cov->width);
  b->rows += n;
  if (b->rows >= es_cov_panel_rows(cov->width)) es_narrow_accumulator_close(cov, w);
}
