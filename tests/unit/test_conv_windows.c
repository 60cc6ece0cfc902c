/* Convolutions with groups, dilation, and windows that differ on the two axes, in both precisions, against loops in
 * double. Shapes are drawn; nothing may be written beyond the operands. */
#include "../../src/model/number.h"
#include "../../src/model/unit.h"
#include "support/draw.h"
#include "support/sums.h"
#include "support/unit.h"
#include <math.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

enum { SHAPES = 300, GUARD = 16 };
static const float guard = 12345.0f; /* a number of either precision */

static int below(int shape, int *drawn, int n) {
  return (int)es_random_below(draw_word(31, (uint64_t)shape, (uint64_t)(*drawn)++), (uint32_t)n);
}

/* One axis; false if the window does not fit. */
static bool draw_axis(int shape, int *drawn, int32_t size, int32_t *window, int32_t *out) {
  window[0] = 1 + below(shape, drawn, 5);
  window[1] = 1 + below(shape, drawn, 3);
  window[3] = below(shape, drawn, 3) == 0 ? 2 : 1;
  const int reach = window[3] * (window[0] - 1) + 1;
  window[2] = below(shape, drawn, reach / 2 + 1);
  *out = size + 2 * window[2] < reach ? 0 : (size + 2 * window[2] - reach) / window[1] + 1;
  return *out > 0;
}

static es_node_t draw_node(int shape) {
  static const int groups[] = {1, 2, 3, 4, 8, 16, 24}, each[] = {1, 2, 4, 5, 8, 16, 20};
  es_node_t n = {.op = ES_OP_CONV, .name = "conv", .bias = 1};
  int drawn = 0;
  int32_t v[4], h[4];
  do {
    n.in.h = 1 + below(shape, &drawn, 9);
    n.in.w = 1 + below(shape, &drawn, 9);
  } while (!draw_axis(shape, &drawn, n.in.h, v, &n.out.h) || !draw_axis(shape, &drawn, n.in.w, h, &n.out.w));
  n.kernel = v[0], n.stride = v[1], n.padding = v[2], n.dilation = v[3];
  n.kernel_w = h[0], n.stride_w = h[1], n.padding_w = h[2], n.dilation_w = h[3];
  n.groups = groups[below(shape, &drawn, 7)];
  n.in.c = n.groups * each[below(shape, &drawn, 7)];
  n.out.c = n.groups * each[below(shape, &drawn, 7)];
  if (shape % 4 == 0) n.out.c = n.in.c = n.groups; /* depthwise */
  if (shape % 4 == 1)
    n.kernel = n.kernel_w = 1, n.out.h = (n.in.h + 2 * n.padding - 1) / n.stride + 1,
    n.out.w = (n.in.w + 2 * n.padding_w - 1) / n.stride_w + 1;
  return n;
}

/* Numbers that are exact in bfloat16, and a guard after them. */
static void *numbers(int64_t n, uint64_t stream, es_precision_t precision) {
  void *v = es_allocate((size_t)n + GUARD, es_precision_bytes(precision));
  assert_non_null(v);
  for (int64_t i = 0; i < n + GUARD; i++) {
    const float drawn = (float)es_random_below(draw_word(5, stream, (uint64_t)i), 257) * 0x1p-7f - 1.0f;
    es_put(v, (size_t)i, i < n ? drawn : es_bfloat16_widened(es_bfloat16_rounded(guard)), precision);
  }
  return v;
}

static void check_guard(const void *v, int64_t n, es_precision_t precision) {
  for (int i = 0; i < GUARD; i++)
    assert_true(es_get(v, (size_t)(n + i), precision) == es_bfloat16_widened(es_bfloat16_rounded(guard)));
}

static void check(int shape, const char *what, sums_t *want, const void *got, int64_t n, es_precision_t precision) {
  for (int64_t i = 0; i < n; i++) {
    const double off = fabs((double)es_get(got, (size_t)i, precision) - want->value[i]), sum = 2e-6 * want->size[i];
    const double rounding = precision == ES_BFLOAT16 ? (fabs(want->value[i]) + sum) / 256.0 : 0.0;
    if (!(off <= sum + rounding + 1e-30)) fail_msg("shape %d: %s is off by %g of %g", shape, what, off, want->value[i]);
  }
  check_guard(got, n, precision);
  sums_free(want);
}

typedef struct layer {
  es_node_t node;
  es_tensor_t tensors[2];
  es_graph_t graph;
  es_group_t group;
  es_unit_t unit;
  int count;
  int64_t in, out, weights; /* numbers */
  void *x, *y, *dx, *dy;
  float *parameters, *gradients, *scratch;
  es_precision_t precision;
} layer_t;

static es_storage_t storage(const layer_t *l, void *data, es_shape_t shape) {
  return (es_storage_t){.data = data,
                        .size = es_shape_size(shape),
                        .stride = es_shape_size(shape),
                        .precision = l->precision,
                        .whole = true};
}

