/* Probes: logistic regressions on the pooled outputs of measured layers, in inference mode, at the probe epochs of the
 * point, fitted to the dataset of the point and to other datasets, one after the other (probe_target.h). Layers are
 * handled in rounds: a visit of the train split gathers the features of the round's layers; a visit of the eval split
 * counts the predictions of the fitted probes.
 *
 * Each rank keeps the rows of its own samples, ordered by lane and then by the source's order. The rows of a lane, and
 * so the bits of the result, therefore do not depend on the number of ranks. Several ranks fit several layers at once
 * (probe_shares.h). The leader keeps all solutions and saves them in the state file, so that the fits of a later epoch
 * can start from them, even after an interruption. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/probe.h"
#include "probe_eval.h"
#include "probe_forecast.h"
#include "probe_outcome.h"
#include "probe_path.h"
#include "probe_shares.h"
#include "probe_target.h"
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "probe";

typedef struct es_probe_analysis {
  es_context_t *context;
  es_point_source_t *source;
  es_probe_eval_t eval; /* features of the eval split of the epoch whose rows are measured */
  int n_targets, n_solutions;
  es_probe_target_t targets[ES_PROBE_TARGETS_MAX];
  es_tensor_view_t solutions[]; /* (targets, layers) the last solution of each layer; the leader owns their data */
} es_probe_analysis_t;

static void close_analysis(void *state) {
  es_probe_analysis_t *a = state;
  if (!a) return;
  es_probe_eval_end(&a->eval);
  for (int i = 0; i < a->n_solutions; i++) es_free((void *)a->solutions[i].data);
  es_free(a);
}

static es_code_t open_analysis(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  if (!es_result_has(c->result, ES_GROUP_PROBE)) return ES_OK;
  es_probe_target_t targets[ES_PROBE_TARGETS_MAX];
  const int n = es_probe_targets(targets, c, source);
  const size_t solutions = (size_t)n * (size_t)es_context_layers(c);
  es_probe_analysis_t *a = *state = es_allocate_zero(1, sizeof *a + solutions * sizeof *a->solutions);
  if (!a) return es_out_of_memory(status, STAGE, "probes");
  a->context = c;
  a->source = source;
  a->n_targets = n;
  memcpy(a->targets, targets, (size_t)n * sizeof *targets);
  return ES_OK;
}

/* ---- solutions ---- */

static es_tensor_view_t *find_solution(es_probe_analysis_t *a, const es_probe_target_t *target, int layer) {
  char name[ES_TENSOR_NAME_MAX];
  es_probe_target_tensor(target, layer, name);
  for (int i = 0; i < a->n_solutions; i++) {
    if (strcmp(a->solutions[i].name, name) == 0) return &a->solutions[i];
  }
  return NULL;
}

/* Copies a solution of shape (classes, row). */
static es_code_t store_solution(es_probe_analysis_t *a, const es_probe_target_t *target, int layer,
                                const double *weights, int64_t classes, int64_t row, es_status_t *status) {
  es_tensor_view_t *view = find_solution(a, target, layer);
  const size_t size = (size_t)(classes * row);
  double *copy = es_allocate(size, sizeof *copy);
  if (!copy) return es_out_of_memory(status, STAGE, "the weights of a probe");
  memcpy(copy, weights, size * sizeof *copy);
  if (view)
    es_free((void *)view->data);
  else
    view = &a->solutions[a->n_solutions++];
  *view = (es_tensor_view_t){.dtype = ES_F64, .rank = 2, .shape = {classes, row}, .data = copy};
  es_probe_target_tensor(target, layer, view->name);
  return ES_OK;
}

static int save(void *state, const es_tensor_view_t **tensors) {
  const es_probe_analysis_t *a = state;
  *tensors = a->solutions;
  return a->n_solutions;
}

static es_code_t restore(void *state, const es_safetensors_t *file, es_status_t *status) {
  es_probe_analysis_t *a = state;
  const int layers = es_context_layers(a->context);
  for (int i = 0; i < a->n_targets * layers; i++) {
    const es_probe_target_t *target = &a->targets[i / layers];
    char name[ES_TENSOR_NAME_MAX];
    const es_tensor_view_t *view = es_safetensors_find(file, es_probe_target_tensor(target, i % layers, name));
    if (view && view->dtype == ES_F64 && view->rank == 2)
      ES_TRY(store_solution(a, target, i % layers, view->data, view->shape[0], view->shape[1], status));
  }
  return ES_OK;
}

