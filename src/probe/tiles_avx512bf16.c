#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#include "tiles_pack.h"
#include "tiles_sets.h"
#include "unroll.h"

/* Rows and columns of a tile of `forward`; columns of one of `backward`, which has two vectors of features. */
enum { TALL = 4, DOTS = 5, OUTER = 10, DEEP = 32 };

static ES_INLINE __m512bh row_at(const uint16_t *x) {
  return (__m512bh)_mm512_loadu_si512(x);
}

static void load(uint16_t *to, const float *w, int64_t k, int64_t d) {
  for (int64_t c = 0; c < k; c++, w += d) {
    for (int64_t j = 0; j < d; j += DEEP, to += DEEP)
      _mm512_storeu_si512(to, round_both(load_part(w + j, d - j), load_part(w + j + 16, d - j - 16)));
  }
}

/* The sums of the lanes of four vectors. */
static ES_INLINE __m128 fold(__m512 a, __m512 b, __m512 c, __m512 e) {
  const __m512 ab = _mm512_unpacklo_ps(a, b) + _mm512_unpackhi_ps(a, b),
               ce = _mm512_unpacklo_ps(c, e) + _mm512_unpackhi_ps(c, e),
               all = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(ce))) +
                     _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(ce)));
  const __m256 half = _mm512_castps512_ps256(all) + _mm512_extractf32x8_ps(all, 1);
  return _mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1);
}

/* out[i][c] = Σ x[i][j]·w[c][j] for TALL rows of a block, of which `rows` count, and `columns` columns. */
static ES_INLINE void dots(float *out, int64_t k, const uint16_t *x, const uint16_t *w, int64_t blocks, int64_t rows,
                           const int columns, const int fetch) {
  __m512 sums[DOTS][TALL];
  UNROLL for (int c = 0; c < columns; c++) {
    UNROLL for (int i = 0; i < TALL; i++) sums[c][i] = _mm512_setzero_ps();
  }
  for (int64_t b = 0; b < blocks; b++) {
    __m512bh row[TALL];
    UNROLL for (int i = 0; fetch && i < TALL; i++)
        _mm_prefetch((const char *)(x + (blocks + b) * ES_TILES_BLOCK + i * DEEP), _MM_HINT_T1);
    UNROLL for (int i = 0; i < TALL; i++) row[i] = row_at(x + b * ES_TILES_BLOCK + i * DEEP);
    UNROLL for (int c = 0; c < columns; c++) {
      const __m512bh weight = row_at(w + (c * blocks + b) * DEEP);
      UNROLL for (int i = 0; i < TALL; i++) sums[c][i] = _mm512_dpbf16_ps(sums[c][i], row[i], weight);
    }
  }
  UNROLL for (int c = 0; c < columns; c++) {
    float four[TALL];
    _mm_storeu_ps(four, fold(sums[c][0], sums[c][1], sums[c][2], sums[c][3]));
    for (int64_t i = 0; i < rows; i++) out[i * k + c] = four[i];
  }
}

static ES_INLINE void all_dots(float *out, int64_t k, const uint16_t *x, int64_t n, const uint16_t *w, int64_t blocks,
                               const int columns, int fetch) {
  for (int64_t i = 0; i < n; i += TALL) {
    const uint16_t *rows = x + i / ES_TILES_EDGE * blocks * ES_TILES_BLOCK + i % ES_TILES_EDGE * DEEP;
    const int64_t count = n - i < TALL ? n - i : TALL;
    if (fetch)
      dots(out + i * k, k, rows, w, blocks, count, columns, 1);
    else
      dots(out + i * k, k, rows, w, blocks, count, columns, 0);
  }
}

