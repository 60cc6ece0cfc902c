/* Checks that every solve must pass. */
#include "eigenscope/covariance.h"
#include "eigenscope/kernel.h"
#include "spectrum_internal.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* Largest magnitude, as the bits of a double; at least those of infinity if an element is not finite. */
ES_KERNEL
static uint64_t largest_bits(const double *values, size_t n) {
  uint64_t largest = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t bits;
    memcpy(&bits, &values[i], sizeof bits);
    bits &= INT64_MAX; /* without the sign; magnitudes are ordered as their bits */
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

ES_KERNEL
static double sum_of_squares(const double *values, size_t n, double scale) {
  enum { SUMS = 16 };
  double sums[SUMS] = {0}, total = 0.0;
  size_t i = 0;
  for (; i + SUMS <= n; i += SUMS) {
    for (size_t s = 0; s < SUMS; s++) sums[s] += scale * values[i + s] * (scale * values[i + s]);
  }
  for (; i < n; i++) total += scale * values[i] * (scale * values[i]);
  for (size_t s = 0; s < SUMS; s++) total += sums[s];
  return total;
}

es_code_t es_spectrum_check_finite(const es_eigenproblem_t *problem, es_status_t *status) {
  const double infinite = INFINITY;
  uint64_t bits;
  memcpy(&bits, &infinite, sizeof bits);
  if (largest_bits(problem->triangle, es_triangle_size(problem->order)) < bits) return ES_OK;
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

es_matrix_norms_t es_spectrum_triangle_norms(const double *triangle, int32_t order) {
  const size_t size = es_triangle_size(order);
  const uint64_t bits = largest_bits(triangle, size);
  es_matrix_norms_t norms = {0};
  double diagonal = 0.0;
  memcpy(&norms.largest, &bits, sizeof bits);
  norms.scale = es_spectrum_scale(norms.largest);
  for (int32_t i = 0; i < order; i++) {
    const double element = triangle[es_triangle_size(i) + (size_t)i];
    norms.trace += element;
    diagonal += norms.scale * element * (norms.scale * element);
  }
  norms.frobenius = sqrt(2.0 * sum_of_squares(triangle, size, norms.scale) - diagonal) / norms.scale;
  return norms;
}

double es_spectrum_scale(double largest) {
  if (!(largest > 0.0)) return 1.0;
  const int exponent = ilogb(largest);
  return ldexp(1.0, exponent > 1000 ? -1000 : exponent < -1000 ? 1000 : -exponent);
}

es_code_t es_spectrum_check_values(const char *routine, int32_t n, const es_matrix_norms_t *norms, const double *values,
                                   es_status_t *status) {
  double sum = 0.0, squares = 0.0;
  for (int32_t i = 0; i < n; i++) {
    sum += values[i];
    squares += norms->scale * values[i] * (norms->scale * values[i]);
  }
  const double frobenius = sqrt(squares) / norms->scale;
  const double tolerance = 100.0 * (double)n * DBL_EPSILON * norms->frobenius;
  if (fabs(sum - norms->trace) <= tolerance && fabs(frobenius - norms->frobenius) <= tolerance) return ES_OK;
  return es_fail(status, ES_NUMERIC, "spectrum",
                 "the result of %s for order %d is wrong: the trace is %.17g, but the sum of the eigenvalues is %.17g; "
                 "the Frobenius norm is %.17g, but that of the eigenvalues is %.17g",
                 routine, n, norms->trace, sum, norms->frobenius, frobenius);
}

es_code_t es_spectrum_check_vectors(const char *routine, int32_t n, const es_matrix_norms_t *norms, double residual,
                                    double orthogonality, es_status_t *status) {
  const double tolerance = 100.0 * (double)n * DBL_EPSILON;
  if (residual <= tolerance * norms->frobenius && orthogonality <= tolerance) return ES_OK;
  return es_fail(status, ES_NUMERIC, "spectrum",
                 "the result of %s for order %d is wrong: the residual of a vector is %.3g (allowed: %.3g), the inner "
                 "product of two vectors is %.3g (allowed: %.3g)",
                 routine, n, residual, tolerance * norms->frobenius, orthogonality, tolerance);
}

int32_t es_spectrum_leading(const double *values, int32_t order, double share) {
  double total = 0.0, sum = 0.0;
  for (int32_t i = 0; i < order; i++) total += values[i] > 0.0 ? values[i] : 0.0;
  if (!(total > 0.0)) return 0;
  for (int32_t k = 0; k < order; k++) {
    sum += values[k] > 0.0 ? values[k] : 0.0;
    if (sum >= share * total) return k + 1;
  }
  return order;
}

void es_spectrum_fix_signs(double *rows, int32_t n, int32_t order) {
  for (int32_t r = 0; r < n; r++) {
    double *v = rows + (size_t)r * (size_t)order;
    int32_t largest = 0;
    for (int32_t i = 1; i < order; i++) {
      if (fabs(v[i]) > fabs(v[largest])) largest = i;
    }
    const bool turn = v[largest] < 0.0;
    for (int32_t i = 0; turn && i < order; i++) v[i] = -v[i];
  }
}

void es_spectrum_reverse(double *values, int32_t n) {
  for (int32_t i = 0; i < n / 2; i++) {
    const double t = values[i];
    values[i] = values[n - 1 - i];
    values[n - 1 - i] = t;
  }
}

es_code_t es_spectrum_out_of_memory(int32_t order, es_status_t *status) {
  return es_out_of_memory(status, "spectrum", "an eigenproblem of order %d", order);
}
