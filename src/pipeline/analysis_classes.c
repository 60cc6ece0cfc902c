/* Classes (measure.classes): neural collapse, and the accuracy of the nearest class mean, in each measured layer, from
 * sums over the samples of each class that the pass over the rows takes. NC3 and NC4 compare the classifier with the
 * features that it reads, and are numbers of the last hidden layer.
 *
 * The nearest class mean is known only after the pass, so the features of the samples are kept until then, as floats
 * unless the layer is double. Layers whose features need more than KEPT_MOST bytes on all ranks together, counted over
 * the layers in order, have no such accuracy. This depends on the number of samples, but not on the number of ranks. */
#include "analysis.h"
#include "eigenscope/capture.h"
#include "eigenscope/classes.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/train.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const int64_t KEPT_MOST = (int64_t)2 << 30;
static const char STAGE[] = "classes";

/* Sums and features of a layer, or of the features that the classifier reads. */
typedef struct es_class_layer {
  es_class_sums_t sums;
  bool is_double;
  void *kept;   /* (room, width) features of this rank's samples */
  int64_t room; /* samples for which there is room */
  bool filled;  /* the features are those of the current pass */
} es_class_layer_t;

typedef struct es_classes_analysis {
  es_context_t *context;
  es_point_source_t *source;
  bool given;               /* the source gives class means, so there are no samples */
  int n, head;              /* measured layers; index behind them of the features that the classifier reads, or −1 */
  int shown;                /* captured layer of `head` */
  es_class_layer_t *layers; /* (n + 1) */
  double *features, *scratch; /* one slice: features that are not kept, and rows of the method; float or double */
  double *numbers;            /* (n, ES_CLASS_NUMBERS) of the split */
  /* Samples of this rank in the pass, lane after lane. */
  bool began;
  int n_kept; /* layers 0 … n_kept−1 keep their features */
  bool head_kept;
  int32_t *labels; /* owned */
  int64_t *lane_start, *lane_count, local;
  bool warned;
  es_status_t failed; /* first failure of a rider */
  es_owned_t owned;
} es_classes_analysis_t;

static int32_t classes_of(const es_classes_analysis_t *a) {
  return a->source->classes;
}

static const es_graph_t *graph_of(const es_classes_analysis_t *a) {
  return a->source->network;
}

/* ---- opening ---- */

static void close_analysis(void *state) {
  es_classes_analysis_t *a = state;
  for (int i = 0; a->layers && i <= a->n; i++) {
    es_class_sums_destroy(&a->layers[i].sums);
    es_free(a->layers[i].kept);
  }
  es_free(a->labels);
  es_owned_free(&a->owned);
  es_free(a);
}

static int64_t largest(int64_t a, int64_t b) {
  return a > b ? a : b;
}

static es_code_t create_layers(es_classes_analysis_t *a, es_status_t *status) {
  const es_context_t *c = a->context;
  const es_measure_settings_t *m = &c->point->measure;
  const es_source_passes_t *passes = a->source->class->passes;
  int64_t widest = 1, scratch = 1;
  for (int i = 0; i < a->n; i++) {
    const int32_t width = es_context_width(c, i);
    a->layers[i].is_double = passes->is_double && passes->is_double(a->source, i);
    widest = largest(widest, width);
    scratch = largest(scratch, es_method(m->method)->scratch(passes->shape(a->source, i), m->method_size));
    ES_TRY(es_class_sums_create(&a->layers[i].sums, &c->group, width, classes_of(a), status));
  }
  const int32_t features = graph_of(a) ? es_graph_features(graph_of(a)) : -1;
  if (features >= 0) {
    const int64_t width = es_shape_size(graph_of(a)->nodes[features].out);
    a->head = a->n;
    a->shown = graph_of(a)->nodes[features].layer;
    widest = largest(widest, width);
    ES_TRY(es_class_sums_create(&a->layers[a->n].sums, &c->group, (int32_t)width, classes_of(a), status));
  }
  a->features = es_owned_allocate(&a->owned, (size_t)(ES_SLICE_MAX * widest), sizeof *a->features);
  a->scratch = es_owned_allocate(&a->owned, (size_t)scratch, sizeof *a->scratch);
  return a->owned.failed ? es_out_of_memory(status, STAGE, "a slice of outputs") : ES_OK;
}

