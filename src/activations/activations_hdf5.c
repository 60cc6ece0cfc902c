/* Reads activations from an HDF5 file: finds its datasets and reads their values. */
#include "activations_internal.h"
#include "eigenscope/hdf5.h"
#include "eigenscope/memory.h"
#include "eigenscope/names.h"
#include "eigenscope/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char STAGE[] = "data";

enum {
  SIZE_MOST = 1 << 20,   /* largest type in bytes; supported types have at most 8 */
  DEPTH_MOST = 16,       /* nested groups; hard links can make cycles */
  CACHE_MOST = 64 << 20, /* for all datasets together */
};

/* Fails because the file is damaged at the object of the last HDF5 call. */
static es_code_t fail_damaged(const char *where, const char *what, es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE], newer[ES_HDF5_LACK_SIZE];
  es_code_t code = es_hdf5_reason(reason);
  if (es_hdf5_is_newer(reason, newer)) return es_fail(status, code, STAGE, "%s: %s", where, newer);
  return es_fail(status, code, STAGE, "%s: %s: %s", where, what, reason);
}

/* ---- root attributes ---- */

/* Opens a root attribute if it exists. */
static es_code_t open_attribute(hid_t *out, const es_activations_t *file, const char *name, bool *found,
                                es_status_t *status) {
  const htri_t there = H5Aexists(file->handle, name);
  *found = there > 0;
  if (there < 0) return fail_damaged(file->path, "the root attributes cannot be read", status);
  if (there > 0) *out = H5Aopen(file->handle, name, H5P_DEFAULT);
  return ES_OK;
}

/* Refuses an unfinished dump, which has an attribute `complete` of 0. */
static es_code_t check_complete(const es_activations_t *file, es_status_t *status) {
  int64_t complete = 1;
  bool found;
  ES_HDF5_ID id = -1;
  ES_TRY(open_attribute(&id, file, "complete", &found, status));
  ES_HDF5_ID space = id >= 0 ? H5Aget_space(id) : -1, type = id >= 0 ? H5Aget_type(id) : -1;
  if (type >= 0 && H5Tget_class(type) == H5T_INTEGER && H5Sget_simple_extent_npoints(space) == 1)
    H5Aread(id, H5T_NATIVE_INT64, &complete);
  if (complete != 0) return ES_OK;
  return es_fail(
      status, ES_INPUT, STAGE,
      "%s: is an unfinished dump (its attribute `complete` is 0); run the dump again, it continues where it stopped",
      file->path);
}

/* Reads the strings of an attribute, of fixed or variable length. */
static bool read_strings(hid_t id, hid_t type, hid_t space, es_names_t *out) {
  const bool variable = H5Tis_variable_str(type) > 0;
  hssize_t n = H5Sget_simple_extent_npoints(space);
  size_t size = variable ? sizeof(char *) : H5Tget_size(type) + 1;
  ES_HDF5_ID memory = H5Tcopy(H5T_C_S1);
  char *values = es_allocate_zero((size_t)n, size);
  bool fine = memory >= 0 && values != NULL && H5Tset_size(memory, variable ? H5T_VARIABLE : size) >= 0 &&
              H5Tset_cset(memory, H5Tget_cset(type)) >= 0 && H5Aread(id, memory, values) >= 0;
  for (hssize_t i = 0; fine && i < n; i++) {
    const char *place = values + (size_t)i * size, *value = place;
    if (variable) memcpy(&value, place, size);
    fine = es_names_add(out, value != NULL ? value : "");
  }
  if (variable && fine) H5Dvlen_reclaim(memory, space, H5P_DEFAULT, values);
  es_free(values);
  return fine;
}

/* Reads the names in the root attribute `layers`; none if the attribute does not exist. */
static es_code_t read_order(const es_activations_t *file, es_names_t *out, es_status_t *status) {
  bool found;
  ES_HDF5_ID id = -1;
  ES_TRY(open_attribute(&id, file, "layers", &found, status));
  if (!found) return ES_OK;
  ES_HDF5_ID space = id >= 0 ? H5Aget_space(id) : -1, type = id >= 0 ? H5Aget_type(id) : -1;
  if (type < 0 || H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_npoints(space) < 1)
    return es_fail(status, ES_INPUT, STAGE, "%s: the root attribute `layers` must be a list of layer names",
                   file->path);
  if (read_strings(id, type, space, out)) return ES_OK;
  return fail_damaged(file->path, "the root attribute `layers` cannot be read", status);
}

/* ---- datasets ---- */

/* True for IEEE half precision, which HDF5 1.10 does not predefine; false for bfloat16, which has as many bits. */
static bool is_half(hid_t type) {
  size_t sign, exponent, exponent_size, mantissa, mantissa_size;
  return H5Tget_size(type) == 2 && H5Tget_precision(type) == 16 && H5Tget_offset(type) == 0 &&
         H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) >= 0 && sign == 15 &&
         exponent == 10 && exponent_size == 5 && mantissa == 0 && mantissa_size == 10 && H5Tget_ebias(type) == 15 &&
         H5Tget_norm(type) == H5T_NORM_IMPLIED;
}

