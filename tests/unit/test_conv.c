/* Convolutions against loops in double: forward, gradients of input, weights and bias. Shapes lie on both sides of each
 * limit at which the layer changes its algorithm (src/model/conv/conv.h, es_onednn_layer_algorithms); also slices
 * smaller than the largest, and several lanes. */
#include "../../src/model/conv/conv.h"
#include "../../src/model/unit.h"
#include "eigenscope/kernel.h"
#include "eigenscope/random.h"
#include "support/draw.h"
#include "support/nodes.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

enum { LANES_MOST = 4 };

/* A layer of kernel × kernel taps, padded by kernel / 2, with the number of samples in each lane. */
typedef struct spec {
  int h, w, in, out, kernel, stride, lanes, lane[LANES_MOST];
} spec_t;

typedef struct layer {
  spec_t spec;
  int h, w, in, out, count;
  es_tensor_t tensors[2];
  es_graph_t graph;
  es_node_t node;
  es_group_t group;
  es_unit_t unit;
  float *x, *y, *dx, *dy, *parameters, *gradients, *scratch;
} layer_t;

static float *numbers(size_t n, uint64_t stream) {
  float *v = es_allocate(n, sizeof *v);
  assert_non_null(v);
  for (size_t i = 0; i < n; i++) {
    v[i] = (float)es_random_below(draw_word(5, stream, i), 2001) * 1e-3f - 1.0f;
  }
  return v;
}

static es_storage_t storage(float *data, es_shape_t shape) {
  return (es_storage_t){.data = data, .size = es_shape_size(shape), .stride = es_shape_size(shape), .whole = true};
}

static void layer_open(layer_t *l, const spec_t *spec) {
  const int k = spec->kernel, in = spec->in, out = spec->out, padding = k / 2;
  const es_shape_t from = {spec->h, spec->w, in};
  const es_shape_t to = {(spec->h + 2 * padding - k) / spec->stride + 1, (spec->w + 2 * padding - k) / spec->stride + 1,
                         out};
  const int64_t weights = (int64_t)k * k * in * out;
  *l = (layer_t){.spec = *spec, .h = spec->h, .w = spec->w, .in = in, .out = out};
  for (int lane = 0; lane < spec->lanes; lane++) l->count += spec->lane[lane];
  const int64_t most = l->count > ES_SLICE_MAX ? l->count : ES_SLICE_MAX;
  l->tensors[0] = (es_tensor_t){.rank = 4, .shape = {out, in, k, k}, .count = weights};
  l->tensors[1] = (es_tensor_t){.rank = 1, .shape = {out}, .offset = weights, .count = out};
  l->graph = (es_graph_t){.parameters = l->tensors, .n_parameters = 2, .parameter_count = weights + out};
  l->node = (es_node_t){.op = ES_OP_CONV, .name = "conv", .in = from, .out = to};
  set_window(&l->node, k, spec->stride, padding);
  l->node.groups = 1;
  l->node.bias = 1;
  l->group = (es_group_t){.comm = MPI_COMM_NULL, .size = 1, .lanes = spec->lanes, .lane_count = spec->lanes};
  l->x = numbers((size_t)(most * es_shape_size(from)), 1);
  l->dx = numbers((size_t)(most * es_shape_size(from)), 2);
  l->y = numbers((size_t)(most * es_shape_size(to)), 3);
  l->dy = numbers((size_t)(most * es_shape_size(to)), 4);
  l->parameters = numbers((size_t)(weights + out), 5);
  l->gradients = numbers((size_t)(weights + out), 6);
  l->unit = (es_unit_t){.class = &es_unit_layer,
                        .graph = &l->graph,
                        .group = &l->group,
                        .node = &l->node,
                        .training = true,
                        .samples = most,
                        .in = {storage(l->x, from)},
                        .out = storage(l->y, to),
                        .in_gradient = {storage(l->dx, from)},
                        .out_gradient = storage(l->dy, to),
                        .parameters = l->parameters,
                        .gradients = l->gradients};
  assert_ok(es_unit_layer.create(&l->unit, (2u << ES_SLICE_MAX) - 2, fresh()));
  l->scratch = es_allocate(es_unit_layer.scratch_floats(&l->unit), sizeof *l->scratch);
  assert_non_null(l->scratch);
  es_unit_layer.set_scratch(&l->unit, l->scratch);
  es_unit_layer.pack(&l->unit);
}

