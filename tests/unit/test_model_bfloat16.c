/* bfloat16: rounding, loops against those of float32, layers and pooling against their emulation, and memory. */
#include "../../src/model/number.h"
#include "../../src/model/unit.h"
#include "eigenscope/random.h"
#include "support/draw.h"
#include "support/nodes.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

static float from_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

/* Every bfloat16 number keeps its bits; numbers between two neighbours go to the nearer one, ties to the even one. */
TEST(rounding) {
  for (uint32_t high = 0; high < 0x10000; high++) {
    const uint16_t number = (uint16_t)high;
    const float exact = es_bfloat16_widened(number);
    if (isnan(exact)) {
      assert_true(isnan(es_bfloat16_widened(es_bfloat16_rounded(exact))));
      assert_true(isnan(es_bfloat16_widened(es_bfloat16_rounded(from_bits(high << 16 | 0xffff)))));
      continue;
    }
    assert_int_equal(es_bfloat16_rounded(exact), number);
    if (isinf(exact)) continue;
    assert_int_equal(es_bfloat16_rounded(from_bits(high << 16 | 0x7fff)), number);
    assert_int_equal(es_bfloat16_rounded(from_bits(high << 16 | 0x8000)), high + (high & 1));
    assert_int_equal(es_bfloat16_rounded(from_bits(high << 16 | 0x8001)), high + 1);
  }
  assert_true(isnan(es_bfloat16_widened(es_bfloat16_rounded(from_bits(0x7f800001))))); /* only lower digits are set */
}

/* ---- loops: the float32 loop on widened numbers, rounded, gives the numbers of the bfloat16 loop; builds without full
 * optimisation fuse other multiply-adds, which can move a result to the neighbouring number ---- */

enum { ROWS = 37, CHANNELS = 70, SIDE = 6, SIZE = ROWS * CHANNELS };

typedef struct numbers {
  float wide[SIZE];
  uint16_t narrow[SIZE];
} numbers_t;

static numbers_t x, dy, y, found, picked;
static uint8_t winners[2][SIZE];
static float vectors[5][CHANNELS], patterns[5][CHANNELS * ES_PATTERN_UNIT], scratch[2 * SIDE * CHANNELS];
static double sums[2][2 * CHANNELS], room[2 * CHANNELS * ES_PATTERN_UNIT];

static void draw_numbers(numbers_t *n, uint64_t stream) {
  for (size_t i = 0; i < SIZE; i++) {
    n->narrow[i] = es_bfloat16_rounded(draw_normal(91, stream, i));
    if (es_random_below(draw_word(92, stream, i), 97) == 0) n->narrow[i] = es_bfloat16_rounded(NAN);
  }
  es_widen(n->wide, n->narrow, SIZE, ES_BFLOAT16);
}

static void expect_rounded(const numbers_t *n, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (isnan(n->wide[i]))
      assert_true(isnan(es_bfloat16_widened(n->narrow[i])));
    else
      assert_in_range(n->narrow[i] - es_bfloat16_rounded(n->wide[i]) + 1, 0, 2);
  }
}

static void expect_equal_sums(size_t channels) {
  for (size_t i = 0; i < 2 * channels; i++)
    assert_true(fabs(sums[0][i] - sums[1][i]) <= 1e-4 * (1 + fabs(sums[0][i])) ||
                (isnan(sums[0][i]) && isnan(sums[1][i])));
  memset(sums, 0, sizeof sums);
}

static void check_rows(size_t rows, size_t channels, const es_affine_t *f, const es_backward_t *t) {
  const size_t n = rows * channels;
  for (es_precision_t p = ES_FLOAT32; p < ES_PRECISIONS; p++)
    es_rows_moments(sums[p], p ? (void *)x.narrow : x.wide, rows, channels, patterns[0], room, p);
  expect_equal_sums(channels);
  es_rows_affine(y.wide, x.wide, rows, channels, f, ES_FLOAT32);
  es_rows_affine(y.narrow, x.narrow, rows, channels, f, ES_BFLOAT16);
  expect_rounded(&y, n);
  es_rows_backward_sums(sums[0], dy.wide, x.wide, rows, channels, f, patterns[2], room, ES_FLOAT32);
  es_rows_backward_sums(sums[1], dy.narrow, x.narrow, rows, channels, f, patterns[2], room, ES_BFLOAT16);
  expect_equal_sums(channels);
  es_rows_backward_apply(y.wide, dy.wide, x.wide, rows, channels, f, t, ES_FLOAT32);
  es_rows_backward_apply(y.narrow, dy.narrow, x.narrow, rows, channels, f, t, ES_BFLOAT16);
  expect_rounded(&y, n);
}

