/* Gradients by finite differences, purity, and shapes of the built-in networks. */
#include "eigenscope/model.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

enum { CLASSES = 3, RESOLUTION = 8, SAMPLES = 21 };

typedef struct fixture {
  es_graph_t *graph;
  es_model_t *model;
  es_group_t group;
  int64_t n;
  float *images;
  int32_t labels[SAMPLES];
} fixture_t;

static void fetch(void *context, int64_t first, int64_t count, float *out) {
  const fixture_t *f = context;
  const size_t size = (size_t)RESOLUTION * RESOLUTION * 3;
  memcpy(out, f->images + (size_t)first * size, (size_t)count * size * sizeof *out);
}

static es_pass_t training_pass(fixture_t *f) {
  return (es_pass_t){.n = f->n, .training = true, .seed = 5, .step = 9, .feed = {fetch, f, f->labels}};
}

static void open_fixture_at(fixture_t *f, const es_model_spec_t *spec, es_ratio_t width, int64_t n) {
  es_point_t point = {.model = *spec, .width = width, .classes = CLASSES, .resolution = RESOLUTION};
  memset(f, 0, sizeof *f);
  f->n = n;
  assert_ok(es_group_create(&f->group, MPI_COMM_NULL, 4, fresh()));
  assert_ok(es_graph_create(&f->graph, &point, fresh()));
  assert_ok(es_model_create(&f->model, f->graph, &f->group, &(es_model_setup_t){&n, 1, true, ES_FLOAT32}, fresh()));
  es_model_initialise(f->model, 1);
  const size_t size = (size_t)RESOLUTION * RESOLUTION * 3;
  f->images = es_allocate((size_t)SAMPLES * size, sizeof *f->images);
  assert_non_null(f->images);
  for (size_t i = 0; i < SAMPLES * size; i++) {
    f->images[i] = draw_normal(3, 0, i);
  }
  for (int i = 0; i < SAMPLES; i++) f->labels[i] = i % CLASSES;
}

static void open_fixture(fixture_t *f, const es_model_spec_t *spec, int64_t n) {
  open_fixture_at(f, spec, (es_ratio_t){1, 1}, n);
}

static void close_fixture(fixture_t *f) {
  es_model_destroy(f->model);
  es_graph_destroy(f->graph);
  es_free(f->images);
  assert_int_equal(es_memory_balance(), 0);
}

static double mean_loss(fixture_t *f) {
  es_pass_t pass = training_pass(f);
  es_loss_t loss;
  es_model_changed(f->model);
  es_model_forward(f->model, &pass, 0.0, &loss);
  return loss.loss / (double)f->n;
}

/* For every tensor: compares the slope of the loss along its gradient, by central differences, with the norm of the
 * gradient. */
static void check_slopes(fixture_t *f, double length, double allowed) {
  es_pass_t pass = training_pass(f);
  es_loss_t loss;
  float *theta = es_model_parameters(f->model);
  /* Initial linear weights are tiny; larger ones make every path matter. */
  for (int64_t i = 0; i < f->graph->parameter_count; i++) theta[i] *= 1.0f + 0.1f * (float)(i % 7);
  for (int32_t t = 0; t < f->graph->n_parameters; t++) {
    const es_tensor_t *tensor = &f->graph->parameters[t];
    if (tensor->init != ES_INIT_NORMAL_001) continue;
    for (int64_t i = 0; i < tensor->count; i++) theta[tensor->offset + i] *= 20.0f;
  }
  es_model_changed(f->model);
  es_model_forward(f->model, &pass, 0.0, &loss);
  es_model_backward(f->model, &pass);
  const size_t count = (size_t)f->graph->parameter_count;
  float *gradient = es_allocate(count, sizeof *gradient), *start = es_allocate(count, sizeof *start);
  memcpy(gradient, es_model_gradients(f->model), count * sizeof *gradient);
  memcpy(start, theta, count * sizeof *start);
  double whole = 0.0;
  for (size_t i = 0; i < count; i++) whole += (double)gradient[i] * (double)gradient[i];
  int checked = 0;
  for (int32_t t = 0; t < f->graph->n_parameters; t++) {
    const es_tensor_t *tensor = &f->graph->parameters[t];
    double norm = 0.0;
    for (int64_t i = 0; i < tensor->count; i++)
      norm += (double)gradient[tensor->offset + i] * (double)gradient[tensor->offset + i];
    norm = sqrt(norm);
    if (norm < 1e-4 * sqrt(whole)) continue; /* biases before a batch norm have rounding noise only */
    const double step = length / (1.0 + norm);
    double slope[2];
    for (int s = 0; s < 2; s++) {
      for (int64_t i = tensor->offset; i < tensor->offset + tensor->count; i++)
        theta[i] = start[i] + (float)((s ? -step : step) * (double)gradient[i] / norm);
      slope[s] = mean_loss(f);
    }
    memcpy(theta, start, count * sizeof *start);
    const double measured = (slope[0] - slope[1]) / (2.0 * step);
    if (fabs(measured - norm) > allowed * norm + 4e-7 / length) {
      print_error("%s: slope %g, gradient %g\n", tensor->name, measured, norm);
      fail();
    }
    checked++;
  }
  assert_true(checked >= f->graph->n_parameters / 2);
  es_free(gradient);
  es_free(start);
}

