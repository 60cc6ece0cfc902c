#include "show.h"

es_code_t es_result_show(es_text_t *out, const char *path, es_show_format_t format, es_status_t *status) {
  bool wanted[ES_FIELDS];
  es_reader_t reader;
  /* Spectra and what is told for each class are for programs that read HDF5. */
  for (int i = 0; i < ES_FIELDS; i++) {
    wanted[i] = !es_field_is_packed((es_field_t)i) && !es_field_has((es_field_t)i, ES_DIM_CLASS);
  }
  es_code_t code = es_reader_load(&reader, path, wanted, status);
  if (code == ES_OK) {
    if (format == ES_SHOW_CSV)
      es_show_csv(out, &reader);
    else if (format == ES_SHOW_JSON)
      es_show_json(out, &reader);
    else
      es_show_table(out, &reader);
    if (out->failed) code = es_fail(status, ES_SYSTEM, STORE_STAGE, "%s: cannot be shown: out of memory", path);
  }
  es_reader_destroy(&reader);
  return code;
}
