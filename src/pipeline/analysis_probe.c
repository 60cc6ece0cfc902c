/* Probes: logistic regressions on the pooled outputs of measured layers, in inference mode, at the probe epochs of the
 * point. Layers are handled in rounds: a visit of the train split gathers the features of the round's layers; a visit
 * of the eval split counts the predictions of the fitted probes.
 *
 * Each rank keeps the rows of its own samples, ordered by lane and then by the source's order. The rows of a lane, and
 * so the bits of the result, therefore do not depend on the number of ranks. The leader keeps all solutions and saves
 * them in the state file, so that the fits of a later epoch can start from them, even after an interruption. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/probe.h"
#include "eigenscope/text.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "probe", PREFIX[] = "probe.";

typedef struct es_probe_analysis {
  es_context_t *context;
  es_point_source_t *source;
  int n_solutions;
  es_tensor_view_t solutions[]; /* (layers) the last solution of each layer; the leader owns their data */
} es_probe_analysis_t;

static void close_analysis(void *state) {
  es_probe_analysis_t *a = state;
  for (int i = 0; i < a->n_solutions; i++) es_free((void *)a->solutions[i].data);
  es_free(a);
}

static es_code_t open_analysis(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  if (!es_result_has(c->result, ES_GROUP_PROBE)) return ES_OK;
  const size_t layers = (size_t)es_context_layers(c);
  es_probe_analysis_t *a = *state = es_allocate_zero(1, sizeof *a + layers * sizeof *a->solutions);
  if (!a) return es_out_of_memory(status, STAGE, "probes");
  a->context = c;
  a->source = source;
  return ES_OK;
}

/* ---- solutions ---- */

static void name_solution(const es_probe_analysis_t *a, int layer, char out[ES_TENSOR_NAME_MAX]) {
  snprintf(out, ES_TENSOR_NAME_MAX, "%s%s", PREFIX, es_result_layer(a->context->result, layer)->name);
}

static es_tensor_view_t *find_solution(es_probe_analysis_t *a, int layer) {
  char name[ES_TENSOR_NAME_MAX];
  name_solution(a, layer, name);
  for (int i = 0; i < a->n_solutions; i++) {
    if (strcmp(a->solutions[i].name, name) == 0) return &a->solutions[i];
  }
  return NULL;
}

/* Copies a solution of shape (classes, row). */
static es_code_t store_solution(es_probe_analysis_t *a, int layer, const double *weights, int64_t classes, int64_t row,
                                es_status_t *status) {
  es_tensor_view_t *view = find_solution(a, layer);
  const size_t size = (size_t)(classes * row);
  double *copy = es_allocate(size, sizeof *copy);
  if (!copy) return es_out_of_memory(status, STAGE, "the weights of a probe");
  memcpy(copy, weights, size * sizeof *copy);
  if (view)
    es_free((void *)view->data);
  else
    view = &a->solutions[a->n_solutions++];
  *view = (es_tensor_view_t){.dtype = ES_F64, .rank = 2, .shape = {classes, row}, .data = copy};
  name_solution(a, layer, view->name);
  return ES_OK;
}

static int save(void *state, const es_tensor_view_t **tensors) {
  const es_probe_analysis_t *a = state;
  *tensors = a->solutions;
  return a->n_solutions;
}

static es_code_t restore(void *state, const es_safetensors_t *file, es_status_t *status) {
  es_probe_analysis_t *a = state;
  for (int layer = 0; layer < es_context_layers(a->context); layer++) {
    char name[ES_TENSOR_NAME_MAX];
    name_solution(a, layer, name);
    const es_tensor_view_t *view = es_safetensors_find(file, name);
    if (view && view->dtype == ES_F64 && view->rank == 2)
      ES_TRY(store_solution(a, layer, view->data, view->shape[0], view->shape[1], status));
  }
  return ES_OK;
}

/* ---- the probes of one epoch ---- */

