#include "sketch.h"
#include "eigenscope/cblas.h"
#include "eigenscope/kernel.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "softmax.h"
#include <math.h>
#include <string.h>

/* In directions outside the sketch, the eigenvalue of A is taken as TAIL times the sketch's smallest eigenvalue. */
static const double TAIL = 1.0;

/* Doubles of LAPACK's scratch for orders up to n: at least 3n − 1; blocked code needs more. */
static size_t work_size(size_t n) {
  return 66 * n;
}

static size_t larger(int32_t k, int32_t r) {
  return (size_t)(k > r ? k : r);
}

int64_t es_sketch_bytes(int32_t d, int32_t k, bool leads) {
  const int64_t r = es_rows_directions(d), size = (int64_t)es_curvature_size(d, k);
  return es_curvature_bytes(d, k, leads) + (leads ? 8 * (2 * r * d + r * r + r + (int64_t)k * k + k + (int64_t)k * d +
                                                         2 * k * r + size + (int64_t)work_size(larger(k, (int32_t)r)))
                                                  : 0);
}

es_code_t es_sketch_create(sketch_t *out, const rows_t *rows, es_status_t *status) {
  const size_t d = (size_t)rows->d, r = (size_t)es_rows_directions(rows->d), k = (size_t)rows->k;
  *out = (sketch_t){.d = rows->d, .k = rows->k, .rank = es_rows_directions(rows->d)};
  ES_TRY(es_curvature_create(&out->reduced, rows, status));
  if (rows->group->rank != 0) return ES_OK;
  es_owned_t *owned = &out->owned;
  out->basis = es_owned_allocate(owned, d * r, sizeof(double));
  out->factor = es_owned_allocate(owned, d * r, sizeof(double));
  out->inner = es_owned_allocate(owned, r * r, sizeof(double));
  out->values = es_owned_allocate(owned, r, sizeof(double));
  out->coupling = es_owned_allocate(owned, k * k, sizeof(double));
  out->share = es_owned_allocate(owned, k, sizeof(double));
  out->turned = es_owned_allocate(owned, k * d, sizeof(double));
  out->small = es_owned_allocate(owned, 2 * k * r, sizeof(double));
  out->side = es_owned_allocate(owned, (size_t)out->reduced.size, sizeof(double));
  out->work = es_owned_allocate(owned, work_size(larger(rows->k, out->rank)), sizeof(double));
  if (!owned->failed) return ES_OK;
  es_sketch_destroy(out);
  return es_out_of_memory(status, "probe", "the metric of a probe of %d features", rows->d);
}

void es_sketch_destroy(sketch_t *sketch) {
  es_owned_free(&sketch->owned);
  es_curvature_destroy(&sketch->reduced);
  *sketch = (sketch_t){0};
}

/* The test matrix, (rank, d): the identity if the rank is d, else random signs over √d. */
static void test_matrix(const sketch_t *s, float *out) {
  const float scale = s->rank == s->d ? 1.0f : 1.0f / sqrtf((float)s->d);
  for (int32_t j = 0; j < s->d; j++) {
    const uint32_t counter[4] = {(uint32_t)j, 0, 0, 0}, key[2] = {0x70726f62u, 0x65u}; /* the same in every fit */
    uint32_t signs[4];
    es_philox(counter, key, signs);
    for (int32_t c = 0; c < s->rank; c++) {
      const float sign = (signs[c / 32] >> (c % 32) & 1u) ? 1.0f : -1.0f, unit = j == c ? 1.0f : 0.0f;
      out[(int64_t)c * s->d + j] = scale * (s->rank == s->d ? unit : sign);
    }
  }
}
_Static_assert(ES_ROWS_SKETCH <= 128, "four words of signs for each feature");

/* Computes the probabilities of a slice at the current logits into rows->block. */
static void slice_probabilities(rows_t *rows, int64_t i, int64_t n) {
  memcpy(rows->block, rows->logits + i * rows->k, (size_t)(n * rows->k) * sizeof(double));
  es_softmax_rows(rows->block, rows->label + i, n, rows->k);
}

/* For a slice: sum (k × k) += PᵀP; the next k numbers += Σ p; the last number += Σ w‖x‖². */
static void slice_coupling(rows_t *rows, double *sum, int64_t i, int64_t n) {
  const int32_t k = rows->k;
  double weight[ES_ROWS_SLICE], *total = sum + (size_t)k * (size_t)k;
  slice_probabilities(rows, i, n);
  es_rows_weigh(weight, rows->block, n, k);
  cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, k, (int)n, 1.0, rows->block, k, rows->block, k, 1.0, sum, k);
  for (int64_t r = 0; r < n; r++) {
    for (int32_t c = 0; c < k; c++) total[c] += rows->block[r * k + c];
    total[k] += weight[r] * rows->square[i + r];
  }
}

