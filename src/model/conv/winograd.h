/* Transforms of Winograd's minimal filtering F(4 × 4, 3 × 3): a patch of 6 × 6 and a kernel of 3 × 3 become 36 numbers
 * each, and their products become the 4 × 4 outputs, with 36 products instead of 144 (Lavin and Gray, arXiv 1509.09308,
 * section 4.3, which gives the matrices). Each number here is a vector of channels. */
#ifndef ES_MODEL_WINOGRAD_H
#define ES_MODEL_WINOGRAD_H

#include <stddef.h>

enum { WINOGRAD_TILE = 4, WINOGRAD_PATCH = 6, WINOGRAD_NUMBERS = 36, WINOGRAD_TAPS = 9 };

/* Map (h, w, channels) of a sample; channels is a multiple of 16; values outside the map are zero. */
typedef struct winograd_map {
  const float *map;
  ptrdiff_t h, w, channels;
} es_winograd_map_t;

/* Writes Bᵀ·d·B of a tile's patch to `out`: number i of all channels at out + i·number. (row, column) is the tile's
 * first output; padding is 1. */
void es_winograd_input(float *out, ptrdiff_t number, const es_winograd_map_t *from, ptrdiff_t row, ptrdiff_t column);
/* Writes Aᵀ·m·A + bias to a tile's outputs inside the map (h, w, channels); number i of m is at m + i·number. */
void es_winograd_output(float *map, ptrdiff_t h, ptrdiff_t w, ptrdiff_t channels, ptrdiff_t row, ptrdiff_t column,
                        const float *m, ptrdiff_t number, const float *bias);
/* Writes G·g·Gᵀ of `wide` kernels side by side, a multiple of 16: number i of taps (9, wide) to out + i·number. */
void es_winograd_kernel(float *out, ptrdiff_t number, const float *taps, ptrdiff_t wide);

#endif
