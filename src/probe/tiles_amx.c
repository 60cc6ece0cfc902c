#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#include "eigenscope/amx.h"
#include "tiles_pack.h"
#include "tiles_sets.h"

/* Blocks from one that is multiplied to one that is fetched into the cache. */
enum { AHEAD = 8 };
enum { TILE = AMX_ROWS * AMX_DEEP, STACK = ES_TILES_SLICE / ES_TILES_EDGE };
_Static_assert(ES_TILES_BLOCK == 2 * TILE, "a block has two tiles of rows");

/* Floats of 16 bfloat16. */
static ES_INLINE __m512 widen(__m256i v) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

/* Splits 32 floats: a = bfloat16, b = bfloat16 of the rest. */
static ES_INLINE void split(__m512 low, __m512 high, __m512i *a, __m512i *b) {
  *a = round_both(low, high);
  *b = round_both(low - widen(_mm512_castsi512_si256(*a)), high - widen(_mm512_extracti64x4_epi64(*a, 1)));
}

/* Splits 16 lines of 32 floats into two tiles: lines of A, or, if `turned`, columns of B. */
static ES_INLINE void store_factor(uint16_t *to, const __m512 lines[2 * 16], const int turned) {
  __m512i a[16], b[16];
  for (int c = 0; c < 16; c++) split(lines[2 * c], lines[2 * c + 1], &a[c], &b[c]);
  if (turned) {
    amx_turn(a);
    amx_turn(b);
  }
  for (int c = 0; c < 16; c++) {
    _mm512_storeu_si512(to + c * AMX_DEEP, a[c]);
    _mm512_storeu_si512(to + TILE + c * AMX_DEEP, b[c]);
  }
}

static void load(uint16_t *to, const float *w, int64_t k, int64_t d) {
  for (int64_t first = 0; first < k; first += 16) {
    for (int64_t j = 0; j < d; j += ES_TILES_EDGE, to += 2 * TILE) {
      __m512 lines[2 * 16];
      for (int64_t c = 0; c < 16; c++) {
        const int64_t left = first + c < k ? d - j : 0;
        lines[2 * c] = load_part(w + (first + c) * d + j, left);
        lines[2 * c + 1] = load_part(w + (first + c) * d + j + 16, left - 16);
      }
      store_factor(to, lines, 1);
    }
  }
}

/* The sums of 32 rows and 16 columns: of both halves of the factor, for the upper and the lower 16 rows. */
static ES_INLINE void multiply(float sums[4][AMX_TILE_FLOATS], const uint16_t *x, const uint16_t *w, int64_t blocks,
                               const int fetch) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t b = 0; b < blocks; b++, x += ES_TILES_BLOCK, w += 2 * TILE) {
    for (int i = 0; fetch && i < ES_TILES_EDGE; i++)
      _mm_prefetch((const char *)(x + AHEAD * ES_TILES_BLOCK + i * AMX_DEEP), _MM_HINT_T1);
    _tile_loadd(6, w, AMX_LINE);
    _tile_loadd(4, x, AMX_LINE);
    _tile_loadd(5, x + TILE, AMX_LINE);
    _tile_loadd(7, w + TILE, AMX_LINE);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 5, 6);
    _tile_dpbf16ps(2, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums[0], AMX_LINE);
  _tile_stored(1, sums[1], AMX_LINE);
  _tile_stored(2, sums[2], AMX_LINE);
  _tile_stored(3, sums[3], AMX_LINE);
}

static void forward(float *out, const uint16_t *x, int64_t n, int64_t d, const uint16_t *w, int64_t k) {
  const int64_t blocks = (d + ES_TILES_EDGE - 1) / ES_TILES_EDGE;
  float sums[4][AMX_TILE_FLOATS] __attribute__((aligned(64)));
  tiles_open(0, AMX_ROWS);
  for (int64_t first = 0; first < n; first += ES_TILES_EDGE, x += blocks * ES_TILES_BLOCK) {
    for (int64_t c = 0; c < k; c += 16) {
      const __mmask16 mask = (__mmask16)amx_bits(k - c < 16 ? k - c : 16);
      tiles_fence();
      if (c == 0)
        multiply(sums, x, w, blocks, 1);
      else
        multiply(sums, x, w + c / 16 * blocks * 2 * TILE, blocks, 0);
      tiles_fence();
      for (int64_t i = 0; i < ES_TILES_EDGE && first + i < n; i++) {
        const float *a = &sums[i / 16][i % 16 * 16], *b = &sums[2 + i / 16][i % 16 * 16];
        _mm512_mask_storeu_ps(out + (first + i) * k + c, mask, _mm512_load_ps(a) + _mm512_load_ps(b));
      }
    }
  }
  tiles_close();
}

