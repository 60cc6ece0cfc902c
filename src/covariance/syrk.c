#include "syrk.h"
#include "eigenscope/kernel.h"
#include <string.h>

/* Widest panel for which our kernels are faster than BLAS. Measured by `eigenscope bench covariance` with OpenBLAS's
 * kernels for AVX2 (Zen 4) and for AVX-512 (Emerald Rapids). */
enum { WIDEST = 256 };

bool es_syrk_is_narrow(int32_t width) {
  return width <= SYRK_TILE ? SYRK_TILE % width == 0 : width % SYRK_TILE == 0 && width <= WIDEST;
}

const es_syrk_kernels_t *es_syrk_kernels(void) {
#ifdef ES_KERNEL_TARGETS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return &es_syrk_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &es_syrk_avx2;
#endif
#ifdef ES_KERNEL_NEON
  return &es_syrk_neon;
#else
  return &es_syrk_baseline;
#endif
}

bool es_syrk_centres(int32_t width) {
  return width <= es_syrk_kernels()->centred_most && SYRK_TILE % width == 0;
}

bool es_syrk_takes_blocks(int32_t width) {
  return width >= SYRK_TILE && es_syrk_is_narrow(width);
}

void es_syrk_narrow(float *product, const float *rows, int32_t n, int32_t width) {
  if (width >= SYRK_TILE) {
    memset(product, 0, (size_t)width * (size_t)width * sizeof *product);
    es_syrk_kernels()->tiles(product, rows, n, width);
    return;
  }
  /* Several narrow rows together form a line of SYRK_TILE floats. Only the blocks on the diagonal of
   * the line's product are used. */
  const int32_t repeat = SYRK_TILE / width, lines = n / repeat, rest = n - lines * repeat;
  float wide[SYRK_TILE * SYRK_TILE] = {0}, last[SYRK_TILE] = {0};
  es_syrk_kernels()->tiles(wide, rows, lines, SYRK_TILE);
  memcpy(last, rows + (int64_t)lines * SYRK_TILE, (size_t)(rest * width) * sizeof *last);
  es_syrk_kernels()->tiles(wide, last, 1, SYRK_TILE);
  for (int32_t i = 0; i < width; i++) {
    for (int32_t j = 0; j <= i; j++) {
      float sum = 0.0f;
      for (int32_t k = 0; k < repeat; k++) sum += wide[(k * width + i) * SYRK_TILE + k * width + j];
      product[i * width + j] = sum;
    }
  }
}
