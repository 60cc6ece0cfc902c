#include "show.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Both formats have the same columns: the axes of the point, the indices of the row, and every variable that was read
 * (es_result_show lists the others), repeated along dimensions that it lacks. Fields of several references,
 * projections, strengths or datasets have a column for each. Fields of probes are empty in epochs without probes. */

/* One column of numbers. */
typedef struct column {
  es_field_t field;
  es_dimension_t dimension; /* the dimension that numbers the columns of a field; ES_DIMENSIONS if it has one column */
  int64_t index;            /* index along it */
} column_t;

/* Moves to the next column (field −1: before the first); false after the last. */
static bool next_column(const es_result_t *result, column_t *column) {
  if ((int)column->field >= 0 && column->dimension != ES_DIMENSIONS &&
      ++column->index < result->extent[column->dimension])
    return true;
  int field = (int)column->field + 1;
  while (field < ES_FIELDS && result->data[field] == NULL) field++;
  if (field == ES_FIELDS) return false;
  *column = (column_t){(es_field_t)field, ES_DIMENSIONS, 0};
  if (es_field_has(column->field, ES_DIM_REFERENCE)) column->dimension = ES_DIM_REFERENCE;
  if (es_field_has(column->field, ES_DIM_PROJECTION)) column->dimension = ES_DIM_PROJECTION;
  if (es_field_has(column->field, ES_DIM_L2)) column->dimension = ES_DIM_L2;
  if (es_field_has(column->field, ES_DIM_PROBE_DATASET)) column->dimension = ES_DIM_PROBE_DATASET;
  return true;
}

/* True if the rows are those of training steps. */
static bool is_of_steps(const es_result_t *result) {
  return result->data[ES_FIELD_STEP_SATURATION] != NULL;
}

static const column_t before_first = {(es_field_t)-1, ES_DIMENSIONS, 0};

/* Returns "saturation", "eigenspace_overlap_previous" and the like. */
static const char *column_name(const es_result_t *result, const column_t *column, char out[2 * ES_NAME_MAX]) {
  char word[ES_NAME_MAX];
  const char *name = es_field_info(column->field)->name;
  if (column->dimension == ES_DIMENSIONS)
    snprintf(out, 2 * ES_NAME_MAX, "%s", name);
  else if (column->dimension == ES_DIM_L2)
    snprintf(out, 2 * ES_NAME_MAX, "%s_%s", name, es_text_double(result->l2[column->index], word));
  else
    snprintf(out, 2 * ES_NAME_MAX, "%s_%s", name, es_result_word(result, column->dimension, column->index, word));
  return out;
}

/* Finds the number for a row; false for a probe field in an epoch without probes. */
static bool find_cell(const es_result_t *result, const column_t *column, const int64_t row[ES_DIMENSIONS],
                      size_t *index) {
  int64_t at[ES_DIMENSIONS];
  memcpy(at, row, sizeof at);
  if (column->dimension != ES_DIMENSIONS) at[column->dimension] = column->index;
  at[ES_DIM_LAYER_OR_ALL] = row[ES_DIM_LAYER] + 1;
  at[ES_DIM_PROBE_EPOCH] = es_result_probe_epoch_index(result, result->epoch[row[ES_DIM_EPOCH]]);
  if (es_field_has(column->field, ES_DIM_PROBE_EPOCH) && at[ES_DIM_PROBE_EPOCH] < 0) return false;
  *index = es_result_index(result, column->field, at);
  return true;
}

