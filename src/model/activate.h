/* Activations of one number, for the loops of kernels.c and pool.c. Callers pass `activation` as a constant, so that
 * each activation compiles to its own loop. */
#ifndef ES_MODEL_ACTIVATE_H
#define ES_MODEL_ACTIVATE_H

#include "eigenscope/kernel.h"
#include "kernels.h"

static ES_INLINE float es_activated(float v, es_activation_t activation) {
  if (activation == ES_NO_ACTIVATION) return v;
  v = v < 0.0f ? 0.0f : v;
  return activation == ES_RELU6 && v > 6.0f ? 6.0f : v;
}

/* Gradient with respect to the activation's input v, from the gradient `g` of its output. */
static ES_INLINE float es_gated(float g, float v, es_activation_t activation) {
  if (activation == ES_NO_ACTIVATION) return g;
  if (activation == ES_RELU6 && !(v < 6.0f)) return 0.0f;
  return v > 0.0f ? g : 0.0f;
}

/* Runs a statement with `activation` as a constant, so that each activation compiles to its own loops. */
#define ES_FOR_ACTIVATION(which, statement)                                                                            \
  if ((which) == ES_RELU) {                                                                                            \
    const es_activation_t activation = ES_RELU;                                                                        \
    statement;                                                                                                         \
  } else if ((which) == ES_RELU6) {                                                                                    \
    const es_activation_t activation = ES_RELU6;                                                                       \
    statement;                                                                                                         \
  } else {                                                                                                             \
    const es_activation_t activation = ES_NO_ACTIVATION;                                                               \
    statement;                                                                                                         \
  }

#endif
