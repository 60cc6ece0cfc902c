/* A small result of all groups for the tests of the store: 3 epochs (0 unmeasured in the train split), 3 layers, 2
 * deltas, 4 classes, probes after epochs 0 and 2, also on 2 other datasets, 5 measured steps. */
#ifndef ES_TEST_UNIT_STORE_EXAMPLE_H
#define ES_TEST_UNIT_STORE_EXAMPLE_H

#include "eigenscope/store.h"
#include "support/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  EXAMPLE_EPOCHS = 3,
  EXAMPLE_LAYERS = 3,
  EXAMPLE_DELTAS = 2,
  EXAMPLE_COMPONENTS = 8,
  EXAMPLE_CLASSES = 4,
  EXAMPLE_PROBES = 2,
  EXAMPLE_STEPS = 5,
  EXAMPLE_STRENGTHS = 3,
  EXAMPLE_DATASETS = 2
};

static const es_layer_info_t EXAMPLE_LAYER[EXAMPLE_LAYERS] = {
    {.name = "features.0",
     .kind = "conv",
     .width = 4,
     .parameters = 112,
     .macs = 27648,
     .receptive_field = 3,
     .stride = 1},
    {.name = "features.4",
     .kind = "conv",
     .width = 8,
     .parameters = 296,
     .macs = INT64_C(5000000000),
     .receptive_field = 8,
     .stride = 2,
     .border = 1},
    {.name = "classifier.6", .kind = "linear", .width = 3, .parameters = 51, .macs = 48, .stride = -1, .output = 1},
};

static const char *const EXAMPLE_DIMENSION[ES_DIMENSIONS] = {
    "split",     "epoch",      "layer",        "delta",   "component", "class", "predicted_class", "probe_epoch",
    "reference", "projection", "layer_or_all", "feature", "step",      "l2",    "probe_dataset"};
static const int64_t EXAMPLE_EXTENT[ES_DIMENSIONS] = {2,
                                                      EXAMPLE_EPOCHS,
                                                      EXAMPLE_LAYERS,
                                                      EXAMPLE_DELTAS,
                                                      EXAMPLE_COMPONENTS,
                                                      EXAMPLE_CLASSES,
                                                      EXAMPLE_CLASSES,
                                                      EXAMPLE_PROBES,
                                                      2,
                                                      2,
                                                      EXAMPLE_LAYERS + 1,
                                                      EXAMPLE_COMPONENTS,
                                                      EXAMPLE_STEPS,
                                                      EXAMPLE_STRENGTHS,
                                                      EXAMPLE_DATASETS};

static inline void example_axis(es_point_t *point, const char *name, const char *text, double number) {
  es_axis_value_t *axis = &point->axes[point->n_axes++];
  snprintf(axis->name, sizeof axis->name, "%s", name);
  snprintf(axis->text, sizeof axis->text, "%s", text);
  int64_t whole = (int64_t)number;
  if (number >= 0 && strcmp(name, "width") != 0 && (es_text_to_int(text, &whole) || number == (double)whole))
    es_axis_set_whole(axis, whole);
  else if (number >= 0)
    es_axis_set_real(axis, number);
}

static inline const es_point_t *example_point(void) {
  static es_point_t point;
  point = (es_point_t){.train = {.epochs = EXAMPLE_EPOCHS - 1},
                       .measure = {.n_deltas = EXAMPLE_DELTAS, .delta = {0.9, 0.99}},
                       .model = {.name = "vgg11"}};
  example_axis(&point, "dataset", "toy", -1);
  example_axis(&point, "model", "vgg11", -1);
  example_axis(&point, "width", "1", 1);
  example_axis(&point, "classes", "all", 3);
  example_axis(&point, "resolution", "16", 16);
  example_axis(&point, "seed", "9007199254740993", 0x1p53);
  example_axis(&point, "train.learning_rate", "0.05", 0.05);
  return &point;
}

/* Shape of a point without probes and eigenspaces, with the given number of the example's layers. */
static inline es_result_shape_t example_plain_shape(int n_layers) {
  return (es_result_shape_t){.point = example_point(), .layers = EXAMPLE_LAYER, .n_layers = n_layers};
}

