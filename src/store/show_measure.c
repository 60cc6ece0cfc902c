/* One measure of a result: numbers of layers, classes or the whole network by epochs, or a confusion. */
#include "eigenscope/memory.h"
#include "eigenscope/scores.h"
#include "show.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
  CONFUSION_CLASSES = 12, /* largest confusion that is shown as a matrix */
  CONFUSION_PAIRS = 20    /* else the most frequent confusions */
};

typedef enum rows { OF_LAYERS, OF_CLASSES, OF_NETWORK, OF_CONFUSION } rows_t;

/* One measure. Rows are layers, classes, or one row. */
typedef struct sheet {
  const es_reader_t *reader;
  const es_result_t *result;
  const char *name;
  const char *dataset_name; /* of a variable of probes on other datasets: what is behind the colon, or NULL */
  int64_t dataset;          /* its index */
  rows_t rows;
  es_field_t field; /* of a variable, else ES_FIELDS */
  es_score_t score; /* of a score */
  bool mean_alone;  /* balanced_accuracy: only the mean of the score */
  bool by_delta, by_split;
  int64_t delta_first, delta_last; /* of a variable with deltas */
  int64_t probe;                   /* the layer whose probe is shown, −1 for the network */
  int split;
  int64_t delta;
} sheet_t;

/* ---- numbers ---- */

/* Index of the counts of an epoch: of the network the epoch, of a probe the probe epoch, −1 if there is none. */
static int64_t counts_epoch(const sheet_t *s, int64_t epoch) {
  return s->probe < 0 ? epoch : es_result_probe_epoch_index(s->result, s->result->epoch[epoch]);
}

/* Samples with a label and a prediction, −1 if unknown. */
static int64_t confusion_at(const sheet_t *s, int64_t epoch, int64_t label, int64_t prediction) {
  const int64_t at[ES_DIMENSIONS] = {[ES_DIM_EPOCH] = epoch,
                                     [ES_DIM_PROBE_EPOCH] = counts_epoch(s, epoch),
                                     [ES_DIM_LAYER] = s->probe,
                                     [ES_DIM_CLASS] = label,
                                     [ES_DIM_PREDICTED_CLASS] = prediction};
  const es_field_t field = s->probe < 0 ? ES_FIELD_CONFUSION : ES_FIELD_PROBE_CONFUSION;
  if (at[ES_DIM_PROBE_EPOCH] < 0) return -1;
  const size_t index = es_result_index(s->result, field, at);
  return s->probe < 0 ? ((const int32_t *)s->result->data[field])[index]
                      : ((const int64_t *)s->result->data[field])[index];
}

/* Counts of a class of the network; false if the epoch has none. */
static bool count_network(const sheet_t *s, int64_t epoch, int64_t class, es_score_counts_t *out) {
  const es_result_t *r = s->result;
  int64_t at[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = s->split, [ES_DIM_EPOCH] = epoch};
  const int32_t *samples = (const int32_t *)r->data[ES_FIELD_CLASS_SAMPLES] + es_result_index(r, ES_FIELD_RECALL, at);
  at[ES_DIM_CLASS] = class;
  const size_t index = es_result_index(r, ES_FIELD_RECALL, at);
  *out = (es_score_counts_t){.samples = samples[class],
                             .predictions = ((const int32_t *)r->data[ES_FIELD_CLASS_PREDICTIONS])[index]};
  if (out->samples < 0) return false;
  if (out->samples > 0) out->hits = llround(((const double *)r->data[ES_FIELD_RECALL])[index] * (double)out->samples);
  for (int64_t k = 0; k < r->extent[ES_DIM_CLASS]; k++) out->all += samples[k];
  return true;
}

/* As count_network, of a probe. */
static bool count_probe(const sheet_t *s, int64_t epoch, int64_t class, es_score_counts_t *out) {
  const int64_t classes = s->result->extent[ES_DIM_CLASS];
  *out = (es_score_counts_t){.hits = confusion_at(s, epoch, class, class)};
  if (out->hits < 0) return false;
  for (int64_t k = 0; k < classes; k++) {
    out->samples += confusion_at(s, epoch, class, k);
    out->predictions += confusion_at(s, epoch, k, class);
    for (int64_t j = 0; s->score == ES_SCORE_SPECIFICITY && j < classes; j++) out->all += confusion_at(s, epoch, k, j);
  }
  return true;
}

