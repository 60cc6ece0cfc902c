/* Products of narrow panels, compiled once for each instruction set with its widest vectors (syrk_*.c). */
#ifndef ES_COVARIANCE_SYRK_KERNELS_H
#define ES_COVARIANCE_SYRK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { SYRK_TILE = 16 };

typedef struct es_syrk_kernels {
  /* product += rowsᵀ·rows for n rows of `width` floats, a multiple of SYRK_TILE; computes all tiles that touch the
   * lower triangle. */
  void (*tiles)(float *product, const float *rows, ptrdiff_t n, ptrdiff_t width);
  /* out = rows − shift, sums[j] = Σ out, squares[j] = Σ out²; width is a multiple of SYRK_TILE. */
  void (*centre)(float *out, float *sums, float *squares, const float *rows, ptrdiff_t n, ptrdiff_t width,
                 const float *shift);
  /* sums[j] = Σ d and product = Σ d·dᵀ (lower triangle) over d = row − shift, in one pass. Width is 1, 2, 4 or 8, at
   * most `centred_most`, which is 0 where this function is NULL; `shift` is repeated over SYRK_TILE floats. */
  void (*centred)(float *product, double *sums, const float *rows, ptrdiff_t n, ptrdiff_t width, const float *shift);
  ptrdiff_t centred_most;
} es_syrk_kernels_t;

extern const es_syrk_kernels_t es_syrk_baseline, es_syrk_avx2, es_syrk_avx512, es_syrk_neon;
/* Returns the best kernels for this CPU. */
const es_syrk_kernels_t *es_syrk_kernels(void);

#endif
