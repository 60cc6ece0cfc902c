/* bfloat16 convolution kernels (src/model/conv/conv_amx_*.c) against loops in double on the rounded numbers. Operands
 * lie in blocks of their exact size between guards that must not change. */
#include "../../src/model/conv/conv.h"
#include "../../src/model/conv/conv_small_weights.h"
#include "eigenscope/random.h"
#include "support/draw.h"
#include "support/nodes.h"
#include "support/sums.h"
#include "support/unit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

static void skip_without_amx(void) {
  if (es_conv_isa() == CONV_AMX) return;
  print_message("skipped: no AMX on this CPU, or not allowed by DNNL_MAX_CPU_ISA (valgrind lacks it)\n");
  skip();
}

enum { GUARD = 64 }; /* bytes */

/* A block with guards of a pattern that would show up as an enormous number. */
typedef struct block {
  char *memory;
  void *data;
  size_t bytes;
} block_t;

static block_t block(size_t bytes) {
  block_t b = {.memory = es_allocate(bytes + 2 * GUARD, 1), .bytes = bytes};
  assert_non_null(b.memory);
  memset(b.memory, 0x7e, bytes + 2 * GUARD);
  b.data = b.memory + GUARD;
  return b;
}

static void release(block_t *b) {
  for (size_t i = 0; i < GUARD; i++) assert_true(b->memory[i] == 0x7e && b->memory[GUARD + b->bytes + i] == 0x7e);
  es_free(b->memory);
}

static float widen(uint16_t v) {
  const uint32_t bits = (uint32_t)v << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static uint16_t rounded(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float number(uint64_t stream, size_t i) {
  return (float)es_random_below(draw_word(5, stream, i), 2001) * 1e-3f - 1.0f;
}

static block_t bfloats(size_t n, uint64_t stream) {
  block_t b = block(n * sizeof(uint16_t));
  for (size_t i = 0; i < n; i++) ((uint16_t *)b.data)[i] = rounded(number(stream, i));
  return b;
}

static block_t floats(size_t n, uint64_t stream) {
  block_t b = block(n * sizeof(float));
  for (size_t i = 0; i < n; i++) ((float *)b.data)[i] = number(stream, i);
  return b;
}

typedef struct layer {
  es_node_t node;
  int64_t count, in, out, weights;
  block_t x, dy, y, dx, dw, db, w, bias;
} layer_t;

static void layer_open(layer_t *l, es_node_t node, int64_t count) {
  *l = (layer_t){.node = node, .count = count};
  l->in = count * es_shape_size(node.in);
  l->out = count * es_shape_size(node.out);
  l->weights = (int64_t)node.kernel * node.kernel * node.in.c * node.out.c;
  l->x = bfloats((size_t)l->in, 1);
  l->dy = bfloats((size_t)l->out, 2);
  l->y = bfloats((size_t)l->out, 3);
  l->dx = bfloats((size_t)l->in, 4);
  l->dw = floats((size_t)l->weights, 5);
  l->db = floats((size_t)node.out.c, 6);
  l->w = floats((size_t)l->weights, 7);
  l->bias = floats((size_t)node.out.c, 8);
}

static void layer_close(layer_t *l) {
  block_t *const blocks[] = {&l->x, &l->dy, &l->y, &l->dx, &l->dw, &l->db, &l->w, &l->bias};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) release(blocks[i]);
}

/* Runs one direction; false if oneDNN computes it. */
static bool run(layer_t *l, es_conv_direction_t direction, int64_t from, int64_t count, bool first) {
  const es_conv_algorithm_t *a = es_conv_choose(&l->node, direction, ES_BFLOAT16);
  if (!a || !a->run) return false;
  block_t packed = block(a->pack ? a->packed_floats(&l->node) * sizeof(float) : 0);
  block_t scratch = block(a->scratch_floats ? a->scratch_floats(&l->node) * sizeof(float) : 0);
  if (a->pack) a->pack(packed.data, l->w.data, &l->node);
  const int64_t in = from * es_shape_size(l->node.in), out = from * es_shape_size(l->node.out);
  const es_conv_task_t task = {.node = &l->node,
                               .count = count,
                               .x = (uint16_t *)l->x.data + in,
                               .dy = (uint16_t *)l->dy.data + out,
                               .y = (uint16_t *)l->y.data + out,
                               .dx = (uint16_t *)l->dx.data + in,
                               .dw = l->dw.data,
                               .db = l->db.data,
                               .weights = a->pack ? packed.data : l->w.data,
                               .bias = l->bias.data,
                               .scratch = scratch.data,
                               .first = first};
  a->run(&task);
  release(&packed);
  release(&scratch);
  return true;
}

/* The definition, in double. */
static void naive(const layer_t *l, sums_t *y, sums_t *dx, sums_t *dw, sums_t *db) {
  const es_node_t *n = &l->node;
  const int k = n->kernel, in = n->in.c, out = n->out.c;
  for (int64_t p = 0; p < l->count * n->out.h * n->out.w; p++) {
    const int64_t sample = p / (n->out.h * n->out.w), row = p / n->out.w % n->out.h, column = p % n->out.w;
    for (int o = 0; o < out; o++) {
      const double g = (double)widen(((uint16_t *)l->dy.data)[p * out + o]);
      sums_add(y, p * out + o, (double)((float *)l->bias.data)[o]);
      sums_add(db, o, g);
      for (int t = 0; t < k * k; t++) {
        const int64_t r = row * n->stride + t / k - n->padding, c = column * n->stride + t % k - n->padding;
        if (r < 0 || r >= n->in.h || c < 0 || c >= n->in.w) continue;
        const int64_t at = ((sample * n->in.h + r) * n->in.w + c) * in;
        for (int i = 0; i < in; i++) {
          const int64_t weight = ((int64_t)o * in + i) * k * k + t;
          const double w = (double)widen(rounded(((float *)l->w.data)[weight]));
          const double x = (double)widen(((uint16_t *)l->x.data)[at + i]);
          sums_add(y, p * out + o, w * x);
          sums_add(dx, at + i, w * g);
          sums_add(dw, weight, x * g);
        }
      }
    }
  }
}

/* float32 sums of the terms, then one rounding to bfloat16 (8 bits): half a unit in the last place, twice that where
 * the two roundings meet. */
static void check_bfloats(const block_t *got, const sums_t *want, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const double g = (double)widen(((uint16_t *)got->data)[i]), sum = 1e-6 * want->size[i];
    assert_true(fabs(g - want->value[i]) <= sum + (fabs(want->value[i]) + sum) / 256.0);
  }
}

