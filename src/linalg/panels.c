#include "eigenscope/panels.h"
#include "eigenscope/cblas.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include <string.h>

/* What ilaenv of reference LAPACK answers for these routines: width of a panel, and the order below which the rest is
 * reduced without panels. REFLECTORS is a multiple of any width of dormqr's blocks. */
enum { PANEL = 32, TRIDIAGONAL_REST = 32, BIDIAGONAL_REST = 128, REFLECTORS = 512 };

es_code_t es_panels_pause(const es_watch_t *watch, const char *stage, es_status_t *status) {
  return es_watch_must_stop(watch) ? es_fail(status, ES_STOPPED, stage, "stopped") : ES_OK;
}

static double *at(double *a, int stride, int row, int column) {
  return a + (size_t)column * (size_t)stride + (size_t)row;
}

es_code_t es_panels_tridiagonal(int n, double *a, double *d, double *e, double *tau, const es_watch_t *watch,
                                es_status_t *status) {
  const int width = PANEL;
  int i = 0, info = ES_INFO_UNTOUCHED;
  double *work = es_allocate((size_t)n * PANEL, sizeof *work);
  if (!work) return es_out_of_memory(status, "spectrum", "an eigenproblem of order %d", n);
  for (; status->code == ES_OK && i < n - TRIDIAGONAL_REST; i += width) {
    const int m = n - i;
    dlatrd_("L", &m, &width, at(a, n, i, i), &n, e + i, tau + i, work, &n, 1);
    cblas_dsyr2k(CblasColMajor, CblasLower, CblasNoTrans, m - width, width, -1.0, at(a, n, i + width, i), n,
                 work + width, n, 1.0, at(a, n, i + width, i + width), n);
    for (int j = i; j < i + width; j++) {
      *at(a, n, j + 1, j) = e[j];
      d[j] = *at(a, n, j, j);
    }
    es_panels_pause(watch, "spectrum", status);
  }
  es_free(work);
  if (status->code != ES_OK) return status->code;
  const int rest = n - i;
  dsytd2_("L", &rest, at(a, n, i, i), &n, d + i, e + i, tau + i, &info, 1);
  return es_lapack_check("spectrum", "dsytd2", info, n, status);
}

es_code_t es_panels_band(int n, int kd, double *a, double *band, double *tau, const es_watch_t *watch,
                         es_status_t *status) {
  const size_t square = (size_t)kd * (size_t)kd, tall = (size_t)n * (size_t)kd;
  const int lwork = n * kd;
  double *t = es_allocate(2 * square + 2 * tall, sizeof *t);
  if (!t) return es_out_of_memory(status, "spectrum", "an eigenproblem of order %d", n);
  double *w = t + square, *vt = w + tall, *small = vt + tall; /* W, V·T (and work of dgeqrf), TᵀVᵀW */
  memset(t, 0, square * sizeof *t);                           /* dlarft leaves the lower half as it is */
  for (int i = 0; status->code == ES_OK && i < n - kd; i += kd) {
    const int m = n - i - kd, k = m < kd ? m : kd;
    double *v = at(a, n, i + kd, i), *rest = at(a, n, i + kd, i + kd);
    int info = ES_INFO_UNTOUCHED;
    dgeqrf_(&m, &kd, v, &n, tau + i, vt, &lwork, &info);
    es_lapack_check("spectrum", "dgeqrf", info, n, status);
    for (int j = i; j < i + k; j++) {
      const int length = (kd < n - 1 - j ? kd : n - 1 - j) + 1;
      memcpy(band + (size_t)j * ((size_t)kd + 1), at(a, n, j, j), (size_t)length * sizeof *band);
    }
    for (int column = 0; column < k; column++) {
      for (int row = 0; row <= column; row++) *at(v, n, row, column) = row == column ? 1.0 : 0.0;
    }
    dlarft_("F", "C", &m, &k, v, &n, tau + i, t, &kd, 1, 1);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, m, k, k, 1.0, v, n, t, kd, 0.0, vt, n);
    cblas_dsymm(CblasColMajor, CblasLeft, CblasLower, m, k, 1.0, rest, n, vt, n, 0.0, w, n);
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, k, k, m, 1.0, vt, n, w, n, 0.0, small, kd);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, m, k, k, -0.5, v, n, small, kd, 1.0, w, n);
    cblas_dsyr2k(CblasColMajor, CblasLower, CblasNoTrans, m, k, -1.0, v, n, w, n, 1.0, rest, n);
    if (status->code == ES_OK) es_panels_pause(watch, "spectrum", status);
  }
  for (int j = n - kd; status->code == ES_OK && j < n; j++)
    memcpy(band + (size_t)j * ((size_t)kd + 1), at(a, n, j, j), (size_t)(n - j) * sizeof *band);
  es_free(t);
  return status->code;
}

