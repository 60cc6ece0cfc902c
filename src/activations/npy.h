/** The header of a .npy file, versions 1 to 3 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
 * a magic number, the version, a length, and a Python dictionary. Not collective. */
#ifndef EIGENSCOPE_DATA_NPY_H
#define EIGENSCOPE_DATA_NPY_H

#include "activations_internal.h"

typedef struct es_npy {
  es_number_t number;
  int rank;
  int64_t shape[ES_ARRAY_RANK_MAX];
  bool fortran;   /**< column-major */
  int64_t offset; /**< position of the first value, in bytes */
} es_npy_t;

/** Reads the header of an open file of `size` bytes; `path` is for messages. Does not check that the values fit the
 * file. ES_INPUT for an invalid header, ES_SYSTEM if it cannot be read. */
es_code_t es_npy_read_header(es_npy_t *out, int descriptor, const char *path, int64_t size, es_status_t *status);

/** Reads size bytes at `offset`, in several calls if needed. Returns 0, an errno, or −1 if the file ends early. */
int es_npy_pread(int descriptor, void *out, size_t size, int64_t offset);

#endif