static void take(void *context, const es_ride_t *ride);

static es_code_t open_analysis(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  if (!es_result_has(c->result, ES_GROUP_CLASSES)) return ES_OK;
  const size_t n = (size_t)es_context_layers(c), lanes = (size_t)c->group.lane_count;
  es_classes_analysis_t *a = *state = es_allocate_zero(1, sizeof *a);
  if (!a) return es_out_of_memory(status, STAGE, "the class means of %zu layers", n);
  *a = (es_classes_analysis_t){.context = c, .source = source, .n = (int)n, .head = -1, .shown = -1};
  a->layers = es_owned_allocate_zero(&a->owned, n + 1, sizeof *a->layers);
  a->numbers = es_owned_allocate(&a->owned, n * ES_CLASS_NUMBERS, sizeof *a->numbers);
  a->lane_start = es_owned_allocate_zero(&a->owned, lanes, sizeof *a->lane_start);
  a->lane_count = es_owned_allocate_zero(&a->owned, lanes, sizeof *a->lane_count);
  a->given = source->class->passes->class_means != NULL;
  if (a->owned.failed) return es_out_of_memory(status, STAGE, "the class means of %zu layers", n);
  if (a->given) return ES_OK;
  es_source_add_rider(source, (es_rider_t){take, a});
  return create_layers(a, status);
}

/* ---- the pass over the rows ---- */

static size_t row_bytes(const es_class_layer_t *layer) {
  return (size_t)layer->sums.width * (layer->is_double ? sizeof(double) : sizeof(float));
}

static void drop(es_class_layer_t *layer) {
  es_free(layer->kept);
  layer->kept = NULL;
  layer->room = 0;
  layer->filled = false;
}

/* Discards what a pass has left. */
static void reset(es_classes_analysis_t *a) {
  for (int i = 0; i <= a->n; i++) {
    if (!a->given && (i < a->n || a->head >= 0)) es_class_sums_reset(&a->layers[i].sums);
    a->layers[i].filled = false;
  }
  es_free(a->labels);
  a->labels = NULL;
  a->began = a->head_kept = false;
  a->n_kept = 0;
  for (int lane = 0; lane < a->context->group.lane_count; lane++) a->lane_count[lane] = 0;
}

static es_code_t begin(void *state, ES_UNUSED int32_t epoch, ES_UNUSED es_status_t *status) {
  reset(state);
  return ES_OK;
}

/* Chooses the layers that keep their features: the classifier's first. */
static void choose_kept(es_classes_analysis_t *a, int64_t total) {
  int64_t left = KEPT_MOST / (total > 0 ? total : 1);
  if (a->head >= 0) {
    left -= (int64_t)row_bytes(&a->layers[a->head]);
    a->head_kept = left >= 0;
  }
  for (a->n_kept = 0; a->n_kept < a->n; a->n_kept++) {
    left -= (int64_t)row_bytes(&a->layers[a->n_kept]);
    if (left < 0) return;
  }
}

static void start_pass(es_classes_analysis_t *a, const es_ride_t *ride) {
  choose_kept(a, ride->total);
  a->local = ride->local;
  a->labels = es_allocate((size_t)ride->local, sizeof *a->labels);
  if (!a->labels) es_out_of_memory(&a->failed, STAGE, "%lld labels", (long long)ride->local);
  a->began = true;
}

/* Room for the features of samples from `at` on; NULL if out of memory. */
static void *room_of(es_classes_analysis_t *a, es_class_layer_t *layer, int64_t at) {
  if (layer->room < a->local) {
    drop(layer);
    layer->kept = es_allocate((size_t)a->local, row_bytes(layer));
    layer->room = layer->kept ? a->local : 0;
  }
  layer->filled = true;
  if (layer->kept) return (char *)layer->kept + (size_t)at * row_bytes(layer);
  es_out_of_memory(&a->failed, STAGE, "the features of %lld samples", (long long)a->local);
  return NULL;
}

