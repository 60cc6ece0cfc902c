/* Products of class means with the covariance of all rows, which is a triangle, distributed, or a Gram matrix. */
#include "eigenscope/cblas.h"
#include "eigenscope/classes.h"
#include "eigenscope/memory.h"
#include <string.h>

static const char STAGE[] = "classes";

enum { BLOCK = 64 /* rows of the symmetric matrix that are unpacked at once */ };

/* Unpacks rows first … first+n−1 of a symmetric matrix. */
static void unpack(double *out, const double *triangle, int32_t order, int32_t first, int32_t n) {
  for (int32_t i = 0; i < n; i++)
    memcpy(out + (size_t)i * (size_t)order, triangle + es_triangle_size(first + i),
           (size_t)(first + i + 1) * sizeof *out);
  for (int32_t j = first + 1; j < order; j++) {
    const double *row = triangle + es_triangle_size(j);
    for (int32_t i = 0; i < n && first + i < j; i++) out[(size_t)i * (size_t)order + (size_t)j] = row[first + i];
  }
}

/* out = left · S, both (n, order). */
static es_code_t multiply(double *out, const double *left, int32_t n, int32_t order, const double *triangle,
                          es_status_t *status) {
  double *rows = es_allocate(BLOCK, (size_t)order * sizeof *rows);
  if (!rows) return es_out_of_memory(status, STAGE, "%d rows of width %d", (int)BLOCK, order);
  for (int32_t first = 0; first < order; first += BLOCK) {
    const int32_t m = order - first < BLOCK ? order - first : BLOCK;
    unpack(rows, triangle, order, first, m);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, m, order, 1.0, left, order, rows, order, 0.0, out + first,
                order);
  }
  es_free(rows);
  return ES_OK;
}

/* out[i] = row i of `left` · row i of `right`. */
static void dot_rows(double *out, const double *left, const double *right, int32_t n, int32_t width) {
  for (int32_t i = 0; i < n; i++)
    out[i] = cblas_ddot(width, left + (size_t)i * (size_t)width, 1, right + (size_t)i * (size_t)width, 1);
}

es_code_t es_class_variances(double *out, const es_class_axes_t *a, int32_t width, const double *triangle,
                             es_status_t *status) {
  double *right = es_allocate((size_t)a->rank, (size_t)width * sizeof *right);
  if (!right) return es_out_of_memory(status, STAGE, "%d axes of width %d", a->rank, width);
  if (multiply(right, a->axes, a->rank, width, triangle, status) == ES_OK)
    dot_rows(out, a->axes, right, a->rank, width);
  es_free(right);
  return status->code;
}

es_code_t es_class_variances_blocks(double *out, const es_class_axes_t *a, const es_dist_matrix_t *b,
                                    es_status_t *status) {
  const size_t rows = (size_t)b->local_rows, cols = (size_t)b->local_cols, n = (size_t)a->rank;
  memset(out, 0, n * sizeof *out);
  if (rows == 0 || cols == 0 || n == 0) return ES_OK;
  double *left = es_allocate(n, (rows + 2 * cols) * sizeof *left);
  if (!left) return es_out_of_memory(status, STAGE, "%d axes of width %d", a->rank, b->order);
  double *right = left + n * rows, *half = right + n * cols;
  for (size_t k = 0; k < n; k++) {
    const double *row = a->axes + k * (size_t)b->order;
    for (size_t i = 0; i < rows; i++) left[k * rows + i] = row[es_dist_matrix_row(b, (int32_t)i)];
    for (size_t j = 0; j < cols; j++) right[k * cols + j] = row[es_dist_matrix_column(b, (int32_t)j)];
  }
  /* In row-major terms the local part is its transpose: (cols, leading). */
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, a->rank, b->local_cols, b->local_rows, 1.0, left, b->local_rows,
              b->local, b->leading, 0.0, half, b->local_cols);
  dot_rows(out, half, right, a->rank, b->local_cols);
  es_free(left);
  return ES_OK;
}

/* G = 1/n X Xᵀ of centred rows X. v = Bᵀu/√μ = Xᵀa, if row a has Σ u √(n_c/n)/(n_c · positions · √μ) for the rows of
 * class c. So vᵀ Σ_T v = aᵀX (1/n XᵀX) Xᵀa = n (G a)ᵀ(G a). */
es_code_t es_class_variances_gram(double *out, const es_class_axes_t *axes, const es_class_means_t *m,
                                  const double *triangle, const double *label, int64_t positions, es_status_t *status) {
  const size_t rows = (size_t)(m->n * positions), n = (size_t)axes->rank;
  double *a = es_allocate(2 * n, rows * sizeof *a);
  if (!a) return es_out_of_memory(status, STAGE, "%d axes of %zu rows", axes->rank, rows);
  for (size_t k = 0; k < n; k++) {
    const double *u = axes->left + k * (size_t)m->classes, root = sqrt(axes->values[k]);
    for (size_t i = 0; i < rows; i++) {
      const size_t class = (size_t)label[i / (size_t)positions];
      a[k * rows + i] = u[class] / (sqrt((double)m->count[class] * (double)m->n) * (double)positions * root);
    }
  }
  double *g = a + n * rows;
  if (multiply(g, a, axes->rank, (int32_t)rows, triangle, status) == ES_OK)
    dot_rows(out, g, g, axes->rank, (int32_t)rows);
  for (size_t k = 0; status->code == ES_OK && k < n; k++) out[k] *= (double)rows;
  es_free(a);
  return status->code;
}
