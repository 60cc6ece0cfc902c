#include "reader.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void fail(es_result_summary_t *out, es_outcome_t outcome, const char *path, const char *reason) {
  /* Remove the path from the message, because the caller knows it. */
  size_t length = strlen(path);
  if (strncmp(reason, path, length) == 0 && strncmp(reason + length, ": ", 2) == 0) reason += length + 2;
  out->outcome = outcome;
  snprintf(out->reason, sizeof out->reason, "%.*s", (int)sizeof out->reason - 1, reason);
}

double es_result_last_value(const es_result_t *result, es_field_t field) {
  const double *values = (const double *)result->data[field] + ES_EVAL * result->extent[ES_DIM_EPOCH];
  double last = NAN;
  for (int64_t epoch = 0; epoch < result->extent[ES_DIM_EPOCH]; epoch++) {
    if (!isnan(values[epoch])) last = values[epoch];
  }
  return last;
}

double es_result_last_saturation(const es_result_t *result) {
  static const es_split_t order[ES_SPLITS] = {ES_EVAL, ES_TRAIN};
  for (int i = 0; i < ES_SPLITS; i++) {
    for (int64_t epoch = result->extent[ES_DIM_EPOCH] - 1; epoch >= 0; epoch--) {
      if (es_result_epoch_measured(result, (int)order[i], epoch)) {
        double mean = NAN;
        for (int64_t delta = 0; delta < result->extent[ES_DIM_DELTA] && isnan(mean); delta++) {
          mean = es_result_mean_saturation(result, order[i], epoch, delta);
        }
        return mean;
      }
    }
  }
  return NAN;
}

static void fill(es_result_summary_t *out, const char *path, const es_reader_t *reader) {
  const char *outcome = es_reader_text(reader, "outcome");
  if (strcmp(outcome, "complete") == 0)
    out->outcome = ES_OUTCOME_COMPLETE;
  else if (strcmp(outcome, "diverged") == 0)
    out->outcome = ES_OUTCOME_DIVERGED;
  else {
    fail(out, ES_OUTCOME_DAMAGED, path, "the attribute outcome must be \"complete\" or \"diverged\"");
    return;
  }
  const es_result_t *result = reader->result;
  snprintf(out->reason, sizeof out->reason, "%s", es_reader_text(reader, "reason"));
  es_text_make_plain(out->reason);
  snprintf(out->fingerprint, sizeof out->fingerprint, "%s", es_reader_text(reader, "dataset_fingerprint"));
  out->epochs = result->epoch[result->extent[ES_DIM_EPOCH] - 1];
  out->stopped_at = es_reader_stop(reader);
  out->accuracy = es_result_last_value(result, ES_FIELD_ACCURACY);
  out->loss = es_result_last_value(result, ES_FIELD_LOSS);
  out->mean_saturation = es_result_last_saturation(result);
}

void es_result_summarize(es_result_summary_t *out, const char *path) {
  static const bool wanted[ES_FIELDS] = {[ES_FIELD_LAYER_OUTPUT] = true,
                                         [ES_FIELD_LOSS] = true,
                                         [ES_FIELD_ACCURACY] = true,
                                         [ES_FIELD_FLAGS] = true,
                                         [ES_FIELD_SATURATION] = true};
  *out = (es_result_summary_t){.accuracy = NAN, .loss = NAN, .mean_saturation = NAN};
  struct stat facts;
  /* ENOTDIR: a part of the path is a file, so the result is missing too. */
  if (stat(path, &facts) != 0) {
    out->outcome = ES_OUTCOME_MISSING;
    if (errno != ENOENT && errno != ENOTDIR) fail(out, ES_OUTCOME_UNREADABLE, path, strerror(errno));
    return;
  }
  if (S_ISDIR(facts.st_mode)) {
    fail(out, ES_OUTCOME_DAMAGED, path, strerror(EISDIR));
    return;
  }
  es_status_t status = {0};
  es_reader_t reader;
  es_code_t code = es_reader_load(&reader, path, wanted, &status);
  out->schema_version = reader.schema_version;
  if (code == ES_OK)
    fill(out, path, &reader);
  else
    fail(out, code == ES_INPUT ? ES_OUTCOME_DAMAGED : ES_OUTCOME_UNREADABLE, path, status.message);
  es_reader_destroy(&reader);
}
