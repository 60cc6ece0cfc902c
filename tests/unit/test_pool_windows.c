/* Pooling with any windows, with and without ceil mode, against its definition: number of windows, values, gradients.
 * Shapes are drawn. Sums are exact, because all numbers are small integers. */
#include "../../src/model/number.h"
#include "../../src/model/unit.h"
#include "../../src/network/network_internal.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

enum { SHAPES = 400, CHANNELS = 5, MOST = 9, SAMPLES = 2, SIZE = SAMPLES * MOST * MOST * CHANNELS };

static struct {
  es_op_t op;
  es_settings_t settings;
  int32_t size;
} drawn;

static int below(int shape, int *element, int n) {
  return (int)es_random_below(draw_word(37, (uint64_t)shape, (uint64_t)(*element)++), (uint32_t)n);
}

static int reach(const es_window_t *w) {
  return w->dilation * (w->kernel - 1) + 1;
}

static void draw(int shape) {
  int element = 0;
  drawn.op = shape % 2 == 0 ? ES_OP_MAXPOOL : ES_OP_AVGPOOL;
  drawn.settings = (es_settings_t){.ceil = shape % 4 < 2, .counts_padding = shape % 8 < 4};
  drawn.size = 1 + below(shape, &element, MOST);
  for (int axis = 0; axis < 2; axis++) {
    es_window_t *w = &drawn.settings.window[axis];
    do {
      w->kernel = 1 + below(shape, &element, 4);
      w->stride = 1 + below(shape, &element, 4);
      w->padding = below(shape, &element, w->kernel / 2 + 1);
      w->dilation = drawn.op == ES_OP_MAXPOOL ? 1 + below(shape, &element, 2) : 1;
    } while (reach(w) > drawn.size + 2 * w->padding);
  }
}

/* Floor mode: windows that end inside the padded map. Ceil mode: windows until one reaches the end of the padded map,
 * which counts only if it begins before the padding on the right. */
static int windows_of(const es_window_t *w, int size, bool ceil) {
  const int end = size + w->padding;
  int n = 0;
  for (; n * w->stride - w->padding + reach(w) <= end; n++) {
  }
  const int last_end = (n - 1) * w->stride - w->padding + reach(w);
  return n + (ceil && last_end < end && n * w->stride - w->padding < size);
}

static void build(es_builder_t *b, ES_UNUSED const es_model_spec_t *spec, int32_t classes) {
  es_add_operation(b, "stem", ES_OP_CONV,
                   &(es_settings_t){.channels = CHANNELS, .window = {{1, 1, 0, 1}, {1, 1, 0, 1}}});
  es_add_operation(b, "pool", drawn.op, &drawn.settings);
  es_add_operation(b, "fc", ES_OP_LINEAR, &(es_settings_t){.channels = classes});
}

/* Indices of one sample's numbers inside window (i, j) of channel c; the area that an average divides by. */
static int inside(const es_node_t *n, int i, int j, int c, int at[16], int *area) {
  const es_window_t *v = &drawn.settings.window[0], *h = &drawn.settings.window[1];
  int count = 0;
  *area = 0;
  for (int tap = 0; tap < v->kernel * h->kernel; tap++) {
    const int row = i * v->stride - v->padding + tap / h->kernel * v->dilation;
    const int column = j * h->stride - h->padding + tap % h->kernel * h->dilation;
    *area += row < n->in.h + v->padding && column < n->in.w + h->padding; /* the map with its padding */
    if (row >= 0 && row < n->in.h && column >= 0 && column < n->in.w)
      at[count++] = (row * n->in.w + column) * CHANNELS + c;
  }
  if (!drawn.settings.counts_padding) *area = count;
  return count;
}

static float x[SIZE], y[SIZE * 4], dx[SIZE], dy[SIZE * 4];

/* Runs the node on two samples. */
static void run(const es_node_t *node) {
  const int64_t in = es_shape_size(node->in), out = es_shape_size(node->out);
  es_unit_t unit = {.node = node, .training = true, .samples = SAMPLES, .in = {{x, in, in, ES_FLOAT32, true}}};
  unit.out = (es_storage_t){y, out, out, ES_FLOAT32, true};
  unit.in_gradient[0] = (es_storage_t){dx, in, in, ES_FLOAT32, true};
  unit.out_gradient = (es_storage_t){dy, out, out, ES_FLOAT32, true};
  const es_slice_t slice = {.count = SAMPLES};
  assert_ok(es_unit_windows.create(&unit, 1u << SAMPLES, fresh()));
  es_unit_windows.forward(&unit, NULL, &slice);
  es_unit_windows.backward(&unit, NULL, &slice);
  es_unit_windows.destroy(&unit);
}

static void check(int shape) {
  es_graph_t *graph = NULL;
  draw(shape);
  const es_point_t point = {.width = {1, 1}, .classes = 2, .resolution = drawn.size};
  assert_ok(es_graph_build(&graph, &point, build, fresh()));
  const es_node_t *node = &graph->nodes[2];
  const es_window_t *window = drawn.settings.window;
  assert_int_equal(node->out.h, windows_of(&window[0], drawn.size, drawn.settings.ceil));
  assert_int_equal(node->out.w, windows_of(&window[1], drawn.size, drawn.settings.ceil));
  for (uint64_t i = 0; i < SIZE; i++) x[i] = (float)es_random_below(draw_word(38, (uint64_t)shape, i), 20) - 10.0f;
  const int in = (int)es_shape_size(node->in), out = (int)es_shape_size(node->out);
  assert_true(SAMPLES * out <= (int)(sizeof y / sizeof *y));
  for (int i = 0; i < SAMPLES * out; i++) dy[i] = (float)(i % 7) + 1.0f;
  run(node);
  static float gradient[SIZE];
  memset(gradient, 0, sizeof gradient);
  for (int i = 0; i < SAMPLES * out; i++) {
    const int sample = i / out, p = i % out / CHANNELS;
    int at[16], area, best = 0;
    const int count = inside(node, p / node->out.w, p % node->out.w, i % CHANNELS, at, &area);
    const float *from = x + sample * in;
    float sum = 0.0f;
    for (int k = 0; k < count; k++) sum += from[at[k]], best = from[at[k]] > from[at[best]] ? k : best;
    if (drawn.op == ES_OP_MAXPOOL) {
      assert_true(y[i] == (count > 0 ? from[at[best]] : -INFINITY));
      if (count > 0) gradient[sample * in + at[best]] += dy[i];
    } else {
      assert_true(y[i] == (count > 0 ? sum / (float)area : 0.0f));
      for (int k = 0; k < count; k++) gradient[sample * in + at[k]] += dy[i] / (float)area;
    }
  }
  for (int i = 0; i < SAMPLES * in; i++) assert_true(fabsf(dx[i] - gradient[i]) <= 1e-6f * fabsf(gradient[i]));
  es_graph_destroy(graph);
}

TEST(definition_of_windows) {
  for (int shape = 0; shape < SHAPES; shape++) check(shape);
  assert_int_equal(es_memory_balance(), 0);
}
