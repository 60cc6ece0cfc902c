/* Two training steps against PyTorch on the same weights and a batch of 40: loss, every gradient, updated parameters,
 * running statistics and Adam's second moments, to 1e-5; and one step in bfloat16 against PyTorch's autocast.
 * tests/fixtures/torch has the numbers and their scripts.
 * ranks: 1 2 4 */
#include "eigenscope/checkpoint.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/train.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

enum { STEPS = 2, BATCH = 40, RESOLUTION = 9, CLASSES = 5 };
static const double allowed = 1e-5;
static const size_t image = (size_t)RESOLUTION * RESOLUTION * 3;
static double worst; /* largest error of all comparisons, and its tensor */
static char worst_name[256];

/* A case: network, optimizer and files (`start`: the case with the same start, or NULL). `divisor`: the width is
 * 1/divisor. `brief`: the file has only one step, and no weights after it. */
typedef struct golden {
  const char *name, *start;
  es_model_spec_t spec;
  es_train_settings_t settings;
  int divisor;
  bool brief;
} golden_t;

#define SGD .optimizer = ES_SGD, .learning_rate = 0.1, .momentum = 0.9, .weight_decay = 5e-4
#define ADAM                                                                                                           \
  .optimizer = ES_ADAM, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 5e-4
#define ITEMS 5, .items = {6, ES_ITEM_MAXPOOL, 13, ES_ITEM_AVGPOOL, 16}

static const golden_t cases[] = {
    {"vgg_authors_sgd", NULL, {"vgg", ES_FAMILY_VGG, ES_HEAD_AUTHORS, ITEMS}, {SGD}, 1, false},
    {"vgg_authors_adam", "vgg_authors_sgd", {"vgg", ES_FAMILY_VGG, ES_HEAD_AUTHORS, ITEMS}, {ADAM}, 1, false},
    {"vgg_authors_smooth",
     NULL,
     {"vgg", ES_FAMILY_VGG, ES_HEAD_AUTHORS, ITEMS},
     {SGD, .nesterov = ES_ON, .label_smoothing = 0.1, .clip_norm = 0.5},
     1,
     false},
    {"vgg_torchvision_sgd", NULL, {"vgg", ES_FAMILY_VGG, ES_HEAD_TORCHVISION, ITEMS}, {SGD}, 1, false},
    {"mlp_sgd", NULL, {"mlp", ES_FAMILY_MLP, ES_HEAD_AUTHORS, 2, .items = {10, 7}}, {SGD}, 1, false},
    {"vgg_plain_sgd",
     NULL,
     {"vgg", ES_FAMILY_VGG, ES_HEAD_TORCHVISION, ITEMS, .batch_norm = ES_PART_LEFT_OUT},
     {SGD},
     1,
     false},
    {"resnet_basic_sgd", NULL, {"r", ES_FAMILY_RESNET, ES_HEAD_AUTHORS, 2, .items = {1, 1}}, {SGD}, 16, false},
    {"resnet_basic_chain_sgd",
     NULL,
     {"r", ES_FAMILY_RESNET, ES_HEAD_AUTHORS, 2, .items = {1, 1}, .skip = ES_PART_LEFT_OUT},
     {SGD},
     16,
     false},
    {"resnet_bottleneck_sgd",
     NULL,
     {"r", ES_FAMILY_RESNET_BOTTLENECK, ES_HEAD_AUTHORS, 2, .items = {1, 2}, .stem = ES_STEM_IMAGENET},
     {SGD},
     16,
     false},
    {"resnet18_sgd", NULL, {"r", ES_FAMILY_RESNET, ES_HEAD_AUTHORS, 4, .items = {2, 2, 2, 2}}, {SGD}, 16, true},
    {"mobilenet_sgd",
     NULL,
     {"m", ES_FAMILY_MOBILENET, ES_HEAD_AUTHORS, 12, .items = {1, 16, 1, 1, 6, 24, 2, 2, 6, 32, 2, 2}},
     {SGD},
     8,
     true},
};