/* Takes the samples of a slice whose rows are known. Features that are kept are added when all are there, because the
 * sums of all lanes and layers do not fit into the cache. */
static void add(es_classes_analysis_t *a, int index, const es_ride_t *ride, const void *rows, int64_t positions) {
  es_class_layer_t *layer = &a->layers[index];
  const es_class_rows_t samples = {.rows = rows, .is_double = ride->is_double, .n = ride->n, .positions = positions};
  const bool keeps = index == a->head ? a->head_kept : index < a->n_kept;
  void *features = keeps ? room_of(a, layer, ride->at) : a->features;
  if (!features) return;
  es_class_sums_means(&layer->sums, ride->lane, features, &samples);
  if (!keeps) es_class_sums_add(&layer->sums, ride->lane, features, ride->is_double, ride->n, ride->labels);
}

static void add_kept(const es_classes_analysis_t *a, es_class_layer_t *layer) {
  for (int lane = 0; layer->filled && lane < a->context->group.lane_count; lane++)
    es_class_sums_add(&layer->sums, lane, (char *)layer->kept + (size_t)a->lane_start[lane] * row_bytes(layer),
                      layer->is_double, a->lane_count[lane], a->labels + a->lane_start[lane]);
}

static const es_method_t *method_of(const es_classes_analysis_t *a, const es_ride_t *ride) {
  const es_graph_t *g = graph_of(a);
  const es_method_kind_t kind = a->context->point->measure.method;
  return g ? es_method_of(kind, &g->nodes[g->layers[ride->shown]]) : es_method(kind);
}

static void take_slice(es_classes_analysis_t *a, const es_ride_t *ride) {
  const int32_t size = a->context->point->measure.method_size;
  const es_method_t *method = method_of(a, ride);
  if (a->head >= 0 && ride->shown == a->shown) add(a, a->head, ride, ride->out, 1);
  if (ride->layer < 0) return;
  const void *rows = ride->rows;
  if (!rows && ride->is_double)
    rows = method->rows_f64(ride->out, ride->n, ride->shape, size, a->scratch);
  else if (!rows)
    rows = method->rows(ride->out, ride->n, ride->shape, size, (float *)a->scratch);
  add(a, ride->layer, ride, rows, method->positions(ride->shape, size));
}

static void take(void *context, const es_ride_t *ride) {
  es_classes_analysis_t *a = context;
  if (!a->began) start_pass(a, ride);
  if (a->failed.code != ES_OK) return;
  const size_t size = (size_t)es_shape_size(ride->shape) * (ride->is_double ? sizeof(double) : sizeof(float));
  if (a->lane_count[ride->lane] == 0) a->lane_start[ride->lane] = ride->at;
  a->lane_count[ride->lane] = largest(a->lane_count[ride->lane], ride->at + ride->n - a->lane_start[ride->lane]);
  memcpy(a->labels + ride->at, ride->labels, (size_t)ride->n * sizeof *a->labels);
  es_ride_t slice = *ride;
  for (int64_t done = 0; done < ride->n && a->failed.code == ES_OK; done += slice.n) {
    slice.n = ride->n - done < ES_SLICE_MAX ? ride->n - done : ES_SLICE_MAX;
    slice.at = ride->at + done;
    slice.out = (const char *)ride->out + (size_t)done * size;
    if (slice.n < ride->n) slice.rows = NULL;
    slice.labels = ride->labels + done;
    take_slice(a, &slice);
  }
}

/* ---- one layer ---- */

/* Labels of all samples in the order of the lanes, as numbers; NULL if out of memory, on all ranks. Collective. The
 * caller frees them. */
