/* Loops over functions and products of numbers, included after loops_rows.h by the files that compile all loops. */
#include "functions.h"

static ES_INLINE void function_all(void *y, const void *x, size_t n, es_op_t op, float slope,
                                   es_precision_t precision) {
  PUT_ALL(y, n, es_function(es_get(x, j, precision), op, slope))
}

static LOOP void function_any(void *y, const void *x, size_t n, es_op_t which, float slope, es_precision_t type) {
  ES_FOR_PRECISION(type, ES_FOR_FUNCTION(which, function_all(y, x, n, (es_op_t)op, slope, precision)));
}

static ES_INLINE void function_backward_all(void *dx, const void *dy, const void *x, size_t n, es_op_t op, float slope,
                                            es_precision_t precision) {
  PUT_ALL(dx, n, es_get(dy, j, precision) * es_function_slope(es_get(x, j, precision), op, slope))
}

static LOOP void function_any_backward(void *dx, const void *dy, const void *x, size_t n, es_op_t which, float slope,
                                       es_precision_t type) {
  ES_FOR_PRECISION(type, ES_FOR_FUNCTION(which, function_backward_all(dx, dy, x, n, (es_op_t)op, slope, precision)));
}

static ES_INLINE void products(void *y, const void *a, const void *b, size_t n, es_precision_t precision) {
  PUT_ALL(y, n, es_get(a, j, precision) * es_get(b, j, precision))
}

static LOOP void multiply_all(void *y, const void *a, const void *b, size_t n, es_precision_t type) {
  ES_FOR_PRECISION(type, products(y, a, b, n, precision));
}

/* Every row times the vector b. */
static LOOP void multiply_rows(void *y, const void *a, const void *b, size_t rows, size_t channels,
                               es_precision_t type) {
  for (size_t i = 0; i < rows; i++) {
    const size_t at = i * channels;
    ES_FOR_PRECISION(type, products(es_at(y, at, precision), es_at(a, at, precision), b, channels, precision));
  }
}

static ES_INLINE void add_products(double *sums, float *part, const void *a, const void *b, size_t rows,
                                   size_t channels, es_precision_t precision) {
  for (size_t block = 0; block < rows; block += BLOCK) {
    const size_t end = block + BLOCK < rows ? block + BLOCK : rows;
    for (size_t j = 0; j < channels; j++) part[j] = 0.0f;
    for (size_t i = block; i < end; i++) {
      const void *left = es_at(a, i * channels, precision), *right = es_at(b, i * channels, precision);
      for (size_t j = 0; j < channels; j++) part[j] += es_get(left, j, precision) * es_get(right, j, precision);
    }
    for (size_t j = 0; j < channels; j++) sums[j] += (double)part[j];
  }
}

static LOOP void rows_products(double *sums, float *part, const void *a, const void *b, size_t rows, size_t channels,
                               es_precision_t type) {
  ES_FOR_PRECISION(type, add_products(sums, part, a, b, rows, channels, precision));
}