/* ---- the probes of one epoch and dataset ---- */

typedef struct epoch {
  es_probe_analysis_t *analysis;
  const es_probe_target_t *target;
  int64_t at; /* index on the axis of probe epochs */
  int32_t epoch;
  es_visit_samples_t samples[ES_SPLITS];
  int32_t *row;              /* for each train sample of this rank: index of its row, −1 if not fitted */
  int32_t *label[ES_SPLITS]; /* of the fitted rows of this rank; of its eval samples */
  int64_t n_rows, n_most;    /* fitted rows of all ranks; of the busiest rank */
  int64_t *lane_rows;        /* (lane_count) fitted rows in each lane of this rank */
  es_share_rows_t all;       /* the fitted rows of all ranks; only if there are several ranks */
  int32_t *held;             /* 1 for each fitted row of this rank that is held out; with a path */
  es_share_rows_t all_held;  /* as `all`, with these flags instead of labels */
  es_probe_path_t *paths;    /* (layers); with a path */
  es_share_t *shares;        /* (layers) of the fits of this round */
  int32_t *steps;            /* (layers) of the fits of the last probe epoch; 0 if unknown */
  int first, n;              /* layers of this round */
  void **features;           /* (layers) float or double; close_layer frees its elements */
  double **weights;          /* (layers); close_layer frees its elements; NULL without a probe */
  es_probe_result_t *fits;   /* (layers) */
  int64_t **confusion;       /* (layers); close_layer frees its elements */
  es_owned_t owned;          /* owns the arrays above */
  uint8_t *done;             /* (layers) 1 if the state of an interrupted run has the probe */
  es_status_t failed;        /* first failure inside a visitor */
} epoch_t;

static es_probe_pooling_t pooling_of(const epoch_t *e, int layer) {
  return es_probe_eval_pooling(e->target->source, layer);
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
  const int32_t classes = e->target->source->classes;
  const int lanes = c->group.lane_count;
  const int64_t n_local = train->lane_start[lanes], n_eval = eval->n > 0 ? eval->lane_start[lanes] : 0;
  int64_t left[ES_CLASSES_MAX];
  int32_t n = 0;
  bool *chosen = es_owned_allocate(&e->owned, (size_t)train->n, sizeof *chosen);
  e->row = es_owned_allocate(&e->owned, (size_t)n_local, sizeof *e->row);
  e->label[ES_TRAIN] = es_owned_allocate(&e->owned, (size_t)n_local, sizeof **e->label);
  e->held = es_owned_allocate(&e->owned, (size_t)n_local, sizeof *e->held);
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
      e->held[n] = es_probe_is_held_out(position);
      e->label[ES_TRAIN][n++] = train->label[position];
      e->lane_rows[lane]++;
    }
  }
  for (int64_t i = 0; i < n_eval; i++) e->label[ES_EVAL][i] = eval->label[eval->position[i]];
  e->n_most = n;
  return ES_OK;
}

static es_code_t open_epoch(epoch_t *e, es_status_t *status) {
  es_point_source_t *source = e->target->source;
  const size_t layers = (size_t)es_context_layers(e->analysis->context);
  for (int split = 0; split < ES_SPLITS; split++)
    ES_TRY(source->class->passes->samples(source, (es_split_t)split, e->epoch, &e->samples[split], status));
  ES_TRY(choose_rows(e, status));
  e->features = es_owned_allocate_zero(&e->owned, layers, sizeof *e->features);
  e->weights = es_owned_allocate_zero(&e->owned, layers, sizeof *e->weights);
  e->confusion = es_owned_allocate_zero(&e->owned, layers, sizeof *e->confusion);
  e->fits = es_owned_allocate_zero(&e->owned, layers, sizeof *e->fits);
  e->paths = es_owned_allocate_zero(&e->owned, layers, sizeof *e->paths);
  e->shares = es_owned_allocate_zero(&e->owned, layers, sizeof *e->shares);
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
  es_owned_free(&e->all.owned);
  es_owned_free(&e->all_held.owned);
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
                                .classes = e->target->source->classes,
                                .features = pooled,
                                .is_double = pooling.is_double,
                                .labels = e->label[ES_EVAL] + at};
  es_probe_pool(pooled, out, n, &pooling);
  es_probe_count(e->confusion[layer], e->weights[layer], &rows, &e->failed);
  es_free(pooled);
}

