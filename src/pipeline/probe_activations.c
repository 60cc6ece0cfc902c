/* Probes of activations in files: each rank reads the samples of its own lanes, layer by layer. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include <string.h>

static const char STAGE[] = "probe";

enum { PART_BYTES = 16 << 20 /* of samples that are read at a time */ };

/* This rank's share of one file. */
typedef struct share {
  es_activations_t *file;
  int64_t first, n; /* samples */
  int32_t *value;   /* of each, train: the row that it becomes or −1; eval: its label */
} share_t;

typedef struct probes {
  flow_t *flow;
  const es_external_info_t *info; /* borrowed */
  const int *layers;              /* borrowed */
  int64_t at;                     /* on the axis of probe epochs */
  share_t share[ES_SPLITS];
  int64_t n_rows, n_local; /* that are fitted; on all ranks, on this one */
  int64_t *lane_rows;
  int32_t *labels;
} probes_t;

/* Takes pooled outputs of samples i … i+n−1 of this rank's share. */
typedef es_code_t take_t(probes_t *p, void *context, const float *rows, int64_t i, int64_t n, es_status_t *status);

static int32_t width_of(const probes_t *p, int layer) {
  const es_external_layer_t *l = &p->info->layers[p->layers[layer]];
  return es_probe_width(l->h, l->w, l->c, p->flow->point->probe.pool);
}

/* ---- labels ---- */

static es_code_t choose_rows(probes_t *p, const int32_t *all, int32_t *slot, int64_t samples, es_status_t *status) {
  const es_group_t *group = &p->flow->group;
  share_t *s = &p->share[ES_TRAIN];
  p->n_rows = flow_probe_choose(p->flow, all, samples, p->info->classes, slot);
  p->lane_rows = es_allocate_zero((size_t)group->lane_count, sizeof *p->lane_rows);
  p->labels = es_allocate((size_t)s->n, sizeof *p->labels);
  if (!p->lane_rows || !p->labels) return es_out_of_memory(status, STAGE, "labels of probes");
  for (int lane = 0; lane < group->lane_count; lane++) {
    int64_t first, count;
    es_lane_range(samples, group->lanes, group->lane_first + lane, &first, &count);
    for (int64_t i = first; i < first + count; i++) {
      s->value[i - s->first] = slot[i] >= 0 ? (int32_t)p->n_local : -1;
      if (slot[i] < 0) continue;
      p->lane_rows[lane]++;
      p->labels[p->n_local++] = all[i];
    }
  }
  return ES_OK;
}

static es_code_t open_share(probes_t *p, es_split_t split, int32_t epoch, es_status_t *status) {
  share_t *s = &p->share[split];
  const es_external_t *external = &p->flow->point->external;
  if (!es_external_has(external, split)) return ES_OK;
  ES_TRY(es_external_open(&s->file, external, p->info, split, epoch, status));
  const int64_t samples = es_activations_samples(s->file);
  es_group_range(&p->flow->group, samples, &s->first, &s->n);
  s->value = es_allocate((size_t)s->n, sizeof *s->value);
  if (!s->value) return es_out_of_memory(status, STAGE, "labels of probes");
  if (split == ES_EVAL) return es_activations_labels(s->file, s->first, s->n, s->value, status);
  int32_t *all = es_allocate((size_t)samples, sizeof *all), *slot = es_allocate((size_t)samples, sizeof *slot);
  if (!all || !slot) es_out_of_memory(status, STAGE, "%lld labels", (long long)samples);
  if (status->code == ES_OK) es_activations_labels(s->file, 0, samples, all, status);
  if (status->code == ES_OK) choose_rows(p, all, slot, samples, status);
  es_free(all);
  es_free(slot);
  return status->code;
}

static void close_probes(probes_t *p) {
  for (int split = 0; split < ES_SPLITS; split++) {
    if (p->share[split].file) es_activations_close(p->share[split].file);
    es_free(p->share[split].value);
  }
  es_free(p->lane_rows);
  es_free(p->labels);
}

/* ---- reading ---- */