/* The current case. */
typedef struct fixture {
  es_graph_t *graph;
  es_model_t *model;
  es_optimizer_state_t optimizer;
  es_safetensors_t *file, *start;
  float images[BATCH * RESOLUTION * RESOLUTION * 3]; /* of one step */
  const int32_t *labels;
  double largest_gradient;
} fixture_t;

static es_safetensors_t *read_file(const char *name) {
  char path[1024];
  es_safetensors_t *file;
  snprintf(path, sizeof path, "%s/torch/%s.safetensors", ES_FIXTURES, name);
  if (es_safetensors_read(&file, path, fresh()) != ES_OK) fprintf(stderr, "%s\n", said.message);
  CHECK(said.code == ES_OK);
  return file;
}

/* Finds the tensor `prefix`/`name`, which must have that type and number of elements. */
static const void *find(const es_safetensors_t *file, const char *prefix, const char *name, es_dtype_t dtype,
                        int64_t count) {
  char full[ES_TENSOR_NAME_MAX];
  snprintf(full, sizeof full, "%s%s%s", prefix, *prefix ? "/" : "", name);
  const es_tensor_view_t *t = es_safetensors_find(file, full);
  if (!t) fprintf(stderr, "%s is not among the golden tensors\n", full);
  CHECK(t != NULL && t->dtype == dtype);
  int64_t elements = 1;
  for (int i = 0; i < t->rank; i++) elements *= t->shape[i];
  CHECK(elements == count);
  return t->data;
}

static double largest(const float *values, int64_t n) {
  double most = 0.0;
  for (int64_t i = 0; i < n; i++) {
    const double value = fabs((double)values[i]);
    if (value > most) most = value; /* fmax crashes GCC 12 for ARM */
  }
  return most;
}

static void note_error(const golden_t *golden, const char *prefix, const char *name, double error) {
  if (!(error <= allowed))
    fprintf(stderr, "%s on %d ranks: %s/%s is off by %g\n", golden->name, size, prefix, name, error);
  CHECK(error <= allowed);
  if (error <= worst) return;
  worst = error;
  snprintf(worst_name, sizeof worst_name, "%s/%s of %s", prefix, name, golden->name);
}

/* Compares one tensor, relative to its largest element, or to `floor` if given. */
static void compare(const golden_t *golden, const es_safetensors_t *file, const char *prefix, const es_tensor_t *t,
                    const float *values, double floor) {
  const float *expected = find(file, prefix, t->name, ES_F32, t->count), *found = values + t->offset;
  double difference = 0.0;
  for (int64_t j = 0; j < t->count; j++) {
    const double d = fabs((double)found[j] - (double)expected[j]);
    if (!(d <= difference)) difference = d; /* true for NaN too */
  }
  note_error(golden, prefix, t->name, difference / (floor > 0.0 ? floor : largest(expected, t->count)));
}

static void compare_all(const golden_t *golden, const es_safetensors_t *file, const char *prefix,
                        const es_tensor_t *tensors, int32_t n, const float *values) {
  for (int32_t i = 0; i < n; i++) compare(golden, file, prefix, &tensors[i], values, 0.0);
}

static void load(const es_safetensors_t *file, const es_tensor_t *tensors, int32_t n, float *out) {
  for (int32_t i = 0; i < n; i++) {
    const float *data = find(file, "initial", tensors[i].name, ES_F32, tensors[i].count);
    memcpy(out + tensors[i].offset, data, (size_t)tensors[i].count * sizeof *out);
  }
}

static void fetch(void *context, int64_t first, int64_t count, float *out) {
  const fixture_t *f = context;
  memcpy(out, f->images + (size_t)first * image, (size_t)count * image * sizeof *out);
}

