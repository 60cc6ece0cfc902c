#include "hdf.h"
#include "schema.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void es_hdf_quiet_begin(es_hdf_quiet_t *held) {
  *held = (es_hdf_quiet_t){0};
  H5dont_atexit(); /* after damaged files its cleaning up complains on stderr; nothing of ours is open by then */
  H5Eget_auto2(H5E_DEFAULT, &held->function, &held->data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void es_hdf_quiet_end(const es_hdf_quiet_t *held) {
  H5Eset_auto2(H5E_DEFAULT, held->function, held->data);
}

static herr_t take_innermost(unsigned n, const H5E_error2_t *error, void *data) {
  if (n == 0 && error->desc != NULL) snprintf(data, HDF_REASON_SIZE, "%s", error->desc);
  return 0;
}

void es_hdf_reason(char out[HDF_REASON_SIZE]) {
  out[0] = '\0';
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, out);
  /* Some hold the time of day, with its line break. */
  for (char *c = out; *c != '\0'; c++) {
    if ((unsigned char)*c < ' ') *c = ' ';
  }
}

hid_t es_hdf_file_type(es_type_t type) {
  switch (type) {
  case ES_TYPE_F64:
    return H5T_IEEE_F64LE;
  case ES_TYPE_F32:
    return H5T_IEEE_F32LE;
  case ES_TYPE_I32:
    return H5T_STD_I32LE;
  case ES_TYPE_I64:
    return H5T_STD_I64LE;
  default:
    return H5T_STD_U8LE;
  }
}

hid_t es_hdf_memory_type(es_type_t type) {
  switch (type) {
  case ES_TYPE_F64:
    return H5T_NATIVE_DOUBLE;
  case ES_TYPE_F32:
    return H5T_NATIVE_FLOAT;
  case ES_TYPE_I32:
    return H5T_NATIVE_INT32;
  case ES_TYPE_I64:
    return H5T_NATIVE_INT64;
  default:
    return H5T_NATIVE_UINT8;
  }
}

hid_t es_hdf_string_type(void) {
  hid_t type = H5Tcopy(H5T_C_S1);
  if (type < 0) return type;
  if (H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
  H5Tclose(type);
  return -1;
}

es_code_t es_hdf_check_path(const char *path, es_status_t *status) {
  struct stat facts;
  int reason = stat(path, &facts) != 0 ? errno : S_ISDIR(facts.st_mode) ? EISDIR : access(path, R_OK) != 0 ? errno : 0;
  if (reason != 0) return es_fail(status, ES_INPUT, STORE_STAGE, "%s: cannot be read: %s", path, strerror(reason));
  if (S_ISREG(facts.st_mode)) return ES_OK;
  return es_fail(status, ES_INPUT, STORE_STAGE, "%s: cannot be read: it is no file, but a device or pipe", path);
}

hid_t es_hdf_open(const char *path, char reason[HDF_REASON_SIZE]) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && H5_VERSION_LE(1, 10, 99))
  if (access >= 0) H5Pset_file_locking(access, false, true);
#endif
  if (H5Lis_registered(H5L_TYPE_EXTERNAL) > 0) H5Lunregister(H5L_TYPE_EXTERNAL);
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access >= 0 ? access : H5P_DEFAULT);
  if (file < 0) es_hdf_reason(reason);
  if (access >= 0) H5Pclose(access);
  return file;
}

const char *es_hdf_lie(hid_t object, size_t count, size_t size) {
  enum { DEFLATE_MOST = 1032, SPARE = 1 << 20 }; /* deflate packs no better; what is small does no harm */
  size_t bytes;
  hid_t list = H5Dget_create_plist(object);
  const bool elsewhere = list < 0 || H5Pget_layout(list) == H5D_VIRTUAL || H5Pget_external_count(list) > 0;
  if (list >= 0) H5Pclose(list);
  if (elsewhere) return "has its values in other files";
  if (__builtin_mul_overflow(count, size, &bytes)) return "is larger than any memory";
  hsize_t stored = H5Dget_storage_size(object), all = 0;
  hid_t file = H5Iget_file_id(object);
  if (file >= 0 && H5Fget_filesize(file, &all) >= 0 && stored > all) stored = all;
  if (file >= 0) H5Fclose(file);
  if (bytes <= SPARE || bytes / DEFLATE_MOST <= stored) return NULL;
  return "is larger than what is stored of it can be";
}
