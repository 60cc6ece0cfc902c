#include "result.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const size_t TYPE_SIZE[ES_TYPES] = {
    [ES_TYPE_F64] = sizeof(double), [ES_TYPE_I32] = sizeof(int32_t),         [ES_TYPE_I64] = sizeof(int64_t),
    [ES_TYPE_U8] = sizeof(uint8_t), [ES_TYPE_STRING] = sizeof(const char *),
};

size_t type_size(es_type_t type) {
  return TYPE_SIZE[type];
}

static void fill_unmeasured(void *data, es_type_t type, size_t count) {
  switch (type) {
  case ES_TYPE_F64:
    for (size_t i = 0; i < count; i++) ((double *)data)[i] = NAN;
    break;
  case ES_TYPE_STRING:
    for (size_t i = 0; i < count; i++) ((const char **)data)[i] = "";
    break;
  case ES_TYPE_I32:
  case ES_TYPE_I64:
    memset(data, 0xff, count * type_size(type)); /* −1 */
    break;
  default:
    memset(data, 0, count * type_size(type));
  }
}

/* False when memory is out or the product of the extents overflows. */
static bool allocate_field(es_result_t *result, es_field_t field) {
  const es_field_info_t *info = es_field_info(field);
  size_t count = 1;
  for (int i = 0; i < info->rank; i++) {
    if (__builtin_mul_overflow(count, (size_t)result->extent[info->dimensions[i]], &count)) return false;
  }
  result->data[field] = es_allocate(count, type_size(info->type));
  if (result->data[field] == NULL) return false;
  fill_unmeasured(result->data[field], info->type, count);
  return true;
}

es_result_t *result_allocate(const int64_t extent[ES_DIMENSIONS], const bool *wanted) {
  es_result_t *result = es_allocate_zero(1, sizeof *result);
  if (result == NULL) return NULL;
  memcpy(result->extent, extent, sizeof result->extent);
  result->epoch = es_allocate((size_t)extent[ES_DIM_EPOCH], sizeof *result->epoch);
  result->layers = es_allocate_zero((size_t)extent[ES_DIM_LAYER], sizeof *result->layers);
  bool good = result->epoch != NULL && result->layers != NULL;
  for (int i = 0; good && i < ES_FIELDS; i++) {
    if (wanted == NULL || wanted[i]) good = allocate_field(result, (es_field_t)i);
  }
  for (int32_t i = 0; good && i < extent[ES_DIM_EPOCH]; i++) result->epoch[i] = i;
  if (good) return result;
  es_result_destroy(result);
  return NULL;
}

static void fill_layers(es_result_t *result) {
  const es_layer_info_t *layers = result->layers;
  for (int64_t i = 0; i < result->extent[ES_DIM_LAYER]; i++) {
    ((const char **)result->data[ES_FIELD_LAYER_KIND])[i] = layers[i].kind;
    ((int32_t *)result->data[ES_FIELD_LAYER_WIDTH])[i] = layers[i].width;
    ((int64_t *)result->data[ES_FIELD_LAYER_PARAMETERS])[i] = layers[i].parameters;
    ((int64_t *)result->data[ES_FIELD_LAYER_MACS])[i] = layers[i].macs;
    ((int32_t *)result->data[ES_FIELD_LAYER_RECEPTIVE_FIELD])[i] = layers[i].receptive_field;
    ((uint8_t *)result->data[ES_FIELD_LAYER_BORDER])[i] = layers[i].border;
    ((uint8_t *)result->data[ES_FIELD_LAYER_OUTPUT])[i] = layers[i].output;
  }
}

es_code_t es_result_create(es_result_t **out, const es_point_t *point, const es_layer_info_t *layers, int n_layers,
                           es_status_t *status) {
  *out = NULL;
  assert(n_layers <= ES_LAYERS_MAX && point->measure.n_deltas <= ES_DELTAS_MAX);
  if (n_layers < 1) {
    return es_fail(status, ES_INPUT, STORE_STAGE,
                   "no layer would be measured: a pattern of measure.layers must match a layer of %s",
                   point->model.name);
  }
  int64_t extent[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = ES_SPLITS,
                                   [ES_DIM_EPOCH] = point->train.epochs + (int64_t)1,
                                   [ES_DIM_LAYER] = n_layers,
                                   [ES_DIM_DELTA] = point->measure.n_deltas};
  assert(point->train.epochs >= 0 && point->measure.n_deltas >= 1);
  for (int i = 0; i < n_layers; i++) {
    assert(layers[i].width >= 1);
    if (layers[i].width > extent[ES_DIM_COMPONENT]) extent[ES_DIM_COMPONENT] = layers[i].width;
  }
  es_result_t *result = result_allocate(extent, NULL);
  if (result == NULL) {
    return es_fail(status, ES_SYSTEM, STORE_STAGE,
                   "out of memory for the results of %lld epochs, %d layers and up to %lld components",
                   (long long)extent[ES_DIM_EPOCH], n_layers, (long long)extent[ES_DIM_COMPONENT]);
  }
  memcpy(result->layers, layers, (size_t)n_layers * sizeof *layers);
  memcpy(result->delta, point->measure.delta, (size_t)point->measure.n_deltas * sizeof *result->delta);
  fill_layers(result);
  *out = result;
  return ES_OK;
}

