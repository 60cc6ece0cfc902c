/* Stability: compares the saturation of all layers between epochs, and ends training once this pattern has settled
 * (train.stop_when_stable). Only the leader computes, because after a resume only the leader has the earlier epochs. */
#include "analysis.h"
#include "eigenscope/memory.h"
#include "eigenscope/stability.h"
#include <math.h>

typedef struct es_stability_analysis {
  es_context_t *context;
  double patterns[]; /* (2, layers) of the two compared epochs */
} es_stability_analysis_t;

static es_code_t open_analysis(void **state, es_context_t *c, ES_UNUSED es_point_source_t *source,
                               es_status_t *status) {
  const size_t layers = (size_t)es_context_layers(c);
  es_stability_analysis_t *a = *state = es_allocate(1, sizeof *a + 2 * layers * sizeof *a->patterns);
  if (!a) return es_out_of_memory(status, "pipeline", "patterns of saturation");
  a->context = c;
  return ES_OK;
}

static bool was_measured(const es_context_t *c, es_split_t split, int32_t epoch) {
  const int64_t first[ES_RANK_MAX] = {split, epoch, 0};
  return *(const int64_t *)es_result_at(c->result, ES_FIELD_SAMPLES, first) >= 0;
}

/* Returns the last measured epoch before `epoch`, −1 if there is none. */
static int32_t measured_before(const es_context_t *c, es_split_t split, int32_t epoch) {
  do epoch--;
  while (epoch >= 0 && !was_measured(c, split, epoch));
  return epoch;
}

/* Gets the saturation of each layer; NaN excludes the output layer and flagged layers from the comparison. */
static void get_pattern(const es_context_t *c, es_split_t split, int32_t epoch, int delta, double *out) {
  for (int layer = 0; layer < es_context_layers(c); layer++) {
    const int64_t at[ES_RANK_MAX] = {split, epoch, layer};
    const uint8_t flags = *(const uint8_t *)es_result_at(c->result, ES_FIELD_FLAGS, at);
    const bool counts = !es_result_layer(c->result, layer)->output && !(flags & ES_FLAGS_EXCLUDED);
    out[layer] = counts ? *es_result_f64(c->result, ES_FIELD_SATURATION, split, epoch, layer, delta) : (double)NAN;
  }
}

static void compare(es_stability_analysis_t *a, es_reference_t reference, es_split_t split, int32_t epoch,
                    int32_t other) {
  const es_context_t *c = a->context;
  double *now = a->patterns, *then = now + es_context_layers(c);
  es_stability_t s;
  for (int delta = 0; delta < c->point->measure.n_deltas; delta++) {
    get_pattern(c, split, epoch, delta, now);
    get_pattern(c, split, other, delta, then);
    es_stability_compare(&s, now, then, es_context_layers(c));
    *es_result_f64(c->result, ES_FIELD_STABILITY_DISTANCE, reference, split, epoch, delta) = s.distance;
    *es_result_f64(c->result, ES_FIELD_STABILITY_PEARSON, reference, split, epoch, delta) = s.pearson;
    *es_result_f64(c->result, ES_FIELD_STABILITY_SPEARMAN, reference, split, epoch, delta) = s.spearman;
  }
}

static es_code_t compare_with_previous(void *state, es_split_t split, int32_t epoch, ES_UNUSED es_status_t *status) {
  es_stability_analysis_t *a = state;
  if (!es_context_is_leader(a->context)) return ES_OK;
  const int32_t before = measured_before(a->context, split, epoch);
  if (before >= 0) compare(a, ES_PREVIOUS, split, epoch, before);
  return ES_OK;
}

/* True if the distances of the measured epochs up to `epoch` meet the rule, for the split and the delta of reports. */
static bool has_settled(const es_context_t *c, int32_t epoch, es_status_t *status) {
  const es_split_t split = c->point->measure.splits[ES_EVAL] ? ES_EVAL : ES_TRAIN;
  double *distances = es_allocate((size_t)epoch + 1, sizeof *distances);
  int n = 0;
  if (!distances) {
    es_out_of_memory(status, "pipeline", "distances between epochs");
    return false;
  }
  for (int32_t e = 0; e <= epoch; e++)
    if (was_measured(c, split, e))
      distances[n++] = *es_result_f64(c->result, ES_FIELD_STABILITY_DISTANCE, ES_PREVIOUS, split, e, 0);
  const bool settled =
      was_measured(c, split, epoch) && es_stability_settled(distances, n, &c->point->train.stop_when_stable);
  es_free(distances);
  return settled;
}

/* Ends training after `epoch` if the pattern has settled. */
static es_code_t stop_when_stable(void *state, int32_t epoch, es_status_t *status) {
  es_context_t *c = ((es_stability_analysis_t *)state)->context;
  int settled = 0;
  if (c->point->source != ES_SOURCE_TRAIN || c->point->train.stop_when_stable.patience == 0) return ES_OK;
  if (es_context_is_leader(c)) settled = has_settled(c, epoch, status);
  ES_TRY(es_agree(c->group.comm, status));
  ES_MPI(MPI_Bcast(&settled, 1, MPI_INT, 0, c->group.comm));
  if (settled) c->last = epoch;
  return ES_OK;
}

static es_code_t compare_with_last(void *state, ES_UNUSED bool complete, ES_UNUSED es_status_t *status) {
  es_stability_analysis_t *a = state;
  const es_context_t *c = a->context;
  for (int split = 0; es_context_is_leader(c) && split < ES_SPLITS; split++) {
    const int32_t epochs = (int32_t)es_result_extent(c->result, ES_DIM_EPOCH);
    const int32_t last = measured_before(c, (es_split_t)split, epochs);
    for (int32_t epoch = 0; epoch <= last; epoch++)
      if (was_measured(c, (es_split_t)split, epoch)) compare(a, ES_LAST, (es_split_t)split, epoch, last);
  }
  return ES_OK;
}

extern const es_analysis_t es_analysis_stability;
const es_analysis_t es_analysis_stability = {.open = open_analysis,
                                             .split = compare_with_previous,
                                             .epoch = stop_when_stable,
                                             .finish = compare_with_last,
                                             .close = es_free};
