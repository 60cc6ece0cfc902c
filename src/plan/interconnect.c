/* Predicts the time of a training step by number of ranks, and the number from which more ranks no longer help.
 *
 * Time of a training step of b images on G ranks (batches are cut by lanes, so the busiest rank has ⌈b/G⌉ images):
 *
 *   T(G) = 2·⌈b/G⌉·m / rate + u·P + time of the reductions (traffic.h)
 *
 * m: multiply-adds per image (three times forward, and the covariances of measured layers: plan.c). rate:
 * floating-point operations of a core per second. P: parameters; every rank updates them and packs them for the
 * kernels, in u seconds each. A point stops gaining at the first G where twice as many ranks make a step less than
 * ES_GAIN_LEAST times as fast. */
#include "eigenscope/capture.h"
#include "eigenscope/file.h"
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "plan_internal.h"
#include <stdio.h>
#include <string.h>

#define ES_GAIN_LEAST 1.5

enum { SIZES_MOST = 9 }; /* groups of 1 … 256 ranks; 256 is the most lanes */

/* SGD with momentum and packing, measured for VGG16 and ResNet-18 at width 1 on a Xeon (Emerald Rapids): 0.8 and 1.5
 * ns. Half as much at width 1/16, because the weights stay in the cache. */
static const double update_seconds = 2.3e-9;

/* A group of 2ⁱ ranks. */
typedef struct group {
  es_traffic_t step, measure; /* of a batch, and of the measured split */
  double seconds;             /* per batch */
} group_t;

/* Points with the same prediction. */
typedef struct class {
  uint64_t key;
  int64_t first, points;
  int64_t batch, parameters;
  double macs; /* per image in a step */
  int n_groups, gains, fastest;
  group_t groups[SIZES_MOST];
} class_t;

/* An axis of a class; printed if all points of the class have the same value. */
typedef struct axis {
  uint64_t hash;
  bool differs;
} axis_t;

typedef struct prediction {
  const es_plan_t *plan;                 /* borrowed */
  const es_selection_t *selection;       /* borrowed */
  const es_interconnect_t *interconnect; /* borrowed */
  es_varying_t varying;
  int32_t n, capacity;
  class_t *classes; /* owned */
  axis_t *axes;     /* owned; (class, varying axis) */
  int32_t *of;      /* owned; class of each selected point */
} prediction_t;

/* ---- one class ---- */

/* Number of samples of the measured split. */
static int64_t measured_samples(const es_point_t *point, const es_dataset_info_t *info) {
  return es_point_samples(point, info, point->measure.splits[ES_EVAL] ? ES_EVAL : ES_TRAIN);
}

/* Images of a full batch: train.batch, or all samples if there are fewer. */
static int64_t batch_of(const es_point_t *point, const es_dataset_info_t *info) {
  const int64_t n =
      point->source == ES_SOURCE_TRAIN ? es_point_samples(point, info, ES_TRAIN) : measured_samples(point, info);
  return n < point->train.batch ? n : point->train.batch;
}

static es_code_t predict(const prediction_t *p, class_t *c, const es_point_t *point, es_status_t *status) {
  const es_link_t *link = &p->interconnect->link;
  const int lanes = point->train.lanes;
  const bool training = point->source == ES_SOURCE_TRAIN;
  const es_dataset_info_t *info = es_plan_info(p->plan, point);
  es_graph_t *graph;
  ES_TRY(es_graph_create(&graph, point, status));
  c->batch = batch_of(point, info);
  c->parameters = graph->parameter_count;
  c->macs = es_plan_image_cost(p->plan, c->first, point);
  for (int ranks = 1; ranks <= lanes && c->n_groups < SIZES_MOST; ranks *= 2) {
    group_t *g = &c->groups[c->n_groups++];
    const int64_t most = (c->batch + ranks - 1) / ranks; /* images of the busiest rank */
    g->step = es_model_traffic(graph, lanes, ranks, training, link);
    g->measure = es_capture_traffic(graph, &point->measure, measured_samples(point, info), lanes, ranks, link);
    /* The formula at the head of this file. */
    g->seconds = 2 * (double)most * c->macs / p->interconnect->rate +
                 (training ? update_seconds * (double)c->parameters : 0.0) + g->step.seconds;
  }
  es_graph_destroy(graph);
  while (c->gains + 1 < c->n_groups && c->groups[c->gains].seconds >= ES_GAIN_LEAST * c->groups[c->gains + 1].seconds)
    c->gains++;
  for (int i = 1; i < c->n_groups; i++) {
    if (c->groups[i].seconds < c->groups[c->fastest].seconds) c->fastest = i;
  }
  return ES_OK;
}

