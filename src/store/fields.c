#include "schema.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The one table of the schema. Every consumer uses these rows: the result in memory, the HDF5 file, the checks when
 * reading, csv and json, state files, merged files, documentation. A new variable is one row here and one name in
 * es_field_t; a new quantity of the spectrum is one row in saturation.h instead. */

#define DIMENSIONS1(a)             .rank = 1, .dimensions = {ES_DIM_##a}
#define DIMENSIONS2(a, b)          .rank = 2, .dimensions = {ES_DIM_##a, ES_DIM_##b}
#define DIMENSIONS3(a, b, c)       .rank = 3, .dimensions = {ES_DIM_##a, ES_DIM_##b, ES_DIM_##c}
#define DIMENSIONS4(a, b, c, d)    .rank = 4, .dimensions = {ES_DIM_##a, ES_DIM_##b, ES_DIM_##c, ES_DIM_##d}
#define DIMENSIONS5(a, b, c, d, e) .rank = 5, .dimensions = {ES_DIM_##a, ES_DIM_##b, ES_DIM_##c, ES_DIM_##d, ES_DIM_##e}

#define LAYER                       DIMENSIONS1(LAYER)
#define EPOCH                       DIMENSIONS1(EPOCH)
#define SPLIT_EPOCH                 DIMENSIONS2(SPLIT, EPOCH)
#define SPLIT_EPOCH_LAYER           DIMENSIONS3(SPLIT, EPOCH, LAYER)
#define SPLIT_EPOCH_LAYER_DELTA     DIMENSIONS4(SPLIT, EPOCH, LAYER, DELTA)
#define SPLIT_EPOCH_LAYER_COMPONENT DIMENSIONS4(SPLIT, EPOCH, LAYER, COMPONENT)
#define PROBE_LAYER                 DIMENSIONS2(PROBE_EPOCH, LAYER)
#define PROBE_DATASET_LAYER         DIMENSIONS3(PROBE_DATASET, PROBE_EPOCH, LAYER)
#define EPOCH_LAYER                 DIMENSIONS2(EPOCH, LAYER)
#define REFERENCE_SPLIT_EPOCH_DELTA DIMENSIONS4(REFERENCE, SPLIT, EPOCH, DELTA)

