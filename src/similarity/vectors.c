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

/* Multiplies by a power of two; in two steps, because its factor may not fit double. */
static void scale(double *x, int64_t count, int exponent) {
  const double half = ldexp(1.0, exponent / 2), rest = ldexp(1.0, exponent - exponent / 2);
  for (int64_t i = 0; exponent != 0 && i < count; i++) x[i] = x[i] * half * rest;
}

enum { COLUMNS = 64 };

/* Subtracts the means of up to COLUMNS columns twice, because the first means are rounded. A column without variation
 * becomes exactly 0. */
static void centre_columns(double *x, int64_t n, int64_t p, int64_t columns) {
  double low[COLUMNS], high[COLUMNS];
  for (int64_t j = 0; j < columns; j++) low[j] = high[j] = x[j];
  for (int64_t i = 1; i < n; i++) {
    for (int64_t j = 0; j < columns; j++) {
      const double value = x[i * p + j];
      low[j] = value < low[j] ? value : low[j];
      high[j] = value > high[j] ? value : high[j];
    }
  }
  for (int pass = 0; pass < 2; pass++) {
    double mean[COLUMNS] = {0.0};
    for (int64_t i = 0; i < n; i++) {
      for (int64_t j = 0; j < columns; j++) mean[j] += x[i * p + j];
    }
    for (int64_t j = 0; j < columns; j++) mean[j] /= (double)n;
    for (int64_t i = 0; i < n; i++) {
      for (int64_t j = 0; j < columns; j++) x[i * p + j] = low[j] < high[j] ? x[i * p + j] - mean[j] : 0.0;
    }
  }
}

es_set_kind_t es_similarity_centre(double *x, int64_t n, int64_t p) {
  double largest = largest_of(x, n * p);
  if (!isfinite(largest)) return ES_SET_NOT_FINITE;
  scale(x, n * p, exponent_of(largest));
  for (int64_t j = 0; j < p; j += COLUMNS) centre_columns(x + j, n, p, p - j < COLUMNS ? p - j : COLUMNS);
  largest = largest_of(x, n * p);
  scale(x, n * p, exponent_of(largest));
  return largest > 0.0 ? ES_SET_USUAL : ES_SET_DEAD;
}

/* ---- the vector ---- */

int64_t es_similarity_vector_size(int64_t n) {
  return n * (n - 1) / 2;
}

es_set_kind_t es_similarity_vector(double *out, const double *x, int64_t n, int64_t p, double *gram) {
  double total = 0.0, squares = 0.0, all = 0.0;
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, (int)n, (int)p, 1.0, x, (int)p, 0.0, gram, (int)n);
  for (int64_t i = 0; i < n; i++) all += gram[i * n + i] * gram[i * n + i];
  double *sums = gram; /* of the rows without the diagonal: row 0 has nothing else */
  for (int64_t i = 0; i < n; i++) sums[i] = 0.0;
  for (int64_t i = 1; i < n; i++) {
    const double *row = gram + i * n;
    double sum = 0.0;
    for (int64_t j = 0; j < i; j++) {
      sum += row[j];
      sums[j] += row[j];
      all += 2.0 * row[j] * row[j];
    }
    sums[i] += sum;
  }
  for (int64_t i = 0; i < n; i++) total += sums[i];
  const double m = (double)(n - 2), shift = total / ((double)(n - 1) * m), inverse = 1.0 / m;
  double *next = out;
  for (int64_t i = 1; i < n; i++) {
    const double *row = gram + i * n;
    for (int64_t j = 0; j < i; j++) next[j] = row[j] - (sums[i] + sums[j]) * inverse + shift;
    squares += cblas_ddot((int)i, next, 1, next, 1);
    next += i;
  }
  /* What is left of a matrix whose elements cancel is rounding. */
  const double rounding = (double)n * DBL_EPSILON;
  if (!(2.0 * squares > rounding * rounding * all)) return ES_SET_FLAT;
  const double factor = 1.0 / sqrt(squares);
  for (double *u = out; u < next; u++) *u *= factor;
  return ES_SET_USUAL;
}
