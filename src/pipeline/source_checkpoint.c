/* source: checkpoint. Weights are loaded from files, one file per epoch, and measured in inference mode. */
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/weights.h"
#include "source_network.h"
#include <string.h>

typedef struct es_checkpoint_source {
  es_network_source_t network;
  char fingerprint[ES_ID_SIZE]; /* of the files and the datasets */
  es_text_t paths, hashes;      /* of the files; paths end in newlines, hashes in blanks; leader only */
} es_checkpoint_source_t;

/* The leader reads the paths and hashes that identify the files, and broadcasts the fingerprint. */
static es_code_t inspect_files(es_checkpoint_source_t *s, es_status_t *status) {
  es_context_t *c = s->network.base.context;
  char path[ES_PATH_MAX];
  for (int32_t i = 0; es_context_is_leader(c) && i <= c->last && status->code == ES_OK; i++) {
    if (es_weights_file(path, c->point, i, status) == ES_OK) es_text_append(&s->paths, "%s%s", i > 0 ? "\n" : "", path);
  }
  if (es_context_is_leader(c) && status->code == ES_OK)
    es_weights_fingerprint(c->point, s->network.data, s->fingerprint, &s->hashes, status);
  if (s->paths.failed || s->hashes.failed) es_out_of_memory(status, "checkpoint", "the names of the files of weights");
  ES_TRY(es_agree(c->group.comm, status));
  ES_MPI(MPI_Bcast(s->fingerprint, sizeof s->fingerprint, MPI_BYTE, 0, c->group.comm));
  s->network.base.key.fingerprint = s->fingerprint;
  s->network.base.files = es_text_get(&s->paths);
  s->network.base.hashes = es_text_get(&s->hashes);
  return ES_OK;
}

static es_code_t open_source(es_point_source_t **out, es_context_t *c, const es_dataset_t *dataset,
                             es_status_t *status) {
  es_checkpoint_source_t *s = es_allocate_zero(1, sizeof *s);
  *out = (es_point_source_t *)s;
  if (!s) es_out_of_memory(status, "pipeline", "the network");
  ES_TRY(es_agree(c->settings->comm, status));
  s->network.base.class = &es_source_checkpoint;
  c->last = es_point_last_epoch(c->point);
  ES_TRY(es_network_source_open(&s->network, c, dataset, false, status));
  ES_TRY(inspect_files(s, status));
  if (c->settings->dry_run) c->last = 0;
  return ES_OK;
}

static es_code_t load_weights(es_point_source_t *source, int32_t epoch, es_status_t *status) {
  es_checkpoint_source_t *s = (es_checkpoint_source_t *)source;
  es_context_t *c = source->context;
  char path[ES_PATH_MAX] = "";
  const double start = es_clock();
  if (es_context_is_leader(c)) es_weights_file(path, c->point, epoch, status);
  ES_TRY(es_agree(c->group.comm, status));
  const char *hash = source->hashes + (es_context_is_leader(c) ? epoch * ES_ID_SIZE : 0);
  ES_TRY(es_weights_load(path, hash, s->network.graph, es_trainer_model(s->network.trainer), &c->group, status));
  es_timing_charge(&c->timing, ES_STAGE_PREPARE, start);
  return ES_OK;
}

static bool has(const es_point_source_t *source, es_split_t split, ES_UNUSED int32_t epoch) {
  return source->context->point->measure.splits[split];
}

static void close_source(es_point_source_t *source) {
  es_checkpoint_source_t *s = (es_checkpoint_source_t *)source;
  if (!s) return;
  es_network_source_close(&s->network);
  es_text_destroy(&s->paths);
  es_text_destroy(&s->hashes);
  es_free(s);
}

/* One forward pass over each measured split for each file. */
static double cost(const es_forecast_t *f) {
  double samples = 0;
  for (int split = 0; split < ES_SPLITS; split++)
    if (f->point->measure.splits[split]) samples += (double)f->samples[split];
  return es_external_epochs(&f->point->external) * samples * es_forecast_pass(f);
}

const es_source_class_t es_source_checkpoint = {.bytes = es_network_source_bytes,
                                                .cost = cost,
                                                .open = open_source,
                                                .begin = load_weights,
                                                .has = has,
                                                .passes = &es_network_source_passes,
                                                .close = close_source};
