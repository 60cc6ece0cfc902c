/* Products of tall matrices with few columns on AMX. The rows x are rounded to bfloat16, half the bytes of float: such
 * products wait for memory. The other factor is split into two bfloat16, so it keeps 16 bits. Sums are in float within
 * a slice. */
#ifndef ES_PROBE_TILES_H
#define ES_PROBE_TILES_H

#include <stddef.h>
#include <stdint.h>

/* Rows and features of a block; numbers in it; most rows of a slice. Rows are packed block by block, those of the same
 * rows one after the other, with zeros where the slice has fewer rows or features. */
enum { ES_TILES_EDGE = 32, ES_TILES_BLOCK = 1024, ES_TILES_SLICE = 256 };

static inline size_t es_tiles_up(size_t n) {
  return (n + ES_TILES_EDGE - 1) / ES_TILES_EDGE * ES_TILES_EDGE;
}
/* Numbers of n packed rows of d features, and of a packed factor with k columns and n rows or features. */
static inline size_t es_tiles_rows(int64_t n, int64_t d) {
  return es_tiles_up((size_t)n) * es_tiles_up((size_t)d);
}
static inline size_t es_tiles_factor(int64_t n, int64_t k) {
  return es_tiles_up((size_t)n) * (((size_t)k + 15) / 16 * 16) * 2;
}

typedef struct tiles {
  /* Packs n rows of d features, row-major. */
  void (*pack)(uint16_t *to, const float *x, int64_t n, int64_t d);
  /* Packs w (k × d, row-major) for `forward`. */
  void (*load)(uint16_t *to, const float *w, int64_t k, int64_t d);
  /* out (n × k, row-major) = x · wᵀ for packed rows and a packed w. */
  void (*forward)(float *out, const uint16_t *x, int64_t n, int64_t d, const uint16_t *w, int64_t k);
  /* sum (k × d, row-major) += rᵀ · x for at most ES_TILES_SLICE packed rows x and r (n × k, row-major). `room`:
   * es_tiles_factor(n, k) numbers of scratch. */
  void (*backward)(double *sum, const uint16_t *x, int64_t n, int64_t d, const float *r, int64_t k, uint16_t *room);
} tiles_t;

/* Returns NULL if this process may not use AMX: the CPU or the kernel lacks it, or DNNL_MAX_CPU_ISA (or
 * ONEDNN_MAX_CPU_ISA) names a lesser set, as for the kernels of oneDNN. */
const tiles_t *es_tiles(void);

#endif