void es_result_destroy(es_result_t *result) {
  if (result == NULL) return;
  for (int i = 0; i < ES_FIELDS; i++) {
    es_free(result->data[i]);
    es_free(result->text[i]);
  }
  es_free(result->layers);
  es_free(result->epoch);
  es_free(result);
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
  const es_field_info_t *info = es_field_info(field);
  size_t count = 1;
  for (int i = 0; i < info->rank; i++) count *= (size_t)result->extent[info->dimensions[i]];
  return count;
}

double *es_result_f64(es_result_t *result, es_field_t field, int64_t i0, int64_t i1, int64_t i2, int64_t i3) {
  const es_field_info_t *info = es_field_info(field);
  const int64_t index[4] = {i0, i1, i2, i3};
  assert(info->type == ES_TYPE_F64);
  size_t at = 0;
  for (int i = 0; i < info->rank; i++) {
    int64_t extent = result->extent[info->dimensions[i]];
    assert(index[i] >= 0 && index[i] < extent);
    at = at * (size_t)extent + (size_t)index[i];
  }
  return (double *)result->data[field] + at;
}

const es_layer_info_t *es_result_layer(const es_result_t *result, int layer) {
  assert(layer >= 0 && layer < result->extent[ES_DIM_LAYER]);
  return &result->layers[layer];
}

size_t result_index(const es_result_t *result, es_field_t field, const int64_t at[ES_DIMENSIONS]) {
  const es_field_info_t *info = es_field_info(field);
  size_t index = 0;
  for (int i = 0; i < info->rank; i++) {
    es_dimension_t dimension = info->dimensions[i];
    index = index * (size_t)result->extent[dimension] + (size_t)at[dimension];
  }
  return index;
}

bool result_measured(const es_result_t *result, es_field_t field, size_t index) {
  const void *data = result->data[field];
  switch (es_field_info(field)->type) {
  case ES_TYPE_F64:
    return !isnan(((const double *)data)[index]);
  case ES_TYPE_I32:
    return ((const int32_t *)data)[index] != -1;
  case ES_TYPE_I64:
    return ((const int64_t *)data)[index] != -1;
  case ES_TYPE_U8:
    return ((const uint8_t *)data)[index] != 0;
  default:
    return true;
  }
}

uint8_t result_flags(const es_result_t *result, int split, int64_t epoch, int64_t layer) {
  const int64_t at[ES_DIMENSIONS] = {[ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch, [ES_DIM_LAYER] = layer};
  return ((const uint8_t *)result->data[ES_FIELD_FLAGS])[result_index(result, ES_FIELD_FLAGS, at)];
}

static double saturation(const es_result_t *result, int split, int64_t epoch, int64_t layer, int64_t delta) {
  const int64_t at[ES_DIMENSIONS] = {
      [ES_DIM_SPLIT] = split, [ES_DIM_EPOCH] = epoch, [ES_DIM_LAYER] = layer, [ES_DIM_DELTA] = delta};
  return ((const double *)result->data[ES_FIELD_SATURATION])[result_index(result, ES_FIELD_SATURATION, at)];
}

bool result_epoch_measured(const es_result_t *result, int split, int64_t epoch) {
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++) {
    if (result_flags(result, split, epoch, layer) != 0) return true;
    if (!isnan(saturation(result, split, epoch, layer, 0))) return true;
  }
  return false;
}

double es_result_mean_saturation(const es_result_t *result, es_split_t split, int64_t epoch, int64_t delta) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t layer = 0; layer < result->extent[ES_DIM_LAYER]; layer++) {
    double value = saturation(result, (int)split, epoch, layer, delta);
    bool output = ((const uint8_t *)result->data[ES_FIELD_LAYER_OUTPUT])[layer] != 0;
    if (output || isnan(value) || result_flags(result, (int)split, epoch, layer) != 0) continue;
    sum += value;
    count++;
  }
  return count > 0 ? sum / (double)count : (double)NAN;
}

void es_result_path(char out[ES_PATH_MAX], const char *output, const char *id) {
  snprintf(out, ES_PATH_MAX, "%s/points/%s.h5", output, id);
}
