#include "show.h"
#include <math.h>
#include <string.h>

/* Both formats have the same columns: the axes of the point, the indices of the row, and every variable of the schema
 * but the spectra, repeated along the dimensions that it does not have. */

/* One value as JSON; csv takes the same but for strings and what is missing. */
static void append_number(es_text_t *out, const es_result_t *result, es_field_t field, size_t index) {
  const void *data = result->data[field];
  char text[32];
  switch (es_field_info(field)->type) {
  case ES_TYPE_F64:
    es_text_append(out, "%s", es_text_double(((const double *)data)[index], text));
    break;
  case ES_TYPE_I32:
    es_text_append(out, "%d", (int)((const int32_t *)data)[index]);
    break;
  case ES_TYPE_I64:
    es_text_append(out, "%lld", (long long)((const int64_t *)data)[index]);
    break;
  default:
    es_text_append(out, "%u", (unsigned)((const uint8_t *)data)[index]);
  }
}

static bool is_text(es_field_t field) {
  return es_field_info(field)->type == ES_TYPE_STRING;
}

static const char *text_of(const es_result_t *result, es_field_t field, size_t index) {
  return ((const char *const *)result->data[field])[index];
}

/* 0 is a value of uint8 fields, though it also stands for what was not measured. */
static bool is_missing(const es_result_t *result, es_field_t field, size_t index) {
  return es_field_info(field)->type != ES_TYPE_U8 && !result_measured(result, field, index);
}

/* True if any number of that split and epoch was measured. */
static bool has_rows(const es_result_t *result, int split, int64_t epoch) {
  for (int field = 0; field < ES_FIELDS; field++) {
    const es_field_info_t *info = es_field_info((es_field_t)field);
    bool of_both = field_has((es_field_t)field, ES_DIM_SPLIT) && field_has((es_field_t)field, ES_DIM_EPOCH);
    if (!of_both || result->data[field] == NULL) continue;
    size_t block = 1;
    for (int i = 2; i < info->rank; i++) block *= (size_t)result->extent[info->dimensions[i]];
    const int64_t first[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch};
    size_t start = result_index(result, (es_field_t)field, first);
    for (size_t i = start; i < start + block; i++) {
      if (result_measured(result, (es_field_t)field, i)) return true;
    }
  }
  return false;
}

/* Calls `row` for each one, in the order of the dimensions. */
typedef void row_t(es_text_t *out, const stored_t *stored, const int64_t at[ES_DIMENSIONS]);
static void for_each_row(es_text_t *out, const stored_t *stored, row_t *row) {
  const es_result_t *result = stored->result;
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int64_t epoch = 0; epoch < result->extent[ES_DIM_EPOCH]; epoch++) {
      if (!has_rows(result, split, epoch)) continue;
      for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++) {
        for (int64_t delta = 0; delta < result->extent[ES_DIM_DELTA]; delta++) {
          const int64_t at[ES_DIMENSIONS] = {
              [ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch, [ES_DIM_LAYER] = layer, [ES_DIM_DELTA] = delta};
          row(out, stored, at);
        }
      }
    }
  }
}

/* Goes through the names of the axes, which the attribute `axes` lists; false after the last. */
static bool next_axis(const char **rest, char name[ES_NAME_MAX]) {
  *rest += strspn(*rest, " ");
  size_t length = strcspn(*rest, " ");
  if (length == 0 || length >= ES_NAME_MAX) return false;
  memcpy(name, *rest, length);
  name[length] = '\0';
  *rest += length;
  return true;
}

/* RFC 4180: quoted where it must be. */
static void append_csv_text(es_text_t *out, const char *text) {
  if (strpbrk(text, ",\"\r\n") == NULL) {
    es_text_append(out, "%s", text);
    return;
  }
  es_text_append(out, "\"");
  for (const char *c = text; *c != '\0'; c++) es_text_append(out, *c == '"' ? "\"\"" : "%c", *c);
  es_text_append(out, "\"");
}

