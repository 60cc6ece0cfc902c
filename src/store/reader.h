/* A result file read back: everything is checked against the schema before it is believed. */
#ifndef ES_STORE_STORED_H
#define ES_STORE_STORED_H

#include "result.h"
#include <hdf5.h>

/* A root attribute as text. */
typedef struct attribute {
  char *name;  /* owned */
  char *value; /* owned; a number or "[a, b]" in shortest decimals where is_text is false */
  bool is_text;
} es_attribute_t;

typedef struct stored {
  int32_t schema_version;
  es_result_t *result;        /* owned; only the wanted fields */
  es_attribute_t *attributes; /* owned; in the order of the file */
  int n_attributes;
} es_reader_t;

/* Reads root attributes and coordinates, checks that every variable of the core, and of each
 * group of which there is any, is there with its type and extents,
 * and reads those of `wanted` (one for each field, none of them packed) that the file has. ES_INPUT with "<path>: <what
 * is wrong>" for a file that is no result or is damaged; ES_SYSTEM when memory is out. What was read so far stays in
 * *out, which es_reader_destroy clears in any case.
 */
es_code_t es_reader_load(es_reader_t *out, const char *path, const bool *wanted, es_status_t *status);
/* The same, but leaves the file open for the caller, who closes it unless it is negative, also after a failure. HDF5
 * must be quiet already. */
es_code_t es_reader_open(es_reader_t *out, hid_t *file, const char *path, const bool *wanted, es_status_t *status);
/* Opens a file of results. ES_INPUT with "<path>: <what is wrong>" when it cannot be read, or is no file. */
es_code_t es_reader_open_file(hid_t *file, const char *path, es_status_t *status);
void es_reader_destroy(es_reader_t *stored);

/* Value of a root attribute, or NULL. Borrowed. */
const char *es_reader_attribute(const es_reader_t *stored, const char *name);
/* The same for one that must be there and be text: "" when it is not. */
const char *es_reader_text(const es_reader_t *stored, const char *name);
/* The epoch after which training ended early, 0 if it did not. */
int32_t es_reader_stop(const es_reader_t *stored);

#endif
