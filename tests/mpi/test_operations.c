/* Every operation (support/operations.h) gives the bits of one rank on several, in both precisions, and agrees with
 * PyTorch: logits, loss and gradients of a training step, to 1e-5 of the largest element.
 * tests/fixtures/torch/operations_maps.safetensors and operations_tokens.safetensors have PyTorch's numbers.
 * ranks: 1 2 4 */
#include "eigenscope/checkpoint.h"
#include "eigenscope/memory.h"
#include "support/mpi.h"
#include "support/operations.h"
#include <math.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

enum { EMPTY = 5 }; /* samples of a batch that leaves lanes empty */
static const int64_t batches[] = {OPERATION_BATCH, EMPTY};
static float images[OPERATION_BATCH * OPERATION_IMAGE];
static int32_t labels[OPERATION_BATCH];

/* Outcome of a step and of an evaluation. */
typedef struct outcome {
  es_loss_t loss, evaluation;
  float *gradients;                                  /* owned */
  int output;                                        /* captured layer of the logits */
  float logits[OPERATION_BATCH * OPERATION_CLASSES]; /* on one rank */
  int64_t observed;
} outcome_t;

static void observe(void *context, int layer, ES_UNUSED int lane, const float *out, int64_t samples, es_shape_t shape) {
  outcome_t *o = context;
  if (layer != o->output) return;
  memcpy(o->logits + o->observed, out, (size_t)(samples * shape.c) * sizeof *out);
  o->observed += samples * shape.c;
}

static void run(outcome_t *o, const es_graph_t *graph, const es_group_t *group, int64_t batch,
                es_precision_t precision) {
  es_model_t *model;
  memset(o, 0, sizeof *o);
  o->output = graph->n_layers - 1;
  CHECK(es_model_create(&model, graph, group, &(es_model_setup_t){batches, 2, true, precision}, fresh()) == ES_OK);
  es_model_initialise(model, 4);
  operation_weights(graph, es_model_parameters(model));
  es_model_changed(model);
  const es_observer_t observer = {observe, o};
  es_pass_t pass = {
      .n = batch, .training = true, .seed = 6, .feed = {operation_fetch, images, labels}, .observer = &observer};
  es_model_forward(model, &pass, 0.0, &o->loss);
  es_model_backward(model, &pass);
  const size_t bytes = (size_t)graph->parameter_count * sizeof(float);
  o->gradients = es_allocate(1, bytes);
  CHECK(o->gradients != NULL);
  memcpy(o->gradients, es_model_gradients(model), bytes);
  pass.training = false;
  pass.observer = NULL;
  es_model_forward(model, &pass, 0.0, &o->evaluation);
  CHECK(isfinite(o->loss.loss) && isfinite(o->evaluation.loss));
  es_model_destroy(model);
}

static void check_bits(const es_graph_t *graph, int64_t batch, es_precision_t precision) {
  es_group_t group, alone;
  outcome_t together, serial;
  CHECK(es_group_create(&group, MPI_COMM_WORLD, 8, fresh()) == ES_OK);
  CHECK(es_group_create(&alone, MPI_COMM_NULL, 8, fresh()) == ES_OK);
  run(&together, graph, &group, batch, precision);
  run(&serial, graph, &alone, batch, precision);
  CHECK(memcmp(&together.loss, &serial.loss, sizeof serial.loss) == 0);
  CHECK(memcmp(&together.evaluation, &serial.evaluation, sizeof serial.evaluation) == 0);
  CHECK(memcmp(together.gradients, serial.gradients, (size_t)graph->parameter_count * sizeof(float)) == 0);
  es_free(together.gradients);
  es_free(serial.gradients);
}

TEST(bits) {
  operation_samples(images, labels);
  for (int i = 0; i < OPERATIONS; i++) {
    es_graph_t *graph;
    CHECK(operation_graph(&graph, operation_at(i), fresh()) == ES_OK);
    for (es_precision_t p = ES_FLOAT32; p < ES_PRECISIONS; p++) {
      for (int b = 0; b < 2; b++) check_bits(graph, batches[b], p);
    }
    es_graph_destroy(graph);
  }
}

