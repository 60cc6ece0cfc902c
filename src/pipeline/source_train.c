/* source: train. Epochs of training and evaluation, measured as the point says, saved as the point says. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- opening a point ---- */

static int border_layer(const es_graph_t *graph, int32_t resolution) {
  for (int i = 0; i < graph->n_layers; i++) {
    if (graph->nodes[graph->layers[i]].receptive_field > resolution) return graph->layers[i];
  }
  return -1;
}

static es_code_t create_result(flow_t *f, es_status_t *status) {
  es_layer_info_t *layers = es_allocate_zero((size_t)f->n_layers, sizeof *layers);
  if (!layers) return es_out_of_memory(status, "pipeline", "the result");
  const int border = border_layer(f->graph, f->point->resolution), output = f->graph->layers[f->graph->n_layers - 1];
  for (int i = 0; i < f->n_layers; i++) {
    const es_node_t *node = es_capture_node(f->capture, i);
    const int index = (int)(node - f->graph->nodes);
    layers[i] = (es_layer_info_t){.width = es_capture_width(f->capture, i),
                                  .parameters = es_graph_parameters(f->graph, node),
                                  .macs = node->macs,
                                  .receptive_field = node->receptive_field,
                                  .stride = node->op == ES_OP_CONV ? node->jump : -1,
                                  .border = index == border,
                                  .output = index == output};
    memcpy(layers[i].name, node->name, sizeof layers[i].name);
    snprintf(layers[i].kind, sizeof layers[i].kind, "%s", es_op_name(node->op));
  }
  const es_measure_settings_t *m = &f->point->measure;
  es_result_shape_t shape = {.point = f->point,
                             .layers = layers,
                             .n_layers = f->n_layers,
                             .n_classes = f->point->classes,
                             .n_epochs = f->point->train.epochs + 1,
                             .eigenspace = m->eigenspace != ES_EIGENSPACE_NO,
                             .eigenvectors = m->eigenspace == ES_EIGENSPACE_STORE,
                             .projection = m->projection == ES_ON};
  int32_t epochs[ES_EPOCHS_MAX];
  if (!flow_is_trained(f)) {
    shape.n_epochs = es_external_epochs(&f->point->external);
    for (int32_t i = 0; i < shape.n_epochs; i++) epochs[i] = es_external_epoch(&f->point->external, i);
    shape.epochs = epochs;
  }
  int32_t *probes = es_allocate((size_t)shape.n_epochs, sizeof *probes);
  shape.probe_epochs = probes;
  if (probes) shape.n_probe_epochs = flow_probe_epochs(f, shape.epochs, shape.n_epochs, probes);
  const es_code_t code = probes ? es_result_create(&f->result, &shape, status)
                                : es_out_of_memory(status, "pipeline", "the epochs of probes");
  es_free(probes);
  es_free(layers);
  return code;
}

/* What a rank can do alone; the caller agrees. */
static es_code_t open_locally(flow_t *f, es_status_t *status) {
  const es_point_t *point = f->point;
  for (int split = 0; split < ES_SPLITS; split++)
    ES_TRY(es_samples_select(&f->samples[split], f->dataset, point, (es_split_t)split, status));
  ES_TRY(es_graph_create(&f->graph, point, status));
  ES_TRY(es_capture_create(&f->capture, f->graph, &point->measure, &f->group, status));
  f->n_layers = es_capture_n_layers(f->capture);
  return create_result(f, status);
}

/* What weights say of where they are from. */
static void describe_network(flow_t *f) {
  const es_point_t *p = f->point;
  es_point_training_id(p, f->training);
  size_t length = (size_t)snprintf(f->network, sizeof f->network, "%s", p->model.name);
  for (int i = 0; i < p->n_axes && length < sizeof f->network; i++) {
    if (strcmp(p->axes[i].name, "model") != 0)
      length += (size_t)snprintf(f->network + length, sizeof f->network - length, ", %s %s", p->axes[i].name,
                                 p->axes[i].text);
  }
}

