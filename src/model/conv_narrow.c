/* 3 × 3 convolutions, stride 1, padding 1, of narrow layers, in planes (conv_planar.h). oneDNN's kernels fill their
 * vectors with channels, and leave them mostly empty where there are few. */
#include "conv_narrow.h"
#include "conv_planar.h"
#include <string.h>

enum { TAPS = 9, PANEL = 1024, CHANNELS_MOST = 32 };

static ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t to) {
  return (n + to - 1) / to * to;
}

static ptrdiff_t tall(int32_t channels) {
  return round_up(channels, CONV_TALL);
}

/* ---- shapes ---- */

/* Small maps are taken together, so that there are some hundred positions at least to a panel. */
static int64_t panel_samples(const es_node_t *node) {
  const int64_t positions = (int64_t)node->in.h * node->in.w;
  return positions < PANEL ? PANEL / positions : 1;
}

static conv_map_t map_of(const es_node_t *node, int64_t samples) {
  conv_map_t map = {.h = node->in.h, .w = node->in.w, .row = node->in.w + 1};
  const ptrdiff_t rows = samples * (map.h + 1) - 1, border = round_up(map.row + 1, CONV_VECTOR);
  map.first = border;
  map.vectors = round_up(rows * map.row - 1, CONV_VECTOR) / CONV_VECTOR;
  map.plane = 2 * border + map.vectors * CONV_VECTOR;
  /* Planes that are a multiple of a page apart would get into each other's way in the cache. */
  if (map.plane % 1024 == 0) map.plane += CONV_VECTOR;
  return map;
}

/* Where the input lies of output position 0, by tap: channel, row, column. */
static void list_offsets(ptrdiff_t *offsets, const conv_map_t *map, int32_t channels) {
  for (int32_t c = 0; c < channels; c++) {
    for (int32_t t = 0; t < TAPS; t++) offsets[c * TAPS + t] = c * map->plane + (t / 3 - 1) * map->row + t % 3 - 1;
  }
}

/* ---- forward and the gradient of the input: the same but for the weights ---- */

static size_t product_packed(int32_t from, int32_t to) {
  return (size_t)(tall(to) * (from * TAPS));
}

static size_t product_scratch(const es_node_t *node) {
  const conv_map_t map = map_of(node, panel_samples(node));
  return (size_t)(map.plane * (tall(node->in.c) + tall(node->out.c)));
}

static void product(const conv_task_t *task, float *to, int32_t to_channels, const float *from, int32_t from_channels,
                    const float *bias) {
  const conv_planar_t *loops = conv_planar(conv_isa());
  const int64_t panel = panel_samples(task->node);
  conv_map_t map = map_of(task->node, panel);
  ptrdiff_t offsets[TAPS * CHANNELS_MOST];
  float biases[CHANNELS_MOST] = {0};
  float *x = task->scratch, *y = x + from_channels * map.plane;
  if (bias) memcpy(biases, bias, (size_t)to_channels * sizeof *bias);
  memset(x, 0, (size_t)(from_channels * map.plane) * sizeof *x);
  list_offsets(offsets, &map, from_channels);
  x += map.first;
  y += map.first;
  for (int64_t first = 0; first < task->count; first += panel) {
    const int64_t n = task->count - first < panel ? task->count - first : panel;
    const ptrdiff_t sample = (map.h + 1) * map.row, positions = map.h * map.w;
    for (int64_t i = 0; i < n; i++)
      loops->spread(x + i * sample, &map, from + (first + i) * positions * from_channels, from_channels);
    map.vectors = map_of(task->node, n).vectors;
    loops->multiply(y, &map, tall(to_channels), x, offsets, from_channels * TAPS, task->weights, biases);
    for (int64_t i = 0; i < n; i++)
      loops->gather(to + (first + i) * positions * to_channels, &map, y + i * sample, to_channels);
  }
}

static size_t forward_packed(const es_node_t *node) {
  return product_packed(node->in.c, node->out.c);
}

static void forward_pack(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t taps = node->in.c * TAPS;
  for (ptrdiff_t o = 0; o < node->out.c; o++) {
    float *to = packed + o / CONV_TALL * CONV_TALL * taps + o % CONV_TALL;
    for (ptrdiff_t t = 0; t < taps; t++) to[t * CONV_TALL] = weights[o * taps + t];
  }
}

static void forward(const conv_task_t *task) {
  product(task, task->y, task->node->out.c, task->x, task->node->in.c, task->bias);
}

static size_t data_packed(const es_node_t *node) {
  return product_packed(node->out.c, node->in.c);
}

