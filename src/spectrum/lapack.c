/* LAPACK on one rank. */
#include "eigenscope/blas.h"
#include "eigenscope/cblas.h"
#include "eigenscope/memory.h"
#include "eigenscope/panels.h"
#include "spectrum_internal.h"
#include <math.h>
#include <string.h>

/* Measured by `eigenscope bench spectrum`: the band of the two-stage reduction. LAPACK's own dsyevd_2stage uses a
 * narrower band and is a third slower at order 4096. */
enum { BAND = 64 };

/* Order from which two stages are faster than one. Milliseconds of one stage and of two on an AMD EPYC (Zen 5), one
 * core: OpenBLAS 0.3.21 (Haswell): 1024: 60, 80; 1536: 187, 219; 2048: 493, 465; 3072: 2130, 1320. MKL 2026.2: 1024:
 * 93, 80; 1280: 174, 132; 1536: 321, 222 (its dsyevd: 202); BLIS 0.9.0 (generic) and LAPACK 3.11: 1536: 370, 435; 2048:
 * 1065, 999. */
static const int two_stage_order[] = {
    [ES_BLAS_OTHER] = 2048, [ES_BLAS_OPENBLAS] = 2048, [ES_BLAS_MKL] = 1024, [ES_BLAS_BLIS] = 2048};

/* ---- state of one solve ---- */

typedef struct solve {
  const es_eigenproblem_t *problem;
  int n;
  es_matrix_norms_t norms;
  double scale;                    /* power of two: exact, prevents over- and underflow of squares */
  double *square;                  /* n × n */
  double *diagonal, *beside, *tau; /* n each, in one block of memory */
  double *work;
} solve_t;

/* The row-major lower half equals the column-major upper half of the same symmetric matrix. The routines are faster on
 * the column-major lower half, so the copy transposes it, in tiles that stay in the cache. */
static void unpack(double *square, const double *triangle, size_t n, double scale) {
  enum { TILE = 32 };
  for (size_t top = 0; top < n; top += TILE) {
    const size_t bottom = top + TILE < n ? top + TILE : n;
    for (size_t left = 0; left < bottom; left += TILE) {
      for (size_t i = top; i < bottom; i++) {
        const double *row = triangle + i * (i + 1) / 2;
        for (size_t j = left; j <= i && j < left + TILE; j++) square[j * n + i] = scale * row[j];
      }
    }
  }
}

static es_code_t solve_open(solve_t *s, const es_eigenproblem_t *problem, es_status_t *status) {
  *s = (solve_t){.problem = problem, .n = problem->order};
  ES_TRY(es_spectrum_check_finite(problem, status));
  const size_t n = (size_t)s->n;
  s->norms = es_spectrum_triangle_norms(problem->triangle, problem->order);
  s->scale = es_spectrum_scale(s->norms.largest);
  s->square = es_allocate(n, n * sizeof *s->square);
  s->diagonal = es_allocate(3 * n, sizeof *s->diagonal);
  if (!s->square || !s->diagonal) return es_spectrum_out_of_memory(problem->order, status);
  s->beside = s->diagonal + n;
  s->tau = s->beside + n;
  unpack(s->square, problem->triangle, n, s->scale);
  return ES_OK;
}

static void solve_close(solve_t *s) {
  es_free(s->square);
  es_free(s->diagonal);
  es_free(s->work);
}

static es_code_t work_of(solve_t *s, double asked, size_t floor, int *length, es_status_t *status) {
  const size_t size = asked > (double)floor ? (size_t)asked : floor;
  es_free(s->work);
  s->work = es_allocate(size, sizeof *s->work);
  *length = (int)size;
  return s->work ? ES_OK : es_spectrum_out_of_memory(s->n, status);
}

/* Ends a step of the solve. */
static es_code_t pause(const solve_t *s, es_status_t *status) {
  return es_panels_pause(s->problem->watch, "spectrum", status);
}

/* Reduces full to tridiagonal form. The reflectors are stored below the diagonal of `square`, and in tau. */
static es_code_t reduce_in_one(solve_t *s, es_status_t *status) {
  return es_panels_tridiagonal(s->n, s->square, s->diagonal, s->beside, s->tau, s->problem->watch, status);
}