static double *share_labels(const es_classes_analysis_t *a, int64_t total, es_status_t *status) {
  const es_group_t *group = &a->context->group;
  const size_t lanes = (size_t)group->lanes;
  double *counts = es_allocate_zero(lanes, sizeof *counts), *out = es_allocate_zero((size_t)total, sizeof *out);
  if (!counts || !out) es_out_of_memory(status, STAGE, "the labels of %lld samples", (long long)total);
  if (es_group_agree(group, status) == ES_OK) {
    for (int lane = 0; lane < group->lane_count; lane++) counts[group->lane_first + lane] = (double)a->lane_count[lane];
    if (group->size > 1) es_group_allreduce_f64(group, counts, lanes);
    int64_t at = 0;
    for (int lane = 0; lane < group->lanes; at += (int64_t)counts[lane++]) {
      const int own = lane - group->lane_first;
      for (int64_t i = 0; own >= 0 && own < group->lane_count && i < a->lane_count[own]; i++)
        out[at + i] = a->labels[a->lane_start[own] + i];
    }
    if (group->size > 1) es_group_allreduce_f64(group, out, (size_t)total);
  }
  es_free(counts);
  if (status->code == ES_OK) return out;
  es_free(out);
  return NULL;
}

/* Computes the variances along the axes on the owner. Collective. */
static es_code_t project(const es_classes_analysis_t *a, const es_merged_t *merged, const es_class_means_t *means,
                         const es_class_axes_t *axes, double *variances, es_status_t *status) {
  const es_group_t *group = &a->context->group;
  const es_reduced_t *r = merged->reduced;
  const bool owns = merged->owner == group->rank;
  if (r->gram) {
    double *labels = share_labels(a, means->n, status);
    if (labels && owns)
      es_class_variances_gram(variances, axes, means, r->triangle, labels, r->rows / means->n, status);
    es_free(labels);
  } else if (r->blocks) {
    es_class_variances_blocks(variances, axes, r->blocks, status);
  } else if (owns) {
    es_class_variances(variances, axes, means->width, r->triangle, status);
  }
  ES_TRY(es_group_agree(group, status));
  if (r->blocks && group->size > 1) es_group_allreduce_f64(group, variances, (size_t)axes->rank);
  return ES_OK;
}

/* Calls `count` for the kept samples of each lane, and adds up its results; NAN unless all samples are kept.
 * Collective. */
typedef int64_t (*es_class_count_t)(const es_classes_analysis_t *a, const es_class_means_t *means,
                                    const es_class_samples_t *samples, double *room);

static es_code_t count_share(const es_classes_analysis_t *a, int index, const es_class_means_t *means,
                             es_class_count_t count, double *share, es_status_t *status) {
  const es_group_t *group = &a->context->group;
  const es_class_layer_t *layer = &a->layers[index];
  double sums[2] = {0.0, 0.0}, *room = es_allocate(es_class_room(means->width, means->classes), sizeof *room);
  if (!room) es_out_of_memory(status, STAGE, "the means of %d classes", means->classes);
  ES_TRY(es_group_agree(group, status));
  for (int lane = 0; layer->filled && lane < group->lane_count; lane++) {
    const es_class_samples_t samples = {.features =
                                            (const char *)layer->kept + (size_t)a->lane_start[lane] * row_bytes(layer),
                                        .is_double = layer->is_double,
                                        .shift = layer->sums.shift + (size_t)lane * (size_t)means->width,
                                        .n = a->lane_count[lane],
                                        .labels = a->labels + a->lane_start[lane]};
    sums[0] += (double)samples.n;
    sums[1] += samples.n > 0 ? (double)count(a, means, &samples, room) : 0.0;
  }
  es_free(room);
  if (group->size > 1) es_group_allreduce_f64(group, sums, 2);
  *share = means->n > 0 && (int64_t)sums[0] == means->n ? sums[1] / sums[0] : (double)NAN;
  return ES_OK;
}

static int64_t count_correct(ES_UNUSED const es_classes_analysis_t *a, const es_class_means_t *means,
                             const es_class_samples_t *samples, double *room) {
  return es_class_correct(means, samples, room);
}

