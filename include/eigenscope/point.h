/** A point: one cell of the grid, fully resolved. Its only pointers are borrowed from the job: the description of a
 * network, and those of other datasets for probes. A point's results are a pure function of this struct and of the data
 * it names (src/README.md, "The flow"). */
#ifndef EIGENSCOPE_POINT_H
#define EIGENSCOPE_POINT_H

#include "eigenscope/formats.h"
#include "eigenscope/precision.h"
#include "eigenscope/text.h"
#include <stdbool.h>
#include <stdint.h>

enum {
  ES_NAME_MAX = 64,
  ES_PATH_MAX = 1024,
  ES_ITEMS_MAX = 64, /**< entries of an architecture list */
  ES_DELTAS_MAX = 128,
  ES_PATTERNS_MAX = 16, /**< layer filters */
  ES_AXES_MAX = 16,
  ES_CLASSES_MAX = 1024,
  ES_EPOCHS_MAX = 256,
  ES_MILESTONES_MAX = 32,
  ES_L2_MAX = 16,             /**< strengths of regularisation on the path of a probe */
  ES_PROBE_DATASETS_MAX = 16, /**< other datasets on which probes are fitted */
  ES_STEPS_LISTED = 128,      /**< entries of a list of training steps */
  ES_RESOLUTION_MAX = 2048,   /**< height and width of images at the input of a network */
  ES_VARIABLE_MAX = 128,      /**< name of a variable in an HDF5 file */
  ES_ID_SIZE = 17             /**< 16 hexadecimal digits and the terminator */
};

typedef enum es_split { ES_TRAIN = 0, ES_EVAL = 1, ES_SPLITS = 2 } es_split_t;

/** Source of the activations. */
typedef enum es_source {
  ES_SOURCE_TRAIN,
  ES_SOURCE_CHECKPOINT,
  ES_SOURCE_ACTIVATIONS,
  ES_SOURCE_MOMENTS,
  ES_SOURCES
} es_source_t;
/** True if points of this source have a network and a dataset; else they are files of activations or moments. */
static inline bool es_source_has_network(es_source_t source) {
  return source == ES_SOURCE_TRAIN || source == ES_SOURCE_CHECKPOINT;
}

/** Some of the epochs of a point. */
typedef enum es_epochs_kind { ES_EPOCHS_NONE, ES_EPOCHS_LAST, ES_EPOCHS_ALL, ES_EPOCHS_LIST } es_epochs_kind_t;
typedef struct es_epochs {
  es_epochs_kind_t kind;
  int32_t n;
  int32_t list[ES_EPOCHS_MAX]; /**< ascending */
} es_epochs_t;

/** Precision in which weights of earlier results were trained: that of the point which measures them, or another. */
typedef enum es_trained_precision {
  ES_TRAINED_SAME,
  ES_TRAINED_FLOAT32,
  ES_TRAINED_BFLOAT16,
  ES_TRAINED_PRECISIONS
} es_trained_precision_t;

/** Weights, activations or moments from files of other programs or runs. */
typedef struct es_external {
  char file[ES_SPLITS][ES_PATH_MAX]; /**< absolute paths. Weights: only the first, with {axis} and {epoch}, or the
                                        folder of results that contains them. Activations: train and eval split ("" for
                                        none), with {epoch}. Moments: the same path, with {axis}, for each split that
                                        the file has; until es_moments_choose, only the first */
  bool from_results;                 /**< file[0] is a folder of results */
  char labels[ES_VARIABLE_MAX];      /**< activations: name of the labels in the file */
  es_epochs_t epochs;                /**< values of {epoch}; ES_EPOCHS_NONE without {epoch} */
  int32_t line;                      /**< line of the section in the job file */
  char trained[ES_ID_SIZE];          /**< from_results: id of the point that saved the weights (weights.h) */
  bool each;                         /**< from_results: one file per epoch (weights.h) */
  int32_t epoch;                     /**< epoch of a single weight file if known, else 0 */
  es_trained_precision_t precision;  /**< from_results: precision in which the weights were trained */
} es_external_t;

/** Number of epochs on the epoch axis, and the epoch at an index: the list, or without a list the epoch of the single
 * file (0 if unknown). epochs.h has these functions for any point. */