typedef struct epoch {
  es_probe_analysis_t *analysis;
  int64_t at; /* index on the axis of probe epochs */
  int32_t epoch;
  es_visit_samples_t samples[ES_SPLITS];
  int32_t *row;              /* for each train sample of this rank: index of its row, −1 if not fitted */
  int32_t *label[ES_SPLITS]; /* of the fitted rows of this rank; of its eval samples */
  int64_t n_rows, n_most;    /* fitted rows of all ranks; of the busiest rank */
  int64_t *lane_rows;        /* (lane_count) fitted rows in each lane of this rank */
  int first, n;              /* layers of this round */
  void **features;           /* (layers) float or double; close_layer frees its elements */
  double **weights;          /* (layers); close_layer frees its elements; NULL without a probe */
  int64_t **confusion;       /* (layers); close_layer frees its elements */
  es_owned_t owned;          /* owns the arrays above */
  es_status_t failed;        /* first failure inside a visitor */
} epoch_t;

static es_probe_pooling_t pooling_of(const epoch_t *e, int layer) {
  const es_point_source_t *source = e->analysis->source;
  const es_source_passes_t *passes = source->class->passes;
  const es_shape_t shape = passes->shape(source, layer);
  return (es_probe_pooling_t){.h = shape.h,
                              .w = shape.w,
                              .c = shape.c,
                              .pool = e->analysis->context->point->probe.pool,
                              .is_double = passes->is_double && passes->is_double(source, layer)};
}

static int32_t width_of(const epoch_t *e, int layer) {
  const es_probe_pooling_t p = pooling_of(e, layer);
  return es_probe_width(p.h, p.w, p.c, p.pool);
}

/* Bytes of a number of the layer. */
static size_t size_of(const epoch_t *e, int layer) {
  return pooling_of(e, layer).is_double ? sizeof(double) : sizeof(float);
}

/* Chooses the samples to fit (probe.samples, balanced over the classes) and numbers their rows. */
static es_code_t choose_rows(epoch_t *e, es_status_t *status) {
  const es_context_t *c = e->analysis->context;
  const es_visit_samples_t *train = &e->samples[ES_TRAIN], *eval = &e->samples[ES_EVAL];
  const int64_t limit = c->point->probe.samples;
  const int32_t classes = e->analysis->source->classes;
  const int lanes = c->group.lane_count;
  const int64_t n_local = train->lane_start[lanes], n_eval = eval->n > 0 ? eval->lane_start[lanes] : 0;
  int64_t left[ES_CLASSES_MAX];
  int32_t n = 0;
  bool *chosen = es_owned_allocate(&e->owned, (size_t)train->n, sizeof *chosen);
  e->row = es_owned_allocate(&e->owned, (size_t)n_local, sizeof *e->row);
  e->label[ES_TRAIN] = es_owned_allocate(&e->owned, (size_t)n_local, sizeof **e->label);
  e->label[ES_EVAL] = es_owned_allocate(&e->owned, (size_t)n_eval, sizeof **e->label);
  e->lane_rows = es_owned_allocate_zero(&e->owned, (size_t)lanes, sizeof *e->lane_rows);
  if (e->owned.failed) return es_out_of_memory(status, STAGE, "labels of probes");
  for (int32_t k = 0; k < classes; k++) left[k] = es_class_quota(limit, classes, k);
  for (int64_t i = 0; i < train->n; i++) e->n_rows += chosen[i] = left[train->label[i]]-- > 0;
  for (int lane = 0; lane < lanes; lane++) {
    for (int64_t i = train->lane_start[lane]; i < train->lane_start[lane + 1]; i++) {
      const int32_t position = train->position[i];
      e->row[i] = chosen[position] ? n : -1;
      if (!chosen[position]) continue;
      e->label[ES_TRAIN][n++] = train->label[position];
      e->lane_rows[lane]++;
    }
  }
  for (int64_t i = 0; i < n_eval; i++) e->label[ES_EVAL][i] = eval->label[eval->position[i]];
  e->n_most = n;
  return ES_OK;
}

static es_code_t open_epoch(epoch_t *e, es_status_t *status) {
  es_point_source_t *source = e->analysis->source;
  const size_t layers = (size_t)es_context_layers(e->analysis->context);
  for (int split = 0; split < ES_SPLITS; split++)
    ES_TRY(source->class->passes->samples(source, (es_split_t)split, e->epoch, &e->samples[split], status));
  ES_TRY(choose_rows(e, status));
  e->features = es_owned_allocate_zero(&e->owned, layers, sizeof *e->features);
  e->weights = es_owned_allocate_zero(&e->owned, layers, sizeof *e->weights);
  e->confusion = es_owned_allocate_zero(&e->owned, layers, sizeof *e->confusion);
  return e->owned.failed ? es_out_of_memory(status, STAGE, "features of probes") : ES_OK;
}