static es_number_t number_of(hid_t type) {
  static const char *const classes[H5T_NCLASSES] = {[H5T_TIME] = "times",
                                                    [H5T_STRING] = "text",
                                                    [H5T_BITFIELD] = "bits",
                                                    [H5T_OPAQUE] = "opaque values",
                                                    [H5T_COMPOUND] = "records of several fields",
                                                    [H5T_REFERENCE] = "references",
                                                    [H5T_ENUM] = "an enumeration (the HDF5 type of bool)",
                                                    [H5T_VLEN] = "values of variable length",
                                                    [H5T_ARRAY] = "arrays"};
  H5T_class_t class = H5Tget_class(type);
  const size_t bytes = H5Tget_size(type); /* a damaged file may give any size */
  const int size = bytes < SIZE_MOST ? (int)bytes : SIZE_MOST;
  bool big = H5Tget_order(type) == H5T_ORDER_BE;
  if (class == H5T_INTEGER) {
    es_number_kind_t kind = size == 1 || size == 2 || size == 4 || size == 8 ? ES_NUMBER_INTEGER : ES_NUMBER_OTHER;
    if (H5Tget_precision(type) != (size_t)(8 * size)) kind = ES_NUMBER_OTHER;
    es_number_t out = es_number_make(ES_NUMBER_INTEGER, size, H5Tget_sign(type) != H5T_SGN_NONE, big);
    out.kind = kind;
    return out;
  }
  if (is_half(type)) return es_number_make(ES_NUMBER_FLOAT16, 2, true, big);
  if (H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0)
    return es_number_make(ES_NUMBER_FLOAT32, 4, true, big);
  if (H5Tequal(type, H5T_IEEE_F64LE) > 0 || H5Tequal(type, H5T_IEEE_F64BE) > 0)
    return es_number_make(ES_NUMBER_FLOAT64, 8, true, big);
  es_number_t other = {.kind = ES_NUMBER_OTHER, .size = size};
  const char *words = class > H5T_NO_CLASS && class < H5T_NCLASSES ? classes[class] : NULL;
  if (class == H5T_FLOAT)
    snprintf(other.text, sizeof other.text, "floats of %d bits, not in IEEE format", 8 * size);
  else
    snprintf(other.text, sizeof other.text, "%s", words != NULL ? words : "values of an unknown type");
  return other;
}

static es_code_t describe_dataset(es_array_t *array, es_status_t *status) {
  hsize_t chunk[ES_ARRAY_RANK_MAX];
  const int rank = es_hdf5_shape(array->handle, array->shape);
  ES_HDF5_ID type = rank >= 0 ? H5Dget_type(array->handle) : -1;
  ES_HDF5_ID list = type >= 0 ? H5Dget_create_plist(array->handle) : -1;
  if (list < 0) return fail_damaged(array->where, "is damaged", status);
  array->rank = rank;
  array->number = number_of(type);
  if (H5Pget_layout(list) == H5D_CHUNKED && H5Pget_chunk(list, ES_ARRAY_RANK_MAX, chunk) == rank)
    array->chunk = (int64_t)chunk[0];
  return ES_OK;
}

/* Adds an open dataset; `file` owns it from here on. */
static es_code_t add_dataset(es_activations_t *file, const char *place, hid_t dataset, es_status_t *status) {
  es_text_t where = {0};
  es_text_append(&where, "%s: %s", file->path, place + strspn(place, "/"));
  es_array_t *array = where.failed ? NULL : es_array_add(file, place, es_text_get(&where), status);
  es_text_destroy(&where);
  if (array == NULL) {
    H5Dclose(dataset);
    return es_out_of_memory(status, STAGE, "reading %s", file->path);
  }
  array->handle = dataset;
  return describe_dataset(array, status);
}

/* ---- finding them by a list ---- */

/* Opens a dataset; a.b may also be stored at a/b. */
static hid_t open_named(const es_activations_t *file, char *name) {
  hid_t id = H5Oopen(file->handle, name, H5P_DEFAULT);
  if (id >= 0 || H5Lexists(file->handle, name, H5P_DEFAULT) > 0) return id;
  for (char *c = name; *c != '\0'; c++) {
    if (*c == '.') *c = '/';
  }
  return H5Oopen(file->handle, name, H5P_DEFAULT);
}