/* ---- all classes ---- */

static es_code_t grow(prediction_t *p, es_status_t *status) {
  const int32_t capacity = 2 * p->capacity + 16;
  class_t *classes = es_reallocate(p->classes, (size_t)capacity, sizeof *classes);
  if (classes) p->classes = classes;
  axis_t *axes = es_reallocate(p->axes, (size_t)capacity * (size_t)(p->varying.n + 1), sizeof *axes);
  if (axes) p->axes = axes;
  if (!classes || !axes) return es_out_of_memory(status, "plan", "%d kinds of points", capacity);
  p->capacity = capacity;
  return ES_OK;
}

static es_code_t classify(prediction_t *p, es_status_t *status) {
  es_grid_walk_t walk = {.grid = p->plan->grid};
  for (int64_t i = 0; i < p->selection->n; i++) {
    const int64_t index = p->selection->index[i];
    es_point_t point;
    es_plan_walk(p->plan, &walk, index, &point);
    const es_dataset_info_t *info = es_plan_info(p->plan, &point);
    const int64_t facts[] = {es_plan_network(p->plan, index),
                             batch_of(&point, info),
                             point.train.lanes,
                             point.source,
                             point.train.precision,
                             measured_samples(&point, info),
                             point.measure.splits[ES_TRAIN],
                             point.measure.splits[ES_EVAL]};
    const uint64_t key = es_hash(facts, sizeof facts, 0);
    int32_t class = 0;
    while (class < p->n && p->classes[class].key != key) class ++;
    if (class == p->n) {
      if (p->n == p->capacity) ES_TRY(grow(p, status));
      p->classes[p->n] = (class_t){.key = key, .first = index};
      ES_TRY(predict(p, &p->classes[p->n++], &point, status));
    }
    for (int a = 0; a < p->varying.n; a++) {
      axis_t *axis = &p->axes[class * p->varying.n + a];
      char number[32];
      const char *text = es_point_axis_value(&point, p->varying.names[a], number);
      const uint64_t hash = es_hash(text, strlen(text), 0);
      if (p->classes[class].points == 0) *axis = (axis_t){.hash = hash};
      axis->differs = axis->differs || axis->hash != hash;
    }
    p->classes[class].points++;
    p->of[i] = class;
  }
  return ES_OK;
}

/* Appends a list for --points: the points of one class, or, if class is −1, all that gain up to 2^gains ranks. */
static int64_t list_points(const prediction_t *p, int32_t class, int gains, int64_t *room, es_text_t *out) {
  es_selection_t list = {0, room};
  for (int64_t i = 0; i < p->selection->n; i++) {
    if (class >= 0 ? p->of[i] == class : p->classes[p->of[i]].gains == gains) room[list.n++] = p->selection->index[i];
  }
  if (list.n > 0) es_selection_print(&list, out);
  return list.n;
}

/* ---- printing ---- */

static void print_rows(const prediction_t *p, es_text_t *out) {
  es_grid_walk_t walk = {.grid = p->plan->grid};
  es_table_t table = {0};
  int sizes = 0;
  for (int32_t k = 0; k < p->n; k++) sizes = p->classes[k].n_groups > sizes ? p->classes[k].n_groups : sizes;
  es_table_columns(&table, ">from point|>points");
  es_varying_columns(&p->varying, &table);
  for (int i = 0; i < sizes; i++) {
    char heading[24];
    snprintf(heading, sizeof heading, "%d rank%s", 1 << i, i == 0 ? "" : "s");
    es_table_column(&table, heading, true);
  }
  es_table_columns(&table, ">messages|>MB|>gains to|>fastest");
  for (int32_t k = 0; k < p->n; k++) {
    const class_t *c = &p->classes[k];
    const es_traffic_t *step = &c->groups[c->n_groups > 1].step; /* on two ranks */
    es_point_t point;
    es_plan_walk(p->plan, &walk, c->first, &point);
    es_table_cell(&table, "%lld", (long long)c->first);
    es_table_cell(&table, "%lld", (long long)c->points);
    for (int a = 0; a < p->varying.n; a++) {
      const bool differs = p->axes[k * p->varying.n + a].differs;
      char number[32];
      es_table_cell(&table, "%s", differs ? "" : es_point_axis_value(&point, p->varying.names[a], number));
    }
    for (int i = 0; i < sizes; i++) es_table_cell(&table, i < c->n_groups ? "%.4g ms" : "", 1e3 * c->groups[i].seconds);
    es_table_cell(&table, "%lld", (long long)step->messages);
    es_table_cell(&table, "%.3f", 1e-6 * (double)step->bytes);
    es_table_cell(&table, "%d", 1 << c->gains);
    es_table_cell(&table, "%d", 1 << c->fastest);
  }
  es_table_print(&table, out);
  es_table_destroy(&table);
}

