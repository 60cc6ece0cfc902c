#include "eigenscope/covariance.h"
#include "eigenscope/cblas.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "narrow_accumulator.h"
#include "panel.h"
#include "syrk.h"

enum { WIDE = 64 };

es_code_t es_cov_workspace_create(es_cov_workspace_t *out, int32_t largest_width, es_real_t real, es_status_t *status) {
  const size_t width = (size_t)largest_width, pattern = width + 2 * WIDE, size = es_real_size(real);
  const size_t panel = ES_PANEL_ROWS_LEAST * width > ES_PANEL_FLOATS ? ES_PANEL_ROWS_LEAST * width : ES_PANEL_FLOATS;
  *out = (es_cov_workspace_t){.width = largest_width,
                              .real = real,
                              .centred = es_allocate(panel, size),
                              .product = es_allocate(width * width, size),
                              .shift = es_allocate(2 * pattern, size),
                              .sums = es_allocate(3 * pattern, sizeof(double))};
  if (out->centred && out->product && out->shift && out->sums) return ES_OK;
  es_cov_workspace_destroy(out);
  return es_out_of_memory(status, "covariance", "the scratch of layers of width %d", largest_width);
}

void es_cov_workspace_destroy(es_cov_workspace_t *workspace) {
  es_free(workspace->centred);
  es_free(workspace->product);
  es_free(workspace->shift);
  es_free(workspace->sums);
  *workspace = (es_cov_workspace_t){0};
}

int64_t es_cov_bytes(int32_t width, es_real_t real) {
  const int64_t d = width, moments = 8 * (int64_t)es_cov_moments_size(width);
  if (real == ES_REAL_F32 && es_syrk_takes_blocks(width))
    return moments + 4 * d * ES_PANEL_BLOCK + (int64_t)es_narrow_accumulator_bytes(width);
  return moments + (int64_t)es_real_size(real) * es_cov_panel_rows(width) * d;
}

es_code_t es_cov_create(es_cov_t *out, int32_t width, es_real_t real, es_status_t *status) {
  const bool blocks = real == ES_REAL_F32 && es_syrk_takes_blocks(width);
  const size_t rows = (size_t)(blocks ? ES_PANEL_BLOCK : es_cov_panel_rows(width));
  *out = (es_cov_t){.width = width,
                    .real = real,
                    .moments = es_allocate_zero(es_cov_moments_size(width), sizeof(double)),
                    .panel = es_allocate(rows * (size_t)width, es_real_size(real)),
                    .open = blocks ? es_narrow_accumulator_create(width) : NULL};
  if (out->moments && out->panel && (out->open || !blocks)) return ES_OK;
  es_cov_destroy(out);
  return es_out_of_memory(status, "covariance", "the covariance of a layer of width %d", width);
}

void es_cov_destroy(es_cov_t *cov) {
  es_free(cov->moments);
  es_free(cov->panel);
  es_free(cov->open);
  *cov = (es_cov_t){0};
}

void es_cov_reset(es_cov_t *cov) {
  cov->n = 0;
  cov->panel_rows = 0;
  cov->scaled = false;
  if (cov->open) es_narrow_accumulator_reset(cov->open);
  memset(cov->moments, 0, es_cov_moments_size(cov->width) * sizeof *cov->moments);
}

/* out = rows − shift and sums[j] = Σ out, over lines of `length` floats; floats after the last whole line are added to
 * the sums of the first columns. */
static void centre(float *out, double *sums, const float *rows, size_t floats, size_t length, const float *shift,
                   float *work) {
  const size_t lines = floats / length;
  memset(sums, 0, length * sizeof *sums);
  es_panel_subtract_f32(out, sums, rows, lines, length, shift, work);
  for (size_t i = lines * length; i < floats; i++) {
    out[i] = rows[i] - shift[i - lines * length];
    sums[i - lines * length] += (double)out[i];
  }
}

ES_KERNEL
static void merge_triangle(double *triangle, const double *other, const double *delta, double weight, size_t width) {
  for (size_t i = 0; i < width; i++) {
    double *row = triangle + i * (i + 1) / 2;
    const double *line = other + i * (i + 1) / 2;
    const double factor = weight * delta[i];
    for (size_t j = 0; j <= i; j++) row[j] += line[j] + factor * delta[j];
  }
}

