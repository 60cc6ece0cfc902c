#include "eigenscope/memory.h"
#include "merge_internal.h"
#include <hdf5_hl.h>
#include <stdio.h>
#include <string.h>

/* ---- one point ---- */

/* The open result of a point. */
typedef struct opened {
  char path[ES_PATH_MAX];
  es_reader_t reader;
  es_outcome_t outcome;
} opened_t;

/* Opens the result of a point. ES_OK with ES_OUTCOME_MISSING if there is none; ES_INPUT with the reason if it cannot be
 * merged, ES_SYSTEM if the machine fails to read it. Without `quick`, reads the fields that may have to be computed or
 * corrected, and checks all others. The caller closes it in any case. */
static es_code_t open_point(const es_merge_t *merge, int64_t index, bool quick, opened_t *out, es_status_t *status) {
  bool wanted[ES_FIELDS] = {[ES_FIELD_LAYER_KIND] = true, [ES_FIELD_LAYER_BORDER] = true};
  for (int i = 0; i < ES_FIELDS; i++) wanted[i] = wanted[i] || es_field_is_quantity((es_field_t)i);
  out->reader = (es_reader_t){.file = -1};
  out->outcome = ES_OUTCOME_MISSING;
  if (merge->ids[index] == NULL || !es_result_find(out->path, merge->output, merge->ids[index])) return ES_OK;
  out->outcome = ES_OUTCOME_DAMAGED;
  ES_TRY(quick ? es_reader_open_frame(&out->reader, out->path, status)
               : es_reader_open(&out->reader, out->path, wanted, status));
  const char *id = es_reader_text(&out->reader, "point_id");
  if (strcmp(id, merge->ids[index]) != 0) {
    return es_fail(status, ES_INPUT, STORE_STAGE,
                   "%s: holds the result of point %.40s, but has the name of another point", out->path, id);
  }
  out->outcome = es_reader_outcome(&out->reader);
  if (out->outcome == ES_OUTCOME_DAMAGED)
    return es_fail(status, ES_INPUT, STORE_STAGE, "%s: " ES_NO_OUTCOME, out->path);
  return ES_OK;
}

/* True if the field of a point with these groups is merged. */
static bool takes(const es_merge_t *merge, const es_result_t *result, es_field_t field) {
  const bool spectrum =
      field == ES_FIELD_EIGENVALUES || field == ES_FIELD_EIGENVECTORS || field == ES_FIELD_STEP_EIGENVALUES;
  if (spectrum && !merge->spectra) return false;
  return result->groups[es_field_info(field)->group];
}

static bool is_text(es_field_t field) {
  return es_field_info(field)->type == ES_TYPE_STRING;
}

/* ---- the survey of all points ---- */

/* Reads all numbers once, so that an unreadable point is found before the merged file is begun. */
static es_code_t try_point(es_merge_t *merge, es_reader_t *point) {
  for (int i = 0; i < ES_FIELDS; i++) {
    const es_field_t field = (es_field_t)i;
    if (takes(merge, point->result, field) && !is_text(field)) ES_TRY(es_merge_copy_field(merge, point, field, NULL));
  }
  return ES_OK;
}

/* Adds the axes and fields of a point to the unions. False when out of memory. */
static bool unite(es_merge_t *merge, const es_reader_t *point) {
  const es_result_t *result = point->result;
  for (int i = 0; i < ES_FIELDS; i++) {
    if (takes(merge, result, (es_field_t)i)) merge->fields[i] = true;
  }
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    const es_dimension_t dimension = (es_dimension_t)i;
    if (result->extent[i] > merge->extent[i]) merge->extent[i] = result->extent[i];
    if (dimension == ES_DIM_PROBE_DATASET) {
      if (!es_merge_datasets_add(merge, result)) return false;
      merge->extent[i] = merge->n_datasets;
    }
    if (!es_dimension_has_values(dimension)) continue;
    for (int64_t k = 0; k < result->extent[i]; k++) {
      if (!es_merge_values_add(&merge->values[i], es_result_coordinate(result, dimension, k))) return false;
    }
    merge->extent[i] = merge->values[i].n;
  }
  return es_merge_labels_collect(&merge->labels, point);
}

static es_code_t out_of_memory(const es_merge_t *merge, es_status_t *status) {
  return es_out_of_memory(status, STORE_STAGE, "merging %lld points", (long long)merge->n_points);
}