/* Packs r (n × k) as tiles of 16 columns by 32 rows: for each 16 columns, the blocks of rows one after the other. */
static void pack_turned(uint16_t *to, const float *r, int64_t n, int64_t k) {
  for (int64_t c = 0; c < k; c += 16) {
    for (int64_t first = 0; first < n; first += ES_TILES_EDGE, to += 2 * TILE) {
      __m512i upper[16], lower[16];
      __m512 lines[2 * 16];
      for (int64_t i = 0; i < 16; i++) {
        const float *row = r + (first + i) * k + c;
        upper[i] = _mm512_castps_si512(load_part(row, first + i < n ? k - c : 0));
        lower[i] = _mm512_castps_si512(load_part(row + 16 * k, first + 16 + i < n ? k - c : 0));
      }
      amx_turn(upper);
      amx_turn(lower);
      for (int i = 0; i < 16; i++) {
        lines[2 * i] = _mm512_castsi512_ps(upper[i]);
        lines[2 * i + 1] = _mm512_castsi512_ps(lower[i]);
      }
      store_factor(to, lines, 0);
    }
  }
}

/* Pairs the rows of a block: two tiles of B, with the features in the order of `add_block`. */
static ES_INLINE void pair_rows(uint16_t *to, const uint16_t *x) {
  for (int64_t i = 0; i < 16; i++) {
    const __m512i even = _mm512_loadu_si512(x + 2 * i * AMX_DEEP), odd = _mm512_loadu_si512(x + (2 * i + 1) * AMX_DEEP);
    _mm512_store_si512(to + i * AMX_DEEP, _mm512_unpacklo_epi16(even, odd));
    _mm512_store_si512(to + TILE + i * AMX_DEEP, _mm512_unpackhi_epi16(even, odd));
  }
}

/* The sums of 16 columns and 32 features over the rows: of both halves of r, for both tiles of features. */
static ES_INLINE void multiply_turned(float sums[4][AMX_TILE_FLOATS], const uint16_t *r, const uint16_t *x,
                                      int64_t blocks) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t b = 0; b < blocks; b++, x += ES_TILES_BLOCK, r += 2 * TILE) {
    _tile_loadd(4, r, AMX_LINE);
    _tile_loadd(6, x, AMX_LINE);
    _tile_loadd(7, x + TILE, AMX_LINE);
    _tile_loadd(5, r + TILE, AMX_LINE);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums[0], AMX_LINE);
  _tile_stored(1, sums[1], AMX_LINE);
  _tile_stored(2, sums[2], AMX_LINE);
  _tile_stored(3, sums[3], AMX_LINE);
}

static ES_INLINE __m512 both_halves(const float *sum) {
  return _mm512_load_ps(sum) + _mm512_load_ps(sum + 2 * AMX_TILE_FLOATS);
}

static void backward(double *sum, const uint16_t *x, int64_t n, int64_t d, const float *r, int64_t k, uint16_t *room) {
  const int64_t across = (d + ES_TILES_EDGE - 1) / ES_TILES_EDGE, down = (n + ES_TILES_EDGE - 1) / ES_TILES_EDGE;
  uint16_t paired[STACK * ES_TILES_BLOCK] __attribute__((aligned(64)));
  float sums[4][AMX_TILE_FLOATS] __attribute__((aligned(64)));
  pack_turned(room, r, n, k);
  tiles_open(0, AMX_ROWS);
  for (int64_t b = 0; b < across; b++) {
    for (int64_t i = 0; i < down; i++) pair_rows(paired + i * ES_TILES_BLOCK, x + (i * across + b) * ES_TILES_BLOCK);
    for (int64_t c = 0; c < k; c += 16) {
      tiles_fence();
      multiply_turned(sums, room + c / 16 * down * 2 * TILE, paired, down);
      tiles_fence();
      for (int64_t e = 0; e < 16 && c + e < k; e++)
        add_block(sum + (c + e) * d + b * ES_TILES_EDGE, both_halves(&sums[0][e * 16]), both_halves(&sums[1][e * 16]),
                  d - b * ES_TILES_EDGE);
    }
  }
  tiles_close();
}

const tiles_t es_tiles_amx = {pack, load, forward, backward};
#endif