/* For sampled rows: sum (count × d) += Σ w (xᵀ test) x. */
static int64_t slice_sketch(rows_t *rows, double *sum, int lane, int64_t i, int32_t count) {
  double weight[ES_ROWS_SLICE];
  slice_t s;
  const int64_t n = es_rows_sample(rows, lane, i, count, &s);
  es_rows_weigh(weight, rows->block, n, rows->k);
  for (int64_t r = 0; r < n; r++) {
    for (int64_t c = 0; c < count; c++) rows->block32[r * count + c] *= (float)weight[r];
  }
  es_rows_add(rows, sum, &s, count);
  return n;
}

/* Sums `size` doubles over the rows into rows->lanes: the coupling (count = 0), or `count` columns of the sketch, over
 * chosen rows. */
static void sum_slices(rows_t *rows, int64_t size, int32_t count) {
  const int lanes = rows->group->lane_count;
  memset(rows->lanes, 0, (size_t)((lanes ? lanes : 1) * size) * sizeof(double));
  if (count) es_rows_load_factor(rows, count);
  for (int lane = 0; lane < lanes; lane++) {
    const int64_t first = rows->start[lane], end = rows->start[lane + 1];
    for (int64_t i = first; i < rows->chosen_end[lane] && count;)
      i += slice_sketch(rows, rows->lanes + lane * size, lane, i, count);
    for (int64_t i = first, n; i < end && !count; i += n) {
      n = es_rows_count(rows, end - i);
      slice_coupling(rows, rows->lanes + lane * size, i, n);
    }
  }
  es_tree_sum_f64(rows->group, rows->lanes, (size_t)size);
}

/* factor += shift·test, except for features without variance, which stay 0; inner = testᵀ·factor, lower half. */
static void fold(sketch_t *s, const float *test, double shift) {
  const int32_t d = s->d, r = s->rank;
  memset(s->inner, 0, (size_t)r * (size_t)r * sizeof(double));
  for (int64_t j = 0; j < d; j++) {
    double *row = s->factor + j * r;
    if (cblas_dasum(r, row, 1) == 0.0) {
      if (r == d) s->inner[j * r + j] = shift; /* the test matrix is the identity */
      continue;
    }
    for (int32_t c = 0; c < r; c++) row[c] += shift * (double)test[(int64_t)c * d + j];
    for (int32_t c = 0; c < r; c++)
      cblas_daxpy(r, (double)test[(int64_t)c * d + j], row, 1, s->inner + (size_t)c * (size_t)r, 1);
  }
  for (int32_t i = 0; i < r; i++) {
    for (int32_t j = 0; j < i; j++) s->inner[i * r + j] = 0.5 * (s->inner[i * r + j] + s->inner[j * r + i]);
  }
}

/* Replaces the symmetric a (n × n) by its eigenvectors, as rows. Negative eigenvalues are set to 0. */
static bool eigen(double *a, double *values, int32_t n, double *work) {
  const int lwork = (int)work_size((size_t)n);
  int info = ES_INFO_UNTOUCHED;
  dsyev_("V", "L", &n, a, &n, values, work, &lwork, &info, 1, 1);
  for (int32_t i = 0; i < n; i++) values[i] = fmax(values[i], 0.0);
  return info == 0;
}

/* factor ← Y·L⁻ᵀ; inner ← eigenvectors of factorᵀ·factor. Returns false if rounding made the matrix indefinite. */
static bool factorise(sketch_t *s, const float *test) {
  const int32_t d = s->d, r = s->rank;
  const double norm = cblas_dnrm2((int)((size_t)d * (size_t)r), s->factor, 1);
  if (!(norm > 0.0)) return false; /* no curvature */
  fold(s, test, 1e-6 * norm);
  int info = ES_INFO_UNTOUCHED;
  dpotrf_("U", &r, s->inner, &r, &info, 1); /* the row-major lower triangle is the column-major upper one */
  if (info != 0) return false;
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, d, r, 1.0, s->inner, r, s->factor, r);
  cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, r, r, d, 1.0, s->factor, r, s->factor, r, 0.0, s->inner, r);
  if (!eigen(s->inner, s->values, r, s->work)) return false;
  s->tail = d > r ? TAIL * s->values[0] : 0.0;
  return true;
}

