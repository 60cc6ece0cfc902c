#include "eigenscope/hdf5.h"
#include "eigenscope/file.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

es_hdf5_quiet_t es_hdf5_quiet_begin(void) {
  es_hdf5_quiet_t held = {0};
  H5dont_atexit(); /* after damaged files, HDF5's exit handler prints errors; our files are closed by then */
  H5Eget_auto2(H5E_DEFAULT, &held.function, &held.data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  return held;
}

void es_hdf5_quiet_end(const es_hdf5_quiet_t *held) {
  H5Eset_auto2(H5E_DEFAULT, held->function, held->data);
}

void es_hdf5_close(const hid_t *id) {
  if (*id >= 0) H5Idec_ref(*id);
}

static herr_t copy_innermost(unsigned n, const H5E_error2_t *error, void *data) {
  if (n == 0 && error->desc != NULL) snprintf(data, ES_HDF5_REASON_SIZE, "%s", error->desc);
  return 0;
}

es_code_t es_hdf5_reason(char out[ES_HDF5_REASON_SIZE]) {
  static const char before[] = "error message = '";
  snprintf(out, ES_HDF5_REASON_SIZE, "no reason given");
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, copy_innermost, out);
  const char *words = strstr(out, before);
  if (words != NULL) { /* "file write failed: time = ..., errno = 28, error message = 'No space left on device', ..." */
    words += sizeof before - 1;
    const size_t length = strcspn(words, "'");
    memmove(out, words, length);
    out[length] = '\0';
  }
  for (char *c = out; *c != '\0'; c++) {
    if ((unsigned char)*c < ' ') *c = ' ';
  }
  return words != NULL ? ES_SYSTEM : ES_INPUT;
}

bool es_hdf5_is_newer(const char *reason, char out[ES_HDF5_LACK_SIZE]) {
  unsigned major, minor, release;
  if (strstr(reason, "version") == NULL || H5get_libversion(&major, &minor, &release) < 0) return false;
  snprintf(out, ES_HDF5_LACK_SIZE,
           "needs a newer HDF5 than %u.%u.%u, or is damaged (%.100s); write the file again for older versions, as h5py "
           "does without libver=\"latest\" (analysis/README.md, Files of a newer HDF5)",
           major, minor, release, reason);
  return true;
}

hid_t es_hdf5_string_type(void) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  if (type < 0) return type;
  if (H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
  H5Tclose(type);
  return -1;
}

es_code_t es_hdf5_open(hid_t *out, const char *path, char reason[ES_HDF5_REASON_SIZE]) {
  ES_HDF5_ID access = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && H5_VERSION_LE(1, 10, 99))
  if (access >= 0) H5Pset_file_locking(access, false, true);
#endif
  if (H5Lis_registered(H5L_TYPE_EXTERNAL) > 0) H5Lunregister(H5L_TYPE_EXTERNAL);
  *out = H5Fopen(path, H5F_ACC_RDONLY, access >= 0 ? access : H5P_DEFAULT);
  return *out >= 0 ? ES_OK : es_hdf5_reason(reason);
}

bool es_hdf5_text(hid_t object, const char *name, char *out, size_t size) {
  ES_HDF5_QUIET;
  enum { FIXED_MOST = 4096 };
  char fixed[FIXED_MOST + 1] = "", *variable = NULL;
  ES_HDF5_ID attribute = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
  ES_HDF5_ID space = attribute >= 0 ? H5Aget_space(attribute) : -1;
  ES_HDF5_ID type = attribute >= 0 ? H5Aget_type(attribute) : -1;
  if (type < 0 || space < 0 || H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_npoints(space) != 1)
    return false;
  const bool is_variable = H5Tis_variable_str(type) > 0;
  ES_HDF5_ID memory = H5Tcopy(H5T_C_S1);
  if (memory < 0 || (!is_variable && H5Tget_size(type) > FIXED_MOST) ||
      H5Tset_size(memory, is_variable ? H5T_VARIABLE : FIXED_MOST) < 0 || H5Tset_cset(memory, H5Tget_cset(type)) < 0 ||
      H5Aread(attribute, memory, is_variable ? (void *)&variable : fixed) < 0)
    return false;
  const char *text = is_variable ? variable : fixed;
  const bool fits = text != NULL && strlen(text) < size;
  if (fits) snprintf(out, size, "%s", text);
  if (variable != NULL) H5Dvlen_reclaim(memory, space, H5P_DEFAULT, &variable);
  return fits;
}

bool es_hdf5_is_moments(hid_t file) {
  char format[sizeof ES_HDF5_MOMENTS];
  return es_hdf5_text(file, "format", format, sizeof format) && strcmp(format, ES_HDF5_MOMENTS) == 0;
}

