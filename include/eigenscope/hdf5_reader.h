/** Reading arrays of HDF5 files that other programs wrote, some rows at a time. The caller keeps the library quiet. Not
 * collective. */
#ifndef EIGENSCOPE_HDF5_READER_H
#define EIGENSCOPE_HDF5_READER_H

#include "eigenscope/hdf5.h"
#include <stdint.h>

/** The lengths of a dataset's axes (H5S_MAX_RANK at most) and their number; negative when the file is damaged. */
int es_hdf5_shape(hid_t dataset, int64_t shape[H5S_MAX_RANK]);

/** Values first … first+count−1 along the first axis, as `type` in memory; negative: as they are stored. A failure is
 * ES_SYSTEM or ES_INPUT, with the reason of es_hdf5_reason. */
es_code_t es_hdf5_read_rows(hid_t dataset, hid_t type, int64_t first, int64_t count, void *out,
                            char reason[ES_HDF5_REASON_SIZE]);

/** Opens a dataset again, as `name` in `file`, with a cache that holds all chunks of one step along the first axis, or
 * `most` bytes of them, if the library's own cache is too small for that. Reads rarely end where chunks end; a chunk
 * with rows of two reads is then unpacked once. */
void es_hdf5_enlarge_cache(hid_t *dataset, hid_t file, const char *name, int64_t most);

#endif
