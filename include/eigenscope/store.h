/** Results: one table describes every variable of the schema once (src/store/fields.c); the result in memory, the HDF5
 * file, the state file and the documentation are made from it. Other modules know HDF5 only through hdf5.h.
 * Not collective: the leader of a group writes. */
#ifndef EIGENSCOPE_STORE_H
#define EIGENSCOPE_STORE_H

#include "eigenscope/point.h"
#include "eigenscope/saturation.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ES_SCHEMA_VERSION = 1, ES_LAYERS_MAX = 512, ES_RANK_MAX = 5 };

/** Dimensions of the schema, each a coordinate variable (dimension scale) of the files that use it; the first five are
 * in every file. */
typedef enum es_dimension {
  ES_DIM_SPLIT,           /**< string: "train", "eval" */
  ES_DIM_EPOCH,           /**< int32: 0 … E, or the epochs that were given */
  ES_DIM_LAYER,           /**< string: names of the measured layers, forward order */
  ES_DIM_DELTA,           /**< float64 */
  ES_DIM_COMPONENT,       /**< int32: 0 … largest measured width − 1 */
  ES_DIM_CLASS,           /**< int32: 0 … K − 1, the label */
  ES_DIM_PREDICTED_CLASS, /**< int32: the same for what was predicted */
  ES_DIM_PROBE_EPOCH,     /**< int32: epochs at which probes are fitted */
  ES_DIM_REFERENCE,       /**< string: by es_reference_t */
  ES_DIM_PROJECTION,      /**< string: by es_projection_t */
  ES_DIM_LAYER_OR_ALL,    /**< string: "all", then the layers: layer l is at l + 1 */
  ES_DIM_FEATURE,         /**< int32: 0 … largest measured width − 1 */
  ES_DIMENSIONS
} es_dimension_t;

/** What an epoch is compared with: "previous", the measured epoch before; "last", the last measured one. */
typedef enum es_reference { ES_PREVIOUS, ES_LAST, ES_REFERENCES } es_reference_t;
/** Onto what outputs are projected: "eigenspace", the leading eigenvectors; "random", as many random directions. */
typedef enum es_projection { ES_ONTO_EIGENSPACE, ES_ONTO_RANDOM, ES_PROJECTIONS } es_projection_t;

/** Fields come in groups: a result, and a file, has all fields of a group or none. The core is always there. */
typedef enum es_field_group {
  ES_GROUP_CORE,
  ES_GROUP_RECALL,
  ES_GROUP_PROBE,
  ES_GROUP_EIGENSPACE,
  ES_GROUP_EIGENVECTORS,
  ES_GROUP_PROJECTION,
  ES_GROUP_STABILITY,
  ES_GROUP_GEOMETRY,
  ES_FIELD_GROUPS
} es_field_group_t;

/** Variables, in the order of their creation in the file. Append only, or add a quantity in saturation.h. Files without
 * what was added after ES_FIELD_LAYER_STRIDE stay valid (es_field_is_optional). Types and dimensions:
 * src/store/fields.c. */