static void csv_row(es_text_t *out, const stored_t *stored, const int64_t at[ES_DIMENSIONS]) {
  const es_result_t *result = stored->result;
  const char *axes = stored_text(stored, "axes");
  char name[ES_NAME_MAX], delta[32];
  append_csv_text(out, stored_text(stored, "point_id"));
  while (next_axis(&axes, name)) {
    const char *value = stored_attribute(stored, name);
    es_text_append(out, ",");
    append_csv_text(out, value != NULL ? value : "");
  }
  es_text_append(out, ",%s,%d,", split_name((int)at[ES_DIM_SPLIT]), (int)result->epoch[at[ES_DIM_EPOCH]]);
  append_csv_text(out, result->layers[at[ES_DIM_LAYER]].name);
  es_text_append(out, ",%s", es_text_double(result->delta[at[ES_DIM_DELTA]], delta));
  for (int i = 0; i < ES_FIELDS; i++) {
    es_field_t field = (es_field_t)i;
    if (result->data[field] == NULL) continue;
    size_t index = result_index(result, field, at);
    es_text_append(out, ",");
    if (is_text(field))
      append_csv_text(out, text_of(result, field, index));
    else if (!is_missing(result, field, index))
      append_number(out, result, field, index);
  }
  es_text_append(out, "\n");
}

void show_csv(es_text_t *out, const stored_t *stored) {
  const char *axes = stored_text(stored, "axes");
  char name[ES_NAME_MAX];
  es_text_append(out, "point_id");
  while (next_axis(&axes, name)) es_text_append(out, ",%s", name);
  es_text_append(out, ",split,epoch,layer,delta");
  for (int i = 0; i < ES_FIELDS; i++) {
    if (stored->result->data[i] != NULL) es_text_append(out, ",%s", es_field_info((es_field_t)i)->name);
  }
  es_text_append(out, "\n");
  for_each_row(out, stored, csv_row);
}

/* JSON knows neither NaN nor infinities. */
static bool is_json_number(const char *text) {
  return strstr(text, "nan") == NULL && strstr(text, "inf") == NULL;
}

static void append_json_value(es_text_t *out, const es_result_t *result, es_field_t field, size_t index) {
  bool infinite = es_field_info(field)->type == ES_TYPE_F64 && isinf(((const double *)result->data[field])[index]);
  if (is_text(field))
    es_text_append_quoted(out, text_of(result, field, index));
  else if (infinite || is_missing(result, field, index))
    es_text_append(out, "null");
  else
    append_number(out, result, field, index);
}

static void json_row(es_text_t *out, const stored_t *stored, const int64_t at[ES_DIMENSIONS]) {
  const es_result_t *result = stored->result;
  char delta[32];
  bool first = out->length > 0 && out->data[out->length - 1] == '[';
  es_text_append(out, "%s\n    {\"split\": \"%s\", \"epoch\": %d, \"layer\": ", first ? "" : ",",
                 split_name((int)at[ES_DIM_SPLIT]), (int)result->epoch[at[ES_DIM_EPOCH]]);
  es_text_append_quoted(out, result->layers[at[ES_DIM_LAYER]].name);
  es_text_append(out, ", \"delta\": %s", es_text_double(result->delta[at[ES_DIM_DELTA]], delta));
  for (int i = 0; i < ES_FIELDS; i++) {
    if (result->data[i] == NULL) continue;
    es_text_append(out, ", \"%s\": ", es_field_info((es_field_t)i)->name);
    append_json_value(out, result, (es_field_t)i, result_index(result, (es_field_t)i, at));
  }
  es_text_append(out, "}");
}

void show_json(es_text_t *out, const stored_t *stored) {
  es_text_append(out, "{\n  \"attributes\": {");
  for (int i = 0; i < stored->n_attributes; i++) {
    const attribute_t *attribute = &stored->attributes[i];
    es_text_append(out, "%s\n    ", i > 0 ? "," : "");
    es_text_append_quoted(out, attribute->name);
    es_text_append(out, ": ");
    if (attribute->is_text)
      es_text_append_quoted(out, attribute->value);
    else
      es_text_append(out, "%s", is_json_number(attribute->value) ? attribute->value : "null");
  }
  es_text_append(out, "\n  },\n  \"rows\": [");
  for_each_row(out, stored, json_row);
  es_text_append(out, "\n  ]\n}\n");
}