static es_code_t measure_layer(es_classes_analysis_t *a, const es_merged_t *merged, const es_class_means_t *means,
                               double *numbers, es_status_t *status) {
  const es_group_t *group = &a->context->group;
  es_class_axes_t axes;
  double share = NAN, *variances = NULL;
  for (int i = 0; i < ES_CLASS_NUMBERS; i++) numbers[i] = merged->owner == group->rank ? (double)NAN : 0.0;
  /* Rows without a class are in Σ_T, but not in Σ_B. */
  if (!merged->reduced->finite || means->n == 0 || (a->given && means->n != merged->reduced->rows)) return ES_OK;
  if (es_class_axes_create(&axes, means, merged->reduced->exponent, status) == ES_OK) {
    variances = es_allocate((size_t)axes.rank, sizeof *variances);
    if (!variances) es_out_of_memory(status, STAGE, "%d axes", axes.rank);
  }
  es_code_t code = es_group_agree(group, status);
  if (code == ES_OK) code = project(a, merged, means, &axes, variances, status);
  if (code == ES_OK && !a->given) code = count_share(a, merged->layer, means, count_correct, &share, status);
  if (code == ES_OK && merged->owner == group->rank) {
    es_class_measure(numbers, means, &axes, variances, status);
    numbers[ES_CLASS_CLASS_CENTER_ACCURACY] = share;
  }
  es_class_axes_destroy(&axes);
  es_free(variances);
  return es_group_agree(group, status);
}

static es_code_t receive_rows(void *state, const es_merged_t *merged, es_status_t *status) {
  es_classes_analysis_t *a = state;
  es_class_means_t means;
  const double start = es_clock();
  if (a->failed.code != ES_OK) *status = a->failed;
  ES_TRY(es_group_agree(&a->context->group, status));
  if (a->given) {
    ES_TRY(a->source->class->passes->class_means(a->source, merged->layer, &means, status));
  } else {
    add_kept(a, &a->layers[merged->layer]);
    ES_TRY(es_class_sums_reduce(&means, &a->layers[merged->layer].sums, status));
  }
  const es_code_t code = measure_layer(a, merged, &means, a->numbers + merged->layer * ES_CLASS_NUMBERS, status);
  es_class_means_destroy(&means);
  if (!graph_of(a) && !a->given) drop(&a->layers[merged->layer]); /* else the next pass fills it again */
  es_timing_charge(&a->context->timing, ES_STAGE_REDUCE, start);
  return code;
}

/* ---- the classifier ---- */

/* Reads the classifier, with features in the order of an output. *weights (classes, features) is owned by the caller.
 */
static es_code_t load_classifier(es_class_classifier_t *out, float **weights, const es_classes_analysis_t *a,
                                 es_status_t *status) {
  const es_graph_t *g = graph_of(a);
  const es_node_t *node = &g->nodes[es_graph_output(g)];
  const es_shape_t in = g->nodes[node->input].out;
  const float *parameters = es_model_parameters(es_trainer_model(a->source->runner));
  const float *from = parameters + g->parameters[node->weight].offset;
  const int64_t positions = (int64_t)in.h * in.w, width = es_shape_size(in);
  out->bias = node->bias >= 0 ? parameters + g->parameters[node->bias].offset : NULL;
  out->weights = *weights = es_allocate((size_t)classes_of(a), (size_t)width * sizeof **weights);
  if (!*weights) return es_out_of_memory(status, STAGE, "the weights of the classifier");
  for (int32_t k = 0; k < classes_of(a); k++, from += width)
    for (int64_t i = 0; i < width; i++) (*weights)[k * width + i] = from[i % in.c * positions + i / in.c];
  return ES_OK;
}

static int64_t count_mismatches(const es_classes_analysis_t *a, const es_class_means_t *means,
                                const es_class_samples_t *samples, double *room) {
  es_class_classifier_t classifier;
  float *weights;
  es_status_t own = {0};
  if (load_classifier(&classifier, &weights, a, &own) != ES_OK) return -1;
  const int64_t n = es_class_mismatches(means, samples, &classifier, room);
  es_free(weights);
  return n;
}