/* Surveys one point; leaves it out with its reason if it cannot be read. A lack of memory for the list of layers is a
 * failure. */
static es_code_t look(es_merge_t *merge, int64_t index, es_merge_refused_t *refused, void *context,
                      es_status_t *status) {
  opened_t point;
  es_status_t own = {0};
  es_code_t code = open_point(merge, index, !merge->careful, &point, &own);
  if (code == ES_OK && merge->careful && point.outcome != ES_OUTCOME_MISSING) code = try_point(merge, &point.reader);
  merge->outcomes[index] = (uint8_t)(code == ES_OK      ? point.outcome
                                     : code == ES_INPUT ? ES_OUTCOME_DAMAGED
                                                        : ES_OUTCOME_UNREADABLE);
  if (code == ES_OK && point.outcome != ES_OUTCOME_MISSING) {
    char kind[ES_KIND_SIZE];
    merge->n_merged++;
    es_kind_name(kind, es_reader_text(&point.reader, "onednn"), es_reader_text(&point.reader, "blas"));
    merge->kind[index] = (uint8_t)es_kinds_add(&merge->kinds, kind);
    if (!unite(merge, &point.reader)) code = out_of_memory(merge, status);
  } else if (code != ES_OK) {
    const size_t length = strlen(point.path);
    const bool named = strncmp(own.message, point.path, length) == 0 && strncmp(own.message + length, ": ", 2) == 0;
    if (refused != NULL) refused(context, point.path, own.message + (named ? length + 2 : 0));
    code = ES_OK;
  }
  es_reader_destroy(&point.reader);
  return code;
}

es_code_t es_merge_create(es_merge_t **out, const char *output, const char *const *ids, int64_t n_points,
                          unsigned options, es_merge_refused_t *refused, void *context, es_status_t *status) {
  *out = NULL;
  es_merge_t *merge = es_allocate_zero(1, sizeof *merge);
  if (merge == NULL) return es_out_of_memory(status, STORE_STAGE, "merging");
  merge->output = output;
  merge->ids = ids;
  merge->n_points = n_points;
  merge->spectra = (options & ES_MERGE_SPECTRA) != 0;
  merge->careful = (options & ES_MERGE_CAREFUL) != 0;
  merge->outcomes = es_allocate_zero((size_t)n_points, sizeof *merge->outcomes);
  merge->kind = es_allocate_zero((size_t)n_points, sizeof *merge->kind);
  es_code_t code = merge->outcomes != NULL && merge->kind != NULL ? ES_OK : out_of_memory(merge, status);
  ES_HDF5_QUIET;
  for (int64_t i = 0; i < n_points && code == ES_OK; i++) code = look(merge, i, refused, context, status);
  if (code != ES_OK) {
    es_merge_destroy(merge);
    return code;
  }
  *out = merge;
  return ES_OK;
}

void es_merge_destroy(es_merge_t *merge) {
  if (merge == NULL) return;
  for (int i = 0; i < ES_DIMENSIONS; i++) es_free(merge->values[i].list);
  es_free(merge->datasets);
  es_merge_labels_destroy(&merge->labels);
  es_merge_copy_buffer_destroy(&merge->blocks);
  es_merge_rows_destroy(merge);
  es_free(merge->outcomes);
  es_free(merge->kind);
  es_free(merge);
}

bool es_merge_is_damaged(const es_merge_t *merge) {
  return merge->damaged;
}

es_outcome_t es_merge_outcome(const es_merge_t *merge, int64_t point) {
  return (es_outcome_t)merge->outcomes[point];
}

const es_kinds_t *es_merge_kinds(const es_merge_t *merge) {
  return &merge->kinds;
}

int es_merge_kind(const es_merge_t *merge, int64_t point) {
  return merge->kind[point];
}

/* ---- the merged file ---- */

typedef struct output {
  es_merge_t *merge;
  es_writer_t writer;
  const es_merge_header_t *header;
  hid_t point;               /* the scale of `point` */
  hid_t names;               /* the variable layer_name */
  hid_t object[ES_FIELDS];   /* −1 for fields that are not merged */
  es_merge_texts_t words[2]; /* names and kinds of layers */
} output_t;

static bool is_merged(const es_merge_t *merge, int64_t index) {
  return es_outcome_is_sound(merge->outcomes[index]);
}

