#include "rows.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "products.h"
#include "softmax.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

static size_t at_least(size_t a, size_t b) {
  return a > b ? a : b;
}

/* Number of columns of the buffers, including padding. */
static size_t columns_of(int32_t k) {
  return at_least((size_t)es_product_columns(k), ES_ROWS_SKETCH);
}

static int64_t lane_rows(const es_probe_problem_t *problem, const es_group_t *group, int lane) {
  int64_t first, count;
  if (problem->lane_rows) return problem->lane_rows[lane];
  es_lane_range(problem->n, group->lanes, group->lane_first + lane, &first, &count);
  return count;
}

int64_t es_rows_local(const es_probe_problem_t *problem, const es_group_t *group) {
  int64_t n = 0;
  for (int lane = 0; lane < group->lane_count; lane++) n += lane_rows(problem, group, lane);
  return n;
}

size_t es_rows_sum_size(int32_t d, int32_t k) {
  const size_t gradient = ((size_t)d + 1) * (size_t)k + 1, sketch = (size_t)d * ES_ROWS_SKETCH,
               coupling = ((size_t)k + 1) * (size_t)k + 1;
  return at_least(at_least(gradient, sketch), coupling);
}

int64_t es_rows_bytes(int32_t d, int32_t k, int64_t n_local, int lanes) {
  const int64_t columns = (int64_t)columns_of(k), wide = d;
  return n_local * (16 * (int64_t)k + 12) + 8 * lanes * (int64_t)es_rows_sum_size(d, k) +
         ES_ROWS_SLICE * (8 * (int64_t)k + 4 * columns + 12 * wide) + 8 * wide * columns +
         8 * wide * (es_product_columns(k) + 2);
}

es_code_t es_rows_create(rows_t *out, const es_probe_problem_t *problem, int32_t k, const es_group_t *group,
                         es_status_t *status) {
  const int64_t n_local = es_rows_local(problem, group);
  const size_t n = (size_t)n_local, d = (size_t)problem->width, classes = (size_t)k, columns = columns_of(k),
               lanes = at_least((size_t)group->lane_count, 1);
  es_owned_t owned = {0};
  *out = (rows_t){.group = group,
                  .n = problem->n,
                  .n_local = n_local,
                  .start = es_owned_allocate(&owned, (size_t)group->lane_count + 1, sizeof(int64_t)),
                  .d = problem->width,
                  .k = k,
                  .l2 = k == 2 ? 2.0 * problem->l2 : problem->l2,
                  .x = problem->is_double ? NULL : problem->features,
                  .x64 = problem->is_double ? problem->features : NULL,
                  .mean = es_owned_allocate(&owned, d, sizeof(double)),
                  .range = es_owned_allocate(&owned, d, sizeof(double)),
                  .label = es_owned_allocate(&owned, n, sizeof(int32_t)),
                  .logits = es_owned_allocate(&owned, n * classes, sizeof(double)),
                  .step = es_owned_allocate(&owned, n * classes, sizeof(double)),
                  .square = es_owned_allocate(&owned, n, sizeof(double)),
                  .lanes = es_owned_allocate(&owned, lanes * es_rows_sum_size(problem->width, k), sizeof(double)),
                  .block = es_owned_allocate(&owned, ES_ROWS_SLICE * classes, sizeof(double)),
                  .block32 = es_owned_allocate(&owned, ES_ROWS_SLICE * columns, sizeof(float)),
                  .coefficients = es_owned_allocate(&owned, d * columns, sizeof(float)),
                  .product = es_owned_allocate(&owned, d * columns, sizeof(float)),
                  .wide = es_owned_allocate(&owned, ES_ROWS_SLICE * d, sizeof(double)),
                  .narrowed = es_owned_allocate(&owned, ES_ROWS_SLICE * d, sizeof(float)),
                  .spare = es_owned_allocate(&owned, d * (size_t)es_product_columns(k), sizeof(double))};
  out->owned = owned;
  if (owned.failed) {
    es_rows_destroy(out);
    return es_out_of_memory(status, "probe", "a probe of %d features and %d classes on %lld samples", problem->width,
                            problem->classes, (long long)n_local);
  }
  out->start[0] = 0;
  for (int lane = 0; lane < group->lane_count; lane++)
    out->start[lane + 1] = out->start[lane] + lane_rows(problem, group, lane);
  return ES_OK;
}

