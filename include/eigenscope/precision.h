/** Type of the activations of a network and of their gradients. Weights, the optimizer's state, the statistics of batch
 * norm, the loss and all sums over samples are float32 or double in every precision. */
#ifndef EIGENSCOPE_PRECISION_H
#define EIGENSCOPE_PRECISION_H

#include <stddef.h>
#include <stdint.h>

/** ES_BFLOAT16: activations, their gradients and the weights that kernels read are rounded to bfloat16, as PyTorch's
 * autocast does; products are added in float32. */
typedef enum es_precision { ES_FLOAT32, ES_BFLOAT16, ES_PRECISIONS } es_precision_t;

/** Bytes of one number. */
static inline size_t es_precision_bytes(es_precision_t precision) {
  return precision == ES_BFLOAT16 ? sizeof(uint16_t) : sizeof(float);
}

/** "float32", "bfloat16", NULL. */
extern const char *const es_precision_words[ES_PRECISIONS + 1];

#endif
