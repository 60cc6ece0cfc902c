/* Forward and input gradient with AMX, position by position: a tile has one position of all samples of the slice, so
 * that maps of any size fill it, and zeros of the border are never multiplied. */
#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#include "conv_amx.h"
#include "eigenscope/model.h"

enum { TILE = AMX_ROWS * AMX_DEEP, POSITIONS_MOST = 1024 };

/* One direction of a layer, written as a product: result (position, to) = Σ over taps and `from` of source·weights. */
typedef struct product {
  const es_node_t *node;
  bool backward;
  es_shape_t from, to;
  int taps, deep; /* deep: tiles that hold the channels of a source position */
} product_t;

/* A tap that lies inside the map at one of two results, with the source positions that it reads there. */
typedef struct tap {
  int16_t tap, source[2]; /* −1: outside the map */
} tap_t;

/* Two results that are computed together, and the number of their taps. */
typedef struct pair {
  int16_t result[2], n;
} pair_t;

static product_t product_of(const es_node_t *node, bool backward) {
  product_t p = {.node = node,
                 .backward = backward,
                 .from = backward ? node->out : node->in,
                 .to = backward ? node->in : node->out,
                 .taps = node->kernel * node->kernel};
  p.deep = (p.from.c + AMX_DEEP - 1) / AMX_DEEP;
  return p;
}

/* Returns the source position of a tap; −1: outside the map, or no result. */
static int position_of(const product_t *p, int result, int tap) {
  const int kernel = p->node->kernel, padding = p->node->padding;
  if (result < 0) return -1;
  const int row = es_conv_source(p->node, p->backward, result / p->to.w, tap / kernel - padding, p->from.h);
  const int column = es_conv_source(p->node, p->backward, result % p->to.w, tap % kernel - padding, p->from.w);
  return row < 0 || column < 0 ? -1 : row * p->from.w + column;
}

/* Results `stride` apart have the taps of a strided kernel in common when they go back to its input. */
static int distance_of(const product_t *p) {
  return p->backward ? p->node->stride : 1;
}

static int pairs_of(const product_t *p) {
  int pairs = 0;
  for (int f = 0; f < distance_of(p) && f < p->to.w; f++)
    pairs += ((p->to.w - f + distance_of(p) - 1) / distance_of(p) + 1) / 2;
  return p->to.h * pairs;
}

/* Lists the pairs of results, and p->taps places for the taps of each. */
static void list_pairs(const product_t *p, pair_t *pairs, tap_t *taps) {
  const int step = distance_of(p);
  for (int row = 0; row < p->to.h; row++) {
    for (int f = 0; f < step; f++) {
      for (int column = f; column < p->to.w; column += 2 * step, pairs++, taps += p->taps) {
        const int first = row * p->to.w + column, second = column + step < p->to.w ? first + step : -1;
        *pairs = (pair_t){{(int16_t)first, (int16_t)second}, 0};
        for (int tap = 0; tap < p->taps; tap++) {
          const int a = position_of(p, first, tap), b = position_of(p, second, tap);
          if (a >= 0 || b >= 0) taps[pairs->n++] = (tap_t){(int16_t)tap, {(int16_t)a, (int16_t)b}};
        }
      }
    }
  }
}

/* ---- weights: [to / 32][tap][from / 32][two tiles of 16 results] ---- */

static size_t packed_size(const es_node_t *node, bool backward) {
  const product_t p = product_of(node, backward);
  return (size_t)((p.to.c + 31) / 32 * p.taps * p.deep) * TILE; /* two tiles of bfloat16 */
}

/* Gathers 16 floats and rounds them as amx_round does; zeros where the mask has none. */
static ES_INLINE __m512i gathered(const float *from, __m512i at, __mmask16 mask) {
  const __m512i bits = _mm512_castps_si512(_mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, at, from, sizeof *from));
  const __m512i tie = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(tie, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(_mm512_castsi512_ps(bits), _mm512_castsi512_ps(bits), _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
}

/* Packs two neighbouring sources of 16 results for all taps. `left`: sources that exist; `result`, `source`: floats
 * between two results and between two sources; `tap`: bfloat16 between the tiles of two taps. */
static void pack_pair(uint16_t *packed, const float *weights, int taps, ptrdiff_t tap, __mmask16 results, int left,
                      int32_t result, ptrdiff_t source) {
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i at = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(result));
  const __mmask16 even = left > 0 ? results : 0, odd = left > 1 ? results : 0;
  for (int i = 0; i < taps; i++, packed += tap) {
    const __m512i low = _mm512_srli_epi32(gathered(weights + i, at, even), 16);
    const __m512i high = gathered(odd ? weights + source + i : weights, at, odd);
    _mm512_storeu_si512(packed, _mm512_mask_blend_epi16(0xaaaaaaaa, low, high));
  }
}

