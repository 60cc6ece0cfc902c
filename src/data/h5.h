/** What reading and writing HDF5 share here: a quiet library and its reasons in one line. */
#ifndef EIGENSCOPE_DATA_H5_H
#define EIGENSCOPE_DATA_H5_H

#include "eigenscope/status.h"
#include <hdf5.h>
#include <stdbool.h>

enum { ES_H5_REASON_SIZE = 240, ES_H5_LACK_SIZE = 320, ES_H5_FILTER_SIZE = 96 };

/** HDF5 prints its error stack unless told otherwise, and the setting is global: quiet while this module works, then as
 * it was. */
typedef struct es_h5_quiet {
  H5E_auto2_t function;
  void *data;
} es_h5_quiet_t;

void es_h5_quiet_begin(es_h5_quiet_t *held);
void es_h5_quiet_end(const es_h5_quiet_t *held);

/** Why the last call failed: the system's own words where it was the system (then true is returned: the machine failed,
 * not the file), else the library's innermost description. Call it before any other HDF5 function, which would clear
 * the reason. */
bool es_h5_reason(char out[ES_H5_REASON_SIZE]);

/** Opens a file for reading, and has HDF5 follow no link into another file from then on. Locks are left out: what is
 * read here is not written at the same time, and some file systems refuse locks. ES_INPUT or ES_SYSTEM, in the name of
 * `stage`, when it is not there, no HDF5, damaged or truncated, or cannot be read; then *out is negative. */
es_code_t es_h5_open(hid_t *out, const char *path, const char *stage, es_status_t *status);

/** Whether all values of a dataset are there, in the file itself. If not, `out` is the end of a sentence that begins
 * with its name ("was never written, ..."), with the code that goes with it (as es_h5_open). */
es_code_t es_h5_lacks_values(hid_t dataset, char out[ES_H5_LACK_SIZE]);

/** The filter of a dataset's chunks that this build of HDF5 does not have ("name, number 32001"); false when it has
 * all. */
bool es_h5_missing_filter(hid_t dataset, char out[ES_H5_FILTER_SIZE]);

#endif
