/* Converts eigenvectors over rows to eigenvectors over columns. */
#include "eigenscope/cblas.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

#include "gram_internal.h"

/* Scratch of es_gram_features. */
typedef struct features {
  double *columns;     /* (n, GRAM_COLUMNS) */
  double *part, *came; /* (count, GRAM_COLUMNS): computed here; received */
  double *shift;       /* shift and rest, GRAM_COLUMNS each; work, 2 × GRAM_COLUMNS */
} features_t;

/* In each round, every rank gets one block of columns, so that all ranks multiply at the same time. */
static es_code_t project(es_gram_exchange_t *x, const features_t *f, const double *vectors, int32_t count, double *out,
                         es_status_t *status) {
  const int size = x->g->group->size, rank = x->g->group->rank;
  const int32_t width = x->g->width;
  for (int64_t round = 0; round < width; round += (int64_t)size * GRAM_COLUMNS) {
    ES_TRY(es_group_pause(x->g->group, status));
    for (int r = 0; r < size && round + (int64_t)r * GRAM_COLUMNS < width; r++) {
      const int32_t first = (int32_t)round + r * GRAM_COLUMNS;
      es_gram_exchange_gather(x, first, gram_columns(x->g, first), r);
    }
    if (round + (int64_t)rank * GRAM_COLUMNS < width) {
      const int32_t columns = gram_columns(x->g, (int32_t)round + rank * GRAM_COLUMNS);
      const size_t n = (size_t)x->n * (size_t)columns;
      for (size_t i = 0; i < n; i++)
        f->columns[i] = x->element == sizeof(float) ? (double)((float *)x->all)[i] : ((double *)x->all)[i];
      es_panel_centre_f64(f->columns, f->columns, (size_t)x->n, (size_t)columns, f->shift, f->shift + GRAM_COLUMNS,
                          f->shift + 2 * GRAM_COLUMNS);
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, columns, x->n, 1.0, vectors, x->n, f->columns,
                  columns, 0.0, f->part, columns);
    }
    for (int r = 0; r < size && round + (int64_t)r * GRAM_COLUMNS < width; r++) {
      const int32_t first = (int32_t)round + r * GRAM_COLUMNS, columns = gram_columns(x->g, first);
      double *part = r == rank ? f->part : f->came;
      if (size > 1) ES_MPI(MPI_Bcast(part, count * columns, MPI_DOUBLE, r, x->g->group->comm));
      for (int32_t k = 0; k < count; k++)
        memcpy(out + (size_t)k * (size_t)width + first, part + (size_t)k * (size_t)columns,
               (size_t)columns * sizeof *out);
    }
  }
  return ES_OK;
}

es_code_t es_gram_features(const es_gram_t *g, const double *vectors, int32_t count, double *out, es_status_t *status) {
  es_gram_exchange_t x;
  features_t f = {0};
  if (es_gram_exchange_create(&x, g, status) == ES_OK) {
    f = (features_t){
        .columns = es_owned_allocate(&x.owned, (size_t)x.n * GRAM_COLUMNS, sizeof(double)),
        .part = es_owned_allocate(&x.owned, (size_t)count * GRAM_COLUMNS, sizeof(double)),
        .came = es_owned_allocate(&x.owned, g->group->size > 1 ? (size_t)count * GRAM_COLUMNS : 0, sizeof(double)),
        .shift = es_owned_allocate(&x.owned, 4 * (size_t)GRAM_COLUMNS, sizeof(double))};
    if (x.owned.failed) es_out_of_memory(status, "covariance", "%d eigenvectors of width %d", count, g->width);
  }
  es_code_t code = es_agree(g->group->comm, status);
  if (code == ES_OK && x.n > 0 && count > 0) {
    es_gram_exchange_open(&x);
    code = project(&x, &f, vectors, count, out, status);
    for (int32_t k = 0; code == ES_OK && k < count;
         k++, out += g->width) { /* every rank has all of `out` and scales it alike */
      double sum = 0.0;
      for (int32_t j = 0; j < g->width; j++) sum += out[j] * out[j];
      const double length = sqrt(sum);
      for (int32_t j = 0; length > 0.0 && j < g->width; j++) out[j] /= length;
    }
  }
  es_owned_free(&x.owned);
  return code;
}
