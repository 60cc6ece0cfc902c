/* From a set of features to the vector whose inner products are CKA. */
#include "eigenscope/cblas.h"
#include "eigenscope/similarity.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* ---- centring ---- */

/* The exponent that moves a number close to 1, so that ldexp by it is exact but for numbers that vanish beside it. */
static int exponent_of(double largest) {
  return largest > 0.0 ? -1 - ilogb(largest) : 0;
}

static double largest_of(const double *x, int64_t count) {
  double largest = 0.0;
  for (int64_t i = 0; i < count; i++) {
    if (!isfinite(x[i])) return INFINITY;
    largest = fmax(largest, fabs(x[i]));
  }
  return largest;
}

static void scale(double *x, int64_t count, int exponent) {
  for (int64_t i = 0; exponent != 0 && i < count; i++) x[i] = ldexp(x[i], exponent);
}

/* Subtracts the mean of a column twice, because the first mean is rounded. A column without variation becomes exactly
 * 0. */
static void centre_column(double *x, int64_t n, int64_t p) {
  double low = x[0], high = x[0];
  for (int64_t i = 1; i < n; i++) {
    low = fmin(low, x[i * p]);
    high = fmax(high, x[i * p]);
  }
  for (int pass = 0; pass < 2; pass++) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += x[i * p];
    for (int64_t i = 0; i < n; i++) x[i * p] = low < high ? x[i * p] - sum / (double)n : 0.0;
  }
}

es_set_kind_t es_similarity_centre(double *x, int64_t n, int64_t p) {
  double largest = largest_of(x, n * p);
  if (!isfinite(largest)) return ES_SET_NOT_FINITE;
  scale(x, n * p, exponent_of(largest));
  for (int64_t j = 0; j < p; j++) centre_column(x + j, n, p);
  largest = largest_of(x, n * p);
  scale(x, n * p, exponent_of(largest));
  return largest > 0.0 ? ES_SET_USUAL : ES_SET_DEAD;
}

/* ---- the vector ---- */

int64_t es_similarity_vector_size(int64_t n) {
  return n * (n - 1) / 2;
}

es_set_kind_t es_similarity_vector(double *out, const double *x, int64_t n, int64_t p, double *gram) {
  double total = 0.0, squares = 0.0, all = 0.0, *sums = gram; /* sums of rows replace the diagonal of the matrix */
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, (int)n, (int)p, 1.0, x, (int)p, 0.0, gram, (int)n);
  for (int64_t i = 0; i < n; i++) {
    all += gram[i * n + i] * gram[i * n + i];
    gram[i * n + i] = 0.0;
  }
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j < i; j++) {
      const double k = gram[i * n + j];
      sums[i * n + i] += k;
      sums[j * n + j] += k;
      all += 2.0 * k * k;
    }
  }
  for (int64_t i = 0; i < n; i++) total += sums[i * n + i];
  const double m = (double)(n - 2), shift = total / ((double)(n - 1) * m);
  double *next = out;
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j < i; j++) {
      const double u = gram[i * n + j] - (sums[i * n + i] + sums[j * n + j]) / m + shift;
      squares += u * u;
      *next++ = u;
    }
  }
  /* What is left of a matrix whose elements cancel is rounding. */
  const double rounding = (double)n * DBL_EPSILON;
  if (!(2.0 * squares > rounding * rounding * all)) return ES_SET_FLAT;
  const double length = sqrt(squares);
  for (double *u = out; u < next; u++) *u /= length;
  return ES_SET_USUAL;
}
