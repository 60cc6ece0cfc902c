#include "eigenscope/pipeline.h"
#include "eigenscope/capture.h"
#include "eigenscope/clock.h"
#include "eigenscope/covariance.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include "eigenscope/saturation.h"
#include "eigenscope/spectrum.h"
#include "eigenscope/state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Everything that one point owns while it is under way. */
typedef struct bench {
  es_pipeline_t *pipeline;     /* borrowed */
  const es_point_t *point;     /* borrowed */
  const char *id;              /* borrowed */
  const es_dataset_t *dataset; /* borrowed */
  es_group_t group;
  es_samples_t samples[ES_SPLITS];
  es_graph_t *graph;
  es_trainer_t *trainer;
  es_capture_t *capture;
  es_result_t *result;
  es_state_key_t key;
  int n_layers;
  es_layer_problem_t *problems; /* of the measured layers */
  es_cov_t *covs;               /* merged covariances; only while a split is measured */
  double *values;               /* eigenvalues of all layers, one after the other */
  char start[32];
  double started;
} bench_t;

const char *es_stage_name(es_stage_t stage) {
  static const char *const names[ES_STAGES] = {"prepare", "train",  "evaluate", "capture",
                                               "wait",    "reduce", "spectrum", "store"};
  return names[stage];
}

static bool is_leader(const bench_t *b) {
  return b->group.rank == 0;
}

static void charge(bench_t *b, es_stage_t stage, double since) {
  b->pipeline->stage_seconds[stage] += es_clock() - since;
}

/* Passes over the network count capture and waiting apart. */
static void charge_pass(bench_t *b, es_stage_t stage, double since, double wait_before) {
  const double wait = es_model_wait_seconds(es_trainer_model(b->trainer)) - wait_before;
  const double capture = es_capture_seconds(b->capture);
  charge(b, stage, since + wait + capture);
  b->pipeline->stage_seconds[ES_STAGE_CAPTURE] += capture;
  b->pipeline->stage_seconds[ES_STAGE_WAIT] += wait;
}

/* ---- opening a point ---- */

static int border_layer(const es_graph_t *graph, int32_t resolution) {
  for (int i = 0; i < graph->n_layers; i++) {
    if (graph->nodes[graph->layers[i]].receptive_field > resolution) return graph->layers[i];
  }
  return -1;
}

static es_code_t create_result(bench_t *b, es_status_t *status) {
  es_layer_info_t *layers = es_allocate_zero((size_t)b->n_layers, sizeof *layers);
  if (!layers) return es_fail(status, ES_SYSTEM, "pipeline", "out of memory");
  const int border = border_layer(b->graph, b->point->resolution), output = b->graph->layers[b->graph->n_layers - 1];
  for (int i = 0; i < b->n_layers; i++) {
    const es_node_t *node = es_capture_node(b->capture, i);
    const int index = (int)(node - b->graph->nodes);
    layers[i] = (es_layer_info_t){.width = es_capture_width(b->capture, i),
                                  .parameters =
                                      b->graph->parameters[node->weight].count + b->graph->parameters[node->bias].count,
                                  .macs = node->macs,
                                  .receptive_field = node->receptive_field,
                                  .border = index == border,
                                  .output = index == output};
    memcpy(layers[i].name, node->name, sizeof layers[i].name);
    snprintf(layers[i].kind, sizeof layers[i].kind, "%s", node->op == ES_OP_CONV ? "conv" : "linear");
  }
  const es_code_t code = es_result_create(&b->result, b->point, layers, b->n_layers, status);
  es_free(layers);
  return code;
}

static es_code_t create_problems(bench_t *b, es_status_t *status) {
  size_t total = 0;
  for (int i = 0; i < b->n_layers; i++) total += (size_t)es_capture_width(b->capture, i);
  b->problems = es_allocate_zero((size_t)b->n_layers, sizeof *b->problems);
  b->covs = es_allocate_zero((size_t)b->n_layers, sizeof *b->covs);
  b->values = es_allocate_zero(total, sizeof *b->values);
  if (!b->problems || !b->covs || !b->values) return es_fail(status, ES_SYSTEM, "pipeline", "out of memory");
  double *values = b->values;
  for (int i = 0; i < b->n_layers; i++) {
    b->problems[i] = (es_layer_problem_t){.order = es_capture_width(b->capture, i), .values = values};
    values += b->problems[i].order;
  }
  es_spectrum_assign(b->problems, b->n_layers, b->group.size);
  return ES_OK;
}

