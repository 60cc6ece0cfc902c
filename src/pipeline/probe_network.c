/* Probes of a network: passes over the train split in inference mode gather pooled outputs, a round of layers at a
 * time, and passes over the eval split count what the fitted probes predict.
 *
 * A rank keeps the rows that its lanes see, lane after lane, batches in order within a lane: the rows of a lane, and so
 * the bits, are the same on any number of ranks. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

static const char STAGE[] = "probe";

/* The samples of a split that this rank sees in a pass, lane after lane. */
typedef struct seen {
  int64_t n;      /* of the pass, on all ranks */
  int64_t *start; /* (lane_count + 1) */
  int32_t *value; /* position in the split; then, train: the row that it becomes or −1; eval: its label */
} seen_t;

typedef struct probes {
  flow_t *flow;
  int64_t at; /* on the axis of probe epochs */
  int32_t epoch, classes;
  seen_t seen[ES_SPLITS];
  int64_t n_rows, n_most; /* rows that are fitted, on all ranks; on the busiest rank */
  int64_t *lane_rows;     /* (lane_count) of this rank */
  int32_t *labels;        /* of this rank's rows */
  int *place;             /* measured layer of each captured one, or −1 */
  int first, n;           /* measured layers of this round */
  es_split_t split;       /* of the pass under way */
  int64_t *cursor;        /* (n_layers, lane_count) samples seen in this pass */
  float **features;       /* (n_layers) */
  double **weights;       /* (n_layers) NULL without a probe */
  int64_t **confusion;    /* (n_layers) */
  float *slice;           /* pooled outputs of one slice */
  es_status_t failed;     /* inside the observer */
} probes_t;

static int32_t width_of(const probes_t *p, int layer) {
  const es_shape_t shape = es_capture_node(p->flow->capture, layer)->out;
  return es_probe_width(shape.h, shape.w, shape.c, p->flow->point->probe.pool);
}

/* ---- what a pass will show ---- */

static es_code_t list_seen(probes_t *p, es_split_t split, es_status_t *status) {
  const flow_t *f = p->flow;
  const int64_t batch = f->point->train.batch, all = f->samples[split].n;
  seen_t *s = &p->seen[split];
  int64_t first, count, at = 0;
  s->n = f->pipeline->dry_run && all > batch ? batch : all;
  s->start = es_allocate((size_t)f->group.lane_count + 1, sizeof *s->start);
  s->value = es_allocate((size_t)s->n, sizeof *s->value);
  if (!s->start || !s->value) return es_out_of_memory(status, STAGE, "samples of probes");
  for (int lane = 0; lane < f->group.lane_count; lane++) {
    s->start[lane] = at;
    for (int64_t b = 0; b < s->n; b += batch) {
      es_lane_range(s->n - b < batch ? s->n - b : batch, f->group.lanes, f->group.lane_first + lane, &first, &count);
      for (int64_t i = 0; i < count; i++) s->value[at++] = (int32_t)(b + first + i);
    }
  }
  s->start[f->group.lane_count] = at;
  return ES_OK;
}

/* Which of the samples seen are fitted, and where they go. */
static es_code_t choose_rows(probes_t *p, es_status_t *status) {
  const flow_t *f = p->flow;
  const int32_t *labels = f->samples[ES_TRAIN].label;
  seen_t *s = &p->seen[ES_TRAIN];
  int32_t *slot = es_allocate((size_t)s->n, sizeof *slot), n = 0;
  p->lane_rows = es_allocate_zero((size_t)f->group.lane_count, sizeof *p->lane_rows);
  p->labels = es_allocate((size_t)s->start[f->group.lane_count], sizeof *p->labels);
  if (!slot || !p->lane_rows || !p->labels) {
    es_free(slot);
    return es_out_of_memory(status, STAGE, "labels of probes");
  }
  p->n_rows = flow_probe_choose(f, labels, s->n, p->classes, slot);
  for (int lane = 0; lane < f->group.lane_count; lane++) {
    for (int64_t i = s->start[lane]; i < s->start[lane + 1]; i++) {
      const int32_t position = s->value[i];
      const bool chosen = slot[position] >= 0;
      if (chosen) p->labels[n] = labels[position];
      p->lane_rows[lane] += chosen;
      s->value[i] = chosen ? n++ : -1;
    }
  }
  es_free(slot);
  p->n_most = n;
  seen_t *eval = &p->seen[ES_EVAL];
  for (int64_t i = 0; i < eval->start[f->group.lane_count]; i++)
    eval->value[i] = f->samples[ES_EVAL].label[eval->value[i]];
  return ES_OK;
}