/* Shape with all groups. */
static inline es_result_shape_t example_shape(void) {
  static const int32_t probe_epochs[EXAMPLE_PROBES] = {0, 2}, steps[EXAMPLE_STEPS] = {0, 1, 2, 7, 20};
  es_result_shape_t shape = example_plain_shape(EXAMPLE_LAYERS);
  static es_point_t point; /* with a path of probes, and other datasets */
  static const es_dataset_spec_t datasets[EXAMPLE_DATASETS] = {{.name = "cifar10"}, {.name = "noise-2"}};
  point = *shape.point;
  point.probe.n_datasets = EXAMPLE_DATASETS;
  for (int i = 0; i < EXAMPLE_DATASETS; i++)
    point.probe.datasets[i] = (es_probe_dataset_t){.spec = &datasets[i], .classes = 10 + i};
  point.probe.n_path = EXAMPLE_STRENGTHS;
  memcpy(point.probe.path, (const double[EXAMPLE_STRENGTHS]){0.1, 1, 10}, EXAMPLE_STRENGTHS * sizeof(double));
  shape.point = &point;
  shape.n_classes = EXAMPLE_CLASSES;
  shape.probe_epochs = probe_epochs;
  shape.n_probe_epochs = EXAMPLE_PROBES;
  shape.steps = steps;
  shape.n_steps = EXAMPLE_STEPS;
  shape.steps_of_epoch = 10;
  shape.eigenspace = shape.eigenvectors = shape.projection = shape.weights = shape.classes = shape.units =
      shape.gradients = true;
  return shape;
}

static inline es_result_t *example_plain_result(void) {
  es_result_t *result;
  const es_result_shape_t shape = example_plain_shape(EXAMPLE_LAYERS);
  assert_ok(es_result_create(&result, &shape, fresh()));
  return result;
}

static inline size_t example_type_size(es_type_t type) {
  return type == ES_TYPE_U8 ? 1 : type == ES_TYPE_I32 || type == ES_TYPE_F32 ? 4 : 8;
}

/* Every number differs from its neighbours, so that a mixed-up index shows. */
static inline void example_fill(es_result_t *result) {
  for (int field = ES_FIELD_LOSS; field < ES_FIELDS; field++) {
    void *data = es_result_data(result, (es_field_t)field);
    for (size_t i = 0; i < es_result_size(result, (es_field_t)field); i++) {
      switch (es_field_info((es_field_t)field)->type) {
      case ES_TYPE_F64:
        ((double *)data)[i] = 1.0 / (double)(i + 2);
        break;
      case ES_TYPE_F32:
        ((float *)data)[i] = 1.0F / (float)(i + 3);
        break;
      case ES_TYPE_I32:
        ((int32_t *)data)[i] = (int32_t)i;
        break;
      case ES_TYPE_I64:
        ((int64_t *)data)[i] = INT64_C(10000000000) + (int64_t)i;
        break;
      default:
        ((uint8_t *)data)[i] = field == ES_FIELD_SOLVER;
      }
    }
  }
}

/* The example with its numbers; epoch 0 of the train split and its spectra stay unmeasured. */
static inline es_result_t *example_result(void) {
  es_result_t *result, *blank;
  const es_result_shape_t shape = example_shape();
  assert_ok(es_result_create(&result, &shape, fresh()));
  assert_ok(es_result_create(&blank, &shape, fresh()));
  example_fill(result);
  for (int i = ES_FIELD_LOSS; i < ES_FIELDS; i++) {
    const es_field_info_t *info = es_field_info((es_field_t)i);
    if (info->dimensions[0] != ES_DIM_SPLIT || info->dimensions[1] != ES_DIM_EPOCH) continue;
    size_t size = example_type_size(info->type);
    size_t block = es_result_size(result, (es_field_t)i) / (ES_SPLITS * EXAMPLE_EPOCHS) * size;
    memcpy(es_result_data(result, (es_field_t)i), es_result_data(blank, (es_field_t)i), block);
  }
  es_result_destroy(blank);
  return result;
}

static inline es_result_header_t example_header(void) {
  static const double mean[3] = {0.1, 0.2, 0.3}, deviation[3] = {1, 2, 0.5};
  static const es_provenance_t provenance[] = {{"version", "0.1.0"}, {"ranks", "2"}};
  return (es_result_header_t){.point = example_point(),
                              .point_id = "0123456789abcdef",
                              .job_name = "t\xc3\xa9st",
                              .job = "name: t\ngrid: {dataset: toy}\n",
                              .outcome = "complete",
                              .reason = "",
                              .train_mode = "training",
                              .fingerprint = "fedcba9876543210",
                              .normalize_mean = mean,
                              .normalize_deviation = deviation,
                              .provenance = provenance,
                              .n_provenance = 2};
}

/* Writes the example to `path`. */
static inline void example_write(const char *path) {
  es_result_t *result = example_result();
  es_result_header_t header = example_header();
  assert_ok(es_result_write(path, result, &header, fresh()));
  es_result_destroy(result);
}

#endif
