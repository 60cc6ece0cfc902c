#include "h5.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void es_h5_quiet_begin(es_h5_quiet_t *held) {
  *held = (es_h5_quiet_t){0};
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

es_code_t es_h5_open(hid_t *out, const char *path, const char *stage, es_status_t *status) {
  char reason[ES_H5_REASON_SIZE];
  *out = -1;
  if (access(path, F_OK) != 0) return es_fail(status, ES_INPUT, stage, "%s: there is no such file", path);
  if (access(path, R_OK) != 0) {
    return es_fail(status, ES_SYSTEM, stage, "%s: cannot be read: %s", path, strerror(errno));
  }
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
