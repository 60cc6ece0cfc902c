#include "eigenscope/covariance.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <cblas.h>
#include <stdbool.h>
#include <string.h>

#include "narrow_accumulator.h"
#include "panel.h"
#include "syrk.h"

enum { PANEL_FLOATS = 32768, PANEL_ROWS_LEAST = 512, PANEL_ROWS_MOST = 4096, WIDE = 64 };

/* About 128 KiB, which stays in the second-level cache between centring and SYRK; at least 512 rows, so that merging
 * d²/2 doubles costs little beside SYRK. */
int32_t es_cov_panel_rows(int32_t width) {
  int32_t rows = PANEL_ROWS_MOST;
  while (rows > PANEL_ROWS_LEAST && (int64_t)rows * width > PANEL_FLOATS) rows /= 2;
  return rows;
}

/* Narrow rows are centred several at a time: the shift is repeated over at least WIDE floats. */
static int32_t pattern_rows(int32_t width) {
  return width >= WIDE ? 1 : (WIDE + width - 1) / width;
}

es_code_t es_cov_workspace_create(es_cov_workspace_t *out, int32_t largest_width, es_status_t *status) {
  const size_t width = (size_t)largest_width, pattern = width + 2 * WIDE;
  size_t panel = (size_t)PANEL_FLOATS;
  if ((size_t)PANEL_ROWS_LEAST * width > panel) panel = (size_t)PANEL_ROWS_LEAST * width;
  *out = (es_cov_workspace_t){.centred = es_allocate(panel, sizeof(float)),
                              .product = es_allocate(width * width, sizeof(float)),
                              .shift = es_allocate(2 * pattern, sizeof(float)),
                              .sums = es_allocate(2 * pattern, sizeof(double)),
                              .width = largest_width};
  if (out->centred && out->product && out->shift && out->sums) return ES_OK;
  es_cov_workspace_destroy(out);
  return es_out_of_memory(status, "covariance", "the scratch of layers of width %d", largest_width);
}

es_code_t es_cov_workspace_create_f64(es_cov_workspace_t *out, int32_t largest_width, es_status_t *status) {
  const size_t width = (size_t)largest_width;
  size_t panel = (size_t)PANEL_FLOATS;
  if ((size_t)PANEL_ROWS_LEAST * width > panel) panel = (size_t)PANEL_ROWS_LEAST * width;
  *out = (es_cov_workspace_t){.centred_f64 = es_allocate(panel, sizeof(double)),
                              .product_f64 = es_allocate(width * width, sizeof(double)),
                              .scratch_f64 = es_allocate(2 * width, sizeof(double)),
                              .sums = es_allocate(3 * width, sizeof(double)),
                              .width = largest_width};
  if (out->centred_f64 && out->product_f64 && out->scratch_f64 && out->sums) return ES_OK;
  es_cov_workspace_destroy(out);
  return es_out_of_memory(status, "covariance", "the scratch of layers of width %d", largest_width);
}

void es_cov_workspace_destroy(es_cov_workspace_t *workspace) {
  es_free(workspace->centred);
  es_free(workspace->product);
  es_free(workspace->shift);
  es_free(workspace->sums);
  es_free(workspace->centred_f64);
  es_free(workspace->product_f64);
  es_free(workspace->scratch_f64);
  *workspace = (es_cov_workspace_t){0};
}

int64_t es_cov_bytes(int32_t width, es_real_t real) {
  const int64_t d = width, moments = 8 * (int64_t)es_cov_moments_size(width);
  if (real == ES_REAL_F32 && es_syrk_takes_blocks(width))
    return moments + 4 * d * ES_PANEL_BLOCK + (int64_t)es_narrow_accumulator_bytes(width);
  return moments + (int64_t)es_real_size(real) * es_cov_panel_rows(width) * d;
}

static es_code_t create(es_cov_t *out, int32_t width, es_real_t real, es_status_t *status) {
  const size_t panel = (size_t)es_cov_panel_rows(width) * (size_t)width;
  *out = (es_cov_t){.width = width, .moments = es_allocate_zero(es_cov_moments_size(width), sizeof(double))};
  const bool blocks = real == ES_REAL_F32 && es_syrk_takes_blocks(width);
  if (real == ES_REAL_F64)
    out->panel_f64 = es_allocate(panel, sizeof(double));
  else
    out->panel = es_allocate(blocks ? (size_t)ES_PANEL_BLOCK * (size_t)width : panel, sizeof(float));
  if (blocks) out->open = es_narrow_accumulator_create(width);
  if (out->moments && (out->panel || out->panel_f64) && (out->open || !blocks)) return ES_OK;
  es_cov_destroy(out);
  return es_out_of_memory(status, "covariance", "the covariance of a layer of width %d", width);
}

