#include "reader.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_of_type(hid_t object, es_type_t type) {
  ES_HDF5_ID found = H5Dget_type(object);
  if (found < 0) return false;
  const H5T_class_t class = H5Tget_class(found);
  if (type == ES_TYPE_STRING) return class == H5T_STRING && H5Tis_variable_str(found) > 0;
  return class == (type == ES_TYPE_F64 || type == ES_TYPE_F32 ? H5T_FLOAT : H5T_INTEGER) &&
         H5Tget_size(found) == es_type_size(type);
}

/* Opens a variable of the given type and rank and returns its extents; the caller closes *object. */
static es_code_t open_variable(es_reader_t *reader, const char *name, es_type_t type, int rank,
                               hsize_t extent[ES_RANK_MAX], hid_t *object) {
  static const char *const types[ES_TYPES] = {
      [ES_TYPE_F64] = "float64", [ES_TYPE_F32] = "float32", [ES_TYPE_I32] = "int32",
      [ES_TYPE_I64] = "int64",   [ES_TYPE_U8] = "uint8",    [ES_TYPE_STRING] = "variable-length string"};
  *object = -1;
  const htri_t there = H5Lexists(reader->file, name, H5P_DEFAULT);
  if (there < 0) return es_reader_broken(reader, name);
  if (there == 0) return es_reader_foreign(reader, "the variable %s is missing", name);
  *object = H5Dopen2(reader->file, name, H5P_DEFAULT);
  if (*object < 0) return es_reader_broken(reader, name);
  if (!is_of_type(*object, type)) return es_reader_foreign(reader, "the variable %s must be %s", name, types[type]);
  ES_HDF5_ID space = H5Dget_space(*object);
  if (space < 0) return es_reader_broken(reader, name);
  const int found = H5Sget_simple_extent_ndims(space);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  if (found == rank) H5Sget_simple_extent_dims(space, extent, NULL);
  if (found != rank)
    return es_reader_foreign(reader, "the variable %s has %d dimension%s, but must have %d", name, found,
                             es_plural(found), rank);
  const char *lie = es_hdf5_check_size(*object, count < 0 ? SIZE_MAX : (size_t)count, es_type_size(type));
  return lie == NULL ? ES_OK : es_reader_foreign(reader, "the variable %s %s", name, lie);
}

