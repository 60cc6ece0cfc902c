#include "eigenscope/lane_pairs.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

enum { PARTS = 16 }; /* partial sums, so that the loop is vectorised */

es_code_t es_lane_pairs_create(es_lane_pairs_t *out, int32_t width, es_status_t *status) {
  *out = (es_lane_pairs_t){.size = es_triangle_size(width)};
  out->sum = es_allocate_zero(out->size, sizeof *out->sum);
  if (out->sum) return ES_OK;
  return es_out_of_memory(status, "covariance", "the pairs of lanes of a layer of width %d", width);
}

void es_lane_pairs_destroy(es_lane_pairs_t *pairs) {
  es_free(pairs->sum);
  *pairs = (es_lane_pairs_t){0};
}

/* Returns Σ sum·values, then sum += values. */
ES_KERNEL
static double multiply_and_add(double *sum, const double *values, size_t n) {
  double parts[PARTS] = {0.0}, product = 0.0;
  size_t i = 0;
  for (; i + PARTS <= n; i += PARTS) {
    for (size_t k = 0; k < PARTS; k++) {
      parts[k] += sum[i + k] * values[i + k];
      sum[i + k] += values[i + k];
    }
  }
  for (; i < n; i++) {
    product += sum[i] * values[i];
    sum[i] += values[i];
  }
  for (size_t k = 0; k < PARTS; k++) product += parts[k];
  return product;
}

void es_lane_pairs_add(es_lane_pairs_t *pairs, const double *triangle, int32_t width) {
  double trace = 0.0, diagonal = 0.0;
  for (int32_t i = 0; i < width; i++) {
    const size_t at = es_triangle_size(i) + (size_t)i;
    trace += triangle[at];
    diagonal += triangle[at] * pairs->sum[at];
  }
  pairs->traces += pairs->trace * trace;
  pairs->trace += trace;
  /* An element below the diagonal stands for two. */
  pairs->products += 2.0 * multiply_and_add(pairs->sum, triangle, pairs->size) - diagonal;
}

static double ratio_of(double traces, double products) {
  const double ratio = traces / products;
  return products > 0.0 && isfinite(ratio) ? ratio : (double)NAN;
}

double es_lane_pairs_ratio(const es_lane_pairs_t *pairs) {
  return ratio_of(pairs->traces, pairs->products);
}

/* Rows first … first+n−1 of the Gram matrix. */
typedef struct lane {
  int64_t first, n;
} lane_t;

static const double *line_of(const double *triangle, int64_t row) {
  return triangle + es_triangle_size((int32_t)row);
}

/* Trace of the products of the rows of a lane about their mean. */
static double trace_of(const double *triangle, lane_t a) {
  double diagonal = 0.0, below = 0.0;
  for (int64_t i = a.first; i < a.first + a.n; i++) {
    const double *line = line_of(triangle, i);
    for (int64_t j = a.first; j < i; j++) below += line[j];
    diagonal += line[i];
  }
  return a.n > 0 ? diagonal - (diagonal + 2.0 * below) / (double)a.n : 0.0;
}

/* Sum of the squared products of rows of lane `a` and rows of the earlier lane `b`, each about the mean of its lane.
 * `mean`: b.n doubles. */
static double squares_of(const double *triangle, lane_t a, lane_t b, double *mean) {
  double total = 0.0, squares = 0.0;
  memset(mean, 0, (size_t)b.n * sizeof *mean);
  for (int64_t i = a.first; i < a.first + a.n; i++) {
    const double *line = line_of(triangle, i) + b.first;
    for (int64_t j = 0; j < b.n; j++) mean[j] += line[j] / (double)a.n;
  }
  for (int64_t j = 0; j < b.n; j++) total += mean[j] / (double)b.n;
  for (int64_t i = a.first; i < a.first + a.n; i++) {
    const double *line = line_of(triangle, i) + b.first;
    double row = 0.0;
    for (int64_t j = 0; j < b.n; j++) row += line[j] / (double)b.n;
    for (int64_t j = 0; j < b.n; j++) {
      const double product = line[j] - row - mean[j] + total;
      squares += product * product;
    }
  }
  return squares;
}

double es_lane_pairs_of_gram(const double *triangle, const int64_t *rows, int lanes, double *scratch) {
  double traces = 0.0, products = 0.0, trace = 0.0;
  lane_t a = {0, 0};
  for (int i = 0; i < lanes; i++, a.first += a.n) {
    a.n = rows[i];
    const double own = trace_of(triangle, a);
    traces += trace * own;
    trace += own;
    lane_t b = {0, 0};
    for (int j = 0; j < i; j++, b.first += b.n) {
      b.n = rows[j];
      if (a.n > 1 && b.n > 1) products += squares_of(triangle, a, b, scratch);
    }
  }
  return ratio_of(traces, products);
}
