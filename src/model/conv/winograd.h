/* The transforms of Winograd's minimal filtering F(4 × 4, 3 × 3): a patch of 6 × 6 and a kernel of 3 × 3 become 36
 * numbers each, whose products become the 4 × 4 outputs; 36 products in place of 144 (Lavin and Gray, arXiv 1509.09308,
 * section 4.3, whose matrices these are). Each number here is a vector of channels. */
#ifndef ES_MODEL_WINOGRAD_H
#define ES_MODEL_WINOGRAD_H

#include <stddef.h>

enum { WINOGRAD_TILE = 4, WINOGRAD_PATCH = 6, WINOGRAD_NUMBERS = 36, WINOGRAD_TAPS = 9 };

/* A sample's map (h, w, channels), channels a multiple of 16; it is zero beyond its edges. */
typedef struct winograd_map {
  const float *map;
  ptrdiff_t h, w, channels;
} es_winograd_map_t;

/* Bᵀ·d·B of the patch of the tile whose first output is (row, column), padding 1: number i, all channels of it, to out
 * + i·number. */
void es_winograd_input(float *out, ptrdiff_t number, const es_winograd_map_t *from, ptrdiff_t row, ptrdiff_t column);
/* Aᵀ·m·A + bias to the outputs of a tile that lie on the map (h, w, channels); number i of m is at m + i·number. */
void es_winograd_output(float *map, ptrdiff_t h, ptrdiff_t w, ptrdiff_t channels, ptrdiff_t row, ptrdiff_t column,
                        const float *m, ptrdiff_t number, const float *bias);
/* G·g·Gᵀ for `wide` kernels side by side, a multiple of 16: taps (9, wide) to out + i·number. */
void es_winograd_kernel(float *out, ptrdiff_t number, const float *taps, ptrdiff_t wide);

#endif
