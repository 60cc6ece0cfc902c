#include "curvature.h"
#include "eigenscope/cblas.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "softmax.h"
#include <math.h>
#include <string.h>

/* F does not change if all intercepts move alike, so the Hessian is singular there: the intercepts get the share SHIFT
 * of the mean curvature of a class. The diagonal grows by the share ROUNDING, which rounding leaves uncertain. */
static const double SHIFT = 1e-3, ROUNDING = 1e-6;

int64_t es_curvature_bytes(int32_t d, int32_t k, bool leads) {
  const int64_t size = (int64_t)es_curvature_size(d, k);
  return 8 * ES_CURVATURE_PANEL * size + (leads ? 12 : 4) * size * size;
}

es_code_t es_curvature_create(curvature_t *out, const rows_t *rows, es_status_t *status) {
  const size_t size = es_curvature_size(rows->d, rows->k);
  es_owned_t owned = {0};
  *out = (curvature_t){.k = rows->k,
                       .columns = es_curvature_columns(rows->d, rows->k),
                       .size = (int32_t)size,
                       .panel = es_owned_allocate(&owned, ES_CURVATURE_PANEL * size, sizeof(float)),
                       .roots = es_owned_allocate(&owned, ES_CURVATURE_PANEL * size, sizeof(float)),
                       .sum = es_owned_allocate(&owned, size * size, sizeof(float)),
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

static void sum_lane(curvature_t *h, rows_t *rows, int lane) {
  const int64_t end = rows->start[lane + 1];
  int64_t held = 0; /* rows of the panel */
  memset(h->sum, 0, (size_t)h->size * (size_t)h->size * sizeof *h->sum);
  for (int64_t i = rows->start[lane], n; i < end; i += n * rows->stride) {
    n = es_rows_sample_count(rows, end - i);
    if (held + n > ES_CURVATURE_PANEL) {
      multiply(h, held);
      held = 0;
    }
    const float *x = es_rows_sample(rows, i, n);
    rows->products->forward(rows->block32, x, n, rows->d, rows->coefficients, h->columns);
    fill(h, held, rows->block, rows->block32, n);
    held += n;
  }
  multiply(h, held);
}

static bool is_intercept(const curvature_t *h, size_t i) {
  return i % ((size_t)h->columns + 1) == (size_t)h->columns;
}

bool es_curvature_update(curvature_t *h, rows_t *rows, double l2, double share) {
  const int lanes = rows->group->lane_count;
  const size_t size = (size_t)h->size, half = es_curvature_half(rows->d, rows->k);
  double *out = rows->lanes;
  if (lanes == 0) memset(out, 0, half * sizeof *out);
  for (int lane = 0; lane < lanes; lane++) {
    sum_lane(h, rows, lane);
    for (size_t i = 0; i < size; i++) {
      for (size_t j = 0; j <= i; j++) *out++ = -(double)h->sum[i * size + j];
    }
  }
  es_tree_sum_f64(rows->group, rows->lanes, half);
  rows->passes++;
  if (rows->group->rank != 0) return true;
  double shift = 0.0;
  const double *in = rows->lanes;
  for (size_t i = 0; i < size; in += ++i)
    for (size_t j = 0; j <= i; j++) h->factor[i * size + j] = in[j] / share;
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