/* w->product = Σ d·dᵀ and w->sums = Σ d over d = row − w->shift (d values). */
static void multiply_centred(es_cov_workspace_t *w, const float *rows, int32_t n, int32_t width) {
  /* Several narrow rows are centred at once: the shift is repeated over at least WIDE floats. */
  const int32_t repeat = width >= WIDE ? 1 : (WIDE + width - 1) / width;
  const size_t d = (size_t)width, length = d * (size_t)repeat;
  float *shift = w->shift;
  for (size_t j = d; j < length; j++) shift[j] = shift[j - d];
  if (es_syrk_centres(width)) {
    es_syrk_kernels()->centred(w->product, w->sums, rows, n, width, shift);
    return;
  }
  centre(w->centred, w->sums, rows, (size_t)n * d, length, shift, shift + w->width + 2 * WIDE);
  for (size_t j = d; j < length; j++) w->sums[j % d] += w->sums[j];
  if (es_syrk_is_narrow(width))
    es_syrk_narrow(w->product, w->centred, n, width);
  else
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, width, n, 1.0f, w->centred, width, 0.0f, w->product, width);
}

/* Calls multiply_centred and stores the remaining means in w->sums. Without FITS, these means are so large relative to
 * the deviations that float would lose more than a digit. The caller then centres again with the means found. */
static int multiply(es_cov_workspace_t *w, const float *rows, int32_t n, int32_t width) {
  const size_t d = (size_t)width;
  const float *product = w->product;
  multiply_centred(w, rows, n, width);
  bool fits = true, below = true, enough = false;
  for (size_t j = 0; j < d; j++) {
    const double square = (double)product[j * d + j];
    w->sums[j] /= (double)n;
    fits = fits && w->sums[j] * w->sums[j] * (double)n <= 0.9 * square;
    below = below && square <= ES_PANEL_MOST;
    enough = enough || square >= ES_PANEL_LEAST;
  }
  return (fits ? ES_PANEL_FITS : 0) | (below && enough ? ES_PANEL_ORDINARY : 0);
}

/* Multiplies a panel about the mean so far, or about its own mean if that is too far away. Returns true if its products
 * are ordinary. `rows` are scaled. */
static bool multiply_panel(const es_cov_t *cov, es_cov_workspace_t *w, const float *rows, int32_t n, int exponent) {
  const size_t d = (size_t)cov->width;
  float *shift = w->shift;
  const double unit = es_panel_unit(exponent);
  if (cov->n > 0) {
    for (size_t j = 0; j < d; j++) shift[j] = (float)(cov->moments[j] * unit);
  } else {
    es_covariance_guess_shift(shift, rows, n, d);
  }
  int verdict = multiply(w, rows, n, cov->width);
  if (!(verdict & ES_PANEL_FITS)) {
    for (size_t j = 0; j < d; j++) shift[j] = (float)((double)shift[j] + w->sums[j]);
    verdict = multiply(w, rows, n, cov->width);
  }
  return (verdict & ES_PANEL_ORDINARY) != 0;
}

/* Rows are multiplied as they are, and once more with a scale if that shows that products under- or overflowed. After
 * such a panel the scale is chosen first, because float is slow with numbers that underflow. */
static void merge_panel(es_cov_t *cov, es_cov_workspace_t *w, const float *rows, int32_t n) {
  const size_t d = (size_t)cov->width;
  const bool ordinary = !cov->scaled && multiply_panel(cov, w, rows, n, 0);
  int exponent = 0;
  if (!ordinary) {
    exponent = es_panel_exponent(rows, (size_t)n, d, cov->n > 0 ? cov->moments : NULL, 0.0);
    float *scaled = cov->panel; /* empty, or the rows themselves */
    if (exponent != 0) es_panel_scale(scaled, rows, (size_t)n * d, exponent);
    if (exponent != 0 || cov->scaled) multiply_panel(cov, w, exponent != 0 ? scaled : rows, n, exponent);
    cov->scaled = exponent != 0;
  }
  const es_panel_product_t panel = {w->product, w->shift, w->sums, exponent, n};
  es_covariance_merge_product(cov, &panel, w->sums + w->width + 2 * WIDE);
}

static void merge_panel_f64(es_cov_t *cov, es_cov_workspace_t *w, const double *rows, int32_t n) {
  const size_t d = (size_t)cov->width;
  double *mean = cov->moments, *shift = w->sums, *rest = shift + w->width, *delta = rest + w->width;
  es_panel_centre_f64(w->centred, rows, (size_t)n, d, shift, rest, w->shift);
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, cov->width, n, 1.0, w->centred, cov->width, 0.0, w->product,
              cov->width);
  const double share = (double)n / (double)(cov->n + n);
  for (size_t j = 0; j < d; j++) delta[j] = shift[j] - mean[j] + rest[j];
  const es_panel_terms_t terms = {
      .scale = 1.0, .a_weight = -(double)n, .a = rest, .b_weight = (double)cov->n * share, .b = delta};
  es_panel_merge_f64(cov->moments + d, w->product, &terms, d);
  for (size_t j = 0; j < d; j++) mean[j] += share * delta[j];
  cov->n += n;
}

