/* Overlap and principal angles of two eigenspaces. */
#include "eigenscope/cblas.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "eigenscope/panels.h"
#include "eigenspace_internal.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* Float vectors are orthonormal to 1e-7·√width. A deviation above ORTHONORMAL has another cause. */
static const double ORTHONORMAL = 1e-3;

static es_code_t out_of_memory(int32_t width, es_status_t *status) {
  return es_out_of_memory(status, "eigenspace", "eigenspaces of width %d", width);
}

int32_t es_eigenspace_most(const int32_t *k, int n_deltas) {
  int32_t most = 0;
  for (int d = 0; d < n_deltas; d++) most = k[d] > most ? k[d] : most;
  return most;
}

/* State of a comparison. Matrices are column-major, so a basis with vectors in rows is a width × k matrix. */
typedef struct comparison {
  int32_t width, ka, kb;
  double *qa, *qb; /* width × ka, width × kb: orthonormal in double */
  double *product; /* ka × kb: qaᵀqb; before that, the Gram matrix of either basis */
  double *cosines, *sines;
  const es_watch_t *watch;
} comparison_t;

/* Computes Q R = U with Cholesky's R of UᵀU. For nearly orthonormal U, this is as accurate as Householder's method and
 * uses only matrix products. R is triangular, so the first r columns keep their span. */
static es_code_t orthonormalise(double *q, double *gram, const float *rows, int32_t k, int32_t width,
                                es_status_t *status) {
  for (size_t i = 0, n = (size_t)k * (size_t)width; i < n; i++) q[i] = (double)rows[i];
  cblas_dsyrk(CblasColMajor, CblasUpper, CblasTrans, k, width, 1.0, q, width, 0.0, gram, k);
  for (size_t j = 0; j < (size_t)k; j++) {
    for (size_t i = 0; i <= j; i++) {
      const double off = gram[j * (size_t)k + i] - (i == j ? 1.0 : 0.0);
      if (!(fabs(off) <= ORTHONORMAL))
        return es_fail(
            status, ES_NUMERIC, "eigenspace",
            "vectors of width %d are not orthonormal: the inner product of vectors %zu and %zu has the error %g", width,
            i, j, off);
    }
  }
  int info = ES_INFO_UNTOUCHED;
  dpotrf_("U", &k, gram, &k, &info, 1);
  ES_TRY(es_lapack_check("eigenspace", "dpotrf", info, width, status));
  cblas_dtrsm(CblasColMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, width, k, 1.0, gram, k, q, width);
  return ES_OK;
}

static double overlap_of(const comparison_t *c, int32_t ka, int32_t kb) {
  if (ka <= 0 || kb <= 0) return NAN;
  double squares = 0.0;
  for (int32_t j = 0; j < kb; j++) {
    const double *column = c->product + (size_t)j * (size_t)c->ka;
    for (int32_t i = 0; i < ka; i++) squares += column[i] * column[i];
  }
  return fmin(1.0, squares / (ka < kb ? ka : kb));
}

/* Computes the angles between the first ka and kb vectors. Overwrites the smaller basis and the product. */
static es_code_t find_angles(comparison_t *c, double *angles, int32_t ka, int32_t kb, es_status_t *status) {
  const int32_t w = c->width, n = ka < kb ? ka : kb;
  if (kb <= ka)
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, w, kb, ka, -1.0, c->qa, w, c->product, c->ka, 1.0, c->qb, w);
  else
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, w, ka, kb, -1.0, c->qb, w, c->product, c->ka, 1.0, c->qa, w);
  const es_panels_matrix_t across = {kb <= ka ? c->qb : c->qa, w, n, w}, along = {c->product, ka, kb, c->ka};
  ES_TRY(es_panels_pause(c->watch, "eigenspace", status));
  ES_TRY(es_panels_singular(c->sines, &across, w, c->watch, status));
  ES_TRY(es_panels_singular(c->cosines, &along, w, c->watch, status));
  /* The largest cosine belongs to the smallest sine. If one of them is insensitive, the other decides. */
  for (int32_t i = 0; i < n; i++) angles[i] = atan2(c->sines[n - 1 - i], c->cosines[i]);
  return ES_OK;
}

static es_code_t compare(comparison_t *c, double *overlap, double *angles, const es_pair_t *pair, es_status_t *status) {
  const es_leading_t *a = pair->a, *b = pair->b;
  ES_TRY(orthonormalise(c->qa, c->product, a->rows, c->ka, c->width, status));
  ES_TRY(es_panels_pause(c->watch, "eigenspace", status));
  ES_TRY(orthonormalise(c->qb, c->product, b->rows, c->kb, c->width, status));
  ES_TRY(es_panels_pause(c->watch, "eigenspace", status));
  cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, c->ka, c->kb, c->width, 1.0, c->qa, c->width, c->qb, c->width,
              0.0, c->product, c->ka);
  for (int d = 0; d < pair->n_deltas; d++) overlap[d] = overlap_of(c, a->k[d], b->k[d]);
  return a->k[0] > 0 && b->k[0] > 0 ? find_angles(c, angles, a->k[0], b->k[0], status) : ES_OK;
}

es_code_t es_eigenspace_compare_pair(double *overlap, double *angles, const es_pair_t *pair, es_status_t *status) {
  const es_leading_t *a = pair->a, *b = pair->b;
  comparison_t c = {.width = a->width,
                    .ka = es_eigenspace_most(a->k, pair->n_deltas),
                    .kb = es_eigenspace_most(b->k, pair->n_deltas),
                    .watch = pair->watch};
  assert(a->width == b->width && c.ka <= c.width && c.kb <= c.width);
  for (int d = 0; d < pair->n_deltas; d++) overlap[d] = NAN;
  for (int32_t i = 0; i < c.width; i++) angles[i] = NAN;
  if (c.ka == 0 || c.kb == 0) return ES_OK;
  const size_t most = (size_t)(c.ka > c.kb ? c.ka : c.kb), least = (size_t)(c.ka > c.kb ? c.kb : c.ka);
  double *memory = es_allocate((size_t)c.width * (most + least) + most * most + 2 * least, sizeof *memory);
  if (!memory) return out_of_memory(c.width, status);
  c.qa = memory;
  c.qb = c.qa + (size_t)c.width * (size_t)c.ka;
  c.product = c.qb + (size_t)c.width * (size_t)c.kb;
  c.cosines = c.product + most * most;
  c.sines = c.cosines + least;
  const es_code_t code = compare(&c, overlap, angles, pair, status);
  es_free(memory);
  return code;
}

es_code_t es_eigenspace_compare(double *overlap, double *angles, const es_leading_t *a, const es_leading_t *b,
                                int n_deltas, es_status_t *status) {
  return es_eigenspace_compare_pair(overlap, angles, &(es_pair_t){a, b, n_deltas, NULL}, status);
}
