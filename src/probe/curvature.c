#include "curvature.h"
#include "eigenscope/cblas.h"
#include "eigenscope/kernel.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "softmax.h"
#include <math.h>
#include <string.h>

/* F does not change if all intercepts move alike, so the Hessian is singular there: the intercepts get the share SHIFT
 * of the mean curvature of a class. The diagonal grows by the share ROUNDING, which rounding leaves uncertain. */
static const double SHIFT = 1e-3, ROUNDING = 1e-6;
/* The weights that are left out are at most this share of all. */
static const double NEGLIGIBLE = 0.1;

/* Numbers of a row of the panel, of `shares`, and of `sum`. */
static size_t row_of(int32_t d, int32_t k) {
  const size_t size = es_curvature_size(d, k);
  return es_curvature_paired(k) ? size / (size_t)k : size;
}
static size_t shares_of(int32_t k) {
  return es_curvature_paired(k) ? (size_t)k * ES_CURVATURE_PANEL : 0;
}

int64_t es_curvature_bytes(int32_t d, int32_t k, bool leads) {
  const size_t size = es_curvature_size(d, k), row = row_of(d, k);
  return (int64_t)(8 * ES_CURVATURE_PANEL * row + 4 * shares_of(k) + 4 * row * row + (leads ? 8 * size * size : 0));
}

es_code_t es_curvature_create(curvature_t *out, const rows_t *rows, es_status_t *status) {
  const size_t size = es_curvature_size(rows->d, rows->k), row = row_of(rows->d, rows->k);
  es_owned_t owned = {0};
  *out = (curvature_t){.k = rows->k,
                       .columns = es_curvature_columns(rows->d, rows->k),
                       .size = (int32_t)size,
                       .paired = es_curvature_paired(rows->k),
                       .panel = es_owned_allocate(&owned, ES_CURVATURE_PANEL * row, sizeof(float)),
                       .roots = es_owned_allocate(&owned, ES_CURVATURE_PANEL * row, sizeof(float)),
                       .shares = es_owned_allocate(&owned, shares_of(rows->k), sizeof(float)),
                       .sum = es_owned_allocate(&owned, row * row, sizeof(float)),
                       .factor = es_owned_allocate(&owned, rows->group->rank == 0 ? size * size : 0, sizeof(double))};
  out->owned = owned;
  if (!owned.failed) return ES_OK;
  es_curvature_destroy(out);
  return es_out_of_memory(status, "probe", "a Hessian of order %zu", size);
}

void es_curvature_destroy(curvature_t *reduced) {
  es_owned_free(&reduced->owned);
  *reduced = (curvature_t){0};
}

/* Fills panel and roots from row `at` on, with the probabilities p and coordinates q of n samples. */
static void fill(curvature_t *h, int64_t at, const double *p, const float *q, int64_t n) {
  const int64_t k = h->k, columns = h->columns;
  float *panel = h->panel + at * h->size, *roots = h->roots + at * h->size;
  for (int64_t i = 0; i < n; i++, p += k, q += columns) {
    for (int64_t c = 0; c < k; c++, panel += columns + 1, roots += columns + 1) {
      const float share = (float)p[c], root = (float)sqrt(p[c]);
      for (int64_t j = 0; j < columns; j++) {
        panel[j] = share * q[j];
        roots[j] = root * q[j];
      }
      panel[columns] = share;
      roots[columns] = root;
    }
  }
}

/* sum += Σ p·pᵀ ⊗ q·qᵀ − diag(p) ⊗ q·qᵀ over n samples of the panel. */
static void multiply(curvature_t *h, int64_t n) {
  const int32_t block = h->columns + 1, size = h->size;
  if (n == 0) return;
  cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, size, (int)n, 1.0f, h->panel, size, 1.0f, h->sum, size);
  for (int32_t c = 0; c < h->k; c++) {
    const int64_t at = (int64_t)c * block;
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, block, (int)n, -1.0f, h->roots + at, size, 1.0f,
                h->sum + at * size + at, size);
  }
}

/* ---- pairs of classes ---- */

/* Copies the probabilities p and coordinates q of n samples to row `at` of the panel and on. */
static void fill_paired(curvature_t *h, int64_t at, const double *p, const float *q, int64_t n) {
  const int64_t k = h->k, columns = h->columns;
  float *panel = h->panel + at * (columns + 1);
  for (int64_t i = 0; i < n; i++, p += k, q += columns, panel += columns + 1) {
    for (int64_t c = 0; c < k; c++) h->shares[c * ES_CURVATURE_PANEL + at + i] = (float)p[c];
    memcpy(panel, q, (size_t)columns * sizeof *panel);
    panel[columns] = 1.0f;
  }
}

ES_KERNEL
static void scale(float *restrict out, const float *restrict in, float factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = factor * in[i];
}

/* The weight of a pair below which a sample does not count for it, for n samples of the panel. */
static float least_weight(const curvature_t *h, int64_t n) {
  const int64_t k = h->k;
  double all = 0.0;
  for (int64_t c = 0; c < k; c++) {
    const float *p = h->shares + c * ES_CURVATURE_PANEL;
    for (int64_t i = 0; i < n; i++) all += (double)p[i] * (1.0 - (double)p[i]);
  }
  return (float)(NEGLIGIBLE * all / (double)(n * k * (k - 1)));
}

