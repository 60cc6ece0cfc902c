/* Functions of one number (src/model/functions.h) against the C library in double. */
#include "../../src/model/kernels.h"
#include "../../src/model/number.h"
#include "support/unit.h"
#include <math.h>

enum { POINTS = 1 << 20 };
static const double slope_below = 0.2;

static double normal(double x) {
  return 0.5 * erfc(-x * M_SQRT1_2);
}
static double sigmoid(double x) {
  return 1.0 / (1.0 + exp(-x));
}
static double clamped(double x) {
  return fmin(fmax(0.0, x + 3.0), 6.0) / 6.0;
}
static double inner(double x) {
  return sqrt(8.0 / M_PI) * (x + 0.044715 * x * x * x);
}

static double value(double x, es_op_t op) {
  switch (op) {
  case ES_OP_LEAKY_RELU:
    return x < 0.0 ? (double)(float)slope_below * x : x;
  case ES_OP_GELU:
    return x * normal(x);
  case ES_OP_GELU_TANH:
    return x * sigmoid(inner(x));
  case ES_OP_SILU:
    return x * sigmoid(x);
  case ES_OP_SIGMOID:
    return sigmoid(x);
  case ES_OP_HARD_SIGMOID:
    return clamped(x);
  case ES_OP_HARD_SWISH:
    return x * clamped(x);
  default:
    return tanh(x);
  }
}

static double slope(double x, es_op_t op) {
  const double s = op == ES_OP_GELU_TANH ? sigmoid(inner(x)) : sigmoid(x);
  switch (op) {
  case ES_OP_LEAKY_RELU:
    return x > 0.0 ? 1.0 : (double)(float)slope_below;
  case ES_OP_GELU:
    return normal(x) + x * exp(-x * x / 2.0) / sqrt(2.0 * M_PI);
  case ES_OP_GELU_TANH:
    return s + x * s * (1.0 - s) * sqrt(8.0 / M_PI) * (1.0 + 0.134145 * x * x);
  case ES_OP_SILU:
    return s + x * s * (1.0 - s);
  case ES_OP_SIGMOID:
    return s * (1.0 - s);
  case ES_OP_HARD_SIGMOID:
    return x > -3.0 && x < 3.0 ? 1.0 / 6.0 : 0.0;
  case ES_OP_HARD_SWISH:
    return x < -3.0 ? 0.0 : x > 3.0 ? 1.0 : x / 3.0 + 0.5;
  default:
    return 1.0 - tanh(x) * tanh(x);
  }
}

/* Errors in units of 2⁻²⁴: of a function relative to its value, if that is at least 1e-30; of a slope relative to 1.
 * Both forms of GELU fall below 0 as e^−z, which multiplies the rounding of z by z; so their error is divided by 1 +
 * z/2 or so. */
static void check_function(es_op_t op, double allowed) {
  float *x = es_allocate(POINTS, sizeof *x), *y = es_allocate(POINTS, sizeof *y), *dx = es_allocate(POINTS, sizeof *dx);
  double worst = 0.0, worst_slope = 0.0;
  assert_true(x && y && dx);
  for (int i = 0; i < POINTS; i++) {
    x[i] = (float)((double)i / POINTS - 0.5) * 30.0f;
    dx[i] = 1.0f;
  }
  es_function_apply(y, x, POINTS, op, (float)slope_below, ES_FLOAT32);
  es_function_backward(dx, dx, x, POINTS, op, (float)slope_below, ES_FLOAT32);
  for (int i = 0; i < POINTS; i++) {
    const double at = (double)x[i], right = value(at, op);
    const double falls = (op == ES_OP_GELU || op == ES_OP_GELU_TANH) && at < 0.0 ? 1.0 + fabs(inner(at)) / 4.0 : 1.0;
    if (fabs(right) > 1e-30) worst = fmax(worst, fabs((double)y[i] - right) / fabs(right) / falls * 0x1p24);
    worst_slope = fmax(worst_slope, fabs((double)dx[i] - slope(at, op)) * 0x1p24);
  }
  if (worst > allowed || worst_slope > 4.0)
    fail_msg("%s: value off by %.1f, slope by %.1f units", es_op_name(op), worst, worst_slope);
  es_free(x);
  es_free(y);
  es_free(dx);
}

TEST(errors) {
  for (es_op_t op = ES_OP_LEAKY_RELU; op <= ES_OP_TANH; op++)
    check_function(op, op == ES_OP_GELU ? 6.0 : op == ES_OP_GELU_TANH ? 16.0 : 4.0);
}

/* NaN stays NaN; far from 0 the functions reach their limits. */
TEST(limits) {
  const float x[] = {NAN, -INFINITY, INFINITY, -1e6f, 1e6f, 0.0f};
  enum { N = sizeof x / sizeof *x };
  for (es_op_t op = ES_OP_LEAKY_RELU; op <= ES_OP_TANH; op++) {
    float y[N], dx[N] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
    es_function_apply(y, x, N, op, 0.5f, ES_FLOAT32);
    es_function_backward(dx, dx, x, N, op, 0.5f, ES_FLOAT32);
    assert_true(isnan(y[0]));
    for (int i = 3; i < N; i++) {
      const double expected = value((double)x[i], op) * (op == ES_OP_LEAKY_RELU && x[i] < 0.0f ? 2.5 : 1.0);
      assert_true(fabs((double)y[i] - expected) <= 1e-6 * fabs(expected) && isfinite(dx[i]));
    }
  }
}

/* In bfloat16 the result is the rounded result of float32, whatever loop the CPU has. */
TEST(bfloat16) {
  enum { N = 1000 };
  uint16_t x[N], y[N], dx[N];
  float wide[N], out[N];
  for (es_op_t op = ES_OP_LEAKY_RELU; op <= ES_OP_TANH; op++) {
    for (int i = 0; i < N; i++) {
      x[i] = es_bfloat16_rounded((float)(i - N / 2) * 0.02f);
      dx[i] = es_bfloat16_rounded(1.0f);
      wide[i] = es_bfloat16_widened(x[i]);
    }
    es_function_apply(y, x, N, op, 0.5f, ES_BFLOAT16);
    es_function_apply(out, wide, N, op, 0.5f, ES_FLOAT32);
    for (int i = 0; i < N; i++) {
      const double off = fabs((double)es_bfloat16_widened(y[i]) - (double)out[i]);
      assert_true(off <= 0x1p-8 * fabs((double)out[i]) + 1e-37);
    }
    es_function_backward(dx, dx, x, N, op, 0.5f, ES_BFLOAT16);
    for (int i = 0; i < N; i++) assert_true(fabs((double)es_bfloat16_widened(dx[i])) <= 1.5);
  }
}
