/* source: checkpoint. Weights from files, one file for each epoch, measured in inference mode. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/weights.h"
#include <math.h>
#include <string.h>

/* What the files are. */
typedef struct files {
  char fingerprint[ES_ID_SIZE];
  es_text_t paths, hashes; /* a line each, and with a blank between them; the leader's */
} files_t;

/* The leader reads what tells the files from any others. */
static es_code_t look_at_files(flow_t *f, files_t *files, es_status_t *status) {
  char path[ES_PATH_MAX];
  for (int32_t i = 0; flow_is_leader(f) && i <= f->last && status->code == ES_OK; i++) {
    if (es_weights_file(path, f->point, i, status) == ES_OK)
      es_text_append(&files->paths, "%s%s", i > 0 ? "\n" : "", path);
  }
  if (flow_is_leader(f) && status->code == ES_OK)
    es_weights_fingerprint(f->point, es_dataset_fingerprint(f->dataset), files->fingerprint, &files->hashes, status);
  if (files->paths.failed || files->hashes.failed)
    es_out_of_memory(status, "checkpoint", "the names of the files of weights");
  ES_TRY(es_agree(f->group.comm, status));
  ES_MPI(MPI_Bcast(files->fingerprint, sizeof files->fingerprint, MPI_BYTE, 0, f->group.comm));
  f->key.fingerprint = files->fingerprint;
  f->files = es_text_get(&files->paths);
  f->hashes = es_text_get(&files->hashes);
  return ES_OK;
}

static es_code_t load(flow_t *f, int32_t epoch, es_status_t *status) {
  char path[ES_PATH_MAX] = "";
  const double start = es_clock();
  if (flow_is_leader(f)) es_weights_file(path, f->point, epoch, status);
  ES_TRY(es_agree(f->group.comm, status));
  const char *hash = f->hashes + (flow_is_leader(f) ? epoch * ES_ID_SIZE : 0);
  ES_TRY(es_weights_load(path, hash, f->graph, es_trainer_model(f->trainer), &f->group, status));
  flow_charge(f, ES_STAGE_PREPARE, start);
  return ES_OK;
}

static es_code_t measure_epoch(flow_t *f, int32_t epoch, es_status_t *status) {
  const double start = es_clock();
  const es_external_t *e = &f->point->external;
  const bool *splits = f->point->measure.splits;
  es_epoch_report_t r = {.point = f->point,
                         .point_id = f->id,
                         .epoch = es_external_epoch(e, epoch),
                         .epochs = es_external_epoch(e, f->last)};
  r.stats[ES_EVAL].accuracy = NAN;
  ES_TRY(load(f, epoch, status));
  for (int split = 0; split < ES_SPLITS; split++) {
    if (splits[split]) ES_TRY(flow_split(f, (es_split_t)split, epoch, &r.stats[split], status));
  }
  ES_TRY(flow_probes(f, epoch, status));
  *es_result_f64(f->result, ES_FIELD_SECONDS, epoch, 0, 0, 0) = es_clock() - start;
  r.saturation = es_result_mean_saturation(f->result, splits[ES_EVAL] ? ES_EVAL : ES_TRAIN, epoch, 0);
  flow_report(f, &r);
  return ES_OK;
}

static es_code_t run(flow_t *f, files_t *files, es_status_t *status) {
  int32_t done = -1;
  const double start = es_clock();
  ES_TRY(flow_network_open(f, status));
  ES_TRY(look_at_files(f, files, status));
  ES_TRY(flow_resume(f, &done, status));
  flow_charge(f, ES_STAGE_PREPARE, start);
  if (f->pipeline->dry_run) f->last = 0;
  return flow_epochs(f, done, measure_epoch, status);
}

es_code_t flow_checkpoint(flow_t *f, es_status_t *status) {
  files_t files = {0};
  const es_code_t code = run(f, &files, status);
  es_text_destroy(&files.paths);
  es_text_destroy(&files.hashes);
  return code;
}
