#include "result.h"
#include "eigenscope/file.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void fill_unmeasured(void *data, const es_field_info_t *info, size_t count) {
  switch (info->type) {
  case ES_TYPE_F64:
    for (size_t i = 0; i < count; i++) ((double *)data)[i] = NAN;
    break;
  case ES_TYPE_F32:
    for (size_t i = 0; i < count; i++) ((float *)data)[i] = NAN;
    break;
  case ES_TYPE_STRING:
    for (size_t i = 0; i < count; i++) ((const char **)data)[i] = "";
    break;
  case ES_TYPE_I32:
  case ES_TYPE_I64:
    memset(data, 0xff, count * es_type_size(info->type)); /* −1 */
    break;
  default:
    memset(data, info->unmeasured, count);
  }
}

/* Number of elements of a packed field, summed over all layers. */
static size_t packed_total(const es_result_t *result, es_field_t field) {
  const size_t *starts = es_field_has(field, ES_DIM_FEATURE) ? result->squares : result->widths;
  return starts[result->extent[ES_DIM_LAYER]];
}

/* Counts the elements of a field. False if the product overflows. */
static bool count_elements(const es_result_t *result, es_field_t field, size_t *count) {
  const es_field_info_t *info = es_field_info(field);
  bool packed = es_field_is_packed(field);
  *count = packed ? packed_total(result, field) : 1;
  for (int i = 0; i < info->rank && !(packed && info->dimensions[i] == ES_DIM_LAYER); i++) {
    if (__builtin_mul_overflow(*count, (size_t)result->extent[info->dimensions[i]], count)) return false;
  }
  return true;
}

bool es_result_allocate_field(es_result_t *result, es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  size_t count;
  if (!count_elements(result, field, &count)) return false;
  result->data[field] = es_allocate(count, es_type_size(info->type));
  if (result->data[field] == NULL) return false;
  fill_unmeasured(result->data[field], info, count);
  return true;
}

es_result_t *es_result_allocate(const int64_t extent[ES_DIMENSIONS], const bool groups[ES_FIELD_GROUPS]) {
  es_result_t *result = es_allocate_zero(1, sizeof *result);
  if (result == NULL) return NULL;
  const size_t n_layers = (size_t)extent[ES_DIM_LAYER];
  memcpy(result->extent, extent, sizeof result->extent);
  memcpy(result->groups, groups, sizeof result->groups);
  es_owned_t *m = &result->memory;
  result->epoch = es_owned_allocate_zero(m, (size_t)extent[ES_DIM_EPOCH], sizeof *result->epoch);
  result->probe_epoch = es_owned_allocate_zero(m, (size_t)extent[ES_DIM_PROBE_EPOCH], sizeof *result->probe_epoch);
  result->step = es_owned_allocate_zero(m, (size_t)extent[ES_DIM_STEP], sizeof *result->step);
  result->layers = es_owned_allocate_zero(m, n_layers, sizeof *result->layers);
  result->widths = es_owned_allocate_zero(m, n_layers + 1, sizeof *result->widths);
  result->squares = es_owned_allocate_zero(m, n_layers + 1, sizeof *result->squares);
  if (!m->failed) return result;
  es_result_destroy(result);
  return NULL;
}

void es_result_count_widths(es_result_t *result) {
  for (int64_t i = 0; i < result->extent[ES_DIM_LAYER]; i++) {
    const size_t width = (size_t)result->layers[i].width;
    result->widths[i + 1] = result->widths[i] + width;
    result->squares[i + 1] = result->squares[i] + width * width;
  }
}

static void fill_layers(es_result_t *result) {
  const es_layer_info_t *layers = result->layers;
  for (int64_t i = 0; i < result->extent[ES_DIM_LAYER]; i++) {
    ((const char **)result->data[ES_FIELD_LAYER_KIND])[i] = layers[i].kind;
    ((int32_t *)result->data[ES_FIELD_LAYER_WIDTH])[i] = layers[i].width;
    ((int64_t *)result->data[ES_FIELD_LAYER_PARAMETERS])[i] = layers[i].parameters;
    ((int64_t *)result->data[ES_FIELD_LAYER_MACS])[i] = layers[i].macs;
    ((int32_t *)result->data[ES_FIELD_LAYER_RECEPTIVE_FIELD])[i] = layers[i].receptive_field;
    ((int32_t *)result->data[ES_FIELD_LAYER_STRIDE])[i] = layers[i].stride;
    ((uint8_t *)result->data[ES_FIELD_LAYER_BORDER])[i] = layers[i].border;
    ((uint8_t *)result->data[ES_FIELD_LAYER_OUTPUT])[i] = layers[i].output;
  }
}

