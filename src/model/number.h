/* Numbers of activations in either precision (precision.h), for the loops of kernels.c and pool.c. Callers pass
 * `precision` as a constant, so that each precision compiles to its own loop. */
#ifndef ES_MODEL_NUMBER_H
#define ES_MODEL_NUMBER_H

#include "eigenscope/kernel.h"
#include "eigenscope/precision.h"
#include <string.h>

static ES_INLINE float es_bfloat16_widened(uint16_t v) {
  const uint32_t bits = (uint32_t)v << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

/* Rounds to nearest, ties to even. NaN stays NaN, with its sign and its upper digits. */
static ES_INLINE uint16_t es_bfloat16_rounded(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u), nan = bits | 0x400000u;
  return (uint16_t)((f != f ? nan : rounded) >> 16);
}

static ES_INLINE float es_get(const void *x, size_t i, es_precision_t precision) {
  return precision == ES_BFLOAT16 ? es_bfloat16_widened(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

static ES_INLINE void es_put(void *y, size_t i, float v, es_precision_t precision) {
  if (precision == ES_BFLOAT16)
    ((uint16_t *)y)[i] = es_bfloat16_rounded(v);
  else
    ((float *)y)[i] = v;
}

/* For a value that is a number of this precision already. */
static ES_INLINE void es_put_exact(void *y, size_t i, float v, es_precision_t precision) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  if (precision == ES_BFLOAT16)
    ((uint16_t *)y)[i] = (uint16_t)(bits >> 16);
  else
    ((float *)y)[i] = v;
}

/* Address of the number i. */
static ES_INLINE void *es_at(const void *x, size_t i, es_precision_t precision) {
  return (char *)x + i * es_precision_bytes(precision);
}

/* Runs a statement with `precision` as a constant, so that each precision compiles to its own loops. */
#define ES_FOR_PRECISION(which, statement)                                                                             \
  if ((which) == ES_BFLOAT16) {                                                                                        \
    const es_precision_t precision = ES_BFLOAT16;                                                                      \
    statement;                                                                                                         \
  } else {                                                                                                             \
    const es_precision_t precision = ES_FLOAT32;                                                                       \
    statement;                                                                                                         \
  }

#endif