/* Computes C from the sums of slice_coupling. */
static bool couple(sketch_t *s, const double *sums) {
  const int32_t k = s->k;
  const double *total = sums + (size_t)k * (size_t)k;
  s->weight = 0.0;
  for (int32_t c = 0; c < k; c++) s->weight += total[c] - sums[(size_t)c * (size_t)k + (size_t)c];
  s->weight = fmax(s->weight, 1e-300);
  s->trace = total[k];
  for (int32_t a = 0; a < k; a++) {
    for (int32_t b = 0; b < k; b++) {
      const size_t at = (size_t)a * (size_t)k + (size_t)b;
      s->coupling[at] = ((a == b ? total[a] : 0.0) - sums[at]) / s->weight;
    }
  }
  return eigen(s->coupling, s->share, k, s->work);
}

/* Makes the rows of the basis orthonormal and writes them to `test`. */
static bool orthonormalise(sketch_t *s, float *test) {
  const int32_t d = s->d, r = s->rank;
  const int lwork = (int)work_size((size_t)r);
  int info = ES_INFO_UNTOUCHED, formed = ES_INFO_UNTOUCHED;
  dgeqrf_(&d, &r, s->basis, &d, s->values, s->work, &lwork, &info);
  dorgqr_(&d, &r, &r, s->basis, &d, s->values, s->work, &lwork, &formed);
  for (int64_t i = 0; i < (int64_t)r * d; i++) test[i] = (float)s->basis[i];
  return info == 0 && formed == 0;
}

/* Computes the test matrix on all ranks: an orthonormal basis of leading directions, from the last sketch or from
 * random signs. Collective. */
static void begin(sketch_t *s, rows_t *rows) {
  const size_t size = (size_t)s->d * (size_t)s->rank;
  bool based = s->based;
  if (!based) test_matrix(s, rows->coefficients);
  if (s->rank == s->d) return;
  if (!based) {
    sum_slices(rows, (int64_t)size, s->rank);
    rows->passes++;
    if (s->basis) memcpy(s->basis, rows->lanes, size * sizeof(double));
  }
  based = s->basis && orthonormalise(s, rows->coefficients);
  es_group_broadcast(rows->group, &based, sizeof based, 0);
  if (!based) test_matrix(s, rows->coefficients);
  es_group_broadcast(rows->group, rows->coefficients, size * sizeof(float), 0);
}

/* basis = eigenvectors of A ≈ factor·factorᵀ; 0 for eigenvalues that are almost 0. */
static void find_basis(sketch_t *s) {
  const int32_t d = s->d, r = s->rank;
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, r, d, r, 1.0, s->inner, r, s->factor, r, 0.0, s->basis, d);
  for (int32_t i = 0; i < r; i++) {
    const double value = s->values[i] > 1e-12 * s->values[r - 1] ? 1.0 / sqrt(s->values[i]) : 0.0;
    cblas_dscal(d, value, s->basis + (size_t)i * (size_t)d, 1);
  }
}

/* The metric needs no more than SAMPLED rows: 76 steps with a quarter of 50,000 rows, 75 with all. While all samples
 * have equal logits, and so equal weights, few of them say as much as all. */
enum { SAMPLED = 16384, UNIFORM = 4096 };
/* Near the optimum few samples have weights: of a layer of 2048 features, 45 % of the rows have 99 % of the weight.
 * Rows with less than this share of the mean are left out, which saves a fifth of the metric and no step. */
static const double NEGLIGIBLE = 0.1;

/* Chooses the rows of the metric; returns their share of all, not counting those left out. Collective. */
static double choose(rows_t *rows, bool differ) {
  const int64_t most = differ ? SAMPLED : UNIFORM, stride = (rows->n + most - 1) / most;
  es_rows_choose(rows, stride, differ ? NEGLIGIBLE : 0.0);
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    const int64_t chosen = (rows->start[lane + 1] - rows->start[lane] + stride - 1) / stride;
    rows->lanes[lane] = (double)chosen;
  }
  if (rows->group->lane_count == 0) rows->lanes[0] = 0.0;
  es_tree_sum_f64(rows->group, rows->lanes, 1);
  return rows->lanes[0] / (double)rows->n;
}

/* Finds the leading directions of A, and its eigenvalues there. Collective. */
static void find_directions(sketch_t *s, rows_t *rows, double share) {
  const int32_t d = s->d, r = s->rank;
  begin(s, rows);
  sum_slices(rows, (int64_t)d * r, r);
  rows->passes++;
  for (int64_t j = 0; s->factor && j < d; j++) {
    for (int32_t c = 0; c < r; c++) s->factor[j * r + c] = rows->lanes[(int64_t)c * d + j] / share;
  }
  s->ready = s->ready && factorise(s, rows->coefficients);
  es_group_broadcast(rows->group, &s->ready, sizeof s->ready, 0);
  s->based = s->ready && r < d;
  if (s->ready && s->basis) find_basis(s);
}

