/** Results: one table describes every variable of the schema once (src/store/fields.c); the result in memory, the HDF5
 * file, the state file and the documentation are made from it. The only module besides data/ that knows HDF5.
 * Not collective: the leader of a group writes. */
#ifndef EIGENSCOPE_STORE_H
#define EIGENSCOPE_STORE_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ES_SCHEMA_VERSION = 1, ES_LAYERS_MAX = 512 };

/** Dimensions of the schema, each a coordinate variable (dimension scale) of the file. */
typedef enum es_dimension {
  ES_DIM_SPLIT,     /**< string: "train", "eval" */
  ES_DIM_EPOCH,     /**< int32: 0 … E */
  ES_DIM_LAYER,     /**< string: names of the measured layers, forward order */
  ES_DIM_DELTA,     /**< float64 */
  ES_DIM_COMPONENT, /**< int32: 0 … largest measured width − 1 */
  ES_DIMENSIONS
} es_dimension_t;

/** Variables. Append only: the order is the creation order in the file. */
typedef enum es_field {
  ES_FIELD_LAYER_KIND,            /**< (layer) string: "conv", "linear" */
  ES_FIELD_LAYER_WIDTH,           /**< (layer) int32: features measured by the method */
  ES_FIELD_LAYER_PARAMETERS,      /**< (layer) int64 */
  ES_FIELD_LAYER_MACS,            /**< (layer) int64: multiply-adds of one sample forward */
  ES_FIELD_LAYER_RECEPTIVE_FIELD, /**< (layer) int32 pixels; linear layers: of the whole input they see */
  ES_FIELD_LAYER_BORDER,          /**< (layer) uint8: 1 for the first layer whose receptive field exceeds the input */
  ES_FIELD_LAYER_OUTPUT,          /**< (layer) uint8: 1 for the output layer, left out of means */
  ES_FIELD_LOSS,                  /**< (split, epoch) float64 */
  ES_FIELD_ACCURACY,
  ES_FIELD_TOP5_ACCURACY,
  ES_FIELD_MCC,
  ES_FIELD_LEARNING_RATE, /**< (epoch) float64 */
  ES_FIELD_SECONDS,       /**< (epoch) float64 */
  ES_FIELD_SAMPLES,       /**< (split, epoch, layer) int64: rows in the covariance */
  ES_FIELD_TRACE,         /**< (split, epoch, layer) float64 */
  ES_FIELD_EFFECTIVE_RANK,
  ES_FIELD_PARTICIPATION_RATIO,
  ES_FIELD_FIRST_COMPONENT_SHARE,
  ES_FIELD_SOLVER,              /**< (split, epoch, layer) uint8: 0 none, 1 LAPACK, 2 ScaLAPACK (flag_values) */
  ES_FIELD_FLAGS,               /**< (split, epoch, layer) uint8: bits of es_flag_t (flag_masks, flag_meanings) */
  ES_FIELD_INTRINSIC_DIMENSION, /**< (split, epoch, layer, delta) int32 */
  ES_FIELD_SATURATION,          /**< (split, epoch, layer, delta) float64 */
  ES_FIELD_EIGENVALUES,         /**< (split, epoch, layer, component) float64, descending, NaN-padded */
  ES_FIELDS
} es_field_t;

typedef enum es_type { ES_TYPE_F64, ES_TYPE_I32, ES_TYPE_I64, ES_TYPE_U8, ES_TYPE_STRING, ES_TYPES } es_type_t;

/** One row of the table. */
typedef struct es_field_info {
  const char *name, *long_name, *units; /**< units "1" for pure numbers */
  es_type_t type;                       /**< not measured: NaN, −1, or 0 for uint8 */
  int rank;
  es_dimension_t dimensions[4];
  const char *flag_meanings; /**< uint8 of fixed meanings: one word for each, as CF's attribute; else NULL */
  bool flag_bits; /**< the words name bits 1, 2, 4, ... (flag_masks), not values 0, 1, 2, ... (flag_values) */
} es_field_info_t;

const es_field_info_t *es_field_info(es_field_t field);

/** Bits of `flags`. */
typedef enum es_flag {
  ES_FLAG_DEAD = 1,         /**< zero variance: k = 0 */
  ES_FLAG_UNDERSAMPLED = 2, /**< fewer than width + 1 rows */
  ES_FLAG_NONFINITE = 4     /**< NaN or Inf among the activations: nothing else is given */
} es_flag_t;

/** What is constant about a measured layer. */
typedef struct es_layer_info {
  char name[ES_NAME_MAX];
  char kind[16];
  int32_t width;
  int64_t parameters, macs;
  int32_t receptive_field;
  uint8_t border, output;
} es_layer_info_t;

