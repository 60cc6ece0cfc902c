#include "source_network.h"
#include "eigenscope/clock.h"
#include "eigenscope/epochs.h"
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include "eigenscope/random.h"
#include "eigenscope/scores.h"
#include "measure.h"
#include "source_other.h"
#include "stepper.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- opening a point ---- */

static es_code_t create_result(es_network_source_t *s, es_status_t *status) {
  es_context_t *c = s->base.context;
  const es_graph_t *graph = s->graph;
  const int n = es_capture_n_layers(s->capture), border = es_graph_border(graph), output = es_graph_output(graph);
  es_layer_info_t *layers = es_allocate_zero((size_t)n, sizeof *layers);
  if (!layers) return es_out_of_memory(status, "pipeline", "the result");
  for (int i = 0; i < n; i++) {
    const es_node_t *node = es_capture_node(s->capture, i);
    const int32_t at = (int32_t)(node - graph->nodes);
    const bool is_map = node->op == ES_OP_CONV || (!es_node_is_layer(node) && !node->tokens && node->out.h > 1);
    layers[i] = (es_layer_info_t){.width = es_capture_width(s->capture, i),
                                  .parameters = es_graph_parameters(graph, node),
                                  .macs = node->macs,
                                  .receptive_field = node->receptive_field,
                                  .stride = is_map ? node->jump : -1,
                                  .border = at == border,
                                  .output = at >= output};
    memcpy(layers[i].name, node->name, sizeof layers[i].name);
    snprintf(layers[i].kind, sizeof layers[i].kind, "%s", es_layer_kind_words[node->kind]);
  }
  s->base.network = graph;
  es_source_create_result(&s->base, layers, n, c->point->classes, status);
  es_free(layers);
  return status->code;
}

static const es_other_runner_t runner;

/* Steps that each rank takes alone; the caller then calls es_agree. */
static es_code_t open_locally(es_network_source_t *s, const es_dataset_t *dataset, es_status_t *status) {
  const es_context_t *c = s->base.context;
  for (int split = 0; split < ES_SPLITS; split++)
    ES_TRY(es_samples_select(&s->samples[split], dataset, c->point, (es_split_t)split, status));
  ES_TRY(es_other_sources_create(&s->base, &runner, status));
  ES_TRY(es_graph_create(&s->graph, c->point, status));
  ES_TRY(es_capture_create(&s->capture, s->graph, &c->point->measure, &c->group, status));
  s->active = s->capture;
  ES_TRY(es_stepper_create(&s->stepper, s, status));
  return create_result(s, status);
}

/* Describes the network in words ("vgg11, width 1/8, ...") for files of weights. */
static void describe_network(const es_point_t *p, char *out, size_t size) {
  size_t length = (size_t)snprintf(out, size, "%s", p->model.name);
  for (int i = 0; i < p->n_axes && length < size; i++) {
    if (strcmp(p->axes[i].name, "model") != 0)
      length += (size_t)snprintf(out + length, size - length, ", %s %s", p->axes[i].name, p->axes[i].text);
  }
}

/* States in bfloat16 also depend on the kernels of that precision, and on who rounds. */
static void name_engine(es_network_source_t *s) {
  const es_context_t *c = s->base.context;
  const es_precision_t precision = c->point->train.precision;
  if (precision == ES_FLOAT32)
    snprintf(s->engine, sizeof s->engine, "%s", c->settings->engine);
  else
    snprintf(s->engine, sizeof s->engine, "%s; %s kernels %d%s", c->settings->engine, es_precision_words[precision],
             ES_MODEL_KERNELS_BFLOAT16, es_model_emulates(precision) ? ", emulated" : "");
}

static es_code_t exchange_rows(void *context, es_status_t *status) {
  es_network_source_t *s = context;
  return s->capturing ? es_capture_exchange(s->active, status) : ES_OK;
}

