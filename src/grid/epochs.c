#include "eigenscope/epochs.h"
#include <math.h>

int32_t es_point_epochs(const es_point_t *point) {
  return point->source == ES_SOURCE_TRAIN ? point->train.epochs + 1 : es_external_epochs(&point->external);
}

int32_t es_point_last_epoch(const es_point_t *point) {
  return es_point_epochs(point) - 1;
}

int32_t es_point_epoch_number(const es_point_t *point, int32_t epoch) {
  return point->source == ES_SOURCE_TRAIN ? epoch : es_external_epoch(&point->external, epoch);
}

bool es_point_has_split(const es_point_t *point, es_split_t split) {
  return es_source_has_network(point->source) ? point->measure.splits[split] : es_external_has(&point->external, split);
}

bool es_point_is_measured(const es_point_t *point, es_split_t split, int32_t epoch) {
  if (!es_point_has_split(point, split)) return false;
  if (point->source != ES_SOURCE_TRAIN) return true;
  if (epoch == 0) return split == ES_EVAL; /* before training only eval is measured */
  return epoch % point->measure.every == 0 || epoch == es_point_last_epoch(point);
}

int32_t es_point_measured_count(const es_point_t *point, es_split_t split) {
  if (!es_point_has_split(point, split)) return 0;
  if (point->source != ES_SOURCE_TRAIN) return es_point_epochs(point);
  const int32_t last = point->train.epochs, every = point->measure.every;
  return last / every + (last % every != 0) + (split == ES_EVAL);
}

int32_t es_point_probe_epochs(const es_point_t *point, int32_t *out) {
  const es_epochs_t *wanted = &point->probe.epochs;
  const int32_t last = es_point_last_epoch(point);
  int32_t n = 0;
  for (int32_t epoch = 0, at = 0; epoch <= last; epoch++) {
    const int32_t number = es_point_epoch_number(point, epoch);
    bool is_wanted = wanted->kind == ES_EPOCHS_ALL || (wanted->kind == ES_EPOCHS_LAST && epoch == last);
    if (wanted->kind == ES_EPOCHS_LIST) { /* both lists are ascending */
      while (at < wanted->n && wanted->list[at] < number) at++;
      is_wanted = at < wanted->n && wanted->list[at] == number;
    }
    if (!is_wanted) continue;
    if (out) out[n] = number;
    n++;
  }
  return n;
}

int32_t es_point_last_step(const es_point_t *point, int64_t samples) {
  const int64_t batch = point->train.batch, last = point->train.epochs * ((samples + batch - 1) / batch);
  return last < INT32_MAX ? (int32_t)last : INT32_MAX;
}

/* Returns the i-th of the steps, whatever the last one is. `before`: the step before, −1 for the first. */
static int64_t step_at(const es_steps_t *steps, int64_t i, int64_t before, int32_t last) {
  if (steps->kind == ES_STEPS_LIST) return steps->list[i];
  if (steps->kind == ES_STEPS_EVERY) return i * steps->n;
  if (i == 0) return 0;
  const int64_t step = (int64_t)llround(pow(last, (double)(i - 1) / (double)(steps->n - 2)));
  return step > before ? step : before + 1;
}

int64_t es_point_steps(const es_point_t *point, int64_t samples, int32_t *out) {
  const es_steps_t *steps = &point->measure.steps;
  const int32_t last = es_point_last_step(point, samples);
  int64_t n = 0, step = -1;
  if (steps->kind == ES_STEPS_NONE || point->source != ES_SOURCE_TRAIN) return 0;
  if (steps->kind == ES_STEPS_EVERY && out == NULL) return last / steps->n + 1;
  for (; steps->kind == ES_STEPS_EVERY || n < steps->n; n++) {
    step = step_at(steps, n, step, last);
    if (step > last) break;
    if (out) out[n] = (int32_t)step;
  }
  return n;
}