static void open_fixture(fixture_t *f, const golden_t *golden, const es_group_t *group, es_precision_t precision) {
  const int64_t batch = BATCH;
  const es_point_t point = {
      .model = golden->spec, .width = {1, golden->divisor}, .classes = CLASSES, .resolution = RESOLUTION};
  memset(f, 0, sizeof *f);
  f->file = read_file(golden->name);
  f->start = read_file(golden->start ? golden->start : golden->name);
  CHECK(es_graph_create(&f->graph, &point, fresh()) == ES_OK);
  for (int32_t i = 0; i < f->graph->n_nodes; i++) {
    if (f->graph->nodes[i].op == ES_OP_DROPOUT) f->graph->nodes[i].rate = 0.0; /* PyTorch's draws differ */
  }
  CHECK(es_model_create(&f->model, f->graph, group, &(es_model_setup_t){&batch, 1, true, precision}, fresh()) == ES_OK);
  CHECK(es_optimizer_create(&f->optimizer, &golden->settings, f->graph->parameter_count, fresh()) == ES_OK);
  load(f->start, f->graph->parameters, f->graph->n_parameters, es_model_parameters(f->model));
  load(f->start, f->graph->buffers, f->graph->n_buffers, es_model_buffers(f->model));
  es_model_changed(f->model);
}

static void close_fixture(fixture_t *f) {
  es_optimizer_destroy(&f->optimizer);
  es_model_destroy(f->model);
  es_graph_destroy(f->graph);
  es_safetensors_destroy(f->file);
  es_safetensors_destroy(f->start);
}

static void take_inputs(fixture_t *f, const es_safetensors_t *inputs, int step) {
  const uint8_t *pixels = find(inputs, "", "images", ES_U8, STEPS * BATCH * (int64_t)image);
  const int32_t *labels = find(inputs, "", "labels", ES_I32, STEPS * BATCH);
  for (size_t i = 0; i < BATCH * image; i++)
    f->images[i] = ((float)pixels[(size_t)step * BATCH * image + i] - 128.0f) / 64.0f;
  f->labels = labels + step * BATCH;
}

/* A bias before a batch norm has a zero gradient except for rounding. Compare it with the largest of all gradients; do
 * not compare Adam's update of it. */
static bool is_zero(const fixture_t *f, const es_tensor_t *t) {
  return largest(find(f->start, "gradient", t->name, ES_F32, t->count), t->count) < 1e-9 * f->largest_gradient;
}

/* Counts biases that a later batch norm cancels: those of layers before one, and in MobileNet those of batch norms
 * without ReLU, whose only readers are 1 × 1 convolutions with batch norms. */
static int hidden_biases(const fixture_t *f, const golden_t *golden) {
  const es_graph_t *graph = f->graph;
  int n = 0;
  for (int32_t i = 1; i < graph->n_nodes; i++) {
    if (graph->nodes[i].op != ES_OP_BATCHNORM) continue;
    const es_node_t *before = &graph->nodes[graph->nodes[i].input];
    n += before->layer >= 0 && before->bias >= 0;
    n += golden->spec.family == ES_FAMILY_MOBILENET && graph->nodes[i + 1].op != ES_OP_RELU6;
  }
  return n;
}

static void check_gradients(fixture_t *f, const golden_t *golden) {
  const es_graph_t *graph = f->graph;
  int zeros = 0;
  for (int32_t i = 0; i < graph->n_parameters; i++) {
    const es_tensor_t *t = &graph->parameters[i];
    f->largest_gradient =
        fmax(f->largest_gradient, largest(find(f->start, "gradient", t->name, ES_F32, t->count), t->count));
  }
  for (int32_t i = 0; i < graph->n_parameters; i++) {
    const es_tensor_t *t = &graph->parameters[i];
    const bool zero = is_zero(f, t);
    compare(golden, f->start, "gradient", t, es_model_gradients(f->model), zero ? f->largest_gradient : 0.0);
    zeros += zero;
  }
  CHECK(zeros == hidden_biases(f, golden));
}