static void finish_gradients(void *context) {
  const es_network_source_t *s = context;
  if (s->base.after_backward) s->base.after_backward(s->base.after_backward_context);
}

es_code_t es_network_source_open(es_network_source_t *s, es_context_t *c, const es_dataset_t *dataset, bool trains,
                                 es_status_t *status) {
  s->base.context = c;
  s->trains = trains;
  es_point_training_id(c->point, s->training);
  describe_network(c->point, s->description, sizeof s->description);
  name_engine(s);
  ES_TRY(es_group_create(&c->group, c->settings->comm, c->point->train.lanes, status));
  c->group.traffic = &c->timing.traffic;
  c->group.watch = &c->settings->watch;
  open_locally(s, dataset, status);
  ES_TRY(es_agree(c->group.comm, status));
  es_other_sources_fingerprint(&s->base, dataset, s->data);
  int64_t others[ES_SPLITS * ES_PROBE_DATASETS_MAX];
  es_other_sources_count(&s->base, others);
  const es_trainer_setup_t setup = {.point = c->point,
                                    .graph = s->graph,
                                    .group = &c->group,
                                    .samples = {&s->samples[ES_TRAIN], &s->samples[ES_EVAL]},
                                    .others = others,
                                    .n_others = ES_SPLITS * s->base.n_others,
                                    .watch = c->settings->watch,
                                    .inference = !trains,
                                    .profile = c->settings->profile,
                                    .most_batches = c->settings->dry_run ? 1 : 0,
                                    .after_forward = exchange_rows,
                                    .after_backward = finish_gradients,
                                    .after_context = s,
                                    .after_step = s->stepper ? es_stepper_after : NULL,
                                    .step_context = s->stepper,
                                    .part = es_stepper_samples(s->stepper)};
  ES_TRY(es_trainer_create(&s->trainer, &setup, status));
  s->base.key = (es_state_key_t){.point_id = c->id,
                                 .fingerprint = s->data,
                                 .engine = s->engine,
                                 .training = s->training,
                                 .network = s->description};
  s->base.classes = c->point->classes;
  s->base.takes_rider = true;
  s->base.runner = s->trainer;
  s->base.graph = trains ? s->graph : NULL;
  s->base.trainer = trains ? s->trainer : NULL;
  s->base.normalize_mean = s->samples[ES_TRAIN].mean;
  s->base.normalize_deviation = s->samples[ES_TRAIN].deviation;
  s->base.dataset = dataset;
  return ES_OK;
}

void es_network_source_close(es_network_source_t *s) {
  es_trainer_destroy(s->trainer);
  es_stepper_destroy(s->stepper);
  es_capture_destroy(s->capture);
  es_graph_destroy(s->graph);
  es_other_sources_destroy(&s->base);
  for (int split = 0; split < ES_SPLITS; split++) es_samples_destroy(&s->samples[split]);
}

/* ---- riders ---- */

/* A pass that riders see. */
typedef struct ride {
  es_network_source_t *source;
  es_split_t split;
  const es_observer_t *inner; /* sees all outputs first */
  es_visit_samples_t samples; /* of the split, in the order of the pass */
  int32_t *labels;            /* of this rank's samples */
  int64_t *seen;              /* (captured layers, lanes) samples already shown */
} ride_t;

static void show_riders(void *context, int captured, int lane, const float *out, int64_t samples, es_shape_t shape) {
  ride_t *r = context;
  es_network_source_t *s = r->source;
  int64_t *seen = &r->seen[captured * s->base.context->group.lane_count + lane];
  const int64_t at = r->samples.lane_start[lane] + *seen;
  const int layer = es_capture_measured(s->capture, captured);
  r->inner->observe(r->inner->context, captured, lane, out, samples, shape);
  es_source_show(&s->base, &(es_ride_t){.split = r->split,
                                        .layer = layer,
                                        .shown = captured,
                                        .lane = lane,
                                        .at = at,
                                        .local = r->samples.lane_start[s->base.context->group.lane_count],
                                        .total = r->samples.n,
                                        .out = out,
                                        .rows = layer >= 0 ? es_capture_rows(s->capture) : NULL,
                                        .n = samples,
                                        .shape = shape,
                                        .labels = r->labels + at});
  *seen += samples;
}