static es_code_t add_named(es_activations_t *file, const char *name, bool needed, es_status_t *status) {
  char *place = es_duplicate(name);
  if (place == NULL) return es_out_of_memory(status, STAGE, "reading %s", file->path);
  hid_t id = place[0] != '\0' ? open_named(file, place) : -1;
  es_code_t code = ES_OK;
  if (id >= 0 && H5Iget_type(id) == H5I_DATASET) {
    code = add_dataset(file, place, id, status);
  } else if (id < 0 && needed && H5Lexists(file->handle, place, H5P_DEFAULT) > 0) {
    char what[256];
    snprintf(what, sizeof what, "%.200s is damaged", name);
    H5Oopen(file->handle, place, H5P_DEFAULT); /* again, for the reason */
    code = fail_damaged(file->path, what, status);
  } else {
    es_hdf5_close(&id);
    if (needed)
      code = es_fail(status, ES_INPUT, STAGE,
                     "%s: the root attribute `layers` names %s, but the file has no dataset of this name", file->path,
                     name);
  }
  es_free(place);
  return code;
}

static es_code_t add_all_named(es_activations_t *file, const es_names_t *names, es_status_t *status) {
  bool labelled = false;
  for (int i = 0; i < names->n; i++) {
    ES_TRY(add_named(file, names->items[i], true, status));
    labelled = labelled || strcmp(file->arrays[file->n_arrays - 1].name, file->labels_name) == 0;
  }
  return labelled ? ES_OK : add_named(file, file->labels_name, false, status);
}

/* ---- finding them by a search ---- */

static herr_t collect(hid_t group, const char *name, const H5L_info_t *info, void *data) {
  (void)group;
  (void)info;
  return es_names_add(data, name) ? 0 : -1;
}

static int compare_names(const void *a, const void *b) {
  return es_name_compare(*(char *const *)a, *(char *const *)b);
}

/* Lists the members of a group, in creation order if the group stores it, else in natural order. */
static es_code_t list_members(const es_activations_t *file, const char *group, es_names_t *out, es_status_t *status) {
  unsigned order = 0;
  ES_HDF5_ID id = H5Gopen2(file->handle, group, H5P_DEFAULT), list = id >= 0 ? H5Gget_create_plist(id) : -1;
  if (list >= 0) H5Pget_link_creation_order(list, &order);
  const bool kept = (order & H5P_CRT_ORDER_TRACKED) != 0;
  if (list < 0 || H5Literate(id, kept ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME, H5_ITER_INC, NULL, collect, out) < 0) {
    char what[256];
    snprintf(what, sizeof what, "the group %.200s is damaged", group);
    return fail_damaged(file->path, what, status);
  }
  if (!kept && out->n > 0) qsort(out->items, (size_t)out->n, sizeof *out->items, compare_names);
  return ES_OK;
}

/* True for what netCDF and xarray store beside arrays: single values, and dimension scales (coordinates of one axis).
 */
static bool is_beside(hid_t dataset) {
  static const char scale[] = "DIMENSION_SCALE";
  char word[sizeof scale] = "";
  int64_t shape[H5S_MAX_RANK];
  const int rank = es_hdf5_shape(dataset, shape);
  if (rank != 1) return rank == 0;
  ES_HDF5_ID values = H5Dget_type(dataset);
  if (values >= 0 && H5Tget_class(values) == H5T_STRING) return true;
  ES_HDF5_ID id = H5Aexists(dataset, "CLASS") > 0 ? H5Aopen(dataset, "CLASS", H5P_DEFAULT) : -1;
  ES_HDF5_ID stored = id >= 0 ? H5Aget_type(id) : -1, type = H5Tcopy(H5T_C_S1);
  return stored >= 0 && H5Tget_class(stored) == H5T_STRING && H5Tis_variable_str(stored) == 0 &&
         H5Tset_size(type, sizeof word) >= 0 && H5Aread(id, type, word) >= 0 && strcmp(word, scale) == 0;
}

static bool is_hard_link(const es_activations_t *file, const char *place) {
  H5L_info_t info;
  return H5Lget_info(file->handle, place, &info, H5P_DEFAULT) >= 0 && info.type == H5L_TYPE_HARD;
}

static es_code_t search(es_activations_t *file, const char *group, int depth, es_status_t *status);

static es_code_t add_member(es_activations_t *file, const char *place, int depth, es_status_t *status) {
  hid_t id = H5Oopen(file->handle, place, H5P_DEFAULT);
  if (id < 0) {
    char reason[ES_HDF5_REASON_SIZE], newer[ES_HDF5_LACK_SIZE];
    es_code_t code = es_hdf5_reason(reason);
    if (es_hdf5_is_newer(reason, newer)) return es_fail(status, code, STAGE, "%s: %s %s", file->path, place, newer);
    if (!is_hard_link(file, place))
      return es_fail(status, ES_INPUT, STAGE, "%s: the link %s points to nothing, or to another file", file->path,
                     place);
    return es_fail(status, code, STAGE, "%s: %s is damaged: %s", file->path, place, reason);
  }
  H5I_type_t kind = H5Iget_type(id);
  if (kind == H5I_DATASET && is_beside(id) && strcmp(place + strspn(place, "/"), file->labels_name) != 0) {
    H5Oclose(id);
    return ES_OK;
  }
  if (kind == H5I_DATASET) return add_dataset(file, place, id, status);
  H5Oclose(id);
  if (kind != H5I_GROUP) return ES_OK; /* a named type */
  if (!is_hard_link(file, place))
    return es_fail(
        status, ES_INPUT, STAGE,
        "%s: %s is a link to a group, and such links are not followed; name the layers in the root attribute `layers`",
        file->path, place);
  return search(file, place, depth + 1, status);
}