static void check_second_moments(const fixture_t *f, const golden_t *golden) {
  for (int32_t i = 0; i < f->graph->n_parameters; i++) {
    if (!is_zero(f, &f->graph->parameters[i]))
      compare(golden, f->file, "second", &f->graph->parameters[i], f->optimizer.second, 0.0);
  }
}

static void check_step(fixture_t *f, const golden_t *golden, int step) {
  const es_graph_t *graph = f->graph;
  const es_train_settings_t *s = &golden->settings;
  const es_pass_t pass = {.n = BATCH,
                          .training = true,
                          .step = (uint64_t)step,
                          .smoothing = s->label_smoothing,
                          .feed = {fetch, f, f->labels}};
  const char *after = step ? "step2" : "step1";
  es_loss_t loss;
  es_model_forward(f->model, &pass, 0.0, &loss);
  es_model_backward(f->model, &pass);
  const double *losses = find(f->file, "", "loss", ES_F64, STEPS);
  note_error(golden, after, "loss", fabs(loss.loss / BATCH - losses[step]) / losses[step]);
  if (step == 0) check_gradients(f, golden);
  if (s->clip_norm > 0.0) es_clip_gradients(es_model_gradients(f->model), graph->parameter_count, s->clip_norm);
  es_optimizer_step(&f->optimizer, es_model_parameters(f->model), es_model_gradients(f->model), s->learning_rate,
                    step + 1);
  es_model_changed(f->model);
  if (!golden->brief)
    compare_all(golden, f->file, after, graph->parameters, graph->n_parameters, es_model_parameters(f->model));
  compare_all(golden, f->file, after, graph->buffers, graph->n_buffers, es_model_buffers(f->model));
}

static void check_case(const golden_t *golden, int lanes) {
  es_group_t group;
  fixture_t f;
  CHECK(es_group_create(&group, MPI_COMM_WORLD, lanes, fresh()) == ES_OK);
  es_safetensors_t *inputs = read_file("inputs");
  open_fixture(&f, golden, &group, ES_FLOAT32);
  for (int step = 0; step < (golden->brief ? 1 : STEPS); step++) {
    take_inputs(&f, inputs, step);
    check_step(&f, golden, step);
  }
  if (f.optimizer.second) check_second_moments(&f, golden);
  close_fixture(&f);
  es_safetensors_destroy(inputs);
}

TEST(golden) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int lanes = 4; lanes <= 16; lanes *= 2) check_case(&cases[i], lanes);
  }
  if (rank == 0) printf("largest error on %d ranks: %.2g (%s)\n", size, worst, worst_name);
}

/* ---- bfloat16 ---- */

static double length(const float *values, int64_t n) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; i++) sum += (double)values[i] * (double)values[i];
  return sqrt(sum);
}

static double distance(const float *a, const float *b, int64_t n) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
  return sqrt(sum);
}

/* PyTorch's rounding to bfloat16 moves a tensor away from the truth, by a distance that the files tell; ours moves it
 * as far, in another direction, because sums have another order and PyTorch also rounds the gradients of weights. So
 * the two are at most twice as far from each other. One more rounding, 2⁻⁸ of `scale`, allows for tensors where
 * PyTorch's errors happen to cancel. */
static void compare_roundings(const golden_t *golden, const char *name, const float *ours, const float *theirs,
                              const float *truth, int64_t n, double scale) {
  const double apart = distance(ours, theirs, n), most = 2.0 * distance(theirs, truth, n) + scale / 256.0;
  if (!(apart <= most)) fprintf(stderr, "%s in bfloat16: %s is off by %g of %g\n", golden->name, name, apart, most);
  CHECK(apart <= most);
}

