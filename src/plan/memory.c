#include "eigenscope/capture.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/graph.h"
#include "eigenscope/model.h"
#include "eigenscope/plan.h"
#include "eigenscope/probe.h"
#include "eigenscope/spectrum.h"
#include <stdint.h>
#include <string.h>

/* What a process with MPI, HDF5, OpenBLAS and oneDNN takes before it has data: measured, Debian 12. Kernels that oneDNN
 * writes come on top, for each convolution. */
static const int64_t process_bytes = 40 << 20, kernel_bytes = 400 << 10;
/* Of a layer at the largest delta, where nothing is known yet. */
static const double EXPECTED_SATURATION = 0.5;

/* Columns of the measured layers. */
typedef struct measured {
  int n;
  int32_t widths[ES_GRAPH_LAYERS_MAX], widest;
  double squares; /* Σ width² */
} measured_t;

static void find_measured(const es_point_t *point, const es_graph_t *graph, measured_t *out) {
  int32_t chosen[ES_GRAPH_LAYERS_MAX];
  *out = (measured_t){.n = es_capture_select(graph, &point->measure, chosen), .widest = 1};
  for (int i = 0; i < out->n; i++) {
    const es_shape_t shape = graph->nodes[graph->layers[chosen[i]]].out;
    const int32_t width = out->widths[i] = es_method(point->measure.method)->width(shape, point->measure.method_size);
    out->squares += (double)width * width;
    out->widest = width > out->widest ? width : out->widest;
  }
}

/* Results, and the images of files under way: a state (weights, momenta, results) or a result file. Eigenvectors that
 * are stored are in the result, those that are followed in a state. */
static int64_t store_bytes(const es_point_t *point, const es_graph_t *graph, const measured_t *layers, int64_t spaces) {
  const es_measure_settings_t *m = &point->measure;
  const bool trained = point->source == ES_SOURCE_TRAIN;
  const int64_t epochs = trained ? point->train.epochs + 1 : es_external_epochs(&point->external);
  const int64_t numbers = m->eigenspace != ES_EIGENSPACE_NO ? 3 : 1;
  int64_t results = ES_SPLITS * epochs * layers->n * (8 * numbers * layers->widest + m->n_deltas * 12 + 64);
  if (m->eigenspace == ES_EIGENSPACE_STORE) results += ES_SPLITS * epochs * (int64_t)(4 * layers->squares);
  const int64_t vectors = !trained ? 1 : point->train.optimizer == ES_ADAM ? 3 : 2;
  const int64_t weights = 4 * (graph->parameter_count * vectors + graph->buffer_count);
  return results + results + weights + spaces;
}

/* Passes of a point that are measured, of both splits. */
static int64_t measured_passes(const es_point_t *point) {
  const int32_t epochs = point->train.epochs, every = point->measure.every;
  const bool trained = point->source == ES_SOURCE_TRAIN, *splits = point->measure.splits;
  const int64_t each = trained ? epochs / every + (epochs % every != 0) : es_external_epochs(&point->external);
  return (splits[ES_TRAIN] ? each : 0) + (splits[ES_EVAL] ? each + trained : 0);
}

/* Eigenvectors of all measured epochs, as the leader of a group keeps them, if they are followed. */
static int64_t spaces_bytes(const es_point_t *point, const measured_t *layers, int ranks) {
  const es_eigenspaces_plan_t plan = {.widths = layers->widths,
                                      .n_layers = layers->n,
                                      .measured = measured_passes(point),
                                      .share = EXPECTED_SATURATION,
                                      .ranks = ranks};
  return point->measure.eigenspace != ES_EIGENSPACE_NO ? es_eigenspaces_bytes(&plan) : 0;
}

/* Merged covariances while a split is measured: one on its way, and those that the rank solves itself, with their
 * leading eigenvectors where those are asked for. */
static int64_t measure_bytes(const es_point_t *point, const measured_t *layers, int ranks) {
  const bool vectors = es_measure_vectors(&point->measure);
  int64_t bytes = 0, held = 0;
  for (int i = 0; i < layers->n; i++) {
    const int32_t width = layers->widths[i];
    const bool whole = es_accumulator_strategy(width, INT64_MAX) == ES_STRATEGY_LANES;
    if (whole) bytes += 8 * (int64_t)es_cov_moments_size(width);
    if (whole && 16 * (int64_t)es_cov_moments_size(width) > held) held = 16 * (int64_t)es_cov_moments_size(width);
    if (es_spectrum_bytes(width, ranks, vectors) > held) held = es_spectrum_bytes(width, ranks, vectors);
    if (vectors) bytes += (int64_t)(8 * EXPECTED_SATURATION * width) * width;
  }
  if (point->measure.projection) held += es_projector_bytes(layers->widths, layers->n, EXPECTED_SATURATION);
  return bytes / ranks + held;
}

