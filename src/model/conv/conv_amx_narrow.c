/* Forward and input gradient of 3 × 3 convolutions of few channels with AMX, stride 1, padding 1. A row of a tile is a
 * group of neighbouring positions in one row of the map: the numbers of `group` + 2 positions lie next to each other in
 * NHWC, and a banded matrix of weights turns them into the results of `group` positions. Each sample is copied first to
 * a map with zeros around it, in which all groups of all rows have the same distance. */
#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#include "conv_amx.h"

enum { TILE = AMX_ROWS * AMX_DEEP, KERNEL = 3, DEEP_MOST = 2 };

/* The input gradient is the convolution of the output gradient with flipped kernels. */
typedef struct shape {
  int h, w, from, to;  /* channels */
  int group, across;   /* positions of a group; groups in a row of the copy */
  int deep, wide;      /* tiles that hold the numbers of a group, and its results */
  int tiles;           /* of 16 groups in a sample, an even number */
  ptrdiff_t line, map; /* numbers in a row of the copy; in the copy */
} shape_t;

/* Place of the 16 results of a group in the output, and how many of the 16 lie inside the map. */
typedef struct place {
  int32_t at, count;
} place_t;

static shape_t with_group(const es_node_t *node, bool backward, int group) {
  shape_t s = {.h = node->in.h,
               .w = node->in.w,
               .from = backward ? node->out.c : node->in.c,
               .to = backward ? node->in.c : node->out.c,
               .group = group};
  s.across = (s.w + 1 + group - 1) / group; /* a zero column after each row also serves the next row */
  s.deep = ((group + 2) * s.from + AMX_DEEP - 1) / AMX_DEEP;
  s.wide = (group * s.to + AMX_COLUMNS - 1) / AMX_COLUMNS;
  s.tiles = (int)amx_round_up((s.h * s.across + AMX_ROWS - 1) / AMX_ROWS, 2);
  s.line = (ptrdiff_t)s.across * group * s.from;
  s.map = amx_round_up((KERNEL - 1) * s.line + ((ptrdiff_t)s.tiles * AMX_ROWS * group + 2) * s.from + 2 * AMX_DEEP, 32);
  return s;
}

/* Chooses the group that takes the fewest cycles: 16 for a product, about 60 to round and to write a tile. */
static shape_t shape_of(const es_node_t *node, bool backward) {
  shape_t best = with_group(node, backward, 1);
  for (int group = 2; group <= 14; group++) {
    const shape_t s = with_group(node, backward, group);
    if (s.deep > DEEP_MOST) break;
    if (s.tiles * s.wide * (KERNEL * 16 * s.deep + 60) < best.tiles * best.wide * (KERNEL * 16 * best.deep + 60))
      best = s;
  }
  return best;
}

/* ---- weights: [16 results][row of the kernel][deep] tiles ---- */

static size_t packed_of(const es_node_t *node, bool backward) {
  const shape_t s = shape_of(node, backward);
  return (size_t)(s.wide * KERNEL * s.deep) * TILE / 2;
}

static void pack(float *packed, const float *weights, const es_node_t *node, bool backward) {
  const shape_t s = shape_of(node, backward);
  uint16_t *tiles = (void *)packed;
  memset(tiles, 0, packed_of(node, backward) * sizeof(float));
  for (int column = 0; column < s.group * s.to; column++) {
    const int position = column / s.to, to = column % s.to;
    for (int u = 0; u < KERNEL; u++) {
      for (int v = 0; v < KERNEL; v++) {
        for (int from = 0; from < s.from; from++) {
          const int k = (position + v) * s.from + from, tap = u * KERNEL + v;
          const float w = backward ? weights[((ptrdiff_t)from * s.to + to) * 9 + 8 - tap]
                                   : weights[((ptrdiff_t)to * s.from + from) * 9 + tap];
          uint16_t *tile = tiles + ((column / 16 * KERNEL + u) * s.deep + k / AMX_DEEP) * TILE;
          tile[k % AMX_DEEP / 2 * AMX_DEEP + column % 16 * 2 + k % 2] = amx_round(w);
        }
      }
    }
  }
}

static size_t packed_forward(const es_node_t *node) {
  return packed_of(node, false);
}

static size_t packed_backward(const es_node_t *node) {
  return packed_of(node, true);
}

static void pack_forward(float *packed, const float *weights, const es_node_t *node) {
  pack(packed, weights, node, false);
}

static void pack_backward(float *packed, const float *weights, const es_node_t *node) {
  pack(packed, weights, node, true);
}

/* ---- a slice ---- */

/* Copies the rows of a sample, but not the zeros between them. */
static void copy_sample(const shape_t *s, uint16_t *map, const uint16_t *sample) {
  const ptrdiff_t n = (ptrdiff_t)s->w * s->from;
  for (int row = 0; row < s->h; row++, sample += n) {
    uint16_t *to = map + (row + 1) * s->line + s->from;
    ptrdiff_t i = 0;
    for (; i + AMX_DEEP <= n; i += AMX_DEEP) _mm512_storeu_si512(to + i, _mm512_loadu_si512(sample + i));
    if (i < n) {
      const __mmask32 rest = amx_bits(n - i);
      _mm512_mask_storeu_epi16(to + i, rest, _mm512_maskz_loadu_epi16(rest, sample + i));
    }
  }
}

