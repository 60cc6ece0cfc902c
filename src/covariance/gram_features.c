/* Eigenvectors over columns from eigenvectors over rows. */
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include <cblas.h>
#include <math.h>
#include <string.h>

#include "gram_internal.h"

/* Columns of Xc in double: out (n, count). Means by two passes, in the order of the rows. */
static void centre_columns(const es_gram_exchange_t *x, double *out, int32_t count, double *shift, double *rest,
                           double *work) {
  const size_t n = (size_t)x->n * (size_t)count;
  for (size_t i = 0; i < n; i++)
    out[i] = x->element == sizeof(float) ? (double)((float *)x->all)[i] : ((double *)x->all)[i];
  es_panel_centre_f64(out, out, (size_t)x->n, (size_t)count, shift, rest, work);
}

/* Scratch of es_gram_features. */
typedef struct features {
  double *columns;     /* (n, GRAM_COLUMNS) */
  double *part, *came; /* (count, GRAM_COLUMNS): made here; of another rank */
  double *shift;       /* shift and rest, GRAM_COLUMNS each, and work, 2 × */
} features_t;

/* Columns first … : this rank's own product if it is its turn; then everyone's into `out`. */
static void share_part(const es_gram_exchange_t *x, const features_t *f, int32_t first, int32_t columns, int32_t count,
                       int owner, double *out) {
  const es_group_t *group = x->g->group;
  const size_t width = (size_t)x->g->width;
  double *part = owner == group->rank ? f->part : f->came;
  if (group->size > 1) ES_MPI(MPI_Bcast(part, count * columns, MPI_DOUBLE, owner, group->comm));
  for (int32_t k = 0; k < count; k++)
    memcpy(out + (size_t)k * width + (size_t)first, part + (size_t)k * (size_t)columns, (size_t)columns * sizeof *out);
}

/* Rounds of one block of columns for each rank, so that the ranks multiply at the same time. */
static void project(es_gram_exchange_t *x, const features_t *f, const double *vectors, int32_t count, double *out) {
  const int size = x->g->group->size, rank = x->g->group->rank;
  const int32_t width = x->g->width;
  for (int64_t round = 0; round < width; round += (int64_t)size * GRAM_COLUMNS) {
    for (int r = 0; r < size && round + (int64_t)r * GRAM_COLUMNS < width; r++) {
      const int32_t first = (int32_t)round + r * GRAM_COLUMNS;
      es_gram_exchange_gather(x, first, gram_columns(x->g, first), r);
    }
    if (round + (int64_t)rank * GRAM_COLUMNS < width) {
      const int32_t columns = gram_columns(x->g, (int32_t)round + rank * GRAM_COLUMNS);
      centre_columns(x, f->columns, columns, f->shift, f->shift + GRAM_COLUMNS, f->shift + 2 * GRAM_COLUMNS);
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, columns, x->n, 1.0, vectors, x->n, f->columns,
                  columns, 0.0, f->part, columns);
    }
    for (int r = 0; r < size && round + (int64_t)r * GRAM_COLUMNS < width; r++) {
      const int32_t first = (int32_t)round + r * GRAM_COLUMNS;
      share_part(x, f, first, gram_columns(x->g, first), count, r, out);
    }
  }
}

/* Every rank holds all of `out`, and scales it alike. */
static void normalise(double *out, size_t width) {
  double sum = 0.0;
  for (size_t j = 0; j < width; j++) sum += out[j] * out[j];
  const double length = sqrt(sum);
  for (size_t j = 0; j < width && length > 0.0; j++) out[j] /= length;
}

es_code_t es_gram_features(const es_gram_t *g, const double *vectors, int32_t count, double *out, es_status_t *status) {
  es_gram_exchange_t x;
  features_t f = {0};
  if (es_gram_exchange_create(&x, g, status) == ES_OK) {
    f = (features_t){.columns = es_allocate((size_t)x.n * GRAM_COLUMNS, sizeof(double)),
                     .part = es_allocate((size_t)count * GRAM_COLUMNS, sizeof(double)),
                     .came = es_allocate(g->group->size > 1 ? (size_t)count * GRAM_COLUMNS : 0, sizeof(double)),
                     .shift = es_allocate(4 * (size_t)GRAM_COLUMNS, sizeof(double))};
    if (!f.columns || !f.part || !f.came || !f.shift)
      es_out_of_memory(status, "covariance", "%d eigenvectors of width %d", count, g->width);
  }
  const es_code_t code = es_agree(g->group->comm, status);
  if (code == ES_OK && x.n > 0 && count > 0) {
    es_gram_exchange_open(&x);
    project(&x, &f, vectors, count, out);
    for (int32_t k = 0; k < count; k++) normalise(out + (size_t)k * (size_t)g->width, (size_t)g->width);
  }
  es_gram_exchange_destroy(&x);
  es_free(f.columns);
  es_free(f.part);
  es_free(f.came);
  es_free(f.shift);
  return code;
}