#define ES_QUANTITY_FIELD(id, ...) ES_FIELD_##id,
typedef enum es_field {
  ES_FIELD_LAYER_KIND,            /**< (layer) string: "conv", "linear", "activations", ... */
  ES_FIELD_LAYER_WIDTH,           /**< (layer) int32: features measured by the method */
  ES_FIELD_LAYER_PARAMETERS,      /**< (layer) int64; −1 unknown, as for the next two */
  ES_FIELD_LAYER_MACS,            /**< (layer) int64: multiply-adds of one sample forward */
  ES_FIELD_LAYER_RECEPTIVE_FIELD, /**< (layer) int32 pixels; linear layers: of the whole input they see */
  ES_FIELD_LAYER_BORDER,          /**< (layer) uint8: 1 for the first layer whose receptive field exceeds the input */
  ES_FIELD_LAYER_OUTPUT,          /**< (layer) uint8: 1 for the output layer, left out of means */
  ES_FIELD_LOSS,                  /**< (split, epoch) float64 */
  ES_FIELD_ACCURACY,
  ES_FIELD_TOP5_ACCURACY,
  ES_FIELD_MCC,
  ES_FIELD_LEARNING_RATE,             /**< (epoch) float64 */
  ES_FIELD_SECONDS,                   /**< (epoch) float64 */
  ES_FIELD_SAMPLES,                   /**< (split, epoch, layer) int64: rows in the covariance */
  ES_QUANTITY_ROWS(ES_QUANTITY_FIELD) /* ES_FIELD_TRACE, ...: (split, epoch, layer) float64, see saturation.h */
  ES_FIELD_SOLVER,              /**< (split, epoch, layer) uint8: 0 none, 1 LAPACK, 2 ScaLAPACK, 3 ELPA (flag_values) */
  ES_FIELD_FLAGS,               /**< (split, epoch, layer) uint8: bits of es_flag_t (flag_masks, flag_meanings) */
  ES_FIELD_INTRINSIC_DIMENSION, /**< (split, epoch, layer, delta) int32 */
  ES_FIELD_SATURATION,          /**< (split, epoch, layer, delta) float64 */
  ES_FIELD_EIGENVALUES,         /**< (split, epoch, layer, component) float64, descending, NaN-padded */
  /* group recall */
  ES_FIELD_RECALL, /**< (split, epoch, class) float64; NaN for a class without samples */
  /* group probe */
  ES_FIELD_LAYER_TAIL,      /**< (layer) uint8: 1 for the trailing layers that add almost no accuracy; 255 unknown */
  ES_FIELD_PROBE_ACCURACY,  /**< (split, probe_epoch, layer) float64 */
  ES_FIELD_PROBE_OBJECTIVE, /**< (probe_epoch, layer) float64: the sum, as scikit-learn's with C = 1/l2 */
  ES_FIELD_PROBE_GRADIENT_NORM, /**< (probe_epoch, layer) float64 */
  ES_FIELD_PROBE_ITERATIONS,    /**< (probe_epoch, layer) int32 */
  ES_FIELD_PROBE_CONVERGED,     /**< (probe_epoch, layer) uint8: 0 no, 1 yes; 255 not fitted */
  ES_FIELD_PROBE_CONFUSION,     /**< (probe_epoch, layer, class, predicted_class) int64: samples of the eval split */
  ES_FIELD_PROBE_RECALL,        /**< (probe_epoch, layer, class) float64, of the eval split */
  /* group eigenspace */
  ES_FIELD_EIGENSPACE_OVERLAP, /**< (reference, split, epoch, layer, delta) float64, 0 … 1 */
  ES_FIELD_PRINCIPAL_ANGLES,   /**< (reference, split, epoch, layer, component) float64 radians, ascending, NaN-padded,
                                  between the eigenspaces of the first delta */
  /* group eigenvectors */
  ES_FIELD_EIGENVECTORS, /**< (split, epoch, layer, component, feature) float32, NaN-padded */
  /* group projection */
  ES_FIELD_PROJECTED_ACCURACY, /**< (projection, layer_or_all, delta) float64: eval split, after the last epoch, outputs
                                  projected onto eigenspaces of the train split, or of eval if that alone is measured */
  /* group stability */
  ES_FIELD_STABILITY_DISTANCE, /**< (reference, split, epoch, delta) float64 */
  ES_FIELD_STABILITY_PEARSON,
  ES_FIELD_STABILITY_SPEARMAN,
  /* group geometry */
  ES_FIELD_LAYER_STRIDE, /**< (layer) int32 pixels of the input between neighbouring positions of a convolution's
                            output; −1 for others */
  ES_FIELDS
} es_field_t;

typedef enum es_type {
  ES_TYPE_F64,
  ES_TYPE_F32,
  ES_TYPE_I32,
  ES_TYPE_I64,
  ES_TYPE_U8,
  ES_TYPE_STRING,
  ES_TYPES
} es_type_t;