static void put_point_scale(output_t *o) {
  es_merge_t *merge = o->merge;
  es_writer_t *writer = &o->writer;
  int64_t *indices = es_allocate((size_t)merge->n_merged, sizeof *indices);
  if (indices == NULL) es_writer_out_of_memory(writer);
  for (int64_t i = 0, row = 0; i < merge->n_points && indices != NULL; i++) {
    if (is_merged(merge, i)) indices[row++] = i;
  }
  o->point = es_writer_scale(writer, "point", ES_TYPE_I64, (hsize_t)merge->n_merged, indices,
                             "index of the point in the grid of the job");
  es_free(indices);
}

/* Creates the scale of a dimension. Words stay words; layers become indices, also layer_or_all, where −1 is all. */
static void put_scale(output_t *o, es_dimension_t dimension) {
  const es_merge_t *merge = o->merge;
  const es_dimension_info_t *info = es_dimension_info(dimension);
  const bool named = dimension == ES_DIM_PROBE_DATASET;
  const bool words = info->words != NULL || named, real = info->type == ES_TYPE_F64;
  const es_type_t type = words ? ES_TYPE_STRING : real ? ES_TYPE_F64 : ES_TYPE_I32;
  const hsize_t extent = (hsize_t)merge->extent[dimension];
  char word[2][ES_NAME_MAX];
  int32_t *indices = es_allocate(extent, sizeof *indices);
  const char **list = es_allocate(extent, sizeof *list);
  if (indices == NULL || list == NULL) es_writer_out_of_memory(&o->writer);
  for (hsize_t i = 0; list != NULL && words && i < extent; i++)
    list[i] = named ? merge->datasets[i] : es_dimension_word(dimension, (int64_t)i, word[i]);
  for (hsize_t i = 0; i < extent && indices != NULL && !real; i++) {
    indices[i] = es_dimension_has_values(dimension) ? (int32_t)merge->values[dimension].list[i]
                                                    : (int32_t)i - (dimension == ES_DIM_LAYER_OR_ALL);
  }
  const void *data = words  ? (const void *)list
                     : real ? (const void *)merge->values[dimension].list
                            : (const void *)indices;
  const char *long_name = dimension == ES_DIM_LAYER ? "index of the measured layer, in forward order"
                          : dimension == ES_DIM_LAYER_OR_ALL
                              ? "index of the layer whose output is projected, or -1 for all layers at once"
                              : info->long_name;
  o->writer.scale[dimension] = es_writer_scale(&o->writer, info->name, type, extent, data, long_name);
  es_free(indices);
  es_free(list);
}

/* Creates a variable over `point` and its dimensions, in chunks of about `bytes` bytes; the caller closes it. */
static hid_t create(output_t *o, const es_field_info_t *info, hsize_t bytes) {
  es_writer_t *writer = &o->writer;
  const bool text = info->type == ES_TYPE_STRING;
  hsize_t extent[ES_RANK_MAX + 1] = {(hsize_t)o->merge->n_merged}, chunk[ES_RANK_MAX + 1];
  for (int i = 0; i < info->rank; i++) extent[i + 1] = (hsize_t)o->merge->extent[info->dimensions[i]];
  ES_HDF5_ID list = es_writer_list(writer, info->name);
  es_writer_chunk(extent, info->rank + 1, bytes / es_type_size(info->type), chunk);
  if (text) {
    es_writer_check(writer, H5Pset_chunk(list, info->rank + 1, chunk), info->name);
  } else {
    es_writer_check(writer, H5Pset_fill_value(list, es_type_in_memory(info->type), es_writer_fill(info)), info->name);
    es_writer_deflate(writer, list, info->name, info->rank + 1, chunk);
  }
  const hid_t object = es_writer_create(writer, info->name, info->type, info->rank + 1, extent, list);
  if (object < 0) return object;
  es_writer_check(writer, H5DSattach_scale(object, o->point, 0), info->name);
  for (int i = 0; i < info->rank; i++) es_writer_attach(writer, object, info->name, info->dimensions[i], i + 1);
  /* In a merged file, constants of a layer can be missing too, because points may have fewer layers. */
  es_writer_describe(writer, object, info, !text && (info->type != ES_TYPE_U8 || info->unmeasured != 0));
  return object;
}

/* Creates the fields. Chunks of spectra are as large as in a point's own file. Other chunks are small enough to read
 * one point at once, and large enough to read one variable of all points. */
