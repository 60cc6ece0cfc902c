/* Numbers of other widths as floats. */
#include "eigenscope/checkpoint.h"
#include <string.h>

int64_t es_tensor_count(const es_tensor_view_t *tensor) {
  int64_t n = 1;
  for (int32_t i = 0; i < tensor->rank; i++) { /* beside a length of 0 others may be of any size */
    if (tensor->shape[i] == 0) return 0;
  }
  for (int32_t i = 0; i < tensor->rank; i++) n *= tensor->shape[i];
  return n;
}

static float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Sign, 5 bits of exponent (bias 15), 10 of fraction. */
static float float_of_half(uint16_t half) {
  const uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> 10 & 31, fraction = half & 0x3ff;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent > 0) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
  const float value = (float)fraction * 0x1p-24f; /* subnormal, or zero */
  return sign ? -value : value;
}

void es_tensor_to_float(const es_tensor_view_t *tensor, float *out) {
  const int64_t n = es_tensor_count(tensor);
  if (tensor->dtype == ES_F32 && n > 0) memcpy(out, tensor->data, (size_t)n * sizeof *out);
  for (int64_t i = 0; tensor->dtype == ES_F64 && i < n; i++) out[i] = (float)((const double *)tensor->data)[i];
  for (int64_t i = 0; tensor->dtype == ES_F16 && i < n; i++)
    out[i] = float_of_half(((const uint16_t *)tensor->data)[i]);
  for (int64_t i = 0; tensor->dtype == ES_BF16 && i < n; i++)
    out[i] = float_of_bits((uint32_t)((const uint16_t *)tensor->data)[i] << 16);
}