es_code_t es_panels_back(int n, const double *a, const double *tau, double *z, int k, const es_watch_t *watch,
                         es_status_t *status) {
  const int lwork = k * 64 + 65 * 64;
  double *work = es_allocate((size_t)lwork, sizeof *work);
  if (!work) return es_out_of_memory(status, "spectrum", "%d eigenvectors of order %d", k, n);
  /* The last reflectors come first. Parts begin where dormqr's blocks do; the last part takes the remainder. */
  for (int end = n - 1; status->code == ES_OK && end > 0;) {
    const int first = end < 2 * REFLECTORS ? 0 : (end / REFLECTORS - 1) * REFLECTORS, count = end - first;
    const int m = n - 1 - first;
    int info = ES_INFO_UNTOUCHED;
    dormqr_("L", "N", &m, &k, &count, a + (size_t)first * (size_t)n + (size_t)first + 1, &n, tau + first, z + first + 1,
            &n, work, &lwork, &info, 1, 1);
    es_lapack_check("spectrum", "dormqr", info, n, status);
    end = first;
    if (status->code == ES_OK && end > 0) es_panels_pause(watch, "spectrum", status);
  }
  es_free(work);
  return status->code;
}

/* ---- singular values ---- */

/* Vectors of a reduction to bidiagonal form. */
typedef struct bidiagonal {
  double *e, *tauq, *taup;
  double *x, *y; /* m × PANEL, n × PANEL */
} bidiagonal_t;

/* As dgebrd. */
static void reduce(const es_panels_matrix_t *p, double *d, const bidiagonal_t *b, const es_watch_t *watch,
                   es_status_t *status) {
  const int width = PANEL, least = p->m < p->n ? p->m : p->n, lda = p->stride;
  int i = 0, info = ES_INFO_UNTOUCHED;
  for (; status->code == ES_OK && i < least - BIDIAGONAL_REST; i += width) {
    const int m = p->m - i, n = p->n - i;
    double *rest = at(p->a, lda, i + width, i + width);
    dlabrd_(&m, &n, &width, at(p->a, lda, i, i), &lda, d + i, b->e + i, b->tauq + i, b->taup + i, b->x, &p->m, b->y,
            &p->n);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, m - width, n - width, width, -1.0, at(p->a, lda, i + width, i),
                lda, b->y + width, p->n, 1.0, rest, lda);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, m - width, n - width, width, -1.0, b->x + width, p->m,
                at(p->a, lda, i, i + width), lda, 1.0, rest, lda);
    es_panels_pause(watch, "eigenspace", status); /* the reflectors are not used, so their ones may stay */
  }
  if (status->code != ES_OK) return;
  const int m = p->m - i, n = p->n - i;
  dgebd2_(&m, &n, at(p->a, lda, i, i), &lda, d + i, b->e + i, b->tauq + i, b->taup + i, b->x, &info);
  es_lapack_check("eigenspace", "dgebd2", info, p->stride, status);
}

/* Turns a matrix that is much longer than wide, or much wider than long, into a triangle of the shorter side. */
static void shorten(es_panels_matrix_t *p, double *tau, double *work, int lwork, es_status_t *status) {
  const int least = p->m < p->n ? p->m : p->n, most = p->m < p->n ? p->n : p->m;
  int info = ES_INFO_UNTOUCHED;
  if (most < least * 11 / 6) return;
  (p->m >= p->n ? dgeqrf_ : dgelqf_)(&p->m, &p->n, p->a, &p->stride, tau, work, &lwork, &info);
  es_lapack_check("eigenspace", p->m >= p->n ? "dgeqrf" : "dgelqf", info, p->stride, status);
  for (int column = 0; column < least; column++) {
    for (int row = 0; row < least; row++) {
      if (p->m >= p->n ? row > column : row < column) *at(p->a, p->stride, row, column) = 0.0;
    }
  }
  p->m = p->n = least;
}

es_code_t es_panels_singular(double *values, const es_panels_matrix_t *matrix, int32_t order, const es_watch_t *watch,
                             es_status_t *status) {
  es_panels_matrix_t p = *matrix;
  const size_t m = (size_t)p.m, n = (size_t)p.n, least = m < n ? m : n, most = m < n ? n : m;
  const int unused = 1, lwork = (int)(most > PANEL * least ? most : PANEL * least);
  int info = ES_INFO_UNTOUCHED;
  double *memory = es_allocate(3 * least + PANEL * (m + n) + (size_t)lwork, sizeof *memory);
  int *integers = es_allocate(8 * least, sizeof *integers);
  if (memory && integers) {
    const bidiagonal_t b = {memory, memory + least, memory + 2 * least, memory + 3 * least,
                            memory + 3 * least + PANEL * m};
    double *work = b.y + PANEL * n;
    shorten(&p, b.tauq, work, lwork, status);
    if (status->code == ES_OK) es_panels_pause(watch, "eigenspace", status);
    if (status->code == ES_OK) reduce(&p, values, &b, watch, status);
    const int k = (int)least;
    if (status->code == ES_OK) {
      dbdsdc_(p.m >= p.n ? "U" : "L", "N", &k, values, b.e, NULL, &unused, NULL, &unused, NULL, NULL, b.x, integers,
              &info, 1, 1);
      es_lapack_check("eigenspace", "dbdsdc", info, order, status);
    }
  } else {
    es_out_of_memory(status, "eigenspace", "eigenspaces of width %d", order);
  }
  es_free(memory);
  es_free(integers);
  return status->code;
}
