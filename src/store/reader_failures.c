/* Failures of a file of results. */
#include "reader.h"
#include <stdarg.h>
#include <stdio.h>

es_code_t es_reader_damaged(const es_reader_t *reader, const char *what, const char *reason) {
  return es_fail(reader->status, ES_INPUT, STORE_STAGE, "%s: is damaged: %s cannot be read: %s", reader->path, what,
                 reason);
}

es_code_t es_reader_broken(const es_reader_t *reader, const char *what) {
  char reason[ES_HDF5_REASON_SIZE];
  if (es_hdf5_reason(reason) == ES_INPUT) return es_reader_damaged(reader, what, reason);
  return es_fail(reader->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be read: %s", reader->path, reason);
}

es_code_t es_reader_foreign(const es_reader_t *reader, const char *format, ...) {
  char what[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  return es_fail(reader->status, ES_INPUT, STORE_STAGE, "%s: is not a %s of eigenscope: %s", reader->path, reader->kind,
                 what);
}

es_code_t es_reader_out_of_memory(const es_reader_t *reader) {
  return es_fail(reader->status, ES_SYSTEM, STORE_STAGE, "%s: cannot be read: out of memory", reader->path);
}

es_code_t es_reader_no_layer(const es_reader_t *reader, const char *layer, const char *first, const char *last) {
  return es_fail(reader->status, ES_INPUT, STORE_STAGE,
                 "%s: no layer matches \"%.100s\"; the first layer is \"%.100s\", the last layer is \"%.100s\"",
                 reader->path, layer, first, last);
}
