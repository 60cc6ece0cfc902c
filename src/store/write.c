#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "result.h"
#include "writer.h"
#include <stdio.h>
#include <string.h>

/* Writes the coordinate variable of a dimension: numbers of the result, words, or indices. */
static void put_dimension(es_writer_t *writer, es_result_t *result, es_dimension_t dimension) {
  const es_dimension_info_t *info = es_dimension_info(dimension);
  const size_t count = (size_t)result->extent[dimension];
  const bool is_text = info->type == ES_TYPE_STRING;
  const void *numbers = es_dimension_has_values(dimension) ? es_result_coordinates(result, dimension) : NULL;
  char(*words)[ES_NAME_MAX] = is_text ? es_allocate(count, sizeof *words) : NULL;
  void *made = es_allocate(count, es_type_size(info->type));
  if (made == NULL || (is_text && words == NULL)) es_writer_out_of_memory(writer);
  for (size_t i = 0; i < count && writer->code == ES_OK; i++) {
    if (is_text)
      ((const char **)made)[i] = es_result_word(result, dimension, (int64_t)i, words[i]);
    else if (numbers == NULL)
      ((int32_t *)made)[i] = (int32_t)i;
  }
  writer->scale[dimension] = es_writer_scale(writer, info->name, info->type, (hsize_t)count,
                                             numbers != NULL ? numbers : made, info->long_name);
  es_free(made);
  es_free(words);
}

/* Creates the list of a field. Fields that can be large are deflated in chunks of about 256 KiB (eigenvectors 1 MiB). A
 * chunk has one entry of the first dimension, because readers load one split; of epochs it has many, because a
 * chunk of one small matrix would be mostly overhead. */
static hid_t field_list(es_writer_t *writer, es_field_t field, const hsize_t *extent) {
  const es_field_info_t *info = es_field_info(field);
  const hsize_t target = (hsize_t)(info->type == ES_TYPE_F32 ? 1024 : 256) * 1024 / es_type_size(info->type);
  hsize_t chunk[ES_RANK_MAX];
  hid_t list = es_writer_list(writer, info->name);
  if (es_field_can_be_missing(field)) {
    es_writer_check(writer, H5Pset_fill_value(list, es_type_in_memory(info->type), es_writer_fill(info)), info->name);
  }
  if (es_field_is_packed(field) || es_field_has(field, ES_DIM_PREDICTED_CLASS)) {
    es_writer_chunk(extent, info->rank, target, chunk);
    if (info->dimensions[0] != ES_DIM_EPOCH && info->dimensions[0] != ES_DIM_STEP) chunk[0] = 1;
    es_writer_deflate(writer, list, info->name, info->rank, chunk);
  }
  return list;
}

static void put_field(es_writer_t *writer, es_result_t *result, es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  hsize_t extent[ES_RANK_MAX] = {0};
  for (int i = 0; i < info->rank; i++) extent[i] = (hsize_t)result->extent[info->dimensions[i]];
  ES_HDF5_ID list = field_list(writer, field, extent);
  ES_HDF5_ID object = es_writer_create(writer, info->name, info->type, info->rank, extent, list);
  if (object < 0) return;
  const es_packed_t packed = {.result = result, .field = field, .object = object};
  char reason[ES_HDF5_REASON_SIZE];
  if (!es_field_is_packed(field))
    es_writer_write(writer, object, info->name, info->type, result->data[field]);
  else if (es_packed_transfer(&packed, reason) != ES_OK)
    es_writer_fail(writer, info->name, reason);
  es_writer_describe(writer, object, info, es_field_can_be_missing(field));
  for (int i = 0; i < info->rank; i++) es_writer_attach(writer, object, info->name, info->dimensions[i], i);
}

/* Writes an axis as an attribute of a comparable type: int64 for whole numbers, float64 for others and every width. */
static void put_axis(es_writer_t *writer, const es_axis_value_t *axis) {
  char name[ES_NAME_MAX];
  snprintf(name, sizeof name, "%s", axis->name);
  for (char *c = name; *c != '\0'; c++) {
    if (*c == '.') *c = '_';
  }
  if (!axis->is_number)
    es_writer_text(writer, writer->file, name, axis->text);
  else if (axis->is_whole)
    es_writer_number(writer, writer->file, name, ES_TYPE_I64, &axis->whole);
  else
    es_writer_number(writer, writer->file, name, ES_TYPE_F64, &axis->number);
}

