/* Input: an HDF5 file of activations. */
#include "activations_use.h"
#include <hdf5.h>

static void fuzz_one(const uint8_t *data, size_t size) {
  use_activations(fuzz_file("x.h5", data, size));
  fuzz_require(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) == 0, "something of HDF5 is left open");
}