static void layer_close(layer_t *l) {
  es_unit_layer.destroy(&l->unit);
  float *const owned[] = {l->x, l->y, l->dx, l->dy, l->parameters, l->gradients, l->scratch};
  for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) es_free(owned[i]);
}

/* Forward and backward, each lane in slices of at most ES_SLICE_MAX. */
static void run(layer_t *l) {
  const es_pass_t pass = {.n = l->count, .training = true};
  int first = 0;
  es_unit_layer.begin(&l->unit, &pass);
  for (int lane = 0; lane < l->spec.lanes; lane++) {
    for (int left = l->spec.lane[lane], n; left > 0; left -= n, first += n) {
      n = left < ES_SLICE_MAX ? left : ES_SLICE_MAX;
      const es_slice_t slice = {.lane = lane, .count = n, .first = first, .store = first};
      es_unit_layer.forward(&l->unit, &pass, &slice);
      es_unit_layer.backward(&l->unit, &pass, &slice);
    }
    es_unit_layer.lane_end(&l->unit, lane);
  }
  es_unit_layer.backward_end(&l->unit);
}

/* The definition, in double. */
static void naive(const layer_t *l, double *y, double *dx, double *dw, double *db) {
  const es_shape_t to = l->node.out;
  const int h = l->h, width = l->w, in = l->in, out = l->out, k = l->spec.kernel;
  const float *w = l->parameters, *b = w + k * k * in * out;
  for (int p = 0; p < l->count * to.h * to.w; p++) {
    const int sample = p / (to.h * to.w), row = p / to.w % to.h, column = p % to.w;
    for (int o = 0; o < out; o++) {
      const double g = l->dy[(int64_t)p * out + o];
      double sum = b[o];
      for (int t = 0; t < k * k; t++) {
        const int r = row * l->spec.stride + t / k - k / 2, c = column * l->spec.stride + t % k - k / 2;
        if (r < 0 || r >= h || c < 0 || c >= width) continue;
        const int64_t at = ((int64_t)(sample * h + r) * width + c) * in;
        for (int i = 0; i < in; i++) {
          const int64_t weight = (int64_t)(o * in + i) * k * k + t;
          sum += (double)w[weight] * (double)l->x[at + i];
          dx[at + i] += (double)w[weight] * g;
          dw[weight] += (double)l->x[at + i] * g;
        }
      }
      y[(int64_t)p * out + o] = sum;
      db[o] += g;
    }
  }
}

/* Largest difference, in units of the largest number. */
static double error(const float *got, const double *want, int64_t n) {
  double worst = 0.0, largest = 0.0;
  for (int64_t i = 0; i < n; i++) {
    worst = fmax(worst, fabs((double)got[i] - want[i]));
    largest = fmax(largest, fabs(want[i]));
    assert_true(isfinite(got[i]));
  }
  assert_true(largest > 0.0);
  return worst / largest;
}

static void check_layer(const spec_t *spec) {
  layer_t l;
  layer_open(&l, spec);
  const int64_t to = l.count * es_shape_size(l.node.out), from = l.count * es_shape_size(l.node.in);
  const int64_t weights = l.tensors[0].count, positions = to / l.out;
  double *y = es_allocate_zero((size_t)(to + from + weights + l.out), sizeof *y);
  assert_non_null(y);
  double *dx = y + to, *dw = dx + from, *db = dw + weights;
  naive(&l, y, dx, dw, db);
  run(&l);
  assert_true(error(l.y, y, to) < 5e-6);
  assert_true(error(l.dx, dx, from) < 5e-6);
  /* Sums over all positions, which some kernels add sequentially. */
  const double most = 3e-6 + 6e-8 * sqrt((double)positions);
  assert_true(error(l.gradients, dw, weights) < most);
  assert_true(error(l.gradients + weights, db, l.out) < most);
  es_free(y);
  layer_close(&l);
}

