/* The result in memory, as the files of this module see it. */
#ifndef ES_STORE_RESULT_H
#define ES_STORE_RESULT_H

#include "schema.h"

struct es_result {
  int64_t extent[ES_DIMENSIONS];
  int32_t *epoch;          /* owned; extent[ES_DIM_EPOCH] */
  es_layer_info_t *layers; /* owned; extent[ES_DIM_LAYER] */
  double delta[ES_DELTAS_MAX];
  void *data[ES_FIELDS]; /* owned; NULL for fields that were not asked for */
  char *text[ES_FIELDS]; /* owned; what string fields point to when they were read back, else NULL */
};

/* Allocates the wanted fields (NULL: all) as "not measured", from extents that are set; epochs 0 … n−1, layers and
 * deltas zero. NULL when memory is out. */
es_result_t *result_allocate(const int64_t extent[ES_DIMENSIONS], const bool *wanted);

/* Bytes of one element in memory. */
size_t type_size(es_type_t type);
/* Position of an element of a field; `at` has one index for each dimension of the schema, others are not looked at. */
size_t result_index(const es_result_t *result, es_field_t field, const int64_t at[ES_DIMENSIONS]);
/* False for NaN and −1, and for 0 in uint8 fields. */
bool result_measured(const es_result_t *result, es_field_t field, size_t index);
/* True if any layer was measured in that split and epoch (index). */
bool result_epoch_measured(const es_result_t *result, int split, int64_t epoch);
uint8_t result_flags(const es_result_t *result, int split, int64_t epoch, int64_t layer);

#endif
