#include "save.h"
#include "eigenscope/clock.h"
#include "eigenscope/file.h"
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include <stdio.h>
#include <string.h>

/* Trained weights are saved. Weights loaded from files are not saved, because they can be loaded again. */
static es_state_content_t content_of(es_context_t *c, const es_point_source_t *source, es_analyses_t *analyses) {
  return (es_state_content_t){.graph = source->graph,
                              .trainer = source->trainer,
                              .result = c->result,
                              .journal = &c->journal,
                              .restore = es_analyses_restore,
                              .restore_context = analyses};
}

static bool is_saved(const es_context_t *c, int32_t epoch) {
  return epoch % c->point->checkpoint.every == 0 || epoch == c->last;
}

/* Says once that another run computes this point too, for example because a lost node's task was started again while it
 * still ran. Each run writes files of its own under names of its own, and replaces files whole, so both end right. */
static void note_sharing(es_context_t *c) {
  if (!c->shared)
    es_context_warn(c, "another run computes this point at the same time; both continue, and their results are equal");
  c->shared = true;
}

/* Called on the leader only. */
static void save_state(es_context_t *c, const es_point_source_t *source, es_analyses_t *analyses, int32_t epoch,
                       es_status_t *status) {
  char path[ES_PATH_MAX];
  es_tensor_view_t *tensors = NULL;
  es_state_content_t content = content_of(c, source, analyses);
  es_state_path(path, c->settings->output, c->id);
  if (es_analyses_save(analyses, &tensors, &content.n_extra, status) == ES_OK) {
    content.extra = tensors;
    const es_file_stamp_t now = es_file_stamp(path);
    if (es_file_stamp_exists(now) && !es_file_stamp_equal(c->state, now)) note_sharing(c);
    es_state_save(path, &source->key, epoch, &content, status);
    c->state = es_file_stamp(path);
  }
  es_free(tensors);
}

es_code_t es_save_epoch(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, int32_t epoch, bool stops,
                        es_status_t *status) {
  const bool trained = source->trainer != NULL, last = epoch == c->last, due = !trained || is_saved(c, epoch);
  const es_keep_t keep = trained && due ? c->point->checkpoint.keep : ES_KEEP_NONE;
  if (c->settings->dry_run || (!due && !stops)) return ES_OK;
  const double start = es_clock();
  if (es_context_is_leader(c)) {
    if (keep == ES_KEEP_ALL || (keep == ES_KEEP_LAST && last)) {
      char path[ES_PATH_MAX];
      es_weights_path(path, c->settings->output, c->id, keep == ES_KEEP_ALL ? epoch : -1);
      es_weights_save(path, &source->key, epoch, source->graph, source->trainer, status);
    }
    if (status->code == ES_OK && (!last || stops)) save_state(c, source, analyses, epoch, status);
  }
  es_timing_charge(&c->timing, ES_STAGE_STORE, start);
  return es_agree(c->group.comm, status);
}

/* ---- the result ---- */

enum { PROVENANCE_MOST = 64 };

/* Lists the provenance of the run and of this point. The values of this point lie in `texts`. Where the CPU lacks
 * instructions for the point's precision, `onednn` says so. */
static int complete_provenance(const es_context_t *c, const es_point_source_t *source, es_provenance_t *out,
                               char texts[3][128]) {
  const es_precision_t precision = c->point->train.precision;
  const bool emulated = es_source_has_network(c->point->source) && es_model_emulates(precision);
  int n = 0;
  for (; n < c->settings->n_provenance && n < PROVENANCE_MOST - 6; n++) {
    out[n] = c->settings->provenance[n];
    if (!emulated || strcmp(out[n].name, "onednn") != 0) continue;
    snprintf(texts[2], sizeof texts[2], "%.64s; %s emulated", out[n].value, es_precision_words[precision]);
    out[n].value = texts[2];
  }
  snprintf(texts[0], sizeof texts[0], "%d", c->group.size);
  snprintf(texts[1], sizeof texts[1], "%.3f", es_clock() - c->timing.started);
  out[n++] = (es_provenance_t){"ranks_per_point", texts[0]};
  out[n++] = (es_provenance_t){"started", c->timing.start};
  out[n++] = (es_provenance_t){"elapsed_seconds", texts[1]};
  if (source->files) out[n++] = (es_provenance_t){"checkpoint_files", source->files};
  if (source->hashes) out[n++] = (es_provenance_t){"checkpoint_hashes", source->hashes};
  return n;
}