static void check_floats(const block_t *got, const sums_t *want, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    assert_true(fabs((double)((float *)got->data)[i] - want->value[i]) <= 2e-6 * want->size[i]);
}

static es_node_t node_of(int h, int w, int in, int out, int kernel, int stride) {
  const int padding = kernel / 2;
  es_node_t n = {.op = ES_OP_CONV, .name = "conv", .in = {h, w, in}};
  n.out = (es_shape_t){(h + 2 * padding - kernel) / stride + 1, (w + 2 * padding - kernel) / stride + 1, out};
  set_window(&n, kernel, stride, padding);
  n.groups = 1;
  n.bias = 1;
  return n;
}

/* All directions that have a kernel of ours; the weights in two slices of one lane. */
/* Layers that were checked in each direction since assert_checked. */
static int checked[CONV_DIRECTIONS];

/* Fails if no kernel of ours was chosen in one of the first directions: then the test checked nothing there. */
static void assert_checked(int directions) {
  for (int direction = 0; direction < directions; direction++) assert_int_not_equal(checked[direction], 0);
  memset(checked, 0, sizeof checked);
}

static void check_layer(es_node_t node, int64_t count) {
  layer_t l;
  layer_open(&l, node, count);
  sums_t y = sums_of(l.out), dx = sums_of(l.in), dw = sums_of(l.weights), db = sums_of(node.out.c);
  naive(&l, &y, &dx, &dw, &db);
  if (run(&l, CONV_FORWARD, 0, count, true)) {
    check_bfloats(&l.y, &y, l.out);
    checked[CONV_FORWARD]++;
  }
  if (run(&l, CONV_BACKWARD_DATA, 0, count, true)) {
    check_bfloats(&l.dx, &dx, l.in);
    checked[CONV_BACKWARD_DATA]++;
  }
  const int64_t half = count / 2;
  if (half == 0 || run(&l, CONV_BACKWARD_WEIGHTS, 0, half, true)) {
    if (run(&l, CONV_BACKWARD_WEIGHTS, half, count - half, half == 0)) {
      check_floats(&l.dw, &dw, l.weights);
      check_floats(&l.db, &db, node.out.c);
      checked[CONV_BACKWARD_WEIGHTS]++;
    }
  }
  sums_free(&y);
  sums_free(&dx);
  sums_free(&dw);
  sums_free(&db);
  layer_close(&l);
}

