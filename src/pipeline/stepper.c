#include "stepper.h"
#include "eigenscope/clock.h"
#include "eigenscope/epochs.h"
#include "eigenscope/memory.h"
#include "measure.h"
#include <math.h>
#include <string.h>

struct es_stepper {
  es_network_source_t *source; /* borrowed */
  es_capture_t *capture;       /* owned; training may fill the capture of the source at the same time */
  int32_t *list;               /* (n) steps to measure, ascending */
  int64_t n, next;             /* next: index of the first step that may still come */
  int64_t steps_of_epoch;
  es_trainer_part_t part; /* samples to evaluate */
  double seconds;         /* of the measurements since es_stepper_exclude, as `traffic` */
  es_traffic_t traffic;
  es_owned_t owned; /* owns the arrays above */
};

/* ---- creation ---- */

/* Chooses at most `most` samples, 0 for all: the first ones of each class in the order of the file. */
static int64_t choose(const es_samples_t *samples, int32_t classes, int64_t most, int32_t *out) {
  int64_t left[ES_CLASSES_MAX], n = 0;
  for (int32_t c = 0; c < classes; c++) left[c] = es_class_quota(most, classes, c);
  for (int64_t i = 0; i < samples->n; i++) {
    if (left[samples->label[i]]-- > 0) out[n++] = (int32_t)i;
  }
  return n;
}

static es_code_t fill(es_stepper_t *t, es_network_source_t *s, es_status_t *status) {
  const es_context_t *c = s->base.context;
  const es_point_t *point = c->point;
  const es_samples_t *eval = &s->samples[ES_EVAL];
  const int64_t train = s->samples[ES_TRAIN].n, batch = point->train.batch;
  t->source = s;
  t->steps_of_epoch = (train + batch - 1) / batch;
  t->n = es_point_steps(point, train, NULL);
  t->list = es_owned_allocate(&t->owned, (size_t)t->n, sizeof *t->list);
  int32_t *positions = es_owned_allocate(&t->owned, (size_t)eval->n, sizeof *positions);
  if (t->owned.failed) return es_out_of_memory(status, "pipeline", "%lld measured steps", (long long)t->n);
  es_point_steps(point, train, t->list);
  const int64_t n = choose(eval, point->classes, point->measure.steps.samples, positions);
  t->part = (es_trainer_part_t){.split = ES_EVAL, .n = n, .positions = positions};
  s->base.steps = t->list;
  s->base.n_steps = t->n;
  s->base.steps_of_epoch = t->steps_of_epoch;
  return es_capture_create(&t->capture, s->graph, &point->measure, &c->group, status);
}

es_code_t es_stepper_create(es_stepper_t **out, es_network_source_t *source, es_status_t *status) {
  *out = NULL;
  if (source->base.context->point->measure.steps.kind == ES_STEPS_NONE) return ES_OK;
  *out = es_allocate_zero(1, sizeof **out);
  if (!*out) return es_out_of_memory(status, "pipeline", "the measured steps");
  return fill(*out, source, status);
}

void es_stepper_destroy(es_stepper_t *t) {
  if (!t) return;
  es_capture_destroy(t->capture);
  es_owned_free(&t->owned);
  es_free(t);
}

int64_t es_stepper_samples(const es_stepper_t *t) {
  return t ? t->part.n : 0;
}

/* ---- one measurement ---- */

static int64_t batches_of(const es_context_t *c, int64_t images) {
  return (images + c->point->train.batch - 1) / c->point->train.batch;
}

/* Runs the network over the samples, and charges the time to its stages. */
static es_code_t evaluate(es_stepper_t *t, int64_t step, es_epoch_stats_t *stats, es_status_t *status) {
  es_context_t *c = t->source->base.context;
  const int32_t epoch = step > 0 ? (int32_t)((step - 1) / t->steps_of_epoch) + 1 : 0;
  const bool dry = c->settings->dry_run && t->part.n > c->point->train.batch;
  const es_timing_mark_t mark = es_timing_mark(&c->timing);
  ES_TRY(es_capture_begin(t->capture, dry ? c->point->train.batch : t->part.n, status));
  const es_observer_t *observer = es_capture_observer(t->capture);
  const es_code_t code = es_trainer_evaluate_part(t->source->trainer, &t->part, epoch, observer, stats, status);
  const double wait = c->timing.traffic.seconds - mark.traffic.seconds, capture = es_capture_seconds(t->capture);
  es_timing_charge(&c->timing, ES_STAGE_EVALUATE, mark.clock + wait + capture);
  c->timing.stages[ES_STAGE_CAPTURE] += capture;
  c->timing.stages[ES_STAGE_WAIT] += wait;
  if (code == ES_OK) es_timing_work(&c->timing, ES_WORK_EVALUATE, &mark, batches_of(c, stats->images), stats->images);
  return code;
}