#define FIELD(id, name, group, type, units, long_name, ...)                                                            \
  [ES_FIELD_##id] = {name, long_name, units, ES_TYPE_##type, ES_GROUP_##group, __VA_ARGS__}
#define QUANTITY(id, name, long_name, ...) FIELD(id, #name, CORE, F64, "1", long_name, SPLIT_EPOCH_LAYER),

#define WEIGHTS(id, name, long_name)                                                                                   \
  FIELD(WEIGHTS_##id, "weights_" #name, WEIGHTS, F64, "1", long_name ", of the weights of the layer", EPOCH_LAYER),

#define CLASSES(id, name, long_name) FIELD(id, #name, CLASSES, F64, "1", long_name, SPLIT_EPOCH_LAYER),

static const es_field_info_t FIELDS[ES_FIELDS] = {
    FIELD(LAYER_KIND, "layer_kind", CORE, STRING, "1", "kind of the layer", LAYER),
    FIELD(LAYER_WIDTH, "layer_width", CORE, I32, "1", "number of features of the layer that are measured", LAYER),
    FIELD(LAYER_PARAMETERS, "layer_parameters", CORE, I64, "1", "trainable parameters of the layer", LAYER),
    FIELD(LAYER_MACS, "layer_macs", CORE, I64, "1", "multiply-adds of the layer in the forward pass of one sample",
          LAYER),
    FIELD(LAYER_RECEPTIVE_FIELD, "layer_receptive_field", CORE, I32, "pixel",
          "side length of the receptive field on the input", LAYER),
    /* Must differ from the long_name in older files, by which older.c recognises them. */
    FIELD(LAYER_BORDER, "layer_border", CORE, U8, "1", "first layer whose input sees the whole image", LAYER,
          .flag_meanings = "no yes"),
    FIELD(LAYER_OUTPUT, "layer_output", CORE, U8, "1", "output layer; means over layers leave it out", LAYER,
          .flag_meanings = "no yes"),
    FIELD(LOSS, "loss", CORE, F64, "1", "mean cross-entropy, natural logarithm", SPLIT_EPOCH),
    FIELD(ACCURACY, "accuracy", CORE, F64, "1", "share of samples that are classified correctly", SPLIT_EPOCH),
    FIELD(TOP5_ACCURACY, "top5_accuracy", CORE, F64, "1",
          "share of samples whose class is among the five most probable", SPLIT_EPOCH),
    FIELD(MCC, "mcc", CORE, F64, "1", "Matthews correlation coefficient over all classes", SPLIT_EPOCH),
    FIELD(LEARNING_RATE, "learning_rate", CORE, F64, "1", "learning rate of the optimizer", EPOCH),
    FIELD(SECONDS, "seconds", CORE, F64, "s", "wall-clock time of the epoch", EPOCH),
    FIELD(SAMPLES, "samples", CORE, I64, "1",
          "rows of the data matrix: samples, or samples times positions if each position is a row", SPLIT_EPOCH_LAYER),
    FIELD(SOLVER, "solver", CORE, U8, "1", "eigensolver that was used", SPLIT_EPOCH_LAYER,
          .flag_meanings = "none lapack scalapack elpa"),
    FIELD(FLAGS, "flags", CORE, U8, "1", "reasons why a measurement is not an ordinary number", SPLIT_EPOCH_LAYER,
          .flag_meanings = "dead undersampled nonfinite fallback unsolved rounding", .flag_bits = true),
    FIELD(INTRINSIC_DIMENSION, "intrinsic_dimension", CORE, I32, "1",
          "linear PCA dimension: number of principal components that explain the share delta of the variance",
          SPLIT_EPOCH_LAYER_DELTA),
    FIELD(SATURATION, "saturation", CORE, F64, "1", "intrinsic dimension divided by the width of the layer",
          SPLIT_EPOCH_LAYER_DELTA),
    FIELD(EIGENVALUES, "eigenvalues", CORE, F64, "1", "eigenvalues of the covariance, descending",
          SPLIT_EPOCH_LAYER_COMPONENT),
    FIELD(RECALL, "recall", RECALL, F64, "1", "share of the samples of a class that are classified correctly",
          DIMENSIONS3(SPLIT, EPOCH, CLASS)),
    FIELD(LAYER_TAIL, "layer_tail", PROBE, U8, "1",
          "layer of the tail: the last layers, which hardly increase the accuracy of probes", LAYER,
          .flag_meanings = "no yes", .unmeasured = 255),
    FIELD(PROBE_ACCURACY, "probe_accuracy", PROBE, F64, "1",
          "accuracy of a logistic regression on the output of the layer", DIMENSIONS3(SPLIT, PROBE_EPOCH, LAYER)),
    FIELD(PROBE_OBJECTIVE, "probe_objective", PROBE, F64, "1",
          "objective at the end of the fit: sum of the losses of the probe, plus the penalty", PROBE_LAYER),
    FIELD(PROBE_GRADIENT_NORM, "probe_gradient_norm", PROBE, F64, "1",
          "norm of the gradient of the objective at the end of the fit", PROBE_LAYER),
    FIELD(PROBE_ITERATIONS, "probe_iterations", PROBE, I32, "1", "iterations of the fit", PROBE_LAYER),
    FIELD(PROBE_CONVERGED, "probe_converged", PROBE, U8, "1", "fit that reached the tolerance", PROBE_LAYER,
          .flag_meanings = "no yes", .unmeasured = 255),
    FIELD(PROBE_CONFUSION, "probe_confusion", PROBE, I64, "1",
          "number of samples of the eval split with this label and this prediction of the probe",
          DIMENSIONS4(PROBE_EPOCH, LAYER, CLASS, PREDICTED_CLASS)),
    FIELD(PROBE_RECALL, "probe_recall", PROBE, F64, "1",
          "share of a class of the eval split that the probe classifies correctly",
          DIMENSIONS3(PROBE_EPOCH, LAYER, CLASS)),
    FIELD(EIGENSPACE_OVERLAP, "eigenspace_overlap", EIGENSPACE, F64, "1",
          "overlap of the leading eigenspace with the leading eigenspace at the reference epoch",
          DIMENSIONS5(REFERENCE, SPLIT, EPOCH, LAYER, DELTA)),
    FIELD(PRINCIPAL_ANGLES, "principal_angles", EIGENSPACE, F64, "radian",
          "principal angles to the leading eigenspace at the reference epoch, ascending, at the first delta",
          DIMENSIONS5(REFERENCE, SPLIT, EPOCH, LAYER, COMPONENT)),
    FIELD(EIGENVECTORS, "eigenvectors", EIGENVECTORS, F32, "1",
          "eigenvectors of the covariance, in the order of the eigenvalues",
          DIMENSIONS5(SPLIT, EPOCH, LAYER, COMPONENT, FEATURE)),
    FIELD(PROJECTED_ACCURACY, "projected_accuracy", PROJECTION, F64, "1",
          "accuracy on the eval split after the last epoch with outputs projected onto eigenspaces of the train split, "
          "or of the eval split if only this split is measured",
          DIMENSIONS3(PROJECTION, LAYER_OR_ALL, DELTA)),
    FIELD(STABILITY_DISTANCE, "stability_distance", STABILITY, F64, "1",
          "distance between the saturations of the hidden layers and those at the reference epoch",
          REFERENCE_SPLIT_EPOCH_DELTA),
    FIELD(STABILITY_PEARSON, "stability_pearson", STABILITY, F64, "1",
          "linear correlation of the saturations of the hidden layers with those at the reference epoch",
          REFERENCE_SPLIT_EPOCH_DELTA),
    FIELD(STABILITY_SPEARMAN, "stability_spearman", STABILITY, F64, "1",
          "rank correlation of the saturations of the hidden layers with those at the reference epoch",
          REFERENCE_SPLIT_EPOCH_DELTA),
    FIELD(LAYER_STRIDE, "layer_stride", GEOMETRY, I32, "pixel",
          "distance on the input between neighbouring positions of the output", LAYER),
    FIELD(CLASS_SAMPLES, "class_samples", RECALL, I32, "1", "number of samples of the class",
          DIMENSIONS3(SPLIT, EPOCH, CLASS)),
    FIELD(CLASS_PREDICTIONS, "class_predictions", RECALL, I32, "1", "number of samples that are taken for the class",
          DIMENSIONS3(SPLIT, EPOCH, CLASS)),
    FIELD(CONFUSION, "confusion", CONFUSION, I32, "1",
          "number of samples of the eval split with this label and this prediction of the network",
          DIMENSIONS3(EPOCH, CLASS, PREDICTED_CLASS)),
    FIELD(DEAD_UNITS, "dead_units", UNITS, F64, "1",
          "share of the units that are never positive behind their activation", SPLIT_EPOCH_LAYER),
    FIELD(DORMANT_UNITS, "dormant_units", UNITS, F64, "1",
          "share of the units whose mean absolute output is at most measure.dormant times the mean over the units",
          SPLIT_EPOCH_LAYER),
    FIELD(GRADIENT_NORM, "gradient_norm", GRADIENTS, F64, "1",
          "norm of the gradient of the layer's weights, root mean square over the steps of the epoch", EPOCH_LAYER),
    FIELD(GRADIENT_RATIO, "gradient_ratio", GRADIENTS, F64, "1",
          "norm of the gradient over the norm of the weights, root mean square over the steps of the epoch",
          EPOCH_LAYER),
    ES_QUANTITY_ROWS(QUANTITY) ES_MATRIX_ROWS(WEIGHTS) ES_CLASS_ROWS(CLASSES)
        FIELD(STEP_EPOCH, "step_epoch", STEPS, F64, "1", "epochs trained at the step", DIMENSIONS1(STEP)),
    FIELD(STEP_LOSS, "step_loss", STEPS, F64, "1",
          "mean cross-entropy on the eval split after the step, natural logarithm", DIMENSIONS1(STEP)),
    FIELD(STEP_ACCURACY, "step_accuracy", STEPS, F64, "1",
          "share of samples of the eval split that are classified correctly after the step", DIMENSIONS1(STEP)),
    FIELD(STEP_FLAGS, "step_flags", STEPS, U8, "1",
          "reasons why a measurement after the step is not an ordinary number", DIMENSIONS2(STEP, LAYER),
          .flag_meanings = "dead undersampled nonfinite fallback unsolved rounding", .flag_bits = true),
    FIELD(STEP_SATURATION, "step_saturation", STEPS, F64, "1", "saturation on the eval split after the step",
          DIMENSIONS3(STEP, LAYER, DELTA)),
    FIELD(STEP_EIGENVALUES, "step_eigenvalues", STEPS, F64, "1",
          "eigenvalues of the covariance on the eval split after the step, descending",
          DIMENSIONS3(STEP, LAYER, COMPONENT)),
    FIELD(PROBE_L2, "probe_l2", PROBE_PATH, F64, "1", "strength of the regularisation of the probe", PROBE_LAYER),
    FIELD(PROBE_PATH_ACCURACY, "probe_path_accuracy", PROBE_PATH, F64, "1",
          "accuracy of a probe of this strength on the training samples that are held out",
          DIMENSIONS3(L2, PROBE_EPOCH, LAYER)),
    FIELD(PROBE_PATH_CONVERGED, "probe_path_converged", PROBE_PATH, U8, "1",
          "fit of a probe of this strength without these samples that reached the tolerance",
          DIMENSIONS3(L2, PROBE_EPOCH, LAYER), .flag_meanings = "no yes", .unmeasured = 255),
    FIELD(PROBE_DATASET_CLASSES, "probe_dataset_classes", PROBE_DATASETS, I32, "1",
          "number of classes of the other dataset", DIMENSIONS1(PROBE_DATASET)),
    FIELD(PROBE_DATASET_ACCURACY, "probe_dataset_accuracy", PROBE_DATASETS, F64, "1",
          "accuracy of a logistic regression on the output of the layer, on another dataset than that of the network",
          DIMENSIONS4(PROBE_DATASET, SPLIT, PROBE_EPOCH, LAYER)),
    FIELD(PROBE_DATASET_OBJECTIVE, "probe_dataset_objective", PROBE_DATASETS, F64, "1",
          "objective at the end of the fit to the other dataset: sum of the losses of the probe, plus the penalty",
          PROBE_DATASET_LAYER),
    FIELD(PROBE_DATASET_GRADIENT_NORM, "probe_dataset_gradient_norm", PROBE_DATASETS, F64, "1",
          "norm of the gradient of the objective at the end of the fit to the other dataset", PROBE_DATASET_LAYER),
    FIELD(PROBE_DATASET_ITERATIONS, "probe_dataset_iterations", PROBE_DATASETS, I32, "1",
          "iterations of the fit to the other dataset", PROBE_DATASET_LAYER),
    FIELD(PROBE_DATASET_CONVERGED, "probe_dataset_converged", PROBE_DATASETS, U8, "1",
          "fit to the other dataset that reached the tolerance", PROBE_DATASET_LAYER, .flag_meanings = "no yes",
          .unmeasured = 255),
    FIELD(PROBE_DATASET_L2, "probe_dataset_l2", PROBE_DATASETS_PATH, F64, "1",
          "strength of the regularisation of the probe of the other dataset", PROBE_DATASET_LAYER)};

/* Larger extents count as damage, so that a damaged file cannot make us allocate too much. */
enum {
  EPOCHS_MAX = 100000,
  LAYERS_MAX = 1 << 24,
  COMPONENTS_MAX = 1 << 28,
  CLASSES_MAX = 1 << 16,
  STEPS_MAX = 1 << 20
};

static const es_dimension_info_t DIMENSION[ES_DIMENSIONS] = {
    [ES_DIM_SPLIT] = {"split", "part of the data", ES_TYPE_STRING, ES_SPLITS, "train eval"},
    [ES_DIM_EPOCH] = {"epoch", "number of epochs trained; 0 is the initial network", ES_TYPE_I32, EPOCHS_MAX, NULL},
    [ES_DIM_LAYER] = {"layer", "measured layer, in forward order", ES_TYPE_STRING, LAYERS_MAX, NULL},
    [ES_DIM_DELTA] = {"delta", "share of the variance to explain", ES_TYPE_F64, ES_DELTAS_MAX, NULL},
    [ES_DIM_COMPONENT] = {"component", "index of the eigenvalue, 0 for the largest", ES_TYPE_I32, COMPONENTS_MAX, NULL},
    [ES_DIM_CLASS] = {"class", "label", ES_TYPE_I32, CLASSES_MAX, NULL},
    [ES_DIM_PREDICTED_CLASS] = {"predicted_class", "label that was predicted", ES_TYPE_I32, CLASSES_MAX, NULL},
    [ES_DIM_PROBE_EPOCH] = {"probe_epoch", "epoch after which probes were fitted", ES_TYPE_I32, EPOCHS_MAX, NULL},
    [ES_DIM_REFERENCE] = {"reference", "epoch of the comparison: the measured epoch before, or the last one",
                          ES_TYPE_STRING, ES_REFERENCES, "previous last"},
    [ES_DIM_PROJECTION] = {"projection",
                           "directions onto which outputs are projected: leading eigenvectors, or random directions",
                           ES_TYPE_STRING, ES_PROJECTIONS, "eigenspace random"},
    [ES_DIM_LAYER_OR_ALL] = {"layer_or_all", "layer whose output is projected, or all layers at once", ES_TYPE_STRING,
                             LAYERS_MAX + 1, NULL},
    [ES_DIM_FEATURE] = {"feature", "index of the feature within the layer", ES_TYPE_I32, COMPONENTS_MAX, NULL},
    [ES_DIM_STEP] = {"step", "number of training steps; 0 is the initial network", ES_TYPE_I32, STEPS_MAX, NULL},
    [ES_DIM_L2] = {"l2", "strength of the regularisation of a probe", ES_TYPE_F64, ES_L2_MAX, NULL},
    [ES_DIM_PROBE_DATASET] = {"probe_dataset", "other dataset on which probes were fitted and tested", ES_TYPE_STRING,
                              ES_PROBE_DATASETS_MAX, NULL},
};

const es_field_info_t *es_field_info(es_field_t field) {
  assert((unsigned)field < ES_FIELDS);
  return &FIELDS[field];
}

es_field_t es_field_of_quantity(es_quantity_t quantity) {
  assert((unsigned)quantity < ES_QUANTITIES);
  return (es_field_t)(ES_FIELD_SAMPLES + 1 + (int)quantity);
}

bool es_field_is_quantity(es_field_t field) {
  return field > ES_FIELD_SAMPLES && field <= ES_FIELD_SAMPLES + ES_QUANTITIES;
}

bool es_field_is_optional(es_field_t field) {
  return field > ES_FIELD_LAYER_STRIDE || es_field_is_quantity(field);
}

size_t es_type_size(es_type_t type) {
  static const size_t sizes[ES_TYPES] = {
      [ES_TYPE_F64] = sizeof(double),  [ES_TYPE_F32] = sizeof(float),  [ES_TYPE_I32] = sizeof(int32_t),
      [ES_TYPE_I64] = sizeof(int64_t), [ES_TYPE_U8] = sizeof(uint8_t), [ES_TYPE_STRING] = sizeof(const char *),
  };
  return sizes[type];
}

hid_t es_type_in_file(es_type_t type) {
  const hid_t types[ES_TYPES] = {[ES_TYPE_F64] = H5T_IEEE_F64LE,
                                 [ES_TYPE_F32] = H5T_IEEE_F32LE,
                                 [ES_TYPE_I32] = H5T_STD_I32LE,
                                 [ES_TYPE_I64] = H5T_STD_I64LE,
                                 [ES_TYPE_U8] = H5T_STD_U8LE};
  return types[type];
}

hid_t es_type_in_memory(es_type_t type) {
  const hid_t types[ES_TYPES] = {[ES_TYPE_F64] = H5T_NATIVE_DOUBLE,
                                 [ES_TYPE_F32] = H5T_NATIVE_FLOAT,
                                 [ES_TYPE_I32] = H5T_NATIVE_INT32,
                                 [ES_TYPE_I64] = H5T_NATIVE_INT64,
                                 [ES_TYPE_U8] = H5T_NATIVE_UINT8};
  return types[type];
}

const es_dimension_info_t *es_dimension_info(es_dimension_t dimension) {
  assert((unsigned)dimension < ES_DIMENSIONS);
  return &DIMENSION[dimension];
}

bool es_dimension_has_values(es_dimension_t dimension) {
  return dimension == ES_DIM_EPOCH || dimension == ES_DIM_PROBE_EPOCH || dimension == ES_DIM_DELTA ||
         dimension == ES_DIM_STEP || dimension == ES_DIM_L2;
}

const char *es_split_name(int split) {
  return split == ES_TRAIN ? "train" : "eval";
}

const char *es_dimension_word(es_dimension_t dimension, int64_t index, char out[ES_NAME_MAX]) {
  const char *word = es_dimension_info(dimension)->words;
  for (int64_t i = 0; i < index; i++) word += strcspn(word, " ") + 1;
  snprintf(out, ES_NAME_MAX, "%.*s", (int)strcspn(word, " "), word);
  return out;
}

bool es_field_has(es_field_t field, es_dimension_t dimension) {
  const es_field_info_t *info = es_field_info(field);
  for (int i = 0; i < info->rank; i++) {
    if (info->dimensions[i] == dimension) return true;
  }
  return false;
}

bool es_field_is_packed(es_field_t field) {
  return es_field_has(field, ES_DIM_COMPONENT);
}

bool es_field_can_be_missing(es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  if (info->type == ES_TYPE_STRING) return false;
  if (info->type == ES_TYPE_U8) return info->unmeasured != 0;
  return info->rank > 1 || info->dimensions[0] != ES_DIM_LAYER || info->group != ES_GROUP_CORE;
}

bool es_dimension_is_used(es_dimension_t dimension, const bool groups[ES_FIELD_GROUPS]) {
  if (dimension <= ES_DIM_COMPONENT) return true;
  for (int i = 0; i < ES_FIELDS; i++) {
    if (groups[es_field_info((es_field_t)i)->group] && es_field_has((es_field_t)i, dimension)) return true;
  }
  return false;
}