void es_rows_destroy(rows_t *rows) {
  es_owned_free(&rows->owned);
  *rows = (rows_t){0};
}

static int64_t slice_rows(int64_t left) {
  return left < ES_ROWS_SLICE ? left : ES_ROWS_SLICE;
}

/* ---- slices ---- */

ES_KERNEL
static void widen(double *restrict out, const float *restrict in, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = (double)in[i];
}

ES_KERNEL
static void shorten(float *restrict out, const double *restrict in, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = (float)in[i];
}

ES_KERNEL
static void centre(double *restrict x, const double *restrict mean, double scale, int64_t n, int64_t d) {
  for (int64_t i = 0; i < n; i++, x += d) {
    for (int64_t j = 0; j < d; j++) x[j] = (x[j] - mean[j]) * scale;
  }
}

/* Rows i … i+n−1 in double: the features themselves, or a copy in rows->wide. */
static double *slice_wide(const rows_t *rows, int64_t i, int64_t n) {
  if (rows->x64) return rows->x64 + i * rows->d;
  widen(rows->wide, rows->x + i * rows->d, n * rows->d);
  if (rows->far) centre(rows->wide, rows->mean, rows->scale, n, rows->d);
  return rows->wide;
}

const float *es_rows_slice(const rows_t *rows, int64_t i, int64_t n) {
  if (rows->x && !rows->far) return rows->x + i * rows->d;
  shorten(rows->narrowed, slice_wide(rows, i, n), n * rows->d);
  return rows->narrowed;
}

/* ---- centring ---- */

ES_KERNEL
static void add_row(double *restrict sum, double *restrict ends, const double *restrict x, int64_t d) {
  for (int64_t j = 0; j < d; j++) {
    const double v = x[j];
    sum[j] += v;
    ends[j] = ends[j] > v ? ends[j] : v;
    ends[d + j] = ends[d + j] > -v ? ends[d + j] : -v;
  }
}

/* Centres and scales n rows from row i on, and computes their squared lengths. */
static void centre_slice(rows_t *rows, int64_t i, int64_t n) {
  const int64_t d = rows->d;
  double *x = slice_wide(rows, i, n);
  if (rows->x64 || !rows->far) centre(x, rows->mean, rows->scale, n, d);
  if (rows->x && !rows->far) {
    shorten(rows->x + i * d, x, n * d);
    widen(x, rows->x + i * d, n * d);
  }
  for (int64_t r = 0; r < n; r++) {
    double square = 0.0;
    for (int64_t j = 0; j < d; j++) square += x[r * d + j] * x[r * d + j];
    rows->square[i + r] = square;
  }
}

void es_rows_centre(rows_t *rows) {
  const int64_t d = rows->d;
  double *ends = rows->spare; /* largest values, then largest negated values */
  for (int64_t j = 0; j < 2 * d; j++) ends[j] = -INFINITY;
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    double *sum = rows->lanes + lane * d;
    memset(sum, 0, (size_t)d * sizeof *sum);
    const int64_t first = rows->start[lane], end = rows->start[lane + 1];
    for (int64_t i = first, n; i < end; i += n) {
      n = slice_rows(end - i);
      const double *x = slice_wide(rows, i, n);
      for (int64_t r = 0; r < n; r++) add_row(sum, ends, x + r * d, d);
    }
  }
  es_tree_sum_f64(rows->group, rows->lanes, (size_t)d);
  if (rows->group->size > 1)
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, ends, (int)(2 * d), MPI_DOUBLE, MPI_MAX, rows->group->comm));
  double range = 0.0, mean = 0.0;
  for (int64_t j = 0; j < d; j++) {
    const bool constant = ends[j] == -ends[d + j];
    rows->mean[j] = constant ? ends[j] : rows->lanes[j] / (double)rows->n;
    rows->range[j] = ends[j] + ends[d + j];
    range = fmax(range, rows->range[j]);
    mean = fmax(mean, fabs(rows->mean[j]));
  }
  rows->far = fmax(range, mean) > ES_ROWS_FAR;
  rows->scale = range > 0.0 ? ldexp(1.0, -ilogb(range)) : 1.0;
  for (int64_t i = 0, n; i < rows->n_local; i += n) {
    n = slice_rows(rows->n_local - i);
    centre_slice(rows, i, n);
  }
}

/* ---- products ---- */