static bool count_class(const sheet_t *s, int64_t epoch, int64_t class, es_score_counts_t *out) {
  return (s->probe < 0 ? count_network : count_probe)(s, epoch, class, out);
}

/* Mean over the classes with samples. */
static double mean_of_classes(const sheet_t *s, int64_t epoch) {
  double sum = 0;
  int64_t n = 0;
  for (int64_t k = 0; k < s->result->extent[ES_DIM_CLASS]; k++) {
    es_score_counts_t counts;
    const double value = count_class(s, epoch, k, &counts) ? es_score(s->score, &counts) : (double)NAN;
    if (isnan(value)) continue;
    sum += value;
    n++;
  }
  return n > 0 ? sum / (double)n : (double)NAN;
}

static double variable_at(const sheet_t *s, int64_t row, int64_t epoch) {
  const int64_t at[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = s->split,
                                     [ES_DIM_EPOCH] = epoch,
                                     [ES_DIM_PROBE_EPOCH] =
                                         es_result_probe_epoch_index(s->result, s->result->epoch[epoch]),
                                     [ES_DIM_LAYER] = row,
                                     [ES_DIM_DELTA] = s->delta,
                                     [ES_DIM_PROBE_DATASET] = s->dataset};
  if (es_field_has(s->field, ES_DIM_PROBE_EPOCH) && at[ES_DIM_PROBE_EPOCH] < 0) return (double)NAN;
  const void *data = s->result->data[s->field];
  const size_t index = es_result_index(s->result, s->field, at);
  if (!es_result_measured(s->result, s->field, index)) return (double)NAN;
  switch (es_field_info(s->field)->type) {
  case ES_TYPE_F64:
    return ((const double *)data)[index];
  case ES_TYPE_I32:
    return ((const int32_t *)data)[index];
  default:
    return (double)((const int64_t *)data)[index];
  }
}

static double value_at(const sheet_t *s, int64_t row, int64_t epoch) {
  es_score_counts_t counts;
  if (s->field != ES_FIELDS) return variable_at(s, row, epoch);
  if (s->mean_alone) return mean_of_classes(s, epoch);
  return count_class(s, epoch, row, &counts) ? es_score(s->score, &counts) : (double)NAN;
}

static int64_t row_count(const sheet_t *s) {
  return s->rows == OF_NETWORK  ? 1
         : s->rows == OF_LAYERS ? s->result->extent[ES_DIM_LAYER]
                                : s->result->extent[ES_DIM_CLASS];
}

static bool is_shown(const sheet_t *s, int64_t row) {
  return s->rows != OF_LAYERS || es_show_layer(s->reader, row);
}

static bool has_number(const void *sheet, int64_t epoch) {
  const sheet_t *s = sheet;
  for (int64_t row = 0; row < row_count(s); row++) {
    if (is_shown(s, row) &&
        (s->rows == OF_CONFUSION ? confusion_at(s, epoch, row, row) >= 0 : !isnan(value_at(s, row, epoch))))
      return true;
  }
  return false;
}

/* ---- tables ---- */

static void title(es_text_t *out, const sheet_t *s) {
  char number[32];
  es_text_append(out, "%s%s", out->length > 0 ? "\n" : "", s->name);
  if (s->dataset >= 0) {
    es_text_append(out, ", dataset ");
    es_text_append_plain(out, s->result->probe_dataset[s->dataset]);
  }
  if (s->by_split) es_text_append(out, ", %s split", es_split_name(s->split));
  if (s->by_delta) es_text_append(out, ", delta %s", es_text_double(s->result->delta[s->delta], number));
  if (s->probe >= 0) {
    es_text_append(out, ", probe of ");
    es_text_append_plain(out, s->result->layers[s->probe].name);
  }
}

/* True if all values are whole numbers. */
static bool is_whole(es_field_t field) {
  return field != ES_FIELDS &&
         (field == ES_FIELD_NUMERICAL_RANK || field == ES_FIELD_ALPHA_REQ_LAST || field == ES_FIELD_LDA_RANK ||
          field == ES_FIELD_WEIGHTS_TAIL || es_field_info(field)->type != ES_TYPE_F64);
}

