/* A result file read back: everything is checked against the schema before it is believed. */
#ifndef ES_STORE_READER_H
#define ES_STORE_READER_H

#include "result.h"
#include <hdf5.h>

/* A root attribute as text. */
typedef struct attribute {
  char *name;  /* owned */
  char *value; /* owned; a number or "[a, b]" in shortest decimals where is_text is false */
  bool is_text;
} es_attribute_t;

typedef struct es_reader {
  const char *path;    /* borrowed, as `status` */
  es_status_t *status; /* where failures go while it is opened */
  const char *kind;    /* "result": what the file is to be */
  hid_t file;          /* owned; −1 when closed */
  int32_t schema_version;
  es_result_t *result;        /* owned; only the wanted fields */
  es_attribute_t *attributes; /* owned; in the order of the file */
  int n_attributes;
} es_reader_t;

/* Reads root attributes and coordinates, checks that every variable of the core, and of each group of which there is
 * any, is there with its type and extents unless it is optional, and reads those of `wanted` (one for each field, none
 * of them packed). A quantity that is wanted and not there is computed. ES_INPUT with "<path>: <what is wrong>" for a
 * file that is no result or is damaged; ES_SYSTEM when memory is out. es_reader_destroy clears *reader in any case. */
es_code_t es_reader_load(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status);
/* The same, but leaves the file open until es_reader_destroy. HDF5 must be quiet. */
es_code_t es_reader_open(es_reader_t *reader, const char *path, const bool *wanted, es_status_t *status);
/* A failure of the file, put into the reader's status: damage with a reason, damage for HDF5's last reason, or lack of
 * memory. */
es_code_t es_reader_damaged(const es_reader_t *reader, const char *what, const char *reason);
es_code_t es_reader_broken(const es_reader_t *reader, const char *what);
es_code_t es_reader_out_of_memory(const es_reader_t *reader);
/* A sound HDF5 file that is not what the schema says. */
es_code_t es_reader_foreign(const es_reader_t *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Opens a file of results. ES_INPUT with "<path>: <what is wrong>" when it cannot be read, or is no file. */
es_code_t es_reader_open_file(hid_t *file, const char *path, es_status_t *status);
/* Appends all root attributes of the open file that are variable-length strings or numbers to the reader; passes over
 * others. ES_INPUT when one cannot be read, ES_SYSTEM when memory is out. */
es_code_t es_attributes_read(es_reader_t *reader);
/* True for what an attribute of a result, and an axis, may be called: letters, digits and underscores. */
bool es_attribute_name_is_fit(const char *name);
void es_reader_destroy(es_reader_t *reader);

/* Value of a root attribute, or NULL. Borrowed. */
const char *es_reader_attribute(const es_reader_t *reader, const char *name);
/* The same for one that must be there and be text: "" when it is not. */
const char *es_reader_text(const es_reader_t *reader, const char *name);
/* The epoch after which training ended early, 0 if it did not. */
int32_t es_reader_stop(const es_reader_t *reader);

#endif