/* Appends one value. JSON writes null for unmeasured values, because it has neither NaN nor infinities. */
static void append_value(es_text_t *out, const es_result_t *result, es_field_t field, size_t index, bool json) {
  const es_field_info_t *info = es_field_info(field);
  const void *data = result->data[field];
  /* In most uint8 fields 0 is a valid value, although it also marks unmeasured elements. */
  const bool always = info->type == ES_TYPE_STRING || (info->type == ES_TYPE_U8 && info->unmeasured == 0);
  const double real = info->type == ES_TYPE_F64   ? ((const double *)data)[index]
                      : info->type == ES_TYPE_F32 ? (double)((const float *)data)[index]
                                                  : 0.0;
  char text[32];
  if ((!always && !es_result_measured(result, field, index)) || (json && isinf(real)))
    es_text_append(out, "%s", json ? "null" : "");
  else if (info->type == ES_TYPE_STRING && json)
    es_text_append_quoted(out, ((const char *const *)data)[index]);
  else if (info->type == ES_TYPE_STRING)
    es_text_append_csv(out, ((const char *const *)data)[index]);
  else if (info->type == ES_TYPE_F64 || info->type == ES_TYPE_F32)
    es_text_append(out, "%s", es_text_double(real, text));
  else if (info->type == ES_TYPE_U8)
    es_text_append(out, "%u", (unsigned)((const uint8_t *)data)[index]);
  else
    es_text_append(out, "%lld",
                   info->type == ES_TYPE_I32 ? (long long)((const int32_t *)data)[index]
                                             : (long long)((const int64_t *)data)[index]);
}

/* True if the field has any number in that split and epoch. */
static bool has_numbers(const es_result_t *result, es_field_t field, int split, int64_t epoch) {
  const es_field_info_t *info = es_field_info(field);
  bool of_probes = info->dimensions[1] == ES_DIM_PROBE_EPOCH;
  if (result->data[field] == NULL || info->dimensions[0] != ES_DIM_SPLIT) return false;
  if (of_probes) epoch = es_result_probe_epoch_index(result, result->epoch[epoch]);
  if (epoch < 0) return false;
  size_t block = 1;
  for (int i = 2; i < info->rank; i++) block *= (size_t)result->extent[info->dimensions[i]];
  size_t start = (size_t)(split * result->extent[info->dimensions[1]] + epoch) * block;
  for (size_t i = start; i < start + block; i++) {
    if (es_result_measured(result, field, i)) return true;
  }
  return false;
}

/* The deltas (indices) to show. */
typedef struct range {
  int64_t first, last;
} range_t;

/* Calls `row` for each row, in the order of the dimensions. */
typedef void row_t(es_text_t *out, const es_reader_t *reader, const int64_t at[ES_DIMENSIONS]);
static void for_each_layer(es_text_t *out, const es_reader_t *reader, range_t deltas, int64_t at[ES_DIMENSIONS],
                           row_t *row) {
  for (int64_t layer = 0; layer < reader->result->extent[ES_DIM_LAYER]; layer++) {
    if (!es_show_layer(reader, layer)) continue;
    for (int64_t delta = deltas.first; delta <= deltas.last; delta++) {
      at[ES_DIM_LAYER] = layer;
      at[ES_DIM_DELTA] = delta;
      row(out, reader, at);
    }
  }
}

static void for_each_row(es_text_t *out, const es_reader_t *reader, range_t deltas, row_t *row) {
  const es_result_t *result = reader->result;
  for (int64_t step = 0; is_of_steps(result) && step < result->extent[ES_DIM_STEP]; step++) {
    if (es_show_has_step(result, step))
      for_each_layer(out, reader, deltas, (int64_t[ES_DIMENSIONS]){[ES_DIM_STEP] = step}, row);
  }
  for (int split = 0; !is_of_steps(result) && split < ES_SPLITS; split++) {
    for (int64_t epoch = 0; epoch < result->extent[ES_DIM_EPOCH]; epoch++) {
      bool has = false;
      for (int i = 0; i < ES_FIELDS && !has; i++) has = has_numbers(result, (es_field_t)i, split, epoch);
      int64_t at[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch};
      if (has) for_each_layer(out, reader, deltas, at, row);
    }
  }
}