static inline int32_t es_external_epochs(const es_external_t *external) {
  return external->epochs.n > 0 ? external->epochs.n : 1;
}
static inline int32_t es_external_epoch(const es_external_t *external, int32_t index) {
  return external->epochs.n > 0 ? external->epochs.list[index] : external->epoch;
}
/** The file of the first split that has one. */
static inline const char *es_external_any(const es_external_t *external) {
  return external->file[external->file[ES_TRAIN][0] != '\0' ? ES_TRAIN : ES_EVAL];
}
/** True if the split has files. */
static inline bool es_external_has(const es_external_t *external, es_split_t split) {
  return external->file[split][0] != '\0';
}

/** Text of the axes width and classes if the job leaves them out and the shapes in weight files determine them. The
 * numerator of the width and the number of classes are 0 until the files are read. */
#define ES_AXIS_OF_FILES "auto"

/** An exact width multiplier in lowest terms; both numbers > 0. */
typedef struct es_ratio {
  int64_t numerator, denominator;
} es_ratio_t;

/** Channels times a ratio, rounded down. */
static inline int64_t es_ratio_scale(es_ratio_t ratio, int64_t channels) {
  return channels * ratio.numerator / ratio.denominator;
}
/** Reduces a ratio to lowest terms; 0/d becomes 0/1. */
static inline es_ratio_t es_ratio_reduce(es_ratio_t ratio) {
  int64_t a = ratio.numerator, b = ratio.denominator;
  for (int64_t rest; b != 0; a = b, b = rest) rest = a % b;
  return (es_ratio_t){ratio.numerator / a, ratio.denominator / a};
}
static inline double es_ratio_value(es_ratio_t ratio) {
  return (double)ratio.numerator / (double)ratio.denominator;
}

/** The label of a CIFAR-100 image that is used. */
typedef enum es_labels { ES_LABELS_FINE, ES_LABELS_COARSE } es_labels_t;
/** Variables of an HDF5 file for each split. */
typedef enum es_variable { ES_VARIABLE_IMAGES, ES_VARIABLE_LABELS, ES_VARIABLES } es_variable_t;
typedef enum es_fit { ES_FIT_RESIZE, ES_FIT_PAD, ES_FIT_PLACE, ES_FITS } es_fit_t;

/** Settings of the synthetic generator; data.h explains complexity. */
typedef struct es_synthetic {
  int32_t classes;    /**< 2 … ES_CLASSES_MAX */
  int32_t complexity; /**< ≥ 1 */
  int32_t size;       /**< height = width in pixels */
  int32_t channels;   /**< 1 or 3 */
  int64_t train, eval;
  int64_t seed;
} es_synthetic_t;

/** One entry of `datasets:`. */
typedef struct es_dataset_spec {
  char name[ES_NAME_MAX];
  es_format_t format;
  char path[ES_PATH_MAX]; /**< resolved: absolute, or relative to the working directory */
  es_labels_t labels;     /**< cifar100 */
  char variables[ES_SPLITS][ES_VARIABLES][ES_VARIABLE_MAX]; /**< hdf5: paths in the file; "" for the default */
  es_fit_t fit;
  int64_t limit[ES_SPLITS]; /**< 0 = no limit */
  bool normalize_given;
  double mean[3], deviation[3]; /**< on the 0 … 1 scale; used when normalize_given */
  es_synthetic_t synthetic;
  int32_t line; /**< line of the entry in the job file, 0 if unknown; never part of the id */
} es_dataset_spec_t;

/** Families of architectures: rows of the table in src/network/families.c. */
typedef enum es_family {
  ES_FAMILY_VGG,
  ES_FAMILY_MLP,
  ES_FAMILY_RESNET,            /**< basic blocks */
  ES_FAMILY_RESNET_BOTTLENECK, /**< bottleneck blocks */
  ES_FAMILY_MOBILENET,
  ES_FAMILY_DESCRIPTION, /**< items of the user's own (description.h) */
  ES_FAMILIES
} es_family_t;
typedef enum es_head { ES_HEAD_AUTHORS, ES_HEAD_TORCHVISION } es_head_t;
/** First layers of a network: for images of 32 x 32, or as in torchvision for images of 224 x 224. */
typedef enum es_stem { ES_STEM_CIFAR, ES_STEM_IMAGENET } es_stem_t;
/** A part of a network that is kept by default. */
typedef enum es_part { ES_PART_KEPT, ES_PART_LEFT_OUT } es_part_t;
enum { ES_ITEM_MAXPOOL = -1, ES_ITEM_AVGPOOL = -2 }; /**< "M" and "A" in a VGG list */

typedef struct es_description es_description_t;

