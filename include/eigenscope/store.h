/** Results. One table describes every variable of the schema once (src/store/fields.c); the result in memory, the HDF5
 * file, the state file and the documentation are generated from it. Other modules use HDF5 only through hdf5.h. Not
 * collective: the leader of a group writes. */
#ifndef EIGENSCOPE_STORE_H
#define EIGENSCOPE_STORE_H

#include "eigenscope/class_numbers.h"
#include "eigenscope/matrices.h"
#include "eigenscope/point.h"
#include "eigenscope/saturation.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ES_SCHEMA_VERSION = 1, ES_RANK_MAX = 5 };

/** Dimensions of the schema. Each is a coordinate variable (dimension scale) in files that use it; the first five are
 * in every file. */
typedef enum es_dimension {
  ES_DIM_SPLIT,           /**< string: "train", "eval" */
  ES_DIM_EPOCH,           /**< int32: 0 … E, or the epochs of the files */
  ES_DIM_LAYER,           /**< string: names of the measured layers, forward order */
  ES_DIM_DELTA,           /**< float64 */
  ES_DIM_COMPONENT,       /**< int32: 0 … largest measured width − 1 */
  ES_DIM_CLASS,           /**< int32: 0 … K − 1, the label */
  ES_DIM_PREDICTED_CLASS, /**< int32: 0 … K − 1, the predicted label */
  ES_DIM_PROBE_EPOCH,     /**< int32: epochs at which probes are fitted */
  ES_DIM_REFERENCE,       /**< string: by es_reference_t */
  ES_DIM_PROJECTION,      /**< string: by es_projection_t */
  ES_DIM_LAYER_OR_ALL,    /**< string: "all", then the layers: layer l is at l + 1 */
  ES_DIM_FEATURE,         /**< int32: 0 … largest measured width − 1 */
  ES_DIM_STEP,            /**< int32: training steps that were measured (epochs.h) */
  ES_DIM_L2,              /**< float64: strengths of regularisation on the path of probes */
  ES_DIM_PROBE_DATASET,   /**< string: names of the other datasets on which probes are fitted */
  ES_DIMENSIONS
} es_dimension_t;

/** The epoch to compare with: "previous", the previous measured epoch; "last", the last measured epoch. */
typedef enum es_reference { ES_PREVIOUS, ES_LAST, ES_REFERENCES } es_reference_t;
/** Target of a projection: "eigenspace", the leading eigenvectors; "random", the same number of random directions. */
typedef enum es_projection { ES_ONTO_EIGENSPACE, ES_ONTO_RANDOM, ES_PROJECTIONS } es_projection_t;

/** Groups of fields: a result or a file has all fields of a group or none. It always has the core. */
typedef enum es_field_group {
  ES_GROUP_CORE,
  ES_GROUP_RECALL,
  ES_GROUP_PROBE,
  ES_GROUP_EIGENSPACE,
  ES_GROUP_EIGENVECTORS,
  ES_GROUP_PROJECTION,
  ES_GROUP_STABILITY,
  ES_GROUP_GEOMETRY,
  ES_GROUP_WEIGHTS,
  ES_GROUP_CONFUSION,
  ES_GROUP_CLASSES,
  ES_GROUP_UNITS,
  ES_GROUP_GRADIENTS,
  ES_GROUP_STEPS,
  ES_GROUP_PROBE_PATH,
  ES_GROUP_PROBE_DATASETS,
  ES_GROUP_PROBE_DATASETS_PATH,
  ES_FIELD_GROUPS
} es_field_group_t;

/** Variables, in the order of creation in the file. Append only, or add a quantity in saturation.h. Files without
 * fields that were added after ES_FIELD_LAYER_STRIDE remain valid (es_field_is_optional). Types and dimensions:
 * src/store/fields.c. */
