#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "hdf.h"
#include "result.h"
#include <hdf5_hl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One file being built in memory. The first failure stays and turns everything after it into nothing, so that the
 * functions below read as what the file consists of. */
typedef struct writer {
  const char *path;
  es_result_t *result;
  es_status_t *status;
  es_code_t code;
  hid_t file, string;
  hid_t scale[ES_DIMENSIONS];
} writer_t;

/* Passes an id or an error code of HDF5 on. */
static hid_t check(writer_t *writer, hid_t outcome, const char *what) {
  if (outcome < 0 && writer->code == ES_OK) {
    char reason[HDF_REASON_SIZE];
    hdf_reason(reason);
    writer->code = es_fail(writer->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be written: HDF5 failed at %s: %s",
                           writer->path, what, reason[0] != '\0' ? reason : "no reason given");
  }
  return outcome;
}

static void out_of_memory(writer_t *writer) {
  if (writer->code != ES_OK) return;
  writer->code = es_fail(writer->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be written: out of memory", writer->path);
}

static void put_attribute(writer_t *writer, hid_t object, const char *name, hid_t file_type, hid_t memory_type,
                          hid_t space, const void *value) {
  if (writer->code != ES_OK) return;
  hid_t attribute = check(writer, H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT), name);
  if (attribute < 0) return;
  check(writer, H5Awrite(attribute, memory_type, value), name);
  H5Aclose(attribute);
}

/* A variable-length UTF-8 string. */
static void put_text(writer_t *writer, hid_t object, const char *name, const char *text) {
  hid_t space = check(writer, H5Screate(H5S_SCALAR), name);
  put_attribute(writer, object, name, writer->string, writer->string, space, &text);
  if (space >= 0) H5Sclose(space);
}

/* One number is a scalar. */
static void put_number(writer_t *writer, hid_t object, const char *name, es_type_t type, const void *value) {
  hid_t space = check(writer, H5Screate(H5S_SCALAR), name);
  put_attribute(writer, object, name, hdf_file_type(type), hdf_memory_type(type), space, value);
  if (space >= 0) H5Sclose(space);
}

static void put_vector(writer_t *writer, hid_t object, const char *name, es_type_t type, const void *values,
                       hsize_t count) {
  hid_t space = check(writer, H5Screate_simple(1, &count, NULL), name);
  put_attribute(writer, object, name, hdf_file_type(type), hdf_memory_type(type), space, values);
  if (space >= 0) H5Sclose(space);
}

/* CF's flag attributes: flag_masks for bits, flag_values for an enumeration. */
static void put_flags(writer_t *writer, hid_t object, const es_field_info_t *info) {
  uint8_t values[8]; /* uint8 has no more bits */
  hsize_t count = 0;
  for (const char *word = info->flag_meanings; word != NULL && count < 8; count++) {
    values[count] = (uint8_t)(info->flag_bits ? 1U << count : count);
    word = strchr(word, ' ');
    if (word != NULL) word++;
  }
  put_vector(writer, object, info->flag_bits ? "flag_masks" : "flag_values", ES_TYPE_U8, values, count);
  put_text(writer, object, "flag_meanings", info->flag_meanings);
}

/* Chunks of about 256 KiB: whole planes of (layer, component), as many epochs as fit; a plane beyond that is cut by
 * layers. One split each, since readers take one. */
static void choose_chunk(const hsize_t extent[4], hsize_t chunk[4]) {
  enum { TARGET = 256 * 1024 / sizeof(double) };
  hsize_t row = extent[3], plane = extent[2] * row;
  chunk[0] = 1;
  chunk[1] = plane < TARGET ? TARGET / plane : 1;
  chunk[2] = plane > TARGET && row < TARGET ? TARGET / row : plane > TARGET ? 1 : extent[2];
  chunk[3] = row;
  for (int i = 0; i < 4; i++) {
    if (chunk[i] > extent[i]) chunk[i] = extent[i];
  }
}

/* How a variable is created. netCDF-4 demands that the order of attributes is tracked; without times, the same results
 * make the same bytes. */
static hid_t creation_list(writer_t *writer, const char *name) {
  hid_t list = check(writer, H5Pcreate(H5P_DATASET_CREATE), name);
  if (list < 0) return list;
  check(writer, H5Pset_attr_creation_order(list, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED), name);
  check(writer, H5Pset_obj_track_times(list, false), name);
  return list;
}

static const void *fill_value(es_type_t type) {
  static const double none_f64 = NAN;
  static const int32_t none_i32 = -1;
  static const int64_t none_i64 = -1;
  return type == ES_TYPE_F64 ? (const void *)&none_f64 : type == ES_TYPE_I32 ? (const void *)&none_i32 : &none_i64;
}

/* True where a number can be missing: what is constant about a layer never is. */
static bool can_be_missing(es_field_t field) {
  es_type_t type = es_field_info(field)->type;
  return type != ES_TYPE_STRING && type != ES_TYPE_U8 && field_has(field, ES_DIM_EPOCH);
}