/* Lists the places of all groups of a sample for results 16·j … of each. */
static void list_places(const shape_t *s, place_t *places, int j) {
  for (int i = 0; i < s->tiles * AMX_ROWS; i++) {
    const int row = i / s->across, column = i % s->across * s->group;
    int count = (s->w - column < s->group ? s->w - column : s->group) * s->to - j * AMX_COLUMNS;
    if (row >= s->h || count < 0) count = 0;
    places[i] = (place_t){(row * s->w + column) * s->to + j * AMX_COLUMNS, count < 16 ? count : 16};
  }
}

/* Rounds the sums of 16 groups. */
static ES_INLINE void write_tile(uint16_t *result, const float *sums, const place_t *places, __m512 bias) {
  for (int i = 0; i < AMX_ROWS; i += 2) {
    const place_t *a = &places[i], *b = &places[i + 1];
    const __m512 low = _mm512_add_ps(_mm512_loadu_ps(sums + i * AMX_COLUMNS), bias);
    const __m512 high = _mm512_add_ps(_mm512_loadu_ps(sums + (i + 1) * AMX_COLUMNS), bias);
    const __m512i v = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    if (a->count + b->count == 32 && b->at == a->at + 16) {
      _mm512_storeu_si512(result + a->at, v);
      continue;
    }
    _mm256_mask_storeu_epi16(result + a->at, (__mmask16)amx_bits(a->count), _mm512_castsi512_si256(v));
    _mm256_mask_storeu_epi16(result + b->at, (__mmask16)amx_bits(b->count), _mm512_extracti64x4_epi64(v, 1));
  }
}

/* Multiplies two tiles of groups with the weights of 16 results. */
static ES_INLINE void multiply(const shape_t *s, float *sums, const uint16_t *groups, const uint16_t *weights) {
  const ptrdiff_t distance = (ptrdiff_t)s->group * s->from, next = AMX_ROWS * distance;
  _tile_zero(0);
  _tile_zero(1);
  for (int u = 0; u < KERNEL; u++, groups += s->line) {
    for (int k = 0; k < s->deep; k++, weights += TILE) {
      _tile_loadd(4, weights, AMX_LINE);
      _tile_loadd(2, groups + k * AMX_DEEP, distance * (ptrdiff_t)sizeof *groups);
      _tile_dpbf16ps(0, 2, 4);
      _tile_loadd(3, groups + next + k * AMX_DEEP, distance * (ptrdiff_t)sizeof *groups);
      _tile_dpbf16ps(1, 3, 4);
    }
  }
  _tile_stored(0, sums, AMX_LINE);
  _tile_stored(1, sums + AMX_TILE_FLOATS, AMX_LINE);
}

static size_t scratch_of(const es_node_t *node, bool backward) {
  const shape_t s = shape_of(node, backward);
  return 2 * AMX_TILE_FLOATS + (size_t)(s.map / 2) + (size_t)(s.wide * (s.tiles + 1) * AMX_ROWS) * 2;
}

static void run(const es_conv_task_t *task, bool backward) {
  const shape_t s = shape_of(task->node, backward);
  float *sums = task->scratch, *biases = sums + 2 * AMX_TILE_FLOATS;
  place_t *places = (place_t *)(biases + s.wide * AMX_COLUMNS);
  uint16_t *map = (void *)(places + (ptrdiff_t)s.wide * s.tiles * AMX_ROWS);
  const uint16_t *source = backward ? task->dy : task->x, *weights = (const void *)task->weights;
  uint16_t *result = backward ? task->dx : task->y;
  memset(map, 0, (size_t)s.map * sizeof *map);
  for (int j = 0; j < s.wide; j++) list_places(&s, places + j * s.tiles * AMX_ROWS, j);
  for (int i = 0; i < s.wide * AMX_COLUMNS; i++) biases[i] = task->bias && !backward ? task->bias[i % s.to] : 0.0f;
  tiles_open(0, AMX_ROWS);
  for (int64_t n = 0; n < task->count; n++) {
    copy_sample(&s, map, source + n * s.h * s.w * s.from);
    for (int i = 0; i < s.tiles; i += 2) {
      for (int j = 0; j < s.wide; j++) {
        const place_t *at = places + (j * s.tiles + i) * AMX_ROWS;
        const __m512 bias = _mm512_loadu_ps(biases + j * AMX_COLUMNS);
        uint16_t *to = result + n * s.h * s.w * s.to;
        tiles_fence();
        multiply(&s, sums, map + (ptrdiff_t)i * AMX_ROWS * s.group * s.from, weights + j * KERNEL * s.deep * TILE);
        tiles_fence();
        write_tile(to, sums, at, bias);
        write_tile(to, sums + AMX_TILE_FLOATS, at + AMX_ROWS, bias);
      }
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

bool es_conv_amx_narrow_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa) {
  const bool backward = direction == CONV_BACKWARD_DATA, short_rows = node->in.w <= 16;
  const int from = backward ? node->out.c : node->in.c, to = backward ? node->in.c : node->out.c;
  if (isa != CONV_AMX || node->groups != 1 || node->kernel != KERNEL || node->stride != 1 || node->padding != 1 ||
      node->in.w < 8)
    return false;
  if (backward) return from <= 16 && to <= 16 && (from <= 8 || to <= 8 || short_rows);
  return (from <= 8 && to <= 8) || (from == 1 && to <= 64) || (from > 4 && from <= 8 && to <= 16 && short_rows);
}

const es_conv_algorithm_t es_conv_amx_narrow_forward = {packed_forward, pack_forward, scratch_forward, run_forward};
const es_conv_algorithm_t es_conv_amx_narrow_data = {packed_backward, pack_backward, scratch_backward, run_backward};

#endif