static es_code_t list_samples(es_point_source_t *source, es_split_t split, int32_t epoch, es_visit_samples_t *out,
                              es_status_t *status);

/* Lists the samples of a pass over a split, and their labels. Not collective. */
static es_code_t open_ride(ride_t *r, int32_t epoch, es_status_t *status) {
  es_network_source_t *s = r->source;
  const es_context_t *c = s->base.context;
  const int lanes = c->group.lane_count;
  const es_samples_t *samples = &s->samples[r->split];
  es_owned_t *owned = &r->samples.owned;
  ES_TRY(list_samples(&s->base, r->split, epoch, &r->samples, status));
  const int64_t n = r->samples.lane_start[lanes];
  r->labels = es_owned_allocate(owned, (size_t)n, sizeof *r->labels);
  r->seen = es_owned_allocate_zero(owned, (size_t)s->graph->n_layers * (size_t)lanes, sizeof *r->seen);
  const bool trains = r->split == ES_TRAIN && s->trains;
  int32_t *order = es_allocate(trains ? (size_t)samples->n : 0, sizeof *order);
  if (owned->failed || !order) {
    es_free(order);
    return es_out_of_memory(status, "pipeline", "the labels of %lld samples", (long long)n);
  }
  if (trains) /* as es_trainer_epoch */
    es_random_permutation(c->point->seed, (uint64_t)es_result_epoch(c->result, epoch), samples->n, order);
  for (int64_t i = 0; i < n; i++) {
    const int32_t position = r->samples.position[i];
    r->labels[i] = samples->label[trains ? order[position] : position];
  }
  es_free(order);
  return ES_OK;
}

/* ---- measured passes ---- */

/* Counts of the classes, and of the eval split the whole confusion. */
static void store_classes(const es_network_source_t *s, es_split_t split, int32_t epoch) {
  es_result_t *r = s->base.context->result;
  const int64_t *counts = es_trainer_confusion(s->trainer), classes = s->base.classes;
  for (int64_t k = 0; k < classes; k++) {
    const int64_t at[ES_RANK_MAX] = {split, epoch, k};
    int64_t samples = 0, predictions = 0;
    for (int64_t j = 0; j < classes; j++) {
      samples += counts[k * classes + j];
      predictions += counts[j * classes + k];
    }
    *es_result_f64(r, ES_FIELD_RECALL, split, epoch, k, 0) =
        es_score(ES_SCORE_RECALL,
                 &(es_score_counts_t){.hits = counts[k * classes + k], .samples = samples, .predictions = predictions});
    *(int32_t *)es_result_at(r, ES_FIELD_CLASS_SAMPLES, at) = (int32_t)samples;
    *(int32_t *)es_result_at(r, ES_FIELD_CLASS_PREDICTIONS, at) = (int32_t)predictions;
  }
  if (split != ES_EVAL || !es_result_has(r, ES_GROUP_CONFUSION)) return;
  int32_t *confusion = es_result_at(r, ES_FIELD_CONFUSION, (const int64_t[ES_RANK_MAX]){epoch});
  for (int64_t i = 0; i < classes * classes; i++) confusion[i] = (int32_t)counts[i];
}