static void close_layer(epoch_t *e, int layer) {
  es_free(e->features[layer]);
  es_free(e->weights[layer]);
  es_free(e->confusion[layer]);
  e->features[layer] = NULL;
  e->weights[layer] = NULL;
  e->confusion[layer] = NULL;
}

static void close_epoch(epoch_t *e) {
  const int layers = es_context_layers(e->analysis->context);
  for (int i = 0; e->confusion && i < layers; i++) close_layer(e, i);
  for (int split = 0; split < ES_SPLITS; split++) es_owned_free(&e->samples[split].owned);
  es_owned_free(&e->owned);
}

/* ---- visits ---- */

static void gather_features(void *context, int layer, int64_t at, const void *out, int64_t n, es_shape_t shape) {
  epoch_t *e = context;
  const es_probe_pooling_t pooling = pooling_of(e, layer);
  const size_t number = size_of(e, layer), row = (size_t)width_of(e, layer) * number,
               size = (size_t)es_shape_size(shape) * number;
  for (int64_t i = 0; i < n; i++) {
    const int32_t to = e->row[at + i];
    if (to >= 0)
      es_probe_pool((char *)e->features[layer] + (size_t)to * row, (const char *)out + (size_t)i * size, 1, &pooling);
  }
}

static void count_predictions(void *context, int layer, int64_t at, const void *out, int64_t n,
                              ES_UNUSED es_shape_t shape) {
  epoch_t *e = context;
  const es_probe_pooling_t pooling = pooling_of(e, layer);
  const int32_t width = width_of(e, layer);
  if (!e->weights[layer] || e->failed.code != ES_OK) return;
  void *pooled = es_allocate((size_t)n * (size_t)width, size_of(e, layer));
  if (!pooled) {
    es_out_of_memory(&e->failed, STAGE, "%lld rows of %d features", (long long)n, width);
    return;
  }
  const es_probe_rows_t rows = {.n = n,
                                .width = width,
                                .classes = e->analysis->source->classes,
                                .features = pooled,
                                .is_double = pooling.is_double,
                                .labels = e->label[ES_EVAL] + at};
  es_probe_pool(pooled, out, n, &pooling);
  es_probe_count(e->confusion[layer], e->weights[layer], &rows, &e->failed);
  es_free(pooled);
}

/* Visits the layers of this round. */
static es_code_t visit(epoch_t *e, es_split_t split, es_status_t *status) {
  es_point_source_t *source = e->analysis->source;
  const es_visitor_t visitor = {
      .samples = &e->samples[split], .visit = split == ES_TRAIN ? gather_features : count_predictions, .context = e};
  if (source->class->passes->visit(source, split, e->epoch, e->first, e->n, &visitor, status) == ES_OK &&
      e->failed.code != ES_OK)
    *status = e->failed;
  return es_agree(e->analysis->context->group.comm, status);
}

/* ---- fits ---- */

/* Broadcasts the leader's last solution, from which the fit starts. */
static es_code_t load_start(es_probe_analysis_t *a, int layer, const es_probe_problem_t *p, double *weights,
                            es_status_t *status) {
  const es_context_t *c = a->context;
  const size_t size = es_probe_weights_size(p->width, p->classes);
  if (!weights) es_out_of_memory(status, STAGE, "the weights of a probe");
  if (es_context_must_stop(c)) es_fail(status, ES_STOPPED, STAGE, "stopped");
  ES_TRY(es_agree(c->group.comm, status));
  const es_tensor_view_t *last = find_solution(a, layer);
  if (last && last->shape[0] == p->classes && last->shape[1] == p->width + 1)
    memcpy(weights, last->data, size * sizeof *weights);
  for (size_t done = 0, step; c->group.size > 1 && done < size; done += step) {
    step = size - done < INT_MAX / 16 ? size - done : INT_MAX / 16;
    ES_MPI(MPI_Bcast(weights + done, (int)step, MPI_DOUBLE, 0, c->group.comm));
  }
  return ES_OK;
}