static void check_elementwise(size_t n, es_activation_t activation) {
  es_activate(y.wide, x.wide, n, activation, ES_FLOAT32);
  es_activate(y.narrow, x.narrow, n, activation, ES_BFLOAT16);
  expect_rounded(&y, n);
  es_activate_backward(y.wide, dy.wide, x.wide, n, activation, ES_FLOAT32);
  es_activate_backward(y.narrow, dy.narrow, x.narrow, n, activation, ES_BFLOAT16);
  expect_rounded(&y, n);
  es_add_activate(y.wide, dy.wide, x.wide, n, activation, ES_FLOAT32);
  es_add_activate(y.narrow, dy.narrow, x.narrow, n, activation, ES_BFLOAT16);
  expect_rounded(&y, n);
  found = x;
  es_gradient_add(found.wide, dy.wide, n, ES_FLOAT32);
  es_gradient_add(found.narrow, dy.narrow, n, ES_BFLOAT16);
  expect_rounded(&found, n);
}

static void check_pooling(size_t side, size_t channels, const es_affine_t *f, const es_backward_t *t) {
  const size_t in = side * side * channels, out = (side / 2) * (side / 2) * channels;
  es_maxpool2_forward(y.wide, picked.wide, winners[0], x.wide, side, side, channels, f, scratch, ES_FLOAT32);
  es_maxpool2_forward(y.narrow, picked.narrow, winners[1], x.narrow, side, side, channels, f, scratch, ES_BFLOAT16);
  expect_rounded(&y, out);
  expect_rounded(&picked, out);
  assert_memory_equal(winners[0], winners[1], out);
  es_maxpool2_backward(y.wide, dy.wide, winners[0], x.wide, side, side, channels, t, scratch, ES_FLOAT32);
  es_maxpool2_backward(y.narrow, dy.narrow, winners[0], x.narrow, side, side, channels, t, scratch, ES_BFLOAT16);
  expect_rounded(&y, in);
  es_maxpool2_spread(y.wide, dy.wide, winners[0], side, side, channels, scratch, ES_FLOAT32);
  es_maxpool2_spread(y.narrow, dy.narrow, winners[0], side, side, channels, scratch, ES_BFLOAT16);
  expect_rounded(&y, in);
}

TEST(loops) {
  draw_numbers(&x, 1);
  draw_numbers(&dy, 2);
  for (size_t channels = 1; channels <= CHANNELS; channels += channels < 20 ? 1 : 10) {
    for (size_t v = 0; v < 5; v++) {
      for (size_t c = 0; c < channels; c++) vectors[v][c] = 0.3f + draw_normal(93, v, c);
      es_pattern_fill(patterns[v], vectors[v], channels);
    }
    const es_backward_t t = {patterns[2], patterns[3], patterns[4]};
    for (es_activation_t a = ES_NO_ACTIVATION; a <= ES_RELU6; a++) {
      const es_affine_t f = {patterns[0], patterns[1], a};
      for (size_t rows = 1; rows <= ROWS; rows += 6) check_rows(rows, channels, &f, &t);
      for (size_t side = 2; side <= SIDE && side * side <= ROWS; side++) check_pooling(side, channels, &f, &t);
      check_elementwise(11 * channels, a);
    }
  }
}

/* ---- layers and pooling: the CPU's instructions against the emulation ---- */

/* A layer with two lanes: one slice of the largest size, and a slice of three. */
enum { SAMPLES = ES_SLICE_MAX + 3 };
typedef struct layer {
  es_tensor_t tensors[2];
  es_graph_t graph;
  es_node_t node;
  es_group_t group;
  es_unit_t unit;
  uint16_t *in, *out, *in_gradient, *out_gradient;
  float *parameters, *gradients, *scratch;
} layer_t;

static uint16_t *draw_activations(es_shape_t shape, uint64_t stream) {
  const size_t n = SAMPLES * (size_t)es_shape_size(shape);
  uint16_t *v = es_allocate(n, sizeof *v);
  assert_non_null(v);
  for (size_t i = 0; i < n; i++) v[i] = es_bfloat16_rounded(draw_normal(94, stream, i));
  return v;
}

