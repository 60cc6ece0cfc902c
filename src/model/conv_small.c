#include "conv_small.h"
#include "eigenscope/kernel.h"

/* A tile: TALL samples, WIDE channels of the result. */
enum { TALL = 8, WIDE = 32, TAPS_MOST = 49 };

/* One direction of a layer as the same product: result (position, to) = Σ over taps and `from` of source·weights. */
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

/* Taps that reach the map from a position of the result, and where: floats from the start of the sample. */
typedef struct reach {
  int n;
  int tap[TAPS_MOST];
  ptrdiff_t source[TAPS_MOST];
} reach_t;

static reach_t reach_from(const product_t *p, int row, int column) {
  const es_node_t *node = p->node;
  reach_t r = {.n = 0};
  for (int tap = 0; tap < p->taps; tap++) {
    int i = tap / node->kernel - node->padding, j = tap % node->kernel - node->padding;
    if (p->backward) {
      i = row - i;
      j = column - j;
      if (i % node->stride || j % node->stride) continue;
      i /= node->stride;
      j /= node->stride;
    } else {
      i += row * node->stride;
      j += column * node->stride;
    }
    if (i < 0 || i >= p->from.h || j < 0 || j >= p->from.w) continue;
    r.tap[r.n] = tap;
    r.source[r.n++] = ((ptrdiff_t)i * p->from.w + j) * p->from.c;
  }
  return r;
}

/* Weights: [to / WIDE][tap][from][to % WIDE]. */
static size_t packed_floats(const es_node_t *node) {
  return (size_t)(node->kernel * node->kernel) * (size_t)node->in.c * (size_t)node->out.c;
}

/* `taps` lines of WIDE floats each, `line` floats apart, from WIDE groups of `taps` floats, `group` apart. */
static ES_INLINE void turn(float *to, ptrdiff_t line, const float *from, ptrdiff_t group, int taps) {
  for (int tap = 0; tap < taps; tap++) {
    for (int c = 0; c < WIDE; c++) to[tap * line + c] = from[c * group + tap];
  }
}

static void turn_any(float *to, ptrdiff_t line, const float *from, ptrdiff_t group, int taps) {
  if (taps == 9)
    turn(to, line, from, group, 9);
  else
    turn(to, line, from, group, taps);
}

/* Both read the flat weights (out, in, tap) as they lie, or in WIDE rows at once. */
static void pack_forward(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t taps = node->kernel * node->kernel, in = node->in.c;
  for (ptrdiff_t o = 0; o < node->out.c; o += WIDE) {
    for (ptrdiff_t i = 0; i < in; i++)
      turn_any(packed + o * taps * in + i * WIDE, in * WIDE, weights + (o * in + i) * taps, in * taps, (int)taps);
  }
}

static void pack_backward(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t taps = node->kernel * node->kernel, in = node->in.c, out = node->out.c;
  for (ptrdiff_t o = 0; o < out; o++) {
    for (ptrdiff_t i = 0; i < in; i += WIDE)
      turn_any(packed + i * taps * out + o * WIDE, out * WIDE, weights + (o * in + i) * taps, taps, (int)taps);
  }
}

