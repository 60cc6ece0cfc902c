/* Training on several ranks gives the bits of training on one: loss, gradients, parameters, running statistics and
 * covariances of layer outputs, with dropout, odd widths, and batches that leave lanes and ranks without samples. Every
 * rank also trains alone, on a group without MPI, and compares.
 * ranks: 1 2 4 8 */
#include "eigenscope/blas.h"
#include "eigenscope/covariance.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "support/draw.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_model_engine_single_thread();
  es_blas_single_thread();
}

enum { CLASSES = 3, RESOLUTION = 8, LARGEST = 43, STEPS = 5, LANES_MOST = 16, LAYERS_MOST = 24 };
static const int64_t batches[STEPS] = {40, LARGEST, 5, 2, LARGEST};
static const size_t image = (size_t)RESOLUTION * RESOLUTION * 3;
static float images[LARGEST * RESOLUTION * RESOLUTION * 3];
static int32_t labels[LARGEST];

/* Covariances of all layers, filled during passes, indexed by (layer, lane of this rank). */
typedef struct capture {
  int layers, lanes;
  es_cov_t cov[LAYERS_MOST][LANES_MOST];
  es_cov_workspace_t workspace;
} capture_t;

/* The outcome of a training run, compared byte by byte. */
typedef struct trace {
  es_loss_t loss[STEPS + 1];
  int64_t confusion[CLASSES * CLASSES];
  size_t n_parameters, n_buffers, n_moments;
  float *gradients; /* (STEPS, n_parameters) */
  float *parameters, *buffers;
  double *moments; /* of all layers: training passes, then evaluation */
} trace_t;

static void *allocate(size_t count, size_t bytes) {
  void *block = es_allocate_zero(count, bytes);
  CHECK(block != NULL);
  return block;
}

static void make_samples(void) {
  for (size_t i = 0; i < LARGEST * image; i++) {
    images[i] = draw_normal(81, 0, i);
  }
  for (int i = 0; i < LARGEST; i++) labels[i] = (i * 7 + i / 5) % CLASSES;
}

static void fetch(void *context, int64_t first, int64_t count, float *out) {
  const float *source = context;
  memcpy(out, source + (size_t)first * image, (size_t)count * image * sizeof *out);
}

static void observe(void *context, int layer, int lane, const float *out, int64_t samples, es_shape_t shape) {
  capture_t *c = context;
  es_cov_add(&c->cov[layer][lane], &c->workspace, out, samples * shape.h * shape.w);
}

static void capture_open(capture_t *c, const es_graph_t *graph, const es_group_t *group) {
  CHECK(graph->n_layers <= LAYERS_MOST && group->lane_count <= LANES_MOST);
  c->layers = graph->n_layers;
  c->lanes = group->lane_count;
  CHECK(es_cov_workspace_create(&c->workspace, 160, ES_REAL_F32, fresh()) == ES_OK);
  for (int l = 0; l < c->layers; l++) {
    for (int lane = 0; lane < c->lanes; lane++)
      CHECK(es_cov_create(&c->cov[l][lane], graph->nodes[graph->layers[l]].out.c, ES_REAL_F32, fresh()) == ES_OK);
  }
}

/* Merges the lanes of each layer over the group into `moments`, and resets them. */
static double *capture_reduce(capture_t *c, const es_group_t *group, double *moments) {
  for (int l = 0; l < c->layers; l++) {
    const size_t n = es_cov_moments_size(c->cov[l][0].width);
    es_cov_t total;
    double *buffer = allocate(n + 1, sizeof *buffer);
    CHECK(es_cov_create(&total, c->cov[l][0].width, ES_REAL_F32, fresh()) == ES_OK);
    for (int lane = 0; lane < c->lanes; lane++) es_cov_flush(&c->cov[l][lane], &c->workspace);
    es_cov_reduce(&total, NULL, c->cov[l], group, buffer);
    memcpy(moments, total.moments, n * sizeof *moments);
    moments += n;
    for (int lane = 0; lane < c->lanes; lane++) es_cov_reset(&c->cov[l][lane]);
    es_cov_destroy(&total);
    es_free(buffer);
  }
  return moments;
}