static es_storage_t storage(void *data, es_shape_t shape) {
  const int64_t size = es_shape_size(shape);
  return (es_storage_t){.data = data, .size = size, .stride = size, .precision = ES_BFLOAT16, .whole = true};
}

static void layer_open(layer_t *l, const es_node_t *node, const es_unit_class_t *class) {
  const int64_t taps =
      node->op == ES_OP_LINEAR ? (int64_t)node->in.h * node->in.w : (int64_t)node->kernel * node->kernel;
  const int64_t weights = node->weight < 0 ? 0 : taps * node->in.c / node->groups * node->out.c;
  const int64_t all = weights > 0 ? weights + node->out.c : 0;
  *l = (layer_t){.node = *node};
  l->tensors[0] = (es_tensor_t){.count = weights};
  l->tensors[1] = (es_tensor_t){.offset = weights, .count = node->out.c};
  l->graph = (es_graph_t){.parameters = l->tensors, .n_parameters = 2, .parameter_count = all};
  l->group = (es_group_t){.comm = MPI_COMM_NULL, .size = 1, .lanes = 2, .lane_count = 2};
  l->in = draw_activations(node->in, 1);
  l->in_gradient = draw_activations(node->in, 2);
  l->out = draw_activations(node->out, 3);
  l->out_gradient = draw_activations(node->out, 4);
  l->parameters = es_allocate_zero((size_t)all + 1, sizeof *l->parameters);
  l->gradients = es_allocate_zero((size_t)all + 1, sizeof *l->gradients);
  assert_true(l->parameters && l->gradients);
  for (int64_t i = 0; i < all; i++) l->parameters[i] = draw_normal(95, 0, (uint64_t)i);
  l->unit = (es_unit_t){.class = class,
                        .graph = &l->graph,
                        .group = &l->group,
                        .node = &l->node,
                        .training = true,
                        .precision = ES_BFLOAT16,
                        .samples = SAMPLES,
                        .in = {storage(l->in, node->in)},
                        .out = storage(l->out, node->out),
                        .in_gradient = {storage(l->in_gradient, node->in)},
                        .out_gradient = storage(l->out_gradient, node->out),
                        .parameters = l->parameters,
                        .gradients = l->gradients};
  assert_ok(class->create(&l->unit, 1u << ES_SLICE_MAX | 1u << 3, fresh()));
  if (class->scratch_floats) {
    l->scratch = es_allocate(class->scratch_floats(&l->unit) + 1, sizeof *l->scratch);
    assert_non_null(l->scratch);
    class->set_scratch(&l->unit, l->scratch);
  }
  if (class->pack) class->pack(&l->unit);
}

static void layer_close(layer_t *l) {
  void *const owned[] = {l->in, l->out, l->in_gradient, l->out_gradient, l->parameters, l->gradients, l->scratch};
  l->unit.class->destroy(&l->unit);
  for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) es_free(owned[i]);
}

static void layer_run(layer_t *l) {
  const es_slice_t slices[] = {{.lane = 0, .count = ES_SLICE_MAX},
                               {.lane = 1, .count = 3, .first = ES_SLICE_MAX, .store = ES_SLICE_MAX}};
  const es_pass_t pass = {.n = SAMPLES, .training = true};
  const es_unit_class_t *class = l->unit.class;
  if (class->begin) class->begin(&l->unit, &pass);
  for (int lane = 0; lane < 2; lane++) {
    class->forward(&l->unit, &pass, &slices[lane]);
    class->backward(&l->unit, &pass, &slices[lane]);
    if (class->lane_end) class->lane_end(&l->unit, lane);
  }
  if (class->backward_end) class->backward_end(&l->unit);
}

/* Both sum exact products of bfloat16 numbers in float32, in different orders, and round once: so results are equal or
 * neighbours, unless large terms cancel. */
static void expect_neighbours(const char *what, const uint16_t *a, const uint16_t *b, size_t n) {
  float most = 0.0f;
  for (size_t i = 0; i < n; i++) most = fmaxf(most, fabsf(es_bfloat16_widened(b[i])));
  for (size_t i = 0; i < n; i++) {
    const float u = es_bfloat16_widened(a[i]), v = es_bfloat16_widened(b[i]);
    if (!(fabsf(u - v) <= fabsf(v) / 128.0f + 1e-5f * most)) fail_msg("%s: element %zu is %g, not %g", what, i, u, v);
  }
}

