/* The gradient of the weights with AMX. For each tap, the gradient is the product of two matrices over all positions
 * and samples: output gradient (channels × positions) and input (positions × channels). A product of tiles covers two
 * neighbouring positions of 16 samples, so narrow maps fill tiles, too. Both operands are packed first: the output
 * gradient transposed, the input in pairs of samples, with zeros around the map. Sums are tiles [row of the
 * kernel][tap] for each pair of a block of output channels and a block of input channels. */
#ifndef ES_MODEL_CONV_AMX_WEIGHTS_H
#define ES_MODEL_CONV_AMX_WEIGHTS_H

#include "conv_amx.h"
#include "eigenscope/model.h"

enum { SAMPLES = ES_SLICE_MAX, PAIRS = SAMPLES / 2, COLUMN = PAIRS * AMX_DEEP /* bfloat16 of a packed column */ };

/* Sizes of a layer in tiles. A block of input is 16 channels of one column, or, of fewer channels, `wide` neighbouring
 * columns, so that one product serves `wide` taps of a row of the kernel. */
typedef struct es_amx_shape {
  const es_node_t *n;
  int out_blocks, rows;      /* blocks of output channels; channels of a block */
  int in_blocks, wide, taps; /* blocks of input channels; columns of a block; products for a row of the kernel */
  int pairs, pairs_room;     /* pairs of output columns; pairs that the packed gradient has room for */
  int phase, columns;        /* packed columns of each remainder modulo the stride; of all */
  int band, ring;            /* output rows that are packed together; input rows that they need */
  ptrdiff_t x_line, dy_line; /* bfloat16 in a packed row of one block */
} es_amx_shape_t;

/* The packed operands of one band of rows. Row i of a block starts at i·row; the rows of the input form a ring. */
typedef struct es_amx_band {
  const uint16_t *x, *dy;
  ptrdiff_t x_row, x_block, dy_row, dy_block; /* bfloat16 between rows and between blocks */
  int first, rows, ring;
} es_amx_band_t;

es_amx_shape_t es_amx_shape_of(const es_node_t *n);
/* Floats of the sums of one pair of blocks. */
ptrdiff_t es_amx_sums(const es_amx_shape_t *s);

/* Packs one row of up to 16 samples; `row` is that of the first sample, in NHWC, `block` the distance between packed
 * blocks. */
void es_amx_pack_x(const es_amx_shape_t *s, uint16_t *packed, ptrdiff_t block, const uint16_t *row, int64_t count);
void es_amx_pack_dy(const es_amx_shape_t *s, uint16_t *packed, ptrdiff_t block, const uint16_t *row, int64_t count);

/* The number of blocks, 1 or 2, that are multiplied together from block i of n on; `other` is the number of blocks of
 * the other operand. */
int es_amx_together(int i, int n, int other);
/* Adds the products of a band for tall × across pairs of blocks from (o, i) on, or sets them. `wide` blocks of input
 * lie between the sums of two output blocks. The caller has called tiles_open(es_amx_few(s), s->rows). */
void es_amx_multiply(const es_amx_shape_t *s, const es_amx_band_t *band, float *sums, int wide, int o, int i, bool set,
                     int tall, int across);
/* sums (rows × 16) += the sum of a block's gradient, in every column. */
void es_amx_add_bias(const es_amx_shape_t *s, const es_amx_band_t *band, float *sums, int o, bool set);

/* Writes the sums of one pair of blocks to the gradient (out, in, tap), or adds them. */
void es_amx_write_block(const es_amx_shape_t *s, float *dw, const float *sums, int o, int i, bool set);
void es_amx_write_bias(const es_amx_shape_t *s, float *db, const float *sums, int o, bool set);

static inline unsigned es_amx_few(const es_amx_shape_t *s) {
  return s->rows < AMX_ROWS ? 0x3f : 0;
}

#endif