static void capture_close(capture_t *c) {
  for (int l = 0; l < c->layers; l++) {
    for (int lane = 0; lane < c->lanes; lane++) es_cov_destroy(&c->cov[l][lane]);
  }
  es_cov_workspace_destroy(&c->workspace);
}

static void trace_open(trace_t *t, const es_graph_t *graph) {
  *t = (trace_t){.n_parameters = (size_t)graph->parameter_count, .n_buffers = (size_t)graph->buffer_count};
  for (int l = 0; l < graph->n_layers; l++)
    t->n_moments += 2 * es_cov_moments_size(graph->nodes[graph->layers[l]].out.c);
  t->gradients = allocate(STEPS * t->n_parameters, sizeof *t->gradients);
  t->parameters = allocate(t->n_parameters, sizeof *t->parameters);
  t->buffers = allocate(t->n_buffers, sizeof *t->buffers);
  t->moments = allocate(t->n_moments, sizeof *t->moments);
}

static void trace_close(trace_t *t) {
  es_free(t->gradients);
  es_free(t->parameters);
  es_free(t->buffers);
  es_free(t->moments);
}

static es_pass_t make_pass(int64_t n, bool training, uint64_t step, const es_observer_t *observer) {
  return (es_pass_t){
      .n = n, .training = training, .seed = 6, .step = step, .feed = {fetch, images, labels}, .observer = observer};
}

/* Runs five steps of SGD with momentum, written out here, then an evaluation. */
static void train(es_model_t *model, trace_t *t, const es_observer_t *observer) {
  float *theta = es_model_parameters(model), *velocity = allocate(t->n_parameters, sizeof *velocity);
  for (int step = 0; step < STEPS; step++) {
    const es_pass_t pass = make_pass(batches[step], true, (uint64_t)step, observer);
    es_model_forward(model, &pass, 0.0, &t->loss[step]);
    es_model_backward(model, &pass);
    float *gradient = t->gradients + (size_t)step * t->n_parameters;
    memcpy(gradient, es_model_gradients(model), t->n_parameters * sizeof *gradient);
    for (size_t i = 0; i < t->n_parameters; i++) {
      velocity[i] = 0.9f * velocity[i] + gradient[i];
      theta[i] -= 0.05f * velocity[i];
    }
    es_model_changed(model);
  }
  memcpy(t->parameters, theta, t->n_parameters * sizeof *theta);
  memcpy(t->buffers, es_model_buffers(model), t->n_buffers * sizeof *theta);
  es_free(velocity);
}

static void run(trace_t *t, const es_graph_t *graph, const es_group_t *group, es_precision_t precision) {
  es_model_t *model;
  capture_t c;
  CHECK(es_model_create(&model, graph, group, &(es_model_setup_t){batches, STEPS, true, precision}, fresh()) == ES_OK);
  es_model_initialise(model, 4);
  capture_open(&c, graph, group);
  trace_open(t, graph);
  const es_observer_t observer = {observe, &c};
  train(model, t, &observer);
  double *rest = capture_reduce(&c, group, t->moments);
  es_pass_t pass = make_pass(LARGEST, false, 0, &observer);
  pass.confusion = t->confusion;
  es_model_forward(model, &pass, 0.0, &t->loss[STEPS]);
  rest = capture_reduce(&c, group, rest);
  CHECK(rest == t->moments + t->n_moments);
  if (group->comm != MPI_COMM_NULL)
    ES_MPI(MPI_Allreduce(MPI_IN_PLACE, t->confusion, CLASSES * CLASSES, MPI_INT64_T, MPI_SUM, group->comm));
  capture_close(&c);
  es_model_destroy(model);
}

static void check_same(const trace_t *a, const trace_t *b) {
  for (int step = 0; step <= STEPS; step++) {
    CHECK(isfinite(a->loss[step].loss) && a->loss[step].loss > 0.0);
    CHECK(memcmp(&a->loss[step], &b->loss[step], sizeof a->loss[step]) == 0);
  }
  for (int step = 0; step < STEPS; step++) {
    const size_t at = (size_t)step * a->n_parameters;
    CHECK(memcmp(a->gradients + at, b->gradients + at, a->n_parameters * sizeof *a->gradients) == 0);
  }
  CHECK(memcmp(a->parameters, b->parameters, a->n_parameters * sizeof *a->parameters) == 0);
  CHECK(memcmp(a->buffers, b->buffers, a->n_buffers * sizeof *a->buffers) == 0);
  CHECK(memcmp(a->moments, b->moments, a->n_moments * sizeof *a->moments) == 0);
  int64_t counted = 0;
  for (int i = 0; i < CLASSES * CLASSES; i++) {
    CHECK(a->confusion[i] == b->confusion[i]);
    counted += a->confusion[i];
  }
  CHECK(counted == LARGEST);
}

