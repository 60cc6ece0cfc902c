#include "eigenscope/memory.h"
#include "merge_internal.h"
#include <hdf5_hl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 4096, CHANNELS = 3 };

/* Attributes that are stored once for the whole file. */
static const char said_once[] = "schema schema_version job_name job axes";
/* Attributes that always become variables, even if equal in all points, so that readers find them in one place. */
static const char always_variables[] =
    "point_id outcome reason dataset_fingerprint ranks_per_point elapsed_seconds started host";
/* Attributes of provenance are text; these hold numbers. */
static const char numbers_as_text[] = "ranks_per_point elapsed_seconds";
static const char reals[] = "width elapsed_seconds";

/* True if the blank-separated list contains the word. */
static bool has_word(const char *list, const char *word) {
  const size_t length = strlen(word);
  for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
    bool starts = at == list || at[-1] == ' ', ends = at[length] == '\0' || at[length] == ' ';
    if (starts && ends) return true;
  }
  return false;
}

static double number_of(const char *text) {
  char *end;
  double value = strtod(text, &end);
  return end != text && *end == '\0' ? value : (double)NAN;
}

/* Reads "[a, b, c]"; false if the text has another form. */
static bool read_vector(const char *text, double out[CHANNELS]) {
  if (*text++ != '[') return false;
  for (int i = 0; i < CHANNELS; i++) {
    char *end;
    out[i] = strtod(text, &end);
    if (end == text || *end != (i < CHANNELS - 1 ? ',' : ']')) return false;
    text = end + 1;
  }
  return *text == '\0';
}

static label_kind_t kind_of(const es_attribute_t *attribute) {
  int64_t whole;
  double vector[CHANNELS];
  if (attribute->is_text && !has_word(numbers_as_text, attribute->name)) return LABEL_TEXT;
  if (attribute->value[0] == '[') return read_vector(attribute->value, vector) ? LABEL_VECTOR : LABEL_TEXT;
  if (!has_word(reals, attribute->name) && es_text_to_int(attribute->value, &whole)) return LABEL_WHOLE;
  return attribute->is_text && isnan(number_of(attribute->value)) ? LABEL_TEXT : LABEL_REAL;
}

static es_merge_label_t *find(const es_merge_labels_t *labels, const char *name) {
  for (int i = 0; i < labels->n; i++) {
    if (strcmp(labels->list[i].name, name) == 0) return &labels->list[i];
  }
  return NULL;
}

/* Adds a label. NULL when out of memory. */
static es_merge_label_t *add(es_merge_labels_t *labels, const es_attribute_t *attribute) {
  es_merge_label_t *grown = es_make_room(labels->list, labels->n, sizeof *grown);
  if (grown == NULL) return NULL;
  labels->list = grown;
  es_merge_label_t *label = &labels->list[labels->n];
  *label = (es_merge_label_t){.name = es_duplicate(attribute->name),
                              .first = es_duplicate(attribute->value),
                              .kind = kind_of(attribute),
                              .object = -1};
  labels->n++;
  return label->name != NULL && label->first != NULL ? label : NULL;
}

bool es_merge_labels_collect(es_merge_labels_t *labels, const es_reader_t *reader) {
  const char *axes = es_reader_text(reader, "axes");
  for (int i = 0; i < reader->n_attributes; i++) {
    const es_attribute_t *attribute = &reader->attributes[i];
    if (has_word(said_once, attribute->name)) continue;
    es_merge_label_t *label = find(labels, attribute->name);
    if (label == NULL) label = add(labels, attribute);
    if (label == NULL) return false;
    const label_kind_t kind = kind_of(attribute);
    const bool odd = (kind == LABEL_VECTOR) != (label->kind == LABEL_VECTOR);
    if (odd || kind > label->kind) label->kind = odd ? LABEL_TEXT : kind;
    label->varies = label->varies || strcmp(label->first, attribute->value) != 0;
    label->axis = label->axis || has_word(axes, attribute->name);
    label->seen++;
  }
  return true;
}

void es_merge_labels_destroy(es_merge_labels_t *labels) {
  for (int i = 0; i < labels->n; i++) {
    es_free(labels->list[i].name);
    es_free(labels->list[i].first);
    es_merge_texts_clear(&labels->list[i].held);
  }
  es_free(labels->list);
  *labels = (es_merge_labels_t){0};
}

static es_type_t type_of(const es_merge_label_t *label) {
  return label->kind == LABEL_TEXT ? ES_TYPE_STRING : label->kind == LABEL_WHOLE ? ES_TYPE_I64 : ES_TYPE_F64;
}

static void create_variable(es_merge_label_t *label, es_writer_t *writer, int64_t n_points, hid_t point,
                            hid_t *channel) {
  static const double none = NAN;
  const bool vector = label->kind == LABEL_VECTOR, real = type_of(label) == ES_TYPE_F64;
  const hsize_t extent[2] = {(hsize_t)n_points, CHANNELS};
  const hsize_t chunk[2] = {extent[0] < ROWS ? extent[0] : ROWS, CHANNELS};
  char long_name[128];
  if (vector && *channel < 0) /* create the scale of the three channels on first use */
    *channel = es_writer_scale(writer, "channel", ES_TYPE_I32, CHANNELS, (const int32_t[CHANNELS]){0, 1, 2},
                               "channel of the images");
  ES_HDF5_ID list = es_writer_list(writer, label->name);
  es_writer_check(writer, H5Pset_chunk(list, vector ? 2 : 1, chunk), label->name);
  if (real) es_writer_check(writer, H5Pset_fill_value(list, H5T_NATIVE_DOUBLE, &none), label->name);
  label->object = es_writer_create(writer, label->name, type_of(label), vector ? 2 : 1, extent, list);
  if (label->object < 0) return;
  snprintf(long_name, sizeof long_name, "%s: %.80s", label->axis ? "axis of the grid" : "of the point", label->name);
  es_writer_names(writer, label->object, long_name, strcmp(label->name, "elapsed_seconds") == 0 ? "s" : "1");
  if (real) es_writer_vector(writer, label->object, "_FillValue", ES_TYPE_F64, &none, 1);
  es_writer_check(writer, H5DSattach_scale(label->object, point, 0), label->name);
  if (*channel >= 0 && vector) es_writer_check(writer, H5DSattach_scale(label->object, *channel, 1), label->name);
}

