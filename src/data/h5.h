/** What reading and writing HDF5 share here: a quiet library and its reasons in one line. */
#ifndef EIGENSCOPE_DATA_H5_H
#define EIGENSCOPE_DATA_H5_H

#include <hdf5.h>
#include <stdbool.h>

enum { ES_H5_REASON_SIZE = 240 };

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

#endif
