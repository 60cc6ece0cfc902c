/* Projects outputs onto leading eigenvectors, or onto as many random directions. */
#include "eigenscope/cblas.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "eigenspace_internal.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { ROWS = 256 /* processed at once: enough for SGEMM, and still in cache */ };

static es_code_t out_of_memory(int32_t width, es_status_t *status) {
  return es_out_of_memory(status, "eigenspace", "projections of width %d", width);
}

/* ---- random directions ---- */

/* Element (row, i) of the Gaussian matrix depends only on its position, so fewer rows are the first rows of more. */
static void fill_gaussian(double *out, int64_t seed, int layer, size_t n) {
  for (size_t i = 0; i < n; i += 4) {
    uint32_t words[4];
    float z[4];
    es_random_block(seed, ES_RANDOM_DIRECTIONS, (uint64_t)layer, i / 4, words);
    es_random_normal(words[0], words[1], z);
    es_random_normal(words[2], words[3], z + 2);
    for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = (double)z[j];
  }
}

es_code_t es_eigenspace_orthonormalise(double *rows, int32_t n, int32_t width, es_status_t *status) {
  assert(n >= 0 && n <= width);
  if (n == 0) return ES_OK;
  /* n scales of reflectors, n signs, and LAPACK's scratch for blocks of 64 columns */
  double *work = es_allocate(66 * (size_t)n, sizeof *work);
  if (!work) return out_of_memory(width, status);
  double *signs = work + n;
  const size_t w = (size_t)width;
  const int lwork = 64 * n;
  int info = ES_INFO_UNTOUCHED;
  dgeqrf_(&width, &n, rows, &width, work, signs + n, &lwork, &info);
  es_code_t code = es_lapack_check("eigenspace", "dgeqrf", info, width, status);
  if (code == ES_OK) {
    for (size_t i = 0; i < (size_t)n; i++) signs[i] = rows[i * w + i] < 0.0 ? -1.0 : 1.0;
    info = ES_INFO_UNTOUCHED;
    dorgqr_(&width, &n, &n, rows, &width, work, signs + n, &lwork, &info);
    code = es_lapack_check("eigenspace", "dorgqr", info, width, status);
    for (size_t i = 0; i < (size_t)n; i++)
      for (size_t j = 0; j < w; j++) rows[i * w + j] *= signs[i];
  }
  es_free(work);
  return code;
}

es_code_t es_directions_random(float *out, int64_t seed, int layer, int32_t n, int32_t width, es_status_t *status) {
  assert(n >= 0 && n <= width);
  const size_t size = (size_t)n * (size_t)width;
  if (n == 0) return ES_OK;
  double *columns = es_allocate(size, sizeof *columns);
  if (!columns) return out_of_memory(width, status);
  fill_gaussian(columns, seed, layer, size);
  const es_code_t code = es_eigenspace_orthonormalise(columns, n, width, status);
  for (size_t i = 0; code == ES_OK && i < size; i++) out[i] = (float)columns[i];
  es_free(columns);
  return code;
}

/* ---- the operator ---- */

/* State of one layer. */
typedef struct layer {
  int32_t width, n; /* number of columns; of vectors */
  int32_t k;        /* number of vectors in use, or ES_PROJECT_NOTHING */
  float *rows;      /* owned: (n, width) */
  float *mean;      /* (width) in the same block as `rows` */
} layer_t;

struct es_projector {
  int n_layers;
  int32_t widest;
  float *scratch; /* owned: (ROWS, widest) deviations, then (ROWS, widest) coordinates */
  layer_t layers[];
};

es_code_t es_projector_create(es_projector_t **out, const int32_t *widths, int n_layers, es_status_t *status) {
  es_projector_t *p = *out = es_allocate_zero(1, sizeof *p + (size_t)n_layers * sizeof *p->layers);
  if (!p) return out_of_memory(0, status);
  for (int i = 0; i < n_layers; i++) p->widest = widths[i] > p->widest ? widths[i] : p->widest;
  p->scratch = es_allocate(2 * (size_t)ROWS * (size_t)p->widest, sizeof *p->scratch);
  if (!p->scratch) {
    const int32_t widest = p->widest;
    es_projector_destroy(p);
    *out = NULL;
    return out_of_memory(widest, status);
  }
  p->n_layers = n_layers;
  for (int i = 0; i < n_layers; i++) p->layers[i] = (layer_t){.width = widths[i], .k = ES_PROJECT_NOTHING};
  return ES_OK;
}