/* Reads `count` strings of less than `size` bytes, one every `stride` bytes from `out`. */
static es_code_t read_strings(es_reader_t *reader, hid_t object, const char *name, size_t count, char *out,
                              size_t stride, size_t size) {
  enum { BUFFER = 4096 }; /* HDF5 clears its buffer, of 1 MiB by default, at each reading of strings */
  es_code_t code = ES_OK;
  ES_HDF5_ID type = es_hdf5_string_type(), space = H5Dget_space(object), list = H5Pcreate(H5P_DATASET_XFER);
  if (list >= 0) H5Pset_buffer(list, BUFFER, NULL, NULL);
  char **values = es_allocate_zero(count, sizeof *values);
  if (values == NULL) {
    code = es_reader_out_of_memory(reader);
  } else if (type < 0 || space < 0 ||
             H5Dread(object, type, H5S_ALL, H5S_ALL, list >= 0 ? list : H5P_DEFAULT, values) < 0) {
    code = es_reader_broken(reader, name);
  } else {
    for (size_t i = 0; i < count && code == ES_OK; i++) {
      const char *value = values[i] != NULL ? values[i] : "";
      const size_t length = strlen(value);
      if (length >= size)
        code = es_reader_foreign(reader, "the variable %s has a string of more than %zu bytes", name, size - 1);
      else if (!es_text_is_plain(value))
        code = es_reader_foreign(
            reader, "the variable %s has a string that is not UTF-8 text without control characters", name);
      else
        memcpy(out + i * stride, value, length + 1);
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
  }
  es_free(values);
  return code;
}

static es_code_t read_numbers(es_reader_t *reader, hid_t object, const char *name, es_type_t type, void *out) {
  if (H5Dread(object, es_type_in_memory(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0) return ES_OK;
  return es_reader_broken(reader, name);
}

/* Finds the groups of the file: a group is present if the file has any variable of it. */
static es_code_t read_groups(es_reader_t *reader, bool groups[ES_FIELD_GROUPS]) {
  memset(groups, 0, ES_FIELD_GROUPS * sizeof *groups);
  groups[ES_GROUP_CORE] = true;
  for (int i = 0; i < ES_FIELDS; i++) {
    const es_field_info_t *info = es_field_info((es_field_t)i);
    if (groups[info->group]) continue;
    htri_t there = H5Lexists(reader->file, info->name, H5P_DEFAULT);
    if (there < 0) return es_reader_broken(reader, info->name);
    groups[info->group] = there > 0;
  }
  return ES_OK;
}

static es_code_t set_extent(es_reader_t *reader, es_dimension_t dimension, hsize_t length,
                            int64_t extent[ES_DIMENSIONS]) {
  const es_dimension_info_t *info = es_dimension_info(dimension);
  if (length < 1 || length > (hsize_t)info->most)
    return es_reader_foreign(reader, "the length of the dimension %s is %llu, but must be from 1 to %lld", info->name,
                             (unsigned long long)length, (long long)info->most);
  extent[dimension] = (int64_t)length;
  return ES_OK;
}

/* Opens the coordinate variables of the dimensions that the groups use, and reads their extents, 0 for the others. The
 * caller closes the variables. */
static es_code_t open_dimensions(es_reader_t *reader, const bool groups[ES_FIELD_GROUPS], int64_t extent[ES_DIMENSIONS],
                                 hid_t object[ES_DIMENSIONS]) {
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    const es_dimension_info_t *info = es_dimension_info((es_dimension_t)i);
    hsize_t length[ES_RANK_MAX] = {0};
    if (!es_dimension_is_used((es_dimension_t)i, groups)) continue;
    ES_TRY(open_variable(reader, info->name, info->type, 1, length, &object[i]));
    ES_TRY(set_extent(reader, (es_dimension_t)i, length[0], extent));
  }
  return ES_OK;
}

/* Checks a dimension whose entries are fixed or follow from the layers. */
static es_code_t check_words(es_reader_t *reader, es_dimension_t dimension, hid_t object) {
  const es_result_t *result = reader->result;
  const es_dimension_info_t *info = es_dimension_info(dimension);
  size_t count = (size_t)result->extent[dimension];
  char word[ES_NAME_MAX], *found = es_allocate(count, ES_NAME_MAX);
  if (found == NULL) return es_reader_out_of_memory(reader);
  es_code_t code = read_strings(reader, object, info->name, count, found, ES_NAME_MAX, ES_NAME_MAX);
  bool same = info->words != NULL ? count == (size_t)info->most : (int64_t)count == result->extent[ES_DIM_LAYER] + 1;
  for (size_t i = 0; i < count && code == ES_OK && same; i++) {
    same = strcmp(found + i * ES_NAME_MAX, es_result_word(result, dimension, (int64_t)i, word)) == 0;
  }
  es_free(found);
  if (code != ES_OK || same) return code;
  /* "split must be train, eval" */
  char list[2 * ES_NAME_MAX + 8] = "all, then the layers";
  if (info->words != NULL) {
    size_t length = (size_t)snprintf(list, sizeof list, "%s", es_dimension_word(dimension, 0, word));
    snprintf(list + length, sizeof list - length, ", %s", es_dimension_word(dimension, 1, word));
  }
  return es_reader_foreign(reader, "%s must be %s", info->name, list);
}

/* An index must equal its position. Epochs and deltas must ascend, because positions are found by value (NaN has none).
 */
static es_code_t read_coordinate(es_reader_t *reader, es_dimension_t dimension, hid_t object) {
  es_result_t *result = reader->result;
  const es_dimension_info_t *info = es_dimension_info(dimension);
  const int64_t count = result->extent[dimension];
  if (dimension == ES_DIM_LAYER)
    return read_strings(reader, object, info->name, (size_t)count, result->layers[0].name, sizeof *result->layers,
                        ES_NAME_MAX);
  if (dimension == ES_DIM_PROBE_DATASET)
    return read_strings(reader, object, info->name, (size_t)count, result->probe_dataset[0],
                        sizeof *result->probe_dataset, ES_NAME_MAX);
  if (info->type == ES_TYPE_STRING) return check_words(reader, dimension, object);
  if (!es_dimension_has_values(dimension)) return ES_OK;
  ES_TRY(read_numbers(reader, object, info->name, info->type, es_result_coordinates(result, dimension)));
  double before = -1;
  for (int64_t i = 0; i < count; i++) {
    const double value = es_result_coordinate(result, dimension, i);
    if (!(value > before)) return es_reader_foreign(reader, "%s is not in ascending order", info->name);
    before = value;
  }
  return ES_OK;
}

es_code_t es_reader_coordinate(es_reader_t *reader, es_dimension_t dimension) {
  const es_dimension_info_t *info = es_dimension_info(dimension);
  hsize_t length[ES_RANK_MAX] = {0};
  ES_HDF5_ID object = -1;
  ES_TRY(open_variable(reader, info->name, info->type, 1, length, &object));
  if (length[0] != (hsize_t)reader->result->extent[dimension])
    return es_reader_foreign(reader, "%s has other dimensions", info->name);
  return read_coordinate(reader, dimension, object);
}

/* Reads a variable into the result; strings get memory of their own. */
static es_code_t read_field_data(es_reader_t *reader, es_field_t field, hid_t object) {
  es_result_t *result = reader->result;
  const es_field_info_t *info = es_field_info(field);
  if (info->type != ES_TYPE_STRING) return read_numbers(reader, object, info->name, info->type, result->data[field]);
  size_t count = es_result_size(result, field);
  char *text = result->text[field] = es_allocate(count, ES_NAME_MAX);
  if (text == NULL) return es_reader_out_of_memory(reader);
  ES_TRY(read_strings(reader, object, info->name, count, text, ES_NAME_MAX, ES_NAME_MAX));
  for (size_t i = 0; i < count; i++) ((const char **)result->data[field])[i] = text + i * ES_NAME_MAX;
  return ES_OK;
}

static es_code_t check_extents(es_reader_t *reader, const es_field_info_t *info, const hsize_t found[ES_RANK_MAX],
                               const int64_t extent[ES_DIMENSIONS]) {
  for (int i = 0; i < info->rank; i++) {
    const int64_t expected = extent[info->dimensions[i]];
    if (found[i] != (hsize_t)expected)
      return es_reader_foreign(reader, "the length of the variable %s is %llu along %s, but must be %lld", info->name,
                               (unsigned long long)found[i], es_dimension_info(info->dimensions[i])->name,
                               (long long)expected);
  }
  return ES_OK;
}

es_code_t es_reader_field(es_reader_t *reader, es_field_t field, hid_t *object) {
  const es_field_info_t *info = es_field_info(field);
  hsize_t extent[ES_RANK_MAX] = {0};
  ES_TRY(open_variable(reader, info->name, info->type, info->rank, extent, object));
  return check_extents(reader, info, extent, reader->result->extent);
}

/* Checks a variable, and reads it if it is wanted. Memory is allocated after the check that the file holds as much. */
static es_code_t read_field(es_reader_t *reader, es_field_t field, bool wanted) {
  ES_HDF5_ID object = -1;
  ES_TRY(es_reader_field(reader, field, &object));
  if (!wanted) return ES_OK;
  if (!es_result_allocate_field(reader->result, field)) return es_reader_out_of_memory(reader);
  return read_field_data(reader, field, object);
}

es_code_t es_reader_read_field(es_reader_t *reader, es_field_t field) {
  return read_field(reader, field, true);
}

/* A merged file turns attributes into variables, so they must not have names that the schema uses. */
static bool is_name_of_result(const char *name) {
  static const char *const taken[] = {"point", "layer_name", "channel", "n_grid", "missing", "coordinates"};
  if (!es_attribute_name_is_fit(name)) return false;
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    if (strcmp(name, taken[i]) == 0) return false;
  }
  for (int i = 0; i < ES_FIELDS; i++) {
    if (strcmp(name, es_field_info((es_field_t)i)->name) == 0) return false;
  }
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    if (strcmp(name, es_dimension_info((es_dimension_t)i)->name) == 0) return false;
  }
  return strncmp(name, "merged_", strlen("merged_")) != 0;
}