static void create_fields(output_t *o) {
  static const es_field_info_t names = {"layer_name",   "name of the layer", "1",
                                        ES_TYPE_STRING, .rank = 1,           .dimensions = {ES_DIM_LAYER}};
  o->names = create(o, &names, 4096 * es_type_size(ES_TYPE_STRING));
  for (int i = 0; i < ES_FIELDS; i++) {
    const es_field_info_t *info = es_field_info((es_field_t)i);
    const hsize_t bytes = info->type == ES_TYPE_F32 ? 1 << 20 : es_field_is_packed((es_field_t)i) ? 1 << 18 : 1 << 16;
    if (o->merge->fields[i]) o->object[i] = create(o, info, bytes);
  }
}

static void put_header(output_t *o) {
  const es_merge_header_t *header = o->header;
  es_writer_t *writer = &o->writer;
  const int32_t version = ES_SCHEMA_VERSION;
  es_writer_text(writer, writer->file, "schema", STORE_SCHEMA);
  es_writer_number(writer, writer->file, "schema_version", ES_TYPE_I32, &version);
  es_writer_text(writer, writer->file, "job_name", header->job_name);
  es_writer_text(writer, writer->file, "job", header->job);
  es_writer_number(writer, writer->file, STORE_MERGED, ES_TYPE_I64, &o->merge->n_merged);
  es_writer_number(writer, writer->file, "n_grid", ES_TYPE_I64, &o->merge->n_points);
  es_writer_text(writer, writer->file, "missing", header->missing);
  for (int i = 0; i < header->n_provenance; i++) {
    char name[ES_NAME_MAX];
    snprintf(name, sizeof name, "merged_%s", header->provenance[i].name);
    es_writer_text(writer, writer->file, name, header->provenance[i].value);
  }
}

/* Writes everything except the data of points. */
static void begin(output_t *o) {
  es_text_t coordinates = {0};
  put_header(o);
  put_point_scale(o);
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    bool used = false;
    for (int f = 0; f < ES_FIELDS; f++)
      used = used || (o->merge->fields[f] && es_field_has((es_field_t)f, (es_dimension_t)i));
    if (used) put_scale(o, (es_dimension_t)i);
  }
  es_text_append(&coordinates, "layer_name");
  es_merge_labels_create(&o->merge->labels, &o->writer, o->merge->n_merged, o->point, &coordinates);
  create_fields(o);
  if (coordinates.failed) es_writer_out_of_memory(&o->writer);
  es_writer_text(&o->writer, o->writer.file, "coordinates", es_text_get(&coordinates));
  es_text_destroy(&coordinates);
}

static void flush_words(output_t *o, bool kinds) {
  es_merge_texts_t *held = &o->words[kinds];
  const es_hdf5_block_t block = {
      .rank = 2, .start = {(hsize_t)held->first}, .count = {(hsize_t)held->n, (hsize_t)held->width}};
  const hid_t object = kinds ? o->object[ES_FIELD_LAYER_KIND] : o->names;
  if (held->n > 0)
    es_writer_write_block(&o->writer, object, kinds ? "layer_kind" : "layer_name", ES_TYPE_STRING, &block, held->list);
  es_merge_texts_clear(held);
}

/* Adds one word for each layer of a point, and "" for layers that the point lacks. */
static void put_words(output_t *o, const es_result_t *result, bool kinds, int64_t row) {
  const int64_t n_layers = o->merge->extent[ES_DIM_LAYER];
  es_merge_texts_t *held = &o->words[kinds];
  const char **words = es_allocate((size_t)n_layers, sizeof *words);
  if (words == NULL) es_writer_out_of_memory(&o->writer);
  for (int64_t i = 0; words != NULL && i < n_layers; i++) {
    const bool there = i < result->extent[ES_DIM_LAYER];
    words[i] = !there ? "" : kinds ? ((const char **)result->data[ES_FIELD_LAYER_KIND])[i] : result->layers[i].name;
  }
  held->width = n_layers;
  if (es_merge_texts_full(held, row)) flush_words(o, kinds);
  if (words != NULL && !es_merge_texts_add(held, row, words)) es_writer_out_of_memory(&o->writer);
  es_free(words);
}