/* Rows and columns the other way round, and inputs for outputs. */
static void data_pack(float *packed, const float *weights, const es_node_t *node) {
  const ptrdiff_t taps = node->out.c * TAPS;
  for (ptrdiff_t i = 0; i < node->in.c; i++) {
    float *to = packed + i / CONV_TALL * CONV_TALL * taps + i % CONV_TALL;
    for (ptrdiff_t o = 0; o < node->out.c; o++) {
      for (ptrdiff_t t = 0; t < TAPS; t++)
        to[(o * TAPS + TAPS - 1 - t) * CONV_TALL] = weights[(o * node->in.c + i) * TAPS + t];
    }
  }
}

static void data(const conv_task_t *task) {
  product(task, task->dx, task->node->in.c, task->dy, task->node->out.c, NULL);
}

/* ---- the gradient of the weights ---- */

static ptrdiff_t sums_of(const es_node_t *node) {
  return round_up(tall(node->out.c) * (node->in.c * TAPS + 1), CONV_VECTOR);
}

static size_t weights_scratch(const es_node_t *node) {
  return product_scratch(node) + (size_t)(sums_of(node) * CONV_VECTOR);
}

static void set_or_add(float *to, const float *from, ptrdiff_t n, bool set) {
  for (ptrdiff_t i = 0; i < n; i++) to[i] = set ? from[i] : to[i] + from[i];
}

static void weights(const conv_task_t *task) {
  const es_node_t *node = task->node;
  const conv_planar_t *loops = conv_planar(conv_isa());
  const int64_t panel = panel_samples(node);
  conv_map_t map = map_of(node, panel);
  const ptrdiff_t taps = node->in.c * TAPS, channels = tall(node->out.c), sums_n = sums_of(node);
  ptrdiff_t offsets[TAPS * CHANNELS_MOST];
  float *sums = task->scratch, *x = sums + sums_n * CONV_VECTOR, *dy = x + node->in.c * map.plane;
  memset(sums, 0, (size_t)(sums_n * CONV_VECTOR + (node->in.c + channels) * map.plane) * sizeof *sums);
  list_offsets(offsets, &map, node->in.c);
  x += map.first;
  dy += map.first;
  for (int64_t first = 0; first < task->count; first += panel) {
    const int64_t n = task->count - first < panel ? task->count - first : panel;
    const ptrdiff_t sample = (map.h + 1) * map.row, positions = map.h * map.w;
    for (int64_t i = 0; i < n; i++) {
      loops->spread(x + i * sample, &map, task->x + (first + i) * positions * node->in.c, node->in.c);
      loops->spread(dy + i * sample, &map, task->dy + (first + i) * positions * node->out.c, node->out.c);
    }
    /* The last panel may be a short one: zeros stand behind it, or samples that were added already. */
    map.vectors = map_of(node, n).vectors;
    if (n < panel) {
      for (ptrdiff_t o = 0; o < channels; o++) {
        const ptrdiff_t end = n * sample;
        memset(dy + o * map.plane + end, 0, (size_t)(map.plane - map.first - end) * sizeof *dy);
      }
    }
    loops->correlate(sums, &map, channels, dy, x, offsets, taps);
  }
  loops->fold(sums, sums, sums_n);
  set_or_add(task->dw, sums, node->out.c * taps, task->first);
  if (task->db) set_or_add(task->db, sums + channels * taps, node->out.c, task->first);
}

/* ---- where they are used ---- */

/* Measured on slices of 16 against oneDNN 2.6.3 (Sapphire Rapids, GFLOP/s): 87 instead of 29 for 4 -> 4 channels on
 * 32 x 32, 65 instead of 26 for 3 -> 4, 96 instead of 65 for 8 -> 8, and alike backward. With the instructions of AVX2
 * only forward and the narrowest layers gain. */
static bool fits(const es_node_t *node, int32_t channels) {
  return node->kernel == 3 && node->stride == 1 && node->padding == 1 && node->groups == 1 && node->in.w >= 16 &&
         node->in.c <= channels && node->out.c <= channels;
}

static bool forward_wanted(const es_node_t *node, conv_isa_t isa) {
  (void)isa;
  return fits(node, 8);
}

static bool backward_wanted(const es_node_t *node, conv_isa_t isa) {
  return fits(node, isa == CONV_AVX2 ? 4 : 8);
}

const conv_way_t conv_narrow_forward = {.wanted = forward_wanted,
                                        .packed_floats = forward_packed,
                                        .pack = forward_pack,
                                        .scratch_floats = product_scratch,
                                        .run = forward};
const conv_way_t conv_narrow_data = {.wanted = backward_wanted,
                                     .packed_floats = data_packed,
                                     .pack = data_pack,
                                     .scratch_floats = product_scratch,
                                     .run = data};
const conv_way_t conv_narrow_weights = {.wanted = backward_wanted, .scratch_floats = weights_scratch, .run = weights};