/* Checks by its attributes that the file is a result of a known version. */
static es_code_t check_attributes(es_reader_t *reader) {
  int64_t version;
  const char *schema = es_reader_text(reader, "schema"), *number = es_reader_attribute(reader, "schema_version");
  if (es_hdf5_is_moments(reader->file))
    return es_reader_foreign(reader, "it holds moments; a job with `source: moments` measures them");
  if (strcmp(schema, STORE_SCHEMA) != 0) {
    return es_reader_foreign(reader, "the attribute schema is \"%.40s\", but must be \"" STORE_SCHEMA "\"", schema);
  }
  if (number == NULL || !es_text_to_int(number, &version) || version < 1 || version > INT32_MAX) {
    return es_reader_foreign(reader, "the attribute schema_version must be a whole number");
  }
  reader->schema_version = (int32_t)version;
  if (es_reader_attribute(reader, STORE_MERGED) != NULL)
    return es_reader_foreign(reader, "it is a merged file, not the result of one point");
  for (int i = 0; i < reader->n_attributes; i++) {
    if (!is_name_of_result(reader->attributes[i].name))
      return es_reader_foreign(reader, "it has the attribute %.40s, which a result does not have",
                               reader->attributes[i].name);
  }
  if (version == ES_SCHEMA_VERSION) return ES_OK;
  return es_reader_foreign(reader, "it has version %lld of the schema, but this program reads version %d",
                           (long long)version, ES_SCHEMA_VERSION);
}