es_code_t es_hdf5_open_input(hid_t *out, const char *path, const char *stage, es_status_t *status) {
  char reason[ES_HDF5_REASON_SIZE], newer[ES_HDF5_LACK_SIZE];
  struct stat facts;
  *out = -1;
  if (stat(path, &facts) != 0) return es_fail(status, ES_INPUT, stage, "%s: this file does not exist", path);
  if (access(path, R_OK) != 0) {
    return es_fail(status, ES_SYSTEM, stage, "%s: cannot be read: %s", path, strerror(errno));
  }
  if (!S_ISREG(facts.st_mode))
    return es_fail(status, ES_INPUT, stage, "%s: is not a file of images or activations", path);
  if (H5Fis_hdf5(path) == 0) {
    const char *kind = es_file_kind(path);
    return es_fail(status, ES_INPUT, stage, "%s: is not an HDF5 file%s%s", path, kind != NULL ? " but " : "",
                   kind != NULL ? kind : "");
  }
  const es_code_t code = es_hdf5_open(out, path, reason);
  if (code == ES_OK && (strcmp(stage, "moments") == 0 || !es_hdf5_is_moments(*out))) return ES_OK;
  if (code == ES_OK) {
    H5Fclose(*out);
    *out = -1;
    return es_fail(status, ES_INPUT, stage, "%s: holds moments; a job with `source: moments` measures them", path);
  }
  if (es_hdf5_is_newer(reason, newer)) return es_fail(status, code, stage, "%s: %s", path, newer);
  return es_fail(status, code, stage, "%s: %s: %s", path,
                 code == ES_SYSTEM ? "cannot be read" : "is damaged or truncated, according to HDF5", reason);
}

/* Reads into `out` if it is given, else writes `data`. */
static es_code_t transfer(hid_t dataset, hid_t type, const es_hdf5_block_t *block, void *out, const void *data,
                          char reason[ES_HDF5_REASON_SIZE]) {
  ES_HDF5_ID memory = H5Screate_simple(block->rank, block->count, NULL), space = H5Dget_space(dataset);
  const bool good = memory >= 0 && space >= 0 &&
                    H5Sselect_hyperslab(space, H5S_SELECT_SET, block->start, NULL, block->count, NULL) >= 0 &&
                    (out != NULL ? H5Dread(dataset, type, memory, space, H5P_DEFAULT, out)
                                 : H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, data)) >= 0;
  return good ? ES_OK : es_hdf5_reason(reason);
}

es_code_t es_hdf5_read(hid_t dataset, hid_t type, const es_hdf5_block_t *block, void *out,
                       char reason[ES_HDF5_REASON_SIZE]) {
  return transfer(dataset, type, block, out, NULL, reason);
}

es_code_t es_hdf5_write(hid_t dataset, hid_t type, const es_hdf5_block_t *block, const void *data,
                        char reason[ES_HDF5_REASON_SIZE]) {
  return transfer(dataset, type, block, NULL, data, reason);
}

int es_hdf5_shape(hid_t dataset, int64_t shape[H5S_MAX_RANK]) {
  hsize_t lengths[H5S_MAX_RANK];
  ES_HDF5_ID space = H5Dget_space(dataset);
  const int rank = space >= 0 ? H5Sget_simple_extent_dims(space, lengths, NULL) : -1;
  for (int d = 0; d < rank; d++) shape[d] = lengths[d] > INT64_MAX ? INT64_MAX : (int64_t)lengths[d];
  return rank;
}

es_code_t es_hdf5_read_rows(hid_t dataset, hid_t type, int64_t first, int64_t count, void *out,
                            char reason[ES_HDF5_REASON_SIZE]) {
  es_hdf5_block_t block = {.start = {(hsize_t)first}};
  ES_HDF5_ID space = H5Dget_space(dataset), stored = type < 0 ? H5Dget_type(dataset) : -1;
  block.rank = space >= 0 ? H5Sget_simple_extent_dims(space, block.count, NULL) : -1;
  block.count[0] = (hsize_t)count;
  if (type < 0) type = stored;
  if (block.rank <= 0 || type < 0) return es_hdf5_reason(reason);
  return es_hdf5_read(dataset, type, &block, out, reason);
}

void es_hdf5_enlarge_cache(hid_t *dataset, hid_t file, const char *name, int64_t most) {
  enum { LEAST = 1 << 20, SLOTS = 10007 }; /* HDF5's default bytes; a prime, as HDF5 recommends */
  int64_t shape[H5S_MAX_RANK];
  hsize_t chunk[H5S_MAX_RANK];
  const int rank = es_hdf5_shape(*dataset, shape);
  ES_HDF5_ID list = H5Dget_create_plist(*dataset), type = H5Dget_type(*dataset);
  if (rank <= 0 || list < 0 || type < 0 || H5Pget_layout(list) != H5D_CHUNKED ||
      H5Pget_chunk(list, H5S_MAX_RANK, chunk) != rank)
    return;
  int64_t size = (int64_t)H5Tget_size(type);
  for (int d = 0; d < rank && size < most; d++) {
    if (__builtin_mul_overflow(size, d == 0 ? (int64_t)chunk[0] : shape[d], &size)) size = most;
  }
  if (size > most) size = most;
  if (size <= LEAST) return;
  ES_HDF5_ID access = H5Pcreate(H5P_DATASET_ACCESS);
  if (access < 0 || H5Pset_chunk_cache(access, SLOTS, (size_t)size, 1.0) < 0) return;
  const hid_t again = H5Dopen2(file, name, access);
  if (again < 0) return;
  H5Dclose(*dataset);
  *dataset = again;
}