static es_code_t exchange(void *context, es_status_t *status) {
  flow_t *f = context;
  return f->probing ? ES_OK : es_capture_exchange(f->capture, status);
}

es_code_t flow_network_open(flow_t *f, es_status_t *status) {
  describe_network(f);
  ES_TRY(es_group_create(&f->group, f->pipeline->comm, f->point->train.lanes, status));
  f->group.traffic = &f->traffic;
  open_locally(f, status);
  ES_TRY(es_agree(f->group.comm, status));
  const es_trainer_parts_t parts = {.point = f->point,
                                    .graph = f->graph,
                                    .group = &f->group,
                                    .samples = {&f->samples[ES_TRAIN], &f->samples[ES_EVAL]},
                                    .watch = f->pipeline->watch,
                                    .inference = !flow_is_trained(f),
                                    .profile = f->pipeline->profile,
                                    .most_batches = f->pipeline->dry_run ? 1 : 0,
                                    .after_forward = exchange,
                                    .after_context = f};
  ES_TRY(es_trainer_create(&f->trainer, &parts, status));
  f->key = (es_state_key_t){.point_id = f->id,
                            .fingerprint = es_dataset_fingerprint(f->dataset),
                            .engine = f->pipeline->engine,
                            .training = f->training,
                            .network = f->network};
  return ES_OK;
}

void flow_network_close(flow_t *f) {
  es_trainer_destroy(f->trainer);
  es_capture_destroy(f->capture);
  es_graph_destroy(f->graph);
  es_result_destroy(f->result);
  for (int split = 0; split < ES_SPLITS; split++) es_samples_destroy(&f->samples[split]);
}

static bool is_measured(const flow_t *f, int32_t epoch) {
  return !flow_is_trained(f) || epoch == 0 || flow_is_last(f, epoch) || epoch % f->point->measure.every == 0;
}

/* Passes over the network count capture and waiting apart. */
static void charge_pass(flow_t *f, es_stage_t stage, const flow_mark_t *since, bool measured) {
  const double wait = f->traffic.seconds - since->traffic.seconds;
  const double capture = measured ? es_capture_seconds(f->capture) : 0.0;
  flow_charge(f, stage, since->clock + wait + capture);
  f->pipeline->stage_seconds[ES_STAGE_CAPTURE] += capture;
  f->pipeline->stage_seconds[ES_STAGE_WAIT] += wait;
}

/* ---- epochs ---- */

static void store_stats(flow_t *f, es_split_t split, int32_t epoch, const es_epoch_stats_t *stats) {
  *es_result_f64(f->result, ES_FIELD_LOSS, split, epoch, 0, 0) = stats->loss;
  *es_result_f64(f->result, ES_FIELD_ACCURACY, split, epoch, 0, 0) = stats->accuracy;
  *es_result_f64(f->result, ES_FIELD_TOP5_ACCURACY, split, epoch, 0, 0) = stats->top5_accuracy;
  *es_result_f64(f->result, ES_FIELD_MCC, split, epoch, 0, 0) = stats->mcc;
}

/* Recall of each class from the counts of the last pass. */
static void store_recall(flow_t *f, es_split_t split, int32_t epoch) {
  const int64_t *counts = es_trainer_confusion(f->trainer), classes = f->point->classes;
  double *recall = es_result_data(f->result, ES_FIELD_RECALL);
  if (!recall) return;
  recall += ((int64_t)split * es_result_extent(f->result, ES_DIM_EPOCH) + epoch) * classes;
  for (int64_t label = 0; label < classes; label++) {
    int64_t samples = 0;
    for (int64_t k = 0; k < classes; k++) samples += counts[label * classes + k];
    recall[label] = samples > 0 ? (double)counts[label * classes + label] / (double)samples : (double)NAN;
  }
}

static int32_t order_of(void *context, int layer) {
  const flow_t *f = context;
  return es_capture_order(f->capture, layer);
}

static es_code_t finish(void *context, int layer, es_reduced_t *out, es_status_t *status) {
  flow_t *f = context;
  return es_capture_finish(f->capture, layer, out, status);
}