es_code_t es_spectrum_band_values(double *band, int32_t n, int width, double *values, es_status_t *status) {
  const int ldab = width + 1, query = -1;
  int info = ES_INFO_UNTOUCHED;
  double asked = 0.0, asked_hous = 0.0;
  dsytrd_sb2st_("Y", "N", "L", &n, &width, band, &ldab, values, &asked, &asked_hous, &query, &asked, &query, &info, 1,
                1, 1);
  ES_TRY(es_lapack_check("spectrum", "dsytrd_sb2st", info, n, status));
  const int lhous = (int)fmax(asked_hous, 4.0 * n), lwork = (int)fmax(asked, 2.0 * ldab * n);
  double *work = es_allocate((size_t)lwork + (size_t)lhous + (size_t)n, sizeof *work);
  if (!work) return es_spectrum_out_of_memory(n, status);
  double *hous = work + lwork, *beside = hous + lhous;
  info = ES_INFO_UNTOUCHED;
  dsytrd_sb2st_("Y", "N", "L", &n, &width, band, &ldab, values, beside, hous, &lhous, work, &lwork, &info, 1, 1, 1);
  es_code_t code = es_lapack_check("spectrum", "dsytrd_sb2st", info, n, status);
  if (code == ES_OK) {
    info = ES_INFO_UNTOUCHED;
    dsterf_(&n, values, beside, &info);
    code = es_lapack_check("spectrum", "dsterf", info, n, status);
  }
  es_free(work);
  if (code == ES_OK) es_spectrum_reverse(values, n);
  return code;
}

/* Reduces full to band form by matrix products, and band to tridiagonal form by bulge chasing. Values only. */
static es_code_t solve_in_two(solve_t *s, double *values, es_status_t *status) {
  double *band = es_allocate_zero((BAND + 1) * (size_t)s->n, sizeof *band);
  if (!band) return es_spectrum_out_of_memory(s->n, status);
  es_code_t code = es_panels_band(s->n, BAND, s->square, band, s->tau, s->problem->watch, status);
  if (code == ES_OK) code = es_spectrum_band_values(band, s->n, BAND, values, status);
  for (int i = 0; code == ES_OK && i < s->n; i++) values[i] /= s->scale;
  es_free(band);
  return code;
}

/* Computes the values of the tridiagonal matrix, descending, in the problem's scale. Overwrites diagonal and beside. */
static es_code_t tridiagonal_values(solve_t *s, double *diagonal, double *beside, double *values, es_status_t *status) {
  int info = ES_INFO_UNTOUCHED;
  dsterf_(&s->n, diagonal, beside, &info);
  ES_TRY(es_lapack_check("spectrum", "dsterf", info, s->n, status));
  for (int i = 0; i < s->n; i++) values[i] = diagonal[s->n - 1 - i] / s->scale;
  return ES_OK;
}

/* ---- vectors ---- */

/* Checks residual and orthogonality of n × k column-major vectors, in ascending order. Overwrites `square`. */
static es_code_t check_vectors(solve_t *s, const char *routine, const double *z, int k, const double *values,
                               es_status_t *status) {
  enum { COLUMNS = 512 }; /* at once */
  const size_t n = (size_t)s->n;
  const size_t most = (size_t)(k < COLUMNS ? k : COLUMNS);
  double *product = es_allocate(n * most, sizeof *product), residual = 0.0, orthogonality = 0.0;
  if (!product) return es_spectrum_out_of_memory(s->n, status);
  unpack(s->square, s->problem->triangle, n, s->scale);
  for (int first = 0; first < k && pause(s, status) == ES_OK; first += COLUMNS) {
    const int count = k - first < COLUMNS ? k - first : COLUMNS;
    const double *part = z + (size_t)first * n;
    cblas_dsymm(CblasColMajor, CblasLeft, CblasLower, s->n, count, 1.0, s->square, s->n, part, s->n, 0.0, product,
                s->n);
    for (int c = 0; c < count; c++) {
      const double lambda = values[k - 1 - first - c] * s->scale;
      double squares = 0.0;
      for (size_t i = 0; i < n; i++) {
        const double r = product[(size_t)c * n + i] - lambda * part[(size_t)c * n + i];
        squares += r * r;
      }
      residual = fmax(residual, sqrt(squares));
      if (isnan(squares)) residual = INFINITY;
    }
  }
  for (int first = 0; first < k && pause(s, status) == ES_OK; first += COLUMNS) {
    const int count = k - first < COLUMNS ? k - first : COLUMNS, rows = k - first;
    const double *part = z + (size_t)first * n;
    cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, rows, count, s->n, 1.0, part, s->n, part, s->n, 0.0, product,
                rows); /* rows ≤ n */
    for (int j = 0; j < count; j++) {
      for (int i = j; i < rows; i++) {
        const double off = fabs(product[(size_t)j * (size_t)rows + (size_t)i] - (i == j ? 1.0 : 0.0));
        orthogonality = off <= orthogonality ? orthogonality : off;
      }
    }
  }
  es_free(product);
  if (status->code != ES_OK) return status->code;
  return es_spectrum_check_vectors(routine, s->n, &s->norms, residual / s->scale, orthogonality, status);
}