static void check_shape(int side, int in, int out, int count) {
  check_layer(node_of(side, side, in, out, 3, 1), count);
}

TEST(narrow) {
  static const int channels[] = {1, 2, 3, 4, 5, 8, 12, 16, 24};
  enum { N = sizeof channels / sizeof *channels };
  skip_without_amx();
  for (int i = 0; i < N * N; i++) {
    check_layer(node_of(16, 16, channels[i / N], channels[i % N], 3, 1), 1 + (7 * i) % ES_SLICE_MAX);
    check_layer(node_of(5 + i % 3, 7 + i % 23, channels[i / N], channels[i % N], 3, 1), 1 + i % ES_SLICE_MAX);
  }
  check_shape(32, 3, 4, 16);
  check_shape(32, 4, 4, 7);
  check_shape(32, 8, 8, 5);
  check_shape(64, 3, 8, 2);
  assert_checked(CONV_DIRECTIONS);
}

TEST(wide) {
  skip_without_amx();
  check_shape(8, 32, 32, 16);
  check_shape(8, 64, 48, 9);
  check_shape(4, 64, 128, 16);
  check_shape(4, 96, 32, 3);
  check_shape(2, 64, 64, 16);
  check_shape(2, 128, 96, 10);
  check_shape(1, 32, 64, 16);
  check_layer(node_of(3, 5, 32, 32, 3, 1), 7);
  assert_checked(CONV_BACKWARD_WEIGHTS); /* check_lanes has these weights */
}

TEST(strides) {
  static const int maps[][4] = {{16, 16, 16, 32}, {9, 17, 5, 10}, {8, 8, 64, 32}, {4, 4, 32, 64}, {7, 6, 48, 16}};
  skip_without_amx();
  for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
    const int *m = maps[i];
    check_layer(node_of(m[0], m[1], m[2], m[3], 3, 2), 5);
    check_layer(node_of(m[0], m[1], m[2], m[3], 1, 2), 16);
    check_layer(node_of(m[0], m[1], m[2], m[3], 1, 1), 3);
    check_layer(node_of(m[0], m[1], m[2], m[3], 5, 1), 2);
  }
  check_layer(node_of(32, 32, 3, 16, 7, 2), 4);
  assert_checked(CONV_DIRECTIONS);
}

/* A sample has the bits that it has alone, even beside samples of infinite numbers: kernels that read more numbers than
 * they need multiply none of them by zero. */
static void check_alone(es_node_t node) {
  layer_t l;
  layer_open(&l, node, 16);
  const int64_t in = es_shape_size(node.in), out = es_shape_size(node.out);
  uint16_t *y = es_allocate_zero((size_t)(in + out), sizeof *y), *dx = y + out;
  assert_non_null(y);
  if (run(&l, CONV_FORWARD, 3, 1, true)) memcpy(y, (uint16_t *)l.y.data + 3 * out, (size_t)out * sizeof *y);
  if (run(&l, CONV_BACKWARD_DATA, 3, 1, true)) memcpy(dx, (uint16_t *)l.dx.data + 3 * in, (size_t)in * sizeof *dx);
  for (int64_t i = 0; i < l.in; i++) {
    if (i / in != 3) ((uint16_t *)l.x.data)[i] = 0x7f80;
  }
  for (int64_t i = 0; i < l.out; i++) {
    if (i / out != 3) ((uint16_t *)l.dy.data)[i] = 0x7f80;
  }
  if (run(&l, CONV_FORWARD, 0, 16, true))
    assert_memory_equal((uint16_t *)l.y.data + 3 * out, y, (size_t)out * sizeof *y);
  if (run(&l, CONV_BACKWARD_DATA, 0, 16, true))
    assert_memory_equal((uint16_t *)l.dx.data + 3 * in, dx, (size_t)in * sizeof *dx);
  es_free(y);
  layer_close(&l);
}