/* ---- PyTorch ---- */

static const es_tensor_view_t *find(const es_safetensors_t *file, const char *operation, const char *name) {
  char full[ES_TENSOR_NAME_MAX];
  snprintf(full, sizeof full, "%s/%s", operation, name);
  return es_safetensors_find(file, full);
}

/* Compares numbers relative to the largest of them. A bias before a norm has a gradient of zero except for rounding,
 * which is compared with `whole`, the largest gradient so far. Returns the largest. */
static double compare(const operation_t *operation, const char *name, const float *found, const es_tensor_view_t *t,
                      int64_t n, double whole) {
  const float *expected = t->data;
  int64_t elements = 1;
  for (int i = 0; i < t->rank; i++) elements *= t->shape[i];
  CHECK(t->dtype == ES_F32 && elements == n);
  double largest = 0.0, difference = 0.0;
  for (int64_t i = 0; i < n; i++) {
    const double value = fabs((double)expected[i]), d = fabs((double)found[i] - (double)expected[i]);
    if (value > largest) largest = value;
    if (!(d <= difference)) difference = d; /* true for NaN too */
  }
  if (largest < 1e-9 * whole) largest = whole;
  if (!(difference <= 1e-5 * largest))
    fprintf(stderr, "%s on %d ranks: %s is off by %g of %g\n", operation->name, size, name, difference, largest);
  CHECK(difference <= 1e-5 * largest);
  return largest;
}

/* The file leaves out large gradients. */
static void check_golden(const operation_t *operation, const es_safetensors_t *file) {
  es_graph_t *graph;
  es_group_t group;
  outcome_t o;
  CHECK(operation_graph(&graph, operation, fresh()) == ES_OK);
  CHECK(es_group_create(&group, MPI_COMM_WORLD, 8, fresh()) == ES_OK);
  run(&o, graph, &group, OPERATION_BATCH, ES_FLOAT32);
  const es_tensor_view_t *logits = find(file, operation->name, "logits");
  if (!logits) fprintf(stderr, "PyTorch's file has no %s\n", operation->name);
  CHECK(logits != NULL);
  if (size == 1) compare(operation, "logits", o.logits, logits, OPERATION_BATCH * OPERATION_CLASSES, 0.0);
  double whole = 0.0;
  int compared = 0;
  for (int32_t t = graph->n_parameters - 1; t >= 0; t--) { /* the first is the bias of fc, which has a gradient */
    const es_tensor_t *tensor = &graph->parameters[t];
    const es_tensor_view_t *expected = find(file, operation->name, tensor->name);
    if (!expected) continue;
    const double largest =
        compare(operation, tensor->name, o.gradients + tensor->offset, expected, tensor->count, whole);
    if (largest > whole) whole = largest;
    compared++;
  }
  CHECK(compared >= 3); /* weight and bias of the stem, bias of fc */
  es_free(o.gradients);
  es_graph_destroy(graph);
}

static void check_file(const char *name, const operation_t *operations, int n) {
  char path[1024];
  es_safetensors_t *file;
  snprintf(path, sizeof path, "%s/torch/%s.safetensors", ES_FIXTURES, name);
  if (es_safetensors_read(&file, path, fresh()) != ES_OK) fprintf(stderr, "%s\n", said.message);
  CHECK(said.code == ES_OK);
  for (int i = 0; i < n; i++) {
    if (!operations[i].random) check_golden(&operations[i], file);
  }
  es_safetensors_destroy(file);
}

TEST(golden) {
  operation_samples(images, labels);
  check_file("operations_maps", operations_maps, OPERATIONS_MAPS);
  check_file("operations_tokens", operations_tokens, OPERATIONS_TOKENS);
}
