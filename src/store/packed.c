/* Packed fields between memory, where each layer has its own width, and the file, where the widest layer sets the
 * extent and the narrower ones are padded. */
#include "eigenscope/hdf5.h"
#include "result.h"

/* One layer at these indices; a failure leaves HDF5's reason. */
static bool transfer(const es_packed_t *p, hid_t space, const int64_t *index, int layer, char *reason) {
  const es_field_info_t *info = es_field_info(p->field);
  const hsize_t width = (hsize_t)p->result->layers[index[layer]].width;
  const hid_t type = es_type_in_memory(info->type);
  hsize_t start[ES_RANK_MAX], count[ES_RANK_MAX];
  for (int i = 0; i < info->rank; i++) {
    start[i] = i <= layer ? (hsize_t)index[i] : 0;
    count[i] = i <= layer ? 1 : width;
  }
  void *data = es_result_at(p->result, p->field, index);
  const hid_t memory = H5Screate_simple(info->rank, count, NULL);
  const bool good = memory >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                    (p->reading ? H5Dread(p->object, type, memory, space, H5P_DEFAULT, data)
                                : H5Dwrite(p->object, type, memory, space, H5P_DEFAULT, data)) >= 0;
  if (!good) es_hdf5_reason(reason);
  if (memory >= 0) H5Sclose(memory);
  return good;
}

bool es_packed_transfer(const es_packed_t *p, char reason[ES_HDF5_REASON_SIZE]) {
  const es_field_info_t *info = es_field_info(p->field);
  int layer = 0; /* its place among the dimensions */
  while (info->dimensions[layer] != ES_DIM_LAYER) layer++;
  int64_t index[ES_RANK_MAX] = {0};
  const hid_t space = H5Dget_space(p->object);
  bool good = space >= 0;
  if (!good) es_hdf5_reason(reason);
  for (int digit = layer; good && digit >= 0;) {
    good = transfer(p, space, index, layer, reason);
    for (digit = layer; digit >= 0 && ++index[digit] == p->result->extent[info->dimensions[digit]]; digit--) {
      index[digit] = 0;
    }
  }
  if (space >= 0) H5Sclose(space);
  return good;
}