static void store_stats(const es_network_source_t *s, es_split_t split, int32_t epoch, const es_epoch_stats_t *stats) {
  es_result_t *r = s->base.context->result;
  *es_result_f64(r, ES_FIELD_LOSS, split, epoch, 0, 0) = stats->loss;
  *es_result_f64(r, ES_FIELD_ACCURACY, split, epoch, 0, 0) = stats->accuracy;
  *es_result_f64(r, ES_FIELD_TOP5_ACCURACY, split, epoch, 0, 0) = stats->top5_accuracy;
  *es_result_f64(r, ES_FIELD_MCC, split, epoch, 0, 0) = stats->mcc;
  if (s->trains && split == ES_TRAIN) *es_result_f64(r, ES_FIELD_LEARNING_RATE, epoch, 0, 0, 0) = stats->learning_rate;
  if (!es_result_has(r, ES_GROUP_RECALL)) return;
  store_classes(s, split, epoch);
}

/* Returns the number of samples of a pass over a set; a dry run uses one batch. */
static int64_t pass_samples(const es_network_source_t *s, const es_samples_t *samples) {
  const es_context_t *c = s->base.context;
  const int64_t n = samples->n, batch = c->point->train.batch;
  return c->settings->dry_run && n > batch ? batch : n;
}

/* State of a visit. */
typedef struct visit {
  const es_network_source_t *source;
  const es_visitor_t *visitor;
  int first, n;
  int64_t *seen;                 /* (n, lane_count) samples already shown */
  const es_observer_t *observer; /* sees all outputs, too; or NULL */
} visit_t;

static void observe(void *context, int captured, int lane, const float *out, int64_t samples, es_shape_t shape) {
  visit_t *v = context;
  const int layer = es_capture_measured(v->source->capture, captured);
  if (v->observer) v->observer->observe(v->observer->context, captured, lane, out, samples, shape);
  if (layer < v->first || layer >= v->first + v->n) return;
  int64_t *seen = &v->seen[(layer - v->first) * v->source->base.context->group.lane_count + lane];
  v->visitor->visit(v->visitor->context, layer, v->visitor->samples->lane_start[lane] + *seen, out, samples, shape);
  *seen += samples;
}

/* Evaluates a split, or runs samples of another dataset, while a visitor sees the outputs of layers first … first+n−1.
 */
static es_code_t evaluate_split(es_network_source_t *s, es_split_t split, const es_samples_t *other, int32_t number,
                                visit_t *v, es_epoch_stats_t *stats, es_status_t *status) {
  const es_group_t *group = &s->base.context->group;
  v->source = s;
  v->seen = es_allocate_zero((size_t)v->n * (size_t)group->lane_count, sizeof *v->seen);
  if (!v->seen) es_out_of_memory(status, "probe", "a pass over %d layers", v->n);
  es_code_t code = es_agree(group->comm, status);
  const es_observer_t observer = {observe, v};
  if (code == ES_OK)
    code = other ? es_trainer_show(s->trainer, other, number, &observer, status)
                 : es_trainer_evaluate(s->trainer, split, number, &observer, stats, status);
  es_free(v->seen);
  return code;
}

