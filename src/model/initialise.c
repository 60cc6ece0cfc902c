/* Initial weights: a pure function of (seed, tensor, element). */
#include "eigenscope/model.h"
#include "eigenscope/random.h"
#include <math.h>

static void fill_normal(float *out, int64_t count, double deviation, int64_t seed, uint64_t tensor) {
  for (int64_t i = 0; i < count; i += 4) {
    uint32_t words[4];
    float z[4];
    es_random_block(seed, ES_RANDOM_INITIALISE, tensor, (uint64_t)i / 4, words);
    es_random_normal(words[0], words[1], z);
    es_random_normal(words[2], words[3], z + 2);
    for (int64_t j = i; j < count && j < i + 4; j++) out[j] = (float)((double)z[j - i] * deviation);
  }
}

static void fill_uniform(float *out, int64_t count, double bound, int64_t seed, uint64_t tensor) {
  for (int64_t i = 0; i < count; i += 4) {
    uint32_t words[4];
    es_random_block(seed, ES_RANDOM_INITIALISE, tensor, (uint64_t)i / 4, words);
    for (int64_t j = i; j < count && j < i + 4; j++)
      out[j] = (float)((2.0 * (double)es_random_unit(words[j - i]) - 1.0) * bound);
  }
}

static void fill(float *out, const es_tensor_t *tensor, int64_t seed, uint64_t index) {
  float *data = out + tensor->offset;
  switch (tensor->init) {
  case ES_INIT_ZERO:
  case ES_INIT_ONE:
    for (int64_t i = 0; i < tensor->count; i++) data[i] = tensor->init == ES_INIT_ONE ? 1.0f : 0.0f;
    break;
  case ES_INIT_VALUE:
    for (int64_t i = 0; i < tensor->count; i++) data[i] = tensor->value;
    break;
  case ES_INIT_KAIMING_FAN_OUT:
  case ES_INIT_KAIMING_FAN_IN:
    fill_normal(data, tensor->count, sqrt(2.0 / (double)tensor->fan), seed, index);
    break;
  case ES_INIT_LECUN:
    fill_normal(data, tensor->count, sqrt(1.0 / (double)tensor->fan), seed, index);
    break;
  case ES_INIT_NORMAL_001:
  case ES_INIT_NORMAL_002:
    fill_normal(data, tensor->count, tensor->init == ES_INIT_NORMAL_001 ? 0.01 : 0.02, seed, index);
    break;
  case ES_INIT_XAVIER:
  case ES_INIT_KAIMING_UNIFORM:
    fill_uniform(data, tensor->count, sqrt(6.0 / (double)tensor->fan), seed, index);
    break;
  case ES_INIT_UNIFORM_FAN_IN:
  case ES_INIT_UNIFORM_FAN_OUT:
    fill_uniform(data, tensor->count, 1.0 / sqrt((double)tensor->fan), seed, index);
    break;
  }
}

void es_tensors_initialise(const es_graph_t *graph, float *parameters, float *buffers, int64_t seed) {
  for (int32_t i = 0; i < graph->n_parameters; i++) fill(parameters, &graph->parameters[i], seed, (uint64_t)i);
  for (int32_t i = 0; i < graph->n_buffers; i++) fill(buffers, &graph->buffers[i], seed, 0);
}