/* False if the point has data that it did not have during the survey. */
static bool fits(const es_merge_t *merge, const opened_t *point) {
  if (point->outcome == ES_OUTCOME_MISSING) return false;
  const es_result_t *result = point->reader.result;
  for (int i = 0; i < ES_FIELDS; i++) {
    if (takes(merge, result, (es_field_t)i) && !merge->fields[i]) return false;
  }
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    if (result->extent[i] > merge->extent[i]) return false;
    for (int64_t k = 0; es_dimension_has_values((es_dimension_t)i) && k < result->extent[i]; k++) {
      if (es_merge_values_find(&merge->values[i], es_result_coordinate(result, (es_dimension_t)i, k)) < 0) return false;
    }
  }
  return true;
}

/* True if quantities of the point must be computed, or its border layer corrected. */
static bool is_older(const es_reader_t *point) {
  for (int i = 0; i < ES_FIELDS; i++) {
    if (es_field_is_quantity((es_field_t)i) &&
        H5Lexists(point->file, es_field_info((es_field_t)i)->name, H5P_DEFAULT) <= 0)
      return true;
  }
  bool older = false;
  return es_older_is(point, &older) != ES_OK || older;
}

/* Opens a point for writing. */
static es_code_t reopen_point(const es_merge_t *merge, int64_t index, opened_t *out, es_status_t *status) {
  ES_TRY(open_point(merge, index, !merge->careful, out, status));
  if (merge->careful || out->outcome == ES_OUTCOME_MISSING) return ES_OK;
  if (!is_older(&out->reader)) return es_reader_read_field(&out->reader, ES_FIELD_LAYER_KIND);
  es_reader_destroy(&out->reader);
  return open_point(merge, index, false, out, status);
}

static void put_point(output_t *o, opened_t *point, int64_t row) {
  es_merge_t *merge = o->merge;
  es_writer_t *writer = &o->writer;
  const es_result_t *result = point->reader.result;
  es_merge_labels_write(&merge->labels, writer, &point->reader, row);
  put_words(o, result, false, row);
  put_words(o, result, true, row);
  for (int i = 0; i < ES_FIELDS && writer->code == ES_OK; i++) {
    const es_field_t field = (es_field_t)i;
    if (!takes(merge, result, field) || is_text(field)) continue;
    const es_merge_target_t target = {writer, o->object[field], row};
    const es_code_t code = es_merge_copy_field(merge, &point->reader, field, &target);
    if (code != ES_OK && writer->code == ES_OK) {
      const es_status_t *own = point->reader.status;
      merge->damaged = !merge->careful && code == ES_INPUT;
      writer->code = es_fail(writer->status, own->code, own->stage, "%s", own->message);
    }
  }
}

static void put_points(output_t *o) {
  for (int64_t i = 0, row = 0; i < o->merge->n_points && o->writer.code == ES_OK; i++) {
    if (!is_merged(o->merge, i)) continue;
    opened_t point;
    es_status_t own = {0};
    const es_code_t code = reopen_point(o->merge, i, &point, &own);
    o->merge->damaged = !o->merge->careful && code == ES_INPUT;
    if (code == ES_SYSTEM || o->merge->damaged)
      o->writer.code = es_fail(o->writer.status, code, own.stage, "%s", own.message);
    else if (code != ES_OK || !fits(o->merge, &point))
      o->writer.code = es_fail(o->writer.status, ES_SYSTEM, STORE_STAGE,
                               "%s: changed while it was merged; run merge again", point.path);
    else
      put_point(o, &point, row++);
    es_reader_destroy(&point.reader);
  }
  for (int i = 0; i < ES_FIELDS; i++) es_merge_flush(o->merge, (es_field_t)i, &o->writer, o->object[i]);
  es_merge_labels_flush(&o->merge->labels, &o->writer);
  for (int kinds = 0; kinds < 2; kinds++) flush_words(o, kinds);
}

static void put_all(void *context) {
  output_t *o = context;
  for (int i = 0; i < ES_FIELDS; i++) o->object[i] = -1;
  begin(o);
  put_points(o);
  es_merge_labels_close(&o->merge->labels);
  for (int i = 0; i < ES_FIELDS; i++) es_hdf5_close(&o->object[i]);
  es_hdf5_close(&o->names);
  es_hdf5_close(&o->point);
}

es_code_t es_merge_write(es_merge_t *merge, const char *to, const es_merge_header_t *header, es_status_t *status) {
  output_t o = {.merge = merge, .header = header, .point = -1, .names = -1};
  return es_writer_replace(&o.writer, to, put_all, &o, status);
}