/* A network and its width. */
typedef struct network {
  es_model_spec_t spec;
  es_ratio_t width;
} network_t;

static es_graph_t *make_graph(const network_t *network) {
  es_graph_t *graph;
  const es_point_t point = {
      .model = network->spec, .width = network->width, .classes = CLASSES, .resolution = RESOLUTION};
  CHECK(es_graph_create(&graph, &point, fresh()) == ES_OK);
  return graph;
}

/* Creates the model on all ranks, with eight lanes. */
static es_model_t *make_model(const es_graph_t *graph, es_group_t *group, es_precision_t precision) {
  es_model_t *model;
  CHECK(es_group_create(group, MPI_COMM_WORLD, 8, fresh()) == ES_OK);
  CHECK(es_model_create(&model, graph, group, &(es_model_setup_t){batches, STEPS, true, precision}, fresh()) == ES_OK);
  es_model_initialise(model, 4);
  /* Initial linear weights are tiny; with larger ones, bfloat16 logits show every change of an earlier layer. */
  for (int32_t t = 0; t < graph->n_parameters; t++) {
    const es_tensor_t *tensor = &graph->parameters[t];
    float *weights = es_model_parameters(model) + tensor->offset;
    for (int64_t i = 0; tensor->init == ES_INIT_NORMAL_001 && i < tensor->count; i++) weights[i] *= 20.0f;
  }
  es_model_changed(model);
  return model;
}

static void check_network(const network_t *network, int lanes, es_precision_t precision) {
  es_group_t group, alone;
  es_graph_t *graph = make_graph(network);
  trace_t together, serial;
  CHECK(es_group_create(&group, MPI_COMM_WORLD, lanes, fresh()) == ES_OK);
  CHECK(es_group_create(&alone, MPI_COMM_NULL, lanes, fresh()) == ES_OK);
  run(&serial, graph, &alone, precision);
  run(&together, graph, &group, precision);
  check_same(&together, &serial);
  /* Weights did change between steps, so the comparison is meaningful. */
  CHECK(memcmp(serial.gradients, serial.gradients + serial.n_parameters, serial.n_parameters * sizeof(float)) != 0);
  trace_close(&together);
  trace_close(&serial);
  es_graph_destroy(graph);
}

/* A NaN in one sample on any rank is traced to the same node on all ranks; a signal on one rank reaches all. */
static void check_agreement(const network_t *network, es_precision_t precision) {
  es_group_t group;
  es_graph_t *graph = make_graph(network);
  es_model_t *model = make_model(graph, &group, precision);
  es_loss_t loss;
  const es_pass_t pass = make_pass(LARGEST, true, 0, NULL);
  es_model_forward(model, &pass, rank == size - 1 ? 1.0 : 0.0, &loss);
  CHECK(loss.signal == 1.0 && isfinite(loss.loss));
  CHECK(strcmp(es_model_first_nonfinite(model, &pass), "the loss") == 0);
  for (int sample = 0; sample < LARGEST; sample += LARGEST - 1) {
    const float kept = images[(size_t)sample * image];
    images[(size_t)sample * image] = NAN;
    CHECK(strcmp(es_model_first_nonfinite(model, &pass), graph->nodes[1].name) == 0);
    es_model_initialise(model, 4); /* running statistics were spoiled */
    es_model_forward(model, &pass, 0.0, &loss);
    CHECK(isnan(loss.loss));
    images[(size_t)sample * image] = kept;
  }
  es_model_destroy(model);
  es_graph_destroy(graph);
}

/* Settings and observations of an editor of outputs. */
typedef struct editing {
  int layer; /* set to `value`; −1: outputs are not changed */
  float value;
  int64_t samples; /* number of samples of this layer */
} editing_t;

