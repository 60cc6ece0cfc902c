#include "writer.h"
#include <hdf5_hl.h>
#include <math.h>
#include <string.h>

void es_writer_begin(es_writer_t *writer, const char *path, es_status_t *status) {
  *writer = (es_writer_t){.path = path, .status = status, .file = -1, .string = -1};
  for (int i = 0; i < ES_DIMENSIONS; i++) writer->scale[i] = -1;
}

void es_writer_release(es_writer_t *writer) {
  for (int i = 0; i < ES_DIMENSIONS; i++) es_hdf5_close(&writer->scale[i]);
  es_hdf5_close(&writer->string);
}

void es_writer_fail(es_writer_t *writer, const char *what, const char *reason) {
  if (writer->code != ES_OK) return;
  writer->code = es_fail(writer->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be written: HDF5 failed at %s: %s",
                         writer->path, what, reason);
}

hid_t es_writer_check(es_writer_t *writer, hid_t outcome, const char *what) {
  if (writer->code == ES_OK && writer->reason != NULL && *writer->reason != 0) {
    writer->code = es_fail(writer->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be written: %s", writer->path,
                           strerror(*writer->reason));
  }
  if (outcome < 0 && writer->code == ES_OK) {
    char reason[ES_HDF5_REASON_SIZE];
    es_hdf5_reason(reason);
    es_writer_fail(writer, what, reason);
  }
  return outcome;
}