/* What a rank can do alone; the caller agrees. */
static es_code_t open_locally(bench_t *b, es_status_t *status) {
  const es_point_t *point = b->point;
  for (int split = 0; split < ES_SPLITS; split++)
    ES_TRY(es_samples_select(&b->samples[split], b->dataset, point, (es_split_t)split, status));
  ES_TRY(es_graph_create(&b->graph, point, status));
  ES_TRY(es_capture_create(&b->capture, b->graph, &point->measure, &b->group, status));
  b->n_layers = es_capture_n_layers(b->capture);
  ES_TRY(create_result(b, status));
  return create_problems(b, status);
}

static es_code_t open_point(bench_t *b, es_status_t *status) {
  ES_TRY(es_group_create(&b->group, b->pipeline->comm, b->point->train.lanes, status));
  open_locally(b, status);
  ES_TRY(es_agree(b->group.comm, status));
  const es_trainer_parts_t parts = {.point = b->point,
                                    .graph = b->graph,
                                    .group = &b->group,
                                    .samples = {&b->samples[ES_TRAIN], &b->samples[ES_EVAL]},
                                    .watch = b->pipeline->watch,
                                    .most_batches = b->pipeline->dry_run ? 1 : 0};
  ES_TRY(es_trainer_create(&b->trainer, &parts, status));
  b->key = (es_state_key_t){b->id, es_dataset_fingerprint(b->dataset), b->pipeline->engine};
  return ES_OK;
}

static void close_point(bench_t *b) {
  es_trainer_destroy(b->trainer);
  es_capture_destroy(b->capture);
  es_graph_destroy(b->graph);
  es_result_destroy(b->result);
  for (int split = 0; split < ES_SPLITS; split++) es_samples_destroy(&b->samples[split]);
  es_free(b->problems);
  es_free(b->covs);
  es_free(b->values);
}

/* ---- measuring ---- */

static bool is_measured(const es_point_t *point, int32_t epoch) {
  return epoch == 0 || epoch == point->train.epochs || epoch % point->measure.every == 0;
}

/* A covariance with a NaN or an Inf anywhere has no spectrum. */
static bool is_finite(const double *triangle, int32_t width) {
  bool finite = true;
  for (size_t i = 0, n = es_triangle_size(width); i < n && finite; i++) finite = isfinite(triangle[i]);
  return finite;
}

/* Merges every layer's lanes; keeps a covariance where its spectrum will be computed. */
static void reduce_layers(bench_t *b, es_cov_t *scratch, int64_t *rows) {
  for (int i = 0; i < b->n_layers; i++) {
    es_layer_problem_t *p = &b->problems[i];
    es_cov_t *cov = p->owner == b->group.rank ? &b->covs[i] : &scratch[i];
    es_capture_reduce(b->capture, i, cov);
    rows[i] = cov->n;
    p->triangle = cov->moments + cov->width;
    es_cov_finish(cov, p->triangle);
    p->skip = cov->n == 0 || !is_finite(p->triangle, p->order);
  }
}

