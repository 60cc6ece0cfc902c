/** Helpers around the HDF5 library: silence its messages, report its errors in one line, and check files before reading
 * them. Not collective. */
#ifndef EIGENSCOPE_HDF5_H
#define EIGENSCOPE_HDF5_H

#include "eigenscope/status.h"
#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ES_HDF5_REASON_SIZE = 320, ES_HDF5_LACK_SIZE = 384 };

/** Stops HDF5 from printing its error stack until the end of the scope, then restores the (global) setting. */
#define ES_HDF5_QUIET                                                                                                  \
  __attribute__((cleanup(es_hdf5_quiet_end), unused)) const es_hdf5_quiet_t es_hdf5_quiet = es_hdf5_quiet_begin()
typedef struct es_hdf5_quiet {
  H5E_auto2_t function;
  void *data;
} es_hdf5_quiet_t;
es_hdf5_quiet_t es_hdf5_quiet_begin(void);
void es_hdf5_quiet_end(const es_hdf5_quiet_t *held);

/** Declares an id that is closed at the end of the scope unless it is negative: `ES_HDF5_ID space =
 * H5Dget_space(dataset);`. Do not use it for objects that are written, because closing them may fail. */
#define ES_HDF5_ID __attribute__((cleanup(es_hdf5_close))) hid_t
/** Closes an id of any kind; does nothing if it is negative. */
void es_hdf5_close(const hid_t *id);

/** Writes the reason why the last call failed. ES_SYSTEM with the system's error message if the machine failed; else
 * ES_INPUT with the library's innermost description, or "no reason given". Call it before any other HDF5 function,
 * which would clear the reason. */
es_code_t es_hdf5_reason(char out[ES_HDF5_REASON_SIZE]);

/** True if a reason says that the file has a version of the format that this HDF5 does not know; then `out` is the end
 * of a message, which says what to do. */
bool es_hdf5_is_newer(const char *reason, char out[ES_HDF5_LACK_SIZE]);

/** The type variable-length UTF-8 string, the only string type that netCDF's library reads reliably; the caller closes
 * it. Negative after a failure. */
hid_t es_hdf5_string_type(void);

/** Opens a file for reading, without locks, because parallel file systems often refuse locks; no process may write it
 * meanwhile. Links into other files are not followed. After a failure *out is negative and `reason` is set. */
es_code_t es_hdf5_open(hid_t *out, const char *path, char reason[ES_HDF5_REASON_SIZE]);
/** Opens a file of images or activations that another program wrote, or of moments if `stage` is "moments". ES_INPUT or
 * ES_SYSTEM, with stage `stage`, if it is missing, not HDF5, damaged or truncated, or cannot be read; then *out is
 * negative. */
es_code_t es_hdf5_open_input(hid_t *out, const char *path, const char *stage, es_status_t *status);

/** Reads attribute `name` of an object: one text, of fixed or variable length. False if there is none, if it has `size`
 * bytes or more, or if HDF5 fails. */
bool es_hdf5_text(hid_t object, const char *name, char *out, size_t size);
/** True for a file of moments (moments.h), which other readers refuse by name. */
bool es_hdf5_is_moments(hid_t file);
#define ES_HDF5_MOMENTS "eigenscope moments" /**< root attribute `format` of such a file */

/** A block of a dataset: `count` elements from `start` along each dimension. */
typedef struct es_hdf5_block {
  int rank;
  hsize_t start[H5S_MAX_RANK], count[H5S_MAX_RANK];
} es_hdf5_block_t;
/** Reads or writes a block, row-major in memory with elements of `type`. Sets `reason` after a failure. */
es_code_t es_hdf5_read(hid_t dataset, hid_t type, const es_hdf5_block_t *block, void *out,
                       char reason[ES_HDF5_REASON_SIZE]);
es_code_t es_hdf5_write(hid_t dataset, hid_t type, const es_hdf5_block_t *block, const void *data,
                        char reason[ES_HDF5_REASON_SIZE]);

/** Gets the lengths of a dataset's axes (at most H5S_MAX_RANK), returns their number; negative for a damaged file. */
int es_hdf5_shape(hid_t dataset, int64_t shape[H5S_MAX_RANK]);

/** Reads values first … first+count−1 along the first axis, converted to `type`; negative: the stored type. ES_SYSTEM
 * or ES_INPUT, with the reason of es_hdf5_reason. */
es_code_t es_hdf5_read_rows(hid_t dataset, hid_t type, int64_t first, int64_t count, void *out,
                            char reason[ES_HDF5_REASON_SIZE]);

/** If the library's default cache is too small, reopens dataset `name` of `file` with a cache for all chunks of one
 * step along the first axis, at most `most` bytes. A chunk with rows of two reads is then decompressed only once. */
void es_hdf5_enlarge_cache(hid_t *dataset, hid_t file, const char *name, int64_t most);

/** Returns NULL if a dataset can hold `count` elements of `size` bytes. Else its values lie in other files, or are more
 * than the stored bytes can decompress to (a file of a few bytes may claim any extent); then returns the end of a
 * message that begins with the dataset's name. */
const char *es_hdf5_check_size(hid_t dataset, size_t count, size_t size);
/** ES_OK if the file itself contains all values of a dataset; else `out` is the end of a message that begins with the
 * dataset's name ("was never written, ..."). */
es_code_t es_hdf5_check_values(hid_t dataset, char out[ES_HDF5_LACK_SIZE]);
/** True if this build of HDF5 lacks a filter of the dataset's chunks; then `out` is the end of a message, as above. */
bool es_hdf5_missing_filter(hid_t dataset, char out[ES_HDF5_LACK_SIZE]);

#endif