/** An architecture, independent of width, classes and resolution. */
typedef struct es_model_spec {
  char name[ES_NAME_MAX];
  es_family_t family;
  es_head_t head;
  int32_t n_items;
  int32_t items[ES_ITEMS_MAX]; /**< at width 1. VGG: channels or ES_ITEM_*; MLP: hidden widths; ResNet: blocks of each
                                    stage; MobileNet: expansion, channels, blocks and stride of each stage */
  es_stem_t stem;              /**< ResNet, MobileNet */
  es_part_t skip;              /**< ResNet, MobileNet: skip connections with their downsampling branches */
  es_part_t batch_norm;        /**< VGG: after each convolution */
  const es_description_t *description; /**< borrowed from the job; ES_FAMILY_DESCRIPTION, else NULL */
} es_model_spec_t;

typedef enum es_switch { ES_OFF, ES_ON, ES_SWITCHES } es_switch_t;

typedef enum es_optimizer { ES_SGD, ES_ADAM, ES_ADAMW, ES_RADAM, ES_OPTIMIZERS } es_optimizer_t;
typedef enum es_schedule_kind {
  ES_SCHEDULE_NONE,
  ES_SCHEDULE_STEP,
  ES_SCHEDULE_COSINE,
  ES_SCHEDULE_MILESTONES,
  ES_SCHEDULE_PLATEAU
} es_schedule_kind_t;

/** The number of the eval split that schedule plateau follows: the loss must fall, or the accuracy must rise. */
typedef enum es_monitor { ES_MONITOR_LOSS, ES_MONITOR_ACCURACY, ES_MONITORS } es_monitor_t;

/** Settings of schedule plateau beside schedule_gamma (train.h). */
typedef struct es_plateau_settings {
  int32_t patience; /**< epochs without improvement before the learning rate falls */
  es_monitor_t monitor;
  double threshold; /**< smallest relative improvement */
  int32_t cooldown; /**< epochs after a change that do not count */
  double least;     /**< learning rate below which the schedule does not go */
} es_plateau_settings_t;

/** Ranges of a random rectangle: its share of the image's area, and its width over its height. */
typedef struct es_rectangle_settings {
  double scale[2], ratio[2];
} es_rectangle_settings_t;

/** Augmentation of train images (data.h), all off by default. */
typedef struct es_augment_settings {
  bool crop, flip, place, resized_crop, erase, cutout;
  es_rectangle_settings_t resized, erased; /**< of resized_crop and of erase */
  double erase_probability;
  int32_t cutout_size; /**< side in pixels; 0: half of the resolution */
} es_augment_settings_t;

/** Training ends early when the pattern of saturation is stable: its distance (stability.h) from the previous measured
 * epoch was below `distance` for `patience` measured epochs in a row. patience = 0: never. */
typedef struct es_stop_settings {
  double distance;
  int32_t patience;
} es_stop_settings_t;

typedef struct es_train_settings {
  int32_t epochs, batch, lanes;
  es_optimizer_t optimizer;
  double learning_rate, momentum, weight_decay;
  double beta1, beta2, epsilon; /**< Adam, AdamW and RAdam */
  es_schedule_kind_t schedule;
  int32_t schedule_step; /**< epochs between steps */
  double schedule_gamma;
  int32_t n_milestones, milestones[ES_MILESTONES_MAX]; /**< ascending */
  es_plateau_settings_t plateau;
  es_augment_settings_t augment;
  es_stop_settings_t stop_when_stable;
  es_precision_t precision;
  es_switch_t nesterov;   /**< of SGD */
  double label_smoothing; /**< of the loss of training; 0 … below 1 */
  double clip_norm;       /**< largest norm of the gradient; 0: any */
  int32_t warmup;         /**< epochs before the schedule begins, in which the learning rate rises */
  double warmup_start;    /**< factor of the learning rate in the first of these epochs */
} es_train_settings_t;