static const es_model_spec_t small_vgg = {"vgg", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 6,
                                          .items = {6, ES_ITEM_MAXPOOL, 9, ES_ITEM_AVGPOOL, 12, 12}};

#define TORCH_VGG(...)                                                                                                 \
  { "vgg", ES_FAMILY_VGG, ES_HEAD_TORCHVISION, 4, .items = {5, ES_ITEM_MAXPOOL, 16, 16}, __VA_ARGS__ }
#define SMALL_MLP                                                                                                      \
  {                                                                                                                    \
    "mlp", ES_FAMILY_MLP, ES_HEAD_AUTHORS, 2, .items = { 10, 7 }                                                       \
  }
#define BASIC(...)                                                                                                     \
  { "basic", ES_FAMILY_RESNET, ES_HEAD_AUTHORS, 2, .items = {1, 1}, __VA_ARGS__ }
#define BOTTLENECK(...)                                                                                                \
  { "bottleneck", ES_FAMILY_RESNET_BOTTLENECK, ES_HEAD_AUTHORS, 2, .items = {1, 2}, __VA_ARGS__ }
#define MOBILE(...)                                                                                                    \
  { "mobile", ES_FAMILY_MOBILENET, ES_HEAD_AUTHORS, 8, .items = {1, 16, 1, 1, 6, 24, 2, 2}, __VA_ARGS__ }

TEST(gradients) {
  static const struct {
    es_model_spec_t spec;
    int64_t samples;
  } cases[] = {
      {{"vgg", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 6, .items = {6, ES_ITEM_MAXPOOL, 9, ES_ITEM_AVGPOOL, 12, 12}}, SAMPLES},
      {TORCH_VGG(.batch_norm = ES_PART_KEPT), SAMPLES},
      {TORCH_VGG(.batch_norm = ES_PART_LEFT_OUT), SAMPLES},
      {SMALL_MLP, SAMPLES},
      {SMALL_MLP, 3}, /* on four lanes, one of them empty */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fixture_t f;
    open_fixture(&f, &cases[i].spec, cases[i].samples);
    check_slopes(&f, 2e-3, 0.02);
    close_fixture(&f);
  }
}

/* Strides, additions over blocks with and without a change of shape, values with two readers, padded pooling, depthwise
 * convolutions, ReLU6; and the same networks without skip connections. */
TEST(gradients_of_residual_networks) {
  static const es_model_spec_t specs[] = {
      BASIC(.skip = ES_PART_KEPT),
      BASIC(.skip = ES_PART_LEFT_OUT),
      BASIC(.stem = ES_STEM_IMAGENET),
      BOTTLENECK(.skip = ES_PART_KEPT),
      BOTTLENECK(.skip = ES_PART_LEFT_OUT, .stem = ES_STEM_IMAGENET),
      MOBILE(.skip = ES_PART_KEPT),
      MOBILE(.skip = ES_PART_LEFT_OUT),
      MOBILE(.stem = ES_STEM_IMAGENET),
  };
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
    fixture_t f;
    open_fixture_at(&f, &specs[i], (es_ratio_t){1, 8}, SAMPLES);
    check_slopes(&f, 4e-4, 0.06); /* shorter steps, because many ReLUs have kinks nearby */
    close_fixture(&f);
  }
}

typedef struct counts {
  int64_t samples[64];
  int64_t width[64];
} counts_t;

static void count(void *context, int layer, int lane, const float *out, int64_t samples, es_shape_t shape) {
  counts_t *c = context;
  (void)lane;
  (void)out;
  c->samples[layer] += samples;
  c->width[layer] = shape.c;
}