/* Iterates over the axes listed in the attribute `axes`; false after the last. */
static bool next_axis(const char **rest, char name[ES_NAME_MAX]) {
  *rest += strspn(*rest, " ");
  size_t length = strcspn(*rest, " ");
  if (length == 0 || length >= ES_NAME_MAX) return false;
  memcpy(name, *rest, length);
  name[length] = '\0';
  *rest += length;
  return true;
}

static void csv_row(es_text_t *out, const es_reader_t *reader, const int64_t at[ES_DIMENSIONS]) {
  const es_result_t *result = reader->result;
  const char *axes = es_reader_text(reader, "axes");
  char name[ES_NAME_MAX], delta[32];
  es_text_append_csv(out, es_reader_text(reader, "point_id"));
  while (next_axis(&axes, name)) {
    const char *value = es_reader_attribute(reader, name);
    es_text_append(out, ",");
    es_text_append_csv(out, value != NULL ? value : "");
  }
  if (is_of_steps(result))
    es_text_append(out, ",%d,", (int)result->step[at[ES_DIM_STEP]]);
  else
    es_text_append(out, ",%s,%d,", es_split_name((int)at[ES_DIM_SPLIT]), (int)result->epoch[at[ES_DIM_EPOCH]]);
  es_text_append_csv(out, result->layers[at[ES_DIM_LAYER]].name);
  es_text_append(out, ",%s", es_text_double(result->delta[at[ES_DIM_DELTA]], delta));
  for (column_t column = before_first; next_column(result, &column);) {
    size_t index;
    es_text_append(out, ",");
    if (find_cell(result, &column, at, &index)) append_value(out, result, column.field, index, false);
  }
  es_text_append(out, "\n");
}

static void show_csv(es_text_t *out, const es_reader_t *reader, range_t deltas) {
  const char *axes = es_reader_text(reader, "axes");
  char name[ES_NAME_MAX];
  es_text_append(out, "point_id");
  while (next_axis(&axes, name)) es_text_append(out, ",%s", name);
  es_text_append(out, ",%s,layer,delta", is_of_steps(reader->result) ? "step" : "split,epoch");
  for (column_t column = before_first; next_column(reader->result, &column);) {
    char heading[2 * ES_NAME_MAX];
    es_text_append(out, ",");
    es_text_append_csv(out, column_name(reader->result, &column, heading));
  }
  es_text_append(out, "\n");
  for_each_row(out, reader, deltas, csv_row);
}

static void json_row(es_text_t *out, const es_reader_t *reader, const int64_t at[ES_DIMENSIONS]) {
  const es_result_t *result = reader->result;
  char delta[32];
  bool first = out->length > 0 && out->data[out->length - 1] == '[';
  es_text_append(out, "%s\n    {", first ? "" : ",");
  if (is_of_steps(result))
    es_text_append(out, "\"step\": %d", (int)result->step[at[ES_DIM_STEP]]);
  else
    es_text_append(out, "\"split\": \"%s\", \"epoch\": %d", es_split_name((int)at[ES_DIM_SPLIT]),
                   (int)result->epoch[at[ES_DIM_EPOCH]]);
  es_text_append(out, ", \"layer\": ");
  es_text_append_quoted(out, result->layers[at[ES_DIM_LAYER]].name);
  es_text_append(out, ", \"delta\": %s", es_text_double(result->delta[at[ES_DIM_DELTA]], delta));
  for (column_t column = before_first; next_column(result, &column);) {
    char heading[2 * ES_NAME_MAX];
    size_t index;
    es_text_append(out, ", ");
    es_text_append_quoted(out, column_name(result, &column, heading));
    es_text_append(out, ": ");
    if (find_cell(result, &column, at, &index))
      append_value(out, result, column.field, index, true);
    else
      es_text_append(out, "null");
  }
  es_text_append(out, "}");
}

