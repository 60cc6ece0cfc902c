/* What a point leaves on disk: states while it is under way, weights, and the result. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/file.h"
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static es_code_t restore(void *context, const es_safetensors_t *file, es_status_t *status) {
  ES_TRY(flow_spaces_restore(context, file, status));
  return flow_probe_restore(context, file, status);
}

/* What a state holds: of weights that come from files nothing, they are read again. */
static es_state_content_t content_of(flow_t *f) {
  const bool trained = flow_is_trained(f);
  return (es_state_content_t){.graph = trained ? f->graph : NULL,
                              .trainer = trained ? f->trainer : NULL,
                              .result = f->result,
                              .restore = restore,
                              .restore_context = f};
}

/* A state, with what eigenspaces and probes go on from. Not collective. */
static es_code_t save_state(flow_t *f, const char *path, int32_t epoch, es_status_t *status) {
  const es_tensor_view_t *spaces = NULL;
  const int n = f->spaces ? es_eigenspaces_tensors(f->spaces, &spaces) : 0;
  es_tensor_view_t *extra = es_allocate((size_t)(n + f->n_probes), sizeof *extra);
  es_state_content_t content = content_of(f);
  if (!extra) return es_fail(status, ES_SYSTEM, "checkpoint", "%s: out of memory", path);
  if (n > 0) memcpy(extra, spaces, (size_t)n * sizeof *extra);
  if (f->n_probes > 0) memcpy(extra + n, f->probes, (size_t)f->n_probes * sizeof *extra);
  content.extra = extra;
  content.n_extra = n + f->n_probes;
  const es_code_t code = es_state_save(path, &f->key, epoch, &content, status);
  es_free(extra);
  return code;
}

static bool is_saved(const flow_t *f, int32_t epoch) {
  return epoch % f->point->checkpoint.every == 0 || flow_is_last(f, epoch);
}

es_code_t flow_save(flow_t *f, int32_t epoch, es_status_t *status) {
  const es_checkpoint_settings_t *c = &f->point->checkpoint;
  const bool trained = flow_is_trained(f), last = flow_is_last(f, epoch);
  if (f->pipeline->dry_run || (trained && !is_saved(f, epoch))) return ES_OK;
  const double start = es_clock();
  char path[ES_PATH_MAX];
  if (trained && flow_is_leader(f) && c->keep == ES_KEEP_ALL) {
    es_weights_path(path, f->pipeline->output, f->id, epoch);
    es_weights_save(path, &f->key, epoch, f->graph, f->trainer, status);
  }
  if (trained && flow_is_leader(f) && c->keep == ES_KEEP_LAST && last) {
    es_weights_path(path, f->pipeline->output, f->id, -1);
    es_weights_save(path, &f->key, epoch, f->graph, f->trainer, status);
  }
  if (flow_is_leader(f) && status->code == ES_OK && !last) { /* the last epoch is in the result */
    es_state_path(path, f->pipeline->output, f->id);
    save_state(f, path, epoch, status);
  }
  flow_charge(f, ES_STAGE_STORE, start);
  return es_agree(f->group.comm, status);
}

enum { PROVENANCE_MOST = 64 };

/* The run's provenance and this point's own. `texts` keeps the values alive. */
static int complete_provenance(const flow_t *f, es_provenance_t *out, char texts[3][64]) {
  int n = 0;
  for (; n < f->pipeline->n_provenance && n < PROVENANCE_MOST - 6; n++) out[n] = f->pipeline->provenance[n];
  snprintf(texts[0], sizeof texts[0], "%d", f->group.size);
  snprintf(texts[1], sizeof texts[1], "%.3f", es_clock() - f->started);
  out[n++] = (es_provenance_t){"ranks_per_point", texts[0]};
  out[n++] = (es_provenance_t){"started", f->start};
  out[n++] = (es_provenance_t){"elapsed_seconds", texts[1]};
  if (f->files) out[n++] = (es_provenance_t){"checkpoint_files", f->files};
  if (f->hashes) out[n++] = (es_provenance_t){"checkpoint_hashes", f->hashes};
  return n;
}

