/* The product that convolutions on small maps are made of: a few rows times 32 columns, kept in registers. */
#ifndef ES_MODEL_CONV_TILE_H
#define ES_MODEL_CONV_TILE_H

#include <stddef.h>
#include <stdint.h>

enum { CONV_TILE_WIDE = 32, CONV_TAPS_MOST = 49 };

/* Taps that add to a result, and where their row of the source is: floats from `x`. */
typedef struct conv_reach {
  int n;
  int tap[CONV_TAPS_MOST];
  ptrdiff_t source[CONV_TAPS_MOST];
} es_conv_reach_t;

/* y[row][j] = bias[j] + Σ over taps and k < from of x[row][source + k]·weights[tap][k][j], j < CONV_TILE_WIDE. Strides
 * are from row to row, in floats. */
typedef struct conv_tile {
  float *y;
  const float *x, *weights, *bias;
  ptrdiff_t y_stride, x_stride, from;
} es_conv_tile_t;

/* Any number of rows; each is computed alike, whatever the others are. */
void es_conv_tile_run(const es_conv_tile_t *tile, const es_conv_reach_t *reach, int64_t rows);

/* `taps` lines of CONV_TILE_WIDE floats, `line` floats apart, from as many groups of `taps` floats, `group` apart: how
 * weights (out, in, tap) become those of tiles. */
void es_conv_tile_turn(float *to, ptrdiff_t line, const float *from, ptrdiff_t group, int taps);

/* A bias of zeros. */
extern const float es_conv_tile_none[CONV_TILE_WIDE];

#endif
