/* Every operation (support/operations.h): gradients by finite differences, and bfloat16 against float32. */
#include "../../src/model/number.h"
#include "support/operations.h"
#include "support/unit.h"
#include <math.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
}

typedef struct fixture {
  es_graph_t *graph;
  es_model_t *model;
  es_group_t group;
  size_t count; /* parameters */
  float images[OPERATION_BATCH * OPERATION_IMAGE];
  int32_t labels[OPERATION_BATCH];
} fixture_t;

static void open_fixture(fixture_t *f, const operation_t *operation, es_precision_t precision) {
  const int64_t batch = OPERATION_BATCH;
  memset(f, 0, sizeof *f);
  assert_ok(es_group_create(&f->group, MPI_COMM_NULL, 4, fresh()));
  assert_ok(operation_graph(&f->graph, operation, fresh()));
  assert_ok(es_model_create(&f->model, f->graph, &f->group, &(es_model_setup_t){&batch, 1, true, precision}, fresh()));
  f->count = (size_t)f->graph->parameter_count;
  operation_samples(f->images, f->labels);
  es_model_initialise(f->model, 1);
  operation_weights(f->graph, es_model_parameters(f->model));
  es_model_changed(f->model);
}

static void close_fixture(fixture_t *f) {
  es_model_destroy(f->model);
  es_graph_destroy(f->graph);
  assert_int_equal(es_memory_balance(), 0);
}

static double forward(fixture_t *f, bool backward) {
  const es_pass_t pass = {
      .n = OPERATION_BATCH, .training = true, .seed = 5, .step = 9, .feed = {operation_fetch, f->images, f->labels}};
  es_loss_t loss;
  es_model_changed(f->model);
  es_model_forward(f->model, &pass, 0.0, &loss);
  if (backward) es_model_backward(f->model, &pass);
  return loss.loss / OPERATION_BATCH;
}

static double length(const float *x, size_t n) {
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
  return sqrt(sum);
}

static float *copy(const float *x, size_t n) {
  float *out = es_allocate(n, sizeof *out);
  assert_non_null(out);
  memcpy(out, x, n * sizeof *out);
  return out;
}

/* Slope of the loss along the gradient of a tensor, by central differences with two steps, whose combination has an
 * error of fourth order. `start`, `gradient`: of all parameters; `norm`: of the tensor's gradient. */
static double slope_along(fixture_t *f, const es_tensor_t *tensor, const float *start, const float *gradient,
                          double norm, double step) {
  float *theta = es_model_parameters(f->model);
  double slopes[2];
  for (int wide = 0; wide < 2; wide++) {
    double losses[2];
    const double length_of_step = wide ? 2.0 * step : step;
    for (int side = 0; side < 2; side++) {
      for (int64_t i = tensor->offset; i < tensor->offset + tensor->count; i++)
        theta[i] = start[i] + (float)((side ? -length_of_step : length_of_step) * (double)gradient[i] / norm);
      losses[side] = forward(f, false);
    }
    slopes[wide] = (losses[0] - losses[1]) / (2.0 * length_of_step);
  }
  memcpy(theta, start, f->count * sizeof *start);
  return (4.0 * slopes[0] - slopes[1]) / 3.0;
}

static void check_slopes(const operation_t *operation) {
  fixture_t f;
  open_fixture(&f, operation, ES_FLOAT32);
  forward(&f, true);
  float *gradient = copy(es_model_gradients(f.model), f.count), *start = copy(es_model_parameters(f.model), f.count);
  const double whole = length(gradient, f.count);
  for (int32_t t = 0; t < f.graph->n_parameters; t++) {
    const es_tensor_t *tensor = &f.graph->parameters[t];
    const double norm = length(gradient + tensor->offset, (size_t)tensor->count);
    if (norm < 1e-4 * whole) continue; /* biases before a norm have rounding noise only */
    const double step = operation->bent ? 1e-3 : 1e-2, allowed = operation->bent ? 0.03 : 1e-3;
    const double slope = slope_along(&f, tensor, start, gradient, norm, step);
    if (fabs(slope - norm) > allowed * norm + 1e-7 / step)
      fail_msg("%s, %s: slope %g, gradient %g", operation->name, tensor->name, slope, norm);
  }
  es_free(gradient);
  es_free(start);
  close_fixture(&f);
}