/* Visits the layers of this round. */
static es_code_t visit(epoch_t *e, es_split_t split, es_status_t *status) {
  es_point_source_t *source = e->target->source;
  const es_visitor_t visitor = {
      .samples = &e->samples[split], .visit = split == ES_TRAIN ? gather_features : count_predictions, .context = e};
  const int step = source->one_layer_a_visit ? 1 : e->n;
  for (int i = 0; i < e->n && status->code == ES_OK; i += step)
    source->class->passes->visit(source, split, e->epoch, e->first + i, step, &visitor, status);
  if (status->code == ES_OK && e->failed.code != ES_OK) *status = e->failed;
  return es_agree(e->analysis->context->group.comm, status);
}

/* ---- fits ---- */

static bool has_path(const epoch_t *e) {
  return e->analysis->context->point->probe.n_path > 0;
}

static size_t weights_of(const epoch_t *e, int layer) {
  return es_probe_weights_size(width_of(e, layer), e->target->source->classes);
}

/* Sets the weights of a layer to the leader's last solution, from which the fit starts. Collective. */
static es_code_t load_start(epoch_t *e, int layer, es_status_t *status) {
  const es_context_t *c = e->analysis->context;
  double *weights = e->weights[layer] = es_allocate_zero(weights_of(e, layer), sizeof *weights);
  if (!weights) es_out_of_memory(status, STAGE, "the weights of a probe");
  if (es_context_must_stop(c)) es_fail(status, ES_STOPPED, STAGE, "stopped");
  ES_TRY(es_agree(c->group.comm, status));
  const es_tensor_view_t *last = find_solution(e->analysis, e->target, layer);
  if (last && last->shape[0] == e->target->source->classes && last->shape[1] == width_of(e, layer) + 1)
    memcpy(weights, last->data, weights_of(e, layer) * sizeof *weights);
  es_group_broadcast(&c->group, weights, weights_of(e, layer) * sizeof *weights, 0);
  return ES_OK;
}

static void free_weights(epoch_t *e, int layer) {
  es_free(e->weights[layer]);
  e->weights[layer] = NULL;
}

/* Fits the probe of a layer: the ranks of the group together, or this rank alone to the rows of all ranks. If features
 * are NaN, infinite or too large, the layer gets no probe and its weights become NULL. */
static es_code_t fit_layer(epoch_t *e, int layer, bool alone, es_status_t *status) {
  const es_probe_settings_t *settings = &e->analysis->context->point->probe;
  es_probe_problem_t problem = {.n = e->n_rows,
                                .width = width_of(e, layer),
                                .classes = e->target->source->classes,
                                .features = e->features[layer],
                                .is_double = pooling_of(e, layer).is_double,
                                .labels = alone ? e->all.label : e->label[ES_TRAIN],
                                .lane_rows = alone ? e->all.lane : e->lane_rows,
                                .l2 = settings->l2,
                                .gap = settings->gap};
  const es_group_t *group = alone ? &e->all.alone : &e->analysis->context->group;
  es_status_t own = {0};
  es_code_t code = ES_OK;
  if (has_path(e)) {
    const int32_t *held = alone ? e->all_held.label : e->held;
    code = es_probe_path_fit(&e->paths[layer], e->weights[layer], &problem, held, settings, group, &own);
    problem.l2 = e->paths[layer].l2;
  }
  if (code == ES_OK) code = es_probe_fit(&e->fits[layer], e->weights[layer], NULL, &problem, group, &own);
  es_free(e->features[layer]);
  e->features[layer] = NULL;
  if (code == ES_OK) return ES_OK;
  free_weights(e, layer);
  if (code == ES_NUMERIC) return ES_OK; /* es_probe_warn names the layer */
  *status = own;
  return code;
}

/* Replaces this rank's rows of a layer by all rows on the owner, by nothing on other ranks. Collective. */
static es_code_t send_features(epoch_t *e, int layer, es_status_t *status) {
  const es_group_t *group = &e->analysis->context->group;
  const es_share_t *share = &e->shares[layer];
  const bool owned = share->owner == group->rank;
  void *whole = owned ? es_allocate((size_t)e->n_rows, (size_t)share->row) : NULL;
  if (owned && !whole)
    es_out_of_memory(status, STAGE, "%lld rows of %d features; try a smaller probe.memory", (long long)e->n_rows,
                     width_of(e, layer));
  const es_code_t code = es_agree(group->comm, status);
  if (code == ES_OK) es_share_collect(share, whole, e->features[layer], &e->all, group);
  es_free(e->features[layer]);
  e->features[layer] = whole;
  return code;
}

