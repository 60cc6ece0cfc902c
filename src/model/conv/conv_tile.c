#include "conv_tile.h"
#include "conv.h"
#include "eigenscope/kernel.h"
#ifdef ES_KERNEL_TARGETS
#include <immintrin.h>
#endif

enum { TALL = 8 };

const float es_conv_tile_none[CONV_TILE_WIDE];

static ES_INLINE void turn(float *to, ptrdiff_t line, const float *from, ptrdiff_t group, int taps) {
  for (int tap = 0; tap < taps; tap++) {
    for (int c = 0; c < CONV_TILE_WIDE; c++) to[tap * line + c] = from[c * group + tap];
  }
}

#ifdef ES_KERNEL_TARGETS
/* Whole lines at once. Single floats take 1.5 cycles each, and fill the store buffer when weights are not in the cache.
 */
__attribute__((target("avx512f"))) static void turn_wide(float *to, ptrdiff_t line, const float *from, ptrdiff_t group,
                                                         int taps) {
  const __m512i steps = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i at = _mm512_mullo_epi32(steps, _mm512_set1_epi32((int)group));
  for (int c = 0; c < CONV_TILE_WIDE; c += 16) {
    for (int tap = 0; tap < taps; tap++)
      _mm512_storeu_ps(to + tap * line + c, _mm512_i32gather_ps(at, from + c * group + tap, sizeof *from));
  }
}
#endif

void es_conv_tile_turn(float *to, ptrdiff_t line, const float *from, ptrdiff_t group, int taps) {
#ifdef ES_KERNEL_TARGETS
  if (es_conv_isa() >= CONV_AVX512) {
    turn_wide(to, line, from, group, taps);
    return;
  }
#endif
  if (taps == 9)
    turn(to, line, from, group, 9);
  else
    turn(to, line, from, group, taps);
}

typedef float vector_t __attribute__((vector_size(ES_VECTOR * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef float v16_t __attribute__((vector_size(16 * sizeof(float)), aligned(sizeof(float)), may_alias));

/* Computes `rows` rows × 32 channels in the registers of AVX-512 … */
static ES_INLINE void multiply_wide(const es_conv_tile_t *t, const es_conv_reach_t *r, int rows) {
  v16_t a[TALL], b[TALL];
  for (int i = 0; i < rows; i++) {
    a[i] = *(const v16_t *)t->bias;
    b[i] = *(const v16_t *)(t->bias + 16);
  }
  for (int n = 0; n < r->n; n++) {
    const float *x = t->x + r->source[n], *w = t->weights + r->tap[n] * t->from * CONV_TILE_WIDE;
    for (ptrdiff_t k = 0; k < t->from; k++, w += CONV_TILE_WIDE) {
      const v16_t left = *(const v16_t *)w, right = *(const v16_t *)(w + 16);
      for (int i = 0; i < rows; i++) {
        const float f = x[i * t->x_stride + k];
        a[i] += f * left;
        b[i] += f * right;
      }
    }
  }
  for (int i = 0; i < rows; i++) {
    float *y = t->y + i * t->y_stride;
    *(v16_t *)y = a[i];
    *(v16_t *)(y + 16) = b[i];
  }
}

/* … or at most 4 × 16, from channel `first` of the tile on, in the registers of AVX2 or half of NEON's. */
static ES_INLINE void multiply_narrow(const es_conv_tile_t *t, const es_conv_reach_t *r, int first, int rows) {
  enum { ACROSS = CONV_TILE_WIDE / 2 / ES_VECTOR };
  vector_t sums[TALL / 2][ACROSS], v[ACROSS];
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < ACROSS; j++) sums[i][j] = *(const vector_t *)(t->bias + first + j * ES_VECTOR);
  }
  for (int n = 0; n < r->n; n++) {
    const float *x = t->x + r->source[n], *w = t->weights + r->tap[n] * t->from * CONV_TILE_WIDE + first;
    for (ptrdiff_t k = 0; k < t->from; k++, w += CONV_TILE_WIDE) {
      for (int j = 0; j < ACROSS; j++) v[j] = *(const vector_t *)(w + j * ES_VECTOR);
      for (int i = 0; i < rows; i++) {
        const float f = x[i * t->x_stride + k];
        for (int j = 0; j < ACROSS; j++) sums[i][j] += f * v[j];
      }
    }
  }
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < ACROSS; j++) *(vector_t *)(t->y + i * t->y_stride + first + j * ES_VECTOR) = sums[i][j];
  }
}

/* Computes the rows in groups that are as large as registers and rows_left allow. */
ES_KERNEL
static void rows_wide(es_conv_tile_t t, const es_conv_reach_t *r, int64_t rows_left) {
  for (int rows; rows_left > 0; rows_left -= rows, t.x += rows * t.x_stride, t.y += rows * t.y_stride) {
    rows = rows_left >= 8 ? 8 : rows_left >= 4 ? 4 : rows_left >= 2 ? 2 : 1;
    if (rows == 8)
      multiply_wide(&t, r, 8);
    else if (rows == 4)
      multiply_wide(&t, r, 4);
    else if (rows == 2)
      multiply_wide(&t, r, 2);
    else
      multiply_wide(&t, r, 1);
  }
}

ES_KERNEL
static void rows_narrow(es_conv_tile_t t, const es_conv_reach_t *r, int64_t rows_left) {
  for (int rows; rows_left > 0; rows_left -= rows, t.x += rows * t.x_stride, t.y += rows * t.y_stride) {
    rows = rows_left >= 4 ? 4 : 1;
    for (int first = 0; first < CONV_TILE_WIDE; first += CONV_TILE_WIDE / 2) {
      if (rows == 4)
        multiply_narrow(&t, r, first, 4);
      else
        multiply_narrow(&t, r, first, 1);
    }
  }
}

void es_conv_tile_run(const es_conv_tile_t *tile, const es_conv_reach_t *reach, int64_t rows) {
  (es_conv_isa() >= CONV_AVX512 ? rows_wide : rows_narrow)(*tile, reach, rows);
}