static void store_layer(bench_t *b, es_split_t split, int32_t epoch, int layer, int64_t rows) {
  es_result_t *r = b->result;
  const es_layer_problem_t *p = &b->problems[layer];
  const es_measure_settings_t *m = &b->point->measure;
  es_saturation_t s;
  for (int i = 0; p->skip && i < p->order; i++) p->values[i] = NAN;
  es_saturation_measure(&s, p->values, p->order, rows, m->delta, m->n_deltas, m->convention);
  const int64_t epochs = es_result_extent(r, ES_DIM_EPOCH), layers = b->n_layers;
  const int64_t at = ((int64_t)split * epochs + epoch) * layers + layer;
  ((int64_t *)es_result_data(r, ES_FIELD_SAMPLES))[at] = rows;
  ((double *)es_result_data(r, ES_FIELD_TRACE))[at] = s.trace;
  ((double *)es_result_data(r, ES_FIELD_EFFECTIVE_RANK))[at] = s.effective_rank;
  ((double *)es_result_data(r, ES_FIELD_PARTICIPATION_RATIO))[at] = s.participation_ratio;
  ((double *)es_result_data(r, ES_FIELD_FIRST_COMPONENT_SHARE))[at] = s.first_component_share;
  ((uint8_t *)es_result_data(r, ES_FIELD_SOLVER))[at] = (uint8_t)p->solver;
  ((uint8_t *)es_result_data(r, ES_FIELD_FLAGS))[at] = s.flags;
  for (int d = 0; d < m->n_deltas; d++) {
    ((int32_t *)es_result_data(r, ES_FIELD_INTRINSIC_DIMENSION))[at * m->n_deltas + d] = s.k[d];
    ((double *)es_result_data(r, ES_FIELD_SATURATION))[at * m->n_deltas + d] = s.saturation[d];
  }
  memcpy(es_result_f64(r, ES_FIELD_EIGENVALUES, split, epoch, layer, 0), p->values, (size_t)p->order * sizeof(double));
}

/* From the rows that a pass left in the capture to numbers in the result. */
static es_code_t measure(bench_t *b, es_split_t split, int32_t epoch, es_status_t *status) {
  double start = es_clock();
  es_cov_t *scratch = es_allocate_zero((size_t)b->n_layers, sizeof *scratch);
  int64_t *rows = es_allocate_zero((size_t)b->n_layers, sizeof *rows);
  if (!scratch || !rows) es_fail(status, ES_SYSTEM, "pipeline", "out of memory");
  for (int i = 0; status->code == ES_OK && i < b->n_layers; i++)
    es_cov_create(b->problems[i].owner == b->group.rank ? &b->covs[i] : &scratch[i], b->problems[i].order, status);
  es_code_t code = es_agree(b->group.comm, status);
  if (code == ES_OK) {
    reduce_layers(b, scratch, rows);
    charge(b, ES_STAGE_REDUCE, start);
    start = es_clock();
    code = es_spectrum_solve(b->problems, b->n_layers, &b->group, status);
    charge(b, ES_STAGE_SPECTRUM, start);
  }
  for (int i = 0; code == ES_OK && i < b->n_layers; i++) store_layer(b, split, epoch, i, rows[i]);
  for (int i = 0; scratch && i < b->n_layers; i++) {
    es_cov_destroy(&scratch[i]);
    es_cov_destroy(&b->covs[i]);
  }
  es_free(scratch);
  es_free(rows);
  return code;
}

/* ---- epochs ---- */

static void store_stats(bench_t *b, es_split_t split, int32_t epoch, const es_epoch_stats_t *stats) {
  *es_result_f64(b->result, ES_FIELD_LOSS, split, epoch, 0, 0) = stats->loss;
  *es_result_f64(b->result, ES_FIELD_ACCURACY, split, epoch, 0, 0) = stats->accuracy;
  *es_result_f64(b->result, ES_FIELD_TOP5_ACCURACY, split, epoch, 0, 0) = stats->top5_accuracy;
  *es_result_f64(b->result, ES_FIELD_MCC, split, epoch, 0, 0) = stats->mcc;
}

/* One pass over a split, measured if its epoch and split are. */
static es_code_t run_split(bench_t *b, es_split_t split, int32_t epoch, es_epoch_stats_t *stats, es_status_t *status) {
  const bool measured = is_measured(b->point, epoch) && b->point->measure.splits[split];
  const es_observer_t *observer = measured ? es_capture_observer(b->capture) : NULL;
  const double start = es_clock(), wait = es_model_wait_seconds(es_trainer_model(b->trainer));
  es_capture_reset(b->capture);
  const es_code_t code = split == ES_TRAIN ? es_trainer_epoch(b->trainer, epoch, observer, stats, status)
                                           : es_trainer_evaluate(b->trainer, split, epoch, observer, stats, status);
  charge_pass(b, split == ES_TRAIN ? ES_STAGE_TRAIN : ES_STAGE_EVALUATE, start, wait);
  if (code != ES_OK) return code;
  store_stats(b, split, epoch, stats);
  return measured ? measure(b, split, epoch, status) : ES_OK;
}