static void put_names(writer_t *writer, hid_t object, const char *long_name, const char *units) {
  put_text(writer, object, "long_name", long_name);
  put_text(writer, object, "units", units);
}

/* Creates a variable and writes all of it; the caller closes it. */
static hid_t put_data(writer_t *writer, const char *name, es_type_t type, int rank, const hsize_t *extent, hid_t list,
                      const void *data) {
  bool text = type == ES_TYPE_STRING;
  if (writer->code != ES_OK) return -1;
  hid_t space = check(writer, H5Screate_simple(rank, extent, NULL), name);
  hid_t object = check(writer,
                       H5Dcreate2(writer->file, name, text ? writer->string : hdf_file_type(type), space, H5P_DEFAULT,
                                  list, H5P_DEFAULT),
                       name);
  if (object >= 0) {
    hid_t memory_type = text ? writer->string : hdf_memory_type(type);
    check(writer, H5Dwrite(object, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), name);
  }
  if (space >= 0) H5Sclose(space);
  return object;
}

/* A dimension scale: the coordinate variable that gives the axis its name and values. */
static void put_dimension(writer_t *writer, es_dimension_t dimension, const void *values) {
  const dimension_info_t *info = dimension_info(dimension);
  hsize_t extent = (hsize_t)writer->result->extent[dimension];
  hid_t list = creation_list(writer, info->name);
  hid_t object = put_data(writer, info->name, info->type, 1, &extent, list, values);
  writer->scale[dimension] = object;
  if (object >= 0) {
    check(writer, H5DSset_scale(object, info->name), info->name);
    put_names(writer, object, info->long_name, info->units);
  }
  if (list >= 0) H5Pclose(list);
}

static void put_dimensions(writer_t *writer) {
  const es_result_t *result = writer->result;
  size_t n_layers = (size_t)result->extent[ES_DIM_LAYER], n_components = (size_t)result->extent[ES_DIM_COMPONENT];
  const char *splits[ES_SPLITS] = {split_name(ES_TRAIN), split_name(ES_EVAL)};
  const char **layers = es_allocate(n_layers, sizeof *layers);
  int32_t *components = es_allocate(n_components, sizeof *components);
  if (layers != NULL && components != NULL) {
    for (size_t i = 0; i < n_layers; i++) layers[i] = result->layers[i].name;
    for (size_t i = 0; i < n_components; i++) components[i] = (int32_t)i;
    put_dimension(writer, ES_DIM_SPLIT, splits);
    put_dimension(writer, ES_DIM_EPOCH, result->epoch);
    put_dimension(writer, ES_DIM_LAYER, layers);
    put_dimension(writer, ES_DIM_DELTA, result->delta);
    put_dimension(writer, ES_DIM_COMPONENT, components);
  } else {
    writer->code =
        es_fail(writer->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be written: out of memory", writer->path);
  }
  es_free(layers);
  es_free(components);
}

static void put_field(writer_t *writer, es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  hsize_t extent[4] = {0}, chunk[4];
  for (int i = 0; i < info->rank; i++) extent[i] = (hsize_t)writer->result->extent[info->dimensions[i]];
  hid_t list = creation_list(writer, info->name);
  if (can_be_missing(field)) {
    check(writer, H5Pset_fill_value(list, hdf_memory_type(info->type), fill_value(info->type)), info->name);
  }
  if (field_has(field, ES_DIM_COMPONENT)) {
    choose_chunk(extent, chunk);
    check(writer, H5Pset_chunk(list, info->rank, chunk), info->name);
    check(writer, H5Pset_shuffle(list), info->name);
    check(writer, H5Pset_deflate(list, 4), info->name);
  }
  hid_t object = put_data(writer, info->name, info->type, info->rank, extent, list, writer->result->data[field]);
  if (object >= 0) {
    put_names(writer, object, info->long_name, info->units);
    if (can_be_missing(field)) put_vector(writer, object, "_FillValue", info->type, fill_value(info->type), 1);
    if (info->flag_meanings != NULL) put_flags(writer, object, info);
    for (unsigned i = 0; i < (unsigned)info->rank; i++) {
      check(writer, H5DSattach_scale(object, writer->scale[info->dimensions[i]], i), info->name);
    }
    H5Dclose(object);
  }
  if (list >= 0) H5Pclose(list);
}

/* An axis as an attribute that compares as a user expects: whole numbers int64, others and every width float64. */
static void put_axis(writer_t *writer, const es_axis_value_t *axis) {
  char name[ES_NAME_MAX];
  int64_t whole = 0;
  snprintf(name, sizeof name, "%s", axis->name);
  for (char *c = name; *c != '\0'; c++) {
    if (*c == '.') *c = '_';
  }
  if (!axis->is_number) {
    put_text(writer, writer->file, name, axis->text);
    return;
  }
  /* The text first: a seed above 2^53 is no double. The number where the text is a word ("all"). */
  bool is_whole = es_text_to_int(axis->text, &whole);
  if (!is_whole && axis->number == rint(axis->number) && fabs(axis->number) < 0x1p53) {
    whole = (int64_t)axis->number;
    is_whole = true;
  }
  if (is_whole && strcmp(name, "width") != 0)
    put_number(writer, writer->file, name, ES_TYPE_I64, &whole);
  else
    put_number(writer, writer->file, name, ES_TYPE_F64, &axis->number);
}

/* The attribute `axes` says which of the others are axes of the grid. */
static void put_axes(writer_t *writer, const es_point_t *point) {
  es_text_t names = {0};
  for (int i = 0; i < point->n_axes; i++) es_text_append(&names, "%s%s", i > 0 ? " " : "", point->axes[i].name);
  for (size_t i = 0; i < names.length; i++) {
    if (names.data[i] == '.') names.data[i] = '_';
  }
  if (names.failed) out_of_memory(writer);
  put_text(writer, writer->file, "axes", es_text_get(&names));
  for (int i = 0; i < point->n_axes; i++) put_axis(writer, &point->axes[i]);
  es_text_destroy(&names);
}

static void put_header(writer_t *writer, const es_result_header_t *header) {
  const int32_t version = ES_SCHEMA_VERSION;
  hid_t root = writer->file;
  put_text(writer, root, "schema", STORE_SCHEMA);
  put_number(writer, root, "schema_version", ES_TYPE_I32, &version);
  put_text(writer, root, "outcome", header->outcome);
  put_text(writer, root, "reason", header->reason);
  put_text(writer, root, "point_id", header->point_id);
  put_text(writer, root, "job_name", header->job_name);
  put_text(writer, root, "job", header->job);
  put_axes(writer, header->point);
  put_text(writer, root, "train_mode", header->train_mode);
  put_text(writer, root, "dataset_fingerprint", header->fingerprint);
  put_vector(writer, root, "normalize_mean", ES_TYPE_F64, header->normalize_mean, 3);
  put_vector(writer, root, "normalize_std", ES_TYPE_F64, header->normalize_deviation, 3);
  for (int i = 0; i < header->n_provenance; i++) {
    put_text(writer, root, header->provenance[i].name, header->provenance[i].value);
  }
}

/* An empty file in memory that tracks creation orders. Nothing reaches the disk: HDF5 cannot be trusted with a full
 * one. Versions start at the earliest, since H5Fget_file_image of HDF5 1.10 gives newer superblocks a wrong checksum;
 * object headers that track orders are version 2, with checksums, all the same. */
static void open_in_memory(writer_t *writer) {
  const unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  hid_t access = check(writer, H5Pcreate(H5P_FILE_ACCESS), "its access list");
  hid_t creation = check(writer, H5Pcreate(H5P_FILE_CREATE), "its creation list");
  if (writer->code == ES_OK) {
    check(writer, H5Pset_fapl_core(access, 1 << 20, false), "a file in memory");
    check(writer, H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), "its version");
    check(writer, H5Pset_link_creation_order(creation, order), "the order of variables");
    check(writer, H5Pset_attr_creation_order(creation, order), "the order of attributes");
    check(writer, H5Pset_obj_track_times(creation, false), "its times");
    /* HDF5 first opens whatever has that name, even for a file in memory: so a name that nothing can have. */
    writer->file =
        check(writer, H5Fcreate("/dev/null/result", H5F_ACC_TRUNC, creation, access), "creating it in memory");
    writer->string = check(writer, hdf_string_type(), "its string type");
  }
  if (access >= 0) H5Pclose(access);
  if (creation >= 0) H5Pclose(creation);
}

