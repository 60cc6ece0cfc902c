#include "conv_small_weights.h"
#include "conv.h"
#include "conv_amx_lanes.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <string.h>

/* A tile: gradients of TALL input and WIDE output channels. POSITIONS: above this number, oneDNN is as fast. */
enum { TALL = 8, WIDE = 32, TILE = TALL * WIDE, POSITIONS = 64 };

/* Two lines that are multiplied: offsets of a line of the input and of a line of the gradient, in floats. */
typedef struct pair {
  int32_t x, dy;
} pair_t;

/* A panel is stored by block of channels; a block has one line for each position of each sample. */
struct es_small_weights {
  es_node_t node;
  int taps, in_positions, out_positions; /* positions of a sample */
  bool wide;                             /* true for vectors of 16 floats */
  int64_t samples;                       /* capacity of the panels */
  es_precision_t precision;              /* in bfloat16, the rest is for conv_amx_lanes.h */
  int64_t filled;                        /* samples in the panels; with ES_BFLOAT16 slices */
  int lane;                              /* lanes completed */
  int64_t *ends;                         /* value of `filled` at the end of each lane */
  pair_t *pairs;                         /* for ES_SLICE_MAX samples, by tap, then by sample */
  int *tap_first, *tap_count;            /* first pair of a tap; pairs in one sample */
  es_stack_t sums;                       /* tiles of all taps, lane after lane */
  float *extra, *x, *dy;                 /* tiles of the second, third … slice of a lane; panels. Borrowed */
  es_owned_t owned;                      /* owns ends, pairs, tap_first */
};

bool es_conv_small_weights_applies(const es_node_t *node, ES_UNUSED es_conv_direction_t direction, es_conv_isa_t isa) {
  const int most = isa >= CONV_AVX512 ? POSITIONS : isa == CONV_BASELINE ? 0 : POSITIONS / 4;
  return node->groups == 1 && node->in.c % TALL == 0 && node->out.c % WIDE == 0 && node->out.h * node->out.w <= most;
}

const es_conv_algorithm_t es_conv_small_weights = {.run = NULL};

static size_t tile_floats(const es_node_t *node) {
  return (size_t)(node->kernel * node->kernel) * TILE;
}

size_t es_small_weights_floats(const es_node_t *node, int64_t samples, int lanes, ES_UNUSED es_precision_t precision) {
  const es_group_t group = {.lane_count = lanes};
#ifdef ES_KERNEL_TARGETS
  if (precision == ES_BFLOAT16) /* a lane's last slice may have fewer samples */
    return es_stack_vectors(&group) * es_amx_group_floats(node) +
           (size_t)(samples / ES_SLICE_MAX + lanes) * es_amx_panel_floats(node);
#endif
  return (es_stack_vectors(&group) + 1) * tile_floats(node) +
         (size_t)(samples * (es_shape_size(node->in) + es_shape_size(node->out)));
}

/* Lists, for each tap and sample, the positions of the output at which the tap lies inside the map. */
static void list_pairs(es_small_weights_t *s) {
  const es_node_t *n = &s->node;
  pair_t *next = s->pairs;
  for (int tap = 0; tap < s->taps; tap++) {
    s->tap_first[tap] = (int)(next - s->pairs);
    for (int sample = 0; sample < ES_SLICE_MAX; sample++) {
      for (int position = 0; position < s->out_positions; position++) {
        const int row = position / n->out.w * n->stride - n->padding + tap / n->kernel;
        const int column = position % n->out.w * n->stride - n->padding + tap % n->kernel;
        if (row < 0 || row >= n->in.h || column < 0 || column >= n->in.w) continue;
        *next++ = (pair_t){(sample * s->in_positions + row * n->in.w + column) * TALL,
                           (sample * s->out_positions + position) * WIDE};
      }
    }
    s->tap_count[tap] = (int)(next - s->pairs - s->tap_first[tap]) / ES_SLICE_MAX;
  }
}

es_small_weights_t *es_small_weights_create(const es_unit_t *unit, es_precision_t precision) {
  es_small_weights_t *s = es_allocate_zero(1, sizeof *s);
  if (!s) return NULL;
  s->node = *unit->node;
  s->precision = precision;
  s->taps = s->node.kernel * s->node.kernel;
  s->in_positions = s->node.in.h * s->node.in.w;
  s->out_positions = s->node.out.h * s->node.out.w;
  s->wide = es_conv_isa() >= CONV_AVX512;
  s->samples = unit->samples;
  s->ends = es_owned_allocate_zero(&s->owned, (size_t)unit->group->lane_count, sizeof *s->ends);
  s->pairs = es_owned_allocate(&s->owned, (size_t)(s->taps * s->out_positions) * ES_SLICE_MAX, sizeof *s->pairs);
  s->tap_first = es_owned_allocate_zero(&s->owned, 2 * (size_t)s->taps, sizeof *s->tap_first);
  if (s->owned.failed) {
    es_small_weights_destroy(s);
    return NULL;
  }
  s->tap_count = s->tap_first + s->taps;
  list_pairs(s);
  return s;
}

