/* The basic product of convolutions on small maps: a few rows times 32 columns, kept in registers. */
#ifndef ES_MODEL_CONV_TILE_H
#define ES_MODEL_CONV_TILE_H

#include <stddef.h>
#include <stdint.h>

enum { CONV_TILE_WIDE = 32, CONV_TAPS_MOST = 49 };

/* Taps that add to a result, and the offset of each tap's source row from `x`, in floats. */
typedef struct conv_reach {
  int n;
  int tap[CONV_TAPS_MOST];
  ptrdiff_t source[CONV_TAPS_MOST];
} es_conv_reach_t;

/* y[row][j] = bias[j] + Σ over taps and k < from of x[row][source + k]·weights[tap][k][j], j < CONV_TILE_WIDE. Strides
 * are between rows, in floats. */
typedef struct conv_tile {
  float *y;
  const float *x, *weights, *bias;
  ptrdiff_t y_stride, x_stride, from;
} es_conv_tile_t;

/* Computes any number of rows. The result of a row does not depend on the other rows. */
void es_conv_tile_run(const es_conv_tile_t *tile, const es_conv_reach_t *reach, int64_t rows);

/* Transposes CONV_TILE_WIDE groups of `taps` floats, `group` floats apart, into `taps` lines of CONV_TILE_WIDE floats,
 * `line` floats apart. Turns weights (out, in, tap) into weights of tiles. */
void es_conv_tile_turn(float *to, ptrdiff_t line, const float *from, ptrdiff_t group, int taps);

/* A bias of zeros. */
extern const float es_conv_tile_none[CONV_TILE_WIDE];

#endif
