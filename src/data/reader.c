#include "reader.h"
#include <assert.h>
#include <stddef.h>
#include <string.h>

const es_reader_t *es_reader_of(es_format_t format) {
  static const es_reader_t *const readers[] = {
      [ES_FORMAT_IDX] = &es_reader_idx,
      [ES_FORMAT_CIFAR10] = &es_reader_cifar10,
      [ES_FORMAT_CIFAR100] = &es_reader_cifar100,
      [ES_FORMAT_HDF5] = &es_reader_hdf5,
      [ES_FORMAT_SYNTHETIC] = &es_reader_synthetic,
  };
  assert((size_t)format < sizeof readers / sizeof *readers);
  return readers[format];
}

es_code_t es_dataset_inspect(es_dataset_info_t *out, const es_dataset_spec_t *spec, es_status_t *status) {
  memset(out, 0, sizeof *out);
  return es_reader_of(spec->format)->inspect(out, NULL, spec, status);
}

bool es_dataset_guess(const char *path, es_format_t *format, char found[ES_PATH_MAX]) {
  for (es_format_t f = ES_FORMAT_IDX; f < ES_FORMAT_SYNTHETIC; f++) {
    if (!es_reader_of(f)->found(path, found)) continue;
    *format = f;
    return true;
  }
  return false;
}