void es_small_weights_destroy(es_small_weights_t *s) {
  if (!s) return;
  es_owned_free(&s->owned);
  es_free(s);
}

void es_small_weights_set_memory(es_small_weights_t *s, const es_group_t *group, float *memory) {
#ifdef ES_KERNEL_TARGETS
  if (s->precision == ES_BFLOAT16) {
    s->sums.data = memory;
    s->x = memory + es_stack_vectors(group) * es_amx_group_floats(&s->node);
    return;
  }
#endif
  const size_t tile = tile_floats(&s->node);
  es_stack_place(&s->sums, memory, tile);
  s->extra = memory + es_stack_vectors(group) * tile;
  s->x = s->extra + tile;
  s->dy = s->x + s->samples * es_shape_size(s->node.in);
}

void es_small_weights_begin(es_small_weights_t *s) {
  s->filled = 0;
  s->lane = 0;
}

/* Copies lines of `channels` floats into each block of `width` channels; a block has `block` floats. */
static ES_INLINE void fill_panel(float *panel, const float *lines, int64_t n, int32_t channels, int32_t width,
                                 int64_t block) {
  for (int64_t i = 0; i < n; i++) {
    for (int32_t c = 0; c < channels; c += width)
      memcpy(panel + c / width * block + i * width, lines + i * channels + c, (size_t)width * sizeof *lines);
  }
}

void es_small_weights_slice(es_small_weights_t *s, const es_slice_t *slice, const void *x, const void *dy) {
#ifdef ES_KERNEL_TARGETS
  if (s->precision == ES_BFLOAT16) {
    es_amx_panel_pack(&s->node, s->x + (size_t)s->filled++ * es_amx_panel_floats(&s->node), x, dy, slice->count);
    return;
  }
#endif
  const int64_t in_block = s->samples * s->in_positions * TALL, out_block = s->samples * s->out_positions * WIDE;
  fill_panel(s->x + s->filled * s->in_positions * TALL, x, slice->count * s->in_positions, s->node.in.c, TALL,
             in_block);
  fill_panel(s->dy + s->filled * s->out_positions * WIDE, dy, slice->count * s->out_positions, s->node.out.c, WIDE,
             out_block);
  s->filled += slice->count;
}

void es_small_weights_lane_end(es_small_weights_t *s) {
  s->ends[s->lane++] = s->filled;
}

/* ---- products ---- */