static void merge_rows(es_cov_t *cov, es_cov_workspace_t *w, const void *rows, int32_t n) {
  if (cov->real == ES_REAL_F64)
    merge_panel_f64(cov, w, rows, n);
  else if (cov->open)
    es_narrow_accumulator_take(cov, w, rows, n);
  else
    merge_panel(cov, w, rows, n);
}

static void merge_waiting(es_cov_t *cov, es_cov_workspace_t *w) {
  if (cov->panel_rows == 0) return;
  merge_rows(cov, w, cov->panel, cov->panel_rows);
  cov->panel_rows = 0;
}

void es_cov_add(es_cov_t *cov, es_cov_workspace_t *workspace, const void *rows, int64_t n) {
  const int32_t full = cov->open ? ES_PANEL_BLOCK : es_cov_panel_rows(cov->width);
  const size_t line = (size_t)cov->width * es_real_size(cov->real);
  const char *from = rows;
  assert(cov->width <= workspace->width && cov->real == workspace->real);
  while (n > 0) {
    if (cov->panel_rows == 0 && n >= full) { /* a whole panel is merged without a copy */
      merge_rows(cov, workspace, from, full);
      from += (size_t)full * line;
      n -= full;
      continue;
    }
    const int32_t space = full - cov->panel_rows, take = n < space ? (int32_t)n : space;
    memcpy((char *)cov->panel + (size_t)cov->panel_rows * line, from, (size_t)take * line);
    cov->panel_rows += take;
    from += (size_t)take * line;
    n -= take;
    if (cov->panel_rows == full) merge_waiting(cov, workspace);
  }
}

void es_cov_flush(es_cov_t *cov, es_cov_workspace_t *workspace) {
  merge_waiting(cov, workspace);
  if (cov->open) es_narrow_accumulator_close(cov, workspace);
}

/* n and moments are separate arguments, so that a received message can be merged without a copy. */
static void merge(es_cov_t *into, int64_t n, const double *moments) {
  const size_t d = (size_t)into->width;
  if (n == 0) return;
  if (into->n == 0) {
    into->n = n;
    memcpy(into->moments, moments, es_cov_moments_size(into->width) * sizeof *moments);
    return;
  }
  const double total = (double)(into->n + n), share = (double)n / total, weight = (double)into->n * share;
  double *mean = into->moments, *triangle = into->moments + d;
  /* δ overwrites the means while the triangles are merged. */
  for (size_t j = 0; j < d; j++) mean[j] = moments[j] - mean[j];
  merge_triangle(triangle, moments + d, mean, weight, d);
  for (size_t j = 0; j < d; j++) mean[j] = moments[j] - (1.0 - share) * mean[j];
  into->n += n;
}

void es_cov_merge(es_cov_t *into, const es_cov_t *from) {
  assert(into->width == from->width && into->panel_rows == 0 && from->panel_rows == 0);
  merge(into, from->n, from->moments);
}

void es_cov_reduce(es_cov_t *out, es_lane_pairs_t *pairs, const es_cov_t *lanes, const es_group_t *group,
                   double *buffer) {
  const size_t size = es_cov_moments_size(out->width);
  es_cov_reset(out);
  for (int lane = 0; lane < group->lanes; lane++) {
    const int local = lane - group->lane_first;
    const bool mine = local >= 0 && local < group->lane_count;
    if (group->size == 1) {
      es_cov_merge(out, &lanes[local]);
      if (pairs) es_lane_pairs_add(pairs, lanes[local].moments + out->width, out->width);
      continue;
    }
    if (mine) {
      assert(lanes[local].panel_rows == 0);
      memcpy(buffer, lanes[local].moments, size * sizeof *buffer);
      buffer[size] = (double)lanes[local].n;
    } else {
      memset(buffer, 0, (size + 1) * sizeof *buffer);
    }
    es_group_allreduce_f64(group, buffer, size + 1);
    merge(out, (int64_t)buffer[size], buffer);
    if (pairs) es_lane_pairs_add(pairs, buffer + out->width, out->width);
  }
}

void es_cov_finish(const es_cov_t *cov, double *out) {
  const size_t size = es_triangle_size(cov->width);
  const double *triangle = cov->moments + cov->width;
  for (size_t i = 0; cov->n > 0 && i < size; i++) out[i] = triangle[i] / (double)cov->n;
}
