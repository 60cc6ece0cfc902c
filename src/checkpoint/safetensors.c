/* Shared by the reader and the writer of safetensors: dtypes, sizes, seals, conversion. */
#include "safetensors.h"
#include "eigenscope/file.h"
#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  size_t size;
} DTYPES[ES_DTYPES] = {
    [ES_F32] = {"F32", 4},   [ES_F64] = {"F64", 8}, [ES_I32] = {"I32", 4},   [ES_I64] = {"I64", 8},
    [ES_U8] = {"U8", 1},     [ES_F16] = {"F16", 2}, [ES_BF16] = {"BF16", 2}, [ES_I8] = {"I8", 1},
    [ES_I16] = {"I16", 2},   [ES_U16] = {"U16", 2}, [ES_U32] = {"U32", 4},   [ES_U64] = {"U64", 8},
    [ES_BOOL] = {"BOOL", 1},
};

size_t es_dtype_size(es_dtype_t dtype) {
  return DTYPES[dtype].size;
}

const char *es_dtype_name(es_dtype_t dtype) {
  return DTYPES[dtype].name;
}

bool es_dtype_is_real(es_dtype_t dtype) {
  return dtype == ES_F32 || dtype == ES_F64 || dtype == ES_F16 || dtype == ES_BF16;
}

es_dtype_t es_format_dtype(const char *name) {
  int dtype = 0;
  while (dtype < ES_DTYPES && strcmp(DTYPES[dtype].name, name) != 0) dtype++;
  return (es_dtype_t)dtype;
}

bool es_format_tensor_bytes(const es_tensor_view_t *tensor, size_t *bytes) {
  *bytes = 0;
  bool empty = false;
  for (int32_t i = 0; i < tensor->rank; i++) {
    if (tensor->shape[i] < 0) return false;
    empty = empty || tensor->shape[i] == 0;
  }
  if (empty) return true;
  *bytes = es_dtype_size(tensor->dtype);
  for (int32_t i = 0; i < tensor->rank; i++) {
    if (__builtin_mul_overflow(*bytes, (size_t)tensor->shape[i], bytes)) return false;
  }
  /* Offsets are signed 64-bit numbers in this program. */
  return *bytes <= INT64_MAX;
}

/* Includes the terminator, so that "ab" + "c" and "a" + "bc" differ. */
static uint64_t seal_string(uint64_t seal, const char *text) {
  return es_hash(text, strlen(text) + 1, seal);
}

uint64_t es_format_seal_metadata(uint64_t seal, const es_metadata_t *entry) {
  return seal_string(seal_string(seal, entry->key), entry->value);
}

uint64_t es_format_seal_tensor(uint64_t seal, const es_tensor_view_t *tensor, size_t bytes) {
  seal = seal_string(seal, tensor->name);
  seal = seal_string(seal, es_dtype_name(tensor->dtype));
  for (int32_t i = 0; i < tensor->rank; i++) {
    char length[24];
    snprintf(length, sizeof length, "%lld", (long long)tensor->shape[i]);
    seal = seal_string(seal, length);
  }
  return es_hash(bytes > 0 ? tensor->data : "", bytes, seal);
}

void es_format_seal_text(uint64_t seal, char out[FORMAT_SEAL_SIZE]) {
  snprintf(out, FORMAT_SEAL_SIZE, "%016llx", (unsigned long long)seal);
}

/* ---- conversion of other dtypes to float ---- */

int64_t es_tensor_count(const es_tensor_view_t *tensor) {
  int64_t n = 1;
  for (int32_t i = 0; i < tensor->rank; i++) { /* with one length of 0, others may be of any size */
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

void es_dtype_to_double(es_dtype_t dtype, const void *data, size_t n, double *out) {
  if (dtype == ES_F64 && n > 0) memcpy(out, data, n * sizeof *out);
  for (size_t i = 0; dtype == ES_F32 && i < n; i++) out[i] = (double)((const float *)data)[i];
  for (size_t i = 0; dtype == ES_F16 && i < n; i++) out[i] = (double)float_of_half(((const uint16_t *)data)[i]);
  for (size_t i = 0; dtype == ES_BF16 && i < n; i++)
    out[i] = (double)float_of_bits((uint32_t)((const uint16_t *)data)[i] << 16);
}