static void check_layer(const es_node_t *node, const es_unit_class_t *class) {
  layer_t native, emulated;
  layer_open(&native, node, class);
  layer_open(&emulated, node, &es_unit_emulated);
  layer_run(&native);
  layer_run(&emulated);
  expect_neighbours("output", native.out, emulated.out, SAMPLES * (size_t)es_shape_size(node->out));
  expect_neighbours("gradient of the input", native.in_gradient, emulated.in_gradient,
                    SAMPLES * (size_t)es_shape_size(node->in));
  float most = 0.0f;
  const int64_t count = native.graph.parameter_count;
  for (int64_t i = 0; i < count; i++) most = fmaxf(most, fabsf(emulated.gradients[i]));
  for (int64_t i = 0; i < count; i++) assert_true(fabsf(native.gradients[i] - emulated.gradients[i]) <= 1e-5f * most);
  layer_close(&native);
  layer_close(&emulated);
  assert_int_equal(es_memory_balance(), 0);
}

static es_node_t layer_node(es_op_t op, es_shape_t in, int out, int kernel, int stride, int groups) {
  const int padding = op == ES_OP_CONV || (op == ES_OP_MAXPOOL && kernel == 3) ? kernel / 2 : 0;
  es_node_t node = {.op = op, .name = "layer", .in = in};
  set_window(&node, kernel, stride, padding);
  node.groups = groups;
  node.weight = op == ES_OP_CONV || op == ES_OP_LINEAR ? 0 : -1;
  node.bias = node.weight < 0 ? -1 : 1;
  node.out = (es_shape_t){(in.h + 2 * padding - kernel) / stride + 1, (in.w + 2 * padding - kernel) / stride + 1, out};
  if (op == ES_OP_LINEAR) node.out = (es_shape_t){1, 1, out};
  return node;
}

TEST(emulation_agrees) {
  if (es_model_emulates(ES_BFLOAT16)) skip();
  static const struct {
    es_op_t op;
    es_shape_t in;
    int out, kernel, stride, groups;
  } cases[] = {
      {ES_OP_CONV, {16, 16, 3}, 4, 3, 1, 1},    {ES_OP_CONV, {16, 16, 4}, 8, 3, 1, 1},
      {ES_OP_CONV, {9, 9, 5}, 7, 3, 1, 1},      {ES_OP_CONV, {16, 16, 16}, 16, 3, 1, 1},
      {ES_OP_CONV, {8, 8, 32}, 64, 3, 1, 1},    {ES_OP_CONV, {4, 4, 64}, 64, 3, 1, 1},
      {ES_OP_CONV, {2, 2, 128}, 128, 3, 1, 1},  {ES_OP_CONV, {8, 8, 16}, 32, 3, 2, 1},
      {ES_OP_CONV, {8, 8, 4}, 8, 1, 2, 1},      {ES_OP_CONV, {8, 8, 12}, 72, 1, 1, 1},
      {ES_OP_CONV, {8, 8, 24}, 24, 3, 2, 24},   {ES_OP_CONV, {17, 17, 3}, 8, 7, 2, 1},
      {ES_OP_LINEAR, {1, 1, 32}, 16, 1, 1, 1},  {ES_OP_LINEAR, {9, 9, 3}, 10, 1, 1, 1},
      {ES_OP_AVGPOOL, {8, 8, 16}, 16, 2, 2, 1}, {ES_OP_AVGPOOL, {4, 4, 70}, 70, 4, 4, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const es_node_t node =
        layer_node(cases[i].op, cases[i].in, cases[i].out, cases[i].kernel, cases[i].stride, cases[i].groups);
    check_layer(&node, es_unit_class(&node));
  }
}

TEST(memory) {
  es_point_t point = {.width = {1, 4}, .classes = 10, .resolution = 32};
  es_graph_t *graph;
  assert_true(es_model_spec_builtin(&point.model, "vgg16"));
  assert_ok(es_graph_create(&graph, &point, fresh()));
  const int64_t wide = es_model_bytes(graph, 1024, 8, 1, true, ES_FLOAT32);
  const int64_t narrow = es_model_bytes(graph, 1024, 8, 1, true, ES_BFLOAT16);
  assert_true(narrow < 6 * wide / 10);
  es_graph_destroy(graph);
  assert_int_equal(es_memory_balance(), 0);
}