TEST(slopes) {
  for (int i = 0; i < OPERATIONS; i++) check_slopes(operation_at(i));
}

/* Gradients in bfloat16 may be off by a few roundings of 2⁻⁸ from those in float32 with the same weights, and more
 * where rounding changes the winner of a maximum. */
static void check_bfloat16(const operation_t *operation) {
  fixture_t wide, narrow;
  open_fixture(&wide, operation, ES_FLOAT32);
  float *theta = es_model_parameters(wide.model);
  for (size_t i = 0; i < wide.count; i++) theta[i] = es_bfloat16_widened(es_bfloat16_rounded(theta[i]));
  for (size_t i = 0; i < sizeof wide.images / sizeof *wide.images; i++)
    wide.images[i] = es_bfloat16_widened(es_bfloat16_rounded(wide.images[i]));
  const double loss = forward(&wide, true);
  open_fixture(&narrow, operation, ES_BFLOAT16);
  memcpy(narrow.images, wide.images, sizeof wide.images);
  memcpy(es_model_parameters(narrow.model), theta, wide.count * sizeof *theta);
  const double rounded = forward(&narrow, true);
  if (fabs(loss - rounded) > 0.01 * loss) fail_msg("%s: loss %g, in bfloat16 %g", operation->name, loss, rounded);
  const double whole = length(es_model_gradients(wide.model), wide.count);
  for (int32_t t = 0; t < wide.graph->n_parameters; t++) {
    const es_tensor_t *tensor = &wide.graph->parameters[t];
    const float *a = es_model_gradients(wide.model) + tensor->offset,
                *b = es_model_gradients(narrow.model) + tensor->offset;
    float *difference = copy(a, (size_t)tensor->count);
    for (int64_t i = 0; i < tensor->count; i++) difference[i] -= b[i];
    const double off = length(difference, (size_t)tensor->count), norm = length(a, (size_t)tensor->count);
    if (!(off <= (operation->bent ? 0.15 : 0.05) * norm + 1e-3 * whole))
      fail_msg("%s, %s: off by %g of %g in bfloat16", operation->name, tensor->name, off, norm);
    es_free(difference);
  }
  es_model_destroy(wide.model);
  es_graph_destroy(wide.graph);
  close_fixture(&narrow);
}

TEST(bfloat16) {
  for (int i = 0; i < OPERATIONS; i++) check_bfloat16(operation_at(i));
}

static double norm_momentum, norm_epsilon;

static void norm_node(es_builder_t *b) {
  es_add_operation(b, "op", ES_OP_BATCHNORM, &(es_settings_t){.rate = norm_epsilon, .momentum = norm_momentum});
}

/* Returns the loss in inference mode after one training pass; copies the running means. */
static double train_norm(double epsilon, double momentum, float mean[OPERATION_CHANNELS]) {
  static const operation_t norm = {.name = "batch norm", .build = norm_node};
  fixture_t f;
  es_loss_t loss;
  norm_epsilon = epsilon, norm_momentum = momentum;
  open_fixture(&f, &norm, ES_FLOAT32);
  forward(&f, false);
  memcpy(mean, es_model_buffers(f.model), OPERATION_CHANNELS * sizeof *mean);
  es_model_forward(f.model, &(es_pass_t){.n = OPERATION_BATCH, .feed = {operation_fetch, f.images, f.labels}}, 0.0,
                   &loss);
  close_fixture(&f);
  return loss.loss;
}

TEST(momentum_and_epsilon_of_batch_norm) {
  float usual[OPERATION_CHANNELS], given[OPERATION_CHANNELS], slow[OPERATION_CHANNELS];
  const double loss = train_norm(0.0, 0.0, usual);
  assert_true(loss == train_norm(1e-5, 0.1, given));
  assert_memory_equal(usual, given, sizeof usual);
  train_norm(0.0, 0.01, slow);
  for (int c = 0; c < OPERATION_CHANNELS; c++) assert_true(fabs(slow[c] - 0.1 * usual[c]) <= 1e-6 * fabs(usual[c]));
  assert_true(loss != train_norm(0.5, 0.1, given));
}