void es_projector_destroy(es_projector_t *projector) {
  if (!projector) return;
  for (int i = 0; i < projector->n_layers; i++) es_free(projector->layers[i].rows);
  es_free(projector->scratch);
  es_free(projector);
}

/* Allocates n vectors and the mean. The layer is not projected until it is chosen again. */
static es_code_t open_layer(es_projector_t *p, int layer, int32_t n, const double *mean, es_status_t *status) {
  assert(layer >= 0 && layer < p->n_layers && n >= 0 && n <= p->layers[layer].width);
  layer_t *l = &p->layers[layer];
  es_free(l->rows);
  l->n = 0;
  l->k = ES_PROJECT_NOTHING;
  l->rows = es_allocate(((size_t)n + 1) * (size_t)l->width, sizeof *l->rows);
  if (!l->rows) return out_of_memory(l->width, status);
  l->mean = l->rows + (size_t)n * (size_t)l->width;
  for (int32_t i = 0; i < l->width; i++) l->mean[i] = (float)mean[i];
  l->n = n;
  return ES_OK;
}

es_code_t es_projector_set(es_projector_t *projector, int layer, const double *rows, int32_t n, const double *mean,
                           es_status_t *status) {
  ES_TRY(open_layer(projector, layer, n, mean, status));
  const layer_t *l = &projector->layers[layer];
  for (size_t i = 0; i < (size_t)n * (size_t)l->width; i++) l->rows[i] = (float)rows[i];
  return ES_OK;
}

es_code_t es_projector_set_random(es_projector_t *projector, int layer, int64_t seed, int32_t n, const double *mean,
                                  es_status_t *status) {
  ES_TRY(open_layer(projector, layer, n, mean, status));
  const layer_t *l = &projector->layers[layer];
  return es_directions_random(l->rows, seed, layer, n, l->width, status);
}

void es_projector_choose(es_projector_t *projector, int layer, int32_t k) {
  layer_t *l = &projector->layers[layer];
  assert(k == ES_PROJECT_NOTHING || (k >= 0 && k <= l->n && l->mean));
  l->k = k;
}

/* rows (n, width) ← mean + (rows − mean) UᵀU, n ≤ ROWS. */
static void project(const layer_t *l, float *rows, int n, float *deviations, float *coordinates) {
  const int32_t w = l->width, k = l->k;
  for (int r = 0; r < n; r++) {
    float *row = rows + (size_t)r * (size_t)w, *deviation = deviations + (size_t)r * (size_t)w;
    for (int32_t i = 0; i < w; i++) deviation[i] = row[i] - l->mean[i];
    memcpy(row, l->mean, (size_t)w * sizeof *row);
  }
  if (k == 0) return;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, k, w, 1.0f, deviations, w, l->rows, w, 0.0f, coordinates, k);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, w, k, 1.0f, coordinates, k, l->rows, w, 1.0f, rows, w);
}

void es_projector_apply(es_projector_t *projector, int layer, float *rows, int64_t n) {
  assert(layer >= 0 && layer < projector->n_layers);
  const layer_t *l = &projector->layers[layer];
  if (l->k == ES_PROJECT_NOTHING) return;
  float *coordinates = projector->scratch + (size_t)ROWS * (size_t)projector->widest;
  for (int64_t done = 0; done < n; done += ROWS) {
    const int count = (int)(n - done < ROWS ? n - done : ROWS);
    project(l, rows + (size_t)done * (size_t)l->width, count, projector->scratch, coordinates);
  }
}

int64_t es_projector_bytes(const int32_t *widths, int n_layers, double share) {
  double bytes = 0.0, widest = 0.0;
  for (int i = 0; i < n_layers; i++) {
    bytes += 4.0 * widths[i] * (ceil(share * widths[i]) + 1.0);
    widest = fmax(widest, widths[i]);
  }
  return (int64_t)(bytes + 2.0 * ROWS * sizeof(float) * widest);
}