/** Results of one point, complete or so far. */
typedef struct es_result es_result_t;

/** All fields allocated and "not measured"; layer fields filled from `layers` (n_layers ≤ ES_LAYERS_MAX). */
es_code_t es_result_create(es_result_t **out, const es_point_t *point, const es_layer_info_t *layers, int n_layers,
                           es_status_t *status);
void es_result_destroy(es_result_t *result);

/** Length of a dimension. */
int64_t es_result_extent(const es_result_t *result, es_dimension_t dimension);
/** Data of a field, row-major over its dimensions; double *, int32_t *, int64_t *, uint8_t * or const char ** by type.
 * Borrowed, writable. */
void *es_result_data(es_result_t *result, es_field_t field);
/** Number of elements of a field. */
size_t es_result_size(const es_result_t *result, es_field_t field);
/** Address of one element (indices in the field's order of dimensions; surplus indices ignored). */
double *es_result_f64(es_result_t *result, es_field_t field, int64_t i0, int64_t i1, int64_t i2, int64_t i3);
/** Measured layers and coordinates. */
const es_layer_info_t *es_result_layer(const es_result_t *result, int layer);

/** Mean of the saturation over the layers of one split and epoch (both indices) at delta `delta` (an index), without
 * the output layer and flagged layers; NaN when none is left. */
double es_result_mean_saturation(const es_result_t *result, es_split_t split, int64_t epoch, int64_t delta);

/** Where a result came from: name-value pairs that become root attributes. */
typedef struct es_provenance {
  const char *name, *value; /**< borrowed */
} es_provenance_t;

/** What the file says besides the fields. Borrowed pointers. */
typedef struct es_result_header {
  const es_point_t *point;                            /**< axes become root attributes, dots underscores */
  const char *point_id;                               /**< `point_id` */
  const char *job_name;                               /**< `job_name` */
  const char *job;                                    /**< `job`: the resolved YAML */
  const char *outcome;                                /**< "complete" or "diverged" */
  const char *reason;                                 /**< "" when complete */
  const char *train_mode;                             /**< "training" (activations of training itself) or "inference" */
  const char *fingerprint;                            /**< `dataset_fingerprint` */
  const double *normalize_mean, *normalize_deviation; /**< 3 each: `normalize_mean`, `normalize_std` */
  const es_provenance_t *provenance;
  int n_provenance;
} es_result_header_t;

/** <output>/points/<id>.h5 */
void es_result_path(char out[ES_PATH_MAX], const char *output, const char *id);

/** Writes the whole file atomically (built in memory, then es_file_write_atomic). Valid netCDF-4; the same result makes
 * the same bytes. Axes are attributes: whole numbers int64, others and every width float64, words as strings; the
 * attribute `axes` lists their names. ES_SYSTEM on failure, with HDF5's own reason if it is one of HDF5's. */
es_code_t es_result_write(const char *path, es_result_t *result, const es_result_header_t *header, es_status_t *status);

/** What is known of a file in the results folder without reading its variables. */
typedef enum es_outcome {
  ES_OUTCOME_MISSING,
  ES_OUTCOME_COMPLETE,
  ES_OUTCOME_DIVERGED,
  ES_OUTCOME_DAMAGED
} es_outcome_t;
typedef struct es_result_summary {
  es_outcome_t outcome;
  int32_t schema_version;
  char reason[512];
  char fingerprint[ES_ID_SIZE];
  int32_t epochs;         /**< E */
  double accuracy, loss;  /**< eval split, last epoch that has them */
  double mean_saturation; /**< eval split (train if eval is not measured), first delta, last measured epoch, mean over
                             layers without the output layer and flagged layers */
} es_result_summary_t;

/** Reads attributes and the few numbers of the summary; a file that is not there is ES_OUTCOME_MISSING, one that does
 * not open or lacks what the schema demands is ES_OUTCOME_DAMAGED with the reason. Never fails. */
void es_result_summarize(es_result_summary_t *out, const char *path);

typedef enum es_show_format { ES_SHOW_TABLE, ES_SHOW_CSV, ES_SHOW_JSON } es_show_format_t;

/** Appends what a result file holds. Table (100 columns): axes and outcome, then layers × measured epochs of saturation
 * for each measured split at the first delta, then loss and accuracy by epoch; epochs that do not fit are left out
 * evenly. csv and json: every number but the spectra, one row for each (split, epoch, layer, delta) of each split and
 * epoch with any number; what was not measured is an empty cell or null (so are infinities in json). json also holds
 * all root attributes. ES_INPUT for a file that is no result, naming what is wrong; nothing is appended then. */
es_code_t es_result_show(es_text_t *out, const char *path, es_show_format_t format, es_status_t *status);

#endif