#define ES_QUANTITY_FIELD(id, ...) ES_FIELD_##id,
#define ES_WEIGHTS_FIELD(id, ...)  ES_FIELD_WEIGHTS_##id,
#define ES_CLASS_FIELD(id, ...)    ES_FIELD_##id,
typedef enum es_field {
  ES_FIELD_LAYER_KIND,            /**< (layer) string: "conv", "linear", "activations", ... */
  ES_FIELD_LAYER_WIDTH,           /**< (layer) int32: features measured by the method */
  ES_FIELD_LAYER_PARAMETERS,      /**< (layer) int64; −1 if unknown, also for the next two */
  ES_FIELD_LAYER_MACS,            /**< (layer) int64: multiply-adds of one sample forward */
  ES_FIELD_LAYER_RECEPTIVE_FIELD, /**< (layer) int32 pixels; linear layers: the receptive field of their whole input */
  ES_FIELD_LAYER_BORDER,          /**< (layer) uint8: 1 for the first layer whose input sees the whole image */
  ES_FIELD_LAYER_OUTPUT,          /**< (layer) uint8: 1 for the output layer, which means exclude */
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
  ES_FIELD_LAYER_TAIL,          /**< (layer) uint8: 1 for the last layers that add almost no accuracy; 255 unknown */
  ES_FIELD_PROBE_ACCURACY,      /**< (split, probe_epoch, layer) float64 */
  ES_FIELD_PROBE_OBJECTIVE,     /**< (probe_epoch, layer) float64: the sum, as scikit-learn's with C = 1/l2 */
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
                                  projected onto eigenspaces of the train split, or of eval if only eval is measured */
  /* group stability */
  ES_FIELD_STABILITY_DISTANCE, /**< (reference, split, epoch, delta) float64 */
  ES_FIELD_STABILITY_PEARSON,
  ES_FIELD_STABILITY_SPEARMAN,
  /* group geometry */
  ES_FIELD_LAYER_STRIDE, /**< (layer) int32 pixels of the input between neighbouring positions of a convolution's
                            output; −1 for others */
  /* group weights */
  ES_MATRIX_ROWS(ES_WEIGHTS_FIELD) /* ES_FIELD_WEIGHTS_FROBENIUS_NORM, ...: (epoch, layer) float64, see matrices.h */
  /* group recall; with it the network's recall, precision, F1 and specificity follow (scores.h) */
  ES_FIELD_CLASS_SAMPLES,     /**< (split, epoch, class) int32: samples of the class */
  ES_FIELD_CLASS_PREDICTIONS, /**< (split, epoch, class) int32: samples that the network takes for the class */
  /* group confusion */
  ES_FIELD_CONFUSION, /**< (epoch, class, predicted_class) int32: samples of the eval split, by label and prediction */
  /* group classes */
  ES_CLASS_ROWS(ES_CLASS_FIELD) /* ES_FIELD_NC1, ...: (split, epoch, layer) float64, see class_numbers.h */
  /* group units */
  ES_FIELD_DEAD_UNITS, /**< (split, epoch, layer) float64, share of the units */
  ES_FIELD_DORMANT_UNITS,
  /* group gradients */
  ES_FIELD_GRADIENT_NORM, /**< (epoch, layer) float64, root mean square over the steps of the epoch */
  ES_FIELD_GRADIENT_RATIO,
  /* group steps: the eval split in inference mode, after training steps */
  ES_FIELD_STEP_EPOCH, /**< (step) float64: the step in epochs: step / steps of an epoch */
  ES_FIELD_STEP_LOSS,  /**< (step) float64 */
  ES_FIELD_STEP_ACCURACY,
  ES_FIELD_STEP_FLAGS,       /**< (step, layer) uint8: as ES_FIELD_FLAGS */
  ES_FIELD_STEP_SATURATION,  /**< (step, layer, delta) float64 */
  ES_FIELD_STEP_EIGENVALUES, /**< (step, layer, component) float64, descending, NaN-padded */
  /* group probe path */
  ES_FIELD_PROBE_L2,             /**< (probe_epoch, layer) float64: strength of the probe, chosen from the path */
  ES_FIELD_PROBE_PATH_ACCURACY,  /**< (l2, probe_epoch, layer) float64: on the samples that are held out */
  ES_FIELD_PROBE_PATH_CONVERGED, /**< (l2, probe_epoch, layer) uint8, of that fit: 0 no, 1 yes; 255 not fitted */
  /* group probe datasets: probes on other datasets; the names are those of group probe */
  ES_FIELD_PROBE_DATASET_CLASSES,   /**< (probe_dataset) int32 */
  ES_FIELD_PROBE_DATASET_ACCURACY,  /**< (probe_dataset, split, probe_epoch, layer) float64: of that dataset's splits */
  ES_FIELD_PROBE_DATASET_OBJECTIVE, /**< (probe_dataset, probe_epoch, layer) float64 */
  ES_FIELD_PROBE_DATASET_GRADIENT_NORM,
  ES_FIELD_PROBE_DATASET_ITERATIONS, /**< (probe_dataset, probe_epoch, layer) int32 */
  ES_FIELD_PROBE_DATASET_CONVERGED,  /**< (probe_dataset, probe_epoch, layer) uint8: 0 no, 1 yes; 255 not fitted */
  /* group probe datasets path */
  ES_FIELD_PROBE_DATASET_L2, /**< (probe_dataset, probe_epoch, layer) float64 */
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
  const char *name, *long_name, *units; /**< units "1" for dimensionless numbers */
  es_type_t type;                       /**< values not measured are NaN, −1, or `unmeasured` for uint8 */
  es_field_group_t group;
  int rank;
  es_dimension_t dimensions[ES_RANK_MAX];
  const char *flag_meanings; /**< uint8 with fixed meanings: one word each, as CF's attribute; else NULL */
  bool flag_bits;            /**< words name bits 1, 2, 4, ... (flag_masks), not values 0, 1, 2, ... (flag_values) */
  uint8_t unmeasured;        /**< uint8: 0, or 255 if 0 is a valid value (then 255 is the _FillValue) */
} es_field_info_t;

