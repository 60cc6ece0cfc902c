/* How far the pattern of saturation over the layers has settled, and the end of training when it has. */
#include "context.h"
#include "eigenscope/memory.h"
#include "eigenscope/stability.h"
#include <math.h>

static bool was_measured(const flow_t *f, es_split_t split, int32_t epoch) {
  const int64_t first[ES_RANK_MAX] = {split, epoch, 0};
  return *(const int64_t *)es_result_at(f->result, ES_FIELD_SAMPLES, first) >= 0;
}

/* The last measured epoch before this one, −1 for none. */
static int32_t measured_before(const flow_t *f, es_split_t split, int32_t epoch) {
  do epoch--;
  while (epoch >= 0 && !was_measured(f, split, epoch));
  return epoch;
}

/* Saturations of the layers that count: neither the output layer nor flagged ones. */
static void get_pattern(const flow_t *f, es_split_t split, int32_t epoch, int delta, double out[ES_LAYERS_MAX]) {
  for (int layer = 0; layer < f->n_layers; layer++) {
    const int64_t at[ES_RANK_MAX] = {split, epoch, layer};
    const uint8_t flags = *(const uint8_t *)es_result_at(f->result, ES_FIELD_FLAGS, at);
    const bool counts = !es_result_layer(f->result, layer)->output && !(flags & ES_FLAGS_EXCLUDED);
    out[layer] = counts ? *es_result_f64(f->result, ES_FIELD_SATURATION, split, epoch, layer, delta) : (double)NAN;
  }
}

static void compare(flow_t *f, es_reference_t reference, es_split_t split, int32_t epoch, int32_t other) {
  double now[ES_LAYERS_MAX], then[ES_LAYERS_MAX];
  es_stability_t s;
  for (int delta = 0; delta < f->point->measure.n_deltas; delta++) {
    get_pattern(f, split, epoch, delta, now);
    get_pattern(f, split, other, delta, then);
    es_stability_compare(&s, now, then, f->n_layers);
    *es_result_f64(f->result, ES_FIELD_STABILITY_DISTANCE, reference, split, epoch, delta) = s.distance;
    *es_result_f64(f->result, ES_FIELD_STABILITY_PEARSON, reference, split, epoch, delta) = s.pearson;
    *es_result_f64(f->result, ES_FIELD_STABILITY_SPEARMAN, reference, split, epoch, delta) = s.spearman;
  }
}

void flow_stability(flow_t *f, es_split_t split, int32_t epoch) {
  if (!flow_is_leader(f)) return; /* after a resume the leader alone has the epochs before */
  const int32_t before = measured_before(f, split, epoch);
  if (before >= 0) compare(f, ES_PREVIOUS, split, epoch, before);
}

void flow_stability_last(flow_t *f) {
  for (int split = 0; flow_is_leader(f) && split < ES_SPLITS; split++) {
    const int32_t epochs = (int32_t)es_result_extent(f->result, ES_DIM_EPOCH);
    const int32_t last = measured_before(f, (es_split_t)split, epochs);
    for (int32_t epoch = 0; epoch <= last; epoch++)
      if (was_measured(f, (es_split_t)split, epoch)) compare(f, ES_LAST, (es_split_t)split, epoch, last);
  }
}

/* On the leader: the distances of the measured epochs up to this one, in the split and at the delta that reports show.
 */
static bool has_settled(const flow_t *f, int32_t epoch, es_status_t *status) {
  const es_split_t split = f->point->measure.splits[ES_EVAL] ? ES_EVAL : ES_TRAIN;
  double *distances = es_allocate((size_t)epoch + 1, sizeof *distances);
  int n = 0;
  if (!distances) {
    es_out_of_memory(status, "pipeline", "distances between epochs");
    return false;
  }
  for (int32_t e = 0; e <= epoch; e++)
    if (was_measured(f, split, e))
      distances[n++] = *es_result_f64(f->result, ES_FIELD_STABILITY_DISTANCE, ES_PREVIOUS, split, e, 0);
  const bool settled =
      was_measured(f, split, epoch) && es_stability_settled(distances, n, &f->point->train.stop_when_stable);
  es_free(distances);
  return settled;
}

es_code_t flow_settle(flow_t *f, int32_t epoch, es_status_t *status) {
  int settled = 0;
  if (f->point->train.stop_when_stable.patience == 0) return ES_OK;
  if (flow_is_leader(f)) settled = has_settled(f, epoch, status);
  ES_TRY(es_agree(f->group.comm, status));
  ES_MPI(MPI_Bcast(&settled, 1, MPI_INT, 0, f->group.comm));
  if (settled) f->last = epoch;
  return ES_OK;
}
