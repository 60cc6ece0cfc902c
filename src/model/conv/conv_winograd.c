/* Winograd convolutions (winograd.h), one slice at a time, for layers that oneDNN computes directly: oneDNN's Winograd
 * kernels pay off only from 64 channels on maps of 16 × 16 on. */
#include "conv.h"
#include "conv_tile.h"
#include "winograd.h"
#include <string.h>

/* A row is a tile of the output. ROWS rows go through all steps together, so that they stay in the cache. */
enum { WIDE = CONV_TILE_WIDE, ROWS = 32, NUMBERS = WINOGRAD_NUMBERS, TILE = WINOGRAD_TILE };

/* The input gradient is the convolution of the output gradient with flipped kernels. */
typedef struct shape {
  ptrdiff_t h, w, from, to; /* channels */
  ptrdiff_t across, tiles;  /* tiles per row of tiles; tiles per sample */
} shape_t;

static shape_t shape_of(const es_node_t *node, bool backward) {
  const ptrdiff_t h = node->in.h, w = node->in.w, across = (w + TILE - 1) / TILE;
  return (shape_t){.h = h,
                   .w = w,
                   .from = backward ? node->out.c : node->in.c,
                   .to = backward ? node->in.c : node->out.c,
                   .across = across,
                   .tiles = across * ((h + TILE - 1) / TILE)};
}

/* Weights: [number][to / WIDE][from][to % WIDE]. */
static size_t packed_floats(const es_node_t *node) {
  return (size_t)NUMBERS * (size_t)node->in.c * (size_t)node->out.c;
}

static void pack_forward(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t in = node->in.c, out = node->out.c;
  float taps[WINOGRAD_TAPS * WIDE];
  for (ptrdiff_t o = 0; o < out; o += WIDE) {
    for (ptrdiff_t i = 0; i < in; i++) {
      es_conv_tile_turn(taps, WIDE, weights + (o * in + i) * WINOGRAD_TAPS, in * WINOGRAD_TAPS, WINOGRAD_TAPS);
      es_winograd_kernel(packed + o * in + i * WIDE, in * out, taps, WIDE);
    }
  }
}

static void pack_backward(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t in = node->in.c, out = node->out.c;
  float taps[WINOGRAD_TAPS * WIDE];
  for (ptrdiff_t o = 0; o < out; o++) {
    for (ptrdiff_t i = 0; i < in; i += WIDE) {
      es_conv_tile_turn(taps + (WINOGRAD_TAPS - 1) * WIDE, -WIDE, weights + (o * in + i) * WINOGRAD_TAPS, WINOGRAD_TAPS,
                        WINOGRAD_TAPS);
      es_winograd_kernel(packed + i * out + o * WIDE, in * out, taps, WIDE);
    }
  }
}

/* Floats for the patches and products of ROWS tiles. */
static size_t scratch_floats(const es_node_t *node) {
  return (size_t)(NUMBERS * ROWS) * ((size_t)node->in.c + (size_t)node->out.c);
}

static void multiply_rows(const shape_t *s, const es_conv_task_t *task, float *products, const float *patches,
                          int64_t rows) {
  const es_conv_reach_t reach = {.n = 1};
  for (ptrdiff_t number = 0; number < NUMBERS; number++) {
    for (ptrdiff_t o = 0; o < s->to; o += WIDE) {
      const es_conv_tile_t t = {.y = products + number * ROWS * s->to + o,
                                .x = patches + number * ROWS * s->from,
                                .weights = task->weights + (number * s->to + o) * s->from,
                                .bias = es_conv_tile_none,
                                .y_stride = s->to,
                                .x_stride = s->from,
                                .from = s->from};
      es_conv_tile_run(&t, &reach, rows);
    }
  }
}

static void multiply(const shape_t *s, const es_conv_task_t *task, const float *source, float *result,
                     const float *bias) {
  float *patches = task->scratch, *products = patches + NUMBERS * ROWS * s->from;
  const ptrdiff_t all = (ptrdiff_t)task->count * s->tiles;
  for (ptrdiff_t first = 0; first < all; first += ROWS) {
    const ptrdiff_t rows = all - first < ROWS ? all - first : ROWS;
    for (ptrdiff_t i = 0; i < rows; i++) {
      const ptrdiff_t sample = (first + i) / s->tiles, tile = (first + i) % s->tiles;
      const es_winograd_map_t map = {source + sample * s->h * s->w * s->from, s->h, s->w, s->from};
      es_winograd_input(patches + i * s->from, ROWS * s->from, &map, tile / s->across * TILE, tile % s->across * TILE);
    }
    multiply_rows(s, task, products, patches, rows);
    for (ptrdiff_t i = 0; i < rows; i++) {
      const ptrdiff_t sample = (first + i) / s->tiles, tile = (first + i) % s->tiles;
      es_winograd_output(result + sample * s->h * s->w * s->to, s->h, s->w, s->to, tile / s->across * TILE,
                         tile % s->across * TILE, products + i * s->to, ROWS * s->to, bias);
    }
  }
}

static void run_forward(const es_conv_task_t *task) {
  const shape_t s = shape_of(task->node, false);
  multiply(&s, task, task->x, task->y, task->bias);
}

static void run_backward(const es_conv_task_t *task) {
  const shape_t s = shape_of(task->node, true);
  multiply(&s, task, task->dy, task->dx, NULL);
}

bool es_conv_winograd_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa) {
  const shape_t s = shape_of(node, direction == CONV_BACKWARD_DATA);
  const ptrdiff_t most = s.from > s.to ? s.from : s.to, side = s.h < s.w ? s.h : s.w;
  if (node->kernel != 3 || node->stride != 1 || node->padding != 1 || node->groups != 1 || s.from % 16 || s.to % WIDE)
    return false;
  if (isa == CONV_AVX2 || isa == CONV_NEON) return side >= 8 || (side >= 4 && most >= 64);
  if (isa < CONV_AVX512 || side < 4) return false;
  return side < 8 ? most >= 64 && most <= 128 : most <= (side < 16 ? 256 : 128);
}

const es_conv_algorithm_t es_conv_winograd_forward = {packed_floats, pack_forward, scratch_floats, run_forward};
const es_conv_algorithm_t es_conv_winograd_data = {packed_floats, pack_backward, scratch_floats, run_backward};