static spec_t one_slice(int h, int w, int in, int out, int count) {
  return (spec_t){.h = h, .w = w, .in = in, .out = out, .kernel = 3, .stride = 1, .lanes = 1, .lane = {count}};
}

static void check_map(int h, int w, int in, int out, int count) {
  const spec_t spec = one_slice(h, w, in, out, count);
  check_layer(&spec);
}

static void check_shape(int side, int in, int out, int count) {
  check_map(side, side, in, out, count);
}

TEST(plain) {
  check_shape(16, 32, 32, 16);
  check_shape(8, 64, 64, 5);
  check_shape(16, 24, 72, 3); /* channel counts that fill no block */
  check_shape(4, 128, 128, 16);
}

TEST(winograd) {
  check_shape(16, 64, 64, 16);
  check_shape(16, 64, 80, 1);
  check_shape(8, 64, 32, 13); /* our own kernels (src/model/conv/conv_winograd.c) from here … */
  check_shape(16, 16, 32, 5);
  check_shape(4, 64, 128, 16);
  check_shape(8, 192, 256, 2);
  check_map(9, 21, 48, 64, 3); /* … to here */
  check_shape(32, 64, 64, 3);
  check_shape(9, 128, 128, 5); /* tiles of 4 × 4 that extend beyond the edge */
  check_shape(8, 128, 144, 16);
}

TEST(blocked_forward) {
  check_shape(4, 256, 256, 7);
  check_shape(2, 256, 272, 16);
  check_shape(1, 256, 256, 2);
}

/* Shapes that use kernels of our own (src/model/conv/conv.h), and shapes just beside the limits. */
TEST(narrow) {
  static const int channels[] = {1, 3, 4, 5, 8, 12, 13, 16};
  enum { N = sizeof channels / sizeof *channels };
  for (int i = 0; i < N * N; i++) {
    const int in = channels[i / N], out = channels[i % N];
    check_shape(16, in, out, 1 + (7 * i) % ES_SLICE_MAX);
    check_map(5 + i % 3, 7 + i % 23, in, out, 1 + i % ES_SLICE_MAX);
  }
  check_shape(32, 3, 4, 16);
  check_shape(32, 4, 4, 7);
  check_shape(32, 3, 8, 2);
  check_shape(32, 8, 8, 16);
  check_shape(32, 3, 16, 3);
  check_shape(16, 8, 8, 16);
  check_map(70, 61, 8, 4, 2);
}

/* Small maps (src/model/conv/conv_small.c, conv_small_weights.c): all numbers of samples, other kernels and strides,
 * and lanes with several slices, with few samples and with none. */
TEST(small) {
  static const spec_t specs[] = {
      {4, 4, 32, 64, 3, 2, 1, {7}},
      {5, 7, 64, 32, 1, 2, 1, {3}},
      {4, 4, 32, 32, 5, 1, 1, {13}},
      {8, 8, 8, 32, 7, 2, 1, {5}},
      {2, 2, 32, 32, 3, 1, 4, {20, 0, 3, 16}},
      {2, 3, 64, 96, 3, 1, 2, {0, 0}},
      {8, 8, 32, 32, 3, 1, 4, {1, 2, 33, 0}},
  };
  for (int count = 1; count <= ES_SLICE_MAX; count++) check_shape(2, 32, 64, count);
  check_shape(2, 128, 128, 16);
  check_shape(2, 512, 32, 9);
  check_shape(4, 16, 32, 16);
  check_shape(4, 40, 96, 11);
  check_shape(8, 32, 64, 16);
  check_map(1, 3, 32, 32, 2);
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
    if (specs[i].lane[0] > 0) check_layer(&specs[i]);
  }
  layer_t empty; /* a rank may have no samples */
  layer_open(&empty, &specs[5]);
  run(&empty);
  for (int64_t i = 0; i < empty.graph.parameter_count; i++) assert_true(empty.gradients[i] == 0.0f);
  layer_close(&empty);
}