static void append_cell(es_text_t *out, const sheet_t *s, double value) {
  if (is_whole(s->field) && fabs(value) < 100000)
    es_text_append(out, "%*.0f ", ES_SHOW_COLUMN - 1, value);
  else
    es_show_scalar(out, value);
}

static void sheet_table(es_text_t *out, const sheet_t *s) {
  const int width = s->rows == OF_LAYERS ? es_show_name_width(s->result) : 16;
  const es_show_columns_t columns = es_show_choose(s->result, has_number, s, (ES_SHOW_WIDTH - width) / ES_SHOW_COLUMN);
  if (columns.n == 0) return;
  title(out, s);
  es_show_left_out(out, &columns);
  es_text_append(out, "\n%-*s", width, s->rows == OF_LAYERS ? "layer" : s->rows == OF_CLASSES ? "class" : "epoch");
  es_show_epochs(out, s->result, &columns);
  es_text_append(out, "\n");
  for (int64_t row = 0; row < row_count(s); row++) {
    char class[32];
    if (!is_shown(s, row)) continue;
    snprintf(class, sizeof class, "%lld", (long long)row);
    es_show_name(out, s->rows == OF_LAYERS ? s->result->layers[row].name : s->rows == OF_CLASSES ? class : "", width);
    for (int i = 0; i < columns.n; i++) append_cell(out, s, value_at(s, row, columns.epoch[i]));
    es_show_end_line(out);
  }
  if (s->rows != OF_CLASSES) return;
  es_text_append(out, "%-*s", width, "mean of classes");
  for (int i = 0; i < columns.n; i++) es_show_scalar(out, mean_of_classes(s, columns.epoch[i]));
  es_show_end_line(out);
}

static void confusion_matrix(es_text_t *out, const sheet_t *s, int64_t epoch) {
  const int64_t classes = s->result->extent[ES_DIM_CLASS];
  es_text_append(out, "\nlabel");
  for (int64_t j = 0; j < classes; j++) es_text_append(out, "%7lld", (long long)j);
  for (int64_t i = 0; i < classes; i++) {
    es_text_append(out, "\n%5lld", (long long)i);
    for (int64_t j = 0; j < classes; j++) es_text_append(out, "%7lld", (long long)confusion_at(s, epoch, i, j));
  }
  es_text_append(out, "\n");
}

/* The most frequent confusions; of equal ones the first. */
static void confusion_pairs(es_text_t *out, const sheet_t *s, int64_t epoch) {
  const int64_t classes = s->result->extent[ES_DIM_CLASS];
  int64_t most = INT64_MAX, after = -1; /* of the pair that was shown last */
  es_text_append(out, "; the most frequent confusions, csv has all\nlabel predicted samples\n");
  for (int shown = 0; shown < CONFUSION_PAIRS; shown++) {
    int64_t best = 0, place = -1;
    for (int64_t i = 0; i < classes * classes; i++) {
      const int64_t n = i / classes == i % classes ? 0 : confusion_at(s, epoch, i / classes, i % classes);
      if (n > best && (n < most || (n == most && i > after))) {
        best = n;
        place = i;
      }
    }
    if (place < 0) return;
    es_text_append(out, "%5lld %9lld %7lld\n", (long long)(place / classes), (long long)(place % classes),
                   (long long)best);
    most = best;
    after = place;
  }
}

static void confusion_table(es_text_t *out, const sheet_t *s) {
  int64_t epoch = s->result->extent[ES_DIM_EPOCH] - 1;
  while (epoch > 0 && !has_number(s, epoch)) epoch--;
  title(out, s);
  es_text_append(out, " of the eval split after epoch %d", (int)s->result->epoch[epoch]);
  if (s->result->extent[ES_DIM_CLASS] <= CONFUSION_CLASSES) {
    es_text_append(out, "; rows are labels, columns are predictions");
    confusion_matrix(out, s, epoch);
  } else {
    confusion_pairs(out, s, epoch);
  }
}

/* ---- csv and json: a row for each number ---- */

