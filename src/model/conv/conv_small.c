/* Forward and input gradient of convolutions with a small map or few channels, position by position: eight samples at
 * one position, over all taps inside the map. Zeros of the border are never multiplied; on a map of 2 × 2 they would be
 * five ninths of the arithmetic. */
#include "conv.h"
#include "conv_tile.h"

enum { WIDE = CONV_TILE_WIDE, POSITIONS_MOST = 64 };

/* One direction of a layer, written as a product: result (position, to) = Σ over taps and `from` of source·weights. */
typedef struct product {
  const es_node_t *node;
  bool backward;
  es_shape_t from, to;
  int taps;
} product_t;

static product_t product_of(const es_node_t *node, bool backward) {
  return (product_t){.node = node,
                     .backward = backward,
                     .from = backward ? node->out : node->in,
                     .to = backward ? node->in : node->out,
                     .taps = node->kernel * node->kernel};
}

/* Lists the taps that lie inside the map at a position of the result. */
static es_conv_reach_t reach_from(const product_t *p, int row, int column) {
  const int kernel = p->node->kernel, padding = p->node->padding;
  es_conv_reach_t r = {.n = 0};
  for (int u = 0; u < kernel; u++) {
    const int i = es_conv_source(p->node, p->backward, row, u - padding, p->from.h);
    for (int v = 0; i >= 0 && v < kernel; v++) {
      const int j = es_conv_source(p->node, p->backward, column, v - padding, p->from.w);
      if (j < 0) continue;
      r.tap[r.n] = u * kernel + v;
      r.source[r.n++] = ((ptrdiff_t)i * p->from.w + j) * p->from.c;
    }
  }
  return r;
}

/* Weights: [to / WIDE][tap][from][to % WIDE]. */
static size_t packed_floats(const es_node_t *node) {
  return (size_t)(node->kernel * node->kernel) * (size_t)node->in.c * (size_t)node->out.c;
}

/* Both pack the flat weights (out, in, tap): backward reads them contiguously, forward reads WIDE rows at once. */
static void pack_forward(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t taps = node->kernel * node->kernel, in = node->in.c;
  for (ptrdiff_t o = 0; o < node->out.c; o += WIDE) {
    for (ptrdiff_t i = 0; i < in; i++)
      es_conv_tile_turn(packed + o * taps * in + i * WIDE, in * WIDE, weights + (o * in + i) * taps, in * taps,
                        (int)taps);
  }
}

static void pack_backward(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t taps = node->kernel * node->kernel, in = node->in.c, out = node->out.c;
  for (ptrdiff_t o = 0; o < out; o++) {
    for (ptrdiff_t i = 0; i < in; i += WIDE)
      es_conv_tile_turn(packed + i * taps * out + o * WIDE, out * WIDE, weights + (o * in + i) * taps, taps, (int)taps);
  }
}

/* The outer loop runs over channels, so that the weights of a tile are reused at all positions. */
static void multiply(const product_t *p, const es_conv_task_t *task, const float *source, float *result,
                     const float *bias) {
  const int positions = p->to.h * p->to.w;
  es_conv_reach_t reach[POSITIONS_MOST];
  for (int i = 0; i < positions; i++) reach[i] = reach_from(p, i / p->to.w, i % p->to.w);
  for (int o = 0; o < p->to.c; o += WIDE) {
    for (int i = 0; i < positions; i++) {
      const es_conv_tile_t t = {.y = result + (ptrdiff_t)i * p->to.c + o,
                                .x = source,
                                .weights = task->weights + (ptrdiff_t)o * p->taps * p->from.c,
                                .bias = bias ? bias + o : es_conv_tile_none,
                                .y_stride = es_shape_size(p->to),
                                .x_stride = es_shape_size(p->from),
                                .from = p->from.c};
      es_conv_tile_run(&t, &reach[i], task->count);
    }
  }
}

static void run_forward(const es_conv_task_t *task) {
  const product_t p = product_of(task->node, false);
  multiply(&p, task, task->x, task->y, task->bias);
}

static void run_backward(const es_conv_task_t *task) {
  const product_t p = product_of(task->node, true);
  multiply(&p, task, task->dy, task->dx, NULL);
}

bool es_conv_small_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa) {
  const bool backward = direction == CONV_BACKWARD_DATA;
  const product_t p = product_of(node, backward);
  const int positions = p.to.h * p.to.w, least = p.from.c < p.to.c ? p.from.c : p.to.c;
  if (isa == CONV_BASELINE || node->groups != 1 || p.to.c % WIDE || p.taps > CONV_TAPS_MOST) return false;
  return positions <= 4 || (positions <= 16 && (backward || least <= 128)) ||
         (positions <= POSITIONS_MOST && least <= 64 && isa >= CONV_AVX512);
}

const es_conv_algorithm_t es_conv_small_forward = {packed_floats, pack_forward, NULL, run_forward};
const es_conv_algorithm_t es_conv_small_data = {packed_floats, pack_backward, NULL, run_backward};