/* NC3 and NC4, alike on all ranks. Collective. */
static es_code_t measure_classifier(es_classes_analysis_t *a, double numbers[2], es_status_t *status) {
  es_class_classifier_t classifier;
  es_class_means_t means;
  float *weights;
  add_kept(a, &a->layers[a->head]);
  ES_TRY(es_class_sums_reduce(&means, &a->layers[a->head].sums, status));
  load_classifier(&classifier, &weights, a, status);
  if (es_group_agree(&a->context->group, status) == ES_OK) {
    numbers[0] = es_class_duality(&means, weights);
    count_share(a, a->head, &means, count_mismatches, &numbers[1], status);
    if (means.present < 2) numbers[1] = NAN;
  }
  es_free(weights);
  es_class_means_destroy(&means);
  return status->code;
}

/* ---- splits ---- */

/* The last measured layer before the output; −1 if there is none. */
static int last_hidden(const es_classes_analysis_t *a) {
  int i = a->n - 1;
  while (i >= 0 && es_result_layer(a->context->result, i)->output) i--;
  return i;
}

static void store(const es_classes_analysis_t *a, es_split_t split, int32_t epoch) {
  for (int i = 0; i < a->n; i++) {
    for (int k = 0; k < ES_CLASS_NUMBERS; k++)
      *es_result_f64(a->context->result, es_field_of_class_number((es_class_number_t)k), split, epoch, i, 0) =
          a->numbers[i * ES_CLASS_NUMBERS + k];
  }
}

static void warn(es_classes_analysis_t *a) {
  char text[320];
  if (a->warned || !a->began || a->n_kept == a->n) return;
  a->warned = true;
  snprintf(
      text, sizeof text,
      "measure.classes: layer %s and later ones have no class_center_accuracy, because the features of all samples "
      "need more than 2 GiB; choose fewer layers with measure.layers, or a method with fewer columns",
      es_result_layer(a->context->result, a->n_kept)->name);
  es_context_warn(a->context, text);
}

static es_code_t measure_split(void *state, es_split_t split, int32_t epoch, es_status_t *status) {
  es_classes_analysis_t *a = state;
  const es_group_t *group = &a->context->group;
  const double start = es_clock();
  double classifier[2] = {NAN, NAN};
  if (group->size > 1) es_group_allreduce_f64(group, a->numbers, (size_t)a->n * ES_CLASS_NUMBERS);
  if (a->head >= 0) ES_TRY(measure_classifier(a, classifier, status));
  if (last_hidden(a) >= 0) {
    a->numbers[last_hidden(a) * ES_CLASS_NUMBERS + ES_CLASS_NC3] = classifier[0];
    a->numbers[last_hidden(a) * ES_CLASS_NUMBERS + ES_CLASS_NC4] = classifier[1];
  }
  if (es_context_is_leader(a->context)) store(a, split, epoch);
  warn(a);
  reset(a);
  es_timing_charge(&a->context->timing, ES_STAGE_REDUCE, start);
  return ES_OK;
}

/* ---- forecasts ---- */

static bool is_asked(const es_forecast_t *f) {
  return f->point->measure.classes == ES_ON && f->classes > 0;
}

/* Sums of the lanes, kept features, and the product of one layer. */
static int64_t bytes(const es_forecast_t *f, int ranks) {
  int64_t sums = 0, row = 0, widest = 0;
  if (!is_asked(f)) return 0;
  for (int i = 0; i < f->n_layers; i++) {
    const int32_t width = f->layers[i].rows.width;
    sums += es_class_sums_bytes(width, f->classes, f->point->train.lanes) / ranks;
    row += width * (f->layers[i].is_double ? 8 : 4);
    widest = largest(widest, width);
  }
  if (f->point->source == ES_SOURCE_MOMENTS) return 8 * widest * (4 * (int64_t)f->classes + 64);
  const int64_t samples = largest(f->samples[ES_TRAIN], f->samples[ES_EVAL]);
  const int64_t kept = row > 0 && samples > KEPT_MOST / row ? KEPT_MOST : samples * row;
  return sums + kept / ranks + 8 * widest * (3 * (int64_t)f->classes + 64);
}

extern const es_analysis_t es_analysis_classes;
const es_analysis_t es_analysis_classes = {.bytes = bytes,
                                           .open = open_analysis,
                                           .begin = begin,
                                           .reduced = receive_rows,
                                           .split = measure_split,
                                           .close = close_analysis};