static void report(bench_t *b, const es_epoch_report_t *r) {
  if (is_leader(b) && b->pipeline->report) b->pipeline->report(b->pipeline->report_context, r);
}

static es_code_t run_epoch(bench_t *b, int32_t epoch, es_status_t *status) {
  const double start = es_clock();
  es_epoch_report_t r = {.point = b->point, .point_id = b->id, .epoch = epoch, .epochs = b->point->train.epochs};
  r.trained = epoch > 0;
  if (r.trained) {
    ES_TRY(run_split(b, ES_TRAIN, epoch, &r.stats[ES_TRAIN], status));
    *es_result_f64(b->result, ES_FIELD_LEARNING_RATE, epoch, 0, 0, 0) = r.stats[ES_TRAIN].learning_rate;
  }
  ES_TRY(run_split(b, ES_EVAL, epoch, &r.stats[ES_EVAL], status));
  *es_result_f64(b->result, ES_FIELD_SECONDS, epoch, 0, 0, 0) = es_clock() - start;
  r.saturation = es_result_mean_saturation(b->result, b->point->measure.splits[ES_EVAL] ? ES_EVAL : ES_TRAIN, epoch, 0);
  report(b, &r);
  return ES_OK;
}

/* ---- disk ---- */

static bool is_saved(const es_point_t *point, int32_t epoch) {
  return epoch % point->checkpoint.every == 0 || epoch == point->train.epochs;
}

static es_code_t save(bench_t *b, int32_t epoch, es_status_t *status) {
  const es_point_t *point = b->point;
  const es_checkpoint_settings_t *c = &point->checkpoint;
  if (b->pipeline->dry_run || !is_saved(point, epoch)) return ES_OK;
  const double start = es_clock();
  char path[ES_PATH_MAX];
  if (is_leader(b) && c->keep == ES_KEEP_ALL) {
    es_weights_path(path, b->pipeline->output, b->id, epoch);
    es_weights_save(path, &b->key, epoch, b->graph, b->trainer, status);
  }
  if (is_leader(b) && c->keep == ES_KEEP_LAST && epoch == point->train.epochs) {
    es_weights_path(path, b->pipeline->output, b->id, -1);
    es_weights_save(path, &b->key, epoch, b->graph, b->trainer, status);
  }
  if (is_leader(b) && status->code == ES_OK && epoch < point->train.epochs) { /* the last epoch is in the result */
    es_state_path(path, b->pipeline->output, b->id);
    es_state_save(path, &b->key, epoch, b->graph, b->trainer, b->result, status);
  }
  charge(b, ES_STAGE_STORE, start);
  return es_agree(b->group.comm, status);
}

enum { PROVENANCE_MOST = 64 };

/* The run's provenance and this point's own. `texts` keeps the values alive. */
static int complete_provenance(const bench_t *b, es_provenance_t *out, char texts[3][64]) {
  int n = 0;
  for (; n < b->pipeline->n_provenance && n < PROVENANCE_MOST - 4; n++) out[n] = b->pipeline->provenance[n];
  snprintf(texts[0], sizeof texts[0], "%d", b->group.size);
  snprintf(texts[1], sizeof texts[1], "%.3f", es_clock() - b->started);
  out[n++] = (es_provenance_t){"ranks_per_point", texts[0]};
  out[n++] = (es_provenance_t){"started", b->start};
  out[n++] = (es_provenance_t){"elapsed_seconds", texts[1]};
  return n;
}