const es_field_info_t *es_field_info(es_field_t field);
/** True if results or merged files have a variable, dimension or attribute of this name: no axis may have it. */
bool es_result_name_is_taken(const char *name);
/** The variable of a quantity. */
es_field_t es_field_of_quantity(es_quantity_t quantity);
/** The variable of a number of weight matrices. */
static inline es_field_t es_field_of_matrix(es_matrix_number_t number) {
  return (es_field_t)((int)ES_FIELD_WEIGHTS_FROBENIUS_NORM + (int)number);
}
/** The variable of a number of classes. */
static inline es_field_t es_field_of_class_number(es_class_number_t number) {
  return (es_field_t)((int)ES_FIELD_NC1 + (int)number);
}
/** True if a file or a state is complete without the field: the field was added after the first version of the schema,
 * or can be computed from the eigenvalues. */
bool es_field_is_optional(es_field_t field);

/** Constant properties of a measured layer. */
typedef struct es_layer_info {
  char name[ES_NAME_MAX];
  char kind[16]; /**< "conv", "linear", "activations", ... */
  int32_t width;
  int64_t parameters, macs; /**< −1 when unknown */
  int32_t receptive_field;  /**< −1 when unknown */
  int32_t stride;           /**< −1 if there is one position, or if unknown */
  uint8_t border, output;
} es_layer_info_t;

/** Results of one point, complete or partial. */
typedef struct es_result es_result_t;

/** Shape of a point's result. Borrowed pointers. */
enum { ES_CONFUSION_MAX = 1 << 24 };
typedef struct es_result_shape {
  const es_point_t *point; /**< deltas, and epochs of training if `epochs` is NULL */
  const es_layer_info_t *layers;
  int n_layers;          /**< at least 1 */
  const int32_t *epochs; /**< ascending; NULL: 0 … E of the point */
  int n_epochs;
  int32_t n_classes; /**< for per-class results of probes, and for group recall unless activations come from files; 0
                        without labels */
  const int32_t *probe_epochs; /**< ascending */
  int n_probe_epochs;          /**< group probe; 0: none */
  const int32_t *steps;        /**< ascending */
  int64_t n_steps;             /**< group steps; 0: none */
  int64_t steps_of_epoch;      /**< training steps of an epoch; with `steps` */
  /** Add these groups; stability and geometry are always added. Group confusion is added with group recall if it has
   * at most ES_CONFUSION_MAX numbers (64 MiB): 10 classes for 100,000 epochs, 100 for 1,677, 1,000 for 15. */
  bool eigenspace, eigenvectors, projection, weights, classes, units, gradients;
} es_result_shape_t;

