/* What the writing and the reading of HDF5 share: a quiet library, its reasons, and the types in file and memory. */
#ifndef ES_STORE_HDF_H
#define ES_STORE_HDF_H

#include "eigenscope/store.h"
#include <hdf5.h>

enum { HDF_REASON_SIZE = 320 };

/* HDF5 prints its error stack unless told otherwise, and the setting is global: quiet while this module works, then as
 * it was. */
typedef struct hdf_quiet {
  H5E_auto2_t function;
  void *data;
} hdf_quiet_t;

void hdf_quiet_begin(hdf_quiet_t *held);
void hdf_quiet_end(const hdf_quiet_t *held);

/* The innermost description on the error stack, and out[0] == '\0' when there is none. Call it before any other HDF5
 * function, which would clear the stack. */
void hdf_reason(char out[HDF_REASON_SIZE]);

/* Type of elements in the file (little-endian) and in memory; both borrowed from the library. Not for strings. */
hid_t hdf_file_type(es_type_t type);
hid_t hdf_memory_type(es_type_t type);
/* Variable-length UTF-8; the caller closes it. */
hid_t hdf_string_type(void);

#endif