static void choose_extents(const es_result_shape_t *shape, const bool groups[ES_FIELD_GROUPS],
                           int64_t extent[ES_DIMENSIONS]) {
  int32_t widest = 0;
  for (int i = 0; i < shape->n_layers; i++) {
    assert(shape->layers[i].width >= 1);
    if (shape->layers[i].width > widest) widest = shape->layers[i].width;
  }
  const int64_t all[ES_DIMENSIONS] = {
      [ES_DIM_SPLIT] = ES_SPLITS,
      [ES_DIM_EPOCH] = shape->epochs != NULL ? shape->n_epochs : shape->point->train.epochs + (int64_t)1,
      [ES_DIM_LAYER] = shape->n_layers,
      [ES_DIM_DELTA] = shape->point->measure.n_deltas,
      [ES_DIM_COMPONENT] = widest,
      [ES_DIM_CLASS] = shape->n_classes,
      [ES_DIM_PREDICTED_CLASS] = shape->n_classes,
      [ES_DIM_PROBE_EPOCH] = shape->n_probe_epochs,
      [ES_DIM_REFERENCE] = ES_REFERENCES,
      [ES_DIM_PROJECTION] = ES_PROJECTIONS,
      [ES_DIM_LAYER_OR_ALL] = shape->n_layers + (int64_t)1,
      [ES_DIM_FEATURE] = widest,
      [ES_DIM_STEP] = shape->n_steps,
      [ES_DIM_L2] = shape->point->probe.n_path,
      [ES_DIM_PROBE_DATASET] = shape->point->probe.n_datasets,
  };
  for (int i = 0; i < ES_DIMENSIONS; i++) {
    extent[i] = es_dimension_is_used((es_dimension_t)i, groups) ? all[i] : 0;
    assert(extent[i] >= (es_dimension_is_used((es_dimension_t)i, groups) ? 1 : 0));
  }
}

static void fill_coordinates(es_result_t *result, const es_result_shape_t *shape) {
  for (int32_t i = 0; i < result->extent[ES_DIM_EPOCH]; i++) {
    result->epoch[i] = shape->epochs != NULL ? shape->epochs[i] : i;
    assert(i == 0 || result->epoch[i] > result->epoch[i - 1]);
  }
  for (int i = 0; i < shape->n_probe_epochs; i++) {
    result->probe_epoch[i] = shape->probe_epochs[i];
    assert(i == 0 || result->probe_epoch[i] > result->probe_epoch[i - 1]);
  }
  for (int64_t i = 0; i < shape->n_steps; i++) {
    result->step[i] = shape->steps[i];
    assert(i == 0 || result->step[i] > result->step[i - 1]);
  }
  memcpy(result->layers, shape->layers, (size_t)shape->n_layers * sizeof *result->layers);
  memcpy(result->delta, shape->point->measure.delta, (size_t)shape->point->measure.n_deltas * sizeof *result->delta);
  memcpy(result->l2, shape->point->probe.path, sizeof result->l2);
  for (int i = 0; i < shape->point->probe.n_datasets; i++)
    memcpy(result->probe_dataset[i], shape->point->probe.datasets[i].spec->name, ES_NAME_MAX);
  es_result_count_widths(result);
}

/* Per-class numbers of the network. */
static bool has_recall(const es_result_shape_t *shape) {
  return shape->n_classes > 0 && es_source_has_network(shape->point->source);
}

static bool has_confusion(const es_result_shape_t *shape) {
  const int64_t epochs = shape->epochs != NULL ? shape->n_epochs : shape->point->train.epochs + (int64_t)1;
  return has_recall(shape) && epochs * shape->n_classes * shape->n_classes <= ES_CONFUSION_MAX;
}

