#include "schema.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The one table: everything that is made from the schema (result in memory, HDF5 file, checks when reading, csv and
 * json, state files, merged files, documentation) is made from these rows. A new variable is one row here and one name
 * in es_field_t; a new quantity of the spectrum is one row in saturation.h instead. */

#define DIMENSIONS1(a)             .rank = 1, .dimensions = {ES_DIM_##a}
#define DIMENSIONS2(a, b)          .rank = 2, .dimensions = {ES_DIM_##a, ES_DIM_##b}
#define DIMENSIONS3(a, b, c)       .rank = 3, .dimensions = {ES_DIM_##a, ES_DIM_##b, ES_DIM_##c}
#define DIMENSIONS4(a, b, c, d)    .rank = 4, .dimensions = {ES_DIM_##a, ES_DIM_##b, ES_DIM_##c, ES_DIM_##d}
#define DIMENSIONS5(a, b, c, d, e) .rank = 5, .dimensions = {ES_DIM_##a, ES_DIM_##b, ES_DIM_##c, ES_DIM_##d, ES_DIM_##e}

#define CORE         .group = ES_GROUP_CORE
#define RECALL       .group = ES_GROUP_RECALL
#define PROBE        .group = ES_GROUP_PROBE
#define EIGENSPACE   .group = ES_GROUP_EIGENSPACE
#define EIGENVECTORS .group = ES_GROUP_EIGENVECTORS
#define PROJECTION   .group = ES_GROUP_PROJECTION
#define STABILITY    .group = ES_GROUP_STABILITY
#define GEOMETRY     .group = ES_GROUP_GEOMETRY

#define LAYER                       DIMENSIONS1(LAYER)
#define EPOCH                       DIMENSIONS1(EPOCH)
#define SPLIT_EPOCH                 DIMENSIONS2(SPLIT, EPOCH)
#define SPLIT_EPOCH_LAYER           DIMENSIONS3(SPLIT, EPOCH, LAYER)
#define SPLIT_EPOCH_LAYER_DELTA     DIMENSIONS4(SPLIT, EPOCH, LAYER, DELTA)
#define SPLIT_EPOCH_LAYER_COMPONENT DIMENSIONS4(SPLIT, EPOCH, LAYER, COMPONENT)
#define PROBE_LAYER                 DIMENSIONS2(PROBE_EPOCH, LAYER)
#define REFERENCE_SPLIT_EPOCH_DELTA DIMENSIONS4(REFERENCE, SPLIT, EPOCH, DELTA)