/* Samples of a pass over a split. */
static int64_t samples_of(const flow_t *f, es_split_t split) {
  const int64_t n = f->samples[split].n, batch = f->point->train.batch;
  return f->pipeline->dry_run && n > batch ? batch : n;
}

es_code_t flow_split(flow_t *f, es_split_t split, int32_t epoch, es_epoch_stats_t *stats, es_status_t *status) {
  const bool measured = is_measured(f, epoch) && f->point->measure.splits[split];
  const es_observer_t *observer = measured ? es_capture_observer(f->capture) : NULL;
  if (measured) ES_TRY(es_capture_begin(f->capture, samples_of(f, split), status));
  const flow_mark_t mark = flow_mark(f);
  const bool trains = split == ES_TRAIN && flow_is_trained(f);
  const int32_t number = es_result_epoch(f->result, epoch);
  const es_code_t code = trains ? es_trainer_epoch(f->trainer, number, observer, stats, status)
                                : es_trainer_evaluate(f->trainer, split, number, observer, stats, status);
  charge_pass(f, trains ? ES_STAGE_TRAIN : ES_STAGE_EVALUATE, &mark, measured);
  if (code != ES_OK) return code;
  const int64_t batch = f->point->train.batch;
  flow_effort(f, trains ? ES_WORK_TRAIN : ES_WORK_EVALUATE, &mark, (stats->images + batch - 1) / batch, stats->images);
  store_stats(f, split, epoch, stats);
  store_recall(f, split, epoch);
  const flow_rows_t rows = {order_of, finish, f};
  return measured ? flow_measure(f, split, epoch, &rows, 0, f->n_layers, status) : ES_OK;
}

static es_code_t run_epoch(flow_t *f, int32_t epoch, es_status_t *status) {
  const double start = es_clock();
  es_epoch_report_t r = {.point = f->point, .point_id = f->id, .epoch = epoch, .epochs = f->point->train.epochs};
  r.trained = epoch > 0;
  if (r.trained) {
    ES_TRY(flow_split(f, ES_TRAIN, epoch, &r.stats[ES_TRAIN], status));
    *es_result_f64(f->result, ES_FIELD_LEARNING_RATE, epoch, 0, 0, 0) = r.stats[ES_TRAIN].learning_rate;
  }
  ES_TRY(flow_split(f, ES_EVAL, epoch, &r.stats[ES_EVAL], status));
  ES_TRY(flow_settle(f, epoch, status));
  ES_TRY(flow_probes(f, epoch, status));
  *es_result_f64(f->result, ES_FIELD_SECONDS, epoch, 0, 0, 0) = es_clock() - start;
  r.saturation = es_result_mean_saturation(f->result, f->point->measure.splits[ES_EVAL] ? ES_EVAL : ES_TRAIN, epoch, 0);
  flow_report(f, &r);
  return ES_OK;
}

/* ---- the flow ---- */

es_code_t flow_epochs(flow_t *f, int32_t done, flow_epoch_t *run, es_status_t *status) {
  for (int32_t epoch = done + 1; epoch <= f->last; epoch++) { /* an epoch may turn out to be the last */
    const es_code_t code = run(f, epoch, status);
    if (code == ES_DIVERGED && !f->pipeline->dry_run) {
      es_status_t writing = {0};
      if (flow_write_result(f, "diverged", status->message, &writing) != ES_OK) *status = writing;
      return status->code;
    }
    ES_TRY(code);
    ES_TRY(flow_save(f, epoch, status));
  }
  ES_TRY(flow_projection(f, status));
  return f->pipeline->dry_run ? ES_OK : flow_write_result(f, "complete", "", status);
}

es_code_t flow_train(flow_t *f, es_status_t *status) {
  int32_t done = -1;
  const double start = es_clock();
  ES_TRY(flow_network_open(f, status));
  ES_TRY(flow_resume(f, &done, status));
  flow_charge(f, ES_STAGE_PREPARE, start);
  return flow_epochs(f, done, run_epoch, status);
}