es_code_t es_save_result(es_context_t *c, const es_point_source_t *source, const char *outcome, const char *reason,
                         es_status_t *status) {
  if (source->dataset && es_dataset_is_streamed(source->dataset)) { /* fail if an image could not be read */
    (void)es_dataset_failure(source->dataset, status);
    ES_TRY(es_agree(c->group.comm, status));
  }
  const double start = es_clock();
  if (es_context_is_leader(c)) {
    static const double no_mean[3] = {0.0, 0.0, 0.0};
    char path[ES_PATH_MAX], state[ES_PATH_MAX], texts[3][128];
    es_provenance_t provenance[PROVENANCE_MOST];
    es_text_t job = {0};
    es_point_describe(c->point, c->settings->job_name, &job);
    const bool trained = c->point->source == ES_SOURCE_TRAIN, early = trained && c->last < c->point->train.epochs;
    const es_result_header_t header = {.point = c->point,
                                       .point_id = c->id,
                                       .job_name = c->settings->job_name,
                                       .job = es_text_get(&job),
                                       .outcome = outcome,
                                       .reason = reason,
                                       .stopped_at = early ? c->last : 0,
                                       .train_mode = c->point->source == ES_SOURCE_MOMENTS ? "recorded"
                                                     : trained                             ? "training"
                                                                                           : "inference",
                                       .fingerprint = source->key.fingerprint,
                                       .normalize_mean = source->normalize_mean ? source->normalize_mean : no_mean,
                                       .normalize_deviation =
                                           source->normalize_deviation ? source->normalize_deviation : no_mean,
                                       .provenance = provenance,
                                       .n_provenance = complete_provenance(c, source, provenance, texts)};
    es_context_result_path(c, path);
    es_state_path(state, c->settings->output, c->id);
    es_result_summary_t existing;
    es_result_summarize(&existing, path);
    if (existing.outcome == ES_OUTCOME_COMPLETE) note_sharing(c); /* this run began without a complete result */
    if (job.failed)
      es_fail(status, ES_SYSTEM, "store", "%s: cannot be written: out of memory for the description of the job", path);
    else if (es_result_write(path, c->result, &header, status) == ES_OK && strcmp(outcome, "stopped") != 0)
      es_state_remove(state);
    es_text_destroy(&job);
  }
  es_timing_charge(&c->timing, ES_STAGE_STORE, start);
  return es_agree(c->group.comm, status);
}

/* ---- resuming ---- */

/* Removes parts of files that a killed run left for this point. A save writes weights before the state, so only the
 * next save can have left parts of weights. That save comes earlier than usual if training ended early. */
static void remove_leftovers(const es_context_t *c, bool trained, int32_t done) {
  const es_keep_t keep = trained ? c->point->checkpoint.keep : ES_KEEP_NONE;
  char path[ES_PATH_MAX], previous[ES_PATH_MAX];
  es_context_result_path(c, path);
  es_file_remove_parts(path);
  es_state_path(path, c->settings->output, c->id);
  es_file_remove_parts(path);
  es_state_previous_path(previous, path);
  es_file_remove_parts(previous);
  if (keep == ES_KEEP_NONE) return;
  int32_t next = done;
  do {
    es_weights_path(path, c->settings->output, c->id, keep == ES_KEEP_ALL ? ++next : -1);
    es_file_remove_parts(path);
  } while (keep == ES_KEEP_ALL && !is_saved(c, next));
}

es_code_t es_save_resume(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, int32_t *done,
                         es_status_t *status) {
  char path[ES_PATH_MAX], warning[512];
  *done = -1;
  if (c->settings->dry_run) return ES_OK;
  es_state_path(path, c->settings->output, c->id);
  c->state = es_file_stamp(path);
  const es_state_content_t content = content_of(c, source, analyses);
  ES_TRY(
      es_state_resume(done, path, &source->key, &c->group, &content, c->settings->accept_cpu_change, warning, status));
  if (warning[0] != '\0') es_context_warn(c, warning);
  if (*done >= 0) ES_TRY(es_analyses_resume(analyses, status));
  if (es_context_is_leader(c)) remove_leftovers(c, source->trainer != NULL, *done);
  return ES_OK;
}