static void store_fit(es_result_t *r, int64_t at, int layer, const es_probe_result_t *fit) {
  const int64_t cell[ES_RANK_MAX] = {at, layer};
  *es_result_f64(r, ES_FIELD_PROBE_ACCURACY, ES_TRAIN, at, layer, 0) = fit->accuracy;
  *es_result_f64(r, ES_FIELD_PROBE_OBJECTIVE, at, layer, 0, 0) = fit->objective;
  *es_result_f64(r, ES_FIELD_PROBE_GRADIENT_NORM, at, layer, 0, 0) = fit->gradient_norm;
  *(int32_t *)es_result_at(r, ES_FIELD_PROBE_ITERATIONS, cell) = fit->iterations > 0 ? fit->iterations : 0;
  *(uint8_t *)es_result_at(r, ES_FIELD_PROBE_CONVERGED, cell) = fit->converged;
}

/* Fits the probe of a layer. If features are NaN, infinite or too large, the layer gets no probe and its weights stay
 * NULL. */
static es_code_t fit_layer(epoch_t *e, int layer, es_status_t *status) {
  es_probe_analysis_t *a = e->analysis;
  const es_context_t *c = a->context;
  const es_probe_problem_t problem = {.n = e->n_rows,
                                      .width = width_of(e, layer),
                                      .classes = a->source->classes,
                                      .features = e->features[layer],
                                      .is_double = pooling_of(e, layer).is_double,
                                      .labels = e->label[ES_TRAIN],
                                      .lane_rows = e->lane_rows,
                                      .l2 = c->point->probe.l2};
  es_probe_result_t fit;
  es_status_t own = {0};
  double *weights = es_allocate_zero(es_probe_weights_size(problem.width, problem.classes), sizeof *weights);
  es_code_t code = load_start(a, layer, &problem, weights, status);
  if (code != ES_OK) goto out;
  code = es_probe_fit(&fit, weights, NULL, &problem, &c->group, &own);
  if (code == ES_OK) {
    const bool more = e->at + 1 < es_result_extent(c->result, ES_DIM_PROBE_EPOCH);
    store_fit(c->result, e->at, layer, &fit);
    if (es_context_is_leader(c) && more)
      store_solution(a, layer, weights, problem.classes, (int64_t)problem.width + 1, status);
    code = es_agree(c->group.comm, status);
    if (code != ES_OK) goto out;
    e->weights[layer] = weights;
    weights = NULL;
  } else if (code == ES_NUMERIC) {
    code = ES_OK; /* warn_of_probes names the layer */
  } else {
    *status = own;
  }
out:
  es_free(weights);
  es_free(e->features[layer]);
  e->features[layer] = NULL;
  return code;
}

/* Stores the counts of the eval split, summed over the ranks. Stores nothing if some features were not finite. */
static void store_predictions(epoch_t *e, int layer) {
  const es_context_t *c = e->analysis->context;
  const int32_t classes = e->analysis->source->classes;
  const int64_t first[ES_RANK_MAX] = {e->at, layer};
  int64_t *confusion = e->confusion[layer], counted = 0;
  es_probe_count_reduce(confusion, classes, &c->group);
  for (int64_t i = 0; i < (int64_t)classes * classes; i++) counted += confusion[i];
  if (counted < e->samples[ES_EVAL].n) return;
  *es_result_f64(c->result, ES_FIELD_PROBE_ACCURACY, ES_EVAL, e->at, layer, 0) = es_probe_accuracy(confusion, classes);
  memcpy(es_result_at(c->result, ES_FIELD_PROBE_CONFUSION, first), confusion,
         (size_t)classes * (size_t)classes * sizeof *confusion);
  es_probe_recall(es_result_at(c->result, ES_FIELD_PROBE_RECALL, first), confusion, classes);
}

/* ---- rounds ---- */