void es_writer_out_of_memory(es_writer_t *writer) {
  if (writer->code != ES_OK) return;
  writer->code = es_fail(writer->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be written: out of memory", writer->path);
}

/* Element types in the file and in memory. */
static hid_t type_in_file(const es_writer_t *writer, es_type_t type) {
  return type == ES_TYPE_STRING ? writer->string : es_type_in_file(type);
}

static hid_t type_in_memory(const es_writer_t *writer, es_type_t type) {
  return type == ES_TYPE_STRING ? writer->string : es_type_in_memory(type);
}

/* Writes an attribute. `made`: the dataspace of the value, which is closed here. */
static void put_attribute(es_writer_t *writer, hid_t object, const char *name, es_type_t type, hid_t made,
                          const void *value) {
  ES_HDF5_ID space = es_writer_check(writer, made, name);
  if (writer->code != ES_OK) return;
  ES_HDF5_ID attribute = es_writer_check(
      writer, H5Acreate2(object, name, type_in_file(writer, type), space, H5P_DEFAULT, H5P_DEFAULT), name);
  if (attribute >= 0) es_writer_check(writer, H5Awrite(attribute, type_in_memory(writer, type), value), name);
}

void es_writer_text(es_writer_t *writer, hid_t object, const char *name, const char *text) {
  put_attribute(writer, object, name, ES_TYPE_STRING, H5Screate(H5S_SCALAR), &text);
}

void es_writer_number(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *value) {
  put_attribute(writer, object, name, type, H5Screate(H5S_SCALAR), value);
}

void es_writer_vector(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *values,
                      hsize_t count) {
  put_attribute(writer, object, name, type, H5Screate_simple(1, &count, NULL), values);
}

/* Writes the flags of CF: flag_masks for bits, flag_values for an enumeration. */
static void put_flags(es_writer_t *writer, hid_t object, const es_field_info_t *info) {
  uint8_t values[8]; /* uint8 has no more bits */
  hsize_t count = 0;
  for (const char *word = info->flag_meanings; word != NULL && count < 8; count++) {
    values[count] = (uint8_t)(info->flag_bits ? 1U << count : count);
    word = strchr(word, ' ');
    if (word != NULL) word++;
  }
  es_writer_vector(writer, object, info->flag_bits ? "flag_masks" : "flag_values", ES_TYPE_U8, values, count);
  es_writer_text(writer, object, "flag_meanings", info->flag_meanings);
}

hid_t es_writer_list(es_writer_t *writer, const char *name) {
  hid_t list = es_writer_check(writer, H5Pcreate(H5P_DATASET_CREATE), name);
  if (list < 0) return list;
  es_writer_check(writer, H5Pset_attr_creation_order(list, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED), name);
  es_writer_check(writer, H5Pset_obj_track_times(list, false), name);
  return list;
}

const void *es_writer_fill(const es_field_info_t *info) {
  static const double none_f64 = NAN;
  static const float none_f32 = NAN;
  static const int32_t none_i32 = -1;
  static const int64_t none_i64 = -1;
  const void *const values[ES_TYPES] = {[ES_TYPE_F64] = &none_f64,
                                        [ES_TYPE_F32] = &none_f32,
                                        [ES_TYPE_I32] = &none_i32,
                                        [ES_TYPE_I64] = &none_i64,
                                        [ES_TYPE_U8] = &info->unmeasured};
  return values[info->type];
}

void es_writer_names(es_writer_t *writer, hid_t object, const char *long_name, const char *units) {
  es_writer_text(writer, object, "long_name", long_name);
  es_writer_text(writer, object, "units", units);
}

hid_t es_writer_create(es_writer_t *writer, const char *name, es_type_t type, int rank, const hsize_t *extent,
                       hid_t list) {
  if (writer->code != ES_OK) return -1;
  ES_HDF5_ID space = es_writer_check(writer, H5Screate_simple(rank, extent, NULL), name);
  return es_writer_check(
      writer, H5Dcreate2(writer->file, name, type_in_file(writer, type), space, H5P_DEFAULT, list, H5P_DEFAULT), name);
}

void es_writer_write(es_writer_t *writer, hid_t object, const char *name, es_type_t type, const void *data) {
  if (object < 0) return;
  es_writer_check(writer, H5Dwrite(object, type_in_memory(writer, type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data), name);
}

void es_writer_write_block(es_writer_t *writer, hid_t object, const char *name, es_type_t type,
                           const es_hdf5_block_t *block, const void *data) {
  char reason[ES_HDF5_REASON_SIZE];
  es_writer_check(writer, 0, name); /* reports the last failure of the disk */
  if (object < 0 || writer->code != ES_OK) return;
  if (es_hdf5_write(object, type_in_memory(writer, type), block, data, reason) != ES_OK)
    es_writer_fail(writer, name, reason);
}

hid_t es_writer_scale(es_writer_t *writer, const char *name, es_type_t type, hsize_t extent, const void *values,
                      const char *long_name) {
  ES_HDF5_ID list = es_writer_list(writer, name);
  const hid_t object = es_writer_create(writer, name, type, 1, &extent, list);
  es_writer_write(writer, object, name, type, values);
  if (object >= 0) es_writer_check(writer, H5DSset_scale(object, name), name);
  if (object >= 0) es_writer_names(writer, object, long_name, "1");
  return object;
}

void es_writer_attach(es_writer_t *writer, hid_t object, const char *name, es_dimension_t dimension, int place) {
  if (object >= 0) es_writer_check(writer, H5DSattach_scale(object, writer->scale[dimension], (unsigned)place), name);
}

void es_writer_describe(es_writer_t *writer, hid_t object, const es_field_info_t *info, bool can_be_missing) {
  es_writer_names(writer, object, info->long_name, info->units);
  if (can_be_missing) es_writer_vector(writer, object, "_FillValue", info->type, es_writer_fill(info), 1);
  if (info->flag_meanings != NULL) put_flags(writer, object, info);
}

void es_writer_deflate(es_writer_t *writer, hid_t list, const char *name, int rank, const hsize_t *chunk) {
  es_writer_check(writer, H5Pset_chunk(list, rank, chunk), name);
  es_writer_check(writer, H5Pset_shuffle(list), name);
  es_writer_check(writer, H5Pset_deflate(list, 4), name);
}

void es_writer_chunk(const hsize_t *extent, int rank, hsize_t target, hsize_t *chunk) {
  hsize_t size = chunk[rank - 1] = extent[rank - 1];
  for (int i = rank - 2; i >= 0; i--) {
    const bool whole = chunk[i + 1] == extent[i + 1]; /* all later dimensions are whole */
    chunk[i] = whole && size < target ? target / size : 1;
    if (chunk[i] > extent[i]) chunk[i] = extent[i];
    size *= chunk[i];
  }
}

void es_writer_open(es_writer_t *writer, const char *name, hid_t access) {
  const unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  ES_HDF5_ID creation = es_writer_check(writer, H5Pcreate(H5P_FILE_CREATE), "the creation list");
  if (writer->code != ES_OK) return;
  es_writer_check(writer, H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), "the version");
  es_writer_check(writer, H5Pset_link_creation_order(creation, order), "the order of variables");
  es_writer_check(writer, H5Pset_attr_creation_order(creation, order), "the order of attributes");
  es_writer_check(writer, H5Pset_obj_track_times(creation, false), "the time stamps");
  writer->file = es_writer_check(writer, H5Fcreate(name, H5F_ACC_TRUNC, creation, access), "creating the file");
  writer->string = es_writer_check(writer, es_hdf5_string_type(), "the string type");
}