TEST(observer_sees_every_layer_once) {
  fixture_t f;
  open_fixture(&f, &small_vgg, SAMPLES);
  counts_t c = {0};
  es_observer_t observer = {count, &c};
  for (int training = 0; training < 2; training++) {
    es_pass_t pass = training_pass(&f);
    pass.training = training;
    pass.observer = &observer;
    es_loss_t loss;
    memset(&c, 0, sizeof c);
    es_model_forward(f.model, &pass, 2.0, &loss);
    assert_true(loss.signal == 2.0);
    for (int i = 0; i < f.graph->n_layers; i++) {
      assert_int_equal(c.samples[i], SAMPLES);
      assert_int_equal(c.width[i], f.graph->nodes[f.graph->layers[i]].out.c);
    }
  }
  close_fixture(&f);
}

/* State of passes over a VGG whose norms, activations and pooling run in one unit each. */
typedef struct hidden {
  const es_graph_t *graph;
  const char *edited; /* layer whose outputs become −1, or NULL */
  double sum[32], most[32];
} hidden_t;

static void watch_hidden(void *context, int layer, ES_UNUSED int lane, const float *out, int64_t samples,
                         es_shape_t shape) {
  hidden_t *h = context;
  for (int64_t i = 0; i < samples * es_shape_size(shape); i++) {
    h->sum[layer] += (double)out[i] * (double)(1 + i % 7);
    h->most[layer] = fmax(h->most[layer], (double)out[i]);
  }
}

static void edit_hidden(void *context, int layer, float *out, int64_t samples, es_shape_t shape) {
  const hidden_t *h = context;
  if (!h->edited || strcmp(h->graph->nodes[h->graph->layers[layer]].name, h->edited) != 0) return;
  for (int64_t i = 0; i < samples * es_shape_size(shape); i++) out[i] = -1.0f;
}

static int layer_named(const es_graph_t *graph, const char *name) {
  for (int i = 0; i < graph->n_layers; i++) {
    if (strcmp(graph->nodes[graph->layers[i]].name, name) == 0) return i;
  }
  fail_msg("no layer %s", name);
  return -1;
}

static double pass_with(es_model_t *model, const es_pass_t *base, hidden_t *h, bool edits, const char *edited) {
  const es_observer_t observer = {watch_hidden, h};
  const es_editor_t editor = {edit_hidden, h};
  es_pass_t pass = *base;
  es_loss_t loss;
  *h = (hidden_t){.graph = h->graph, .edited = edited};
  pass.training = false;
  pass.observer = &observer;
  pass.editor = edits ? &editor : NULL;
  es_model_forward(model, &pass, 0.0, &loss);
  return loss.loss;
}

/* Layers in the middle of a unit are seen, and edits of them reach the nodes after them. An editor that changes nothing
 * changes no bit. */
TEST(layers_within_a_unit) {
  for (es_precision_t precision = ES_FLOAT32; precision <= ES_BFLOAT16; precision++) {
    fixture_t f;
    es_graph_t *graph;
    es_model_t *model;
    hidden_t plain, edited;
    es_loss_t loss;
    open_fixture(&f, &small_vgg, SAMPLES);
    es_point_t point = {.model = small_vgg, .width = {1, 1}, .classes = CLASSES, .resolution = RESOLUTION};
    point.measure = (es_measure_settings_t){.kinds = (1 << ES_LAYER_KINDS) - 1, .n_layers = 1, .layers = {"*"}};
    assert_ok(es_graph_create(&graph, &point, fresh()));
    assert_ok(es_model_create(&model, graph, &f.group, &(es_model_setup_t){&f.n, 1, true, precision}, fresh()));
    es_model_initialise(model, 1);
    const es_pass_t pass = training_pass(&f);
    es_model_forward(model, &pass, 0.0, &loss); /* running statistics */
    plain.graph = edited.graph = graph;
    const double untouched = pass_with(model, &pass, &plain, false, NULL);
    assert_true(pass_with(model, &pass, &edited, true, NULL) == untouched);
    assert_memory_equal(edited.sum, plain.sum, sizeof plain.sum);
    /* features: 0 conv, 1 norm, 2 relu, 3 pooling, 4 conv */
    const int norm = layer_named(graph, "features.1"), relu = layer_named(graph, "features.2"),
              next = layer_named(graph, "features.4");
    assert_true(plain.most[norm] == plain.most[relu] && plain.most[relu] > 0.0);
    assert_true(pass_with(model, &pass, &edited, true, "features.1") != untouched);
    assert_true(edited.sum[norm] == plain.sum[norm] && edited.most[relu] == 0.0 && edited.most[next] == 0.0);
    assert_true(pass_with(model, &pass, &edited, true, "features.2") != untouched);
    assert_true(edited.sum[relu] == plain.sum[relu] && edited.sum[next] != plain.sum[next]);
    es_model_destroy(model);
    es_graph_destroy(graph);
    close_fixture(&f);
  }
}

