/* Checks beyond finite differences (test_operations.c): which samples stochastic depth drops, the accuracy of norms,
 * and nodes that cost no memory. */
#include "support/operations.h"
#include "support/unit.h"
#include <math.h>

enum { LAYERS = 4, WIDE = 40, OUTPUTS = OPERATION_BATCH * OPERATION_SIZE * OPERATION_SIZE * WIDE };

/* Outputs of the captured layers of a pass, on one rank. */
typedef struct outputs {
  float *values[LAYERS]; /* owned */
  int64_t n[LAYERS];
} outputs_t;

static void observe(void *context, int layer, ES_UNUSED int lane, const float *out, int64_t samples, es_shape_t shape) {
  outputs_t *o = context;
  const int64_t n = samples * es_shape_size(shape);
  assert_true(layer < LAYERS && o->n[layer] + n <= OUTPUTS);
  memcpy(o->values[layer] + o->n[layer], out, (size_t)n * sizeof *out);
  o->n[layer] += n;
}

static void open_outputs(outputs_t *o) {
  for (int i = 0; i < LAYERS; i++) {
    o->values[i] = es_allocate(OUTPUTS, sizeof(float));
    assert_non_null(o->values[i]);
  }
}

static void close_outputs(outputs_t *o) {
  for (int i = 0; i < LAYERS; i++) es_free(o->values[i]);
}

static void run(outputs_t *o, es_model_t *model, bool training, uint64_t step) {
  static float images[OPERATION_BATCH * OPERATION_IMAGE];
  static int32_t labels[OPERATION_BATCH];
  const es_observer_t observer = {observe, o};
  es_loss_t loss;
  operation_samples(images, labels);
  for (int i = 0; i < LAYERS; i++) o->n[i] = 0;
  es_model_forward(model,
                   &(es_pass_t){.n = OPERATION_BATCH,
                                .training = training,
                                .seed = 5,
                                .step = step,
                                .feed = {operation_fetch, images, labels},
                                .observer = &observer},
                   0.0, &loss);
}

static es_model_t *make_model(const es_graph_t *graph, es_group_t *group) {
  const int64_t batch = OPERATION_BATCH;
  es_model_t *model;
  assert_ok(es_group_create(group, MPI_COMM_NULL, 4, fresh()));
  assert_ok(es_model_create(&model, graph, group, &(es_model_setup_t){&batch, 1, true, ES_FLOAT32}, fresh()));
  es_model_initialise(model, 1);
  operation_weights(graph, es_model_parameters(model));
  es_model_changed(model);
  return model;
}

/* ---- stochastic depth ---- */

enum { OUTPUT = 1 }; /* the layer fc, after the stem */

/* Compares logits in training with those of evaluation, where nothing is dropped. Returns the number of samples that
 * were dropped. */
static int count_dropped(es_model_t *model, outputs_t *o, const float *bias, double rate, uint64_t step) {
  float whole[OPERATION_BATCH * OPERATION_CLASSES];
  int dropped = 0;
  run(o, model, false, step);
  memcpy(whole, o->values[OUTPUT], sizeof whole);
  run(o, model, true, step);
  for (int i = 0; i < OPERATION_BATCH; i++) {
    bool lost = true, kept = true;
    for (int c = 0; c < OPERATION_CLASSES; c++) {
      const double found = (double)o->values[OUTPUT][i * OPERATION_CLASSES + c], b = (double)bias[c];
      const double expected = b + ((double)whole[i * OPERATION_CLASSES + c] - b) / (1.0 - rate);
      lost = lost && found == b;
      kept = kept && fabs(found - expected) <= 1e-5 * (1.0 + fabs(expected));
    }
    assert_true(lost != kept);
    dropped += lost;
  }
  return dropped;
}

TEST(stochastic_depth_drops_whole_samples) {
  enum { STEPS = 100 };
  static const operation_t operation = {.name = "drop_path", .build = drop_path_node};
  es_graph_t *graph;
  es_group_t group;
  outputs_t o;
  open_outputs(&o);
  assert_ok(operation_graph(&graph, &operation, fresh()));
  es_model_t *model = make_model(graph, &group);
  const float *bias = es_model_parameters(model) + graph->parameters[graph->n_parameters - 1].offset;
  int dropped = 0, again = 0;
  for (int step = 0; step < STEPS; step++) dropped += count_dropped(model, &o, bias, 0.25, (uint64_t)step);
  for (int step = 0; step < STEPS; step++) again += count_dropped(model, &o, bias, 0.25, 0);
  assert_int_equal(again % STEPS, 0); /* one step always drops the same samples */
  assert_true(fabs(dropped / (double)(STEPS * OPERATION_BATCH) - 0.25) < 0.04); /* 3.3 standard deviations */
  es_model_destroy(model);
  es_graph_destroy(graph);
  close_outputs(&o);
  assert_int_equal(es_memory_balance(), 0);
}

/* ---- accuracy of norms ---- */

static es_op_t norm_op;
static int32_t norm_groups;