#define QUANTITY(id, name, long_name, ...)                                                                             \
  [ES_FIELD_##id] = {#name, long_name, "1", ES_TYPE_F64, CORE, SPLIT_EPOCH_LAYER},

static const es_field_info_t FIELDS[ES_FIELDS] = {
    [ES_FIELD_LAYER_KIND] = {"layer_kind", "kind of the layer", "1", ES_TYPE_STRING, CORE, LAYER},
    [ES_FIELD_LAYER_WIDTH] = {"layer_width", "features of the layer that are measured", "1", ES_TYPE_I32, CORE, LAYER},
    [ES_FIELD_LAYER_PARAMETERS] = {"layer_parameters", "trainable parameters of the layer", "1", ES_TYPE_I64, CORE,
                                   LAYER},
    [ES_FIELD_LAYER_MACS] = {"layer_macs", "multiply-adds of the layer for one sample, forward", "1", ES_TYPE_I64, CORE,
                             LAYER},
    [ES_FIELD_LAYER_RECEPTIVE_FIELD] = {"layer_receptive_field", "side of the receptive field on the input", "pixel",
                                        ES_TYPE_I32, CORE, LAYER},
    [ES_FIELD_LAYER_BORDER] = {"layer_border", "first layer whose receptive field exceeds the input", "1", ES_TYPE_U8,
                               CORE, LAYER, .flag_meanings = "no yes"},
    [ES_FIELD_LAYER_OUTPUT] = {"layer_output", "output layer, left out of means over layers", "1", ES_TYPE_U8, CORE,
                               LAYER, .flag_meanings = "no yes"},
    [ES_FIELD_LOSS] = {"loss", "mean cross-entropy, natural logarithm", "1", ES_TYPE_F64, CORE, SPLIT_EPOCH},
    [ES_FIELD_ACCURACY] = {"accuracy", "share of samples that are classified correctly", "1", ES_TYPE_F64, CORE,
                           SPLIT_EPOCH},
    [ES_FIELD_TOP5_ACCURACY] = {"top5_accuracy", "share of samples whose class is among the five most probable", "1",
                                ES_TYPE_F64, CORE, SPLIT_EPOCH},
    [ES_FIELD_MCC] = {"mcc", "Matthews correlation coefficient over all classes", "1", ES_TYPE_F64, CORE, SPLIT_EPOCH},
    [ES_FIELD_LEARNING_RATE] = {"learning_rate", "learning rate of the optimizer", "1", ES_TYPE_F64, CORE, EPOCH},
    [ES_FIELD_SECONDS] = {"seconds", "wall-clock time that the epoch took", "s", ES_TYPE_F64, CORE, EPOCH},
    [ES_FIELD_SAMPLES] = {"samples", "rows of the data matrix: samples, times positions where each is a row", "1",
                          ES_TYPE_I64, CORE, SPLIT_EPOCH_LAYER},
    [ES_FIELD_SOLVER] = {"solver", "eigensolver that ran", "1", ES_TYPE_U8, CORE, SPLIT_EPOCH_LAYER,
                         .flag_meanings = "none lapack scalapack elpa"},
    [ES_FIELD_FLAGS] = {"flags", "what makes a measurement no ordinary number", "1", ES_TYPE_U8, CORE,
                        SPLIT_EPOCH_LAYER, .flag_meanings = "dead undersampled nonfinite fallback", .flag_bits = true},
    [ES_FIELD_INTRINSIC_DIMENSION] = {"intrinsic_dimension",
                                      "components needed to explain the share delta of the variance", "1", ES_TYPE_I32,
                                      CORE, SPLIT_EPOCH_LAYER_DELTA},
    [ES_FIELD_SATURATION] = {"saturation", "intrinsic dimension over the layer's width", "1", ES_TYPE_F64, CORE,
                             SPLIT_EPOCH_LAYER_DELTA},
    [ES_FIELD_EIGENVALUES] = {"eigenvalues", "eigenvalues of the covariance, descending", "1", ES_TYPE_F64, CORE,
                              SPLIT_EPOCH_LAYER_COMPONENT},
    [ES_FIELD_RECALL] = {"recall", "share of the samples of a class that are classified correctly", "1", ES_TYPE_F64,
                         RECALL, DIMENSIONS3(SPLIT, EPOCH, CLASS)},
    [ES_FIELD_LAYER_TAIL] = {"layer_tail", "trailing layer that adds almost no accuracy of probes", "1", ES_TYPE_U8,
                             PROBE, LAYER, .flag_meanings = "no yes", .unmeasured = 255},
    [ES_FIELD_PROBE_ACCURACY] = {"probe_accuracy", "accuracy of a logistic regression on the output of the layer", "1",
                                 ES_TYPE_F64, PROBE, DIMENSIONS3(SPLIT, PROBE_EPOCH, LAYER)},
    [ES_FIELD_PROBE_OBJECTIVE] = {"probe_objective", "sum of the losses of the probe and its penalty, where it ended",
                                  "1", ES_TYPE_F64, PROBE, PROBE_LAYER},
    [ES_FIELD_PROBE_GRADIENT_NORM] = {"probe_gradient_norm", "norm of the gradient of the objective, where it ended",
                                      "1", ES_TYPE_F64, PROBE, PROBE_LAYER},
    [ES_FIELD_PROBE_ITERATIONS] = {"probe_iterations", "iterations of the fit", "1", ES_TYPE_I32, PROBE, PROBE_LAYER},
    [ES_FIELD_PROBE_CONVERGED] = {"probe_converged", "whether the fit met its tolerance", "1", ES_TYPE_U8, PROBE,
                                  PROBE_LAYER, .flag_meanings = "no yes", .unmeasured = 255},
    [ES_FIELD_PROBE_CONFUSION] = {"probe_confusion", "samples of the eval split by label and prediction of the probe",
                                  "1", ES_TYPE_I64, PROBE, DIMENSIONS4(PROBE_EPOCH, LAYER, CLASS, PREDICTED_CLASS)},
    [ES_FIELD_PROBE_RECALL] = {"probe_recall", "share of a class of the eval split that the probe classifies correctly",
                               "1", ES_TYPE_F64, PROBE, DIMENSIONS3(PROBE_EPOCH, LAYER, CLASS)},
    [ES_FIELD_EIGENSPACE_OVERLAP] = {"eigenspace_overlap",
                                     "overlap of the leading eigenspace with that of the reference", "1", ES_TYPE_F64,
                                     EIGENSPACE, DIMENSIONS5(REFERENCE, SPLIT, EPOCH, LAYER, DELTA)},
    [ES_FIELD_PRINCIPAL_ANGLES] =
        {"principal_angles",
         "principal angles to the leading eigenspace of the reference, ascending, at the first delta", "radian",
         ES_TYPE_F64, EIGENSPACE, DIMENSIONS5(REFERENCE, SPLIT, EPOCH, LAYER, COMPONENT)},
    [ES_FIELD_EIGENVECTORS] = {"eigenvectors", "eigenvectors of the covariance, in the order of the eigenvalues", "1",
                               ES_TYPE_F32, EIGENVECTORS, DIMENSIONS5(SPLIT, EPOCH, LAYER, COMPONENT, FEATURE)},
    [ES_FIELD_PROJECTED_ACCURACY] =
        {"projected_accuracy",
         "accuracy on the eval split after the last epoch, outputs projected onto eigenspaces of the "
         "train split, or of the eval split if that alone is measured",
         "1", ES_TYPE_F64, PROJECTION, DIMENSIONS3(PROJECTION, LAYER_OR_ALL, DELTA)},
    [ES_FIELD_STABILITY_DISTANCE] = {"stability_distance",
                                     "distance of the saturations of all layers to those of the reference", "1",
                                     ES_TYPE_F64, STABILITY, REFERENCE_SPLIT_EPOCH_DELTA},
    [ES_FIELD_STABILITY_PEARSON] = {"stability_pearson",
                                    "linear correlation of the saturations of all layers with those of the reference",
                                    "1", ES_TYPE_F64, STABILITY, REFERENCE_SPLIT_EPOCH_DELTA},
    [ES_FIELD_STABILITY_SPEARMAN] = {"stability_spearman",
                                     "rank correlation of the saturations of all layers with those of the reference",
                                     "1", ES_TYPE_F64, STABILITY, REFERENCE_SPLIT_EPOCH_DELTA},
    [ES_FIELD_LAYER_STRIDE] = {"layer_stride", "distance on the input of neighbouring positions of the output", "pixel",
                               ES_TYPE_I32, GEOMETRY, LAYER},
    ES_QUANTITY_ROWS(QUANTITY)};

/* More than `most` is damage: memory is not asked for on its word. */
enum { EPOCHS_MAX = 100000, COMPONENTS_MAX = 1 << 28, CLASSES_MAX = 1 << 16 };

static const es_dimension_info_t DIMENSION[ES_DIMENSIONS] = {
    [ES_DIM_SPLIT] = {"split", "part of the data", ES_TYPE_STRING, ES_SPLITS, "train eval"},
    [ES_DIM_EPOCH] = {"epoch", "epochs of training so far, 0 as initialised", ES_TYPE_I32, EPOCHS_MAX, NULL},
    [ES_DIM_LAYER] = {"layer", "measured layer, in forward order", ES_TYPE_STRING, ES_LAYERS_MAX, NULL},
    [ES_DIM_DELTA] = {"delta", "share of the variance to be explained", ES_TYPE_F64, ES_DELTAS_MAX, NULL},
    [ES_DIM_COMPONENT] = {"component", "index of the eigenvalue, 0 for the largest", ES_TYPE_I32, COMPONENTS_MAX, NULL},
    [ES_DIM_CLASS] = {"class", "label", ES_TYPE_I32, CLASSES_MAX, NULL},
    [ES_DIM_PREDICTED_CLASS] = {"predicted_class", "label that was predicted", ES_TYPE_I32, CLASSES_MAX, NULL},
    [ES_DIM_PROBE_EPOCH] = {"probe_epoch", "epoch after which probes were fitted", ES_TYPE_I32, EPOCHS_MAX, NULL},
    [ES_DIM_REFERENCE] = {"reference", "measured epoch that is compared with: the one before, or the last",
                          ES_TYPE_STRING, ES_REFERENCES, "previous last"},
    [ES_DIM_PROJECTION] = {"projection", "what outputs are projected onto: leading eigenvectors, or random directions",
                           ES_TYPE_STRING, ES_PROJECTIONS, "eigenspace random"},
    [ES_DIM_LAYER_OR_ALL] = {"layer_or_all", "layer whose output is projected, or all layers at once", ES_TYPE_STRING,
                             ES_LAYERS_MAX + 1, NULL},
    [ES_DIM_FEATURE] = {"feature", "index of the feature within the layer", ES_TYPE_I32, COMPONENTS_MAX, NULL},
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
  return dimension == ES_DIM_EPOCH || dimension == ES_DIM_PROBE_EPOCH || dimension == ES_DIM_DELTA;
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