static es_code_t search(es_activations_t *file, const char *group, int depth, es_status_t *status) {
  es_names_t names = {0};
  if (depth > DEPTH_MOST)
    return es_fail(status, ES_INPUT, STAGE,
                   "%s: the groups are nested more than %d levels deep, or contain themselves; name the layers in the "
                   "root attribute `layers`",
                   file->path, DEPTH_MOST);
  es_code_t code = list_members(file, group, &names, status);
  for (int i = 0; code == ES_OK && i < names.n; i++) {
    es_text_t place = {0};
    es_text_append(&place, "%s%s%s", group, depth > 0 ? "/" : "", names.items[i]);
    code = place.failed ? es_out_of_memory(status, STAGE, "reading %s", file->path)
                        : add_member(file, es_text_get(&place), depth, status);
    es_text_destroy(&place);
  }
  es_names_destroy(&names);
  return code;
}

/* ---- the reader ---- */

/* Bytes of the open file; −1 if unknown. */
static int64_t size_of(const es_activations_t *file) {
  void *handle = NULL;
  struct stat facts;
  if (H5Fget_vfd_handle(file->handle, H5P_DEFAULT, &handle) < 0 || handle == NULL) return -1;
  return fstat(*(int *)handle, &facts) == 0 ? (int64_t)facts.st_size : -1;
}

static es_code_t open_file(es_activations_t *file, es_status_t *status) {
  ES_HDF5_QUIET;
  es_names_t order = {0};
  hid_t id = -1;
  ES_TRY(es_hdf5_open_input(&id, file->path, STAGE, status));
  file->handle = id;
  file->size = size_of(file);
  ES_TRY(check_complete(file, status));
  es_code_t code = read_order(file, &order, status);
  if (code == ES_OK) code = order.n > 0 ? add_all_named(file, &order, status) : search(file, "/", 0, status);
  es_names_destroy(&order);
  return code;
}

/* Checks that all values are stored, because HDF5 reads missing ones as zeros. */
static es_code_t check_array(const es_activations_t *file, es_array_t *array, es_status_t *status) {
  ES_HDF5_QUIET;
  char lack[ES_HDF5_LACK_SIZE];
  es_code_t code = es_hdf5_check_values(array->handle, lack);
  if (code == ES_OK && es_hdf5_missing_filter(array->handle, lack)) code = ES_INPUT;
  if (code != ES_OK) return es_fail(status, code, STAGE, "%s: %s", array->where, lack);
  const char *place = array->where + strlen(file->path) + strlen(": ");
  hid_t id = array->handle;
  es_hdf5_enlarge_cache(&id, file->handle, place, CACHE_MOST / file->n_arrays);
  array->handle = id;
  return ES_OK;
}

/* Reads values as stored, because HDF5's type conversion is slow for halves and would need a buffer. */
static es_code_t read_array(const es_activations_t *file, const es_array_t *array, int64_t first, int64_t count,
                            void *out, es_status_t *status) {
  ES_HDF5_QUIET;
  char reason[ES_HDF5_REASON_SIZE];
  /* HDF5 reads zeros beyond the end of a file that was truncated after it was opened. */
  if (size_of(file) != file->size)
    return es_fail(status, ES_SYSTEM, STAGE, "%s: changed while it was read", file->path);
  const es_code_t code = es_hdf5_read_rows(array->handle, -1, first, count, out, reason);
  if (code == ES_OK) return ES_OK;
  return es_fail(status, code, STAGE, "%s: samples %lld to %lld cannot be read: %s", array->where, (long long)first,
                 (long long)(first + count - 1), reason);
}

static void close_file(es_activations_t *file) {
  ES_HDF5_QUIET;
  for (int i = 0; i < file->n_arrays; i++) {
    if (file->arrays[i].handle >= 0) H5Dclose(file->arrays[i].handle);
  }
  if (file->handle >= 0) H5Fclose(file->handle);
}

const es_activations_reader_t es_activations_hdf5 = {
    .open = open_file,
    .check = check_array,
    .read = read_array,
    .close = close_file,
    .otherwise = "if this dataset is not a layer, list the layers in the root attribute `layers`"};