static es_code_t open_locally(probes_t *p, es_status_t *status) {
  const flow_t *f = p->flow;
  const size_t layers = (size_t)f->n_layers;
  int32_t widest = 1;
  for (int split = 0; split < ES_SPLITS; split++) ES_TRY(list_seen(p, (es_split_t)split, status));
  ES_TRY(choose_rows(p, status));
  for (int i = 0; i < f->n_layers; i++) widest = width_of(p, i) > widest ? width_of(p, i) : widest;
  p->place = es_allocate((size_t)f->graph->n_layers, sizeof *p->place);
  p->cursor = es_allocate(layers * (size_t)f->group.lane_count, sizeof *p->cursor);
  p->features = es_allocate_zero(layers, sizeof *p->features);
  p->weights = es_allocate_zero(layers, sizeof *p->weights);
  p->confusion = es_allocate_zero(layers, sizeof *p->confusion);
  p->slice = es_allocate((size_t)widest * ES_SLICE_MAX, sizeof *p->slice);
  if (!p->place || !p->cursor || !p->features || !p->weights || !p->confusion || !p->slice)
    return es_out_of_memory(status, STAGE, "features of probes");
  for (int i = 0; i < f->graph->n_layers; i++) p->place[i] = -1;
  for (int i = 0; i < f->n_layers; i++) p->place[es_capture_node(f->capture, i)->layer] = i;
  return ES_OK;
}

static void close_layer(probes_t *p, int layer) {
  es_free(p->features[layer]);
  es_free(p->weights[layer]);
  es_free(p->confusion[layer]);
  p->features[layer] = NULL;
  p->weights[layer] = NULL;
  p->confusion[layer] = NULL;
}

static void close_probes(probes_t *p) {
  for (int i = 0; p->features && p->weights && p->confusion && i < p->flow->n_layers; i++) close_layer(p, i);
  for (int split = 0; split < ES_SPLITS; split++) {
    es_free(p->seen[split].start);
    es_free(p->seen[split].value);
  }
  es_free(p->lane_rows);
  es_free(p->labels);
  es_free(p->place);
  es_free(p->cursor);
  es_free(p->features);
  es_free(p->weights);
  es_free(p->confusion);
  es_free(p->slice);
}

/* ---- passes ---- */

static void observe(void *context, int layer, int lane, const float *out, int64_t samples, es_shape_t shape) {
  probes_t *p = context;
  const int place = p->place[layer];
  if (place < p->first || place >= p->first + p->n) return;
  const seen_t *s = &p->seen[p->split];
  const int64_t lanes = p->flow->group.lane_count, size = es_shape_size(shape);
  int64_t *cursor = &p->cursor[place * lanes + lane];
  const int32_t *value = s->value + s->start[lane] + *cursor;
  const int32_t width = width_of(p, place), pool = p->flow->point->probe.pool;
  *cursor += samples;
  if (p->split == ES_TRAIN) {
    for (int64_t i = 0; i < samples; i++) {
      if (value[i] >= 0)
        es_probe_pool(p->features[place] + (int64_t)value[i] * width, out + i * size, 1, shape.h, shape.w, shape.c,
                      pool);
    }
  } else if (p->weights[place]) {
    es_probe_pool(p->slice, out, samples, shape.h, shape.w, shape.c, pool);
    es_probe_count(p->confusion[place], p->weights[place], width, p->classes, p->slice, value, samples, &p->failed);
  }
}