/* Broadcasts the probe of a layer that one rank has fitted. Collective. */
static void share_probe(epoch_t *e, int layer) {
  const es_context_t *c = e->analysis->context;
  const int owner = e->shares[layer].owner;
  uint8_t found = e->weights[layer] != NULL;
  ES_MPI(MPI_Bcast(&found, 1, MPI_UINT8_T, owner, c->group.comm));
  if (!found) {
    free_weights(e, layer);
    return;
  }
  ES_MPI(MPI_Bcast(&e->fits[layer], sizeof e->fits[layer], MPI_BYTE, owner, c->group.comm));
  ES_MPI(MPI_Bcast(&e->paths[layer], sizeof e->paths[layer], MPI_BYTE, owner, c->group.comm));
  es_group_broadcast(&c->group, e->weights[layer], weights_of(e, layer) * sizeof(double), owner);
}

/* Fits the layers of this round: those without an owner first, by all ranks together; then each rank its own. */
static es_code_t fit_layers(epoch_t *e, es_status_t *status) {
  const es_group_t *group = &e->analysis->context->group;
  const int end = e->first + e->n;
  for (int i = e->first; i < end; i++) {
    ES_TRY(load_start(e, i, status));
    if (e->shares[i].owner == ES_SHARE_NOBODY) ES_TRY(fit_layer(e, i, false, status));
  }
  for (int i = e->first; i < end; i++) {
    if (e->shares[i].owner != ES_SHARE_NOBODY) ES_TRY(send_features(e, i, status));
  }
  for (int i = e->first; i < end && status->code == ES_OK; i++) {
    if (e->shares[i].owner == group->rank) fit_layer(e, i, true, status);
  }
  ES_TRY(es_agree(group->comm, status));
  for (int i = e->first; i < end; i++) {
    if (e->shares[i].owner != ES_SHARE_NOBODY) share_probe(e, i);
  }
  return ES_OK;
}

/* Stores the counts of the eval split, summed over the ranks. Stores nothing if some features were not finite. */
static void store_predictions(epoch_t *e, int layer) {
  const int32_t classes = e->target->source->classes;
  int64_t *confusion = e->confusion[layer], counted = 0;
  es_probe_count_reduce(confusion, classes, &e->analysis->context->group);
  for (int64_t i = 0; i < (int64_t)classes * classes; i++) counted += confusion[i];
  if (counted == e->samples[ES_EVAL].n) es_probe_target_store_counts(e->target, e->at, layer, confusion);
}

/* Stores a probe whole, so that a state never has a part of it. */
static void store_probe(epoch_t *e, int layer, es_status_t *status) {
  es_probe_analysis_t *a = e->analysis;
  const es_context_t *c = a->context;
  const bool more = e->at + 1 < es_result_extent(c->result, ES_DIM_PROBE_EPOCH);
  es_probe_target_store_fit(e->target, e->at, layer, &e->fits[layer]);
  if (has_path(e)) es_probe_target_store_path(e->target, e->at, layer, &e->paths[layer]);
  if (e->samples[ES_EVAL].n > 0) store_predictions(e, layer);
  if (es_context_is_leader(c) && more)
    store_solution(a, e->target, layer, e->weights[layer], e->target->source->classes, (int64_t)width_of(e, layer) + 1,
                   status);
}

/* ---- rounds ---- */

/* Steps to expect of a layer whose last fit is unknown: the mean of the layers whose fits are known, or any number. */
static double usual_steps(const epoch_t *e) {
  double sum = 0.0, n = 0.0;
  for (int layer = 0; layer < es_context_layers(e->analysis->context); layer++) {
    sum += e->steps[layer];
    n += e->steps[layer] > 0;
  }
  return n > 0.0 ? sum / n : 1.0;
}

/* Divides the fits of layers from `first` on among the ranks, of as many layers as have no probe yet and features that
 * fit into probe.memory. Returns their number, or 0 if it is less than two. */
