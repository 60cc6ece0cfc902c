/** Tiles of AMX: a tile has 16 rows of 64 bytes: 32 bfloat16 or 16 floats. A product of tiles adds to C (rows of A × 16
 * floats) the product of A (rows × 32 bfloat16) and B, whose rows hold pairs: B[k][2j], B[k][2j + 1] belong to column j
 * and to numbers 2k and 2k + 1 of A's rows. A product takes about as many cycles as A has rows.
 *
 * Only files with the flags of AMX see the contents. GCC 12 does not know that instructions for tiles read and write
 * memory, so each block of them stands between two calls of tiles_fence. */
#ifndef EIGENSCOPE_AMX_H
#define EIGENSCOPE_AMX_H

#if defined __AMX_TILE__ || defined __AMXTILE__ /* clang before 15 defines __AMXTILE__ */
#include "eigenscope/kernel.h"
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { AMX_ROWS = 16, AMX_LINE = 64, AMX_COLUMNS = 16, AMX_DEEP = 32, AMX_TILE_FLOATS = 256, AMX_TILES = 8 };

typedef struct tile_shapes {
  uint8_t palette, start_row, unused[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} __attribute__((aligned(64))) tile_shapes_t;

static ES_INLINE void tiles_fence(void) {
  __asm__ volatile("" ::: "memory");
}

/* Starts to use tiles: those whose bit is set in `few` have `rows` rows, the others 16. */
static inline void tiles_open(unsigned few, int rows) {
  tile_shapes_t shapes = {.palette = 1};
  for (int i = 0; i < AMX_TILES; i++) {
    shapes.bytes[i] = AMX_LINE;
    shapes.rows[i] = (uint8_t)(few >> i & 1 ? rows : AMX_ROWS);
  }
  tiles_fence();
  _tile_loadconfig(&shapes);
  tiles_fence();
}

static inline void tiles_close(void) {
  tiles_fence();
  _tile_release();
  tiles_fence();
}

static inline ptrdiff_t amx_round_up(ptrdiff_t n, ptrdiff_t to) {
  return (n + to - 1) / to * to;
}

/* The low n bits, 0 ≤ n ≤ 32. */
static ES_INLINE uint32_t amx_bits(ptrdiff_t n) {
  return n >= 32 ? ~0u : (1u << n) - 1;
}

/* Pairs two lines of 16 bfloat16 number by number, as rows of B are. */
static ES_INLINE __m512i amx_pair(__m256i even, __m256i odd) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

/* Transposes 16 × 16 numbers of 32 bits. */
static ES_INLINE void amx_turn(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 8; i++) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    r[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    r[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    r[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

/* Rounds a float to the nearest bfloat16, ties to even; NaN stays NaN. */
static inline uint16_t amx_round(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  if (f != f) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
#endif