TEST(alone) {
  skip_without_amx();
  check_alone(node_of(32, 32, 4, 4, 3, 1));
  check_alone(node_of(16, 16, 8, 8, 3, 1));
  check_alone(node_of(9, 17, 3, 5, 3, 1));
  check_alone(node_of(4, 4, 32, 64, 3, 1));
  check_alone(node_of(2, 2, 48, 32, 3, 1));
  check_alone(node_of(8, 8, 32, 64, 3, 2));
}

/* All lanes at once: lanes of several slices, of few samples and of none. */
static void check_lanes(es_node_t node, int lanes, const int *lane) {
  int64_t count = 0, at = 0;
  for (int i = 0; i < lanes; i++) count += lane[i];
  layer_t l;
  layer_open(&l, node, count);
  sums_t y = sums_of(l.out), dx = sums_of(l.in), dw = sums_of(l.weights), db = sums_of(node.out.c);
  naive(&l, &y, &dx, &dw, &db);
  const es_group_t group = {.comm = MPI_COMM_NULL, .size = 1, .lanes = lanes, .lane_count = lanes};
  const es_unit_t unit = {.group = &group, .node = &node, .training = true, .samples = count};
  const es_conv_algorithm_t *a = es_conv_choose(&node, CONV_BACKWARD_WEIGHTS, ES_BFLOAT16);
  assert_true(a && !a->run);
  es_small_weights_t *s = es_small_weights_create(&unit, ES_BFLOAT16);
  assert_non_null(s);
  block_t memory = block(es_small_weights_floats(&node, count, lanes, ES_BFLOAT16) * sizeof(float));
  es_small_weights_set_memory(s, &group, memory.data);
  for (int pass = 0; pass < 2; pass++, at = 0) {
    es_small_weights_begin(s);
    for (int i = 0; i < lanes; i++) {
      for (int left = lane[i], n; left > 0; left -= n, at += n) {
        n = left < ES_SLICE_MAX ? left : ES_SLICE_MAX;
        const es_slice_t slice = {.lane = i, .count = n, .first = at, .store = at};
        es_small_weights_slice(s, &slice, (uint16_t *)l.x.data + at * es_shape_size(node.in),
                               (uint16_t *)l.dy.data + at * es_shape_size(node.out));
      }
      es_small_weights_lane_end(s);
    }
    es_small_weights_finish(s, l.dw.data, l.db.data);
  }
  check_floats(&l.dw, &dw, l.weights);
  check_floats(&l.db, &db, node.out.c);
  es_small_weights_destroy(s);
  release(&memory);
  sums_free(&y);
  sums_free(&dx);
  sums_free(&dw);
  sums_free(&db);
  layer_close(&l);
}

TEST(lanes) {
  skip_without_amx();
  check_lanes(node_of(2, 2, 32, 32, 3, 1), 4, (const int[]){20, 0, 3, 16});
  check_lanes(node_of(4, 4, 16, 48, 3, 1), 4, (const int[]){1, 2, 33, 0});
  check_lanes(node_of(8, 8, 48, 32, 3, 1), 2, (const int[]){16, 5});
  check_lanes(node_of(7, 5, 40, 8, 3, 2), 2, (const int[]){4, 17});
  check_lanes(node_of(8, 8, 32, 20, 1, 2), 1, (const int[]){16});
  check_lanes(node_of(1, 1, 16, 64, 3, 1), 8, (const int[]){1, 1, 1, 1, 1, 1, 1, 1});
}

/* Which kernel computes what, on an AMX CPU and elsewhere. */
TEST(choice) {
  const es_node_t narrow = node_of(32, 32, 4, 4, 3, 1), deep = node_of(2, 2, 512, 512, 3, 1);
  es_node_t depthwise = node_of(8, 8, 32, 32, 3, 1), wide = deep;
  depthwise.groups = 32;
  wide.dilation = 2;
  const bool amx = es_conv_isa() == CONV_AMX;
  for (es_conv_direction_t d = CONV_FORWARD; d < CONV_DIRECTIONS; d++) {
    assert_true((es_conv_choose(&narrow, d, ES_BFLOAT16) != NULL) == amx);
    assert_true((es_conv_choose(&deep, d, ES_BFLOAT16) != NULL) == amx);
    assert_null(es_conv_choose(&depthwise, d, ES_BFLOAT16));
    assert_null(es_conv_choose(&wide, d, ES_BFLOAT16));
  }
}