ES_KERNEL
void es_rows_add_wide(double *restrict into, const float *restrict from, int64_t n) {
  for (int64_t i = 0; i < n; i++) into[i] += (double)from[i];
}

/* Rounds tiny values to 0: denormal floats only slow the processor down. */
static float narrow(double v) {
  return fabs(v) < 1e-30 ? 0.0f : (float)v;
}

/* into (n × k) = x·coefficientsᵀ for one slice. */
static void slice_logits(rows_t *rows, double *into, int64_t first, int64_t n) {
  const int64_t k = rows->k, d = rows->d, g = es_product_group(k);
  if (rows->exact) {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, rows->k, rows->d, 1.0, slice_wide(rows, first, n),
                rows->d, rows->spare, rows->d, 0.0, into, rows->k);
    return;
  }
  es_product_forward(rows->block32, es_rows_slice(rows, first, n), n, d, rows->coefficients, k);
  for (int64_t i = 0; i < n; i++) {
    for (int64_t c = 0; c < k; c++) into[i * k + c] = (double)rows->block32[es_product_index(i, c, n, g)];
  }
}

/* Converts the weights for the scaled rows, to float or double. */
static void load_coefficients(rows_t *rows, const double *v) {
  const int64_t d = rows->d, k = rows->k, g = es_product_group(k);
  const double factor = 1.0 / rows->scale;
  if (rows->exact) {
    for (int64_t i = 0; i < k * d; i++) rows->spare[i] = v[i] * factor;
    return;
  }
  memset(rows->coefficients, 0, (size_t)(es_product_columns(k) * d) * sizeof(float));
  for (int64_t c = 0; c < k; c++) {
    for (int64_t j = 0; j < d; j++) rows->coefficients[es_product_index(j, c, d, g)] = narrow(v[c * d + j] * factor);
  }
}

void es_rows_apply(rows_t *rows, double *into, const double *v) {
  const int64_t d = rows->d, k = rows->k;
  const double *bias = v + k * d;
  load_coefficients(rows, v);
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    const int64_t first = rows->start[lane], end = rows->start[lane + 1];
    for (int64_t i = first, n; i < end; i += n) {
      n = slice_rows(end - i);
      double *z = into + i * k;
      slice_logits(rows, z, i, n);
      for (int64_t r = 0; r < n; r++) {
        for (int64_t c = 0; c < k; c++) z[r * k + c] += bias[c];
      }
    }
  }
  rows->passes++;
}

/* Sums that a pass over the rows computes: Σ block ⊗ x, with a block (rows × k) computed from the probabilities p. */
typedef enum sum {
  RESIDUALS, /* p − y: the gradient */
  CURVATURE, /* p·(step − Σ p·step): the Hessian times the direction of rows->step */
  DIAGONAL   /* p·(1 − p), and x² instead of x: the diagonal of the Hessian */
} sum_t;

/* Fills rows->block for n rows from row i on. Returns their loss. */
static double slice_block(rows_t *rows, int64_t i, int64_t n, sum_t what) {
  const int64_t k = rows->k;
  memcpy(rows->block, rows->logits + i * k, (size_t)(n * k) * sizeof(double));
  const double loss = es_softmax_rows(rows->block, rows->label + i, n, rows->k);
  for (int64_t r = 0; r < n; r++) {
    double *p = rows->block + r * k, mean = 0.0;
    const double *step = rows->step + (i + r) * k;
    if (what == RESIDUALS) p[rows->label[i + r]] -= 1.0;
    if (what == CURVATURE) mean = cblas_ddot(rows->k, p, 1, step, 1);
    for (int64_t c = 0; what != RESIDUALS && c < k; c++) p[c] *= what == CURVATURE ? step[c] - mean : 1.0 - p[c];
  }
  return loss;
}

/* Adds blockᵀ·x of one slice: in float to rows->spare, in double to `sum` (k × d). */
static void slice_product(rows_t *rows, double *sum, int64_t first, int64_t n, sum_t what) {
  const int64_t k = rows->k, d = rows->d, g = es_product_group(k), columns = es_product_columns(k);
  if (rows->exact) {
    const double *x = slice_wide(rows, first, n);
    for (int64_t e = 0; what == DIAGONAL && e < n * d; e++) rows->wide[e] = x[e] * x[e];
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows->k, rows->d, (int)n,
                what == DIAGONAL ? 1.0 / (rows->scale * rows->scale) : 1.0 / rows->scale, rows->block, rows->k,
                what == DIAGONAL ? rows->wide : x, rows->d, 1.0, sum, rows->d);
    return;
  }
  memset(rows->block32, 0, (size_t)(n * columns) * sizeof(float));
  for (int64_t i = 0; i < n; i++) {
    for (int64_t c = 0; c < k; c++) rows->block32[es_product_index(i, c, n, g)] = narrow(rows->block[i * k + c]);
  }
  es_product_backward(rows->product, es_rows_slice(rows, first, n), n, d, rows->block32, k);
  es_rows_add_wide(rows->spare, rows->product, d * columns);
}