typedef float vector_t __attribute__((vector_size(ES_VECTOR * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef float v16_t __attribute__((vector_size(16 * sizeof(float)), aligned(sizeof(float)), may_alias));

/* out[i][j] = Σ over pairs x[i]·dy[j] for one tap. The sums are local, so that the compiler keeps them in registers:
 * TALL × WIDE in those of AVX-512 … */
static ES_INLINE void tile_wide(float *out, const float *x_panel, const float *dy_panel, const pair_t *pairs, int n) {
  v16_t a[TALL] = {{0}}, b[TALL] = {{0}};
  for (int k = 0; k < n; k++) {
    const float *x = x_panel + pairs[k].x, *dy = dy_panel + pairs[k].dy;
    const v16_t left = *(const v16_t *)dy, right = *(const v16_t *)(dy + 16);
    for (int i = 0; i < TALL; i++) {
      a[i] += x[i] * left;
      b[i] += x[i] * right;
    }
  }
  for (int i = 0; i < TALL; i++) {
    *(v16_t *)(out + i * WIDE) = a[i];
    *(v16_t *)(out + i * WIDE + 16) = b[i];
  }
}

/* … or a quarter of them, TALL/2 × WIDE/2, in the 16 registers of AVX2 or half of NEON's. */
static ES_INLINE void tile_quarter(float *out, const float *x_panel, const float *dy_panel, const pair_t *pairs,
                                   int n) {
  enum { ACROSS = WIDE / 2 / ES_VECTOR };
  vector_t sums[TALL / 2][ACROSS] = {{{0}}}, g[ACROSS];
  for (int k = 0; k < n; k++) {
    const float *x = x_panel + pairs[k].x, *dy = dy_panel + pairs[k].dy;
    for (int j = 0; j < ACROSS; j++) g[j] = *(const vector_t *)(dy + j * ES_VECTOR);
    for (int i = 0; i < TALL / 2; i++) {
      for (int j = 0; j < ACROSS; j++) sums[i][j] += x[i] * g[j];
    }
  }
  for (int i = 0; i < TALL / 2; i++) {
    for (int j = 0; j < ACROSS; j++) *(vector_t *)(out + i * WIDE + j * ES_VECTOR) = sums[i][j];
  }
}

ES_KERNEL
static void tiles_wide(const es_small_weights_t *s, float *out, const float *x, const float *dy, int samples) {
  for (int tap = 0; tap < s->taps; tap++)
    tile_wide(out + tap * TILE, x, dy, s->pairs + s->tap_first[tap], samples * s->tap_count[tap]);
}

ES_KERNEL
static void tiles_narrow(const es_small_weights_t *s, float *out, const float *x, const float *dy, int samples) {
  for (int tap = 0; tap < s->taps; tap++) {
    for (int i = 0; i < TALL; i += TALL / 2) {
      for (int j = 0; j < WIDE; j += WIDE / 2)
        tile_quarter(out + tap * TILE + i * WIDE + j, x + i, dy + j, s->pairs + s->tap_first[tap],
                     samples * s->tap_count[tap]);
    }
  }
}

/* Sums the tiles of one lane's slices in order. `x` and `dy`: panels of the first sample. */
static void lane_tiles(es_small_weights_t *s, const float *x, const float *dy, int64_t first, int64_t end) {
  const size_t n = s->sums.n;
  float *sum = es_stack_next(&s->sums);
  if (first == end) memset(sum, 0, n * sizeof *sum);
  for (int64_t at = first; at < end; at += ES_SLICE_MAX) {
    const int count = end - at < ES_SLICE_MAX ? (int)(end - at) : ES_SLICE_MAX;
    float *out = at == first ? sum : s->extra;
    (s->wide ? tiles_wide : tiles_narrow)(s, out, x + at * s->in_positions * TALL, dy + at * s->out_positions * WIDE,
                                          count);
    if (at > first) es_vector_add(sum, out, n);
  }
}

/* Bias gradient of one lane for a block of output channels: the sum over samples and positions. */
ES_KERNEL
static void lane_bias(const es_small_weights_t *s, float *out, const float *dy, int64_t first, int64_t end) {
  double sum[WIDE] = {0};
  for (int64_t line = first * s->out_positions; line < end * s->out_positions; line++) {
    for (int j = 0; j < WIDE; j++) sum[j] += (double)dy[line * WIDE + j];
  }
  for (int j = 0; j < WIDE; j++) out[j] = (float)sum[j];
}

static void write_bias(es_small_weights_t *s, float *bias) {
  for (int32_t o = 0; o < s->node.out.c; o += WIDE) {
    es_stack_t sums;
    es_stack_place(&sums, s->sums.data, WIDE);
    for (int lane = 0; lane < s->lane; lane++) {
      lane_bias(s, es_stack_next(&sums), s->dy + o * s->samples * s->out_positions, lane ? s->ends[lane - 1] : 0,
                s->ends[lane]);
      es_stack_push(&sums);
    }
    memcpy(bias + o, es_stack_total(&sums), WIDE * sizeof *bias);
  }
}

/* Transposes tiles [tap][in][out] to weights (out, in, tap). */
static void write_weights(const es_small_weights_t *s, float *weights, const float *tiles) {
  for (int j = 0; j < WIDE; j++) {
    float *row = weights + (int64_t)j * s->node.in.c * s->taps;
    for (int i = 0; i < TALL; i++) {
      for (int tap = 0; tap < s->taps; tap++) row[i * s->taps + tap] = tiles[tap * TILE + i * WIDE + j];
    }
  }
}

void es_small_weights_finish(es_small_weights_t *s, float *gradient, float *bias) {
  const es_node_t *node = &s->node;
#ifdef ES_KERNEL_TARGETS
  if (s->precision == ES_BFLOAT16) {
    es_amx_lanes_finish(node, s->x, s->sums.data, s->ends, s->lane, gradient, bias);
    return;
  }
#endif
  if (bias) write_bias(s, bias);
  for (int32_t o = 0; o < node->out.c; o += WIDE) {
    for (int32_t i = 0; i < node->in.c; i += TALL) {
      const float *x = s->x + i * s->samples * s->in_positions, *dy = s->dy + o * s->samples * s->out_positions;
      es_stack_reset(&s->sums);
      for (int lane = 0; lane < s->lane; lane++) {
        lane_tiles(s, x, dy, lane ? s->ends[lane - 1] : 0, s->ends[lane]);
        es_stack_push(&s->sums);
      }
      write_weights(s, gradient + ((int64_t)o * node->in.c + i) * s->taps, es_stack_total(&s->sums));
    }
  }
}