static void edit(void *context, int layer, float *out, int64_t samples, es_shape_t shape) {
  editing_t *e = context;
  if (layer != (e->layer < 0 ? 0 : e->layer)) return;
  e->samples += samples;
  for (int64_t i = 0; i < samples * es_shape_size(shape); i++) out[i] = e->layer < 0 ? out[i] + 0.0f : e->value;
}

static es_loss_t evaluate(es_model_t *model, const es_editor_t *editor) {
  es_pass_t pass = make_pass(LARGEST, false, 0, NULL);
  es_loss_t loss;
  pass.editor = editor;
  es_model_forward(model, &pass, 0.0, &loss);
  return loss;
}

/* Layers read the changed outputs of earlier layers, in every slice and on every rank. */
static void check_editor(const network_t *network, es_precision_t precision) {
  es_group_t group;
  es_graph_t *graph = make_graph(network);
  es_model_t *model = make_model(graph, &group, precision);
  editing_t e = {.layer = -1};
  const es_editor_t editor = {edit, &e};
  const es_loss_t plain = evaluate(model, NULL), same = evaluate(model, &editor);
  CHECK(memcmp(&plain, &same, sizeof plain) == 0);
  int64_t seen = e.samples;
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &seen, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD));
  CHECK(seen == LARGEST);
  for (e.layer = 0; e.layer < graph->n_layers; e.layer++) {
    e.value = 0.5f;
    const es_loss_t half = evaluate(model, &editor);
    CHECK(isfinite(half.loss) && half.loss != plain.loss);
    if (e.layer < graph->n_layers - 1) continue;
    CHECK(fabs(half.loss - LARGEST * log(CLASSES)) < 1e-5 * LARGEST); /* all logits are equal */
  }
  const es_loss_t after = evaluate(model, NULL);
  CHECK(memcmp(&plain, &after, sizeof plain) == 0);
  es_model_destroy(model);
  es_graph_destroy(graph);
}

TEST(networks) {
  make_samples();
  static const network_t networks[] = {
      {{"odd", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 6, .items = {5, ES_ITEM_MAXPOOL, 7, ES_ITEM_AVGPOOL, 13, 13}}, {1, 1}},
      {{"torchvision", ES_FAMILY_VGG, ES_HEAD_TORCHVISION, 4, .items = {6, ES_ITEM_MAXPOOL, 17, ES_ITEM_MAXPOOL}},
       {1, 1}},
      {{"blocked", ES_FAMILY_VGG, ES_HEAD_AUTHORS, 3, .items = {32, ES_ITEM_MAXPOOL, 64}}, {1, 1}},
      {{"mlp", ES_FAMILY_MLP, ES_HEAD_AUTHORS, 2, .items = {10, 7}}, {1, 1}},
      {{"plain", ES_FAMILY_VGG, ES_HEAD_TORCHVISION, 3, .items = {9, ES_ITEM_MAXPOOL, 10},
        .batch_norm = ES_PART_LEFT_OUT},
       {1, 1}},
      {{"basic", ES_FAMILY_RESNET, ES_HEAD_AUTHORS, 3, .items = {2, 1, 1}}, {1, 10}},
      {{"bottleneck", ES_FAMILY_RESNET_BOTTLENECK, ES_HEAD_AUTHORS, 2, .items = {1, 2}, .stem = ES_STEM_IMAGENET},
       {1, 8}},
      {{"chain", ES_FAMILY_RESNET, ES_HEAD_AUTHORS, 2, .items = {1, 1}, .skip = ES_PART_LEFT_OUT}, {1, 10}},
      {{"mobile", ES_FAMILY_MOBILENET, ES_HEAD_AUTHORS, 8, .items = {1, 16, 1, 1, 6, 24, 2, 2}}, {1, 8}},
  };
  for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
    for (es_precision_t p = ES_FLOAT32; p < ES_PRECISIONS; p++) {
      for (int lanes = size; lanes <= LANES_MOST; lanes *= 2) {
        if (p == ES_FLOAT32 || lanes == 8) check_network(&networks[i], lanes, p); /* one number of lanes saves time */
      }
      check_agreement(&networks[i], p);
      check_editor(&networks[i], p);
    }
  }
}