/** Allocates all fields of the groups as "not measured" and fills the layer fields from `shape`. ES_INPUT without
 * layers, ES_SYSTEM if out of memory.
 *
 * Memory: eigenvalues and principal angles are packed, each layer with its own width, so one wide layer does not
 * enlarge the others: 48 layers of width 768 and one of 30,000 need 1 MiB per epoch (2 splits), 2 MiB more with
 * eigenspaces. Eigenvectors need 4·Σ width² bytes per split and epoch (VGG16: 13 MiB), the confusion 8·K² per layer and
 * probe epoch (K = 1000, 17 layers: 130 MiB); writing needs the compressed size in addition. */
es_code_t es_result_create(es_result_t **out, const es_result_shape_t *shape, es_status_t *status);
void es_result_destroy(es_result_t *result);

/** True if the result has the fields of a group. */
bool es_result_has(const es_result_t *result, es_field_group_t group);
/** Length of a dimension; 0 for one that no field of the result uses. */
int64_t es_result_extent(const es_result_t *result, es_dimension_t dimension);
/** Data of a field, row-major over its dimensions; double *, float *, int32_t *, int64_t *, uint8_t * or const char **
 * by type. Fields with components are packed: a layer of width w has w components (and w features), without padding;
 * use es_result_at. NULL if the result lacks the field. Borrowed, writable. */
void *es_result_data(es_result_t *result, es_field_t field);
/** Number of elements at es_result_data, 0 if the result lacks the field. */
size_t es_result_size(const es_result_t *result, es_field_t field);
/** Address of one element of an existing field. `index` has one index per dimension, in order; indices of components
 * and features are below the layer's width. Elements along the last dimension are contiguous. */
void *es_result_at(es_result_t *result, es_field_t field, const int64_t *index);
/** Like es_result_at, for float64 fields of up to four dimensions; surplus indices are ignored. */
double *es_result_f64(es_result_t *result, es_field_t field, int64_t i0, int64_t i1, int64_t i2, int64_t i3);
/** Computes the quantities with lacking[field] = true from the eigenvalues, which the result must hold. */
void es_result_compute_quantities(es_result_t *result, const bool lacking[ES_FIELDS]);
/** The measured layer with this index. */
const es_layer_info_t *es_result_layer(const es_result_t *result, int layer);
/** The epoch at an index of the epoch axis. */
int32_t es_result_epoch(const es_result_t *result, int64_t index);
/** Index of an epoch on the axis of probe epochs, −1 if no probes are fitted in this epoch. */
int64_t es_result_probe_epoch_index(const es_result_t *result, int32_t epoch);
/** Changes the number of the last probe epoch, which must stay the largest: needed if training ends early. */
void es_result_move_last_probe_epoch(es_result_t *result, int32_t epoch);

/** Mean of the saturation over the layers of one split and epoch (both indices) at delta `delta` (an index), without
 * the output layer and layers with one of ES_FLAGS_EXCLUDED; NaN if no layer is left. */
double es_result_mean_saturation(const es_result_t *result, es_split_t split, int64_t epoch, int64_t delta);

/** Provenance of a result: name-value pairs that become root attributes. */
typedef struct es_provenance {
  const char *name, *value; /**< borrowed */
} es_provenance_t;

/** Content of a result file besides the fields. Borrowed pointers. */
typedef struct es_result_header {
  const es_point_t *point; /**< axes become root attributes; dots become underscores */
  const char *point_id;    /**< `point_id` */
  const char *job_name;    /**< `job_name` */
  const char *job;         /**< `job`: the resolved YAML */
  const char *outcome;     /**< "complete", "diverged" or "stopped" */
  const char *reason;      /**< "" if complete */
  int32_t stopped_at;      /**< `stopped_at_epoch`: epoch at which training ended early, or 0 */
  const char *train_mode;  /**< "training" (activations of the training passes), "inference", or
                                "recorded" (as another program ran the network) */
  const char *fingerprint; /**< `dataset_fingerprint` */
  const double *normalize_mean, *normalize_deviation; /**< 3 each: `normalize_mean`, `normalize_std` */
  const es_provenance_t *provenance;
  int n_provenance;
} es_result_header_t;