/* Reads layers and their widths, which define the layout of packed fields in memory. */
static es_code_t read_widths(es_reader_t *reader) {
  es_result_t *result = reader->result;
  hsize_t extent[ES_RANK_MAX] = {0};
  const es_field_info_t *info = es_field_info(ES_FIELD_LAYER_WIDTH);
  ES_HDF5_ID object = -1;
  ES_TRY(open_variable(reader, info->name, info->type, info->rank, extent, &object));
  int32_t *widths = es_allocate((size_t)result->extent[ES_DIM_LAYER], sizeof *widths);
  if (widths == NULL) return es_reader_out_of_memory(reader);
  es_code_t code = read_numbers(reader, object, info->name, info->type, widths);
  for (int64_t i = 0; code == ES_OK && i < result->extent[ES_DIM_LAYER]; i++) {
    result->layers[i].width = widths[i];
    if (widths[i] < 1 || widths[i] > result->extent[ES_DIM_COMPONENT])
      code = es_reader_foreign(reader, "the width of a layer is %d, but must be from 1 to %lld", widths[i],
                               (long long)result->extent[ES_DIM_COMPONENT]);
  }
  es_free(widths);
  if (code == ES_OK) es_result_count_widths(result);
  return code;
}

/* Computes quantities that the file lacks from its eigenvalues. */
static es_code_t compute_quantities(es_reader_t *reader, const bool lacking[ES_FIELDS]) {
  es_result_t *result = reader->result;
  const es_field_info_t *info = es_field_info(ES_FIELD_EIGENVALUES);
  ES_TRY(read_widths(reader));
  if (!es_result_allocate_field(result, ES_FIELD_EIGENVALUES)) return es_reader_out_of_memory(reader);
  ES_HDF5_ID object = H5Dopen2(reader->file, info->name, H5P_DEFAULT);
  if (object < 0) return es_reader_broken(reader, info->name);
  const es_packed_t packed = {.result = result, .field = ES_FIELD_EIGENVALUES, .object = object, .reading = true};
  char reason[ES_HDF5_REASON_SIZE];
  es_code_t code = es_packed_transfer(&packed, reason);
  if (code == ES_OK)
    es_result_compute_quantities(result, lacking);
  else
    code = es_reader_damaged(reader, info->name, reason);
  es_free(result->data[ES_FIELD_EIGENVALUES]);
  result->data[ES_FIELD_EIGENVALUES] = NULL;
  return code;
}