static void forward(float *out, const uint16_t *x, int64_t n, int64_t d, const uint16_t *w, int64_t k) {
  const int64_t blocks = (d + DEEP - 1) / DEEP, groups = (k + DOTS - 1) / DOTS;
  for (int64_t g = 0; g < groups; g++) { /* groups of nearly equal size */
    const int64_t c = g * k / groups, columns = (g + 1) * k / groups - c;
    const uint16_t *weights = w + c * blocks * DEEP;
    switch (columns) {
#define CASE(columns)                                                                                                  \
  case columns:                                                                                                        \
    all_dots(out + c, k, x, n, weights, blocks, columns, g == 0);                                                      \
    break;
      CASE(1)
      CASE(2)
      CASE(3)
      CASE(4)
      CASE(5)
#undef CASE
    }
  }
}

/* Packs r (n × k) in pairs of rows, with zeros after the last row of the last block. */
static void pack_pairs(uint16_t *to, const float *r, int64_t n, int64_t k) {
  const int64_t down = (n + ES_TILES_EDGE - 1) / ES_TILES_EDGE * ES_TILES_EDGE;
  for (int64_t i = 0; i < down; i += 2, to += 2 * k) {
    for (int64_t c = 0; c < k; c += 16) {
      const int64_t left = k - c < 16 ? k - c : 16;
      const __m512 even = load_part(r + i * k + c, i < n ? left : 0),
                   odd = load_part(r + (i + 1) * k + c, i + 1 < n ? left : 0);
      const __m512i both = round_both(even, odd);
      const __m512i pairs =
          _mm512_or_si512(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(both)),
                          _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1)), 16));
      _mm512_mask_storeu_epi32(to + 2 * c, (__mmask16)low_bits(left), pairs);
    }
  }
}

/* sum[c][j] += Σ r[i][c]·x[i][j] for the 32 features of a block and `columns` columns. */
static ES_INLINE void outer(double *sum, int64_t d, int64_t features, const uint16_t *x, int64_t stride, int64_t down,
                            const uint16_t *r, int64_t k, const int columns) {
  __m512 low[OUTER], high[OUTER];
  UNROLL for (int c = 0; c < columns; c++) low[c] = high[c] = _mm512_setzero_ps();
  for (int64_t g = 0; g < down; g++, x += stride) {
    for (int64_t i = 0; i < ES_TILES_EDGE / 2; i++, r += 2 * k) {
      const __m512i even = _mm512_loadu_si512(x + 2 * i * DEEP), odd = _mm512_loadu_si512(x + (2 * i + 1) * DEEP);
      const __m512bh a = (__m512bh)_mm512_unpacklo_epi16(even, odd), b = (__m512bh)_mm512_unpackhi_epi16(even, odd);
      UNROLL for (int c = 0; c < columns; c++) {
        int32_t pair;
        memcpy(&pair, r + 2 * c, sizeof pair);
        const __m512bh factor = (__m512bh)_mm512_set1_epi32(pair);
        low[c] = _mm512_dpbf16_ps(low[c], a, factor);
        high[c] = _mm512_dpbf16_ps(high[c], b, factor);
      }
    }
  }
  UNROLL for (int c = 0; c < columns; c++) add_block(sum + c * d, low[c], high[c], features);
}

static void backward(double *sum, const uint16_t *x, int64_t n, int64_t d, const float *r, int64_t k, uint16_t *room) {
  const int64_t blocks = (d + DEEP - 1) / DEEP, down = (n + ES_TILES_EDGE - 1) / ES_TILES_EDGE,
                groups = (k + OUTER - 1) / OUTER, stride = blocks * ES_TILES_BLOCK;
  pack_pairs(room, r, n, k);
  for (int64_t b = 0; b < blocks; b++) {
    for (int64_t g = 0; g < groups; g++) {
      const int64_t c = g * k / groups, columns = (g + 1) * k / groups - c;
      switch (columns) {
#define CASE(columns)                                                                                                  \
  case columns:                                                                                                        \
    outer(sum + c * d + b * DEEP, d, d - b * DEEP, x + b * ES_TILES_BLOCK, stride, down, room + 2 * c, k, columns);    \
    break;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
#undef CASE
      }
    }
  }
}

const tiles_t es_tiles_avx512bf16 = {pack, load, forward, backward};
#endif
