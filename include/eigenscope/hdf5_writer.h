/** Writer of HDF5 image files, which format hdf5 and other programs read. Writes atomically; equal values give equal
 * bytes (no times are stored). Not collective. */
#ifndef EIGENSCOPE_HDF5_WRITER_H
#define EIGENSCOPE_HDF5_WRITER_H

#include "eigenscope/file.h"
#include "eigenscope/hdf5.h"
#include <stdint.h>

enum { ES_HDF5_RANK_MAX = 4 };

/** A file being written. `reason` is set by the first function that returns false. The caller uses ES_HDF5_QUIET. */
typedef struct es_hdf5_writer {
  const char *path;                 /**< borrowed */
  es_file_part_t part;              /**< owned; written first, then renamed */
  hid_t file;                       /**< owned; ≥ 0 when open */
  int64_t margin;                   /**< bytes to reserve in addition to the announced bytes */
  char reason[ES_HDF5_REASON_SIZE]; /**< reason of the first failure */
} es_hdf5_writer_t;

/** Type, shape and chunks of a variable in the file. */
typedef struct es_hdf5_variable {
  const char *name;
  hid_t type; /**< in the file */
  int rank;
  hsize_t shape[ES_HDF5_RANK_MAX];
  hsize_t chunk; /**< chunk length along the first axis, compressed by deflate; 0: contiguous */
} es_hdf5_variable_t;

/** Removes parts that killed writers left, creates the part with groups train and eval, and reserves `size` bytes on
 * disk. Always call es_hdf5_writer_finish afterwards, also after a failure. */
bool es_hdf5_writer_create(es_hdf5_writer_t *out, const char *path, int64_t size);
/** Reserves `more` bytes on disk before they are written. So the message has the system's reason, and HDF5 does not see
 * the failure, after which it could not close its files and would crash at the end of the process. */
bool es_hdf5_writer_ensure(es_hdf5_writer_t *writer, int64_t more);
/** Closes, syncs and renames the file if `good`, else removes the part. ES_SYSTEM with path and reason. */
es_code_t es_hdf5_writer_finish(es_hdf5_writer_t *writer, bool good, es_status_t *status);

/** Creates a variable; the caller writes all values and calls es_hdf5_writer_close. Negative after a failure. */
hid_t es_hdf5_writer_variable(es_hdf5_writer_t *writer, const es_hdf5_variable_t *variable);
bool es_hdf5_writer_close(es_hdf5_writer_t *writer, hid_t variable);
/** Writes values first … first+count−1 along the first axis, of type `type` in memory. */
bool es_hdf5_writer_put(es_hdf5_writer_t *writer, hid_t id, const es_hdf5_variable_t *variable, hid_t type,
                        int64_t first, int64_t count, const void *values);
/** Writes the chunk that starts at `first`. `bytes` are already compressed by deflate, or uncompressed if `plain`. */
bool es_hdf5_writer_put_chunk(es_hdf5_writer_t *writer, hid_t id, int64_t first, const void *bytes, int64_t size,
                              bool plain);
/** Writes labels as variable `name`, stored as int64. */
bool es_hdf5_writer_labels(es_hdf5_writer_t *writer, const char *name, const uint16_t *labels, int64_t count);
/** Writes variable-length UTF-8 strings. */
bool es_hdf5_writer_texts(es_hdf5_writer_t *writer, const char *name, const char *const *texts, int64_t count);

/** Write a root attribute. */
bool es_hdf5_writer_number(es_hdf5_writer_t *writer, const char *name, int64_t value);
bool es_hdf5_writer_text(es_hdf5_writer_t *writer, const char *name, const char *text);

#endif