void es_sketch_update(sketch_t *s, rows_t *rows, bool differ) {
  const int32_t d = s->d, r = s->rank, k = s->k, columns = s->reduced.columns;
  const double share = choose(rows, differ), weight = s->weight;
  s->scale = rows->scale;
  s->l2 = rows->l2 * rows->scale * rows->scale;
  sum_slices(rows, (int64_t)k * k + k + 1, 0);
  s->ready = s->factor && couple(s, rows->lanes);
  if (s->settled) {
    for (int32_t i = 0; s->factor && i < r; i++) s->values[i] *= s->weight / weight;
    s->tail *= s->weight / weight;
    es_group_broadcast(rows->group, &s->ready, sizeof s->ready, 0);
  } else {
    find_directions(s, rows, share);
  }
  s->settled = differ && s->ready && s->based;
  s->exact = false;
  if (!s->ready || !differ || columns == 0) return;
  const size_t first = (size_t)(r - columns) * (size_t)d, size = (size_t)columns * (size_t)d;
  for (size_t i = 0; s->basis && i < size; i++) rows->coefficients[i] = (float)s->basis[first + i];
  es_group_broadcast(rows->group, rows->coefficients, size * sizeof(float), 0);
  s->exact = es_curvature_update(&s->reduced, rows, s->l2, share);
}

/* In the basis of C's eigenvectors, and with A = U·diag(values)·Uᵀ + tail·I, component c is
 * (share·A + l2·I)⁻¹ v = v/μ + U·diag(1/(μ + share·values) − 1/μ)·Uᵀ·v with μ = l2 + share·tail. The reduced Hessian
 * replaces this in its directions, together with the intercepts. */
static void solve_weights(const sketch_t *s, double *v) {
  const int32_t d = s->d, r = s->rank, k = s->k, columns = s->exact ? s->reduced.columns : 0;
  const double square = s->scale * s->scale;
  double *seen = s->small + (size_t)k * (size_t)r, *bias = v + (size_t)k * (size_t)d;
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, k, r, d, 1.0, v, d, s->basis, d, 0.0, s->small, r);
  for (int32_t c = 0; columns && c < k; c++) {
    double *side = s->side + (size_t)c * ((size_t)columns + 1);
    for (int32_t j = 0; j < columns; j++) side[j] = s->scale * s->small[c * r + r - columns + j];
    side[columns] = bias[c];
  }
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, k, r, k, 1.0, s->coupling, k, s->small, r, 0.0, seen, r);
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, k, d, k, 1.0, s->coupling, k, v, d, 0.0, s->turned, d);
  for (int32_t c = 0; c < k; c++) {
    const double mu = s->l2 + s->share[c] * s->tail;
    for (int32_t i = 0; i < r; i++)
      seen[c * r + i] *= square * ((i < r - columns ? 1.0 / (mu + s->share[c] * s->values[i]) : 0.0) - 1.0 / mu);
    cblas_dscal(d, square / mu, s->turned + (size_t)c * (size_t)d, 1);
  }
  cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, d, k, 1.0, s->coupling, k, s->turned, d, 0.0, v, d);
  cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, r, k, 1.0, s->coupling, k, seen, r, 0.0, s->small, r);
  if (columns) es_curvature_solve(&s->reduced, s->side);
  for (int32_t c = 0; columns && c < k; c++) {
    const double *side = s->side + (size_t)c * ((size_t)columns + 1);
    for (int32_t j = 0; j < columns; j++) s->small[c * r + r - columns + j] += s->scale * side[j];
    bias[c] = side[columns];
  }
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, k, d, r, 1.0, s->small, r, s->basis, d, 1.0, v, d);
}

/* Like solve_weights, with the curvature share·Σw; a floor on the share covers classes that are almost surely
 * separated. */
static void solve_intercepts(const sketch_t *s, double *bias) {
  const int32_t k = s->k;
  double *turned = s->small;
  cblas_dgemv(CblasRowMajor, CblasNoTrans, k, k, 1.0, s->coupling, k, bias, 1, 0.0, turned, 1);
  for (int32_t c = 0; c < k; c++) turned[c] /= s->weight * fmax(s->share[c], 1e-3 / k);
  cblas_dgemv(CblasRowMajor, CblasTrans, k, k, 1.0, s->coupling, k, turned, 1, 0.0, bias, 1);
}

void es_sketch_solve(const sketch_t *s, double *v) {
  const int32_t d = s->d, k = s->k;
  double *bias = v + (size_t)k * (size_t)d;
  if (s->ready) {
    solve_weights(s, v);
    if (!s->exact) solve_intercepts(s, bias);
  } else {
    cblas_dscal(k * d, s->scale * s->scale / (s->l2 + s->trace / k / d), v, 1);
    cblas_dscal(k, k / s->weight, bias, 1);
  }
}