/* Returns how many layers from `first` on have features that fit into probe.memory on the busiest rank; at least 1. */
static int round_size(const epoch_t *e, int first) {
  const es_context_t *c = e->analysis->context;
  const int64_t room = (int64_t)c->point->probe.memory << 20;
  int64_t bytes = 0;
  int n = 0;
  if (e->analysis->source->one_layer_a_visit) return 1;
  for (; first + n < es_context_layers(c); n++) {
    bytes += (int64_t)size_of(e, first + n) * e->n_most * width_of(e, first + n);
    if (n > 0 && bytes > room) break;
  }
  return n;
}

static es_code_t run_round(epoch_t *e, es_status_t *status) {
  const size_t classes = (size_t)e->analysis->source->classes;
  const size_t rows = (size_t)e->samples[ES_TRAIN].lane_start[e->analysis->context->group.lane_count];
  for (int i = e->first; i < e->first + e->n; i++) {
    e->features[i] = es_allocate(rows * (size_t)width_of(e, i), size_of(e, i));
    e->confusion[i] = es_allocate_zero(classes * classes, sizeof **e->confusion);
    if (!e->features[i] || !e->confusion[i])
      es_out_of_memory(status, STAGE, "%zu rows of %d features; try a smaller probe.memory", rows, width_of(e, i));
  }
  ES_TRY(es_agree(e->analysis->context->group.comm, status));
  ES_TRY(visit(e, ES_TRAIN, status));
  for (int i = e->first; i < e->first + e->n; i++) ES_TRY(fit_layer(e, i, status));
  if (e->samples[ES_EVAL].n > 0) ES_TRY(visit(e, ES_EVAL, status));
  for (int i = e->first; i < e->first + e->n; i++) {
    if (e->weights[i] && e->samples[ES_EVAL].n > 0) store_predictions(e, i);
    close_layer(e, i);
  }
  return ES_OK;
}

/* Marks the layers of the tail. A layer is in the tail if neither it nor any later layer exceeds the best accuracy
 * before the layer by probe.tail or more, and all later layers are in the tail too. */
static void mark_tail(const epoch_t *e) {
  const es_context_t *c = e->analysis->context;
  const int layers = es_context_layers(c);
  uint8_t *tail = es_result_data(c->result, ES_FIELD_LAYER_TAIL);
  bool is_tail = true;
  double best_after = -INFINITY;
  const double *eval = es_result_f64(c->result, ES_FIELD_PROBE_ACCURACY, ES_EVAL, e->at, 0, 0);
  const double *accuracy = isnan(eval[layers - 1]) && isnan(eval[0])
                               ? es_result_f64(c->result, ES_FIELD_PROBE_ACCURACY, ES_TRAIN, e->at, 0, 0)
                               : eval;
  for (int layer = layers - 1; layer >= 0; layer--) {
    double best_before = -INFINITY;
    for (int i = 0; i < layer; i++) best_before = fmax(best_before, accuracy[i]);
    best_after = fmax(best_after, accuracy[layer]);
    is_tail = is_tail && best_after - best_before < c->point->probe.tail;
    tail[layer] = isnan(accuracy[layer]) ? 255 : is_tail;
  }
}

/* Warns of the layers whose value of `probe_converged` is `value`, in one line with the names of the first layers.
 * Returns the number of these layers. */
static int warn_of_layers(const epoch_t *e, uint8_t value, int of, const char *what) {
  enum { NAMES_MOST = 8 };
  const es_context_t *c = e->analysis->context;
  es_text_t line = {0}, names = {0};
  int n = 0;
  for (int layer = 0; layer < es_context_layers(c); layer++) {
    const int64_t cell[ES_RANK_MAX] = {e->at, layer};
    if (*(const uint8_t *)es_result_at(c->result, ES_FIELD_PROBE_CONVERGED, cell) != value) continue;
    if (n++ < NAMES_MOST) es_text_append(&names, "%s%s", n > 1 ? ", " : "", es_result_layer(c->result, layer)->name);
  }
  es_text_append(&line, "epoch %d: %d of %d %s: %s", (int)es_result_epoch(c->result, e->epoch), n, of, what,
                 es_text_get(&names));
  if (n > NAMES_MOST) es_text_append(&line, " and %d more", n - NAMES_MOST);
  if (n > 0) es_context_warn(c, es_text_get(&line));
  es_text_destroy(&names);
  es_text_destroy(&line);
  return n;
}