/* Shortcuts of narrow ResNets: the kernel that es_onednn_layer_describe avoids would damage the heap. */
TEST(shortcuts) {
  static const spec_t specs[] = {
      {64, 64, 8, 16, 1, 2, 1, {2}}, {64, 64, 4, 8, 1, 2, 2, {16, 3}}, {32, 32, 4, 8, 1, 2, 1, {16}},
      {9, 17, 5, 10, 1, 2, 1, {4}},  {64, 64, 12, 24, 1, 2, 1, {2}},   {32, 32, 16, 32, 1, 2, 1, {5}},
  };
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) check_layer(&specs[i]);
}

/* On ARM, small maps and 3 × 3 kernels have kernels of ours, too (run there by tests/arm.sh). */
TEST(neon) {
  es_node_t node = {.op = ES_OP_CONV, .in = {4, 4, 64}, .out = {4, 4, 64}, .groups = 1};
  es_node_t narrow = {.op = ES_OP_CONV, .in = {32, 32, 8}, .out = {32, 32, 16}, .groups = 1};
  set_window(&node, 3, 1, 1);
  set_window(&narrow, 3, 1, 1);
  for (es_conv_direction_t d = CONV_FORWARD; d < CONV_DIRECTIONS; d++) {
    assert_true(es_conv_small_applies(&node, d, CONV_NEON) && es_conv_winograd_applies(&node, d, CONV_NEON));
    assert_true(es_conv_narrow_applies(&narrow, d, CONV_NEON));
    assert_false(es_conv_small_applies(&node, d, CONV_BASELINE) || es_conv_winograd_applies(&node, d, CONV_BASELINE));
  }
  assert_true(es_conv_small_weights_applies(&node, CONV_BACKWARD_WEIGHTS, CONV_NEON));
#ifdef ES_KERNEL_NEON
  assert_int_equal(es_conv_isa(), CONV_NEON);
  assert_ptr_equal(es_conv_choose(&node, CONV_FORWARD, ES_FLOAT32), &es_conv_winograd_forward);
#endif
}

/* A sample's output and input gradient do not depend on the other samples in the slice, nor on their number. */
static void check_alone(int h, int w, int in, int out) {
  const spec_t few = one_slice(h, w, in, out, 5), all = one_slice(h, w, in, out, ES_SLICE_MAX);
  layer_t l;
  layer_open(&l, &few);
  const size_t sample = (size_t)es_shape_size(l.node.out), from = (size_t)es_shape_size(l.node.in);
  float *y = es_allocate(sample + from, sizeof *y), *dx = y + sample;
  assert_non_null(y);
  run(&l);
  memcpy(y, l.y + 3 * sample, sample * sizeof *y);
  memcpy(dx, l.dx + 3 * from, from * sizeof *dx);
  l.spec = all;
  run(&l);
  assert_memory_equal(l.y + 3 * sample, y, sample * sizeof *y);
  assert_memory_equal(l.dx + 3 * from, dx, from * sizeof *dx);
  es_free(y);
  layer_close(&l);
}

TEST(alone) {
  check_alone(32, 32, 4, 4);
  check_alone(16, 16, 8, 8);
  check_alone(9, 17, 3, 8);
  check_alone(2, 2, 64, 64);
  check_alone(8, 8, 32, 64);
  check_alone(4, 4, 32, 32);
}

/* Scratch for other layouts is shared: results are equal beside larger layers, and after those were destroyed. */
TEST(shared_scratch) {
  layer_t small, large;
  const spec_t shapes[] = {one_slice(8, 8, 128, 128, 4), one_slice(32, 32, 64, 64, 16)};
  layer_open(&small, &shapes[0]);
  run(&small);
  const size_t n = (size_t)(small.count * es_shape_size(small.node.out)) * sizeof(float);
  float *first = es_allocate(1, n);
  assert_non_null(first);
  memcpy(first, small.y, n);
  layer_open(&large, &shapes[1]);
  run(&large);
  run(&small);
  assert_memory_equal(small.y, first, n);
  layer_close(&large);
  run(&small);
  assert_memory_equal(small.y, first, n);
  es_free(first);
  layer_close(&small);
}
