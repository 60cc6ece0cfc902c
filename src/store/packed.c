/* Packed fields between memory, where each layer has its own width, and the file, where the widest layer sets the
 * extent and the narrower ones are padded. */
#include "result.h"

es_code_t es_packed_transfer(const es_packed_t *p, char reason[ES_HDF5_REASON_SIZE]) {
  const es_field_info_t *info = es_field_info(p->field);
  const hid_t type = es_type_in_memory(info->type);
  int layer = 0; /* its place among the dimensions */
  while (info->dimensions[layer] != ES_DIM_LAYER) layer++;
  int64_t index[ES_RANK_MAX] = {0};
  for (int digit = layer; digit >= 0;) {
    const hsize_t width = (hsize_t)p->result->layers[index[layer]].width;
    es_hdf5_block_t block = {.rank = info->rank};
    for (int i = 0; i < info->rank; i++) {
      block.start[i] = i <= layer ? (hsize_t)index[i] : 0;
      block.count[i] = i <= layer ? 1 : width;
    }
    void *data = es_result_at(p->result, p->field, index);
    ES_TRY(p->reading ? es_hdf5_read(p->object, type, &block, data, reason)
                      : es_hdf5_write(p->object, type, &block, data, reason));
    for (digit = layer; digit >= 0 && ++index[digit] == p->result->extent[info->dimensions[digit]]; digit--) {
      index[digit] = 0;
    }
  }
  return ES_OK;
}
