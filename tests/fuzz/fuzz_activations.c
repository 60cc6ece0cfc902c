/* An HDF5 file of activations of any bytes. */
#include "activations_use.h"

static void fuzz_one(const uint8_t *data, size_t size) {
  use_activations(fuzz_file("x.h5", data, size));
}
