/* LAPACK: dsyevd without vectors, on one rank. */
#include "eigenscope/memory.h"
#include "eigenscope/spectrum.h"
#include <cblas.h>
#include <stdio.h>
#include <string.h>

/* Fortran: character arguments carry a hidden length behind the list. */
extern void dsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *w,
                    double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t job_length,
                    size_t triangle_length);

enum { UNTOUCHED = -12345 }; /* what info starts at, so that a routine that never ran is not taken for success */

/* Row-major lower is column-major upper of the same symmetric matrix. */
static void unpack(double *square, const double *triangle, size_t n) {
  for (size_t i = 0; i < n; i++) memcpy(square + i * n, triangle + i * (i + 1) / 2, (i + 1) * sizeof *square);
}

static void reverse(double *values, int n) {
  for (int i = 0; i < n / 2; i++) {
    double t = values[i];
    values[i] = values[n - 1 - i];
    values[n - 1 - i] = t;
  }
}

static es_code_t check_info(int info, int order, es_status_t *status) {
  if (info == 0) return ES_OK;
  if (info < 0) return es_fail(status, ES_BUG, "spectrum", "dsyevd refused its argument %d (order %d)", -info, order);
  return es_fail(status, ES_NUMERIC, "spectrum",
                 "dsyevd did not converge: %d off-diagonal elements of order %d did not reach zero", info, order);
}

static es_code_t eigenvalues(const es_eigenproblem_t *problem, double *values, es_status_t *status) {
  const int n = problem->order;
  ES_TRY(es_spectrum_check_finite(problem, status));
  int info = UNTOUCHED, lwork = -1, liwork = -1, best_integer = 1;
  double best = 1.0;
  dsyevd_("N", "U", &n, NULL, &n, values, &best, &lwork, &best_integer, &liwork, &info, 1, 1);
  ES_TRY(check_info(info, n, status));
  /* Never below what the inner routines ask for: 2n+1 of dsyevd itself, and the blocked reduction of dsytrd. */
  lwork = (int)best > 2 * n + 1 ? (int)best : 2 * n + 1;
  liwork = best_integer > 1 ? best_integer : 1;
  double *square = es_allocate((size_t)n * (size_t)n, sizeof *square);
  double *work = es_allocate((size_t)lwork, sizeof *work);
  int *iwork = es_allocate((size_t)liwork, sizeof *iwork);
  es_code_t code = ES_OK;
  if (!square || !work || !iwork) {
    code = es_fail(status, ES_SYSTEM, "spectrum", "out of memory for an eigenproblem of order %d", n);
  } else {
    info = UNTOUCHED;
    unpack(square, problem->triangle, (size_t)n);
    dsyevd_("N", "U", &n, square, &n, values, work, &lwork, iwork, &liwork, &info, 1, 1);
    code = check_info(info, n, status);
  }
  es_free(square);
  es_free(work);
  es_free(iwork);
  if (code != ES_OK) return code;
  reverse(values, n);
  return es_spectrum_check("dsyevd", problem, values, status);
}

const es_spectrum_backend_t es_spectrum_lapack = {"lapack", ES_SOLVER_LAPACK, false, eigenvalues};

const char *es_spectrum_library_name(void) {
  static char name[96];
  char version[64] = "";
  sscanf(openblas_get_config(), "OpenBLAS %63s", version);
  snprintf(name, sizeof name, "OpenBLAS %s, %s", version, openblas_get_corename());
  return name;
}

void es_spectrum_single_thread(void) {
  openblas_set_num_threads(1);
}