typedef enum es_method_kind {
  ES_METHOD_CHANNELWISE,
  ES_METHOD_MEAN,
  ES_METHOD_MAX,
  ES_METHOD_MEDIAN,
  ES_METHOD_FLATTEN,
  ES_METHOD_FIRST,
  ES_METHOD_LAST,
  ES_METHOD_POOL,
  ES_METHOD_NEAREST,
  ES_METHODS
} es_method_kind_t;
typedef enum es_convention {
  ES_CONVENTION_SMALLEST,
  ES_CONVENTION_PCA_LAYER,
  ES_CONVENTION_DELVE,
  ES_CONVENTIONS
} es_convention_t;
/** The requested eigensolver; spectrum.h explains auto. */
typedef enum es_solver_choice {
  ES_CHOOSE_AUTO,
  ES_CHOOSE_LAPACK,
  ES_CHOOSE_SCALAPACK,
  ES_CHOOSE_ELPA,
  ES_SOLVER_CHOICES
} es_solver_choice_t;
/** NO: nothing; YES: follow the leading eigenvectors over the epochs; STORE: also store them in the result. */
typedef enum es_eigenspace { ES_EIGENSPACE_NO, ES_EIGENSPACE_YES, ES_EIGENSPACE_STORE, ES_EIGENSPACES } es_eigenspace_t;
/** Kinds of nodes whose outputs can be measured. */
typedef enum es_layer_kind {
  ES_LAYER_CONV,
  ES_LAYER_LINEAR,
  ES_LAYER_BLOCK,
  ES_LAYER_ATTENTION,
  ES_LAYER_ACTIVATION,
  ES_LAYER_NORM,
  ES_LAYER_KINDS
} es_layer_kind_t;

/** Training steps after which the eval split is measured, also within epochs. A step is an update of the weights; step
 * 0 is the initial network. epochs.h lists the steps of a point. */
typedef enum es_steps_kind {
  ES_STEPS_NONE,
  ES_STEPS_LIST,
  ES_STEPS_LOG,
  ES_STEPS_EVERY,
  ES_STEPS_KINDS
} es_steps_kind_t;
typedef struct es_steps {
  es_steps_kind_t kind;
  int32_t n;                     /**< list: its entries; log: number of steps; every: steps between two measurements */
  int32_t list[ES_STEPS_LISTED]; /**< ascending */
  int64_t samples;               /**< number of eval samples, balanced as `limit`; 0 = all */
} es_steps_t;

typedef struct es_measure_settings {
  int32_t every;
  int32_t n_deltas;
  double delta[ES_DELTAS_MAX]; /**< ascending as given, each in (0, 1] */
  bool splits[ES_SPLITS];
  es_method_kind_t method;
  int32_t method_size; /**< k of pool and nearest */
  es_convention_t convention;
  int32_t n_layers;
  char layers[ES_PATTERNS_MAX][ES_NAME_MAX]; /**< patterns of layer names; a layer is measured if one matches */
  uint32_t kinds; /**< bit i: outputs of kind i are measured; 0: those of convolutions and linear layers */
  es_solver_choice_t solver;
  es_eigenspace_t eigenspace;
  es_switch_t projection; /**< measure accuracy with outputs projected onto their leading eigenspaces, at each delta */
  es_switch_t weights;    /**< compute numbers of the weight matrices (matrices.h) */
  es_switch_t similarity; /**< keep the features of a sample (features.h) */
  int32_t similarity_samples;
  es_switch_t classes; /**< compute class means, scatter and neural collapse (classes.h) */
  /** Compute shares of dead and dormant units of each measured layer. A unit is a channel of a map or of tokens, or a
   * feature; its outputs h are those of the activation behind the layer (es_graph_activation), or, for activations from
   * files, the numbers of the file. A unit is dead if h ≤ 0 at every position of every sample of the split, dormant if
   * mean |h| ≤ τ · mean of this over the layer's units (Sokar, Agarwal, Castro, Evci, arXiv 2302.12902,
   * definition 3.1). */
  es_switch_t units;
  double dormant; /**< τ */
  /** Compute norms of the gradient g of the mean loss with respect to the weights w of each measured layer. Over the T
   * steps of a measured epoch gradient_norm = √(1/T Σ ‖g‖²), gradient_ratio = √(1/T Σ ‖g‖²/‖w‖²); g is the gradient as
   * backward gives it, before weight decay, the optimizer's averages and clipping; w are the weights before the step.
   */
  es_switch_t gradients;
  es_steps_t steps;
} es_measure_settings_t;

/** True if outputs of this kind are measured. */
static inline bool es_measure_has_kind(const es_measure_settings_t *m, es_layer_kind_t kind) {
  const uint32_t kinds = m->kinds != 0 ? m->kinds : 1u << ES_LAYER_CONV | 1u << ES_LAYER_LINEAR;
  return (kinds >> kind & 1) != 0;
}
/** True if eigenvectors are needed. */
static inline bool es_measure_vectors(const es_measure_settings_t *m) {
  return m->eigenspace != ES_EIGENSPACE_NO || m->projection == ES_ON;
}
/** True if each row is the output at one position, so that outputs can be projected onto eigenspaces. */
static inline bool es_measure_positions(const es_measure_settings_t *m) {
  return m->method == ES_METHOD_CHANNELWISE || m->method == ES_METHOD_NEAREST;
}

