/** Writing an HDF5 file of images, as format hdf5 and other programs read it: whole or not at all, and the same values
 * give the same bytes (no times are stored). Not collective. */
#ifndef EIGENSCOPE_HDF5_WRITER_H
#define EIGENSCOPE_HDF5_WRITER_H

#include "eigenscope/file.h"
#include "eigenscope/hdf5.h"
#include <stdint.h>

enum { ES_HDF5_RANK_MAX = 4 };

/** A file under way. Functions that return false leave the first reason in it. The caller keeps the library quiet. */
typedef struct es_hdf5_writer {
  const char *path;                 /**< borrowed */
  es_file_part_t part;              /**< owned; written first, then renamed */
  hid_t file;                       /**< owned; ≥ 0 when open */
  int64_t margin;                   /**< bytes that there must be room for beside what is announced */
  char reason[ES_HDF5_REASON_SIZE]; /**< of what failed first */
} es_hdf5_writer_t;

/** What a variable is stored as. */
typedef struct es_hdf5_variable {
  const char *name;
  hid_t type; /**< in the file */
  int rank;
  hsize_t shape[ES_HDF5_RANK_MAX];
  hsize_t chunk; /**< along the first axis, each packed by deflate; 0: all in one block of the file */
} es_hdf5_variable_t;

/** Removes what killed writers left, makes the part, with groups train and eval in it, and makes sure of `size` bytes
 * of room. Then es_hdf5_writer_finish, also after a failure. */
bool es_hdf5_writer_create(es_hdf5_writer_t *out, const char *path, int64_t size);
/** Makes sure of room for `more` bytes before they are written: what the system refuses is said in its own words, and
 * HDF5 is spared the failure, after which it cannot close its files and falls over at the end of the process. */
bool es_hdf5_writer_ensure(es_hdf5_writer_t *writer, int64_t more);
/** Closes, syncs and renames the file if `good`, else removes the part. ES_SYSTEM with path and reason. */
es_code_t es_hdf5_writer_finish(es_hdf5_writer_t *writer, bool good, es_status_t *status);

/** A variable whose values are all to be written; close with es_hdf5_writer_close. Negative when that failed. */
hid_t es_hdf5_writer_variable(es_hdf5_writer_t *writer, const es_hdf5_variable_t *variable);
bool es_hdf5_writer_close(es_hdf5_writer_t *writer, hid_t variable);
/** Values first … first+count−1 along the first axis, which have the type `type` in memory. */
bool es_hdf5_writer_put(es_hdf5_writer_t *writer, hid_t id, const es_hdf5_variable_t *variable, hid_t type,
                        int64_t first, int64_t count, const void *values);
/** The chunk that starts at `first`, as the file is to hold it: packed by deflate, or not where `plain`. */
bool es_hdf5_writer_put_chunk(es_hdf5_writer_t *writer, hid_t id, int64_t first, const void *bytes, int64_t size,
                              bool plain);
/** Labels of `name`, stored as int64. */
bool es_hdf5_writer_labels(es_hdf5_writer_t *writer, const char *name, const uint16_t *labels, int64_t count);
/** Texts of variable length in UTF-8. */
bool es_hdf5_writer_texts(es_hdf5_writer_t *writer, const char *name, const char *const *texts, int64_t count);

/** Attributes of the root. */
bool es_hdf5_writer_number(es_hdf5_writer_t *writer, const char *name, int64_t value);
bool es_hdf5_writer_text(es_hdf5_writer_t *writer, const char *name, const char *text);

#endif