static int divide_round(epoch_t *e, int first) {
  const es_context_t *c = e->analysis->context;
  es_share_t *shares = e->shares + first;
  int n = 0;
  const es_probe_features_t f = es_probe_features(e->target->source);
  const int64_t most = (int64_t)c->point->probe.memory << 20,
                needed = es_probe_round_bytes(&f, e->n_rows, c->group.size), room = needed < most ? needed : most;
  for (; first + n < es_context_layers(c) && !e->done[first + n]; n++) {
    const int32_t width = width_of(e, first + n);
    const es_probe_problem_t problem = {
        .n = e->n_rows, .width = width, .classes = e->target->source->classes, .lane_rows = e->all.lane};
    shares[n] = (es_share_t){.cost = (double)width * (e->steps[first + n] > 0 ? e->steps[first + n] : usual_steps(e)),
                             .row = (int64_t)size_of(e, first + n) * width,
                             .scratch = es_probe_bytes(&problem, &e->all.alone)};
    shares[n].scratch += es_probe_path_bytes(&c->point->probe, e->n_rows, shares[n].row);
    if (!es_shares_assign(shares, n + 1, &e->all, room, c->group.size)) break;
  }
  return n > 1 && es_shares_assign(shares, n, &e->all, room, c->group.size) ? n : 0;
}

/* Returns how many layers from `first` on have no probe yet and features that fit into probe.memory on the busiest
 * rank; at least 1. */
static int round_size(epoch_t *e, int first) {
  const es_context_t *c = e->analysis->context;
  const int64_t room = (int64_t)c->point->probe.memory << 20;
  int64_t bytes = 0;
  int n = c->group.size > 1 ? divide_round(e, first) : 0;
  if (n > 0) return n;
  for (; first + n < es_context_layers(c); n++) {
    bytes += (int64_t)size_of(e, first + n) * e->n_most * width_of(e, first + n);
    if (n > 0 && (bytes > room || e->done[first + n] || e->target->source->one_layer_a_visit)) break;
    e->shares[first + n].owner = ES_SHARE_NOBODY;
  }
  return n;
}

/* Finds the probes that a state has, and the steps of the last fits. Only the leader knows them. Returns the number of
 * probes. Collective. */
static int find_done(epoch_t *e, es_status_t *status) {
  const es_context_t *c = e->analysis->context;
  const int layers = es_context_layers(c);
  int n = 0;
  e->done = es_owned_allocate_zero(&e->owned, (size_t)layers, sizeof *e->done);
  e->steps = es_owned_allocate_zero(&e->owned, (size_t)layers, sizeof *e->steps);
  if (e->owned.failed) es_out_of_memory(status, STAGE, "probes");
  if (es_agree(c->group.comm, status) != ES_OK) return 0;
  for (int layer = 0; es_context_is_leader(c) && layer < layers; layer++) {
    e->done[layer] = es_probe_target_converged(e->target, e->at, layer) != 255;
    if (e->at > 0) e->steps[layer] = es_probe_target_iterations(e->target, e->at - 1, layer);
  }
  ES_MPI(MPI_Bcast(e->done, layers, MPI_UINT8_T, 0, c->group.comm));
  ES_MPI(MPI_Bcast(e->steps, layers, MPI_INT32_T, 0, c->group.comm));
  for (int layer = 0; layer < layers; layer++) n += e->done[layer];
  return n;
}

/* Counts the predictions of this round's probes, from kept features or by a visit. Collective. */
static es_code_t predict(epoch_t *e, es_status_t *status) {
  es_probe_eval_t *eval = &e->analysis->eval;
  if (!eval->kept || eval->epoch != e->epoch || e->target->dataset != ES_PROBE_OWN) return visit(e, ES_EVAL, status);
  for (int i = e->first; i < e->first + e->n; i++) {
    if (e->weights[i] && status->code == ES_OK)
      es_probe_eval_count(eval, i, e->confusion[i], e->weights[i], e->label[ES_EVAL], status);
    es_probe_eval_drop(eval, i);
  }
  return es_agree(e->analysis->context->group.comm, status);
}

static es_code_t run_round(epoch_t *e, es_status_t *status) {
  const size_t classes = (size_t)e->target->source->classes;
  const size_t rows = (size_t)e->samples[ES_TRAIN].lane_start[e->analysis->context->group.lane_count];
  for (int i = e->first; i < e->first + e->n; i++) {
    e->features[i] = es_allocate(rows * (size_t)width_of(e, i), size_of(e, i));
    e->confusion[i] = es_allocate_zero(classes * classes, sizeof **e->confusion);
    if (!e->features[i] || !e->confusion[i])
      es_out_of_memory(status, STAGE, "%zu rows of %d features; try a smaller probe.memory", rows, width_of(e, i));
  }
  ES_TRY(es_agree(e->analysis->context->group.comm, status));
  ES_TRY(visit(e, ES_TRAIN, status));
  ES_TRY(fit_layers(e, status));
  if (e->samples[ES_EVAL].n > 0) ES_TRY(predict(e, status));
  for (int i = e->first; i < e->first + e->n; i++) {
    if (e->weights[i]) store_probe(e, i, status);
    close_layer(e, i);
  }
  return es_agree(e->analysis->context->group.comm, status);
}

