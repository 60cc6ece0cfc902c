/* source: train. Trains the network and evaluates the eval split before the first epoch and after each epoch. */
#include "eigenscope/memory.h"
#include "source_network.h"
#include "stepper.h"

static es_code_t open_source(es_point_source_t **out, es_context_t *c, const es_dataset_t *dataset,
                             es_status_t *status) {
  es_network_source_t *s = es_allocate_zero(1, sizeof *s);
  *out = &s->base;
  if (!s) es_out_of_memory(status, "pipeline", "the network");
  ES_TRY(es_agree(c->settings->comm, status));
  s->base.class = &es_source_train;
  c->last = c->settings->dry_run ? 1 : es_point_last_epoch(c->point);
  return es_network_source_open(s, c, dataset, true, status);
}

static bool has(ES_UNUSED const es_point_source_t *source, es_split_t split, int32_t epoch) {
  return split == ES_EVAL || epoch > 0;
}

static void close_source(es_point_source_t *source) {
  if (source) es_network_source_close((es_network_source_t *)source);
  es_free(source);
}

/* Train samples cost one forward pass per epoch, and twice as much for backward. Eval samples cost one forward pass per
 * epoch and one before the first epoch. Measured steps cost their passes, covariances and eigenproblems. */
static double cost(const es_forecast_t *f) {
  const double epochs = f->point->train.epochs, macs = es_forecast_pass(f);
  return 3 * (double)f->samples[ES_TRAIN] * epochs * macs + (double)f->samples[ES_EVAL] * (epochs + 1) * macs +
         es_stepper_cost(f);
}

const es_source_class_t es_source_train = {.bytes = es_network_source_bytes,
                                           .cost = cost,
                                           .open = open_source,
                                           .has = has,
                                           .passes = &es_network_source_passes,
                                           .close = close_source};
