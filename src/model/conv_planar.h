/* Loops over planes: one image for each channel, so that a vector holds neighbouring positions of one channel and is
 * full however few channels there are. Compiled once for each instruction set, with the vectors that it has
 * (conv_planar_*.c). Every position keeps to its lane: what is computed for one does not depend on the others. */
#ifndef ES_MODEL_CONV_PLANAR_H
#define ES_MODEL_CONV_PLANAR_H

#include "conv.h"

/* Samples of h × w positions, one below the other, in a border of zeros: rows are w + 1 floats apart, so that the zero
 * behind a row is also the one before the next, and there is a row of zeros above and below each sample. `first`: of
 * the first position in its plane, a multiple of 16 as is `plane`, the floats from one channel to the next; `vectors`:
 * of 16 floats from there to the last position. */
typedef struct conv_map {
  ptrdiff_t h, w, row, first, vectors, plane;
} conv_map_t;

enum { CONV_VECTOR = 16, CONV_TALL = 4 };

typedef struct conv_planar {
  /* A sample, NHWC, to planes and back; the border is neither written nor read. `planes`: the sample's first position
   * in the plane of the first channel. */
  void (*spread)(float *planes, const conv_map_t *map, const float *sample, ptrdiff_t channels);
  void (*gather)(float *sample, const conv_map_t *map, const float *planes, ptrdiff_t channels);
  /* y[o][p] = bias[o] + Σ_t w[o][t]·x[offsets[t] + p], for all positions p and some of the border. `channels` of y, a
   * multiple of CONV_TALL, as many biases; weights are [o / CONV_TALL][t][o % CONV_TALL]. */
  void (*multiply)(float *y, const conv_map_t *map, ptrdiff_t channels, const float *x, const ptrdiff_t *offsets,
                   ptrdiff_t taps, const float *weights, const float *bias);
  /* sums[o][t] += Σ_p dy[o][p]·x[offsets[t] + p], and behind them sums[o] += Σ_p dy[o][p]; each sum is in parts, of
   * which there are CONV_VECTOR at most, until `fold` adds them up: out[i] of n, a multiple of CONV_VECTOR. The border
   * of dy is zeros; `channels` of dy as of y, `taps` a multiple of 3. */
  void (*correlate)(float *sums, const conv_map_t *map, ptrdiff_t channels, const float *dy, const float *x,
                    const ptrdiff_t *offsets, ptrdiff_t taps);
  void (*fold)(float *out, const float *sums, ptrdiff_t n);
} conv_planar_t;

extern const conv_planar_t conv_planar_baseline, conv_planar_avx2, conv_planar_avx512;
/* The loops for an instruction set, or the best below it that were compiled. */
const conv_planar_t *conv_planar(conv_isa_t isa);

#endif