static void print_table(const prediction_t *p, int64_t *room, es_text_t *out) {
  const es_interconnect_t *net = p->interconnect;
  es_text_append(out, "%s: a step (one batch) on %s: %g us, %g Gbit/s\n(%s)\n\n", es_job_name(p->plan->job), net->name,
                 1e6 * net->link.latency, 8e-9 * net->link.bandwidth, net->source);
  print_rows(p, out);
  es_text_append(out,
                 "\n"
                 "messages, MB: sent by each rank in a step on 2 ranks\n"
                 "gains to: with more ranks than this, doubling the ranks makes a step less than %g times as fast\n"
                 "assumed: rate=%g GFLOP/s of each core%s, %g ns to update a parameter\n",
                 ES_GAIN_LEAST, net->rate * 1e-9, net->rate == es_core_rate ? es_core_kind : "", 1e9 * update_seconds);
  es_text_append(out, "\nif there are more ranks than points (otherwise --ranks-per-point 1 is fastest), use:\n");
  for (int i = 0; i < SIZES_MOST; i++) {
    es_text_t list = {0};
    if (list_points(p, -1, i, room, &list) > 0)
      es_text_append(out, "  --ranks-per-point %d --points %s\n", 1 << i, es_text_get(&list));
    if (list.failed) out->failed = true;
    es_text_destroy(&list);
  }
}

static void print_traffic(const char *name, const es_traffic_t *t, es_text_t *out) {
  es_text_append(out, "\"%s\": {\"sums\": %lld, \"messages\": %lld, \"bytes\": %lld, \"seconds\": %.9g}", name,
                 (long long)t->sums, (long long)t->messages, (long long)t->bytes, t->seconds);
}

static void print_json(const prediction_t *p, int64_t *room, es_text_t *out) {
  const es_interconnect_t *net = p->interconnect;
  es_text_append(out, "{\"job\": ");
  es_text_append_quoted(out, es_job_name(p->plan->job));
  es_text_append(out, ", \"interconnect\": ");
  es_text_append_quoted(out, net->name);
  es_text_append(out,
                 ", \"latency\": %.9g, \"bandwidth\": %.9g, \"rate\": %.9g, \"update_seconds\": %.9g, \"gain_least\": "
                 "%.9g, \"classes\": [",
                 net->link.latency, net->link.bandwidth, net->rate * 1e-9, update_seconds, ES_GAIN_LEAST);
  for (int32_t k = 0; k < p->n; k++) {
    const class_t *c = &p->classes[k];
    es_text_append(out, "%s\n  {\"points\": \"", k > 0 ? "," : "");
    list_points(p, k, 0, room, out);
    es_text_append(out,
                   "\", \"batch\": %lld, \"parameters\": %lld, \"macs_per_image\": %.0f, \"gains_to\": %d, "
                   "\"fastest\": %d, \"groups\": [",
                   (long long)c->batch, (long long)c->parameters, c->macs, 1 << c->gains, 1 << c->fastest);
    for (int i = 0; i < c->n_groups; i++) {
      es_text_append(out, "%s\n    {\"ranks\": %d, \"step_seconds\": %.9g, ", i > 0 ? "," : "", 1 << i,
                     c->groups[i].seconds);
      print_traffic("step", &c->groups[i].step, out);
      es_text_append(out, ", ");
      print_traffic("measure", &c->groups[i].measure, out);
      es_text_append(out, "}");
    }
    es_text_append(out, "]}");
  }
  es_text_append(out, "\n]}\n");
}

es_code_t es_plan_interconnect(const es_plan_t *plan, const es_selection_t *selection,
                               const es_interconnect_t *interconnect, bool json, es_text_t *out, es_status_t *status) {
  prediction_t p = {.plan = plan, .selection = selection, .interconnect = interconnect};
  es_varying_find(plan, &p.varying);
  p.of = es_allocate((size_t)selection->n, sizeof *p.of);
  int64_t *room = es_allocate((size_t)selection->n, sizeof *room);
  if (!p.of || !room) es_out_of_memory(status, "plan", "%lld points", (long long)selection->n);
  if (status->code == ES_OK && classify(&p, status) == ES_OK) (json ? print_json : print_table)(&p, room, out);
  es_free(p.classes);
  es_free(p.axes);
  es_free(p.of);
  es_free(room);
  return status->code;
}