es_code_t es_result_create(es_result_t **out, const es_result_shape_t *shape, es_status_t *status) {
  int64_t extent[ES_DIMENSIONS];
  const es_probe_settings_t *probe = &shape->point->probe;
  const bool path = shape->n_probe_epochs > 0 && probe->n_path > 0;
  const bool others = shape->n_probe_epochs > 0 && probe->n_datasets > 0;
  const bool groups[ES_FIELD_GROUPS] = {[ES_GROUP_CORE] = true,
                                        [ES_GROUP_RECALL] = has_recall(shape),
                                        [ES_GROUP_CONFUSION] = has_confusion(shape),
                                        [ES_GROUP_PROBE] = shape->n_probe_epochs > 0,
                                        [ES_GROUP_EIGENSPACE] = shape->eigenspace,
                                        [ES_GROUP_EIGENVECTORS] = shape->eigenvectors,
                                        [ES_GROUP_PROJECTION] = shape->projection,
                                        [ES_GROUP_STABILITY] = true,
                                        [ES_GROUP_GEOMETRY] = true,
                                        [ES_GROUP_WEIGHTS] = shape->weights,
                                        [ES_GROUP_CLASSES] = shape->classes,
                                        [ES_GROUP_UNITS] = shape->units,
                                        [ES_GROUP_GRADIENTS] = shape->gradients,
                                        [ES_GROUP_STEPS] = shape->n_steps > 0,
                                        [ES_GROUP_PROBE_PATH] = path,
                                        [ES_GROUP_PROBE_DATASETS] = others,
                                        [ES_GROUP_PROBE_DATASETS_PATH] = others && path};
  *out = NULL;
  assert(shape->point->measure.n_deltas <= ES_DELTAS_MAX);
  if (shape->n_layers < 1) {
    return es_fail(status, ES_INPUT, STORE_STAGE,
                   "no layer would be measured: at least one pattern of measure.layers must match a layer of %s",
                   shape->point->model.name);
  }
  choose_extents(shape, groups, extent);
  es_result_t *result = es_result_allocate(extent, groups);
  bool good = result != NULL;
  if (good) fill_coordinates(result, shape);
  for (int i = 0; good && i < ES_FIELDS; i++) {
    if (groups[es_field_info((es_field_t)i)->group]) good = es_result_allocate_field(result, (es_field_t)i);
  }
  if (!good) {
    es_result_destroy(result);
    return es_out_of_memory(status, STORE_STAGE, "the results of %lld epochs, %d layers and up to %lld components",
                            (long long)extent[ES_DIM_EPOCH], shape->n_layers, (long long)extent[ES_DIM_COMPONENT]);
  }
  fill_layers(result);
  for (int64_t i = 0; i < shape->n_steps; i++)
    ((double *)result->data[ES_FIELD_STEP_EPOCH])[i] = (double)shape->steps[i] / (double)shape->steps_of_epoch;
  for (int i = 0; others && i < probe->n_datasets; i++)
    ((int32_t *)result->data[ES_FIELD_PROBE_DATASET_CLASSES])[i] = probe->datasets[i].classes;
  *out = result;
  return ES_OK;
}

void es_result_destroy(es_result_t *result) {
  if (result == NULL) return;
  for (int i = 0; i < ES_FIELDS; i++) {
    es_free(result->data[i]);
    es_free(result->text[i]);
  }
  es_owned_free(&result->memory);
  es_free(result);
}

bool es_result_has(const es_result_t *result, es_field_group_t group) {
  assert((unsigned)group < ES_FIELD_GROUPS);
  return result->groups[group];
}

int64_t es_result_extent(const es_result_t *result, es_dimension_t dimension) {
  assert((unsigned)dimension < ES_DIMENSIONS);
  return result->extent[dimension];
}

void *es_result_data(es_result_t *result, es_field_t field) {
  assert((unsigned)field < ES_FIELDS);
  return result->data[field];
}

size_t es_result_size(const es_result_t *result, es_field_t field) {
  size_t count = 0;
  if (!result->groups[es_field_info(field)->group]) return 0;
  bool good = count_elements(result, field, &count);
  assert(good); /* cannot overflow: the field was allocated */
  (void)good;
  return count;
}

/* Position of the element with these indices, one for each dimension of the field. In packed fields, the dimensions
 * after the layer have the layer's own width. */
static size_t position(const es_result_t *result, es_field_t field, const int64_t *index) {
  const es_field_info_t *info = es_field_info(field);
  const bool packed = es_field_is_packed(field), square = es_field_has(field, ES_DIM_FEATURE);
  size_t at = 0, width = 0;
  for (int i = 0; i < info->rank; i++) {
    const bool is_layer = packed && info->dimensions[i] == ES_DIM_LAYER;
    const size_t extent = width > 0 ? width : (size_t)result->extent[info->dimensions[i]];
    assert(index[i] >= 0 && (size_t)index[i] < extent);
    if (is_layer) {
      at = at * packed_total(result, field) + (square ? result->squares : result->widths)[index[i]];
      width = (size_t)result->layers[index[i]].width;
    } else if (width > 0) {
      at += (size_t)index[i] * (i + 1 < info->rank ? width : 1);
    } else {
      at = at * extent + (size_t)index[i];
    }
  }
  return at;
}

