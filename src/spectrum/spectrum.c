/* Checks, and the distribution of a point's layers over the ranks of its group. */
#include "eigenscope/spectrum.h"
#include <assert.h>
#include <float.h>
#include <math.h>

es_code_t es_spectrum_check_finite(const es_eigenproblem_t *problem, es_status_t *status) {
  const double *row = problem->triangle;
  for (int i = 0; i < problem->order; row += ++i) {
    for (int j = 0; j <= i; j++) {
      if (!isfinite(row[j]))
        return es_fail(status, ES_NUMERIC, "spectrum",
                       "the covariance of order %d is not finite: element (%d, %d) is %g", problem->order, i, j,
                       row[j]);
    }
  }
  return ES_OK;
}

es_code_t es_spectrum_check(const char *routine, const es_eigenproblem_t *problem, const double *values,
                            es_status_t *status) {
  const int n = problem->order;
  double trace = 0.0, squares = 0.0, sum = 0.0, sum_squares = 0.0;
  const double *row = problem->triangle;
  for (int i = 0; i < n; row += ++i) {
    for (int j = 0; j < i; j++) squares += 2.0 * row[j] * row[j];
    squares += row[i] * row[i];
    trace += row[i];
  }
  for (int i = 0; i < n; i++) {
    sum += values[i];
    sum_squares += values[i] * values[i];
  }
  const double norm = sqrt(squares), tolerance = 100.0 * (double)n * DBL_EPSILON * norm;
  if (fabs(sum - trace) <= tolerance && fabs(sqrt(sum_squares) - norm) <= tolerance) return ES_OK;
  return es_fail(status, ES_NUMERIC, "spectrum",
                 "%s of order %d failed its check: trace %.17g against a sum of eigenvalues of %.17g, Frobenius norm "
                 "%.17g against %.17g",
                 routine, n, trace, sum, norm, sqrt(sum_squares));
}

void es_spectrum_assign(es_layer_problem_t *layers, int n, int ranks) {
  for (int i = 0; i < n; i++) layers[i].owner = -1;
  double load[256] = {0};
  assert(ranks <= 256);
  for (int done = 0; done < n; done++) {
    int next = -1, rank = 0;
    for (int i = 0; i < n; i++) {
      if (layers[i].owner < 0 && (next < 0 || layers[i].order > layers[next].order)) next = i;
    }
    for (int r = 1; r < ranks; r++) {
      if (load[r] < load[rank]) rank = r;
    }
    layers[next].owner = rank;
    load[rank] += pow((double)layers[next].order, 3.0);
  }
}

es_code_t es_spectrum_solve(es_layer_problem_t *layers, int n, const es_group_t *group, es_status_t *status) {
  for (int i = 0; i < n && status->code == ES_OK; i++) {
    const es_eigenproblem_t problem = {layers[i].order, layers[i].triangle, MPI_COMM_NULL};
    if (layers[i].skip || layers[i].owner != group->rank) continue;
    es_spectrum_lapack.eigenvalues(&problem, layers[i].values, status);
  }
  ES_TRY(es_agree(group->comm, status));
  for (int i = 0; i < n; i++) {
    layers[i].solver = layers[i].skip ? ES_SOLVER_NONE : es_spectrum_lapack.solver;
    if (!layers[i].skip && group->size > 1)
      ES_MPI(MPI_Bcast(layers[i].values, layers[i].order, MPI_DOUBLE, layers[i].owner, group->comm));
  }
  return ES_OK;
}