static void compare_step(const fixture_t *f, const es_safetensors_t *autocast, const golden_t *golden,
                         const es_tensor_t *t, const float *values) {
  const float *truth = find(f->file, "step1", t->name, ES_F32, t->count);
  const double change = distance(truth, find(f->file, "initial", t->name, ES_F32, t->count), t->count);
  compare_roundings(golden, t->name, values + t->offset, find(autocast, "step1", t->name, ES_F32, t->count), truth,
                    t->count, change);
}

static void compare_autocast(const fixture_t *f, const es_safetensors_t *autocast, const golden_t *golden) {
  const es_graph_t *graph = f->graph;
  for (int32_t i = 0; i < graph->n_parameters; i++) {
    const es_tensor_t *t = &graph->parameters[i];
    if (is_zero(f, t)) continue;
    const float *truth = find(f->file, "gradient", t->name, ES_F32, t->count);
    compare_roundings(golden, t->name, es_model_gradients(f->model) + t->offset,
                      find(autocast, "gradient", t->name, ES_F32, t->count), truth, t->count, length(truth, t->count));
    compare_step(f, autocast, golden, t, es_model_parameters(f->model));
  }
  for (int32_t i = 0; i < graph->n_buffers; i++)
    compare_step(f, autocast, golden, &graph->buffers[i], es_model_buffers(f->model));
}

typedef struct logits {
  int layer;
  int64_t n;
  float values[BATCH * CLASSES];
} logits_t;

/* On one rank, lanes and slices come in the order of the samples. */
static void observe(void *context, int layer, ES_UNUSED int lane, const float *out, int64_t samples, es_shape_t shape) {
  logits_t *l = context;
  if (layer != l->layer) return;
  memcpy(l->values + l->n, out, (size_t)(samples * shape.c) * sizeof *out);
  l->n += samples * shape.c;
}

static void check_autocast(const golden_t *golden) {
  char name[128];
  es_group_t group;
  fixture_t f;
  es_loss_t loss;
  snprintf(name, sizeof name, "autocast/%s", golden->name);
  CHECK(es_group_create(&group, MPI_COMM_WORLD, 8, fresh()) == ES_OK);
  es_safetensors_t *inputs = read_file("inputs"), *autocast = read_file(name);
  open_fixture(&f, golden, &group, ES_BFLOAT16);
  take_inputs(&f, inputs, 0);
  logits_t logits = {.layer = f.graph->n_layers - 1};
  const es_observer_t observer = {observe, &logits};
  const es_pass_t pass = {.n = BATCH, .training = true, .feed = {fetch, &f, f.labels}, .observer = &observer};
  es_model_forward(f.model, &pass, 0.0, &loss);
  es_model_backward(f.model, &pass);
  es_optimizer_step(&f.optimizer, es_model_parameters(f.model), es_model_gradients(f.model),
                    golden->settings.learning_rate, 1);
  const float mean = (float)(loss.loss / BATCH), *true_loss = find(autocast, "true", "loss", ES_F32, 1);
  const float their_loss = (float)*(const double *)find(autocast, "", "loss", ES_F64, 1);
  compare_roundings(golden, "loss", &mean, &their_loss, true_loss, 1, (double)*true_loss);
  const float *true_logits = find(autocast, "true", "logits", ES_F32, BATCH * CLASSES);
  if (size == 1)
    compare_roundings(golden, "logits", logits.values, find(autocast, "", "logits", ES_F32, BATCH * CLASSES),
                      true_logits, BATCH * CLASSES, length(true_logits, BATCH * CLASSES));
  compare_autocast(&f, autocast, golden);
  close_fixture(&f);
  es_safetensors_destroy(inputs);
  es_safetensors_destroy(autocast);
}

TEST(autocast) {
  check_autocast(&cases[0]);
  for (size_t i = 1; i < sizeof cases / sizeof *cases; i++) {
    if (strcmp(cases[i].name, "resnet_basic_sgd") == 0) check_autocast(&cases[i]);
  }
}
