/* Converts stored numbers to numbers of this machine. */
#include "activations_internal.h"
#include "eigenscope/kernel.h"
#include <stdio.h>
#include <string.h>

enum { BLOCK = 1024 };

static const bool MACHINE_IS_BIG = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

es_number_t es_number_make(es_number_kind_t kind, int size, bool is_signed, bool big) {
  es_number_t out = {.kind = kind, .size = size, .is_signed = is_signed, .swapped = size > 1 && big != MACHINE_IS_BIG};
  const char *words = kind != ES_NUMBER_INTEGER ? "float" : is_signed ? "int" : "uint";
  snprintf(out.text, sizeof out.text, "%s%d", words, 8 * size);
  return out;
}

size_t es_number_memory(const es_number_t *number) {
  return number->kind == ES_NUMBER_FLOAT64 ? sizeof(double) : sizeof(float);
}

void *es_number_stage(const es_number_t *number, void *buffer, size_t n) {
  return (char *)buffer + n * (es_number_memory(number) - (size_t)number->size);
}

ES_KERNEL static void swap_2(void *data, size_t n) {
  uint16_t *values = data;
  for (size_t i = 0; i < n; i++) values[i] = __builtin_bswap16(values[i]);
}

ES_KERNEL static void swap_4(void *data, size_t n) {
  uint32_t *values = data;
  for (size_t i = 0; i < n; i++) values[i] = __builtin_bswap32(values[i]);
}

ES_KERNEL static void swap_8(void *data, size_t n) {
  uint64_t *values = data;
  for (size_t i = 0; i < n; i++) values[i] = __builtin_bswap64(values[i]);
}

static void swap(int size, void *data, size_t n) {
  if (size == 2) swap_2(data, n);
  if (size == 4) swap_4(data, n);
  if (size == 8) swap_8(data, n);
}

/* Selects between three cases without branches, so that compilers vectorise it. Subnormal halves are multiples of 2⁻²⁴.
 * Avoids arithmetic on subnormal floats, which some libraries flush to zero. */
ES_KERNEL void es_number_halves(const uint16_t *restrict in, float *restrict out, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t half = in[i], sign = (half & 0x8000u) << 16, rest = half & 0x7fffu, bits, small;
    float subnormal = (float)(int32_t)rest * 0x1p-24f;
    memcpy(&small, &subnormal, sizeof small);
    bits = (rest << 13) + (112u << 23);                  /* rebias the exponent: 127 − 15 */
    bits = rest >= 0x7c00u ? bits + (112u << 23) : bits; /* infinity and NaN */
    bits = sign | (rest < 0x0400u ? small : bits);
    memcpy(out + i, &bits, sizeof bits);
  }
}

/* Converts the halves in the second half of a buffer to floats over the whole buffer. A block of floats never
 * overwrites unread halves, but may overwrite its own. */
static void spread_halves(const es_number_t *number, void *buffer, size_t n) {
  uint16_t block[BLOCK];
  const uint16_t *halves = es_number_stage(number, buffer, n);
  float *out = buffer;
  for (size_t done = 0, count; done < n; done += count) {
    count = n - done < BLOCK ? n - done : BLOCK;
    memcpy(block, halves + done, count * sizeof *block);
    if (number->swapped) swap_2(block, count);
    es_number_halves(block, out + done, count);
  }
}

void es_number_unpack(const es_number_t *number, void *buffer, size_t n) {
  if (number->kind == ES_NUMBER_FLOAT16)
    spread_halves(number, buffer, n);
  else if (number->swapped)
    swap(number->size, buffer, n);
}

void es_number_integers(const es_number_t *number, const void *stored, int64_t *out, size_t n) {
  const int bytes = number->size, unused = 64 - 8 * bytes;
  const uint8_t *at = stored;
  for (size_t i = 0; i < n; i++, at += bytes) {
    uint64_t value = 0;
    for (int b = 0; b < bytes; b++) {
      bool from_end = number->swapped == MACHINE_IS_BIG; /* stored as little-endian */
      value = value << 8 | at[from_end ? bytes - 1 - b : b];
    }
    if (number->is_signed)
      out[i] = (int64_t)(value << unused) >> unused;
    else
      out[i] = value > INT64_MAX ? INT64_MAX : (int64_t)value;
  }
}