static bool has_values_elsewhere(hid_t list) {
  return H5Pget_layout(list) == H5D_VIRTUAL || H5Pget_external_count(list) > 0;
}

const char *es_hdf5_check_size(hid_t dataset, size_t count, size_t size) {
  enum { DEFLATE_MOST = 1032, SPARE = 1 << 20 }; /* best ratio of deflate; bytes that are harmless anyway */
  size_t bytes;
  const bool overflows = __builtin_mul_overflow(count, size, &bytes);
  if (!overflows && bytes <= SPARE && H5Dget_offset(dataset) != HADDR_UNDEF) return NULL; /* contiguous, in this file */
  ES_HDF5_ID list = H5Dget_create_plist(dataset), file = H5Iget_file_id(dataset);
  if (list < 0 || has_values_elsewhere(list)) return "has its values in other files";
  if (overflows) return "is larger than any memory";
  hsize_t stored = H5Dget_storage_size(dataset), all = 0;
  if (file >= 0 && H5Fget_filesize(file, &all) >= 0 && stored > all) stored = all;
  if (bytes <= SPARE || bytes / DEFLATE_MOST <= stored) return NULL;
  return "is larger than its stored data can be";
}

/* Counts the chunks that the shape of a dataset requires, and the stored ones; both 0 if the layout is not chunked. */
static bool count_chunks(hid_t dataset, hid_t list, hsize_t *due, hsize_t *there) {
  hsize_t shape[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
  *due = *there = 0;
  if (H5Pget_layout(list) != H5D_CHUNKED) return true;
  ES_HDF5_ID space = H5Dget_space(dataset);
  const int rank = space >= 0 ? H5Sget_simple_extent_dims(space, shape, NULL) : -1;
  const bool good =
      rank > 0 && H5Pget_chunk(list, H5S_MAX_RANK, chunk) == rank && H5Dget_num_chunks(dataset, space, there) >= 0;
  *due = 1;
  for (int d = 0; good && d < rank; d++) {
    const hsize_t along = shape[d] / chunk[d] + (shape[d] % chunk[d] != 0);
    if (__builtin_mul_overflow(*due, along, due)) *due = UINT64_MAX; /* more than any file has */
  }
  return good;
}

es_code_t es_hdf5_check_values(hid_t dataset, char out[ES_HDF5_LACK_SIZE]) {
  H5D_space_status_t written = H5D_SPACE_STATUS_ERROR;
  hsize_t due = 0, there = 0;
  char reason[ES_HDF5_REASON_SIZE];
  ES_HDF5_ID list = H5Dget_create_plist(dataset);
  if (list < 0 || H5Dget_space_status(dataset, &written) < 0) {
    const es_code_t code = es_hdf5_reason(reason);
    if (!es_hdf5_is_newer(reason, out)) snprintf(out, ES_HDF5_LACK_SIZE, "is damaged: %s", reason);
    return code;
  }
  if (has_values_elsewhere(list)) {
    snprintf(out, ES_HDF5_LACK_SIZE,
             "has its values in other files, which are not opened for safety; put them into one file with h5repack");
  } else if (written == H5D_SPACE_STATUS_NOT_ALLOCATED) {
    snprintf(out, ES_HDF5_LACK_SIZE, "was never written: it has a shape but no values");
  } else if (!count_chunks(dataset, list, &due, &there)) {
    const es_code_t code = es_hdf5_reason(reason);
    snprintf(out, ES_HDF5_LACK_SIZE, "is damaged: the chunks cannot be found: %s", reason);
    return code;
  } else if (there < due) {
    snprintf(out, ES_HDF5_LACK_SIZE, "has only %llu of %llu chunk%s; the others were never written",
             (unsigned long long)there, (unsigned long long)due, due == 1 ? "" : "s");
  } else {
    return ES_OK;
  }
  return ES_INPUT;
}

bool es_hdf5_missing_filter(hid_t dataset, char out[ES_HDF5_LACK_SIZE]) {
  ES_HDF5_ID list = H5Dget_create_plist(dataset);
  const int n = list >= 0 ? H5Pget_nfilters(list) : 0;
  for (int i = 0; i < n; i++) {
    unsigned flags, config;
    size_t n_values = 0;
    char name[48] = "";
    const H5Z_filter_t filter = H5Pget_filter2(list, (unsigned)i, &flags, &n_values, NULL, sizeof name, name, &config);
    if (filter < 0 || H5Zfilter_avail(filter) > 0) continue;
    snprintf(out, ES_HDF5_LACK_SIZE,
             "is compressed by a filter that this HDF5 does not have (%s%snumber %d); write it with gzip or without "
             "compression, or set HDF5_PLUGIN_PATH to the folder of the filter's plugin",
             name, name[0] != '\0' ? ", " : "", (int)filter);
    return true;
  }
  return false;
}