void *es_result_at(es_result_t *result, es_field_t field, const int64_t *index) {
  assert(result->data[field] != NULL);
  return (char *)result->data[field] + position(result, field, index) * es_type_size(es_field_info(field)->type);
}

es_code_t es_packed_transfer(const es_packed_t *p, char reason[ES_HDF5_REASON_SIZE]) {
  const es_field_info_t *info = es_field_info(p->field);
  const hid_t type = es_type_in_memory(info->type);
  int layer = 0; /* position of the layer among the dimensions */
  while (info->dimensions[layer] != ES_DIM_LAYER) layer++;
  int64_t index[ES_RANK_MAX] = {0};
  for (int digit = layer; digit >= 0;) {
    const hsize_t width = (hsize_t)p->result->layers[index[layer]].width;
    es_hdf5_block_t block = {.rank = info->rank};
    for (int i = 0; i < info->rank; i++) {
      block.start[i] = i <= layer ? (hsize_t)index[i] : 0;
      block.count[i] = i <= layer ? 1 : width;
    }
    void *data = es_result_at(p->result, p->field, index);
    ES_TRY(p->reading ? es_hdf5_read(p->object, type, &block, data, reason)
                      : es_hdf5_write(p->object, type, &block, data, reason));
    for (digit = layer; digit >= 0 && ++index[digit] == p->result->extent[info->dimensions[digit]]; digit--) {
      index[digit] = 0;
    }
  }
  return ES_OK;
}

double *es_result_f64(es_result_t *result, es_field_t field, int64_t i0, int64_t i1, int64_t i2, int64_t i3) {
  const int64_t index[ES_RANK_MAX] = {i0, i1, i2, i3};
  assert(es_field_info(field)->type == ES_TYPE_F64 && es_field_info(field)->rank <= 4);
  return es_result_at(result, field, index);
}

void es_result_compute_quantities(es_result_t *result, const bool lacking[ES_FIELDS]) {
  const int64_t epochs = result->extent[ES_DIM_EPOCH], layers = result->extent[ES_DIM_LAYER];
  for (int64_t at = 0; at < ES_SPLITS * epochs * layers; at++) {
    const int64_t index[ES_RANK_MAX] = {at / layers / epochs, at / layers % epochs, at % layers};
    double quantities[ES_QUANTITIES];
    es_quantities_measure(quantities, es_result_at(result, ES_FIELD_EIGENVALUES, index),
                          result->layers[at % layers].width);
    for (int q = 0; q < ES_QUANTITIES; q++) {
      const es_field_t field = es_field_of_quantity((es_quantity_t)q);
      if (lacking[field]) ((double *)result->data[field])[at] = quantities[q];
    }
  }
}

int32_t es_result_epoch(const es_result_t *result, int64_t index) {
  assert(index >= 0 && index < result->extent[ES_DIM_EPOCH]);
  return result->epoch[index];
}

int64_t es_result_probe_epoch_index(const es_result_t *result, int32_t epoch) {
  for (int64_t i = 0; i < result->extent[ES_DIM_PROBE_EPOCH]; i++) {
    if (result->probe_epoch[i] == epoch) return i;
  }
  return -1;
}

void es_result_move_last_probe_epoch(es_result_t *result, int32_t epoch) {
  const int64_t last = result->extent[ES_DIM_PROBE_EPOCH] - 1;
  assert(last >= 0 && (last == 0 || epoch > result->probe_epoch[last - 1]));
  result->probe_epoch[last] = epoch;
}

const es_layer_info_t *es_result_layer(const es_result_t *result, int layer) {
  assert(layer >= 0 && layer < result->extent[ES_DIM_LAYER]);
  return &result->layers[layer];
}

size_t es_result_index(const es_result_t *result, es_field_t field, const int64_t at[ES_DIMENSIONS]) {
  const es_field_info_t *info = es_field_info(field);
  int64_t index[ES_RANK_MAX] = {0};
  for (int i = 0; i < info->rank; i++) index[i] = at[info->dimensions[i]];
  return position(result, field, index);
}

double es_result_value(const es_result_t *result, es_field_t field, const int64_t at[ES_DIMENSIONS]) {
  return ((const double *)result->data[field])[es_result_index(result, field, at)];
}