TEST(first_nonfinite_names_the_layer) {
  fixture_t f;
  open_fixture(&f, &small_vgg, SAMPLES);
  es_pass_t pass = training_pass(&f);
  assert_string_equal(es_model_first_nonfinite(f.model, &pass), "the loss");
  const es_tensor_t *second = &f.graph->parameters[4]; /* features.4.weight: conv, bn, relu, pool, conv */
  assert_string_equal(second->name, "features.4.weight");
  es_model_parameters(f.model)[second->offset] = NAN;
  es_model_changed(f.model);
  assert_string_equal(es_model_first_nonfinite(f.model, &pass), "features.4");
  es_loss_t loss;
  es_model_forward(f.model, &pass, 0.0, &loss);
  assert_true(isnan(loss.loss));
  close_fixture(&f);
}

/* Inference with running statistics of one batch at momentum 1 would equal training. Here: the result of a sample must
 * not depend on the others. */
TEST(inference_is_per_sample) {
  fixture_t f;
  open_fixture(&f, &small_vgg, SAMPLES);
  es_pass_t pass = training_pass(&f);
  es_loss_t all, one;
  es_model_forward(f.model, &pass, 0.0, &all);
  pass.training = false;
  es_model_forward(f.model, &pass, 0.0, &all);
  close_fixture(&f);
  open_fixture(&f, &small_vgg, 1); /* the same weights, batches of one */
  fixture_t whole;
  open_fixture(&whole, &small_vgg, SAMPLES);
  pass = training_pass(&whole);
  es_model_forward(whole.model, &pass, 0.0, &one);
  memcpy(es_model_buffers(f.model), es_model_buffers(whole.model), (size_t)f.graph->buffer_count * sizeof(float));
  double sum = 0.0;
  for (int i = 0; i < SAMPLES; i++) {
    pass = training_pass(&f);
    pass.training = false;
    const size_t size = (size_t)RESOLUTION * RESOLUTION * 3;
    memcpy(f.images, whole.images + (size_t)i * size, size * sizeof(float));
    f.labels[0] = whole.labels[i];
    es_model_forward(f.model, &pass, 0.0, &one);
    sum += one.loss;
  }
  assert_true(fabs(sum - all.loss) < 1e-5 * fabs(sum));
  es_model_destroy(whole.model);
  es_graph_destroy(whole.graph);
  es_free(whole.images);
  close_fixture(&f);
}

TEST(builtin_shapes) {
  es_point_t point = {.width = {1, 1}, .classes = 10, .resolution = 32};
  assert_true(es_model_spec_builtin(&point.model, "vgg16"));
  es_graph_t *graph;
  assert_ok(es_graph_create(&graph, &point, fresh()));
  assert_int_equal(graph->n_layers, 15);
  /* 13 convolutions of VGG16 on 32 × 32 images: 313.2 million multiply-adds (cross-checked by hand), and the head. */
  assert_int_equal(graph->macs, 313196544 + 512 * 256 + 256 * 10);
  const es_node_t *last_conv = &graph->nodes[graph->layers[12]];
  assert_string_equal(last_conv->name, "features.40");
  assert_int_equal(last_conv->receptive_field, 196); /* the known value of VGG16's last convolution */
  es_graph_destroy(graph);
  point.width = (es_ratio_t){1, 128};
  assert_fails_with(es_graph_create(&graph, &point, fresh()), ES_INPUT, "features.0 would have no channels");
  point.width = (es_ratio_t){1, 1};
  point.resolution = 16;
  assert_fails_with(es_graph_create(&graph, &point, fresh()), ES_INPUT, "reduce an image of 1 x 1 to nothing");
  assert_false(es_model_spec_builtin(&point.model, "vgg12"));
  assert_int_equal(es_memory_balance(), 0);
}