static void mark_nonfinite(es_context_t *c, int64_t index) {
  const int64_t at[ES_RANK_MAX] = {index};
  memset(es_result_at(c->result, ES_FIELD_STEP_FLAGS, at), ES_FLAG_NONFINITE, (size_t)es_context_layers(c));
}

static es_code_t measure(es_stepper_t *t, int64_t index, es_status_t *status) {
  es_context_t *c = t->source->base.context;
  es_epoch_stats_t stats;
  es_code_t code = evaluate(t, t->list[index], &stats, status);
  if (code == ES_DIVERGED) { /* training may recover, and goes on as it would without this measurement */
    *status = (es_status_t){0};
    mark_nonfinite(c, index);
    return ES_OK;
  }
  if (code != ES_OK) return code;
  *es_result_f64(c->result, ES_FIELD_STEP_LOSS, index, 0, 0, 0) = stats.loss;
  *es_result_f64(c->result, ES_FIELD_STEP_ACCURACY, index, 0, 0, 0) = stats.accuracy;
  const es_timing_mark_t mark = es_timing_mark(&c->timing);
  code = es_measure_step(c, &t->source->base, index, status);
  es_timing_work(&c->timing, ES_WORK_MEASURE, &mark, 1, 0);
  return code;
}

es_code_t es_stepper_after(void *stepper, int64_t step, es_status_t *status) {
  es_stepper_t *t = stepper;
  es_network_source_t *s = t->source;
  const es_timing_t *timing = &s->base.context->timing;
  while (t->next < t->n && t->list[t->next] < step) t->next++;
  if (t->next == t->n || t->list[t->next] != step) return ES_OK;
  const es_timing_mark_t mark = es_timing_mark(timing);
  const bool capturing = s->capturing;
  s->active = t->capture;
  s->capturing = true;
  const es_code_t code = measure(t, t->next, status);
  s->active = s->capture;
  s->capturing = capturing;
  t->seconds += es_clock() - mark.clock;
  t->traffic.sums += timing->traffic.sums - mark.traffic.sums;
  t->traffic.messages += timing->traffic.messages - mark.traffic.messages;
  t->traffic.bytes += timing->traffic.bytes - mark.traffic.bytes;
  t->traffic.seconds += timing->traffic.seconds - mark.traffic.seconds;
  return code;
}

void es_stepper_exclude(es_stepper_t *t, es_timing_mark_t *mark) {
  mark->clock += t->seconds;
  mark->traffic.sums += t->traffic.sums;
  mark->traffic.messages += t->traffic.messages;
  mark->traffic.bytes += t->traffic.bytes;
  mark->traffic.seconds += t->traffic.seconds;
  t->seconds = 0.0;
  t->traffic = (es_traffic_t){0};
}

/* ---- forecasts ---- */

static int64_t samples_of(const es_forecast_t *f) {
  const int64_t most = f->point->measure.steps.samples, there = f->samples[ES_EVAL];
  return most > 0 && most < there ? most : there;
}

/* The capture, and twice the numbers of the steps: in the result, and in the image of the file that is written. */
int64_t es_stepper_bytes(const es_forecast_t *f, int ranks) {
  const es_point_t *point = f->point;
  const int64_t steps = es_point_steps(point, f->samples[ES_TRAIN], NULL);
  if (steps == 0) return 0;
  const int64_t capture = es_capture_bytes(f->graph, &point->measure, samples_of(f), point->train.lanes, ranks);
  if (capture == 0) return -1;
  int64_t numbers = 3 + (int64_t)f->n_layers * (point->measure.n_deltas + 1);
  for (int i = 0; i < f->n_layers; i++) numbers += f->layers[i].rows.width;
  return capture + 2 * 8 * steps * numbers + 4 * (steps + f->samples[ES_EVAL]);
}

double es_stepper_cost(const es_forecast_t *f) {
  const double steps = (double)es_point_steps(f->point, f->samples[ES_TRAIN], NULL);
  return steps * ((double)samples_of(f) * (es_forecast_pass(f) + f->covariance) + f->solve);
}