static void row_head(es_text_t *out, const sheet_t *s, bool json, int64_t row, int64_t epoch) {
  const char *layer = s->rows == OF_LAYERS ? s->result->layers[row].name
                      : s->probe >= 0      ? s->result->layers[s->probe].name
                                           : NULL;
  char number[32];
  if (json) {
    es_text_append(out, "%s\n  {", out->data[out->length - 1] == '[' ? "" : ",");
    if (s->by_split) es_text_append(out, "\"split\": \"%s\", ", es_split_name(s->split));
    es_text_append(out, "\"epoch\": %d, ", (int)s->result->epoch[epoch]);
    if (layer != NULL) {
      es_text_append(out, "\"layer\": ");
      es_text_append_quoted(out, layer);
      es_text_append(out, ", ");
    }
    if (s->by_delta) es_text_append(out, "\"delta\": %s, ", es_text_double(s->result->delta[s->delta], number));
    if (s->rows == OF_CLASSES || s->rows == OF_CONFUSION) es_text_append(out, "\"class\": %lld, ", (long long)row);
    return;
  }
  if (s->by_split) es_text_append(out, "%s,", es_split_name(s->split));
  es_text_append(out, "%d,", (int)s->result->epoch[epoch]);
  if (layer != NULL) {
    es_text_append_csv(out, layer);
    es_text_append(out, ",");
  }
  if (s->by_delta) es_text_append(out, "%s,", es_text_double(s->result->delta[s->delta], number));
  if (s->rows == OF_CLASSES || s->rows == OF_CONFUSION) es_text_append(out, "%lld,", (long long)row);
}

static void csv_heading(es_text_t *out, const sheet_t *s) {
  if (s->by_split) es_text_append(out, "split,");
  es_text_append(out, "epoch,");
  if (s->rows == OF_LAYERS || s->probe >= 0) es_text_append(out, "layer,");
  if (s->by_delta) es_text_append(out, "delta,");
  if (s->rows == OF_CLASSES || s->rows == OF_CONFUSION) es_text_append(out, "class,");
  if (s->rows == OF_CONFUSION) es_text_append(out, "predicted_class,");
  es_text_append(out, "%s\n", s->rows == OF_CONFUSION ? "samples" : s->name);
}

static void listed_rows(es_text_t *out, const sheet_t *s, bool json, int64_t epoch) {
  char number[32];
  for (int64_t row = 0; row < row_count(s); row++) {
    if (!is_shown(s, row)) continue;
    if (s->rows != OF_CONFUSION) {
      const double value = value_at(s, row, epoch);
      row_head(out, s, json, row, epoch);
      if (json)
        es_text_append(out, "\"%s\": %s}", s->name, isfinite(value) ? es_text_double(value, number) : "null");
      else
        es_text_append(out, "%s\n", isnan(value) ? "" : es_text_double(value, number));
      continue;
    }
    for (int64_t j = 0; j < row_count(s); j++) {
      const long long n = (long long)confusion_at(s, epoch, row, j);
      row_head(out, s, json, row, epoch);
      if (json)
        es_text_append(out, "\"predicted_class\": %lld, \"samples\": %lld}", (long long)j, n);
      else
        es_text_append(out, "%lld,%lld\n", (long long)j, n);
    }
  }
}

/* ---- choosing the measure ---- */

/* A numeric variable over epochs or probe epochs, and layers, deltas and datasets if it has them. */
static bool is_variable(es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  if (info->type != ES_TYPE_F64 && info->type != ES_TYPE_I32 && info->type != ES_TYPE_I64) return false;
  for (int i = 0; i < info->rank; i++) {
    const es_dimension_t d = info->dimensions[i];
    if (d != ES_DIM_SPLIT && d != ES_DIM_EPOCH && d != ES_DIM_PROBE_EPOCH && d != ES_DIM_LAYER && d != ES_DIM_DELTA &&
        d != ES_DIM_PROBE_DATASET)
      return false;
  }
  return es_field_has(field, ES_DIM_EPOCH) || es_field_has(field, ES_DIM_PROBE_EPOCH);
}