/* Turns columns in ascending order into rows in descending order. */
static void present(es_vectors_t *vectors, int n) {
  for (int32_t a = 0, b = vectors->n - 1; a < b; a++, b--) {
    double *x = vectors->rows + (size_t)a * (size_t)n, *y = vectors->rows + (size_t)b * (size_t)n;
    for (int i = 0; i < n; i++) {
      const double t = x[i];
      x[i] = y[i];
      y[i] = t;
    }
  }
  es_spectrum_fix_signs(vectors->rows, vectors->n, n);
}

/* Computes the k leading vectors of the tridiagonal matrix by relatively robust representations: O(n k). */
static es_code_t tridiagonal_vectors(solve_t *s, es_vectors_t *vectors, es_status_t *status) {
  const int n = s->n, k = vectors->n, first = n - k + 1, lwork = 18 * n, liwork = 10 * n;
  const double none = 0.0;
  int info = ES_INFO_UNTOUCHED, found = 0, relative = 1;
  double *w = es_allocate((size_t)n + (size_t)lwork, sizeof *w), *work = w + n;
  int *integers = es_allocate((size_t)liwork + 2 * (size_t)k, sizeof *integers);
  es_code_t code = w && integers ? ES_OK : es_spectrum_out_of_memory(n, status);
  if (n == 2) { /* dstemr sorts two values by modulus; a shift that makes both ≥ 0 keeps the vectors */
    const double shift = fabs(s->diagonal[0]) + fabs(s->diagonal[1]) + fabs(s->beside[0]);
    s->diagonal[0] += shift;
    s->diagonal[1] += shift;
  }
  if (code == ES_OK) {
    dstemr_("V", "I", &n, s->diagonal, s->beside, &none, &none, &first, &n, &found, w, vectors->rows, &n, &k,
            integers + liwork, &relative, work, &lwork, integers, &liwork, &info, 1, 1);
    code = es_lapack_check("spectrum", "dstemr", info, n, status);
  }
  if (code == ES_OK && found != k)
    code = es_fail(status, ES_NUMERIC, "spectrum", "dstemr for order %d found only %d of %d vectors", n, found, k);
  es_free(w);
  es_free(integers);
  return code;
}

static es_code_t solve_vectors(solve_t *s, double share, double *values, es_vectors_t *vectors, es_status_t *status) {
  const size_t n = (size_t)s->n;
  ES_TRY(reduce_in_one(s, status));
  double *copy = es_allocate(2 * n, sizeof *copy);
  if (!copy) return es_spectrum_out_of_memory(s->n, status);
  memcpy(copy, s->diagonal, 2 * n * sizeof *copy);
  const es_code_t code = tridiagonal_values(s, copy, copy + n, values, status);
  es_free(copy);
  ES_TRY(code);
  ES_TRY(es_spectrum_check_values("dsytrd", s->n, &s->norms, values, status));
  vectors->n = es_spectrum_leading(values, s->n, share);
  if (vectors->n == 0) return ES_OK;
  vectors->rows = es_allocate(n * (size_t)vectors->n, sizeof *vectors->rows);
  if (!vectors->rows) return es_spectrum_out_of_memory(s->n, status);
  ES_TRY(pause(s, status));
  ES_TRY(tridiagonal_vectors(s, vectors, status));
  ES_TRY(pause(s, status));
  ES_TRY(es_panels_back(s->n, s->square, s->tau, vectors->rows, vectors->n, s->problem->watch, status));
  return check_vectors(s, "dstemr", vectors->rows, vectors->n, values, status);
}