/* Where the point has a result already, else where it belongs. */
static void result_path(const flow_t *f, char out[ES_PATH_MAX]) {
  if (!es_result_find(out, f->pipeline->output, f->id))
    es_result_path(out, f->pipeline->output, f->id, f->pipeline->n_points);
}

/* The epoch after which training ended before its time, else 0. */
static int32_t stopped_at(const flow_t *f) {
  return f->point->source == ES_SOURCE_TRAIN && f->last < f->point->train.epochs ? f->last : 0;
}

/* The leader writes the result and removes the state; all ranks learn whether that worked. */
es_code_t flow_write_result(flow_t *f, const char *outcome, const char *reason, es_status_t *status) {
  if (f->dataset && es_dataset_is_streamed(f->dataset)) { /* no number stands on an image that could not be read */
    (void)es_dataset_failure(f->dataset, status);
    ES_TRY(es_agree(f->group.comm, status));
  }
  flow_stability_last(f);
  ES_TRY(flow_spaces_last(f, status));
  const double start = es_clock();
  if (flow_is_leader(f)) {
    char path[ES_PATH_MAX], state[ES_PATH_MAX], texts[3][64];
    es_provenance_t provenance[PROVENANCE_MOST];
    es_text_t job = {0};
    es_point_describe(f->point, f->pipeline->job_name, &job);
    const es_result_header_t header = {.point = f->point,
                                       .point_id = f->id,
                                       .job_name = f->pipeline->job_name,
                                       .job = es_text_get(&job),
                                       .outcome = outcome,
                                       .reason = reason,
                                       .stopped_at = stopped_at(f),
                                       .train_mode = flow_is_trained(f) ? "training" : "inference",
                                       .fingerprint = f->key.fingerprint,
                                       .normalize_mean = f->samples[ES_TRAIN].mean,
                                       .normalize_deviation = f->samples[ES_TRAIN].deviation,
                                       .provenance = provenance,
                                       .n_provenance = complete_provenance(f, provenance, texts)};
    result_path(f, path);
    es_state_path(state, f->pipeline->output, f->id);
    if (job.failed)
      es_fail(status, ES_SYSTEM, "store", "%s: cannot be written: out of memory for the description of the job", path);
    else if (es_result_write(path, f->result, &header, status) == ES_OK)
      es_state_remove(state);
    es_text_destroy(&job);
  }
  flow_charge(f, ES_STAGE_STORE, start);
  return es_agree(f->group.comm, status);
}

/* Parts of files that a killed run left beside this point's. Of weights only those of the next save can be there, which
 * is sooner than usual if training ended early: each save writes them before the state. */
static void remove_leftovers(const flow_t *f, int32_t done) {
  const es_checkpoint_settings_t *c = &f->point->checkpoint;
  char path[ES_PATH_MAX], previous[ES_PATH_MAX];
  if (!flow_is_leader(f) || f->pipeline->dry_run) return;
  result_path(f, path);
  es_file_remove_parts(path);
  es_state_path(path, f->pipeline->output, f->id);
  es_file_remove_parts(path);
  es_state_previous_path(previous, path);
  es_file_remove_parts(previous);
  if (!flow_is_trained(f) || c->keep == ES_KEEP_NONE) return;
  int32_t next = done;
  do {
    es_weights_path(path, f->pipeline->output, f->id, c->keep == ES_KEEP_ALL ? ++next : -1);
    es_file_remove_parts(path);
  } while (c->keep == ES_KEEP_ALL && !is_saved(f, next));
}

es_code_t flow_resume(flow_t *f, int32_t *done, es_status_t *status) {
  char path[ES_PATH_MAX];
  *done = -1;
  ES_TRY(flow_spaces_open(f, status));
  ES_TRY(flow_projection_open(f, status));
  if (f->pipeline->dry_run) return ES_OK;
  es_state_path(path, f->pipeline->output, f->id);
  const es_state_content_t content = content_of(f);
  char warning[512];
  ES_TRY(es_state_resume(done, path, &f->key, &f->group, &content, f->pipeline->accept_cpu_change, warning, status));
  if (warning[0] != '\0') flow_warn(f, warning);
  if (*done >= 0 && f->spaces) ES_TRY(es_eigenspaces_resume(f->spaces, status));
  remove_leftovers(f, *done);
  return ES_OK;
}