static es_code_t pass(probes_t *p, es_split_t split, es_status_t *status) {
  flow_t *f = p->flow;
  const es_observer_t observer = {observe, p};
  es_epoch_stats_t stats;
  p->split = split;
  memset(p->cursor, 0, (size_t)f->n_layers * (size_t)f->group.lane_count * sizeof *p->cursor);
  f->probing = true;
  const es_code_t code = es_trainer_evaluate(f->trainer, split, p->epoch, &observer, &stats, status);
  f->probing = false;
  if (code != ES_OK) return code;
  if (p->failed.code != ES_OK) *status = p->failed;
  return es_agree(f->group.comm, status);
}

/* ---- rounds ---- */

/* Layers from `first` on whose features fit probe.memory on the busiest rank, at least one. */
static int round_size(const probes_t *p, int first) {
  const int64_t room = (int64_t)p->flow->point->probe.memory << 20;
  int64_t bytes = 0;
  int n = 0;
  for (; first + n < p->flow->n_layers; n++) {
    bytes += 4 * p->n_most * width_of(p, first + n);
    if (n > 0 && bytes > room) break;
  }
  return n;
}

static es_code_t open_round(probes_t *p, es_status_t *status) {
  const flow_t *f = p->flow;
  const size_t rows = (size_t)p->seen[ES_TRAIN].start[f->group.lane_count], classes = (size_t)p->classes;
  for (int i = p->first; i < p->first + p->n; i++) {
    p->features[i] = es_allocate(rows * (size_t)width_of(p, i), sizeof **p->features);
    p->confusion[i] = es_allocate_zero(classes * classes, sizeof **p->confusion);
    if (!p->features[i] || !p->confusion[i])
      es_out_of_memory(status, STAGE, "%zu rows of %d features; a smaller probe.memory may help", rows, width_of(p, i));
  }
  return es_agree(f->group.comm, status);
}

static es_code_t fit_layer(probes_t *p, int layer, es_status_t *status) {
  const es_probe_problem_t problem = {.n = p->n_rows,
                                      .width = width_of(p, layer),
                                      .classes = p->classes,
                                      .features = p->features[layer],
                                      .labels = p->labels,
                                      .lane_rows = p->lane_rows,
                                      .l2 = p->flow->point->probe.l2};
  const es_code_t code = flow_probe_fit(p->flow, p->at, layer, &problem, &p->weights[layer], status);
  es_free(p->features[layer]);
  p->features[layer] = NULL;
  return code;
}

static es_code_t run_round(probes_t *p, es_status_t *status) {
  ES_TRY(open_round(p, status));
  ES_TRY(pass(p, ES_TRAIN, status));
  for (int i = p->first; i < p->first + p->n; i++) ES_TRY(fit_layer(p, i, status));
  ES_TRY(pass(p, ES_EVAL, status));
  for (int i = p->first; i < p->first + p->n; i++) {
    if (p->weights[i]) flow_probe_store_eval(p->flow, p->at, i, p->confusion[i], p->classes, p->seen[ES_EVAL].n);
    close_layer(p, i);
  }
  return ES_OK;
}

es_code_t flow_probes(flow_t *f, int32_t epoch, es_status_t *status) {
  const double start = es_clock();
  probes_t p = {.flow = f, .classes = f->point->classes, .epoch = es_result_epoch(f->result, epoch)};
  if (!flow_probes_due(f, epoch, &p.at)) return ES_OK;
  open_locally(&p, status);
  es_code_t code = es_agree(f->group.comm, status);
  if (code == ES_OK) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &p.n_most, 1, MPI_INT64_T, MPI_MAX, f->group.comm));
  for (p.first = 0; code == ES_OK && p.first < f->n_layers; p.first += p.n) {
    p.n = round_size(&p, p.first);
    code = run_round(&p, status);
  }
  if (code == ES_OK) flow_probe_mark_tail(f, p.at);
  close_probes(&p);
  flow_charge(f, ES_STAGE_PROBE, start);
  return code;
}
