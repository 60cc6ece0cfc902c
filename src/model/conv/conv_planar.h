/* Loops over planes: one image for each channel, so that a vector holds neighbouring positions of one channel and is
 * full however few channels there are. Compiled once for each instruction set, with the vectors that it has
 * (conv_planar_*.c). Every position keeps to its lane: what is computed for one does not depend on the others. */
#ifndef ES_MODEL_CONV_PLANAR_H
#define ES_MODEL_CONV_PLANAR_H

#include "conv.h"

enum { CONV_LINE = 16, CONV_TALL = 4 };

/* Neighbouring positions of a row that are computed together: `plane` is where the first lies in its plane, `position`
 * its number in NHWC, both counted from the first of the map; `count` of them are real. */
typedef struct conv_vector {
  ptrdiff_t plane, position, count;
} es_conv_vector_t;

/* Rows of w positions. In a plane they start `row` floats apart, a multiple of CONV_LINE greater than w: zeros behind
 * each row are also those before the next. `plane`: from one channel to the next. */
typedef struct conv_map {
  ptrdiff_t w, row, plane;
  es_conv_vector_t *vectors; /* of all rows */
  ptrdiff_t n_vectors;
} es_conv_map_t;

typedef struct es_conv_planar {
  ptrdiff_t vector; /* floats */
  /* Rows of a sample, NHWC, to planes; zeros between them are not touched. `planes`: the first position of the first
   * channel. */
  void (*spread)(float *planes, const es_conv_map_t *map, const float *sample, ptrdiff_t rows, ptrdiff_t channels);
  /* y[p][o] = bias[o] + Σ_t w[o][t]·x[offsets[t] + p] for the positions p of a map; y is NHWC, of `channels`. Weights
   * are [o / CONV_TALL][t][o % CONV_TALL], they and the biases filled up to a multiple of CONV_TALL. */
  void (*multiply)(float *y, const es_conv_map_t *map, ptrdiff_t channels, const float *x, const ptrdiff_t *offsets,
                   ptrdiff_t taps, const float *weights, const float *bias);
  /* sums[o][t] += Σ_p dy[o][p]·x[offsets[t] + p], and behind them sums[o] += Σ_p dy[o][p]; behind those is room for
   * CONV_LINE floats. `channels` of dy is a multiple of CONV_TALL, `taps` of 3. Positions of vectors that are not real
   * are 0 in dy. */
  void (*correlate)(float *sums, const es_conv_map_t *map, ptrdiff_t channels, const float *dy, const float *x,
                    const ptrdiff_t *offsets, ptrdiff_t taps);
} es_conv_planar_t;

extern const es_conv_planar_t es_conv_planar_baseline, es_conv_planar_avx2, es_conv_planar_avx512;

#endif
