/* Loops over planes, one image per channel: a vector holds neighbouring positions of one channel, so it is full even
 * with few channels. Compiled once for each instruction set, with the widest vectors it has (conv_planar_*.c). Each
 * position is computed in its own vector lane, independent of all other positions. */
#ifndef ES_MODEL_CONV_PLANAR_H
#define ES_MODEL_CONV_PLANAR_H

#include "conv.h"

enum { CONV_LINE = 16, CONV_TALL = 4 };

/* Neighbouring positions of a row that are computed together. `plane`: offset of the first one in its plane;
 * `position`: its index in NHWC; both counted from the first position of the map. `count` of the positions are real. */
typedef struct conv_vector {
  ptrdiff_t plane, position, count;
} es_conv_vector_t;

/* Rows of w positions. In a plane, rows start `row` floats apart, a multiple of CONV_LINE greater than w; the zeros
 * after each row also serve as those before the next row. `plane`: floats between two channels. */
typedef struct conv_map {
  ptrdiff_t w, row, plane;
  es_conv_vector_t *vectors; /* of all rows */
  ptrdiff_t n_vectors;
} es_conv_map_t;

typedef struct es_conv_planar {
  ptrdiff_t vector; /* floats per vector */
  /* Copies rows of a sample from NHWC to planes; does not touch the zeros between rows. `planes`: first position of the
   * first channel. */
  void (*spread)(float *planes, const es_conv_map_t *map, const float *sample, ptrdiff_t rows, ptrdiff_t channels);
  /* y[p][o] = bias[o] + Σ_t w[o][t]·x[offsets[t] + p] for the positions p of a map; y is NHWC with `channels` channels.
   * Weights are [o / CONV_TALL][t][o % CONV_TALL]; weights and biases are padded to a multiple of CONV_TALL. */
  void (*multiply)(float *y, const es_conv_map_t *map, ptrdiff_t channels, const float *x, const ptrdiff_t *offsets,
                   ptrdiff_t taps, const float *weights, const float *bias);
  /* sums[o][t] += Σ_p dy[o][p]·x[offsets[t] + p], and after all of these sums[o] += Σ_p dy[o][p], followed by CONV_LINE
   * spare floats. `channels` of dy is a multiple of CONV_TALL, `taps` of 3. dy is 0 at positions that are not real. */
  void (*correlate)(float *sums, const es_conv_map_t *map, ptrdiff_t channels, const float *dy, const float *x,
                    const ptrdiff_t *offsets, ptrdiff_t taps);
} es_conv_planar_t;

extern const es_conv_planar_t es_conv_planar_baseline, es_conv_planar_avx2, es_conv_planar_avx512, es_conv_planar_neon;

#endif