typedef float v8_t __attribute__((vector_size(8 * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef float v16_t __attribute__((vector_size(16 * sizeof(float)), aligned(sizeof(float)), may_alias));

/* One tile: the operands that all sizes of it share. Strides are from sample to sample. */
typedef struct tile {
  float *y;
  const float *x, *weights, *bias;
  ptrdiff_t y_stride, x_stride, from;
} tile_t;

/* `rows` samples × 32 channels in the registers of AVX-512 … */
static ES_INLINE void multiply_wide(const tile_t *t, const reach_t *r, int rows) {
  v16_t a[TALL], b[TALL];
  for (int i = 0; i < rows; i++) {
    a[i] = *(const v16_t *)t->bias;
    b[i] = *(const v16_t *)(t->bias + 16);
  }
  for (int n = 0; n < r->n; n++) {
    const float *x = t->x + r->source[n], *w = t->weights + r->tap[n] * t->from * WIDE;
    for (ptrdiff_t k = 0; k < t->from; k++, w += WIDE) {
      const v16_t left = *(const v16_t *)w, right = *(const v16_t *)(w + 16);
      for (int i = 0; i < rows; i++) {
        const float f = x[i * t->x_stride + k];
        a[i] += f * left;
        b[i] += f * right;
      }
    }
  }
  for (int i = 0; i < rows; i++) {
    float *y = t->y + i * t->y_stride;
    *(v16_t *)y = a[i];
    *(v16_t *)(y + 16) = b[i];
  }
}

/* … or at most 4 × 16, from channel `first` of the tile on, in those of AVX2. */
static ES_INLINE void multiply_narrow(const tile_t *t, const reach_t *r, int first, int rows) {
  v8_t a[TALL / 2], b[TALL / 2];
  for (int i = 0; i < rows; i++) {
    a[i] = *(const v8_t *)(t->bias + first);
    b[i] = *(const v8_t *)(t->bias + first + 8);
  }
  for (int n = 0; n < r->n; n++) {
    const float *x = t->x + r->source[n], *w = t->weights + r->tap[n] * t->from * WIDE + first;
    for (ptrdiff_t k = 0; k < t->from; k++, w += WIDE) {
      const v8_t left = *(const v8_t *)w, right = *(const v8_t *)(w + 8);
      for (int i = 0; i < rows; i++) {
        const float f = x[i * t->x_stride + k];
        a[i] += f * left;
        b[i] += f * right;
      }
    }
  }
  for (int i = 0; i < rows; i++) {
    float *y = t->y + i * t->y_stride + first;
    *(v8_t *)y = a[i];
    *(v8_t *)(y + 8) = b[i];
  }
}

/* All samples at one position. */
ES_KERNEL
static void position_wide(tile_t t, const reach_t *r, int64_t samples) {
  for (int rows; samples > 0; samples -= rows, t.x += rows * t.x_stride, t.y += rows * t.y_stride) {
    rows = samples >= 8 ? 8 : samples >= 4 ? 4 : samples >= 2 ? 2 : 1;
    if (rows == 8)
      multiply_wide(&t, r, 8);
    else if (rows == 4)
      multiply_wide(&t, r, 4);
    else if (rows == 2)
      multiply_wide(&t, r, 2);
    else
      multiply_wide(&t, r, 1);
  }
}

ES_KERNEL
static void position_narrow(tile_t t, const reach_t *r, int64_t samples) {
  for (int rows; samples > 0; samples -= rows, t.x += rows * t.x_stride, t.y += rows * t.y_stride) {
    rows = samples >= 4 ? 4 : 1;
    for (int first = 0; first < WIDE; first += WIDE / 2) {
      if (rows == 4)
        multiply_narrow(&t, r, first, 4);
      else
        multiply_narrow(&t, r, first, 1);
    }
  }
}

static void multiply(const product_t *p, const conv_task_t *task, const float *source, float *result,
                     const float *bias) {
  static const float none[WIDE];
  const bool wide = conv_isa() == CONV_AVX512;
  for (int o = 0; o < p->to.c; o += WIDE) {
    for (int position = 0; position < p->to.h * p->to.w; position++) {
      const reach_t r = reach_from(p, position / p->to.w, position % p->to.w);
      const tile_t t = {.y = result + (ptrdiff_t)position * p->to.c + o,
                        .x = source,
                        .weights = task->weights + (ptrdiff_t)o * p->taps * p->from.c,
                        .bias = bias ? bias + o : none,
                        .y_stride = es_shape_size(p->to),
                        .x_stride = es_shape_size(p->from),
                        .from = p->from.c};
      (wide ? position_wide : position_narrow)(t, &r, task->count);
    }
  }
}

static void run_forward(const conv_task_t *task) {
  const product_t p = product_of(task->node, false);
  multiply(&p, task, task->x, task->y, task->bias);
}

static void run_backward(const conv_task_t *task) {
  const product_t p = product_of(task->node, true);
  multiply(&p, task, task->dy, task->dx, NULL);
}

/* Sapphire Rapids, slices of 16, microseconds of oneDNN (forward, backward) and here: 2 × 2 positions with 32 channels
 * 11, 8 and 4; 128: 126, 115 and 50; 512: 2034, 2303 and 1076. 4 × 4: 32: 36, 30 and 21; 128: 357, 357 and 308; 512:
 * 5607, 6577 and 6071. 8 × 8: 32: 113, 99 and 97; 64: 408, 439 and 384; from 128 on Winograd's kernels win. With the
 * instructions of AVX2: 2 × 2, 128: 207, 142 and 111; 4 × 4, 128: 822, 705 and 712; 8 × 8, 64: 797, 744 and 828. */
static bool fits(const es_node_t *node, bool backward, conv_isa_t isa) {
  const product_t p = product_of(node, backward);
  const int positions = p.to.h * p.to.w, least = p.from.c < p.to.c ? p.from.c : p.to.c;
  if (isa < CONV_AVX2 || node->groups != 1 || p.to.c % WIDE || p.taps > TAPS_MOST) return false;
  return positions <= 4 || (positions <= 16 && (backward || least <= 128)) ||
         (positions <= 64 && least <= 64 && isa == CONV_AVX512);
}

static bool wants_forward(const es_node_t *node, conv_isa_t isa) {
  return fits(node, false, isa);
}

static bool wants_backward(const es_node_t *node, conv_isa_t isa) {
  return fits(node, true, isa);
}

const conv_way_t conv_small_forward = {
    .wanted = wants_forward, .packed_floats = packed_floats, .pack = pack_forward, .run = run_forward};
const conv_way_t conv_small_backward_data = {
    .wanted = wants_backward, .packed_floats = packed_floats, .pack = pack_backward, .run = run_backward};
