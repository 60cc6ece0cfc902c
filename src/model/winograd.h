/* The transforms of Winograd's minimal filtering F(4 × 4, 3 × 3): a patch of 6 × 6 and a kernel of 3 × 3 become 36
 * numbers each, whose products become the 4 × 4 outputs; 36 products in place of 144 (Lavin and Gray, arXiv 1509.09308,
 * section 4.3, whose matrices these are). Each number here is a vector of channels. */
#ifndef ES_MODEL_WINOGRAD_H
#define ES_MODEL_WINOGRAD_H

#include <stddef.h>

enum { WINOGRAD_TILE = 4, WINOGRAD_PATCH = 6, WINOGRAD_NUMBERS = 36, WINOGRAD_TAPS = 9 };

/* A patch of a map (h, w, channels) of which `rows` and `columns` from `row`, `column` (which may be −1) on are wanted;
 * what is not on the map is zero. `channels` is a multiple of 16. Number i of channel c is at out[i·number +
 * c / width·block + c % width]; the width of a block is 8 or a multiple of 16. */
typedef struct winograd_map {
  const float *map;
  ptrdiff_t h, w, channels;
} winograd_map_t;
typedef struct winograd_target {
  float *out;
  ptrdiff_t number, block, width;
} winograd_target_t;

/* Bᵀ·d·B of the patch of the tile whose first output is (row, column), padding 1. */
void winograd_input(const winograd_target_t *to, const winograd_map_t *from, ptrdiff_t row, ptrdiff_t column);
/* A·g·Aᵀ of the gradient of a tile's output. */
void winograd_gradient(const winograd_target_t *to, const winograd_map_t *from, ptrdiff_t row, ptrdiff_t column);
/* Aᵀ·m·A + bias to the outputs of a tile that lie on the map (h, w, channels); number i of m is at m + i·number. */
void winograd_output(float *map, ptrdiff_t h, ptrdiff_t w, ptrdiff_t channels, ptrdiff_t row, ptrdiff_t column,
                     const float *m, ptrdiff_t number, const float *bias);
/* G·g·Gᵀ for `wide` kernels side by side, a multiple of 16: taps (9, wide) to out + i·number. */
void winograd_kernel(float *out, ptrdiff_t number, const float *taps, ptrdiff_t wide);
/* Gᵀ·m·G, the way back for gradients: numbers (36, wide) to taps (9, wide). */
void winograd_taps(float *taps, const float *numbers, ptrdiff_t wide);

#endif