/* `result`, `source`: floats between two results and between two sources in the flat weights. */
static void pack(const product_t *p, uint16_t *packed, const float *weights, ptrdiff_t result, ptrdiff_t source) {
  const ptrdiff_t tap = (ptrdiff_t)p->deep * 2 * TILE;
  for (int o = 0; o < p->to.c; o += 32, packed += p->taps * tap) {
    for (int half = 0; half < 2; half++) {
      const int first = o + half * AMX_COLUMNS;
      const __mmask16 results = (__mmask16)(first < p->to.c ? amx_bits(p->to.c - first) : 0);
      for (int k = 0; k < p->deep * AMX_DEEP; k += 2)
        pack_pair(packed + k / AMX_DEEP * 2 * TILE + half * TILE + k % AMX_DEEP / 2 * AMX_DEEP,
                  weights + (results ? first * result : 0) + (k < p->from.c ? k * source : 0), p->taps, tap, results,
                  p->from.c - k, (int32_t)result, source);
    }
  }
}

static size_t packed_forward(const es_node_t *node) {
  return packed_size(node, false);
}

static size_t packed_backward(const es_node_t *node) {
  return packed_size(node, true);
}

static void pack_forward(float *packed, const float *weights, const es_node_t *node) {
  const product_t p = product_of(node, false);
  pack(&p, (void *)packed, weights, (ptrdiff_t)p.from.c * p.taps, p.taps);
}

static void pack_backward(float *packed, const float *weights, const es_node_t *node) {
  const product_t p = product_of(node, true);
  pack(&p, (void *)packed, weights, p.taps, (ptrdiff_t)p.to.c * p.taps);
}

/* ---- a slice ---- */

/* Copies the source to [position][from / 32][sample][32 channels], where rows of a tile are neighbours. */
static void gather(const product_t *p, uint16_t *tiles, const uint16_t *source, int64_t count) {
  const ptrdiff_t positions = p->from.h * p->from.w, channels = p->from.c;
  for (int64_t sample = 0; sample < count; sample++) {
    for (ptrdiff_t i = 0; i < positions; i++, source += channels) {
      uint16_t *to = tiles + i * p->deep * TILE + sample * AMX_DEEP;
      for (int k = 0; k < p->deep; k++)
        _mm512_storeu_si512(to + (ptrdiff_t)k * TILE,
                            _mm512_maskz_loadu_epi16(amx_bits(channels - k * AMX_DEEP), source + k * AMX_DEEP));
    }
  }
}

/* Multiplies two positions of the source (or one) with two tiles of weights. */
static ES_INLINE void multiply(const uint16_t *a, const uint16_t *b, const uint16_t *weights, int deep, const bool left,
                               const bool right) {
  for (int k = 0; k < deep; k++, weights += 2 * TILE) {
    _tile_loadd(6, weights, AMX_LINE);
    if (left) {
      _tile_loadd(4, a + (ptrdiff_t)k * TILE, AMX_LINE);
      _tile_dpbf16ps(0, 4, 6);
    }
    if (right) {
      _tile_loadd(5, b + (ptrdiff_t)k * TILE, AMX_LINE);
      _tile_dpbf16ps(2, 5, 6);
    }
    _tile_loadd(7, weights + TILE, AMX_LINE);
    if (left) _tile_dpbf16ps(1, 4, 7);
    if (right) _tile_dpbf16ps(3, 5, 7);
  }
}

/* Rounds 32 results of each sample, from the sums in two tiles. */
static void write_results(const product_t *p, uint16_t *result, const float *sums, const float *bias, int first,
                          int64_t count) {
  const __mmask32 mask = amx_bits(p->to.c - first);
  __m512 low = _mm512_setzero_ps(), high = low;
  if (bias) {
    low = _mm512_maskz_loadu_ps((__mmask16)mask, bias + first);
    high = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), bias + first + 16);
  }
  for (int64_t i = 0; i < count; i++, sums += AMX_COLUMNS, result += es_shape_size(p->to)) {
    const __m512 a = _mm512_add_ps(_mm512_loadu_ps(sums), low);
    const __m512 b = _mm512_add_ps(_mm512_loadu_ps(sums + AMX_TILE_FLOATS), high);
    _mm512_mask_storeu_epi16(result + first, mask, (__m512i)_mm512_cvtne2ps_pbh(b, a));
  }
}

