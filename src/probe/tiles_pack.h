/* What products on AMX and with instructions for bfloat16 share: how rows are packed and sums are unpacked. */
#ifndef ES_PROBE_TILES_PACK_H
#define ES_PROBE_TILES_PACK_H

#include "tiles.h"
#include <immintrin.h>
#include <string.h>

/* The low n bits, 0 ≤ n ≤ 32. */
static ES_INLINE uint32_t low_bits(int64_t n) {
  return n >= 32 ? ~0u : (1u << n) - 1;
}

/* The first n floats at x; the others are 0. n may be negative. */
static ES_INLINE __m512 load_part(const float *x, int64_t n) {
  return _mm512_maskz_loadu_ps((__mmask16)low_bits(n < 0 ? 0 : n < 16 ? n : 16), x);
}

static ES_INLINE __m512i round_both(__m512 low, __m512 high) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static void pack(uint16_t *to, const float *x, int64_t n, int64_t d) {
  for (int64_t first = 0; first < n; first += ES_TILES_EDGE) {
    for (int64_t j = 0; j < d; j += ES_TILES_EDGE, to += ES_TILES_BLOCK) {
      for (int64_t i = 0; i < ES_TILES_EDGE; i++) {
        const float *row = x + (first + i) * d + j;
        const int64_t left = first + i < n ? d - j : 0;
        _mm512_storeu_si512(to + i * ES_TILES_EDGE, round_both(load_part(row, left), load_part(row + 16, left - 16)));
      }
    }
  }
}

/* sum[0 … n−1] += v, for n ≤ 16. */
static ES_INLINE void add_part(double *sum, __m512 v, int64_t n) {
  const uint32_t mask = low_bits(n < 0 ? 0 : n < 16 ? n : 16);
  const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
  const __mmask8 first = (__mmask8)(mask & 0xff), last = (__mmask8)(mask >> 8);
  _mm512_mask_storeu_pd(sum, first, _mm512_maskz_loadu_pd(first, sum) + low);
  _mm512_mask_storeu_pd(sum + 8, last, _mm512_maskz_loadu_pd(last, sum + 8) + high);
}

/* Adds sums of the 32 features of a block to the first n numbers. `low` and `high` have the features in the order in
 * which _mm512_unpacklo_epi16 and _mm512_unpackhi_epi16 leave them: 0–3, 8–11, 16–19, 24–27 and 4–7, 12–15, … */
static ES_INLINE void add_block(double *sum, __m512 low, __m512 high, int64_t n) {
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
                last = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  add_part(sum, _mm512_permutex2var_ps(low, first, high), n);
  if (n > 16) add_part(sum + 16, _mm512_permutex2var_ps(low, last, high), n - 16);
}

#endif