/** One row of the table. */
typedef struct es_field_info {
  const char *name, *long_name, *units; /**< units "1" for pure numbers */
  es_type_t type;                       /**< not measured: NaN, −1, or `unmeasured` for uint8 */
  es_field_group_t group;
  int rank;
  es_dimension_t dimensions[ES_RANK_MAX];
  const char *flag_meanings; /**< uint8 of fixed meanings: one word for each, as CF's attribute; else NULL */
  bool flag_bits;     /**< the words name bits 1, 2, 4, ... (flag_masks), not values 0, 1, 2, ... (flag_values) */
  uint8_t unmeasured; /**< of uint8: 0, or 255 where 0 is an answer (then it is the _FillValue) */
} es_field_info_t;

const es_field_info_t *es_field_info(es_field_t field);
/** The variable of a quantity. */
es_field_t es_field_of_quantity(es_quantity_t quantity);
/** True if a file or a state without the field is whole all the same: it was added later than the first version of the
 * schema, or follows from the eigenvalues. */
bool es_field_is_optional(es_field_t field);

/** What is constant about a measured layer. */
typedef struct es_layer_info {
  char name[ES_NAME_MAX];
  char kind[16]; /**< "conv", "linear", "activations", ... */
  int32_t width;
  int64_t parameters, macs; /**< −1 when unknown */
  int32_t receptive_field;  /**< −1 when unknown */
  int32_t stride;           /**< −1 where there is one position, or when unknown */
  uint8_t border, output;
} es_layer_info_t;

/** Results of one point, complete or so far. */
typedef struct es_result es_result_t;

/** What the result of a point is to hold. Borrowed pointers. */
typedef struct es_result_shape {
  const es_point_t *point; /**< its deltas; epochs of training where none are given below */
  const es_layer_info_t *layers;
  int n_layers;          /**< 1 … ES_LAYERS_MAX */
  const int32_t *epochs; /**< ascending; NULL: 0 … E of the point */
  int n_epochs;
  int32_t n_classes;           /**< what probes say of classes, and group recall unless activations come from files;
                                    0 without labels */
  const int32_t *probe_epochs; /**< ascending */
  int n_probe_epochs;          /**< group probe; 0: none */
  bool eigenspace, eigenvectors, projection; /**< these groups; stability and geometry are always there */
} es_result_shape_t;

/** All fields of the groups allocated and "not measured"; layer fields filled from the shape's. ES_INPUT without
 * layers, ES_SYSTEM when memory is out.
 *
 * Memory: eigenvalues and principal angles are packed, layer after layer with its own width, so that one wide layer
 * costs no more than itself: 48 layers of width 768 and one of 30,000 take 1 MiB an epoch (2 splits), 2 MiB more with
 * eigenspaces. Eigenvectors take 4·Σ width² bytes a split and epoch (VGG16: 13 MiB), the confusion 8·K² a layer and
 * probe epoch (K = 1000, 17 layers: 130 MiB); writing takes that again, compressed. */
es_code_t es_result_create(es_result_t **out, const es_result_shape_t *shape, es_status_t *status);
void es_result_destroy(es_result_t *result);

/** Whether the result has the fields of a group. */
bool es_result_has(const es_result_t *result, es_field_group_t group);
/** Length of a dimension; 0 for one that no field of the result uses. */
int64_t es_result_extent(const es_result_t *result, es_dimension_t dimension);
/** Data of a field, row-major over its dimensions; double *, float *, int32_t *, int64_t *, uint8_t * or const char **
 * by type. Fields with components are packed: a layer of width w has w components (and w features), none that pad it;
 * use es_result_at. NULL when the result lacks the field. Borrowed, writable. */
void *es_result_data(es_result_t *result, es_field_t field);
/** Number of elements at es_result_data, 0 when the result lacks the field. */
size_t es_result_size(const es_result_t *result, es_field_t field);
/** Address of one element of a field that the result has, by one index for each of its dimensions in their order;
 * components and features below the layer's width. Elements along the last dimension are contiguous. */
