/* Weight gradient of depthwise convolutions, with any window: for each tap, the sum over positions of input times
 * output gradient. A vector holds channels. Bands of the map are packed with their padding, so that no tap needs a
 * test; the taps of a row of the kernel stay in registers while they pass over a band. oneDNN's kernel for depthwise
 * layers takes up to 3 × 3 taps on maps that are not too small; its next one pads every group to 16 × 16 channels. */
#include "conv.h"
#include "eigenscope/kernel.h"
#include <string.h>

enum { LANES = 16, BAND_FLOATS = 1 << 15 };
typedef float lanes_t __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef uint32_t words_t __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef uint16_t halves_t __attribute__((vector_size(LANES * sizeof(uint16_t)), aligned(2), may_alias));

/* Some rows of the output gradient of one sample and the rows of the input that they need, for a block of channels.
 * Column 0 of `x` is the first column of the padding. */
typedef struct band {
  const es_node_t *node;
  lanes_t *x, *dy;
  int first, rows;  /* of the output */
  int lines, width; /* of x */
} band_t;

static int lines_of(const es_node_t *n, int rows) {
  return (rows - 1) * n->stride + (n->kernel - 1) * n->dilation + 1;
}

static int width_of(const es_node_t *n) {
  return (n->out.w - 1) * n->stride_w + (n->kernel_w - 1) * n->dilation_w + 1;
}

/* As many rows as the cache holds. */
static int rows_of(const es_node_t *n) {
  int rows = n->out.h;
  while (rows > 1 && lines_of(n, rows) * width_of(n) * LANES > BAND_FLOATS) rows = (rows + 1) / 2;
  return rows;
}

static size_t taps_of(const es_node_t *n) {
  return (size_t)n->kernel * (size_t)n->kernel_w;
}

static int blocks_of(const es_node_t *n) {
  return (n->in.c + LANES - 1) / LANES;
}

/* Sums of the taps and of the bias for each block; a band. */
static size_t scratch_floats(const es_node_t *n) {
  const int rows = rows_of(n);
  return ((taps_of(n) + 1) * (size_t)blocks_of(n) + (size_t)lines_of(n, rows) * (size_t)width_of(n) +
          (size_t)rows * (size_t)n->out.w) *
         LANES;
}

/* Widens `count` numbers; a constant, if it is LANES. */
static ES_INLINE void load(lanes_t *out, const void *map, ptrdiff_t at, int count, es_precision_t precision) {
  if (precision == ES_FLOAT32) {
    const float *from = (const float *)map + at;
    *out = (lanes_t){0};
    if (count == LANES)
      *out = *(const lanes_t *)from;
    else
      memcpy(out, from, (size_t)count * sizeof *from);
    return;
  }
  const uint16_t *from = (const uint16_t *)map + at;
  halves_t half = {0};
  if (count == LANES)
    half = *(const halves_t *)from;
  else
    memcpy(&half, from, (size_t)count * sizeof *from);
  const words_t words = __builtin_convertvector(half, words_t) << 16;
  memcpy(out, &words, sizeof *out);
}

/* `x`, `dy`: the first number of the block in each map of the sample. */
static ES_INLINE void pack(const band_t *b, const void *x, const void *dy, int count, es_precision_t precision) {
  const es_node_t *n = b->node;
  const ptrdiff_t channels = n->in.c;
  for (int i = 0; i < b->lines; i++) {
    const int row = b->first * n->stride - n->padding + i;
    for (int j = 0; j < b->width; j++) {
      const int column = j - n->padding_w;
      const bool inside = row >= 0 && row < n->in.h && column >= 0 && column < n->in.w;
      lanes_t *to = &b->x[i * b->width + j];
      if (inside)
        load(to, x, ((ptrdiff_t)row * n->in.w + column) * channels, count, precision);
      else
        *to = (lanes_t){0};
    }
  }
  for (ptrdiff_t i = 0; i < b->rows * n->out.w; i++)
    load(&b->dy[i], dy, (b->first * n->out.w + i) * channels, count, precision);
}

/* Adds a band to the sums of `taps` taps (a constant) of row u of the kernel, from column v on. */
static ES_INLINE void add_row(lanes_t *sums, const band_t *b, int u, int v, int taps) {
  const es_node_t *n = b->node;
  const ptrdiff_t step = n->dilation_w, stride = n->stride_w;
  lanes_t acc[7];
  for (int t = 0; t < taps; t++) acc[t] = (lanes_t){0};
  for (int i = 0; i < b->rows; i++) {
    const lanes_t *x = b->x + (ptrdiff_t)(i * n->stride + u * n->dilation) * b->width + v * step;
    const lanes_t *dy = b->dy + (ptrdiff_t)i * n->out.w;
    for (int j = 0; j < n->out.w; j++, x += stride) {
      for (int t = 0; t < taps; t++) acc[t] += x[t * step] * dy[j];
    }
  }
  for (int t = 0; t < taps; t++) sums[t] += acc[t];
}

