/* The dimensions of the schema; store.h (es_field_info) has the table of its variables. */
#ifndef ES_STORE_SCHEMA_H
#define ES_STORE_SCHEMA_H

#include "eigenscope/store.h"
#include <hdf5.h>
#include <stdbool.h>

#define STORE_STAGE "store"
/* Value of the root attribute `schema`. */
#define STORE_SCHEMA "eigenscope"

/* Root attribute of results whose training ended early: the last epoch. */
#define STORE_STOPPED "stopped_at_epoch"

/* Root attribute that only merged files have: the number of their points. */
#define STORE_MERGED "n_points"

/* Bytes of one element in memory. */
size_t es_type_size(es_type_t type);
/* Element type in the file (little-endian) and in memory. Borrowed from HDF5. Not for strings. */
hid_t es_type_in_file(es_type_t type);
hid_t es_type_in_memory(es_type_t type);

/* A dimension and its coordinate variable of the same name, with units "1". */
typedef struct es_dimension_info {
  const char *name, *long_name;
  es_type_t type;
  int64_t most;      /* the largest possible extent */
  const char *words; /* the entries, separated by blanks, if they are fixed; else NULL */
} es_dimension_info_t;

const es_dimension_info_t *es_dimension_info(es_dimension_t dimension);
/* True for epochs, steps, deltas and strengths: their coordinates are ascending numbers, by which merge aligns points.
 */
bool es_dimension_has_values(es_dimension_t dimension);
/* Name of a split (es_split_t). */
const char *es_split_name(int split);
/* Copies one word of a dimension of words to `out`; returns out. */
const char *es_dimension_word(es_dimension_t dimension, int64_t index, char out[ES_NAME_MAX]);

/* True if the field has that dimension. */
bool es_field_has(es_field_t field, es_dimension_t dimension);
/* True if the field is a function of the eigenvalues of a layer (saturation.h). */
bool es_field_is_quantity(es_field_t field);
/* True if the field has components: in memory each layer has its own number of them. */
bool es_field_is_packed(es_field_t field);
/* True if numbers can be missing, so the file has a _FillValue; false for core facts about layers. */
bool es_field_can_be_missing(es_field_t field);
/* True if a file with these groups has the dimension. */
bool es_dimension_is_used(es_dimension_t dimension, const bool groups[ES_FIELD_GROUPS]);

#endif