/** Path of a new result: <output>/points/<id>.h5, or <output>/points/<first two digits>/<id>.h5 in a grid of more than
 * ES_FLAT_POINTS points. `output` is at most ES_OUTPUT_MAX bytes (checked by es_plan_open). */
enum { ES_FLAT_POINTS = 1000, ES_OUTPUT_MAX = ES_PATH_MAX - 64 };
void es_result_path(char out[ES_PATH_MAX], const char *output, const char *id, int64_t n_points);
/** Finds the result of a point at either path, because the grid may have grown. Returns false, and the first path, if
 * there is no file. Returns true also for an inaccessible file, so that opening it reports the reason. */
bool es_result_find(char out[ES_PATH_MAX], const char *output, const char *id);

/** Writes a result file atomically (built in memory, then es_file_write_atomic). Valid netCDF-4; equal results give
 * equal bytes. Axes are attributes: integers int64, other numbers and every width float64, words as strings; the
 * attribute `axes` lists their names. ES_SYSTEM on failure, with HDF5's reason if HDF5 failed. */
es_code_t es_result_write(const char *path, es_result_t *result, const es_result_header_t *header, es_status_t *status);

/** Outcome of a point, from its result file. */
typedef enum es_outcome {
  ES_OUTCOME_MISSING,
  ES_OUTCOME_COMPLETE,
  ES_OUTCOME_DIVERGED,
  ES_OUTCOME_DAMAGED,
  ES_OUTCOME_UNREADABLE, /**< the machine failed to read the file, which may be sound (I/O error, no permission) */
  ES_OUTCOME_UNFIT,      /**< a sound file that is not of this job (es_results_compare in run.h) */
  ES_OUTCOME_STOPPED,    /**< a search has stopped the point early; its state is kept, and it can go on */
  ES_OUTCOMES
} es_outcome_t;
/** True if there is a sound result of this job. */
static inline bool es_outcome_is_sound(es_outcome_t outcome) {
  return outcome == ES_OUTCOME_COMPLETE || outcome == ES_OUTCOME_DIVERGED || outcome == ES_OUTCOME_STOPPED;
}
/** The instruction sets and libraries that computed the points of a sweep. Points of different kinds may differ in
 * their last bits. Start from {0}. */
enum { ES_KIND_SIZE = 192, ES_KINDS_MAX = 16 };
typedef struct es_kinds {
  int n;
  char name[ES_KINDS_MAX][ES_KIND_SIZE]; /**< the last of ES_KINDS_MAX is "others" */
  int64_t count[ES_KINDS_MAX];           /**< points of each kind */
} es_kinds_t;
/** Names a kind by the attributes `onednn` and `blas` of a result, "" if it lacks them. */
void es_kind_name(char out[ES_KIND_SIZE], const char *onednn, const char *blas);
/** Counts a point, and returns the index of its kind. */
int es_kinds_add(es_kinds_t *kinds, const char *name);
/** Appends a line with the number of points of each kind; nothing if there are fewer than two kinds. */
void es_kinds_print(const es_kinds_t *kinds, es_text_t *out);

typedef struct es_result_summary {
  es_outcome_t outcome;
  int32_t schema_version;
  char reason[512];
  char fingerprint[ES_ID_SIZE];
  char kind[ES_KIND_SIZE]; /**< es_kind_name */
  int32_t classes;         /**< the axis; 0 if the result has none (activations) */
  int32_t epochs;          /**< E */
  int32_t reached;       /**< the last finished epoch: E, or less if training diverged (0: none finished) or ended early
                            because the pattern was stable */
  double accuracy, loss; /**< eval split, last epoch with these values */
  double mean_saturation; /**< eval split (train if eval is not measured), headline delta (saturation.h), last measured
                             epoch, mean over layers without the output layer and flagged layers */
} es_result_summary_t;