es_code_t es_cov_create(es_cov_t *out, int32_t width, es_status_t *status) {
  return create(out, width, ES_REAL_F32, status);
}

es_code_t es_cov_create_f64(es_cov_t *out, int32_t width, es_status_t *status) {
  return create(out, width, ES_REAL_F64, status);
}

void es_cov_destroy(es_cov_t *cov) {
  es_free(cov->moments);
  es_free(cov->panel);
  es_free(cov->panel_f64);
  es_free(cov->open);
  *cov = (es_cov_t){0};
}

void es_cov_reset(es_cov_t *cov) {
  cov->n = 0;
  cov->panel_rows = 0;
  if (cov->open) es_narrow_accumulator_reset(cov->open);
  memset(cov->moments, 0, es_cov_moments_size(cov->width) * sizeof *cov->moments);
}

/* out = rows − shift, sums[j] = Σ out over lines of `length` floats; floats behind the last whole line count into the
 * first columns. */
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

void es_covariance_guess_shift(float *shift, const float *rows, int32_t n, size_t width) {
  const int32_t few = n < 16 ? n : 16;
  for (size_t j = 0; j < width; j++) {
    float sum = 0.0f;
    for (int32_t i = 0; i < few; i++) sum += rows[(size_t)i * width + j];
    shift[j] = sum / (float)few;
  }
}

void es_cov_multiply(es_cov_workspace_t *w, const float *rows, int32_t n, int32_t width) {
  if (es_syrk_is_narrow(width))
    es_syrk_narrow(w->product, rows, n, width);
  else
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, width, n, 1.0f, rows, width, 0.0f, w->product, width);
}

/* w->product = Σ d·dᵀ and w->sums = Σ d over d = row − w->shift (d values). */
static void multiply_centred(es_cov_workspace_t *w, const float *rows, int32_t n, int32_t width) {
  const int32_t repeat = pattern_rows(width);
  const size_t d = (size_t)width, length = d * (size_t)repeat;
  for (size_t j = d; j < length; j++) w->shift[j] = w->shift[j - d];
  if (es_syrk_centres(width)) {
    es_syrk_centred(w->product, w->sums, rows, n, width, w->shift);
    return;
  }
  centre(w->centred, w->sums, rows, (size_t)n * d, length, w->shift, w->shift + w->width + 2 * WIDE);
  for (size_t j = d; j < length; j++) w->sums[j % d] += w->sums[j];
  es_cov_multiply(w, w->centred, n, width);
}

/* The same with the means that remain in w->sums. False if those are so large beside the deviations that float would
 * lose more than a digit: then the caller centres again, by the means found. */
static bool multiply(es_cov_workspace_t *w, const float *rows, int32_t n, int32_t width) {
  const size_t d = (size_t)width;
  multiply_centred(w, rows, n, width);
  bool fine = true;
  for (size_t j = 0; j < d; j++) {
    w->sums[j] /= (double)n;
    fine = fine && w->sums[j] * w->sums[j] * (double)n <= 0.9 * (double)w->product[j * d + j];
  }
  return fine;
}

void es_covariance_merge_product(es_cov_t *cov, const float *product, const float *shift, const double *rest, int64_t n,
                                 double *delta) {
  /* About the panel's own mean the product is n·r rᵀ less, where r = rest. Chan's term for the distance δ of the two
   * means comes on top. */
  const size_t d = (size_t)cov->width;
  double *mean = cov->moments;
  const double share = (double)n / (double)(cov->n + n);
  for (size_t j = 0; j < d; j++) delta[j] = (double)shift[j] + rest[j] - mean[j];
  es_panel_merge_f32(mean + d, product, rest, -(double)n, delta, (double)cov->n * share, d);
  for (size_t j = 0; j < d; j++) mean[j] += share * delta[j];
  cov->n += n;
}

static void merge_panel(es_cov_t *cov, es_cov_workspace_t *w, const float *rows, int32_t n) {
  const size_t d = (size_t)cov->width;
  const double *mean = cov->moments;
  if (cov->n > 0) {
    for (size_t j = 0; j < d; j++) w->shift[j] = (float)mean[j];
  } else {
    es_covariance_guess_shift(w->shift, rows, n, d);
  }
  if (!multiply(w, rows, n, cov->width)) {
    for (size_t j = 0; j < d; j++) w->shift[j] = (float)((double)w->shift[j] + w->sums[j]);
    multiply(w, rows, n, cov->width);
  }
  es_covariance_merge_product(cov, w->product, w->shift, w->sums, n, w->sums + w->width + 2 * WIDE);
}

