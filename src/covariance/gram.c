#include "eigenscope/gram.h"
#include "eigenscope/cblas.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <math.h>
#include <string.h>

#include "gram_internal.h"

/* Number of rows of G that one rank computes at once. It is fixed, so that BLAS gets the same calls on any rank. */
enum { STRIP = 128 };

/* Rank that computes a strip of G. Later strips are longer, so strips are dealt to the ranks forth and back. */
static int strip_owner(int32_t strip, int size) {
  const int at = strip % (2 * size);
  return at < size ? at : 2 * size - 1 - at;
}

/* Columns that are multiplied together. */
typedef struct columns {
  int32_t count;
  double scale; /* of their products */
} columns_t;

/* Adds rows i0 … i1−1 of all·allᵀ to the triangle; `all` is (n, count) and centred. GEMM computes the columns left of
 * the strip's diagonal square, SYRK the square. */
static void add_strip(const es_gram_exchange_t *x, const columns_t *c, int32_t i0, int32_t i1, void *product,
                      double *triangle) {
  const int32_t rows = i1 - i0, count = c->count;
  const char *strip = x->all + (size_t)i0 * (size_t)count * x->element;
  char *square = (char *)product + (size_t)i0 * x->element;
  if (x->g->real == ES_REAL_F64) {
    if (i0 > 0)
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, i0, count, 1.0, (const double *)strip, count,
                  (const double *)x->all, count, 0.0, product, i1);
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, rows, count, 1.0, (const double *)strip, count, 0.0,
                (double *)square, i1);
  } else {
    if (i0 > 0)
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, i0, count, 1.0f, (const float *)strip, count,
                  (const float *)x->all, count, 0.0f, product, i1);
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasNoTrans, rows, count, 1.0f, (const float *)strip, count, 0.0f,
                (float *)square, i1);
  }
  for (int32_t i = i0; i < i1; i++)
    es_panel_add(x->g->real, triangle + es_triangle_size(i),
                 (const char *)product + (size_t)(i - i0) * (size_t)i1 * x->element, c->scale, (size_t)i + 1);
}

static int32_t strip_end(int32_t first, int32_t n) {
  return n - first < STRIP ? n : first + STRIP;
}

/* G ← 1/n (I − 11ᵀ/n) G (I − 11ᵀ/n): removes the rounding errors of the columns' means. `mean`: n doubles. */
static void centre_twice(double *triangle, int32_t n, double *mean) {
  double total = 0.0;
  memset(mean, 0, (size_t)n * sizeof *mean);
  for (int32_t i = 0; i < n; i++) {
    const double *row = triangle + es_triangle_size(i);
    for (int32_t j = 0; j < i; j++) {
      mean[i] += row[j];
      mean[j] += row[j];
    }
    mean[i] += row[i];
  }
  for (int32_t i = 0; i < n; i++) {
    mean[i] /= (double)n;
    total += mean[i];
  }
  total /= (double)n;
  for (int32_t i = 0; i < n; i++) {
    double *row = triangle + es_triangle_size(i);
    for (int32_t j = 0; j <= i; j++) row[j] = (row[j] - mean[i] - mean[j] + total) / (double)n;
  }
}

/* Scratch of es_gram_reduce. */
typedef struct scratch {
  void *product;        /* (STRIP, n) */
  void *work;           /* 2 × GRAM_COLUMNS */
  double *shift, *rest; /* GRAM_COLUMNS */
  double *mean;         /* n */
} scratch_t;

static es_code_t multiply(es_gram_exchange_t *x, scratch_t *s, double *triangle, double *mean, es_status_t *status) {
  const es_group_t *group = x->g->group;
  memset(triangle, 0, es_triangle_size(x->n) * sizeof *triangle);
  for (int32_t first = 0; first < x->g->width; first += GRAM_COLUMNS) {
    const int32_t count = gram_columns(x->g, first);
    ES_TRY(es_group_pause(group, status));
    es_gram_exchange_gather(x, first, count, -1);
    const int exponent =
        es_panel_centre(x->g->real, x->all, x->all, (size_t)x->n, (size_t)count, s->shift, s->rest, s->work);
    const columns_t columns = {count, ldexp(1.0, -2 * exponent)};
    for (int32_t j = 0; j < count; j++) mean[first + j] = s->shift[j] + s->rest[j];
    for (int32_t i = 0; i < x->n; i = strip_end(i, x->n)) {
      if (strip_owner(i / STRIP, group->size) == group->rank)
        add_strip(x, &columns, i, strip_end(i, x->n), s->product, triangle);
    }
  }
  for (int32_t i = 0; group->size > 1 && i < x->n; i = strip_end(i, x->n)) {
    const size_t begin = es_triangle_size(i), end = es_triangle_size(strip_end(i, x->n));
    ES_MPI(
        MPI_Bcast(triangle + begin, (int)(end - begin), MPI_DOUBLE, strip_owner(i / STRIP, group->size), group->comm));
  }
  return ES_OK;
}

es_code_t es_gram_reduce(const es_gram_t *g, double *triangle, double *mean, es_status_t *status) {
  es_gram_exchange_t x;
  scratch_t s = {0};
  if (es_gram_exchange_create(&x, g, status) == ES_OK) {
    s = (scratch_t){.product = es_owned_allocate(&x.owned, (size_t)STRIP * (size_t)x.n, x.element),
                    .work = es_owned_allocate(&x.owned, 2 * (size_t)GRAM_COLUMNS, x.element),
                    .shift = es_owned_allocate(&x.owned, GRAM_COLUMNS, sizeof(double)),
                    .rest = es_owned_allocate(&x.owned, GRAM_COLUMNS, sizeof(double)),
                    .mean = es_owned_allocate(&x.owned, (size_t)x.n, sizeof(double))};
    if (x.owned.failed) es_out_of_memory(status, "covariance", "the Gram matrix of %d rows", x.n);
  }
  es_code_t code = es_agree(g->group->comm, status);
  if (code == ES_OK && x.n > 0) {
    assert(s.mean && s.shift && s.rest); /* else es_agree would have failed */
    es_gram_exchange_open(&x);
    code = multiply(&x, &s, triangle, mean, status);
    if (code == ES_OK) centre_twice(triangle, x.n, s.mean);
  }
  es_owned_free(&x.owned);
  return code;
}