/* Recognises the name of a measure; false if there is none of this name. */
static bool recognise(sheet_t *s, const char *name) {
  *s = (sheet_t){.name = name, .rows = OF_CLASSES, .field = ES_FIELDS, .by_split = true, .probe = -1, .dataset = -1};
  for (int i = 0; i < ES_SCORES; i++) {
    s->score = (es_score_t)i;
    if (strcmp(name, es_score_name(s->score)) == 0) return true;
  }
  if (strcmp(name, "balanced_accuracy") == 0) {
    s->score = ES_SCORE_RECALL;
    s->mean_alone = true;
    s->rows = OF_NETWORK;
    return true;
  }
  if (strcmp(name, "confusion") == 0) {
    s->rows = OF_CONFUSION;
    s->by_split = false;
    return true;
  }
  for (int i = 0; i < ES_FIELDS; i++) {
    s->field = (es_field_t)i;
    const char *own = es_field_info(s->field)->name;
    const size_t length = strlen(own);
    if (strncmp(name, own, length) != 0 || !is_variable(s->field)) continue;
    const bool of_dataset = es_field_has(s->field, ES_DIM_PROBE_DATASET) && name[length] == ':';
    if (name[length] != '\0' && !of_dataset) continue;
    if (of_dataset) s->dataset_name = name + length + 1;
    s->name = own;
    s->rows = es_field_has(s->field, ES_DIM_LAYER) ? OF_LAYERS : OF_NETWORK;
    s->by_split = es_field_has(s->field, ES_DIM_SPLIT);
    s->by_delta = es_field_has(s->field, ES_DIM_DELTA);
    return true;
  }
  return false;
}

/* Refuses a variable of files that is no measure, and says what shows it. */
static es_code_t refuse_variable(const char *path, es_field_t field, es_status_t *status) {
  const char *way = es_field_has(field, ES_DIM_STEP) && !es_field_is_packed(field)
                        ? "--steps shows what was measured after training steps"
                    : es_field_is_packed(field) || es_field_has(field, ES_DIM_CLASS)
                        ? "read it with Python, as analysis/README.md says"
                        : "--format csv and json without --measure have it";
  return es_fail(status, ES_INPUT, STORE_STAGE, "%s: --measure does not show the variable %s; %s", path,
                 es_field_info(field)->name, way);
}

/* Bytes of the words that two names begin with: 6 of probe_accuracy and probe_objective. */
static size_t shared_words(const char *one, const char *other) {
  size_t shared = 0;
  for (size_t i = 0; one[i] != '\0' && one[i] == other[i]; i++) {
    if (one[i] == '_') shared = i + 1;
  }
  return shared;
}

/* Appends names as "loss, probe_{accuracy, objective}", because a message has no room for all words. */
static void list_names(es_text_t *out, const char *const *names, int n) {
  for (int i = 0, end; i < n; i = end) {
    size_t shared = i + 1 < n ? shared_words(names[i], names[i + 1]) : 0;
    for (end = i + 1; shared > 0 && end < n && strncmp(names[end], names[i], shared) == 0; end++) {
      if (end + 1 < n && shared_words(names[end], names[end + 1]) > shared) break; /* the next ones share more */
    }
    if (end == i + 1) shared = 0;
    es_text_append(out, "%s%.*s%s", i > 0 ? ", " : "", (int)shared, names[i], shared > 0 ? "{" : "");
    for (int k = i; k < end; k++) es_text_append(out, "%s%s", k > i ? ", " : "", names[k] + shared);
    if (shared > 0) es_text_append(out, "}");
  }
}

/* The measure that NAME or NAME:DATASET may mean: probe_dataset_accuracy of probe_accuracy:DATASET. NULL: none. */
static const char *nearest_measure(const char *name, size_t length, const char *const *names, int n) {
  static const char probe[] = "probe_", probe_dataset[] = "probe_dataset_";
  char text[ES_NAME_MAX];
  if (name[length] != '\0' && strncmp(name, probe, strlen(probe)) == 0) {
    const int own = (int)(length - strlen(probe));
    snprintf(text, sizeof text, "%s%.*s", probe_dataset, own, name + strlen(probe));
    for (int i = 0; i < n; i++) {
      if (strcmp(names[i], text) == 0) return names[i];
    }
  }
  snprintf(text, sizeof text, "%.*s", (int)length, name);
  return es_text_nearest(text, names, n);
}