/** True if a layer of this name is measured: it matches one of the patterns. */
static inline bool es_measure_takes(const es_measure_settings_t *m, const char *layer) {
  bool taken = false;
  for (int i = 0; i < m->n_layers; i++) taken = taken || es_text_match(m->layers[i], layer);
  return taken;
}

/** Another dataset on which probes are fitted and tested, with all of its classes (probe.datasets). */
typedef struct es_probe_dataset {
  const es_dataset_spec_t *spec; /**< borrowed from the job */
  int32_t classes;               /**< 0 until es_point_bind_probes, like the next members */
  int64_t samples[ES_SPLITS];    /**< after the limits of its description */
  int64_t images;                /**< bytes of its images and labels at the resolution of the point */
} es_probe_dataset_t;

/** Logistic-regression probes (probe.h). */
typedef struct es_probe_settings {
  es_epochs_t epochs;
  int32_t pool;           /**< outputs of convolutions are averaged to pool × pool positions */
  double l2;              /**< 1/C of scikit-learn; with a path, that of the path is used */
  int64_t samples;        /**< number of train samples for the fit, balanced as `limit`; 0 = all */
  double tail;            /**< the last layers that add less accuracy than this are the tail */
  int32_t memory;         /**< most MiB of features per rank; does not change results */
  double gap;             /**< largest relative distance to the optimum of a converged fit */
  int32_t n_path;         /**< 0: one fit with l2; else the number of strengths among which a held-out part chooses */
  double path[ES_L2_MAX]; /**< ascending */
  int32_t n_datasets;     /**< other datasets on which probes are fitted, too */
  es_probe_dataset_t datasets[ES_PROBE_DATASETS_MAX];
} es_probe_settings_t;

/** Number of other datasets that are used: none without probes. */
static inline int32_t es_probe_others(const es_probe_settings_t *probe) {
  return probe->epochs.kind != ES_EPOCHS_NONE ? probe->n_datasets : 0;
}

typedef enum es_keep { ES_KEEP_NONE, ES_KEEP_LAST, ES_KEEP_ALL, ES_KEEPS } es_keep_t;

typedef struct es_checkpoint_settings {
  int32_t every; /**< epochs between saves */
  es_keep_t keep;
} es_checkpoint_settings_t;

/** Name and value of one axis, as in result files and tables. */
typedef struct es_axis_value {
  char name[ES_NAME_MAX]; /**< "width", "train.learning_rate", ... */
  char text[ES_NAME_MAX]; /**< as in the job file: "1/16", "all", "vgg11" */
  bool is_number, is_whole;
  int64_t
      whole; /**< if is_whole: the number, exact (a double rounds integers above 2^53); classes: the resolved count */
  double number; /**< if is_number */
} es_axis_value_t;

/** Sets a number that is an integer. */
static inline void es_axis_set_whole(es_axis_value_t *axis, int64_t whole) {
  axis->is_number = axis->is_whole = true;
  axis->whole = whole;
  axis->number = (double)whole;
}
/** Sets another number; every width is one, also 1. */
static inline void es_axis_set_real(es_axis_value_t *axis, double number) {
  axis->is_number = true;
  axis->is_whole = false;
  axis->number = number;
}

typedef struct es_point {
  es_source_t source;
  es_dataset_spec_t dataset;
  es_model_spec_t model;
  es_ratio_t width;
  int32_t classes; /**< 0 = all, until es_point_bind sets the dataset's count; also 0 = ES_AXIS_OF_FILES */
  int32_t resolution;
  int64_t seed;
  es_train_settings_t train;
  es_measure_settings_t measure;
  es_probe_settings_t probe;
  es_checkpoint_settings_t checkpoint;
  es_external_t external; /**< sources other than train */
  int32_t n_axes;         /**< dataset, model, width, classes, resolution, seed, then those of the job. Moments: only
                             those of the job, which are labels unless they start with measure. or probe. */
  es_axis_value_t axes[ES_AXES_MAX];
  int32_t line_model, line_width, line_classes, line_resolution; /**< in the job file, for messages */
} es_point_t;

/** Precision in which the point's weights are or were trained. */
static inline es_precision_t es_point_trained_precision(const es_point_t *point) {
  const es_trained_precision_t trained = point->external.precision;
  return trained == ES_TRAINED_SAME ? point->train.precision : trained == ES_TRAINED_FLOAT32 ? ES_FLOAT32 : ES_BFLOAT16;
}

#endif
