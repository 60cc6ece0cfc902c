/* The dimensions of the schema, beside the table of its variables (store.h, es_field_info). */
#ifndef ES_STORE_SCHEMA_H
#define ES_STORE_SCHEMA_H

#include "eigenscope/store.h"
#include <stdbool.h>

#define STORE_STAGE "store"
/* Value of the root attribute `schema`. */
#define STORE_SCHEMA "eigenscope"

/* A dimension and its coordinate variable, which has the same name. */
typedef struct dimension_info {
  const char *name, *long_name, *units;
  es_type_t type;
} dimension_info_t;

const dimension_info_t *dimension_info(es_dimension_t dimension);

/* The elements that `split` holds, by es_split_t. */
const char *split_name(int split);

/* True if the field runs over that dimension. */
bool field_has(es_field_t field, es_dimension_t dimension);

#endif