static es_code_t make_rows(es_point_source_t *source, es_split_t split, int32_t epoch, ES_UNUSED int first, int *n,
                           es_epoch_stats_t *stats, es_status_t *status) {
  es_network_source_t *s = (es_network_source_t *)source;
  es_context_t *c = source->context;
  const bool measured = es_context_is_measured(c, split, epoch), trains = split == ES_TRAIN && s->trains;
  const es_observer_t *observer = measured ? es_capture_observer(s->capture) : NULL;
  *n = measured ? es_context_layers(c) : 0;
  if (measured) ES_TRY(es_capture_begin(s->capture, pass_samples(s, &s->samples[split]), status));
  es_timing_mark_t mark = es_timing_mark(&c->timing);
  const int32_t number = es_result_epoch(c->result, epoch);
  ride_t riders = {.source = s, .split = split, .inner = observer};
  const es_observer_t shown = {show_riders, &riders};
  if (measured && source->n_riders > 0) {
    open_ride(&riders, epoch, status);
    if (es_agree(c->group.comm, status) != ES_OK) {
      es_owned_free(&riders.samples.owned);
      return status->code;
    }
    observer = &shown;
  }
  s->capturing = measured;
  visit_t ride = {.visitor = split == ES_EVAL ? source->rider : NULL, .n = es_context_layers(c), .observer = observer};
  const es_code_t code = trains         ? es_trainer_epoch(s->trainer, number, observer, stats, status)
                         : ride.visitor ? evaluate_split(s, split, NULL, number, &ride, stats, status)
                                        : es_trainer_evaluate(s->trainer, split, number, observer, stats, status);
  s->capturing = false;
  es_owned_free(&riders.samples.owned);
  if (s->stepper && trains) es_stepper_exclude(s->stepper, &mark);
  /* Capture and waiting are charged to their own stages. */
  const double wait = c->timing.traffic.seconds - mark.traffic.seconds;
  const double capture = measured ? es_capture_seconds(s->capture) : 0.0;
  es_timing_charge(&c->timing, trains ? ES_STAGE_TRAIN : ES_STAGE_EVALUATE, mark.clock + wait + capture);
  c->timing.stages[ES_STAGE_CAPTURE] += capture;
  c->timing.stages[ES_STAGE_WAIT] += wait;
  if (code != ES_OK) return code;
  const int64_t batch = c->point->train.batch;
  es_timing_work(&c->timing, trains ? ES_WORK_TRAIN : ES_WORK_EVALUATE, &mark, (stats->images + batch - 1) / batch,
                 stats->images);
  store_stats(s, split, epoch, stats);
  if (s->trains && split == ES_EVAL && number > 0) es_trainer_observe(s->trainer, number, stats);
  return ES_OK;
}

static int32_t order(const es_point_source_t *source, int layer) {
  return es_capture_order(((const es_network_source_t *)source)->active, layer);
}

static es_code_t reduce(es_point_source_t *source, int layer, es_reduced_t *out, es_status_t *status) {
  return es_capture_finish(((es_network_source_t *)source)->active, layer, out, status);
}

/* ---- passes in inference mode ---- */

/* Lists the samples of a set as a visit shows them. */
static es_code_t list_set(const es_point_source_t *source, const es_samples_t *samples, es_visit_samples_t *out,
                          es_status_t *status) {
  const es_network_source_t *s = (const es_network_source_t *)source;
  const es_group_t *group = &s->base.context->group;
  const int64_t batch = s->base.context->point->train.batch, n = pass_samples(s, samples);
  int64_t at = 0, first, count;
  if (!es_visit_samples_allocate(out, n, n, group->lane_count))
    return es_out_of_memory(status, "probe", "samples of probes");
  memcpy(out->label, samples->label, (size_t)n * sizeof *out->label);
  for (int lane = 0; lane < group->lane_count; lane++) {
    out->lane_start[lane] = at;
    for (int64_t b = 0; b < n; b += batch) {
      es_lane_range(n - b < batch ? n - b : batch, group->lanes, group->lane_first + lane, &first, &count);
      for (int64_t i = 0; i < count; i++) out->position[at++] = (int32_t)(b + first + i);
    }
  }
  out->lane_start[group->lane_count] = at;
  return ES_OK;
}

static es_code_t list_samples(es_point_source_t *source, es_split_t split, ES_UNUSED int32_t epoch,
                              es_visit_samples_t *out, es_status_t *status) {
  return list_set(source, &((const es_network_source_t *)source)->samples[split], out, status);
}

static es_shape_t shape(const es_point_source_t *source, int layer) {
  return es_capture_node(((const es_network_source_t *)source)->capture, layer)->out;
}

static es_code_t visit(es_point_source_t *source, es_split_t split, int32_t epoch, int first, int n,
                       const es_visitor_t *visitor, es_status_t *status) {
  visit_t v = {.visitor = visitor, .first = first, .n = n};
  es_epoch_stats_t stats;
  return evaluate_split((es_network_source_t *)source, split, NULL, es_result_epoch(source->context->result, epoch), &v,
                        &stats, status);
}