/* Layer 1 has the input of the norm, layer 2 its output. */
static void build_norm(es_builder_t *b) {
  each(b, "wide", WIDE, true);
  es_add_operation(b, "op", norm_op, &(es_settings_t){.groups = norm_groups});
  each(b, "pass", WIDE, false);
}

/* Sets the norm's weights to 1 and biases to 0, adds `offset` to each of its inputs, and passes its output on. */
static void set_weights(const es_graph_t *graph, float *theta, float offset) {
  for (int32_t t = 0; t < graph->n_parameters; t++) {
    const es_tensor_t *tensor = &graph->parameters[t];
    for (int64_t i = 0; i < tensor->count; i++) {
      float *value = &theta[tensor->offset + i];
      if (strcmp(tensor->name, "wide.bias") == 0) *value += offset;
      if (strcmp(tensor->name, "op.weight") == 0) *value = 1.0f;
      if (strcmp(tensor->name, "op.bias") == 0) *value = 0.0f;
      if (strcmp(tensor->name, "pass.weight") == 0) *value = i / WIDE == i % WIDE ? 1.0f : 0.0f;
    }
  }
}

/* Error of the norm of one group: `positions` rows of `channels` numbers. */
static double part_error(const float *x, const float *y, int64_t positions, int64_t channels) {
  double mean = 0.0, variance = 0.0, worst = 0.0;
  const int64_t n = positions * channels;
  for (int64_t i = 0; i < n; i++) mean += (double)x[i / channels * WIDE + i % channels] / (double)n;
  for (int64_t i = 0; i < n; i++) {
    const double d = (double)x[i / channels * WIDE + i % channels] - mean;
    variance += d * d / (double)n;
  }
  for (int64_t i = 0; i < n; i++) {
    const int64_t at = i / channels * WIDE + i % channels;
    worst = fmax(worst, fabs((double)y[at] - ((double)x[at] - mean) / sqrt(variance + 1e-5)));
  }
  return worst;
}

/* Largest error of a norm against double. */
static double norm_error(es_op_t op, int32_t groups, float offset) {
  static const operation_t operation = {.name = "norm", .build = build_norm};
  es_graph_t *graph;
  es_group_t group;
  outputs_t o;
  norm_op = op, norm_groups = groups;
  open_outputs(&o);
  assert_ok(operation_graph(&graph, &operation, fresh()));
  es_model_t *model = make_model(graph, &group);
  set_weights(graph, es_model_parameters(model), offset);
  es_model_changed(model);
  run(&o, model, false, 0);
  const int64_t positions = op == ES_OP_LAYERNORM ? 1 : OPERATION_SIZE * OPERATION_SIZE;
  double worst = 0.0;
  for (int64_t at = 0; at < o.n[1]; at += positions * WIDE) {
    for (int32_t g = 0; g < groups; g++)
      worst = fmax(worst, part_error(o.values[1] + at + g * (WIDE / groups), o.values[2] + at + g * (WIDE / groups),
                                     positions, WIDE / groups));
  }
  es_model_destroy(model);
  es_graph_destroy(graph);
  close_outputs(&o);
  return worst;
}

/* Group norm is scale·x + shift, as PyTorch's: where the mean is 1000 deviations, float's digits end at 6e-5
 * deviations. */
TEST(accuracy_of_norms) {
  static const struct {
    es_op_t op;
    int32_t groups;
    float offset;
    double allowed;
  } cases[] = {
      {ES_OP_LAYERNORM, 1, 0.0f, 5e-7}, {ES_OP_LAYERNORM, 1, 1000.0f, 5e-7}, {ES_OP_GROUPNORM, 1, 0.0f, 5e-7},
      {ES_OP_GROUPNORM, 4, 0.0f, 5e-7}, {ES_OP_GROUPNORM, 1, 1000.0f, 2e-4}, {ES_OP_GROUPNORM, 4, 1000.0f, 2e-4},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const double error = norm_error(cases[i].op, cases[i].groups, cases[i].offset);
    assert_true(error <= cases[i].allowed);
  }
  assert_int_equal(es_memory_balance(), 0);
}

/* ---- memory ---- */

static void build_plain(es_builder_t *b) {
  each(b, "each", 12, true);
}

static void build_identities(es_builder_t *b) {
  tokens(b);
  es_add_operation(b, "dropout", ES_OP_DROPOUT, &(es_settings_t){0});
  es_add_operation(b, "drop_path", ES_OP_DROP_PATH, &(es_settings_t){0});
  build_plain(b);
}

TEST(identities_cost_no_memory) {
  static const operation_t operations[] = {{.name = "plain", .build = build_plain},
                                           {.name = "identities", .build = build_identities}};
  int64_t bytes[2];
  for (int i = 0; i < 2; i++) {
    es_graph_t *graph;
    assert_ok(operation_graph(&graph, &operations[i], fresh()));
    bytes[i] = es_model_bytes(graph, 256, 8, 1, true, ES_FLOAT32);
    es_graph_destroy(graph);
  }
  assert_int_equal(bytes[0], bytes[1]);
}
