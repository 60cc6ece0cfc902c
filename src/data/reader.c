#include "reader.h"
#include <assert.h>
#include <stddef.h>
#include <string.h>

const es_reader_t *es_reader_of(es_format_t format) {
  static const es_reader_t *const readers[] = {
      [ES_FORMAT_IDX] = &es_reader_idx,
      [ES_FORMAT_SYNTHETIC] = &es_reader_synthetic,
  };
  assert((size_t)format < sizeof readers / sizeof *readers);
  return readers[format];
}

es_code_t es_dataset_inspect(es_dataset_info_t *out, const es_dataset_spec_t *spec, es_status_t *status) {
  memset(out, 0, sizeof *out);
  return es_reader_of(spec->format)->inspect(out, NULL, spec, status);
}
