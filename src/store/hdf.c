#include "hdf.h"
#include <stdio.h>
#include <string.h>

void hdf_quiet_begin(hdf_quiet_t *held) {
  *held = (hdf_quiet_t){0};
  H5Eget_auto2(H5E_DEFAULT, &held->function, &held->data);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void hdf_quiet_end(const hdf_quiet_t *held) {
  H5Eset_auto2(H5E_DEFAULT, held->function, held->data);
}

static herr_t take_innermost(unsigned n, const H5E_error2_t *error, void *data) {
  if (n == 0 && error->desc != NULL) snprintf(data, HDF_REASON_SIZE, "%s", error->desc);
  return 0;
}

void hdf_reason(char out[HDF_REASON_SIZE]) {
  out[0] = '\0';
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, out);
  /* Some hold the time of day, with its line break. */
  for (char *c = out; *c != '\0'; c++) {
    if ((unsigned char)*c < ' ') *c = ' ';
  }
}

hid_t hdf_file_type(es_type_t type) {
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

hid_t hdf_memory_type(es_type_t type) {
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

hid_t hdf_string_type(void) {
  hid_t type = H5Tcopy(H5T_C_S1);
  if (type < 0) return type;
  if (H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
  H5Tclose(type);
  return -1;
}
