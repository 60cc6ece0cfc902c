/* The result in memory, as the files of this module see it. */
#ifndef ES_STORE_RESULT_H
#define ES_STORE_RESULT_H

#include "eigenscope/hdf5.h"
#include "eigenscope/memory.h"
#include "schema.h"

struct es_result {
  int64_t extent[ES_DIMENSIONS]; /* 0 for dimensions that are not used */
  bool groups[ES_FIELD_GROUPS];
  es_owned_t memory;            /* of the next five */
  int32_t *epoch, *probe_epoch; /* extent[ES_DIM_EPOCH], extent[ES_DIM_PROBE_EPOCH] */
  es_layer_info_t *layers;      /* extent[ES_DIM_LAYER] */
  size_t *widths, *squares;     /* extent[ES_DIM_LAYER] + 1: sums of the widths, and of their squares, before a
                                   layer: where it starts in packed fields */
  double delta[ES_DELTAS_MAX];
  void *data[ES_FIELDS]; /* owned; NULL for fields that the result lacks or that were not asked for */
  char *text[ES_FIELDS]; /* owned; what string fields point to when they were read back, else NULL */
};

/* A result of these extents and groups without any field; coordinates zero. NULL when memory is out. */
es_result_t *es_result_allocate(const int64_t extent[ES_DIMENSIONS], const bool groups[ES_FIELD_GROUPS]);
/* Allocates one field as "not measured"; packed ones by the widths of the layers, which must be there. False when
 * memory is out. */
bool es_result_allocate_field(es_result_t *result, es_field_t field);
/* Names, layers and the like are there: fills `widths` and `squares`. */
void es_result_count_widths(es_result_t *result);

/* A packed field, and the variable of a file that it goes to or comes from. In memory each layer has its own width; in
 * the file the widest sets the extent. */
typedef struct es_packed {
  es_result_t *result; /* borrowed */
  es_field_t field;
  hid_t object; /* borrowed */
  bool reading;
} es_packed_t;
/* Reads or writes all layers; what pads the narrower ones in the file is neither. After a failure: HDF5's reason. */
es_code_t es_packed_transfer(const es_packed_t *packed, char reason[ES_HDF5_REASON_SIZE]);

/* Position of an element of a field; `at` has one index for each dimension of the schema, others are not looked at. */
size_t es_result_index(const es_result_t *result, es_field_t field, const int64_t at[ES_DIMENSIONS]);
/* The same element of a float64 field. */
double es_result_value(const es_result_t *result, es_field_t field, const int64_t at[ES_DIMENSIONS]);
/* False for NaN and −1, and for what uint8 fields hold where nothing was measured. */
bool es_result_measured(const es_result_t *result, es_field_t field, size_t index);
/* The values of a dimension that has values: int32_t of epochs, double of deltas; and one of them. */
void *es_result_coordinates(es_result_t *result, es_dimension_t dimension);
double es_result_coordinate(const es_result_t *result, es_dimension_t dimension, int64_t index);
/* An entry of a dimension of words or names. */
const char *es_result_word(const es_result_t *result, es_dimension_t dimension, int64_t index, char out[ES_NAME_MAX]);
/* True if any layer was measured in that split and epoch (index). */
bool es_result_epoch_measured(const es_result_t *result, int split, int64_t epoch);
/* Value of a (split, epoch) field at the last epoch that has one in the eval split; NaN if none has. */
double es_result_last_value(const es_result_t *result, es_field_t field);
/* Mean over hidden layers at the last measured epoch, in the eval split if it was measured, else in the train split, at
 * the first delta that was asked for. */
double es_result_last_saturation(const es_result_t *result);
/* Mean of a float64 field over the layers at these indices, without the output layer and layers with one of
 * ES_FLAGS_EXCLUDED; NaN when none is left. `at` says split and epoch; its layer is changed. */
double es_result_mean(const es_result_t *result, es_field_t field, int64_t at[ES_DIMENSIONS]);
uint8_t es_result_flags(const es_result_t *result, int split, int64_t epoch, int64_t layer);

#endif