static es_code_t show_set(es_point_source_t *source, const es_samples_t *samples, int32_t epoch, int first, int n,
                          const es_visitor_t *visitor, es_status_t *status) {
  visit_t v = {.visitor = visitor, .first = first, .n = n};
  const int32_t number = es_result_epoch(source->context->result, epoch);
  return evaluate_split((es_network_source_t *)source, samples->split, samples, number, &v, NULL, status);
}

static const es_other_runner_t runner = {list_set, show_set};

/* State of an evaluation with edited outputs. */
typedef struct edit {
  const es_network_source_t *source;
  const es_layer_editor_t *editor;
} edit_t;

static void edit_layer(void *context, int captured, float *out, int64_t samples, es_shape_t shape) {
  const edit_t *e = context;
  const int layer = es_capture_measured(e->source->capture, captured);
  if (layer >= 0) e->editor->edit(e->editor->context, layer, out, samples * shape.h * shape.w);
}

static es_code_t evaluate(es_point_source_t *source, int32_t epoch, const es_layer_editor_t *editor, double *accuracy,
                          es_status_t *status) {
  es_network_source_t *s = (es_network_source_t *)source;
  edit_t edit = {s, editor};
  es_epoch_stats_t stats;
  es_status_t own = {0};
  es_trainer_edit(s->trainer, &(es_editor_t){edit_layer, &edit});
  const int32_t number = es_result_epoch(source->context->result, epoch);
  const es_code_t code = es_trainer_evaluate(s->trainer, ES_EVAL, number, NULL, &stats, &own);
  es_trainer_edit(s->trainer, NULL);
  *accuracy = code == ES_OK ? stats.accuracy : (double)NAN;
  if (code == ES_OK || code == ES_DIVERGED) return ES_OK;
  *status = own;
  return code;
}

const es_source_passes_t es_network_source_passes = {.rows = make_rows,
                                                     .order = order,
                                                     .reduce = reduce,
                                                     .samples = list_samples,
                                                     .shape = shape,
                                                     .visit = visit,
                                                     .evaluate = evaluate};

/* ---- forecasts ---- */

/* Memory of a process with MPI, HDF5, OpenBLAS and oneDNN before it loads data, measured on Debian 12. Each convolution
 * adds the kernels that oneDNN generates. */
static const int64_t process_bytes = 40 << 20, kernel_bytes = 400 << 10;

int64_t es_network_source_bytes(const es_forecast_t *f, int ranks) {
  const es_point_t *point = f->point;
  const es_graph_t *graph = f->graph;
  const bool trains = point->source == ES_SOURCE_TRAIN;
  const int64_t moments = trains ? es_optimizer_moments(&point->train) : 0;
  const int64_t model =
      es_model_bytes(graph, point->train.batch, point->train.lanes, ranks, trains, point->train.precision);
  const int64_t capture = es_capture_bytes(graph, &point->measure, f->samples[ES_TRAIN], point->train.lanes, ranks);
  const int64_t steps = es_stepper_bytes(f, ranks);
  if (model == 0 || capture == 0 || steps < 0) return 0; /* out of memory for the forecast */
  const int64_t state = 4 * (graph->parameter_count * (1 + moments) + graph->buffer_count);
  int64_t samples = 12 * (f->samples[ES_TRAIN] + f->samples[ES_EVAL]);
  for (int i = 0; i < es_probe_others(&point->probe); i++)
    samples += 12 * (point->probe.datasets[i].samples[ES_TRAIN] + point->probe.datasets[i].samples[ES_EVAL]);
  int64_t kernels = 0;
  for (int32_t i = 0; i < graph->n_nodes; i++) kernels += es_node_is_layer(&graph->nodes[i]) ? kernel_bytes : 0;
  return process_bytes + kernels + model + 4 * graph->parameter_count * moments + capture + es_measure_bytes(f, ranks) +
         state + samples + steps;
}