static es_code_t read_dimensions(es_reader_t *reader, const bool groups[ES_FIELD_GROUPS], hid_t object[ES_DIMENSIONS]) {
  int64_t extent[ES_DIMENSIONS] = {0};
  ES_TRY(open_dimensions(reader, groups, extent, object));
  reader->result = es_result_allocate(extent, groups);
  if (reader->result == NULL) return es_reader_out_of_memory(reader);
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    if (extent[i] > 0) ES_TRY(read_coordinate(reader, (es_dimension_t)i, object[i]));
  }
  return ES_OK;
}

/* Reads everything but the fields. */
static es_code_t read_frame(es_reader_t *reader) {
  bool groups[ES_FIELD_GROUPS];
  hid_t object[ES_DIMENSIONS];
  for (int i = 0; i < ES_DIMENSIONS; i++) object[i] = -1;
  ES_TRY(es_attributes_read(reader));
  ES_TRY(check_attributes(reader));
  ES_TRY(read_groups(reader, groups));
  const es_code_t code = read_dimensions(reader, groups, object);
  for (int i = 0; i < ES_DIMENSIONS; i++) es_hdf5_close(&object[i]);
  return code;
}

static es_code_t read_all(es_reader_t *reader, const bool *wanted) {
  ES_TRY(read_frame(reader));
  bool lacking[ES_FIELDS] = {false}, computes = false;
  for (int i = 0; i < ES_FIELDS; i++) {
    const es_field_t field = (es_field_t)i;
    if (!reader->result->groups[es_field_info(field)->group]) continue;
    assert(!wanted[i] || !es_field_is_packed(field)); /* the widths are not known yet */
    if (es_field_is_optional(field) && H5Lexists(reader->file, es_field_info(field)->name, H5P_DEFAULT) == 0) {
      lacking[i] = wanted[i];
      computes = computes || (wanted[i] && es_field_is_quantity(field));
    } else {
      ES_TRY(read_field(reader, field, wanted[i]));
    }
  }
  for (int i = 0; i < ES_FIELDS; i++) {
    if (lacking[i] && !es_result_allocate_field(reader->result, (es_field_t)i)) return es_reader_out_of_memory(reader);
  }
  ES_TRY(es_older_correct(reader));
  return computes ? compute_quantities(reader, lacking) : ES_OK;
}

/* Reads wanted fields of the core alone; the first field that has a dimension gives its extent. */
static es_code_t read_few(es_reader_t *reader, const bool *wanted, hid_t object[ES_FIELDS]) {
  static const bool core[ES_FIELD_GROUPS] = {[ES_GROUP_CORE] = true};
  static const es_dimension_t coordinates[] = {ES_DIM_EPOCH, ES_DIM_DELTA};
  int64_t extent[ES_DIMENSIONS] = {0};
  ES_TRY(es_attributes_read_some(reader));
  ES_TRY(check_attributes(reader));
  for (int i = 0; i < ES_FIELDS; i++) {
    const es_field_info_t *info = es_field_info((es_field_t)i);
    hsize_t found[ES_RANK_MAX] = {0};
    if (!wanted[i]) continue;
    ES_TRY(open_variable(reader, info->name, info->type, info->rank, found, &object[i]));
    for (int k = 0; k < info->rank; k++) {
      if (extent[info->dimensions[k]] == 0) ES_TRY(set_extent(reader, info->dimensions[k], found[k], extent));
    }
    ES_TRY(check_extents(reader, info, found, extent));
  }
  if (extent[ES_DIM_SPLIT] != ES_SPLITS) return es_reader_foreign(reader, "split must be train, eval");
  reader->result = es_result_allocate(extent, core);
  if (reader->result == NULL) return es_reader_out_of_memory(reader);
  for (size_t i = 0; i < sizeof coordinates / sizeof *coordinates; i++)
    ES_TRY(es_reader_coordinate(reader, coordinates[i]));
  for (int i = 0; i < ES_FIELDS; i++) {
    if (!wanted[i]) continue;
    if (!es_result_allocate_field(reader->result, (es_field_t)i)) return es_reader_out_of_memory(reader);
    ES_TRY(read_field_data(reader, (es_field_t)i, object[i]));
  }
  return ES_OK;
}