/* Solves with vectors by one of two methods. `vectors` is empty after a failure. */
static es_code_t with_vectors(es_code_t (*method)(solve_t *, double, double *, es_vectors_t *, es_status_t *),
                              const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                              es_status_t *status) {
  *vectors = (es_vectors_t){0};
  if (problem->order > ES_VECTORS_ORDER_MOST)
    return es_fail(status, ES_INPUT, "spectrum",
                   "eigenvectors of a covariance of order %d cannot be computed, because LAPACK's workspaces allow at "
                   "most order %d; measure fewer positions or channels, or only eigenvalues",
                   problem->order, ES_VECTORS_ORDER_MOST);
  solve_t s;
  es_code_t code = solve_open(&s, problem, status);
  if (code == ES_OK) code = method(&s, share, values, vectors, status);
  if (code == ES_OK && vectors->n > 0) present(vectors, s.n);
  solve_close(&s);
  if (code != ES_OK) {
    es_free(vectors->rows);
    *vectors = (es_vectors_t){0};
  }
  return code;
}

static es_code_t solve(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                       es_status_t *status) {
  /* Below two_stage_order, values have the same bits with and without vectors. */
  if (share > 0.0) return with_vectors(solve_vectors, problem, share, values, vectors, status);
  const bool two = problem->order >= two_stage_order[es_blas_vendor()];
  solve_t s;
  es_code_t code = solve_open(&s, problem, status);
  if (code == ES_OK) code = two ? solve_in_two(&s, values, status) : reduce_in_one(&s, status);
  if (code == ES_OK && !two) code = tridiagonal_values(&s, s.diagonal, s.beside, values, status);
  if (code == ES_OK) code = es_spectrum_check_values(two ? "dsytrd_sy2sb" : "dsytrd", s.n, &s.norms, values, status);
  solve_close(&s);
  return code;
}

const es_spectrum_backend_t es_spectrum_lapack = {"lapack", ES_SOLVER_LAPACK, false, solve};

/* ---- plain LAPACK, for fallbacks ---- */

static es_code_t divide_and_conquer(solve_t *s, const char *job, double *values, es_status_t *status) {
  const size_t n = (size_t)s->n;
  int info = ES_INFO_UNTOUCHED, lwork = -1, liwork = -1, asked_integers = 1;
  double asked = 0.0;
  dsyevd_(job, "L", &s->n, s->square, &s->n, values, &asked, &lwork, &asked_integers, &liwork, &info, 1, 1);
  ES_TRY(es_lapack_check("spectrum", "dsyevd", info, s->n, status));
  /* At least the needs of the inner routines: dsytrd's blocks (older queries omit them) and dstedc's squares. */
  const size_t floor = *job == 'N' ? 34 * n + 1 : 1 + 6 * n + 2 * n * n;
  liwork = asked_integers > 3 + 5 * s->n ? asked_integers : 3 + 5 * s->n;
  ES_TRY(work_of(s, asked, floor, &lwork, status));
  int *integers = es_allocate((size_t)liwork, sizeof *integers);
  if (!integers) return es_spectrum_out_of_memory(s->n, status);
  info = ES_INFO_UNTOUCHED;
  dsyevd_(job, "L", &s->n, s->square, &s->n, values, s->work, &lwork, integers, &liwork, &info, 1, 1);
  es_free(integers);
  ES_TRY(es_lapack_check("spectrum", "dsyevd", info, s->n, status));
  es_spectrum_reverse(values, s->n);
  for (int i = 0; i < s->n; i++) values[i] /= s->scale;
  return es_spectrum_check_values("dsyevd", s->n, &s->norms, values, status);
}

static es_code_t plain_vectors(solve_t *s, double share, double *values, es_vectors_t *vectors, es_status_t *status) {
  ES_TRY(divide_and_conquer(s, "V", values, status));
  vectors->n = es_spectrum_leading(values, s->n, share);
  if (vectors->n == 0) return ES_OK;
  const size_t n = (size_t)s->n, kept = n * (size_t)vectors->n;
  vectors->rows = es_allocate(kept, sizeof *vectors->rows);
  if (!vectors->rows) return es_spectrum_out_of_memory(s->n, status);
  memcpy(vectors->rows, s->square + n * (n - (size_t)vectors->n), kept * sizeof *vectors->rows);
  return check_vectors(s, "dsyevd", vectors->rows, vectors->n, values, status);
}

static es_code_t plain_solve(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                             es_status_t *status) {
  if (share > 0.0) return with_vectors(plain_vectors, problem, share, values, vectors, status);
  solve_t s;
  es_code_t code = solve_open(&s, problem, status);
  if (code == ES_OK) code = divide_and_conquer(&s, "N", values, status);
  solve_close(&s);
  return code;
}

const es_spectrum_backend_t es_spectrum_lapack_plain = {"lapack", ES_SOLVER_LAPACK, false, plain_solve};
