/* Products of tall matrices with few columns in bfloat16, on AMX or by AVX512-BF16. Rows x are rounded to bfloat16,
 * half the bytes of float. The other factor keeps at least the 8 bits of bfloat16; on AMX, where such products wait for
 * memory, it is split into two bfloat16 and keeps 16 bits. Sums are in float within a slice. */
#ifndef ES_PROBE_TILES_H
#define ES_PROBE_TILES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* Returns the products on AMX, else those of AVX512-BF16, else NULL. A set counts only if the CPU and the kernel have
 * it and DNNL_MAX_CPU_ISA (or ONEDNN_MAX_CPU_ISA) does not name a lesser one, as for the kernels of oneDNN. */
const tiles_t *es_tiles(void);
/* Nearest bfloat16, ties to even, for a finite number. */
static inline float es_tiles_round(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  memcpy(&f, &bits, sizeof f);
  return f;
}

#endif