/* The attribute `axes` lists the attributes that are axes of the grid. */
void es_writer_axes(es_writer_t *writer, const es_point_t *point) {
  es_text_t names = {0};
  for (int i = 0; i < point->n_axes; i++) es_text_append(&names, "%s%s", i > 0 ? " " : "", point->axes[i].name);
  for (size_t i = 0; i < names.length; i++) {
    if (names.data[i] == '.') names.data[i] = '_';
  }
  if (names.failed) es_writer_out_of_memory(writer);
  es_writer_text(writer, writer->file, "axes", es_text_get(&names));
  for (int i = 0; i < point->n_axes; i++) put_axis(writer, &point->axes[i]);
  es_text_destroy(&names);
}

static void put_header(es_writer_t *writer, const es_result_header_t *header) {
  const int32_t version = ES_SCHEMA_VERSION;
  hid_t root = writer->file;
  es_writer_text(writer, root, "schema", STORE_SCHEMA);
  es_writer_number(writer, root, "schema_version", ES_TYPE_I32, &version);
  es_writer_text(writer, root, "outcome", header->outcome);
  es_writer_text(writer, root, "reason", header->reason);
  if (header->stopped_at > 0) es_writer_number(writer, root, STORE_STOPPED, ES_TYPE_I32, &header->stopped_at);
  es_writer_text(writer, root, "point_id", header->point_id);
  es_writer_text(writer, root, "job_name", header->job_name);
  es_writer_text(writer, root, "job", header->job);
  es_writer_axes(writer, header->point);
  es_writer_text(writer, root, "train_mode", header->train_mode);
  es_writer_text(writer, root, "dataset_fingerprint", header->fingerprint);
  es_writer_vector(writer, root, "normalize_mean", ES_TYPE_F64, header->normalize_mean, 3);
  es_writer_vector(writer, root, "normalize_std", ES_TYPE_F64, header->normalize_deviation, 3);
  for (int i = 0; i < header->n_provenance; i++) {
    es_writer_text(writer, root, header->provenance[i].name, header->provenance[i].value);
  }
}

/* Writes the finished file to the disk. */
static void save(es_writer_t *writer) {
  if (writer->code != ES_OK) return;
  es_writer_check(writer, H5Fflush(writer->file, H5F_SCOPE_GLOBAL), "flushing");
  ssize_t size = H5Fget_file_image(writer->file, NULL, 0);
  es_writer_check(writer, size, "the size of the file in memory");
  if (writer->code != ES_OK) return;
  char *image = es_allocate((size_t)size, 1);
  if (image == NULL) {
    es_writer_out_of_memory(writer);
    return;
  }
  es_writer_check(writer, H5Fget_file_image(writer->file, image, (size_t)size), "copying the file from memory");
  if (writer->code == ES_OK) {
    writer->code = es_file_write_atomic(writer->path, image, (size_t)size, writer->status);
  }
  es_free(image);
}

es_code_t es_result_write(const char *path, es_result_t *result, const es_result_header_t *header,
                          es_status_t *status) {
  ES_HDF5_QUIET;
  es_writer_t writer;
  es_writer_begin(&writer, path, status);
  /* Build the file in memory and write it when it is whole, because HDF5 cannot handle a full disk. */
  ES_HDF5_ID access = es_writer_check(&writer, H5Pcreate(H5P_FILE_ACCESS), "the access list");
  es_writer_check(&writer, H5Pset_fapl_core(access, 1 << 20, false), "a file in memory");
  /* Use a name that cannot exist, because HDF5 opens an existing file of that name even for a file in memory. */
  es_writer_open(&writer, "/dev/null/result", access);
  put_header(&writer, header);
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    if (result->extent[i] > 0) put_dimension(&writer, result, (es_dimension_t)i);
  }
  for (int i = 0; i < ES_FIELDS; i++) {
    if (es_result_has(result, es_field_info((es_field_t)i)->group)) put_field(&writer, result, (es_field_t)i);
  }
  es_writer_release(&writer);
  save(&writer);
  es_hdf5_close(&writer.file);
  return writer.code;
}