static void create_attribute(const es_merge_label_t *label, es_writer_t *writer) {
  double vector[CHANNELS];
  int64_t whole = 0;
  double real = number_of(label->first);
  if (label->kind == LABEL_TEXT) {
    es_writer_text(writer, writer->file, label->name, label->first);
  } else if (label->kind == LABEL_VECTOR && read_vector(label->first, vector)) {
    es_writer_vector(writer, writer->file, label->name, ES_TYPE_F64, vector, CHANNELS);
  } else if (label->kind == LABEL_WHOLE && es_text_to_int(label->first, &whole)) {
    es_writer_number(writer, writer->file, label->name, ES_TYPE_I64, &whole);
  } else {
    es_writer_number(writer, writer->file, label->name, ES_TYPE_F64, &real);
  }
}

/* Rank of a variable in the file: id, axes, outcome, reason, the rest. */
static int place_of(const es_merge_label_t *label) {
  return strcmp(label->name, "point_id") == 0  ? 0
         : label->axis                         ? 1
         : strcmp(label->name, "outcome") == 0 ? 2
         : strcmp(label->name, "reason") == 0  ? 3
                                               : 4;
}

void es_merge_labels_create(es_merge_labels_t *labels, es_writer_t *writer, int64_t n_points, hid_t point,
                            es_text_t *coordinates) {
  es_text_t axes = {0};
  ES_HDF5_ID channel = -1;
  for (int place = 0; place <= 4; place++) {
    for (int i = 0; i < labels->n; i++) {
      es_merge_label_t *label = &labels->list[i];
      if (place_of(label) != place) continue;
      const bool everywhere = label->seen == n_points;
      if (label->kind == LABEL_WHOLE && !everywhere) label->kind = LABEL_REAL; /* NaN marks missing values */
      if (label->axis) es_text_append(&axes, "%s%s", axes.length > 0 ? " " : "", label->name);
      if (label->axis || label->varies || !everywhere || has_word(always_variables, label->name)) {
        create_variable(label, writer, n_points, point, &channel);
        es_text_append(coordinates, " %s", label->name);
      } else {
        create_attribute(label, writer);
      }
    }
  }
  if (axes.failed) es_writer_out_of_memory(writer);
  es_writer_text(writer, writer->file, "axes", es_text_get(&axes));
  es_text_destroy(&axes);
}

/* Converts the texts of the rows to the type of the label and writes them. */
static void write_rows(const es_merge_label_t *label, es_writer_t *writer) {
  const es_merge_texts_t *held = &label->held;
  const int64_t width = label->kind == LABEL_VECTOR ? CHANNELS : 1;
  const es_hdf5_block_t block = {.rank = label->kind == LABEL_VECTOR ? 2 : 1,
                                 .start = {(hsize_t)held->first},
                                 .count = {(hsize_t)held->n, CHANNELS}};
  union {
    const char *text;
    int64_t whole;
    double real;
  } *values = es_allocate((size_t)(held->n * width), sizeof *values);
  if (values == NULL) es_writer_out_of_memory(writer);
  for (int64_t i = 0; values != NULL && i < held->n; i++) {
    const char *text = held->list[i] != NULL ? held->list[i] : "";
    double numbers[CHANNELS] = {NAN, NAN, NAN};
    int64_t whole = -1;
    if (label->kind == LABEL_WHOLE) es_text_to_int(text, &whole);
    if (label->kind == LABEL_REAL) numbers[0] = number_of(text);
    if (label->kind == LABEL_VECTOR) read_vector(text, numbers);
    if (label->kind == LABEL_TEXT)
      values[i].text = text;
    else if (label->kind == LABEL_WHOLE)
      values[i].whole = whole;
    else
      for (int64_t k = 0; k < width; k++) values[i * width + k].real = numbers[k];
  }
  if (values != NULL) es_writer_write_block(writer, label->object, label->name, type_of(label), &block, values);
  es_free(values);
}

static void flush(es_merge_label_t *label, es_writer_t *writer) {
  if (label->held.n > 0) write_rows(label, writer);
  es_merge_texts_clear(&label->held);
}

void es_merge_labels_write(es_merge_labels_t *labels, es_writer_t *writer, const es_reader_t *reader, int64_t row) {
  for (int i = 0; i < labels->n; i++) {
    es_merge_label_t *label = &labels->list[i];
    if (label->object < 0) continue;
    const char *text = es_reader_attribute(reader, label->name);
    label->held.width = 1;
    if (es_merge_texts_full(&label->held, row)) flush(label, writer);
    if (!es_merge_texts_add(&label->held, row, &text)) es_writer_out_of_memory(writer);
  }
}

void es_merge_labels_flush(es_merge_labels_t *labels, es_writer_t *writer) {
  for (int i = 0; i < labels->n; i++) flush(&labels->list[i], writer);
}

void es_merge_labels_close(es_merge_labels_t *labels) {
  for (int i = 0; i < labels->n; i++) {
    es_hdf5_close(&labels->list[i].object);
    labels->list[i].object = -1;
  }
}