static void show_json(es_text_t *out, const es_reader_t *reader, range_t deltas) {
  es_text_append(out, "{\n  \"attributes\": {");
  for (int i = 0; i < reader->n_attributes; i++) {
    const es_attribute_t *attribute = &reader->attributes[i];
    es_text_append(out, "%s\n    ", i > 0 ? "," : "");
    es_text_append_quoted(out, attribute->name);
    es_text_append(out, ": ");
    if (attribute->is_text)
      es_text_append_quoted(out, attribute->value);
    else if (strstr(attribute->value, "nan") != NULL || strstr(attribute->value, "inf") != NULL)
      es_text_append(out, "null"); /* JSON has no NaN and no infinities */
    else
      es_text_append(out, "%s", attribute->value);
  }
  es_text_append(out, "\n  },\n  \"rows\": [");
  for_each_row(out, reader, deltas, json_row);
  es_text_append(out, "\n  ]\n}\n");
}

es_code_t es_show_layers(es_reader_t *reader, const char *layer) {
  const es_result_t *result = reader->result;
  const int64_t n = result->extent[ES_DIM_LAYER];
  reader->layer = layer;
  if (layer == NULL) return ES_OK;
  for (int64_t i = 0; i < n; i++) {
    if (es_show_layer(reader, i)) return ES_OK;
  }
  return es_reader_no_layer(reader, layer, result->layers[0].name, result->layers[n - 1].name);
}

/* The fields to read. Spectra and per-class values are left to programs that read HDF5. Rows of steps repeat constants
 * of layers; the table of steps also shows the outcome. */
static bool is_wanted(es_field_t field, bool steps, bool table) {
  const es_field_info_t *info = es_field_info(field);
  if (es_field_is_packed(field) || es_field_has(field, ES_DIM_CLASS)) return false;
  if (!steps) return !es_field_has(field, ES_DIM_STEP);
  return es_field_has(field, ES_DIM_STEP) || (info->rank == 1 && info->dimensions[0] == ES_DIM_LAYER) ||
         (table && (field == ES_FIELD_SECONDS || field == ES_FIELD_ACCURACY));
}

static void show(es_text_t *out, const es_reader_t *reader, es_show_format_t format, double delta, int64_t at) {
  const range_t all = {0, reader->result->extent[ES_DIM_DELTA] - 1}, one = {at, at};
  if (format == ES_SHOW_CSV)
    show_csv(out, reader, delta == ES_DELTA_ANY ? all : one);
  else if (format == ES_SHOW_JSON)
    show_json(out, reader, delta == ES_DELTA_ANY ? all : one);
  else if (is_of_steps(reader->result))
    es_show_steps(out, reader, at);
  else {
    es_show_table(out, reader, at);
    es_show_probe_datasets(out, reader);
  }
}

es_code_t es_result_show(es_text_t *out, const char *path, es_show_format_t format, double delta, const char *layer,
                         es_status_t *status) {
  return es_result_show_rows(out, path, &(es_show_rows_t){format, delta, layer, false}, status);
}

es_code_t es_result_show_rows(es_text_t *out, const char *path, const es_show_rows_t *rows, es_status_t *status) {
  bool wanted[ES_FIELDS];
  es_reader_t reader;
  for (int i = 0; i < ES_FIELDS; i++) wanted[i] = is_wanted((es_field_t)i, rows->steps, rows->format == ES_SHOW_TABLE);
  int64_t at = 0;
  es_code_t code = es_reader_load(&reader, path, wanted, status);
  if (code == ES_OK && rows->steps && !es_result_has(reader.result, ES_GROUP_STEPS))
    code = es_fail(status, ES_INPUT, STORE_STAGE,
                   "%s: has no measurements after training steps; a job with measure: {steps: {log: 20}} makes them",
                   path);
  if (code == ES_OK) code = es_reader_delta(&reader, rows->delta, &at);
  if (code == ES_OK) code = es_show_layers(&reader, rows->layer);
  if (code == ES_OK) {
    show(out, &reader, rows->format, rows->delta, at);
    if (out->failed) code = es_fail(status, ES_SYSTEM, STORE_STAGE, "%s: cannot be shown: out of memory", path);
  }
  es_reader_destroy(&reader);
  return code;
}
