/** Spectra of layers with fewer rows than columns, from the rows' Gram matrix instead of the covariance.
 *
 *   G = 1/n Xc Xcᵀ (n × n),  Xc = X − 1 mᵀ,  has the nonzero eigenvalues of  Q = 1/n Xcᵀ Xc (d × d);
 *   an eigenvector v of G gives the eigenvector Xcᵀ v / √(n λ) of Q
 *
 * (the singular value decomposition of Xc). It costs n²·d instead of n·d², and n³ instead of d³. The rank that owns a
 * lane stores its rows until reset or destroy. Columns are centred and multiplied in the type of the rows, as in
 * covariance.h, 1024 at a time, and merged in double; then rows and columns of G are centred in double, so a mean far
 * from zero costs no accuracy. Rows are ordered by lane, then by arrival: the bits depend neither on the number of
 * ranks nor on how rows are cut.
 *
 * Memory of a rank: its rows; temporarily up to 2·1024·n numbers of the rows' type (es_gram_reduce) and n·1024 doubles
 * more (es_gram_features); the caller's buffers. */
#ifndef EIGENSCOPE_GRAM_H
#define EIGENSCOPE_GRAM_H

#include "eigenscope/comm.h"
#include "eigenscope/covariance.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

/** True if a layer is measured by its Gram matrix. Depends only on the layer's shape. */
static inline bool es_gram_pays(int64_t rows, int32_t width) {
  return rows < width;
}

typedef struct es_gram es_gram_t;

/** Creates an empty collection of rows of `width` numbers of type `real`, for the lanes of any group
 * (es_group_create_any). Borrows the group. Not collective. ES_SYSTEM if out of memory. */
es_code_t es_gram_create(es_gram_t **out, const es_group_t *group, int32_t width, es_real_t real, es_status_t *status);
void es_gram_destroy(es_gram_t *gram);
/** Discards all rows. Not collective. */
void es_gram_reset(es_gram_t *gram);

/** Copies rows (n, width) of lane lane_first + `lane` of the group. Not collective. ES_SYSTEM if out of memory; then
 * the caller calls es_agree before the next collective call. */
es_code_t es_gram_add(es_gram_t *gram, int lane, const void *rows, int64_t n, es_status_t *status);

/** Number of rows on all ranks. Collective. */
int64_t es_gram_rows(const es_gram_t *gram);

/** Writes G into `triangle` (packed as in covariance.h, es_triangle_size(n)) and the column means into `mean` (width)
 * on every rank; writes nothing for n = 0; G is 0 for n = 1. A NaN or Inf in a row makes elements of G not finite. All
 * ranks return the same code: ES_SYSTEM if one is out of memory, ES_INPUT if there are too many rows for a Gram matrix
 * (2²⁰). Collective. */
es_code_t es_gram_reduce(const es_gram_t *gram, double *triangle, double *mean, es_status_t *status);

/** The participation ratio of pairs of lanes (es_lane_pairs_of_gram) from the triangle of es_gram_reduce, on every
 * rank; NaN for n = 0. ES_SYSTEM if out of memory. Collective. */
es_code_t es_gram_participation(const es_gram_t *gram, const double *triangle, double *out, es_status_t *status);

/** Computes eigenvectors of Q from eigenvectors of G: out[k·width + j], k < count, of unit length, from vectors[k·n +
 * i]. √(n λ) is computed as the length of Xcᵀ v, which is more exact for small λ. If that length is 0, the result is 0;
 * if λ is only rounding error, the result is meaningless. Every rank passes the same vectors and gets all of `out`. The
 * bits do not depend on the number of ranks. Codes as es_gram_reduce. Collective. */
es_code_t es_gram_features(const es_gram_t *gram, const double *vectors, int32_t count, double *out,
                           es_status_t *status);

/** Peak bytes, without the triangle, on a rank that holds `rows_local` of `rows` rows: for plans. */
int64_t es_gram_bytes(int64_t rows_local, int64_t rows, int32_t width, es_real_t real);

#endif