/* out = lower halves of all G_ab, += those of n samples of the panel. */
static void multiply_paired(curvature_t *h, double *out, int64_t n) {
  const int32_t block = h->columns + 1;
  if (n == 0) return;
  const float least = least_weight(h, n);
  for (int32_t b = 1; b < h->k; b++) {
    for (int32_t a = 0; a < b; a++, out += (int64_t)block * (block + 1) / 2) {
      const float *p = h->shares + a * ES_CURVATURE_PANEL, *q = h->shares + b * ES_CURVATURE_PANEL;
      int64_t taken = 0;
      for (int64_t i = 0; i < n; i++) {
        if (p[i] * q[i] > least) scale(h->roots + block * taken++, h->panel + block * i, sqrtf(p[i] * q[i]), block);
      }
      if (taken == 0) continue;
      cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, block, (int)taken, 1.0f, h->roots, block, 0.0f, h->sum, block);
      double *to = out;
      for (int64_t i = 0; i < block; i++) {
        for (int64_t j = 0; j <= i; j++) *to++ += (double)h->sum[i * block + j];
      }
    }
  }
}

/* ---- the Hessian ---- */

static void add_panel(curvature_t *h, double *out, int64_t n) {
  if (h->paired)
    multiply_paired(h, out, n);
  else
    multiply(h, n);
}

/* Sums a lane into `out`. */
static void sum_lane(curvature_t *h, rows_t *rows, int lane, double *out) {
  int64_t held = 0; /* rows of the panel */
  memset(out, 0, es_curvature_sums(rows->d, rows->k) * sizeof *out);
  if (!h->paired) memset(h->sum, 0, (size_t)h->size * (size_t)h->size * sizeof *h->sum);
  for (int64_t i = rows->start[lane], n; i < rows->chosen_end[lane]; i += n) {
    slice_t s;
    if (held + ES_ROWS_SLICE > ES_CURVATURE_PANEL) {
      add_panel(h, out, held);
      held = 0;
    }
    n = es_rows_sample(rows, lane, i, h->columns, &s);
    if (h->paired)
      fill_paired(h, held, rows->block, rows->block32, n);
    else
      fill(h, held, rows->block, rows->block32, n);
    held += n;
  }
  add_panel(h, out, held);
  for (int64_t i = 0; !h->paired && i < h->size; i++) {
    for (int64_t j = 0; j <= i; j++) *out++ = -(double)h->sum[i * h->size + j];
  }
}

/* Fills the lower half of h->factor with the Hessian. */
static void assemble(curvature_t *h, const double *in, double share) {
  const size_t size = (size_t)h->size, block = (size_t)h->columns + 1;
  double *out = h->factor;
  if (!h->paired) {
    for (size_t i = 0; i < size; i++) {
      for (size_t j = 0; j <= i; j++) out[i * size + j] = *in++ / share;
    }
    return;
  }
  memset(out, 0, size * size * sizeof *out);
  for (size_t b = 1; b < (size_t)h->k; b++) {
    for (size_t a = 0; a < b; a++) {
      double *first = out + a * block * (size + 1), *second = out + b * block * (size + 1),
             *both = out + b * block * size + a * block;
      for (size_t i = 0; i < block; i++) {
        for (size_t j = 0; j <= i; j++) {
          const double g = *in++ / share;
          first[i * size + j] += g;
          second[i * size + j] += g;
          both[i * size + j] = -g;
          both[j * size + i] = -g;
        }
      }
    }
  }
}

static bool is_intercept(const curvature_t *h, size_t i) {
  return i % ((size_t)h->columns + 1) == (size_t)h->columns;
}

bool es_curvature_update(curvature_t *h, rows_t *rows, double l2, double share) {
  const int lanes = rows->group->lane_count;
  const size_t size = (size_t)h->size, sums = es_curvature_sums(rows->d, rows->k);
  if (lanes == 0) memset(rows->lanes, 0, sums * sizeof(double));
  es_rows_load_factor(rows, h->columns);
  for (int lane = 0; lane < lanes; lane++) sum_lane(h, rows, lane, rows->lanes + (size_t)lane * sums);
  es_tree_sum_f64(rows->group, rows->lanes, sums);
  rows->passes++;
  if (rows->group->rank != 0) return true;
  double shift = 0.0;
  assemble(h, rows->lanes, share);
  for (size_t i = 0; i < size; i++) {
    if (is_intercept(h, i)) shift += SHIFT / h->k * h->factor[i * size + i];
  }
  for (size_t i = 0; i < size; i++)
    h->factor[i * size + i] += ROUNDING * h->factor[i * size + i] + (is_intercept(h, i) ? shift : l2);
  int info = ES_INFO_UNTOUCHED;
  /* LAPACK reads columns: our lower triangle is its upper one. */
  dpotrf_("U", &h->size, h->factor, &h->size, &info, 1);
  return info == 0;
}

void es_curvature_solve(const curvature_t *h, double *v) {
  cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, h->size, h->factor, h->size, v, 1);
  cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, h->size, h->factor, h->size, v, 1);
}
