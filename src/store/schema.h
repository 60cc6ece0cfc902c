/* The dimensions of the schema, beside the table of its variables (store.h, es_field_info). */
#ifndef ES_STORE_SCHEMA_H
#define ES_STORE_SCHEMA_H

#include "eigenscope/store.h"
#include <hdf5.h>
#include <stdbool.h>

#define STORE_STAGE "store"
/* Value of the root attribute `schema`. */
#define STORE_SCHEMA "eigenscope"

/* Root attribute of results whose training ended early: the epoch. */
#define STORE_STOPPED "stopped_at_epoch"

/* Root attribute of merged files alone: how many points they hold. */
#define STORE_MERGED "n_points"

/* Bytes of one element in memory. */
size_t es_type_size(es_type_t type);
/* Type of the elements in the file (little-endian) and in memory; both borrowed from the library. Not for strings. */
hid_t es_type_in_file(es_type_t type);
hid_t es_type_in_memory(es_type_t type);

/* A dimension and its coordinate variable, which has the same name and the units "1". */
typedef struct es_dimension_info {
  const char *name, *long_name;
  es_type_t type;
  int64_t most;      /* entries that are possible */
  const char *words; /* the entries, if they are always the same, with blanks between; else NULL */
} es_dimension_info_t;

const es_dimension_info_t *es_dimension_info(es_dimension_t dimension);
/* True for epochs and deltas, whose coordinates are numbers that ascend, and by which points are merged. */
bool es_dimension_has_values(es_dimension_t dimension);
/* The elements that `split` holds, by es_split_t. */
const char *es_split_name(int split);
/* One of the words of a dimension that has words; returns out. */
const char *es_dimension_word(es_dimension_t dimension, int64_t index, char out[ES_NAME_MAX]);

/* True if the field runs over that dimension. */
bool es_field_has(es_field_t field, es_dimension_t dimension);
/* True for a function of the eigenvalues of a layer (saturation.h). */
bool es_field_is_quantity(es_field_t field);
/* True for what runs over components: in memory each layer has its own width of them. */
bool es_field_is_packed(es_field_t field);
/* True where a number can be missing, and the file has a _FillValue: what the core says of a layer never is. */
bool es_field_can_be_missing(es_field_t field);
/* True if a file with these groups has the dimension. */
bool es_dimension_is_used(es_dimension_t dimension, const bool groups[ES_FIELD_GROUPS]);

#endif