static size_t scratch_of(const es_node_t *node, bool backward) {
  const product_t p = product_of(node, backward);
  const size_t lists = (size_t)pairs_of(&p) * (sizeof(pair_t) + (size_t)p.taps * sizeof(tap_t));
  return (size_t)(p.from.h * p.from.w * p.deep) * TILE / 2 + 4 * AMX_TILE_FLOATS +
         (lists + sizeof(float) - 1) / sizeof(float);
}

/* Sums of 2 results × 32 channels of all samples. */
static void multiply_pair(const product_t *p, float *sums, const uint16_t *tiles, const uint16_t *weights,
                          const tap_t *taps, int n) {
  const ptrdiff_t position = (ptrdiff_t)p->deep * TILE;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (const tap_t *t = taps; t < taps + n; t++) {
    const uint16_t *w = weights + 2 * t->tap * position;
    const uint16_t *a = tiles + t->source[0] * position, *b = tiles + t->source[1] * position;
    if (t->source[0] >= 0 && t->source[1] >= 0)
      multiply(a, b, w, p->deep, true, true);
    else if (t->source[0] >= 0)
      multiply(a, NULL, w, p->deep, true, false);
    else
      multiply(NULL, b, w, p->deep, false, true);
  }
  _tile_stored(0, sums, AMX_LINE);
  _tile_stored(1, sums + AMX_TILE_FLOATS, AMX_LINE);
  _tile_stored(2, sums + 2 * AMX_TILE_FLOATS, AMX_LINE);
  _tile_stored(3, sums + 3 * AMX_TILE_FLOATS, AMX_LINE);
}

static void run(const es_conv_task_t *task, bool backward) {
  const product_t p = product_of(task->node, backward);
  const int n = pairs_of(&p);
  float *sums = task->scratch;
  uint16_t *tiles = (void *)(sums + 4 * AMX_TILE_FLOATS), *result = backward ? task->dx : task->y;
  pair_t *pairs = (pair_t *)(tiles + (ptrdiff_t)p.from.h * p.from.w * p.deep * TILE);
  tap_t *taps = (tap_t *)(pairs + n);
  const uint16_t *weights = (const void *)task->weights;
  const float *bias = backward ? NULL : task->bias;
  list_pairs(&p, pairs, taps);
  gather(&p, tiles, backward ? task->dy : task->x, task->count);
  tiles_open(0x3f, (int)task->count);
  for (int o = 0; o < p.to.c; o += 32, weights += (ptrdiff_t)2 * p.taps * p.deep * TILE) {
    for (int i = 0; i < n; i++) {
      multiply_pair(&p, sums, tiles, weights, taps + (ptrdiff_t)i * p.taps, pairs[i].n);
      tiles_fence();
      for (int half = 0; half < 2 && pairs[i].result[half] >= 0; half++)
        write_results(&p, result + (ptrdiff_t)pairs[i].result[half] * p.to.c, sums + 2 * half * AMX_TILE_FLOATS, bias,
                      o, task->count);
      tiles_fence();
    }
  }
  tiles_close();
}

static size_t scratch_forward(const es_node_t *node) {
  return scratch_of(node, false);
}

static size_t scratch_backward(const es_node_t *node) {
  return scratch_of(node, true);
}

static void run_forward(const es_conv_task_t *task) {
  run(task, false);
}

static void run_backward(const es_conv_task_t *task) {
  run(task, true);
}

bool es_conv_amx_small_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa) {
  const product_t p = product_of(node, direction == CONV_BACKWARD_DATA);
  const int positions = p.to.h * p.to.w, least = p.from.c < p.to.c ? p.from.c : p.to.c;
  if (isa != CONV_AMX || node->groups != 1) return false;
  if (!p.backward && node->kernel == 1) return node->stride == 1 && positions <= 4;
  if (!p.backward) return positions <= 16 || (positions <= 64 && least >= (node->stride > 1 ? 128 : 256));
  return positions <= 64 || (node->stride > 1 && positions <= 256) ||
         (node->stride > 1 && node->kernel > 1 && least >= 64 && positions <= POSITIONS_MOST);
}

const es_conv_algorithm_t es_conv_amx_small_forward = {packed_forward, pack_forward, scratch_forward, run_forward};
const es_conv_algorithm_t es_conv_amx_small_data = {packed_backward, pack_backward, scratch_backward, run_backward};

#endif