/* All samples of this rank's share of a layer, pooled, in portions. Not collective. */
static es_code_t read_layer(probes_t *p, es_split_t split, int layer, take_t *take, void *context,
                            es_status_t *status) {
  const share_t *s = &p->share[split];
  const es_external_layer_t *l = &p->info->layers[p->layers[layer]];
  const es_watch_t *watch = &p->flow->pipeline->watch;
  const int64_t size = (int64_t)l->h * l->w * l->c, fit = PART_BYTES / (8 * size), most = fit > 1 ? fit : 1;
  void *part = es_allocate((size_t)(most * size), sizeof(double));
  float *rows = es_allocate((size_t)most * (size_t)width_of(p, layer), sizeof *rows);
  float *narrowed = es_allocate(l->is_double ? (size_t)(most * size) : 0, sizeof *narrowed);
  if (!part || !rows || !narrowed) es_fail(status, ES_SYSTEM, STAGE, "out of memory to read layer %s", l->name);
  for (int64_t i = 0, n; i < s->n && status->code == ES_OK; i += n) {
    n = s->n - i < most ? s->n - i : most;
    if (watch->stop && watch->stop(watch->context)) es_fail(status, ES_STOPPED, STAGE, "stopped");
    if (status->code != ES_OK || es_activations_read(s->file, p->layers[layer], s->first + i, n, part, status) != ES_OK)
      break;
    for (int64_t e = 0; l->is_double && e < n * size; e++) narrowed[e] = (float)((const double *)part)[e];
    es_probe_pool(rows, l->is_double ? narrowed : part, n, l->h, l->w, l->c, p->flow->point->probe.pool);
    take(p, context, rows, i, n, status);
  }
  es_free(part);
  es_free(rows);
  es_free(narrowed);
  return status->code;
}

typedef struct target {
  float *features;
  int32_t width;
  const double *weights;
  int64_t *confusion;
} target_t;

static es_code_t take_features(probes_t *p, void *context, const float *rows, int64_t i, int64_t n,
                               es_status_t *status) {
  const target_t *t = context;
  (void)status;
  for (int64_t r = 0; r < n; r++) {
    const int32_t slot = p->share[ES_TRAIN].value[i + r];
    if (slot >= 0) memcpy(t->features + (int64_t)slot * t->width, rows + r * t->width, (size_t)t->width * sizeof *rows);
  }
  return ES_OK;
}

static es_code_t take_counts(probes_t *p, void *context, const float *rows, int64_t i, int64_t n, es_status_t *status) {
  const target_t *t = context;
  return es_probe_count(t->confusion, t->weights, t->width, p->info->classes, rows, p->share[ES_EVAL].value + i, n,
                        status);
}

/* ---- one layer ---- */

static es_code_t fit_layer(probes_t *p, int layer, double **weights, es_status_t *status) {
  target_t t = {.width = width_of(p, layer)};
  t.features = es_allocate((size_t)p->n_local * (size_t)t.width, sizeof *t.features);
  if (!t.features)
    es_out_of_memory(status, STAGE, "%lld rows of %d features", (long long)p->n_local, t.width);
  else
    read_layer(p, ES_TRAIN, layer, take_features, &t, status);
  es_code_t code = es_agree(p->flow->group.comm, status);
  if (code == ES_OK) {
    const es_probe_problem_t problem = {.n = p->n_rows,
                                        .width = t.width,
                                        .classes = p->info->classes,
                                        .features = t.features,
                                        .labels = p->labels,
                                        .lane_rows = p->lane_rows,
                                        .l2 = p->flow->point->probe.l2};
    code = flow_probe_fit(p->flow, p->at, layer, &problem, weights, status);
  }
  es_free(t.features);
  return code;
}

static es_code_t count_layer(probes_t *p, int layer, const double *weights, es_status_t *status) {
  const size_t classes = (size_t)p->info->classes;
  target_t t = {.width = width_of(p, layer), .weights = weights};
  t.confusion = es_allocate_zero(classes * classes, sizeof *t.confusion);
  if (!t.confusion)
    es_out_of_memory(status, STAGE, "%zu classes", classes);
  else
    read_layer(p, ES_EVAL, layer, take_counts, &t, status);
  const es_code_t code = es_agree(p->flow->group.comm, status);
  if (code == ES_OK)
    flow_probe_store_eval(p->flow, p->at, layer, t.confusion, p->info->classes,
                          es_activations_samples(p->share[ES_EVAL].file));
  es_free(t.confusion);
  return code;
}

static es_code_t run_layer(probes_t *p, int layer, es_status_t *status) {
  double *weights = NULL;
  es_code_t code = fit_layer(p, layer, &weights, status);
  if (code == ES_OK && weights && p->share[ES_EVAL].file) code = count_layer(p, layer, weights, status);
  es_free(weights);
  return code;
}

es_code_t flow_probe_files(flow_t *f, const es_external_info_t *info, const int *layers, int32_t epoch,
                           es_status_t *status) {
  const double start = es_clock();
  probes_t p = {.flow = f, .info = info, .layers = layers};
  if (!flow_probes_due(f, epoch, &p.at)) return ES_OK;
  for (int split = 0; split < ES_SPLITS && status->code == ES_OK; split++)
    open_share(&p, (es_split_t)split, es_result_epoch(f->result, epoch), status);
  es_code_t code = es_agree(f->group.comm, status);
  for (int layer = 0; layer < f->n_layers && code == ES_OK; layer++) code = run_layer(&p, layer, status);
  if (code == ES_OK) flow_probe_mark_tail(f, p.at);
  close_probes(&p);
  flow_charge(f, ES_STAGE_PROBE, start);
  return code;
}
