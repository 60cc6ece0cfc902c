/* Input: one .npy file, a layer or the labels, in a folder of activations; the first byte chooses it. */
#include "activations_use.h"

static void fuzz_one(const uint8_t *data, size_t size) {
  static const uint8_t header[] = "\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
  static const uint8_t label_header[] = "\x93NUMPY\x01\0v\0{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }";
  uint8_t good[128 + 24] = {0}, labels[128 + 24] = {0};
  if (size == 0) return;
  memset(good + 10, ' ', 117);
  memset(labels + 10, ' ', 117);
  good[127] = labels[127] = '\n';
  memcpy(good, header, sizeof header - 1);
  memcpy(labels, label_header, sizeof label_header - 1);
  fuzz_file("labels.npy", labels, sizeof labels);
  fuzz_file("a.npy", good, sizeof good);
  fuzz_file((data[0] & 1) != 0 ? "labels.npy" : "a.npy", data + 1, size - 1);
  use_activations(fuzz_folder());
}