/* Lets the source keep the features of the eval split, if probe.memory has room for these and for one round of all
 * layers. Not in a last epoch that an analysis may find only after the rows. */
static es_code_t begin_epoch(void *state, int32_t epoch, es_status_t *status) {
  es_probe_analysis_t *a = state;
  const es_context_t *c = a->context;
  const es_epochs_t *epochs = &c->point->probe.epochs;
  const bool last = epochs->kind == ES_EPOCHS_LAST;
  if (!a->source->takes_rider || !es_point_has_split(c->point, ES_EVAL)) return ES_OK;
  if (last ? epoch != c->last : es_result_probe_epoch_index(c->result, es_result_epoch(c->result, epoch)) < 0)
    return ES_OK;
  es_visit_samples_t train = {0};
  a->source->class->passes->samples(a->source, ES_TRAIN, epoch, &train, status);
  const int64_t limit = c->point->probe.samples, n = limit > 0 && limit < train.n ? limit : train.n;
  es_owned_free(&train.owned);
  ES_TRY(es_agree(c->group.comm, status));
  const es_probe_features_t f = es_probe_features(a->source);
  const int64_t room = ((int64_t)c->point->probe.memory << 20) - es_probe_round_bytes(&f, n, c->group.size);
  return es_probe_eval_begin(&a->eval, a->source, epoch, room, status);
}

/* Fits the probes of a dataset, except those that the state of an interrupted run has. */
static es_code_t probe_target(epoch_t *e, es_status_t *status) {
  es_context_t *c = e->analysis->context;
  const bool whole = find_done(e, status) == es_context_layers(c);
  if (status->code == ES_OK && whole) return ES_OK;
  if (status->code == ES_OK) open_epoch(e, status);
  ES_TRY(es_agree(c->group.comm, status));
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &e->n_most, 1, MPI_INT64_T, MPI_MAX, c->group.comm));
  if (c->group.size > 1) {
    ES_TRY(es_share_rows_create(&e->all, e->lane_rows, e->label[ES_TRAIN], &c->group, status));
    if (has_path(e)) ES_TRY(es_share_rows_create(&e->all_held, e->lane_rows, e->held, &c->group, status));
  }
  for (e->first = 0; e->first < es_context_layers(c); e->first += e->n) {
    e->n = e->done[e->first] ? 1 : round_size(e, e->first);
    if (!e->done[e->first]) ES_TRY(run_round(e, status));
  }
  if (e->target->dataset == ES_PROBE_OWN) es_probe_mark_tail(c, e->at);
  if (es_context_is_leader(c)) es_probe_warn(e->target, e->epoch, e->at);
  return ES_OK;
}

/* Fits the probes of all datasets if this is a probe epoch. */
static es_code_t probe_epoch(void *state, int32_t epoch, es_status_t *status) {
  es_probe_analysis_t *a = state;
  es_context_t *c = a->context;
  const int32_t number = es_result_epoch(c->result, epoch);
  const double start = es_clock();
  if (c->point->probe.epochs.kind == ES_EPOCHS_LAST && epoch == c->last)
    es_result_move_last_probe_epoch(c->result, number);
  const int64_t at = es_result_probe_epoch_index(c->result, number);
  for (int i = 0; at >= 0 && i < a->n_targets && status->code == ES_OK; i++) {
    epoch_t e = {.analysis = a, .target = &a->targets[i], .at = at, .epoch = epoch};
    probe_target(&e, status);
    close_epoch(&e);
    es_probe_eval_end(&a->eval); /* features of the dataset of the point, which comes first */
  }
  if (at >= 0) es_timing_charge(&c->timing, ES_STAGE_PROBE, start);
  return status->code;
}

extern const es_analysis_t es_analysis_probe;
const es_analysis_t es_analysis_probe = {.bytes = es_probe_forecast_bytes,
                                         .cost = es_probe_forecast_cost,
                                         .open = open_analysis,
                                         .begin = begin_epoch,
                                         .epoch = probe_epoch,
                                         .save = save,
                                         .restore = restore,
                                         .close = close_analysis};
