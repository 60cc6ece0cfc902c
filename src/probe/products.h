/* Products of tall matrices with few columns, in float. BLAS is slow here: its packing costs as much as the arithmetic.
 * Compiled once for each instruction set (products_*.c). */
#ifndef ES_PROBE_PRODUCTS_H
#define ES_PROBE_PRODUCTS_H

#include <stddef.h>
#include <stdint.h>

typedef struct products {
  /* out (n × k, row-major) = x (n × d, row-major) · wᵀ, w (k × d, row-major). */
  void (*forward)(float *out, const float *x, int64_t n, int64_t d, const float *w, int64_t k);
  /* sum (k × d, row-major) += rᵀ · x for r (n × k, row-major). Sums over the n rows in float. `next`, n rows beyond x
   * or NULL, is fetched into the cache meanwhile. */
  void (*backward)(double *sum, const float *x, int64_t n, int64_t d, const float *r, int64_t k, const float *next);
} products_t;

extern const products_t es_products_baseline, es_products_avx2, es_products_avx512, es_products_neon;
/* Returns the best products for this CPU. */
const products_t *es_products(void);

#endif