es_code_t es_reader_load_some(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status) {
  ES_HDF5_QUIET;
  hid_t object[ES_FIELDS];
  for (int i = 0; i < ES_FIELDS; i++) object[i] = -1;
  *reader = (es_reader_t){.path = path, .status = status, .kind = "result", .file = -1};
  es_code_t code = es_reader_open_file(&reader->file, path, status);
  if (code == ES_OK) code = read_few(reader, wanted, object);
  for (int i = 0; i < ES_FIELDS; i++) es_hdf5_close(&object[i]);
  es_hdf5_close(&reader->file);
  reader->file = -1;
  return code;
}

es_code_t es_reader_open_file(hid_t *file, const char *path, es_status_t *status) {
  struct stat facts;
  char reason[ES_HDF5_REASON_SIZE];
  *file = -1;
  const int wrong = stat(path, &facts) != 0   ? errno
                    : S_ISDIR(facts.st_mode)  ? EISDIR
                    : access(path, R_OK) != 0 ? errno
                                              : 0;
  const bool absent = wrong == ENOENT || wrong == ENOTDIR || wrong == EISDIR;
  if (wrong != 0)
    return es_fail(status, absent ? ES_INPUT : ES_SYSTEM, STORE_STAGE, "%s: cannot be read: %s", path, strerror(wrong));
  if (!S_ISREG(facts.st_mode)) /* HDF5 might wait for ever on a pipe or device */
    return es_fail(status, ES_INPUT, STORE_STAGE, "%s: cannot be read: it is a device or pipe, not a file", path);
  const es_code_t code = es_hdf5_open(file, path, reason);
  if (code == ES_OK) return ES_OK;
  return es_fail(status, code, STORE_STAGE, "%s: %s: %s", path,
                 code == ES_INPUT ? "is damaged or not an HDF5 file" : "cannot be read", reason);
}

es_code_t es_reader_open(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status) {
  *reader = (es_reader_t){.path = path, .status = status, .kind = "result", .file = -1};
  ES_TRY(es_reader_open_file(&reader->file, path, status));
  return read_all(reader, wanted);
}

es_code_t es_reader_open_frame(es_reader_t *reader, const char *path, es_status_t *status) {
  *reader = (es_reader_t){.path = path, .status = status, .kind = "result", .file = -1};
  ES_TRY(es_reader_open_file(&reader->file, path, status));
  ES_TRY(read_frame(reader));
  return es_older_correct(reader);
}

es_code_t es_reader_load(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status) {
  ES_HDF5_QUIET;
  const es_code_t code = es_reader_open(reader, path, wanted, status);
  es_hdf5_close(&reader->file);
  reader->file = -1;
  return code;
}

void es_reader_destroy(es_reader_t *reader) {
  for (int i = 0; i < reader->n_attributes; i++) {
    es_free(reader->attributes[i].name);
    es_free(reader->attributes[i].value);
  }
  es_free(reader->attributes);
  es_result_destroy(reader->result);
  es_hdf5_close(&reader->file);
  *reader = (es_reader_t){.file = -1};
}

int32_t es_reader_stop(const es_reader_t *reader) {
  const char *text = es_reader_attribute(reader, STORE_STOPPED);
  int64_t epoch;
  return text != NULL && es_text_to_int(text, &epoch) && epoch > 0 && epoch <= INT32_MAX ? (int32_t)epoch : 0;
}
