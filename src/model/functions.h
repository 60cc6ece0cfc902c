/* Functions of one number and their derivatives, for the loops of loops_functions.h. Callers pass `op` as a constant,
 * so that each function compiles to its own loop. Plain arithmetic, which compilers turn into vectors, instead of the
 * calls of a library, whose bits would depend on its version. NaN stays NaN.
 *
 * Errors relative to the value are below 4 · 2⁻²⁴ (2 units of the last place), for GELU and its approximation 6 and 16
 * · 2⁻²⁴, and where they fall as e^−z below 0, z/2 times as much; errors of derivatives are below 4 · 2⁻²⁴
 * (tests/unit/test_functions.c).
 */
#ifndef ES_MODEL_FUNCTIONS_H
#define ES_MODEL_FUNCTIONS_H

#include "eigenscope/graph.h"
#include "eigenscope/kernel.h"
#include <string.h>

/* e^x for x ≤ 0; 0 below −87, where numbers are denormal. x = n·ln 2 + r; the polynomial is that of the Cephes library.
 */
static ES_INLINE float es_exp_negative(float x) {
  const float rounder = 12582912.0f; /* 1.5 · 2²³: adding it rounds to a whole number */
  const float at = x < -87.0f ? -87.0f : x;
  const float rounded = at * 1.44269504f + rounder, n = rounded - rounder;
  const float r = (at - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float fraction = p * (r * r) + r + 1.0f;
  uint32_t bits; /* the lowest bits of `rounded` are n */
  float power;
  memcpy(&bits, &rounded, sizeof bits);
  bits = (bits + 127u) << 23;
  memcpy(&power, &bits, sizeof power);
  const float value = fraction * power;
  return x < -87.0f ? 0.0f : value;
}

static ES_INLINE float es_magnitude(float x) {
  return x < 0.0f ? -x : x;
}

/* σ(x), and σ(x)·σ(−x), which is the derivative. */
static ES_INLINE float es_sigmoid(float x) {
  const float e = es_exp_negative(-es_magnitude(x)), share = 1.0f / (1.0f + e);
  return x < 0.0f ? e * share : share;
}
static ES_INLINE float es_sigmoid_slope(float x) {
  const float e = es_exp_negative(-es_magnitude(x)), share = 1.0f / (1.0f + e);
  return e * share * share;
}

/* Near 0 the polynomial of the Cephes library, because 1 − e^−2x would cancel. */
static ES_INLINE float es_tanh(float x) {
  const float size = es_magnitude(x), e = es_exp_negative(-2.0f * size), far = (1.0f - e) / (1.0f + e), z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near = p * z * x + x, outside = x < 0.0f ? -far : far;
  return size < 0.625f ? near : outside;
}

/* Φ(x) of the normal distribution, from Φ(−|x|) = e^(−x²/2)·p(1/(1 + 0.3·|x|)); the polynomial is a fit of ours with a
 * relative error of 3.4e-9 for |x| < 13.5. `density`: e^(−x²/2). */
static ES_INLINE float es_normal(float x, float *density) {
  const float size = es_magnitude(x), w = 1.0f / (1.0f + 0.3f * size);
  float p = -0.0205946937f;
  p = p * w + 0.112273663f;
  p = p * w - 0.227817878f;
  p = p * w + 0.191234544f;
  p = p * w - 0.0789453387f;
  p = p * w + 0.0958877504f;
  p = p * w + 0.0784874558f;
  p = p * w + 0.110213332f;
  p = p * w + 0.119574621f;
  p = p * w + 0.119686536f;
  *density = es_exp_negative(-0.5f * (x * x));
  const float tail = p * w * *density, rest = 1.0f - tail;
  return x < 0.0f ? tail : rest;
}

/* min(max(0, x + 3), 6)/6 */
static ES_INLINE float es_hard_sigmoid(float x) {
  const float v = x + 3.0f, above = v < 0.0f ? 0.0f : v;
  return (above > 6.0f ? 6.0f : above) / 6.0f;
}

/* GELU's approximation is x·σ(2u), where u = √(2/π)·(x + 0.044715·x³). */
static ES_INLINE float es_gelu_inner(float x) {
  return 1.5957691216f * (x + 0.044715f * (x * x * x));
}

/* `slope`: of leaky ReLU. */
static ES_INLINE float es_function(float x, es_op_t op, float slope) {
  float density;
  switch (op) {
  case ES_OP_LEAKY_RELU:
    return x < 0.0f ? slope * x : x;
  case ES_OP_GELU:
    return x * es_normal(x, &density);
  case ES_OP_GELU_TANH:
    return x * es_sigmoid(es_gelu_inner(x));
  case ES_OP_SILU:
    return x * es_sigmoid(x);
  case ES_OP_SIGMOID:
    return es_sigmoid(x);
  case ES_OP_HARD_SIGMOID:
    return es_hard_sigmoid(x);
  case ES_OP_HARD_SWISH:
    return x * es_hard_sigmoid(x);
  default:
    return es_tanh(x);
  }
}

static ES_INLINE float es_function_slope(float x, es_op_t op, float slope) {
  float density, normal;
  switch (op) {
  case ES_OP_LEAKY_RELU:
    return x > 0.0f ? 1.0f : slope;
  case ES_OP_GELU:
    normal = es_normal(x, &density);
    return normal + 0.398942280f * x * density;
  case ES_OP_GELU_TANH:
    return es_sigmoid(es_gelu_inner(x)) +
           x * es_sigmoid_slope(es_gelu_inner(x)) * (1.5957691216f * (1.0f + 0.134145f * (x * x)));
  case ES_OP_SILU:
    return es_sigmoid(x) + x * es_sigmoid_slope(x);
  case ES_OP_SIGMOID:
    return es_sigmoid_slope(x);
  case ES_OP_HARD_SIGMOID:
    return x > -3.0f && x < 3.0f ? 1.0f / 6.0f : 0.0f;
  case ES_OP_HARD_SWISH:
    return x < -3.0f ? 0.0f : x > 3.0f ? 1.0f : x / 3.0f + 0.5f;
  default:
    return 4.0f * es_sigmoid_slope(2.0f * x);
  }
}

/* Runs a statement with `op` as a constant. */
#define ES_FOR_FUNCTION(which, statement)                                                                              \
  switch (which) {                                                                                                     \
    ES_FUNCTION_CASE(ES_OP_LEAKY_RELU, statement)                                                                      \
    ES_FUNCTION_CASE(ES_OP_GELU, statement)                                                                            \
    ES_FUNCTION_CASE(ES_OP_GELU_TANH, statement)                                                                       \
    ES_FUNCTION_CASE(ES_OP_SILU, statement)                                                                            \
    ES_FUNCTION_CASE(ES_OP_SIGMOID, statement)                                                                         \
    ES_FUNCTION_CASE(ES_OP_HARD_SIGMOID, statement)                                                                    \
    ES_FUNCTION_CASE(ES_OP_HARD_SWISH, statement)                                                                      \
    ES_FUNCTION_CASE(ES_OP_TANH, statement)                                                                            \
  default:                                                                                                             \
    break;                                                                                                             \
  }
#define ES_FUNCTION_CASE(value, statement)                                                                             \
  case value: {                                                                                                        \
    enum { op = (value) };                                                                                             \
    statement;                                                                                                         \
    break;                                                                                                             \
  }

#endif