/** Accuracy and saturation of a result over the epochs that it has finished. */
typedef struct es_curve {
  es_outcome_t outcome; /**< complete, diverged or stopped */
  int32_t epochs;       /**< E */
  int64_t n;
  int32_t *epoch;                /**< owned; n */
  double *accuracy, *saturation; /**< owned; n each: of the eval split, NaN if not measured; saturations as in
                                    es_result_summary_t */
} es_curve_t;
/** Reads the curve of a result file. ES_INPUT for a damaged file, ES_SYSTEM if the machine fails to read it. The caller
 * destroys *out in any case. */
es_code_t es_curve_read(es_curve_t *out, const char *path, es_status_t *status);
void es_curve_destroy(es_curve_t *curve);
/** The last number of `values` (accuracy or saturation of the curve) up to an epoch; NaN if there is none. */
double es_curve_at(const es_curve_t *curve, const double *values, int32_t epoch);

/** Reads attributes and the few numbers of the summary. A file that does not exist is ES_OUTCOME_MISSING; a file that
 * does not open or lacks required content is ES_OUTCOME_DAMAGED, one that the machine fails to read
 * ES_OUTCOME_UNREADABLE, with the reason. Never fails. */
void es_result_summarize(es_result_summary_t *out, const char *path);
/** As es_result_summarize, but neither reads nor checks the variables and attributes that the summary does not need, in
 * a quarter of the time. */
void es_result_glance(es_result_summary_t *out, const char *path);

typedef enum es_show_format { ES_SHOW_TABLE, ES_SHOW_CSV, ES_SHOW_JSON } es_show_format_t;

enum { ES_DELTA_ANY = 0 }; /**< no delta was asked for */

/** One measure of a result file. */
typedef struct es_show_measure {
  es_show_format_t format;
  const char *measure; /**< a variable over epochs and layers, a score of scores.h, balanced_accuracy or confusion; of
                          probes on other datasets "VARIABLE:DATASET" */
  double delta;        /**< ES_DELTA_ANY: the headline delta in tables, all in csv and json */
  const char *layer;   /**< pattern of the layers, or NULL. With a score or confusion: the probe of this layer instead
                          of the network */
} es_show_measure_t;
/** Appends one measure. Table: layers or classes by epochs, for each split; the confusion after the last epoch, above
 * 12 classes as the most frequent confusions. csv and json: a row for each number. ES_INPUT for a file that is no
 * result, and for a measure, a delta or a layer that it lacks; nothing is appended then. */
es_code_t es_result_show_measure(es_text_t *out, const char *path, const es_show_measure_t *what, es_status_t *status);

/** Appends the content of a result file. Table (100 columns): axes and outcome, then layers × measured epochs of
 * saturation for each measured split at one delta (beside it the accuracy of the last probes, below it the mean overlap
 * of eigenspaces), then loss and accuracy by epoch; epochs that do not fit are omitted evenly. csv and json: every
 * number except spectra and per-class numbers, one row per (split, epoch, layer, delta) for each split and epoch with
 * any number, one column per reference and projection; values not measured are empty cells or null (so are infinities
 * in json). json also has all root attributes. With `delta` ES_DELTA_ANY the table is at the headline delta and csv and
 * json have all; else everything is at that one. `layer` is a pattern (es_text_match) for the layers to show, without
 * their means; NULL for all. ES_INPUT for a file that is no result, or for a delta or a layer that it lacks, naming the
 * error; nothing is appended then. */
es_code_t es_result_show(es_text_t *out, const char *path, es_show_format_t format, double delta, const char *layer,
                         es_status_t *status);

/** The rows to show: arguments of es_result_show. `steps`: measurements after training steps instead of epochs (group
 * steps), one row per (step, layer, delta); ES_INPUT for a result without them. */
typedef struct es_show_rows {
  es_show_format_t format;
  double delta;
  const char *layer;
  bool steps;
} es_show_rows_t;
es_code_t es_result_show_rows(es_text_t *out, const char *path, const es_show_rows_t *rows, es_status_t *status);

#endif
