#include "eigenscope/hdf5_reader.h"

enum {
  CACHE_LEAST = 1 << 20, /* bytes; what the library has anyway */
  CACHE_SLOTS = 10007    /* a prime, as the library wants */
};

int es_hdf5_shape(hid_t dataset, int64_t shape[H5S_MAX_RANK]) {
  hsize_t lengths[H5S_MAX_RANK];
  const hid_t space = H5Dget_space(dataset);
  const int rank = space >= 0 ? H5Sget_simple_extent_dims(space, lengths, NULL) : -1;
  for (int d = 0; d < rank; d++) shape[d] = lengths[d] > INT64_MAX ? INT64_MAX : (int64_t)lengths[d];
  if (space >= 0) H5Sclose(space);
  return rank;
}

es_code_t es_hdf5_read_rows(hid_t dataset, hid_t type, int64_t first, int64_t count, void *out,
                            char reason[ES_HDF5_REASON_SIZE]) {
  es_hdf5_block_t block = {.start = {(hsize_t)first}};
  const hid_t space = H5Dget_space(dataset), stored = type < 0 ? H5Dget_type(dataset) : type;
  block.rank = space >= 0 ? H5Sget_simple_extent_dims(space, block.count, NULL) : -1;
  block.count[0] = (hsize_t)count;
  const bool good = block.rank > 0 && stored >= 0;
  const es_code_t code = good ? es_hdf5_read(dataset, stored, &block, out, reason) : es_hdf5_reason(reason);
  if (type < 0 && stored >= 0) H5Tclose(stored);
  if (space >= 0) H5Sclose(space);
  return code;
}

void es_hdf5_enlarge_cache(hid_t *dataset, hid_t file, const char *name, int64_t most) {
  int64_t shape[H5S_MAX_RANK];
  hsize_t chunk[H5S_MAX_RANK];
  const int rank = es_hdf5_shape(*dataset, shape);
  const hid_t list = H5Dget_create_plist(*dataset), type = H5Dget_type(*dataset);
  hid_t access = -1, again = -1;
  if (rank > 0 && list >= 0 && type >= 0 && H5Pget_layout(list) == H5D_CHUNKED &&
      H5Pget_chunk(list, H5S_MAX_RANK, chunk) == rank) {
    int64_t size = (int64_t)H5Tget_size(type);
    for (int d = 0; d < rank && size < most; d++) {
      if (__builtin_mul_overflow(size, d == 0 ? (int64_t)chunk[0] : shape[d], &size)) size = most;
    }
    if (size > most) size = most;
    if (size > CACHE_LEAST) access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access >= 0 && H5Pset_chunk_cache(access, CACHE_SLOTS, (size_t)size, 1.0) >= 0)
      again = H5Dopen2(file, name, access);
  }
  if (again >= 0) {
    H5Dclose(*dataset);
    *dataset = again;
  }
  if (access >= 0) H5Pclose(access);
  if (type >= 0) H5Tclose(type);
  if (list >= 0) H5Pclose(list);
}
