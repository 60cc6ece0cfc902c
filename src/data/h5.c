#include "h5.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void es_h5_quiet_begin(es_h5_quiet_t *held) {
  *held = (es_h5_quiet_t){0};
  H5dont_atexit(); /* after damaged files its cleaning up complains on stderr; nothing of ours is open by then */
  H5Eget_auto2(H5E_DEFAULT, &held->function, &held->data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void es_h5_quiet_end(const es_h5_quiet_t *held) {
  H5Eset_auto2(H5E_DEFAULT, held->function, held->data);
}

static herr_t take_innermost(unsigned n, const H5E_error2_t *error, void *data) {
  if (n == 0 && error->desc != NULL) snprintf(data, ES_H5_REASON_SIZE, "%s", error->desc);
  return 0;
}

bool es_h5_reason(char out[ES_H5_REASON_SIZE]) {
  static const char before[] = "error message = '";
  snprintf(out, ES_H5_REASON_SIZE, "no reason given");
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, out);
  const char *words = strstr(out, before);
  if (words != NULL) { /* "file write failed: time = ..., errno = 28, error message = 'No space left on device', ..." */
    words += sizeof before - 1;
    size_t length = strcspn(words, "'");
    memmove(out, words, length);
    out[length] = '\0';
  }
  for (char *c = out; *c != '\0'; c++) {
    if ((unsigned char)*c < ' ') *c = ' ';
  }
  return words != NULL;
}

/* A file is read alone: what it says of others (links, and below, values) is nothing that we would open. */
static void forget_external_links(void) {
  if (H5Lis_registered(H5L_TYPE_EXTERNAL) > 0) H5Lunregister(H5L_TYPE_EXTERNAL);
}

es_code_t es_h5_open(hid_t *out, const char *path, const char *stage, es_status_t *status) {
  char reason[ES_H5_REASON_SIZE];
  struct stat facts;
  *out = -1;
  if (stat(path, &facts) != 0) return es_fail(status, ES_INPUT, stage, "%s: there is no such file", path);
  if (access(path, R_OK) != 0) {
    return es_fail(status, ES_SYSTEM, stage, "%s: cannot be read: %s", path, strerror(errno));
  }
  if (!S_ISREG(facts.st_mode)) return es_fail(status, ES_INPUT, stage, "%s: is no file of images or activations", path);
  forget_external_links();
  if (H5Fis_hdf5(path) == 0) return es_fail(status, ES_INPUT, stage, "%s: is no HDF5 file", path);
  hid_t list = H5Pcreate(H5P_FILE_ACCESS);
  if (list >= 0) H5Pset_file_locking(list, false, true);
  *out = H5Fopen(path, H5F_ACC_RDONLY, list >= 0 ? list : H5P_DEFAULT);
  es_code_t code = ES_OK;
  if (*out < 0) {
    code = es_h5_reason(reason) ? ES_SYSTEM : ES_INPUT;
    es_fail(status, code, stage, "%s: %s: %s", path,
            code == ES_SYSTEM ? "cannot be read" : "is damaged or truncated, as HDF5 says", reason);
  }
  if (list >= 0) H5Pclose(list);
  return code;
}

/* Chunks that the shape of a dataset asks for, and those that are there; 0 of both when it has none. */
static bool count_chunks(hid_t dataset, hid_t list, hsize_t *due, hsize_t *there) {
  hsize_t shape[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
  *due = *there = 0;
  if (H5Pget_layout(list) != H5D_CHUNKED) return true;
  hid_t space = H5Dget_space(dataset);
  const int rank = space >= 0 ? H5Sget_simple_extent_dims(space, shape, NULL) : -1;
  bool good =
      rank > 0 && H5Pget_chunk(list, H5S_MAX_RANK, chunk) == rank && H5Dget_num_chunks(dataset, space, there) >= 0;
  *due = 1;
  for (int d = 0; good && d < rank; d++) {
    const hsize_t along = shape[d] / chunk[d] + (shape[d] % chunk[d] != 0);
    if (__builtin_mul_overflow(*due, along, due)) *due = UINT64_MAX; /* more than any file has */
  }
  if (space >= 0) H5Sclose(space);
  return good;
}

es_code_t es_h5_lacks_values(hid_t dataset, char out[ES_H5_LACK_SIZE]) {
  H5D_space_status_t written = H5D_SPACE_STATUS_ERROR;
  hsize_t due = 0, there = 0;
  char reason[ES_H5_REASON_SIZE];
  hid_t list = H5Dget_create_plist(dataset);
  es_code_t code = ES_INPUT;
  if (list < 0 || H5Dget_space_status(dataset, &written) < 0) {
    code = es_h5_reason(reason) ? ES_SYSTEM : ES_INPUT;
    snprintf(out, ES_H5_LACK_SIZE, "is damaged: %s", reason);
  } else if (H5Pget_layout(list) == H5D_VIRTUAL || H5Pget_external_count(list) > 0) {
    snprintf(out, ES_H5_LACK_SIZE,
             "has its values in other files, which are not opened on its word; h5repack puts them into one");
  } else if (written == H5D_SPACE_STATUS_NOT_ALLOCATED) {
    snprintf(out, ES_H5_LACK_SIZE, "was never written, it has a shape and no values");
  } else if (!count_chunks(dataset, list, &due, &there)) {
    code = es_h5_reason(reason) ? ES_SYSTEM : ES_INPUT;
    snprintf(out, ES_H5_LACK_SIZE, "is damaged, its chunks cannot be found: %s", reason);
  } else if (there < due) {
    snprintf(out, ES_H5_LACK_SIZE, "has only %llu of its %llu chunks, the others were never written",
             (unsigned long long)there, (unsigned long long)due);
  } else {
    code = ES_OK;
  }
  if (list >= 0) H5Pclose(list);
  return code;
}

bool es_h5_missing_filter(hid_t dataset, char out[ES_H5_FILTER_SIZE]) {
  hid_t list = H5Dget_create_plist(dataset);
  int n = list >= 0 ? H5Pget_nfilters(list) : 0;
  bool missing = false;
  for (int i = 0; i < n && !missing; i++) {
    unsigned flags, config;
    size_t n_values = 0;
    char name[ES_H5_FILTER_SIZE / 2] = "";
    H5Z_filter_t filter = H5Pget_filter2(list, (unsigned)i, &flags, &n_values, NULL, sizeof name, name, &config);
    missing = filter >= 0 && H5Zfilter_avail(filter) <= 0;
    if (missing) snprintf(out, ES_H5_FILTER_SIZE, "%s%snumber %d", name, name[0] != '\0' ? ", " : "", (int)filter);
  }
  if (list >= 0) H5Pclose(list);
  return missing;
}
