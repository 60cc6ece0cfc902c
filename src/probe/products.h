/* Products of tall matrices with few columns. BLAS is slow here: its packing costs as much as the arithmetic.
 *
 * Grouped matrices: columns are stored in groups of es_product_group (8 or 16), one group after the other, each
 * row-major: element (i, c) of a matrix of `length` rows is at (c / g)·length·g + i·g + c % g. Columns are padded to
 * whole groups. */
#ifndef ES_PROBE_PRODUCTS_H
#define ES_PROBE_PRODUCTS_H

#include <stddef.h>
#include <stdint.h>

/* Width of a group for a matrix of `columns` columns. */
static inline int64_t es_product_group(int64_t columns) {
  return columns <= 8 ? 8 : 16;
}
/* Number of columns including padding. */
static inline int64_t es_product_columns(int64_t columns) {
  const int64_t g = es_product_group(columns);
  return (columns + g - 1) / g * g;
}
static inline int64_t es_product_index(int64_t i, int64_t column, int64_t length, int64_t g) {
  return column / g * length * g + i * g + column % g;
}

/* out (n rows, grouped) = x (n × d, row-major) · c (d rows, grouped). */
void es_product_forward(float *out, const float *x, int64_t n, int64_t d, const float *c, int64_t columns);
/* out (d rows, grouped) = xᵀ · r (n rows, grouped). */
void es_product_backward(float *out, const float *x, int64_t n, int64_t d, const float *r, int64_t columns);

#endif
