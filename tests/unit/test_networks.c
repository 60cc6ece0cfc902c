/* Logits of whole networks of every family at two widths against PyTorch in float64, to 1e-4 of the largest, from
 * weights that PyTorch saved (tests/fixtures/torch/make_networks.py). */
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/weights.h"
#include "support/unit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

static const double allowed = 1e-4;
enum { SAMPLES = 40, CLASSES = 5, LANES = 8 };

typedef struct family {
  const char *name, *builtin;
  es_head_t head;
  es_stem_t stem;
  es_part_t skip, batch_norm;
  const char *widths[2]; /* as in file names; the second may be NULL */
} family_t;

#define TWO                                                                                                            \
  { "0.03125", "0.0625" }
static const family_t families[] = {
    {.name = "vgg", .builtin = "vgg11", .widths = TWO},
    {.name = "plain", .builtin = "vgg11", .head = ES_HEAD_TORCHVISION, .batch_norm = ES_PART_LEFT_OUT, .widths = TWO},
    {.name = "basic", .builtin = "resnet18", .widths = TWO},
    {.name = "imagenet", .builtin = "resnet18", .stem = ES_STEM_IMAGENET, .widths = {"0.03125"}},
    {.name = "chain", .builtin = "resnet18", .skip = ES_PART_LEFT_OUT, .widths = {"0.03125"}},
    {.name = "bottleneck", .builtin = "resnet50", .widths = TWO},
    {.name = "mobile", .builtin = "mobilenet_v2", .widths = {"0.0625", "0.125"}},
    {.name = "mlp", .builtin = "mlp", .widths = {"0.015625", "0.0625"}},
};

static es_safetensors_t *read_file(const char *name) {
  char path[1024];
  es_safetensors_t *file = NULL;
  snprintf(path, sizeof path, "%s/torch/networks/%s.safetensors", ES_FIXTURES, name);
  assert_ok(es_safetensors_read(&file, path, fresh()));
  return file;
}

/* State of a pass. */
typedef struct pass {
  const uint8_t *pixels;
  int64_t image; /* floats per image */
  int output;    /* the captured layer whose output is the logits */
  int64_t n;
  float logits[SAMPLES * CLASSES];
} pass_t;

static void fetch(void *context, int64_t first, int64_t count, float *out) {
  const pass_t *p = context;
  for (int64_t i = 0; i < count * p->image; i++)
    out[i] = (float)(((double)p->pixels[first * p->image + i] / 255.0 - 0.5) / 0.25);
}

/* With one rank, lanes and slices come in the order of the samples. */
static void observe(void *context, int layer, int lane, const float *out, int64_t samples, es_shape_t shape) {
  pass_t *p = context;
  (void)lane;
  if (layer != p->output) return;
  assert_int_equal(es_shape_size(shape), CLASSES);
  memcpy(p->logits + p->n * CLASSES, out, (size_t)samples * CLASSES * sizeof *out);
  p->n += samples;
}

static void run_network(const es_graph_t *graph, const char *name, const es_safetensors_t *images, pass_t *p) {
  char path[1024], fingerprint[ES_ID_SIZE];
  es_group_t group;
  es_model_t *model = NULL;
  static const int32_t labels[SAMPLES];
  const int64_t batch = SAMPLES;
  es_safetensors_t *file = read_file(name);
  const es_tensor_view_t *pixels = es_safetensors_find(images, strncmp(name, "mlp", 3) == 0 ? "small" : "images");
  snprintf(path, sizeof path, "%s/torch/networks/%s.safetensors", ES_FIXTURES, name);
  assert_ok(es_safetensors_fingerprint(file, fingerprint, fresh()));
  es_safetensors_destroy(file);
  assert_ok(es_group_create(&group, MPI_COMM_NULL, LANES, fresh()));
  assert_ok(es_model_create(&model, graph, &group, &(es_model_setup_t){&batch, 1, false, ES_FLOAT32}, fresh()));
  assert_ok(es_weights_load(path, fingerprint, graph, model, &group, fresh()));
  *p =
      (pass_t){.pixels = pixels->data, .image = pixels->shape[1] * pixels->shape[2] * 3, .output = graph->n_layers - 1};
  const es_observer_t observer = {observe, p};
  es_loss_t loss;
  es_model_forward(model, &(es_pass_t){.n = SAMPLES, .feed = {fetch, p, labels}, .observer = &observer}, 0.0, &loss);
  assert_int_equal(p->n, SAMPLES);
  es_model_destroy(model);
}

static void check_case(const family_t *f, const char *width, const es_safetensors_t *images,
                       const es_safetensors_t *golden) {
  char name[64], key[96];
  double value, worst = 0.0, largest = 0.0;
  pass_t p;
  es_point_t point = {.classes = CLASSES, .resolution = strcmp(f->name, "mlp") == 0 ? 16 : 32};
  es_graph_t *graph = NULL;
  assert_true(es_model_spec_builtin(&point.model, f->builtin));
  point.model.head = f->head, point.model.stem = f->stem;
  point.model.skip = f->skip, point.model.batch_norm = f->batch_norm;
  assert_true(es_text_to_double(width, &value));
  point.width = (es_ratio_t){(int64_t)(value * 64.0), 64};
  assert_int_equal(es_graph_create(&graph, &point, &(es_status_t){0}), ES_OK);
  snprintf(name, sizeof name, "%s-%s", f->name, width);
  snprintf(key, sizeof key, "%s/logits", name);
  const es_tensor_view_t *expected = es_safetensors_find(golden, key);
  assert_non_null(expected);
  assert_int_equal(es_tensor_count(expected), SAMPLES * CLASSES);
  run_network(graph, name, images, &p);
  for (int i = 0; i < SAMPLES * CLASSES; i++) {
    const double truth = ((const double *)expected->data)[i], difference = fabs((double)p.logits[i] - truth);
    largest = fmax(largest, fabs(truth));
    if (!(difference <= worst)) worst = difference; /* true for NaN too */
  }
  print_message("%s: logits off by %.1g of the largest\n", name, worst / largest);
  assert_true(worst <= allowed * largest);
  es_graph_destroy(graph);
}

TEST(logits) {
  es_safetensors_t *images = read_file("images"), *golden = read_file("golden");
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    for (int w = 0; w < 2 && families[i].widths[w]; w++)
      check_case(&families[i], families[i].widths[w], images, golden);
  }
  es_safetensors_destroy(images);
  es_safetensors_destroy(golden);
}