static void layer_open(layer_t *l, int shape, es_precision_t precision) {
  *l = (layer_t){.node = draw_node(shape), .count = 1 + shape % ES_SLICE_MAX, .precision = precision};
  const es_node_t *n = &l->node;
  const int32_t filters = n->in.c / n->groups;
  l->in = l->count * es_shape_size(n->in);
  l->out = l->count * es_shape_size(n->out);
  l->weights = (int64_t)n->out.c * filters * n->kernel * n->kernel_w;
  l->tensors[0] = (es_tensor_t){.rank = 4, .shape = {n->out.c, filters, n->kernel, n->kernel_w}, .count = l->weights};
  l->tensors[1] = (es_tensor_t){.rank = 1, .shape = {n->out.c}, .offset = l->weights, .count = n->out.c};
  l->graph = (es_graph_t){.parameters = l->tensors, .n_parameters = 2, .parameter_count = l->weights + n->out.c};
  l->group = (es_group_t){.comm = MPI_COMM_NULL, .size = 1, .lanes = 1, .lane_count = 1};
  l->x = numbers(l->in, 1, precision);
  l->dx = numbers(l->in, 2, precision);
  l->y = numbers(l->out, 3, precision);
  l->dy = numbers(l->out, 4, precision);
  l->parameters = numbers(l->graph.parameter_count, 5, ES_FLOAT32);
  l->gradients = numbers(l->graph.parameter_count, 6, ES_FLOAT32);
  l->unit = (es_unit_t){.class = es_node_widens(n, precision) ? &es_unit_emulated : &es_unit_layer,
                        .graph = &l->graph,
                        .group = &l->group,
                        .node = n,
                        .training = true,
                        .precision = precision,
                        .samples = ES_SLICE_MAX,
                        .in = {storage(l, l->x, n->in)},
                        .out = storage(l, l->y, n->out),
                        .in_gradient = {storage(l, l->dx, n->in)},
                        .out_gradient = storage(l, l->dy, n->out),
                        .parameters = l->parameters,
                        .gradients = l->gradients};
  assert_ok(l->unit.class->create(&l->unit, 1u << l->count, fresh()));
  l->scratch = es_allocate(l->unit.class->scratch_floats(&l->unit), sizeof *l->scratch);
  assert_non_null(l->scratch);
  l->unit.class->set_scratch(&l->unit, l->scratch);
  l->unit.class->pack(&l->unit);
}

static void layer_run(layer_t *l) {
  const es_pass_t pass = {.n = l->count, .training = true};
  const es_slice_t slice = {.count = l->count};
  const es_unit_class_t *class = l->unit.class;
  class->begin(&l->unit, &pass);
  class->forward(&l->unit, &pass, &slice);
  class->backward(&l->unit, &pass, &slice);
  class->lane_end(&l->unit, 0);
  class->backward_end(&l->unit);
}

static void layer_close(layer_t *l) {
  l->unit.class->destroy(&l->unit);
  void *const owned[] = {l->x, l->y, l->dx, l->dy, l->parameters, l->gradients, l->scratch};
  for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) es_free(owned[i]);
}

/* One output position of one sample, for all channels. */
static void naive_position(const layer_t *l, int64_t p, sums_t *y, sums_t *dx, sums_t *dw) {
  const es_node_t *n = &l->node;
  const int in = n->in.c / n->groups, out = n->out.c / n->groups, taps = n->kernel * n->kernel_w;
  const int64_t sample = p / (n->out.h * n->out.w), row = p / n->out.w % n->out.h, column = p % n->out.w;
  for (int t = 0; t < taps; t++) {
    const int64_t r = row * n->stride + t / n->kernel_w * n->dilation - n->padding;
    const int64_t c = column * n->stride_w + t % n->kernel_w * n->dilation_w - n->padding_w;
    if (r < 0 || r >= n->in.h || c < 0 || c >= n->in.w) continue;
    const int64_t at = ((sample * n->in.h + r) * n->in.w + c) * n->in.c;
    for (int o = 0; o < n->out.c; o++) {
      const double g = (double)es_get(l->dy, (size_t)(p * n->out.c + o), l->precision);
      for (int i = 0; i < in; i++) {
        const int64_t weight = ((int64_t)o * in + i) * taps + t, from = at + o / out * in + i;
        const double w = (double)l->parameters[weight], x = (double)es_get(l->x, (size_t)from, l->precision);
        sums_add(y, p * n->out.c + o, w * x);
        sums_add(dx, from, w * g);
        sums_add(dw, weight, x * g);
      }
    }
  }
}

static void check_shape(int shape, es_precision_t precision) {
  layer_t l;
  layer_open(&l, shape, precision);
  layer_run(&l);
  const int32_t channels = l.node.out.c;
  sums_t y = sums_of(l.out), dx = sums_of(l.in), dw = sums_of(l.weights + channels);
  for (int64_t p = 0; p < l.out / channels; p++) {
    for (int o = 0; o < channels; o++) {
      sums_add(&y, p * channels + o, (double)l.parameters[l.weights + o]);
      sums_add(&dw, l.weights + o, (double)es_get(l.dy, (size_t)(p * channels + o), precision));
    }
    naive_position(&l, p, &y, &dx, &dw);
  }
  check_guard(l.x, l.in, precision);
  check_guard(l.dy, l.out, precision);
  check(shape, "the output", &y, l.y, l.out, precision);
  check(shape, "the input gradient", &dx, l.dx, l.in, precision);
  check(shape, "the gradient of weights and bias", &dw, l.gradients, l.weights + channels, ES_FLOAT32);
  layer_close(&l);
}

TEST(windows) {
  for (int shape = 0; shape < SHAPES; shape++) check_shape(shape, ES_FLOAT32);
}

TEST(windows_bfloat16) {
  for (int shape = 0; shape < SHAPES; shape++) check_shape(shape, ES_BFLOAT16);
}
