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
} es_hdf_quiet_t;

void es_hdf_quiet_begin(es_hdf_quiet_t *held);
void es_hdf_quiet_end(const es_hdf_quiet_t *held);

/* The innermost description on the error stack, and out[0] == '\0' when there is none. Call it before any other HDF5
 * function, which would clear the stack. */
void es_hdf_reason(char out[HDF_REASON_SIZE]);

/* Type of elements in the file (little-endian) and in memory; both borrowed from the library. Not for strings. */
hid_t es_hdf_file_type(es_type_t type);
hid_t es_hdf_memory_type(es_type_t type);
/* Variable-length UTF-8; the caller closes it. */
hid_t es_hdf_string_type(void);

/* Opens a file for reading: one that is there whole and never changes, so without locks, which parallel file systems
 * often have not. What it says of other files is not followed: HDF5 knows no links into them from then on. Negative
 * after a failure, with HDF5's reason. */
hid_t es_hdf_open(const char *path, char reason[HDF_REASON_SIZE]);
/* ES_INPUT unless the path is a file that can be read, which HDF5 could not say as well (or would wait for ever). */
es_code_t es_hdf_check_path(const char *path, es_status_t *status);
/* What `count` elements of that size say about a variable's values cannot be true: they lie in other files, or are more
 * than what is stored can be unpacked to (a file of a few bytes may claim any extent). NULL when all is well. */
const char *es_hdf_lie(hid_t object, size_t count, size_t size);

#endif
