/* The layout of a result in memory, private to this module. */
#ifndef ES_STORE_RESULT_H
#define ES_STORE_RESULT_H

#include "eigenscope/hdf5.h"
#include "eigenscope/memory.h"
#include "schema.h"

struct es_result {
  int64_t extent[ES_DIMENSIONS]; /* 0 for unused dimensions */
  bool groups[ES_FIELD_GROUPS];
  es_owned_t memory;            /* owns the next six members */
  int32_t *epoch, *probe_epoch; /* extent[ES_DIM_EPOCH], extent[ES_DIM_PROBE_EPOCH] */
  int32_t *step;                /* extent[ES_DIM_STEP] */
  es_layer_info_t *layers;      /* extent[ES_DIM_LAYER] */
  size_t *widths, *squares;     /* extent[ES_DIM_LAYER] + 1: sums of the widths, and of their squares, of all earlier
                                 * layers: offsets in packed fields */
  double delta[ES_DELTAS_MAX], l2[ES_L2_MAX];
  char probe_dataset[ES_PROBE_DATASETS_MAX][ES_NAME_MAX];
  void *data[ES_FIELDS]; /* owned; NULL for fields that the result lacks or that were not requested */
  char *text[ES_FIELDS]; /* owned; text of string fields that were read from a file, else NULL */
};

/* Allocates a result of these extents and groups, without fields, coordinates zero. NULL when out of memory. */
es_result_t *es_result_allocate(const int64_t extent[ES_DIMENSIONS], const bool groups[ES_FIELD_GROUPS]);
/* Allocates one field, filled with "not measured". Packed fields need the widths of the layers. False when out of
 * memory. */
bool es_result_allocate_field(es_result_t *result, es_field_t field);
/* Computes `widths` and `squares`; the layers must be set. */
void es_result_count_widths(es_result_t *result);

/* A packed field and its variable in a file. In memory each layer has its own width; in the file the widest layer sets
 * the extent. */
typedef struct es_packed {
  es_result_t *result; /* borrowed */
  es_field_t field;
  hid_t object; /* borrowed */
  bool reading;
} es_packed_t;
/* Reads or writes all layers, without the padding of narrow layers in the file. On failure returns HDF5's reason. */
es_code_t es_packed_transfer(const es_packed_t *packed, char reason[ES_HDF5_REASON_SIZE]);

/* Position of an element of a field; `at` has an index for each dimension of the schema, unused ones are ignored. */
size_t es_result_index(const es_result_t *result, es_field_t field, const int64_t at[ES_DIMENSIONS]);
/* Value of the element at these indices of a float64 field. */
double es_result_value(const es_result_t *result, es_field_t field, const int64_t at[ES_DIMENSIONS]);
/* False for NaN and −1, and for the fill value of uint8 fields. */
bool es_result_measured(const es_result_t *result, es_field_t field, size_t index);
/* All values of a dimension (int32_t for epochs and steps, else double), and one of them. */
void *es_result_coordinates(es_result_t *result, es_dimension_t dimension);
double es_result_coordinate(const es_result_t *result, es_dimension_t dimension, int64_t index);
/* An entry of a dimension of words or names. */
const char *es_result_word(const es_result_t *result, es_dimension_t dimension, int64_t index, char out[ES_NAME_MAX]);
/* True if any layer was measured in that split and epoch (index). */
bool es_result_epoch_measured(const es_result_t *result, int split, int64_t epoch);
/* Value of a (split, epoch) field at the last epoch that has one in the eval split; NaN if none has. */
double es_result_last_value(const es_result_t *result, es_field_t field);
/* Mean saturation over hidden layers at the last measured epoch and a delta (index); in the eval split if it was
 * measured, else in the train split. */
double es_result_last_saturation(const es_result_t *result, int64_t delta);
/* As es_result_last_saturation, of one layer. */
double es_result_layer_saturation(const es_result_t *result, int64_t delta, int64_t layer);
/* Mean of a float64 field over the layers at these indices, except the output layer and layers with a flag of
 * ES_FLAGS_EXCLUDED; NaN if no layer is left. `at` gives split and epoch; its layer index is overwritten. */
double es_result_mean(const es_result_t *result, es_field_t field, int64_t at[ES_DIMENSIONS]);
uint8_t es_result_flags(const es_result_t *result, int split, int64_t epoch, int64_t layer);

#endif