/* Puts the finished file on the disk. */
static void save(writer_t *writer) {
  if (writer->code != ES_OK) return;
  check(writer, H5Fflush(writer->file, H5F_SCOPE_GLOBAL), "flushing");
  ssize_t size = H5Fget_file_image(writer->file, NULL, 0);
  check(writer, size, "measuring the image");
  if (writer->code != ES_OK) return;
  char *image = es_allocate((size_t)size, 1);
  if (image == NULL) {
    out_of_memory(writer);
    return;
  }
  check(writer, H5Fget_file_image(writer->file, image, (size_t)size), "taking the image");
  if (writer->code == ES_OK) {
    writer->code = es_file_write_atomic(writer->path, image, (size_t)size, writer->status);
  }
  es_free(image);
}

es_code_t es_result_write(const char *path, es_result_t *result, const es_result_header_t *header,
                          es_status_t *status) {
  writer_t writer = {.path = path, .result = result, .status = status, .file = -1, .string = -1};
  hdf_quiet_t quiet;
  hdf_quiet_begin(&quiet);
  for (int i = 0; i < ES_DIMENSIONS; i++) writer.scale[i] = -1;
  open_in_memory(&writer);
  put_header(&writer, header);
  put_dimensions(&writer);
  for (int i = 0; i < ES_FIELDS; i++) put_field(&writer, (es_field_t)i);
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    if (writer.scale[i] >= 0) H5Dclose(writer.scale[i]);
  }
  save(&writer);
  if (writer.string >= 0) H5Tclose(writer.string);
  if (writer.file >= 0) H5Fclose(writer.file);
  hdf_quiet_end(&quiet);
  return writer.code;
}
