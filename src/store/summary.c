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

/* Finds the last measured epoch of the eval split, or of the train split if eval was not measured. */
static bool last_measured(const es_result_t *result, es_split_t *split, int64_t *epoch) {
  static const es_split_t order[ES_SPLITS] = {ES_EVAL, ES_TRAIN};
  for (int i = 0; i < ES_SPLITS; i++) {
    for (*epoch = result->extent[ES_DIM_EPOCH] - 1; *epoch >= 0; --*epoch) {
      *split = order[i];
      if (es_result_epoch_measured(result, (int)*split, *epoch)) return true;
    }
  }
  return false;
}

double es_result_last_saturation(const es_result_t *result, int64_t delta) {
  es_split_t split;
  int64_t epoch;
  return last_measured(result, &split, &epoch) ? es_result_mean_saturation(result, split, epoch, delta) : NAN;
}

double es_result_layer_saturation(const es_result_t *result, int64_t delta, int64_t layer) {
  es_split_t split;
  int64_t epoch;
  if (!last_measured(result, &split, &epoch)) return NAN;
  const int64_t at[ES_DIMENSIONS] = {
      [ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch, [ES_DIM_LAYER] = layer, [ES_DIM_DELTA] = delta};
  return es_result_value(result, ES_FIELD_SATURATION, at);
}

es_outcome_t es_reader_outcome(const es_reader_t *reader) {
  static const struct {
    const char *word;
    es_outcome_t outcome;
  } rows[] = {{"complete", ES_OUTCOME_COMPLETE}, {"diverged", ES_OUTCOME_DIVERGED}, {"stopped", ES_OUTCOME_STOPPED}};
  const char *word = es_reader_text(reader, "outcome");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (strcmp(word, rows[i].word) == 0) return rows[i].outcome;
  }
  return ES_OUTCOME_DAMAGED;
}

int32_t es_reader_reached(const es_reader_t *reader) {
  const es_result_t *result = reader->result;
  const double *seconds = result->data[ES_FIELD_SECONDS];
  const int32_t stop = es_reader_stop(reader);
  int64_t epoch = result->extent[ES_DIM_EPOCH] - 1;
  if (stop > 0 || strcmp(es_reader_text(reader, "outcome"), "complete") == 0)
    return stop > 0 ? stop : result->epoch[epoch];
  while (epoch > 0 && isnan(seconds[epoch])) epoch--;
  return isnan(seconds[epoch]) ? 0 : result->epoch[epoch];
}

es_code_t es_reader_delta(const es_reader_t *reader, double asked, int64_t *out) {
  const double *deltas = reader->result->delta;
  const int64_t n = reader->result->extent[ES_DIM_DELTA];
  es_text_t list = {0};
  char number[32];
  *out = es_headline_delta(deltas, n);
  if (asked == ES_DELTA_ANY) return ES_OK;
  for (*out = 0; *out < n && deltas[*out] != asked; ++*out) {
  }
  if (*out < n) return ES_OK;
  for (int64_t i = 0; i < n; i++)
    es_text_append(&list, "%s%s", i == 0 ? "" : i < n - 1 ? ", " : " and ", es_text_double(deltas[i], number));
  const es_code_t code =
      es_fail(reader->status, ES_INPUT, STORE_STAGE, "%s: delta %s was not measured; it was measured at %s",
              reader->path, es_text_double(asked, number), es_text_get(&list));
  es_text_destroy(&list);
  return code;
}

static void fill(es_result_summary_t *out, const char *path, const es_reader_t *reader) {
  out->outcome = es_reader_outcome(reader);
  if (out->outcome == ES_OUTCOME_DAMAGED) {
    fail(out, ES_OUTCOME_DAMAGED, path, ES_NO_OUTCOME);
    return;
  }
  const es_result_t *result = reader->result;
  const char *classes = es_reader_attribute(reader, "classes");
  int64_t number;
  if (classes != NULL && es_text_to_int(classes, &number) && number > 0 && number <= INT32_MAX)
    out->classes = (int32_t)number;
  snprintf(out->reason, sizeof out->reason, "%s", es_reader_text(reader, "reason"));
  es_text_make_plain(out->reason);
  snprintf(out->fingerprint, sizeof out->fingerprint, "%s", es_reader_text(reader, "dataset_fingerprint"));
  es_kind_name(out->kind, es_reader_text(reader, "onednn"), es_reader_text(reader, "blas"));
  out->epochs = result->epoch[result->extent[ES_DIM_EPOCH] - 1];
  out->reached = es_reader_reached(reader);
  out->accuracy = es_result_last_value(result, ES_FIELD_ACCURACY);
  out->loss = es_result_last_value(result, ES_FIELD_LOSS);
  out->mean_saturation =
      es_result_last_saturation(result, es_headline_delta(result->delta, result->extent[ES_DIM_DELTA]));
}

typedef es_code_t load_t(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status);

static void summarize(es_result_summary_t *out, const char *path, load_t *load) {
  static const bool wanted[ES_FIELDS] = {
      [ES_FIELD_LAYER_OUTPUT] = true, [ES_FIELD_LOSS] = true,  [ES_FIELD_ACCURACY] = true,
      [ES_FIELD_SECONDS] = true,      [ES_FIELD_FLAGS] = true, [ES_FIELD_SATURATION] = true};
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
  es_code_t code = load(&reader, path, wanted, &status);
  out->schema_version = reader.schema_version;
  if (code == ES_OK)
    fill(out, path, &reader);
  else
    fail(out, code == ES_INPUT ? ES_OUTCOME_DAMAGED : ES_OUTCOME_UNREADABLE, path, status.message);
  es_reader_destroy(&reader);
}

void es_result_summarize(es_result_summary_t *out, const char *path) {
  summarize(out, path, es_reader_load);
}

void es_result_glance(es_result_summary_t *out, const char *path) {
  summarize(out, path, es_reader_load_some);
}