/* Probes: the features of a round on the busiest rank, and the fit of the widest layer. Lanes differ by a sample or
 * two. */
static int64_t probe_bytes(const es_point_t *point, const es_graph_t *graph, int64_t samples, int ranks) {
  const int lanes = point->train.lanes;
  const es_group_t group = {.size = ranks, .lanes = lanes, .lane_count = lanes / ranks};
  int32_t chosen[2048], widest = 1;
  int64_t all = 0, round = (int64_t)point->probe.memory << 20;
  if (point->probe.epochs.kind == ES_EPOCHS_NONE) return 0;
  if (point->probe.samples > 0 && point->probe.samples < samples) samples = point->probe.samples;
  for (int i = 0, n = es_capture_select(graph, &point->measure, chosen); i < n; i++) {
    const es_shape_t shape = graph->nodes[graph->layers[chosen[i]]].out;
    const int32_t width = es_probe_width(shape.h, shape.w, shape.c, point->probe.pool);
    all += width;
    widest = width > widest ? width : widest;
  }
  const int64_t rows = (samples + ranks - 1) / ranks;
  const es_probe_problem_t problem = {.n = samples, .width = widest, .classes = point->classes};
  if (round < 4 * rows * widest) round = 4 * rows * widest;
  return (4 * rows * all < round ? 4 * rows * all : round) + es_probe_bytes(&problem, &group);
}

es_code_t es_memory_predict(es_memory_need_t *out, const es_point_t *point, const es_dataset_info_t *info, int ranks,
                            es_status_t *status) {
  es_graph_t *graph;
  ES_TRY(es_graph_create(&graph, point, status));
  measured_t layers;
  find_measured(point, graph, &layers);
  const int64_t spaces = spaces_bytes(point, &layers, ranks);
  const int64_t samples = es_point_samples(point, info, ES_TRAIN) + es_point_samples(point, info, ES_EVAL);
  const int64_t most_samples = es_point_samples(point, info, ES_TRAIN);
  const bool trained = point->source == ES_SOURCE_TRAIN;
  int64_t rank = process_bytes + kernel_bytes * graph->n_layers;
  const int64_t model = es_model_bytes(graph, point->train.batch, point->train.lanes, ranks, trained);
  rank += model;
  if (trained) rank += 4 * graph->parameter_count * (point->train.optimizer == ES_ADAM ? 2 : 1);
  const int64_t capture = es_capture_bytes(graph, &point->measure, most_samples, point->train.lanes, ranks);
  rank += capture;
  rank += measure_bytes(point, &layers, ranks);
  rank += store_bytes(point, graph, &layers, spaces) + spaces;
  rank += probe_bytes(point, graph, most_samples, ranks);
  rank += 12 * samples;
  es_graph_destroy(graph);
  const int64_t image = (int64_t)point->resolution * point->resolution * info->channels;
  if (model == 0 || capture == 0) return es_out_of_memory(status, "memory", "the prediction of memory");
  *out = (es_memory_need_t){rank, (info->count[ES_TRAIN] + info->count[ES_EVAL]) * (image + 2)};
  return ES_OK;
}

/* The point without what changes no prediction: points whose keys have the same bytes need the same. */
static void make_key(es_point_t *out, const es_point_t *point) {
  *out = *point;
  out->seed = 0;
  out->n_axes = 0;
  memset(out->axes, 0, sizeof out->axes);
  es_train_settings_t *t = &out->train;
  t->learning_rate = t->momentum = t->weight_decay = t->schedule_gamma = 0.0;
}

es_code_t es_memory_predict_next(es_memory_prediction_t *p, const es_point_t *point, const es_dataset_info_t *info,
                                 int ranks, es_status_t *status) {
  es_point_t key;
  make_key(&key, point);
  /* Where padding differs it is computed again.
   * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
  if (p->ranks == ranks && memcmp(&key, &p->key, sizeof key) == 0) return ES_OK;
  p->ranks = 0;
  ES_TRY(es_memory_predict(&p->need, point, info, ranks, status));
  p->key = key;
  p->ranks = ranks;
  return ES_OK;
}

int es_memory_fit(const es_point_t *point, const es_dataset_info_t *info, int ranks, int64_t available) {
  for (; ranks <= point->train.lanes; ranks *= 2) {
    es_memory_need_t need = {0};
    if (es_memory_predict(&need, point, info, ranks, &(es_status_t){0}) != ES_OK) return -1;
    if (0.8 * (double)need.rank <= (double)available) return ranks;
  }
  return 0;
}
