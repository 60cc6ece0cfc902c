/* One small network for each operation: a convolution "stem" with 8 channels on images of 8 × 8, nodes with the
 * operation, and a linear layer "fc". tests/unit/test_operations.c and tests/mpi/test_operations.c run all of them;
 * tests/fixtures/torch/make_operations.py has the same networks for PyTorch.
 *
 * To add an operation, add a row to operations_maps.h or operations_tokens.h. */
#ifndef ES_TEST_SUPPORT_OPERATIONS_H
#define ES_TEST_SUPPORT_OPERATIONS_H

#include "../../src/network/network_internal.h"
#include "eigenscope/model.h"
#include <string.h>

enum { OPERATION_SIZE = 8, OPERATION_CHANNELS = 8, OPERATION_CLASSES = 3, OPERATION_BATCH = 13 };
enum { OPERATION_IMAGE = OPERATION_SIZE * OPERATION_SIZE * 3 };

typedef struct operation {
  const char *name;
  void (*build)(es_builder_t *b); /* adds the nodes between stem and fc */
  bool first;                     /* adds them before the stem instead */
  bool bent;                      /* slopes jump, as those of ReLU and max pooling do */
  bool random;                    /* draws random numbers in training, so PyTorch has no numbers for it */
} operation_t;

#include "support/operations_maps.h"
#include "support/operations_tokens.h"

enum {
  OPERATIONS_MAPS = sizeof operations_maps / sizeof *operations_maps,
  OPERATIONS_TOKENS = sizeof operations_tokens / sizeof *operations_tokens,
  OPERATIONS = OPERATIONS_MAPS + OPERATIONS_TOKENS
};

static inline const operation_t *operation_at(int i) {
  return i < OPERATIONS_MAPS ? &operations_maps[i] : &operations_tokens[i - OPERATIONS_MAPS];
}

static const operation_t *operation_built; /* es_build_t has no context */

static void build_operation(es_builder_t *b, ES_UNUSED const es_model_spec_t *spec, int32_t classes) {
  const es_window_t window = {3, 1, 1, 1};
  if (operation_built->first) operation_built->build(b);
  es_add_operation(b, "stem", ES_OP_CONV,
                   &(es_settings_t){.channels = OPERATION_CHANNELS,
                                    .window = {window, window},
                                    .biased = true,
                                    .weight = ES_INIT_UNIFORM_FAN_IN,
                                    .bias = ES_INIT_UNIFORM_FAN_IN});
  if (!operation_built->first) operation_built->build(b);
  if (b->code != ES_OK) return;
  es_add_operation(
      b, "fc", ES_OP_LINEAR,
      &(es_settings_t){
          .channels = classes, .biased = true, .weight = ES_INIT_UNIFORM_FAN_IN, .bias = ES_INIT_UNIFORM_FAN_IN});
}

static inline es_code_t operation_graph(es_graph_t **out, const operation_t *operation, es_status_t *status) {
  const es_point_t point = {.width = {1, 1}, .classes = OPERATION_CLASSES, .resolution = OPERATION_SIZE};
  operation_built = operation;
  return es_graph_build(out, &point, build_operation, status);
}

/* Uniform in [−1/2, 1/2), a multiple of 2⁻²⁴; make_operations.py has the same function. */
static inline float operation_draw(const char *name, uint32_t i) {
  uint32_t x = 2166136261u;
  for (; *name; name++) x = (x ^ (uint8_t)*name) * 16777619u;
  x += i * 2654435761u;
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  x ^= x >> 16;
  return (float)(x >> 8) / 16777216.0f - 0.5f;
}

/* Matrices and kernels get a deviation of about 1/√fan_in; vectors 1 ± 1/4 if they scale, else 0 ± 1/4. */
static inline void operation_weights(const es_graph_t *graph, float *parameters) {
  for (int32_t t = 0; t < graph->n_parameters; t++) {
    const es_tensor_t *tensor = &graph->parameters[t];
    const size_t length = strlen(tensor->name);
    const bool scales = length >= 6 && strcmp(tensor->name + length - 6, "weight") == 0;
    const float base = tensor->rank == 1 && scales ? 1.0f : 0.0f;
    float scale = tensor->rank == 1 ? 0.5f : 4.0f;
    const float fan = (float)(tensor->count / tensor->shape[0]);
    while (tensor->rank > 1 && scale * scale * fan > 16.0f) scale *= 0.5f;
    for (int64_t i = 0; i < tensor->count; i++)
      parameters[tensor->offset + i] = base + scale * operation_draw(tensor->name, (uint32_t)i);
  }
}

static inline void operation_samples(float *images, int32_t *labels) {
  for (int i = 0; i < OPERATION_BATCH * OPERATION_IMAGE; i++) images[i] = 4.0f * operation_draw("images", (uint32_t)i);
  for (int i = 0; i < OPERATION_BATCH; i++) labels[i] = i % OPERATION_CLASSES;
}

/* An es_feed_t: `context` is the images. */
static inline void operation_fetch(void *context, int64_t first, int64_t count, float *out) {
  const float *images = context;
  memcpy(out, images + first * OPERATION_IMAGE, (size_t)(count * OPERATION_IMAGE) * sizeof *out);
}

#endif