static void merge_panel_f64(es_cov_t *cov, es_cov_workspace_t *w, const double *rows, int32_t n) {
  const size_t d = (size_t)cov->width;
  double *mean = cov->moments, *shift = w->sums, *rest = shift + w->width, *delta = rest + w->width;
  es_panel_centre_f64(w->centred_f64, rows, (size_t)n, d, shift, rest, w->scratch_f64);
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, cov->width, n, 1.0, w->centred_f64, cov->width, 0.0,
              w->product_f64, cov->width);
  const double share = (double)n / (double)(cov->n + n);
  for (size_t j = 0; j < d; j++) delta[j] = shift[j] - mean[j] + rest[j];
  es_panel_merge_f64(cov->moments + d, w->product_f64, rest, -(double)n, delta, (double)cov->n * share, d);
  for (size_t j = 0; j < d; j++) mean[j] += share * delta[j];
  cov->n += n;
}

static void merge_rows(es_cov_t *cov, es_cov_workspace_t *w, const void *rows, int32_t n) {
  if (cov->panel_f64)
    merge_panel_f64(cov, w, rows, n);
  else if (cov->open)
    es_narrow_accumulator_take(cov, w, rows, n);
  else
    merge_panel(cov, w, rows, n);
}

static void merge_waiting(es_cov_t *cov, es_cov_workspace_t *w) {
  if (cov->panel_rows == 0) return;
  merge_rows(cov, w, cov->panel_f64 ? (const void *)cov->panel_f64 : cov->panel, cov->panel_rows);
  cov->panel_rows = 0;
}

static void add(es_cov_t *cov, es_cov_workspace_t *workspace, const char *rows, int64_t n, char *panel, size_t line) {
  const int32_t full = cov->open ? ES_PANEL_BLOCK : es_cov_panel_rows(cov->width);
  assert(cov->width <= workspace->width);
  while (n > 0) {
    if (cov->panel_rows == 0 && n >= full) { /* no need to wait: straight from where the layer put them */
      merge_rows(cov, workspace, rows, full);
      rows += (size_t)full * line;
      n -= full;
      continue;
    }
    const int32_t space = full - cov->panel_rows, take = n < space ? (int32_t)n : space;
    memcpy(panel + (size_t)cov->panel_rows * line, rows, (size_t)take * line);
    cov->panel_rows += take;
    rows += (size_t)take * line;
    n -= take;
    if (cov->panel_rows == full) merge_waiting(cov, workspace);
  }
}

void es_cov_add(es_cov_t *cov, es_cov_workspace_t *workspace, const float *rows, int64_t n) {
  assert(cov->panel && workspace->centred);
  add(cov, workspace, (const char *)rows, n, (char *)cov->panel, (size_t)cov->width * sizeof *rows);
}

void es_cov_add_f64(es_cov_t *cov, es_cov_workspace_t *workspace, const double *rows, int64_t n) {
  assert(cov->panel_f64 && workspace->centred_f64);
  add(cov, workspace, (const char *)rows, n, (char *)cov->panel_f64, (size_t)cov->width * sizeof *rows);
}

void es_cov_flush(es_cov_t *cov, es_cov_workspace_t *workspace) {
  merge_waiting(cov, workspace);
  if (cov->open) es_narrow_accumulator_close(cov, workspace);
}

/* mean, n and triangle of `from` are given apart, so that a received message can be merged where it lies. */
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
  /* δ takes the place of the means while the triangles are merged. */
  for (size_t j = 0; j < d; j++) mean[j] = moments[j] - mean[j];
  merge_triangle(triangle, moments + d, mean, weight, d);
  for (size_t j = 0; j < d; j++) mean[j] = moments[j] - (1.0 - share) * mean[j];
  into->n += n;
}

void es_cov_merge(es_cov_t *into, const es_cov_t *from) {
  assert(into->width == from->width && into->panel_rows == 0 && from->panel_rows == 0);
  merge(into, from->n, from->moments);
}

void es_cov_reduce(es_cov_t *out, const es_cov_t *lanes, const es_group_t *group, double *buffer) {
  const size_t size = es_cov_moments_size(out->width);
  es_cov_reset(out);
  for (int lane = 0; lane < group->lanes; lane++) {
    const int local = lane - group->lane_first;
    const bool mine = local >= 0 && local < group->lane_count;
    if (group->size == 1) {
      es_cov_merge(out, &lanes[local]);
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
  }
}

void es_cov_finish(const es_cov_t *cov, double *out) {
  const size_t size = es_triangle_size(cov->width);
  const double *triangle = cov->moments + cov->width;
  for (size_t i = 0; cov->n > 0 && i < size; i++) out[i] = triangle[i] / (double)cov->n;
}