/* All taps, and the bias in the last sum. */
static ES_INLINE void add_band(lanes_t *sums, const band_t *b) {
  const int width = b->node->kernel_w;
  lanes_t bias = {0};
  for (int u = 0; u < b->node->kernel; u++) {
    for (int v = 0, taps; v < width; v += taps, sums += taps) {
      taps = width - v >= 7 ? 7 : width - v >= 5 ? 5 : width - v >= 3 ? 3 : 1;
      if (taps == 7)
        add_row(sums, b, u, v, 7);
      else if (taps == 5)
        add_row(sums, b, u, v, 5);
      else if (taps == 3)
        add_row(sums, b, u, v, 3);
      else
        add_row(sums, b, u, v, 1);
    }
  }
  for (ptrdiff_t i = 0; i < b->rows * b->node->out.w; i++) bias += b->dy[i];
  *sums += bias;
}

static ES_INLINE void pack_any(const band_t *b, const void *x, const void *dy, int count, es_precision_t precision) {
  if (count == LANES)
    pack(b, x, dy, LANES, precision);
  else
    pack(b, x, dy, count, precision);
}

ES_KERNEL
static void add_float32(lanes_t *sums, const band_t *b, const void *x, const void *dy, int count) {
  pack_any(b, x, dy, count, ES_FLOAT32);
  add_band(sums, b);
}

ES_KERNEL
static void add_bfloat16(lanes_t *sums, const band_t *b, const void *x, const void *dy, int count) {
  pack_any(b, x, dy, count, ES_BFLOAT16);
  add_band(sums, b);
}

static void set_or_add(float *to, float value, bool set) {
  *to = set ? value : *to + value;
}

static int channels_at(const es_node_t *n, int block) {
  return n->in.c - block * LANES < LANES ? n->in.c - block * LANES : LANES;
}

/* All blocks of a band, whose rows stay in the cache. */
static void add_blocks(const es_conv_task_t *task, band_t *band, int64_t sample, es_precision_t precision) {
  const es_node_t *n = task->node;
  const size_t bytes = es_precision_bytes(precision);
  lanes_t *sums = (lanes_t *)task->scratch;
  for (int block = 0; block < blocks_of(n); block++, sums += taps_of(n) + 1) {
    const char *x = (const char *)task->x + (size_t)(sample * es_shape_size(n->in) + block * LANES) * bytes;
    const char *dy = (const char *)task->dy + (size_t)(sample * es_shape_size(n->out) + block * LANES) * bytes;
    (precision == ES_FLOAT32 ? add_float32 : add_bfloat16)(sums, band, x, dy, channels_at(n, block));
  }
}

static void run(const es_conv_task_t *task, es_precision_t precision) {
  const es_node_t *n = task->node;
  const size_t taps = taps_of(n), all = (taps + 1) * (size_t)blocks_of(n);
  const int rows = rows_of(n);
  band_t band = {.node = n, .x = (lanes_t *)task->scratch + all, .width = width_of(n)};
  band.dy = band.x + (ptrdiff_t)lines_of(n, rows) * band.width;
  memset(task->scratch, 0, all * sizeof(lanes_t));
  for (int64_t i = 0; i < task->count; i++) {
    for (band.first = 0; band.first < n->out.h; band.first += rows) {
      band.rows = n->out.h - band.first < rows ? n->out.h - band.first : rows;
      band.lines = lines_of(n, band.rows);
      add_blocks(task, &band, i, precision);
    }
  }
  for (int c = 0; c < n->in.c; c++) {
    const float *sums = task->scratch + (size_t)(c / LANES) * (taps + 1) * LANES + c % LANES;
    for (size_t t = 0; t < taps; t++) set_or_add(&task->dw[(size_t)c * taps + t], sums[t * LANES], task->first);
    if (task->db) set_or_add(&task->db[c], sums[taps * LANES], task->first);
  }
}

static void run_float32(const es_conv_task_t *task) {
  run(task, ES_FLOAT32);
}
static void run_bfloat16(const es_conv_task_t *task) {
  run(task, ES_BFLOAT16);
}

bool es_conv_depthwise_applies(const es_node_t *node, ES_UNUSED es_conv_direction_t direction,
                               ES_UNUSED es_conv_isa_t isa) {
  const bool depthwise = node->groups > 1 && node->groups == node->in.c && node->out.c == node->in.c;
  return depthwise && !(es_node_is_square(node) && node->kernel == 3);
}

const es_conv_algorithm_t es_conv_depthwise_weights = {.scratch_floats = scratch_floats, .run = run_float32};
const es_conv_algorithm_t es_conv_depthwise_weights_bfloat16 = {.scratch_floats = scratch_floats, .run = run_bfloat16};