/* Warns of the layers that have no probe, and of the probes that have not converged. */
static void warn_of_probes(const epoch_t *e) {
  const int layers = es_context_layers(e->analysis->context);
  const int none =
      warn_of_layers(e, 255, layers, "layers have no probe, because features are NaN, infinite or above 1e150");
  warn_of_layers(e, 0, layers - none, "probes did not converge");
}

/* Fits the probes if this is a probe epoch. */
static es_code_t probe_epoch(void *state, int32_t epoch, es_status_t *status) {
  epoch_t e = {.analysis = state, .epoch = epoch};
  es_context_t *c = e.analysis->context;
  const int32_t number = es_result_epoch(c->result, epoch);
  const double start = es_clock();
  if (c->point->probe.epochs.kind == ES_EPOCHS_LAST && epoch == c->last)
    es_result_move_last_probe_epoch(c->result, number);
  e.at = es_result_probe_epoch_index(c->result, number);
  if (e.at < 0) return ES_OK;
  open_epoch(&e, status);
  es_code_t code = es_agree(c->group.comm, status);
  if (code == ES_OK) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &e.n_most, 1, MPI_INT64_T, MPI_MAX, c->group.comm));
  for (e.first = 0; code == ES_OK && e.first < es_context_layers(c); e.first += e.n) {
    e.n = round_size(&e, e.first);
    code = run_round(&e, status);
  }
  if (code == ES_OK) mark_tail(&e);
  if (code == ES_OK && es_context_is_leader(c)) warn_of_probes(&e);
  close_epoch(&e);
  es_timing_charge(&c->timing, ES_STAGE_PROBE, start);
  return code;
}

/* ---- forecasts ---- */

static int64_t fitted_samples(const es_forecast_t *f) {
  const int64_t all = f->samples[ES_TRAIN], limit = f->point->probe.samples;
  return limit > 0 && limit < all ? limit : all;
}

/* Features of one round on the busiest rank, plus the fit of the widest layer, plus the confusion and the recall of
 * each probe, in the result and in the image of the file. Lanes differ by one or two samples. */
static int64_t bytes(const es_forecast_t *f, int ranks) {
  const int lanes = f->point->train.lanes;
  const es_group_t group = {.size = ranks, .lanes = lanes, .lane_count = lanes / ranks > 0 ? lanes / ranks : 1};
  int32_t widest = 1;
  int64_t all = 0, most = 4; /* bytes of a sample: of all layers, of the largest layer */
  if (f->point->probe.epochs.kind == ES_EPOCHS_NONE || f->classes == 0) return 0;
  for (int i = 0; i < f->n_layers; i++) {
    const int64_t features = f->layers[i].features, size = features * (f->layers[i].is_double ? 8 : 4);
    if (features > widest) widest = (int32_t)features;
    if (size > most) most = size;
    all += size;
  }
  const int64_t rows = (fitted_samples(f) + ranks - 1) / ranks;
  int64_t round = f->graph ? (int64_t)f->point->probe.memory << 20 : 0; /* files are read one layer at a time */
  if (round < rows * most) round = rows * most;
  const es_probe_problem_t problem = {.n = fitted_samples(f), .width = widest, .classes = f->classes};
  const int64_t probes = (int64_t)es_point_probe_epochs(f->point, NULL) * f->n_layers;
  const int64_t fields = 2 * 8 * probes * f->classes * (f->classes + 1);
  return (rows * all < round ? rows * all : round) + es_probe_bytes(&problem, &group) + fields;
}

/* One pass over both splits per probe epoch, plus about 250 steps with two products each on the features. */
static double cost(const es_forecast_t *f) {
  const double passes = (double)(f->samples[ES_TRAIN] + f->samples[ES_EVAL]) * (double)f->macs;
  const double fits = 500 * (double)fitted_samples(f) * f->classes * f->features;
  return es_point_probe_epochs(f->point, NULL) * (passes + fits);
}

extern const es_analysis_t es_analysis_probe;
const es_analysis_t es_analysis_probe = {.bytes = bytes,
                                         .cost = cost,
                                         .open = open_analysis,
                                         .epoch = probe_epoch,
                                         .save = save,
                                         .restore = restore,
                                         .close = close_analysis};
