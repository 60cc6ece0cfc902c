#include "conv_tile.h"
#include "conv.h"
#include "eigenscope/kernel.h"

enum { TALL = 8 };

const float es_conv_tile_none[CONV_TILE_WIDE];

static ES_INLINE void turn(float *to, ptrdiff_t line, const float *from, ptrdiff_t group, int taps) {
  for (int tap = 0; tap < taps; tap++) {
    for (int c = 0; c < CONV_TILE_WIDE; c++) to[tap * line + c] = from[c * group + tap];
  }
}

void es_conv_tile_turn(float *to, ptrdiff_t line, const float *from, ptrdiff_t group, int taps) {
  if (taps == 9)
    turn(to, line, from, group, 9);
  else
    turn(to, line, from, group, taps);
}

typedef float v8_t __attribute__((vector_size(8 * sizeof(float)), aligned(sizeof(float)), may_alias));
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

/* … or at most 4 × 16, from channel `first` of the tile on, in the registers of AVX2. */
static ES_INLINE void multiply_narrow(const es_conv_tile_t *t, const es_conv_reach_t *r, int first, int rows) {
  v8_t a[TALL / 2], b[TALL / 2];
  for (int i = 0; i < rows; i++) {
    a[i] = *(const v8_t *)(t->bias + first);
    b[i] = *(const v8_t *)(t->bias + first + 8);
  }
  for (int n = 0; n < r->n; n++) {
    const float *x = t->x + r->source[n], *w = t->weights + r->tap[n] * t->from * CONV_TILE_WIDE + first;
    for (ptrdiff_t k = 0; k < t->from; k++, w += CONV_TILE_WIDE) {
      const v8_t left = *(const v8_t *)w, right = *(const v8_t *)(w + 8);
      for (int i = 0; i < rows; i++) {
        const float f = x[i * t->x_stride + k];
        a[i] += f * left;
        b[i] += f * right;
      }
    }
  }
  for (int i = 0; i < rows; i++) {
    float *y = t->y + i * t->y_stride + first;
    *(v8_t *)y = a[i];
    *(v8_t *)(y + 8) = b[i];
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
  (es_conv_isa() == CONV_AVX512 ? rows_wide : rows_narrow)(*tile, reach, rows);
}