/* True if a file has the variable, or may have the numbers that it follows from. */
static bool may_have(hid_t file, es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  return info->group == ES_GROUP_CORE || H5Lexists(file, info->name, H5P_DEFAULT) > 0;
}

static es_code_t refuse(const char *path, const char *name, es_status_t *status) {
  const char *names[(int)ES_FIELDS + (int)ES_SCORES + 2];
  int n = 0;
  es_text_t known = {0};
  ES_HDF5_QUIET;
  ES_HDF5_ID file = -1;
  ES_TRY(es_reader_open_file(&file, path, status));
  for (int i = 0; i < ES_FIELDS; i++) {
    const char *field = es_field_info((es_field_t)i)->name;
    if (is_variable((es_field_t)i) && may_have(file, (es_field_t)i))
      names[n++] = field;
    else if (!is_variable((es_field_t)i) && strcmp(name, field) == 0)
      return refuse_variable(path, (es_field_t)i, status);
  }
  for (int i = 0; i < ES_SCORES; i++) names[n++] = es_score_name((es_score_t)i);
  names[n++] = "balanced_accuracy";
  names[n++] = "confusion";
  const size_t length = strcspn(name, ":");
  const char *nearest = nearest_measure(name, length, names, n);
  if (nearest != NULL) {
    const bool of_dataset = name[length] != '\0' && strncmp(nearest, "probe_dataset_", strlen("probe_dataset_")) == 0;
    return es_fail(status, ES_INPUT, STORE_STAGE, "%s: there is no measure %.100s; did you mean %s%.100s?", path, name,
                   nearest, of_dataset ? name + length : "");
  }
  list_names(&known, names, n);
  es_fail(status, ES_INPUT, STORE_STAGE, "%s: there is no measure %.100s; measures are %s", path, name,
          es_text_get(&known));
  es_text_destroy(&known);
  return status->code;
}

/* The layer whose probe is shown. */
static es_code_t choose_probe(sheet_t *s, es_reader_t *reader, const char *layer) {
  int64_t n = 0, last = -1;
  if (layer == NULL) return ES_OK;
  ES_TRY(es_show_layers(reader, layer));
  for (int64_t i = 0; i < s->result->extent[ES_DIM_LAYER]; i++) {
    if (!es_show_layer(reader, i)) continue;
    if (n++ == 0) s->probe = i;
    last = i;
  }
  if (n > 1)
    return es_fail(reader->status, ES_INPUT, STORE_STAGE,
                   "%s: --layer %s: must match one layer, whose probe is shown; %lld layers match, the first is %s and "
                   "the last is %s",
                   reader->path, layer, (long long)n, s->result->layers[s->probe].name, s->result->layers[last].name);
  s->by_split = false;
  s->split = ES_EVAL;
  return ES_OK;
}

/* Chooses the dataset behind the colon; without one there must be only one dataset. */
static es_code_t choose_dataset(sheet_t *s, es_reader_t *reader) {
  const int64_t n = s->result->extent[ES_DIM_PROBE_DATASET];
  es_text_t known = {0};
  if (n == 0 || !es_field_has(s->field, ES_DIM_PROBE_DATASET)) return ES_OK;
  if (s->dataset_name == NULL && n == 1) s->dataset_name = s->result->probe_dataset[0];
  for (int64_t i = 0; i < n; i++) {
    const char *name = s->result->probe_dataset[i];
    if (s->dataset_name != NULL && strcmp(name, s->dataset_name) == 0) s->dataset = i;
    es_text_append(&known, "%s%s", i > 0 ? ", " : "", name);
  }
  if (s->dataset < 0)
    es_fail(reader->status, ES_INPUT, STORE_STAGE, "%s: name one of the datasets %s, as in --measure %s:%s",
            reader->path, es_text_get(&known), s->name, s->result->probe_dataset[0]);
  es_text_destroy(&known);
  return s->dataset < 0 ? ES_INPUT : ES_OK;
}

/* True if any epoch of any split has a number. */
static bool has_any(sheet_t *s) {
  const int first = s->by_split ? 0 : s->split, last = s->by_split ? ES_SPLITS - 1 : s->split;
  for (s->split = first; s->split <= last; s->split++) {
    for (int64_t epoch = 0; epoch < s->result->extent[ES_DIM_EPOCH]; epoch++) {
      if (has_number(s, epoch)) {
        s->split = first;
        return true;
      }
    }
  }
  return false;
}