bool es_result_measured(const es_result_t *result, es_field_t field, size_t index) {
  const void *data = result->data[field];
  const es_field_info_t *info = es_field_info(field);
  switch (info->type) {
  case ES_TYPE_F64:
    return !isnan(((const double *)data)[index]);
  case ES_TYPE_F32:
    return !isnan(((const float *)data)[index]);
  case ES_TYPE_I32:
    return ((const int32_t *)data)[index] != -1;
  case ES_TYPE_I64:
    return ((const int64_t *)data)[index] != -1;
  case ES_TYPE_U8:
    return ((const uint8_t *)data)[index] != info->unmeasured;
  default:
    return true;
  }
}

void *es_result_coordinates(es_result_t *result, es_dimension_t dimension) {
  assert(es_dimension_has_values(dimension));
  if (dimension == ES_DIM_DELTA) return result->delta;
  if (dimension == ES_DIM_L2) return result->l2;
  return dimension == ES_DIM_EPOCH ? result->epoch : dimension == ES_DIM_STEP ? result->step : result->probe_epoch;
}

double es_result_coordinate(const es_result_t *result, es_dimension_t dimension, int64_t index) {
  assert(es_dimension_has_values(dimension));
  if (dimension == ES_DIM_DELTA) return result->delta[index];
  if (dimension == ES_DIM_L2) return result->l2[index];
  return (dimension == ES_DIM_EPOCH  ? result->epoch
          : dimension == ES_DIM_STEP ? result->step
                                     : result->probe_epoch)[index];
}

const char *es_result_word(const es_result_t *result, es_dimension_t dimension, int64_t index, char out[ES_NAME_MAX]) {
  if (dimension == ES_DIM_LAYER) return result->layers[index].name;
  if (dimension == ES_DIM_PROBE_DATASET) return result->probe_dataset[index];
  if (dimension == ES_DIM_LAYER_OR_ALL) return index == 0 ? "all" : result->layers[index - 1].name;
  return es_dimension_word(dimension, index, out);
}

uint8_t es_result_flags(const es_result_t *result, int split, int64_t epoch, int64_t layer) {
  const int64_t at[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch, [ES_DIM_LAYER] = layer};
  return ((const uint8_t *)result->data[ES_FIELD_FLAGS])[es_result_index(result, ES_FIELD_FLAGS, at)];
}

bool es_result_epoch_measured(const es_result_t *result, int split, int64_t epoch) {
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++) {
    if (es_result_flags(result, split, epoch, layer) != 0) return true;
    for (int64_t delta = 0; delta < result->extent[ES_DIM_DELTA]; delta++) {
      const int64_t at[ES_DIMENSIONS] = {
          [ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch, [ES_DIM_LAYER] = layer, [ES_DIM_DELTA] = delta};
      if (!isnan(es_result_value(result, ES_FIELD_SATURATION, at))) return true;
    }
  }
  return false;
}

double es_result_mean(const es_result_t *result, es_field_t field, int64_t at[ES_DIMENSIONS]) {
  double sum = 0;
  int64_t count = 0, *layer = &at[ES_DIM_LAYER];
  for (*layer = 0; *layer < result->extent[ES_DIM_LAYER]; ++*layer) {
    const double value = es_result_value(result, field, at);
    const bool output = ((const uint8_t *)result->data[ES_FIELD_LAYER_OUTPUT])[*layer] != 0;
    const uint8_t flags = es_result_flags(result, (int)at[ES_DIM_SPLIT], at[ES_DIM_EPOCH], *layer);
    if (output || isnan(value) || (flags & ES_FLAGS_EXCLUDED) != 0) continue;
    sum += value;
    count++;
  }
  return count > 0 ? sum / (double)count : (double)NAN;
}

double es_result_mean_saturation(const es_result_t *result, es_split_t split, int64_t epoch, int64_t delta) {
  int64_t at[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch, [ES_DIM_DELTA] = delta};
  return es_result_mean(result, ES_FIELD_SATURATION, at);
}

void es_result_path(char out[ES_PATH_MAX], const char *output, const char *id, int64_t n_points) {
  const int length = n_points > ES_FLAT_POINTS ? snprintf(out, ES_PATH_MAX, "%s/points/%.2s/%s.h5", output, id, id)
                                               : snprintf(out, ES_PATH_MAX, "%s/points/%s.h5", output, id);
  assert(length > 0 && length < ES_PATH_MAX);
  (void)length;
}

bool es_result_find(char out[ES_PATH_MAX], const char *output, const char *id) {
  char below[ES_PATH_MAX];
  es_result_path(out, output, id, 1);
  if (!es_file_is_missing(out)) return true;
  es_result_path(below, output, id, ES_FLAT_POINTS + 1);
  if (es_file_is_missing(below)) return false;
  memcpy(out, below, sizeof below);
  return true;
}