/* The leader writes the result and removes the state; all ranks learn whether that worked. */
static es_code_t write_result(bench_t *b, const char *outcome, const char *reason, es_status_t *status) {
  const double start = es_clock();
  if (is_leader(b)) {
    char path[ES_PATH_MAX], state[ES_PATH_MAX], texts[3][64];
    es_provenance_t provenance[PROVENANCE_MOST];
    es_text_t job = {0};
    es_point_describe(b->point, b->pipeline->job_name, &job);
    const es_result_header_t header = {.point = b->point,
                                       .point_id = b->id,
                                       .job_name = b->pipeline->job_name,
                                       .job = es_text_get(&job),
                                       .outcome = outcome,
                                       .reason = reason,
                                       .train_mode = "training",
                                       .fingerprint = b->key.fingerprint,
                                       .normalize_mean = b->samples[ES_TRAIN].mean,
                                       .normalize_deviation = b->samples[ES_TRAIN].deviation,
                                       .provenance = provenance,
                                       .n_provenance = complete_provenance(b, provenance, texts)};
    es_result_path(path, b->pipeline->output, b->id);
    es_state_path(state, b->pipeline->output, b->id);
    if (es_result_write(path, b->result, &header, status) == ES_OK) unlink(state);
    es_text_destroy(&job);
  }
  charge(b, ES_STAGE_STORE, start);
  return es_agree(b->group.comm, status);
}

/* Parts of files that a killed run left beside this point's. Of weights only those of the next save can be there: each
 * save writes them before the state. */
static void remove_leftovers(const bench_t *b, int32_t done) {
  const es_checkpoint_settings_t *c = &b->point->checkpoint;
  char path[ES_PATH_MAX];
  if (!is_leader(b) || b->pipeline->dry_run) return;
  es_result_path(path, b->pipeline->output, b->id);
  es_file_remove_parts(path);
  es_state_path(path, b->pipeline->output, b->id);
  es_file_remove_parts(path);
  if (c->keep == ES_KEEP_NONE) return;
  int32_t next = done + 1;
  while (!is_saved(b->point, next)) next++;
  es_weights_path(path, b->pipeline->output, b->id, c->keep == ES_KEEP_ALL ? next : -1);
  es_file_remove_parts(path);
}

static es_code_t resume(bench_t *b, int32_t *done, es_status_t *status) {
  char path[ES_PATH_MAX];
  *done = -1;
  if (b->pipeline->dry_run) return ES_OK;
  es_state_path(path, b->pipeline->output, b->id);
  return es_state_resume(done, path, &b->key, b->graph, &b->group, b->trainer, b->result,
                         b->pipeline->accept_cpu_change, status);
}

/* ---- the flow ---- */

static es_code_t flow(bench_t *b, es_status_t *status) {
  const int32_t last = b->pipeline->dry_run ? 1 : b->point->train.epochs;
  int32_t done = -1;
  const double start = es_clock();
  ES_TRY(open_point(b, status));
  ES_TRY(resume(b, &done, status));
  remove_leftovers(b, done);
  charge(b, ES_STAGE_PREPARE, start);
  for (int32_t epoch = done + 1; epoch <= last; epoch++) {
    const es_code_t code = run_epoch(b, epoch, status);
    if (code == ES_DIVERGED && !b->pipeline->dry_run) {
      es_status_t writing = {0};
      if (write_result(b, "diverged", status->message, &writing) != ES_OK) *status = writing;
      return status->code;
    }
    ES_TRY(code);
    ES_TRY(save(b, epoch, status));
  }
  return b->pipeline->dry_run ? ES_OK : write_result(b, "complete", "", status);
}

es_code_t es_pipeline_point(es_pipeline_t *pipeline, const es_point_t *point, const char *point_id,
                            const es_dataset_t *dataset, es_status_t *status) {
  bench_t b = {.pipeline = pipeline, .point = point, .id = point_id, .dataset = dataset, .started = es_clock()};
  es_clock_utc(b.start);
  memset(pipeline->stage_seconds, 0, sizeof pipeline->stage_seconds);
  const es_code_t code = flow(&b, status);
  close_point(&b);
  return code;
}