/* Chooses rows, deltas and the probe; ES_INPUT if the file lacks the measure. */
static es_code_t prepare(sheet_t *s, es_reader_t *reader, const es_show_measure_t *what) {
  const bool scores = s->field == ES_FIELDS;
  s->reader = reader;
  s->result = reader->result;
  s->delta_last = 0;
  ES_TRY(es_reader_delta(reader, what->delta, &s->delta_first)); /* also refuses a delta that was not measured */
  if (!s->by_delta) {
    s->delta_first = 0;
  } else {
    s->delta_last = s->delta_first;
    if (what->delta == ES_DELTA_ANY && what->format != ES_SHOW_TABLE) {
      s->delta_first = 0;
      s->delta_last = s->result->extent[ES_DIM_DELTA] - 1;
    }
  }
  s->delta = s->delta_first;
  if (!scores) ES_TRY(choose_dataset(s, reader));
  if (scores)
    ES_TRY(choose_probe(s, reader, what->layer));
  else if (s->rows == OF_LAYERS)
    ES_TRY(es_show_layers(reader, what->layer));
  const es_field_t source = !scores                   ? s->field
                            : s->probe >= 0           ? ES_FIELD_PROBE_CONFUSION
                            : s->rows == OF_CONFUSION ? ES_FIELD_CONFUSION
                                                      : ES_FIELD_CLASS_PREDICTIONS;
  if (s->result->data[source] == NULL || !has_any(s))
    return es_fail(reader->status, ES_INPUT, STORE_STAGE, "%s: has no %s: the variable %s is missing or has no numbers",
                   reader->path, s->name, es_field_info(source)->name);
  return ES_OK;
}

static void show_sheet(es_text_t *out, sheet_t *s, es_show_format_t format) {
  const bool json = format == ES_SHOW_JSON;
  const int first = s->split, last = s->by_split ? ES_SPLITS - 1 : s->split;
  if (format == ES_SHOW_CSV) csv_heading(out, s);
  if (json) es_text_append(out, "[");
  if (format == ES_SHOW_TABLE && s->rows == OF_CONFUSION) {
    confusion_table(out, s);
    return;
  }
  for (s->split = first; s->split <= last; s->split++) {
    for (s->delta = s->delta_first; format == ES_SHOW_TABLE && s->delta <= s->delta_last; s->delta++)
      sheet_table(out, s);
    for (int64_t epoch = 0; format != ES_SHOW_TABLE && epoch < s->result->extent[ES_DIM_EPOCH]; epoch++) {
      for (s->delta = s->delta_first; s->delta <= s->delta_last; s->delta++) {
        if (has_number(s, epoch)) listed_rows(out, s, json, epoch);
      }
    }
  }
  if (json) es_text_append(out, "\n]\n");
}

es_code_t es_result_show_measure(es_text_t *out, const char *path, const es_show_measure_t *what, es_status_t *status) {
  static const es_field_t of_scores[] = {ES_FIELD_RECALL, ES_FIELD_CLASS_SAMPLES, ES_FIELD_CLASS_PREDICTIONS,
                                         ES_FIELD_CONFUSION, ES_FIELD_PROBE_CONFUSION};
  bool wanted[ES_FIELDS] = {false};
  es_reader_t reader;
  sheet_t sheet;
  if (!recognise(&sheet, what->measure)) return refuse(path, what->measure, status);
  if (sheet.field != ES_FIELDS) wanted[sheet.field] = true;
  for (size_t i = 0; sheet.field == ES_FIELDS && i < sizeof of_scores / sizeof *of_scores; i++)
    wanted[of_scores[i]] = true;
  es_code_t code = es_reader_load(&reader, path, wanted, status);
  if (code == ES_OK) code = prepare(&sheet, &reader, what);
  if (code == ES_OK) {
    show_sheet(out, &sheet, what->format);
    if (out->failed) code = es_fail(status, ES_SYSTEM, STORE_STAGE, "%s: cannot be shown: out of memory", path);
  }
  es_reader_destroy(&reader);
  return code;
}
