#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include "reader.h"
#include <string.h>

enum { VALUES_MAX = 64, ATTRIBUTES_MAX = 1000 };

/* Reads a variable-length string attribute; false if it cannot be read. */
static bool read_string(hid_t attribute, es_text_t *out) {
  char *value = NULL;
  ES_HDF5_ID type = es_hdf5_string_type(), space = H5Aget_space(attribute);
  if (type < 0 || space < 0 || H5Aread(attribute, type, &value) < 0) return false;
  es_text_append(out, "%s", value != NULL ? value : "");
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, &value);
  return true;
}

/* Formats one number as itself, several as "[a, b]". Whole numbers stay exact. */
static bool read_numbers(hid_t attribute, H5T_class_t class, size_t count, bool scalar, es_text_t *out) {
  double values[VALUES_MAX];
  int64_t whole[VALUES_MAX];
  bool is_whole = class == H5T_INTEGER;
  char text[32];
  herr_t read = is_whole ? H5Aread(attribute, H5T_NATIVE_INT64, whole) : H5Aread(attribute, H5T_NATIVE_DOUBLE, values);
  if (read < 0) return false;
  if (!scalar) es_text_append(out, "[");
  for (size_t i = 0; i < count; i++) {
    if (i > 0) es_text_append(out, ", ");
    if (is_whole)
      es_text_append(out, "%lld", (long long)whole[i]);
    else
      es_text_append(out, "%s", es_text_double(values[i], text));
  }
  if (!scalar) es_text_append(out, "]");
  return true;
}

/* Reads the value as text; *known is false for an attribute of another type. */
static bool read_value(hid_t attribute, es_text_t *out, bool *is_text, bool *known) {
  ES_HDF5_ID type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  if (type < 0 || space < 0) return false;
  const H5T_class_t class = H5Tget_class(type);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  const H5S_class_t extent = H5Sget_simple_extent_type(space);
  const htri_t variable = class == H5T_STRING ? H5Tis_variable_str(type) : 0;
  const bool numbers = (class == H5T_INTEGER || class == H5T_FLOAT) && count >= 1 && count <= VALUES_MAX;
  if (class == H5T_NO_CLASS || count < 0 || extent == H5S_NO_CLASS || variable < 0) return false;
  *is_text = variable > 0 && count == 1;
  *known = *is_text || numbers;
  if (*is_text) return read_string(attribute, out);
  return !numbers || read_numbers(attribute, class, (size_t)count, extent == H5S_SCALAR, out);
}

static bool append(es_reader_t *reader, const char *name, const es_text_t *value, bool is_text) {
  es_attribute_t *grown = es_make_room(reader->attributes, reader->n_attributes, sizeof *grown);
  if (grown == NULL) return false;
  reader->attributes = grown;
  grown += reader->n_attributes++;
  *grown = (es_attribute_t){es_duplicate(name), es_duplicate(es_text_get(value)), is_text};
  return grown->name != NULL && grown->value != NULL && !value->failed;
}

/* Collects one attribute; returns 0 so that the iteration continues. */
static herr_t collect(hid_t file, const char *name, ES_UNUSED const H5A_info_t *info, void *data) {
  es_reader_t *reader = data;
  es_text_t value = {0};
  bool is_text = false, known = false;
  if (reader->n_attributes == ATTRIBUTES_MAX) return -1;
  ES_HDF5_ID attribute = H5Aopen(file, name, H5P_DEFAULT);
  bool good = attribute >= 0 && read_value(attribute, &value, &is_text, &known);
  if (good && known && !append(reader, name, &value, is_text)) {
    es_reader_out_of_memory(reader);
    good = false;
  }
  es_text_destroy(&value);
  return good ? 0 : -1;
}

es_code_t es_attributes_read(es_reader_t *reader) {
  hsize_t start = 0;
  unsigned order = 0;
  ES_HDF5_ID root = H5Gopen2(reader->file, "/", H5P_DEFAULT), list = root >= 0 ? H5Gget_create_plist(root) : -1;
  const bool known = list >= 0 && H5Pget_attr_creation_order(list, &order) >= 0;
  /* Iterate by name if the file does not store the creation order of its attributes. */
  const H5_index_t by = (order & H5P_CRT_ORDER_TRACKED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
  if (known && H5Aiterate2(reader->file, by, H5_ITER_INC, &start, collect, reader) >= 0) return ES_OK;
  return reader->status->code != ES_OK ? reader->status->code : es_reader_broken(reader, "an attribute");
}

es_code_t es_attributes_read_some(es_reader_t *reader) {
  static const char *const names[] = {
      "schema",  "schema_version", STORE_MERGED, "outcome", "reason", "dataset_fingerprint",
      "classes", STORE_STOPPED,    "onednn",     "blas"};
  ES_HDF5_ID root = H5Gopen2(reader->file, "/", H5P_DEFAULT);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const htri_t there = root >= 0 ? H5Aexists(root, names[i]) : -1;
    if (there == 0 || (there > 0 && collect(root, names[i], NULL, reader) == 0)) continue;
    return reader->status->code != ES_OK ? reader->status->code : es_reader_broken(reader, "an attribute");
  }
  return ES_OK;
}

es_code_t es_attribute_is(const es_reader_t *reader, const char *variable, const char *name, const char *text,
                          bool *same) {
  es_text_t value = {0};
  bool is_text = false, known = false;
  *same = false;
  ES_HDF5_ID object = H5Dopen2(reader->file, variable, H5P_DEFAULT);
  const htri_t there = object >= 0 ? H5Aexists(object, name) : -1;
  if (there == 0) return ES_OK;
  ES_HDF5_ID attribute = there > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
  const bool good = attribute >= 0 && read_value(attribute, &value, &is_text, &known) && !value.failed;
  *same = good && is_text && strcmp(es_text_get(&value), text) == 0;
  es_text_destroy(&value);
  return good ? ES_OK : es_reader_broken(reader, variable);
}

bool es_attribute_name_is_fit(const char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
  const size_t length = strlen(name);
  return length > 0 && length < ES_NAME_MAX && strspn(name, allowed) == length;
}

static const es_attribute_t *find_attribute(const es_reader_t *reader, const char *name) {
  for (int i = 0; i < reader->n_attributes; i++) {
    if (strcmp(reader->attributes[i].name, name) == 0) return &reader->attributes[i];
  }
  return NULL;
}

const char *es_reader_attribute(const es_reader_t *reader, const char *name) {
  const es_attribute_t *attribute = find_attribute(reader, name);
  return attribute != NULL ? attribute->value : NULL;
}

const char *es_reader_text(const es_reader_t *reader, const char *name) {
  const es_attribute_t *attribute = find_attribute(reader, name);
  return attribute != NULL && attribute->is_text ? attribute->value : "";
}
