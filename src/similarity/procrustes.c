/* Orthogonal Procrustes distance. */
#include "eigenscope/cblas.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "eigenscope/similarity.h"
#include <math.h>
#include <string.h>

static const char STAGE[] = "similarity";

/* Row-major X (n, p) is the column-major Xᵀ, so its QR-decomposition Xᵀ = Q R gives X = Rᵀ Qᵀ. */
static es_code_t decompose(double *x, int64_t n, int64_t p, es_status_t *status) {
  const int rows = (int)p, columns = (int)n, query = -1;
  int info = ES_INFO_UNTOUCHED;
  double wish = 0.0;
  dgeqrf_(&rows, &columns, x, &rows, NULL, &wish, &query, &info);
  ES_TRY(es_lapack_check(STAGE, "dgeqrf", info, (int32_t)n, status));
  const int room = (int)fmax(wish, (double)n);
  double *work = es_allocate((size_t)room, sizeof *work), *tau = es_allocate((size_t)n, sizeof *tau);
  if (work == NULL || tau == NULL) es_out_of_memory(status, STAGE, "a decomposition");
  info = ES_INFO_UNTOUCHED;
  if (status->code == ES_OK) {
    dgeqrf_(&rows, &columns, x, &rows, tau, work, &room, &info);
    es_lapack_check(STAGE, "dgeqrf", info, (int32_t)n, status);
  }
  es_free(work);
  es_free(tau);
  return status->code;
}

es_code_t es_procrustes_reduce(double *out, int64_t *columns, double *x, int64_t n, int64_t p, es_status_t *status) {
  double squares = 0.0;
  *columns = p < n ? p : n;
  if (p > n) ES_TRY(decompose(x, n, p, status));
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j < *columns; j++) out[i * *columns + j] = p <= n || j <= i ? x[i * p + j] : 0.0;
  }
  for (int64_t i = 0; i < n * *columns; i++) squares += out[i] * out[i];
  for (int64_t i = 0; i < n * *columns; i++) out[i] /= sqrt(squares);
  return ES_OK;
}

es_code_t es_procrustes_distance(double *out, const double *x, int64_t px, const double *y, int64_t py, int64_t n,
                                 es_status_t *status) {
  const int rows = (int)px, columns = (int)py, one = 1, query = -1;
  const int64_t least = px < py ? px : py;
  double wish = 0.0, nuclear = 0.0, *work = NULL;
  int info = ES_INFO_UNTOUCHED;
  es_owned_t owned = {0};
  double *product = es_owned_allocate(&owned, (size_t)(px * py), sizeof *product);
  double *values = es_owned_allocate(&owned, (size_t)least, sizeof *values);
  int *integers = es_owned_allocate(&owned, (size_t)(8 * least), sizeof *integers);
  if (!owned.failed) {
    dgesdd_("N", &rows, &columns, product, &rows, values, NULL, &one, NULL, &one, &wish, &query, integers, &info, 1);
    es_lapack_check(STAGE, "dgesdd", info, (int32_t)least, status);
    work = es_owned_allocate(&owned, (size_t)fmax(wish, (double)(8 * least + px + py)), sizeof *work);
  }
  if (owned.failed) es_out_of_memory(status, STAGE, "the product of two sets");
  if (status->code == ES_OK) {
    const int room = (int)fmax(wish, (double)(8 * least + px + py));
    /* Column-major (px, py): Xᵀ Y of row-major X and Y. */
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, rows, columns, (int)n, 1.0, x, rows, y, columns, 0.0, product,
                rows);
    info = ES_INFO_UNTOUCHED;
    dgesdd_("N", &rows, &columns, product, &rows, values, NULL, &one, NULL, &one, work, &room, integers, &info, 1);
    es_lapack_check(STAGE, "dgesdd", info, (int32_t)least, status);
    for (int64_t i = least - 1; i >= 0; i--) nuclear += values[i];
    *out = fmin(2.0, fmax(0.0, 2.0 - 2.0 * nuclear));
  }
  es_owned_free(&owned);
  return status->code;
}
