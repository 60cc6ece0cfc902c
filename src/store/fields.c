#include "schema.h"
#include <assert.h>

/* The one table: everything that is made from the schema (result in memory, HDF5 file, checks when reading, csv and
 * json, state files, documentation) is made from these rows. A new variable is one row here and one name in es_field_t.
 */

#define LAYER                   .rank = 1, .dimensions = {ES_DIM_LAYER}
#define EPOCH                   .rank = 1, .dimensions = {ES_DIM_EPOCH}
#define SPLIT_EPOCH             .rank = 2, .dimensions = {ES_DIM_SPLIT, ES_DIM_EPOCH}
#define SPLIT_EPOCH_LAYER       .rank = 3, .dimensions = {ES_DIM_SPLIT, ES_DIM_EPOCH, ES_DIM_LAYER}
#define SPLIT_EPOCH_LAYER_DELTA .rank = 4, .dimensions = {ES_DIM_SPLIT, ES_DIM_EPOCH, ES_DIM_LAYER, ES_DIM_DELTA}
#define SPLIT_EPOCH_LAYER_COMPONENT                                                                                    \
  .rank = 4, .dimensions = {ES_DIM_SPLIT, ES_DIM_EPOCH, ES_DIM_LAYER, ES_DIM_COMPONENT}

static const es_field_info_t FIELDS[ES_FIELDS] = {
    [ES_FIELD_LAYER_KIND] = {"layer_kind", "kind of the layer", "1", ES_TYPE_STRING, LAYER},
    [ES_FIELD_LAYER_WIDTH] = {"layer_width", "features of the layer that are measured", "1", ES_TYPE_I32, LAYER},
    [ES_FIELD_LAYER_PARAMETERS] = {"layer_parameters", "trainable parameters of the layer", "1", ES_TYPE_I64, LAYER},
    [ES_FIELD_LAYER_MACS] = {"layer_macs", "multiply-adds of the layer for one sample, forward", "1", ES_TYPE_I64,
                             LAYER},
    [ES_FIELD_LAYER_RECEPTIVE_FIELD] = {"layer_receptive_field", "side of the receptive field on the input", "pixel",
                                        ES_TYPE_I32, LAYER},
    [ES_FIELD_LAYER_BORDER] = {"layer_border", "first layer whose receptive field exceeds the input", "1", ES_TYPE_U8,
                               LAYER, .flag_meanings = "no yes"},
    [ES_FIELD_LAYER_OUTPUT] = {"layer_output", "output layer, left out of means over layers", "1", ES_TYPE_U8, LAYER,
                               .flag_meanings = "no yes"},
    [ES_FIELD_LOSS] = {"loss", "mean cross-entropy, natural logarithm", "1", ES_TYPE_F64, SPLIT_EPOCH},
    [ES_FIELD_ACCURACY] = {"accuracy", "share of samples that are classified correctly", "1", ES_TYPE_F64, SPLIT_EPOCH},
    [ES_FIELD_TOP5_ACCURACY] = {"top5_accuracy", "share of samples whose class is among the five most probable", "1",
                                ES_TYPE_F64, SPLIT_EPOCH},
    [ES_FIELD_MCC] = {"mcc", "Matthews correlation coefficient over all classes", "1", ES_TYPE_F64, SPLIT_EPOCH},
    [ES_FIELD_LEARNING_RATE] = {"learning_rate", "learning rate of the optimizer", "1", ES_TYPE_F64, EPOCH},
    [ES_FIELD_SECONDS] = {"seconds", "wall-clock time that the epoch took", "s", ES_TYPE_F64, EPOCH},
    [ES_FIELD_SAMPLES] = {"samples", "rows of the data matrix: samples, times positions where each is a row", "1",
                          ES_TYPE_I64, SPLIT_EPOCH_LAYER},
    [ES_FIELD_TRACE] = {"trace", "total variance of the layer: trace of the covariance", "1", ES_TYPE_F64,
                        SPLIT_EPOCH_LAYER},
    [ES_FIELD_EFFECTIVE_RANK] = {"effective_rank", "exponential of the entropy of the eigenvalues' shares", "1",
                                 ES_TYPE_F64, SPLIT_EPOCH_LAYER},
    [ES_FIELD_PARTICIPATION_RATIO] = {"participation_ratio",
                                      "squared sum of the eigenvalues over the sum of their squares", "1", ES_TYPE_F64,
                                      SPLIT_EPOCH_LAYER},
    [ES_FIELD_FIRST_COMPONENT_SHARE] = {"first_component_share", "share of the variance along the first component", "1",
                                        ES_TYPE_F64, SPLIT_EPOCH_LAYER},
    [ES_FIELD_SOLVER] = {"solver", "eigensolver that ran", "1", ES_TYPE_U8, SPLIT_EPOCH_LAYER,
                         .flag_meanings = "none lapack scalapack"},
    [ES_FIELD_FLAGS] = {"flags", "what makes a measurement no ordinary number", "1", ES_TYPE_U8, SPLIT_EPOCH_LAYER,
                        .flag_meanings = "dead undersampled nonfinite", .flag_bits = true},
    [ES_FIELD_INTRINSIC_DIMENSION] = {"intrinsic_dimension",
                                      "components needed to explain the share delta of the variance", "1", ES_TYPE_I32,
                                      SPLIT_EPOCH_LAYER_DELTA},
    [ES_FIELD_SATURATION] = {"saturation", "intrinsic dimension over the layer's width", "1", ES_TYPE_F64,
                             SPLIT_EPOCH_LAYER_DELTA},
    [ES_FIELD_EIGENVALUES] = {"eigenvalues", "eigenvalues of the covariance, descending", "1", ES_TYPE_F64,
                              SPLIT_EPOCH_LAYER_COMPONENT},
};

static const dimension_info_t DIMENSION[ES_DIMENSIONS] = {
    [ES_DIM_SPLIT] = {"split", "part of the data", "1", ES_TYPE_STRING},
    [ES_DIM_EPOCH] = {"epoch", "epochs of training so far, 0 as initialised", "1", ES_TYPE_I32},
    [ES_DIM_LAYER] = {"layer", "measured layer, in forward order", "1", ES_TYPE_STRING},
    [ES_DIM_DELTA] = {"delta", "share of the variance to be explained", "1", ES_TYPE_F64},
    [ES_DIM_COMPONENT] = {"component", "index of the eigenvalue, 0 for the largest", "1", ES_TYPE_I32},
};

const es_field_info_t *es_field_info(es_field_t field) {
  assert((unsigned)field < ES_FIELDS);
  return &FIELDS[field];
}

const dimension_info_t *dimension_info(es_dimension_t dimension) {
  assert((unsigned)dimension < ES_DIMENSIONS);
  return &DIMENSION[dimension];
}

const char *split_name(int split) {
  return split == ES_TRAIN ? "train" : "eval";
}

bool field_has(es_field_t field, es_dimension_t dimension) {
  const es_field_info_t *info = es_field_info(field);
  for (int i = 0; i < info->rank; i++) {
    if (info->dimensions[i] == dimension) return true;
  }
  return false;
}