void *es_result_at(es_result_t *result, es_field_t field, const int64_t *index);
/** The same for float64 of up to four dimensions; surplus indices are ignored. */
double *es_result_f64(es_result_t *result, es_field_t field, int64_t i0, int64_t i1, int64_t i2, int64_t i3);
/** Makes the quantities of `lacking` (one for each field) from the eigenvalues, which the result must hold. */
void es_result_compute_quantities(es_result_t *result, const bool lacking[ES_FIELDS]);
/** Measured layers. */
const es_layer_info_t *es_result_layer(const es_result_t *result, int layer);
/** The epoch at an index of the epoch axis. */
int32_t es_result_epoch(const es_result_t *result, int64_t index);
/** Index of an epoch on the axis of probe epochs, −1 when no probes are fitted then. */
int64_t es_result_probe_epoch_index(const es_result_t *result, int32_t epoch);
/** Gives the last probe epoch another number, above those before it: training may end sooner than it was to. */
void es_result_move_last_probe_epoch(es_result_t *result, int32_t epoch);

/** Mean of the saturation over the layers of one split and epoch (both indices) at delta `delta` (an index), without
 * the output layer and layers with one of ES_FLAGS_EXCLUDED; NaN when none is left. */
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
  int32_t stopped_at;                                 /**< `stopped_at_epoch`: complete before the last epoch; or 0 */
  const char *train_mode;                             /**< "training" (activations of training itself) or "inference" */
  const char *fingerprint;                            /**< `dataset_fingerprint` */
  const double *normalize_mean, *normalize_deviation; /**< 3 each: `normalize_mean`, `normalize_std` */
  const es_provenance_t *provenance;
  int n_provenance;
} es_result_header_t;

/** Where a new result goes: <output>/points/<id>.h5, or <output>/points/<first two digits>/<id>.h5 in a grid of more
 * than ES_FLAT_POINTS points. `output` is at most ES_OUTPUT_MAX bytes (es_plan_open sees to that). */
enum { ES_FLAT_POINTS = 1000, ES_OUTPUT_MAX = ES_PATH_MAX - 64 };
void es_result_path(char out[ES_PATH_MAX], const char *output, const char *id, int64_t n_points);
/** Where the result of a point is, in either place, so that a grid may grow; false, and the first place, when there is
 * no file. True also for a file that cannot be looked at: whoever opens it is told why. */
bool es_result_find(char out[ES_PATH_MAX], const char *output, const char *id);

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
  int32_t stopped_at;     /**< the epoch after which training ended early, because its pattern was stable; else 0 */
  double accuracy, loss;  /**< eval split, last epoch that has them */
  double mean_saturation; /**< eval split (train if eval is not measured), first delta, last measured epoch, mean over
                             layers without the output layer and flagged layers */
} es_result_summary_t;

/** Reads attributes and the few numbers of the summary; a file that is not there is ES_OUTCOME_MISSING, one that does
 * not open or lacks what the schema demands is ES_OUTCOME_DAMAGED with the reason. Never fails. */
void es_result_summarize(es_result_summary_t *out, const char *path);

typedef enum es_show_format { ES_SHOW_TABLE, ES_SHOW_CSV, ES_SHOW_JSON } es_show_format_t;

/** Appends what a result file holds. Table (100 columns): axes and outcome, then layers × measured epochs of saturation
 * for each measured split at the first delta (beside it the accuracy of the last probes, below it the mean overlap of
 * eigenspaces), then loss and accuracy by epoch; epochs that do not fit are left out evenly. csv and json: every number
 * but spectra and what is told for each class, one row for each (split, epoch, layer, delta) of each split and epoch
 * with any number, one column for each reference and projection; what was not measured is an empty cell or null (so are
 * infinities in json). json also holds all root attributes. ES_INPUT for a file that is no result, naming what is
 * wrong; nothing is appended then. */
es_code_t es_result_show(es_text_t *out, const char *path, es_show_format_t format, es_status_t *status);

#endif