/* out (k × d + k) = Σ block ⊗ (x, 1) over all ranks; returns the loss. */
static double sum_rows(rows_t *rows, double *out, sum_t what) {
  const int64_t d = rows->d, k = rows->k, g = es_product_group(k), size = k * d + k + 1;
  memset(rows->lanes, 0,
         (size_t)(rows->group->lane_count ? rows->group->lane_count : 1) * (size_t)size * sizeof(double));
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    double *sum = rows->lanes + lane * size, *bias = sum + k * d;
    const int64_t first = rows->start[lane], end = rows->start[lane + 1];
    if (!rows->exact) memset(rows->spare, 0, (size_t)(d * es_product_columns(k)) * sizeof(double));
    for (int64_t i = first, n; i < end; i += n) {
      n = slice_rows(end - i);
      bias[k] += slice_block(rows, i, n, what);
      for (int64_t r = 0; r < n; r++) {
        for (int64_t c = 0; c < k; c++) bias[c] += rows->block[r * k + c];
      }
      slice_product(rows, sum, i, n, what);
    }
    for (int64_t c = 0; !rows->exact && c < k; c++) {
      for (int64_t j = 0; j < d; j++) sum[c * d + j] = rows->spare[es_product_index(j, c, d, g)] / rows->scale;
    }
  }
  es_tree_sum_f64(rows->group, rows->lanes, (size_t)size);
  if (out) memcpy(out, rows->lanes, (size_t)(size - 1) * sizeof(double));
  rows->passes++;
  return rows->lanes[size - 1];
}

double es_rows_gradient(rows_t *rows, double *gradient) {
  return sum_rows(rows, gradient, RESIDUALS);
}

void es_rows_curvature(rows_t *rows, double *product) {
  sum_rows(rows, product, CURVATURE);
}

void es_rows_diagonal(rows_t *rows, double *diagonal) {
  sum_rows(rows, diagonal, DIAGONAL);
}

/* ---- along a direction ---- */

/* Σ (p − y)·step. */
static double slope_of(const double *p, const double *step, const int32_t *label, int64_t n, int32_t k) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; i++) {
    double row = -step[i * k + label[i]];
    for (int32_t c = 0; c < k; c++) row += p[i * k + c] * step[i * k + c];
    sum += row;
  }
  return sum;
}

void es_rows_trial(rows_t *rows, double t, double *loss, double *slope) {
  const int64_t k = rows->k;
  memset(rows->lanes, 0, (size_t)(rows->group->lane_count ? rows->group->lane_count : 1) * 2 * sizeof(double));
  for (int lane = 0; lane < rows->group->lane_count; lane++) {
    double *sums = rows->lanes + 2 * lane;
    const int64_t first = rows->start[lane], end = rows->start[lane + 1];
    for (int64_t i = first, n; i < end; i += n) {
      n = slice_rows(end - i);
      const double *step = rows->step + i * k;
      es_softmax_logits(rows->block, rows->logits + i * k, step, t, n, rows->k);
      sums[0] += es_softmax_rows(rows->block, rows->label + i, n, rows->k);
      sums[1] += slope_of(rows->block, step, rows->label + i, n, rows->k);
    }
  }
  es_tree_sum_f64(rows->group, rows->lanes, 2);
  *loss = rows->lanes[0];
  *slope = rows->lanes[1];
}

void es_rows_move(rows_t *rows, double t) {
  es_softmax_logits(rows->logits, rows->logits, rows->step, t, rows->n_local, rows->k);
}

double es_rows_largest_step(const rows_t *rows) {
  double largest = 0.0;
  for (int64_t i = 0; i < rows->n_local * rows->k; i++) largest = fmax(largest, fabs(rows->step[i]));
  if (rows->group->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, rows->group->comm));
  return largest;
}
