/* Coefficients of channels, repeated (kernels.h). */
#include "kernels.h"
#include <string.h>

size_t es_pattern_length(size_t channels) {
  size_t a = channels, b = ES_PATTERN_UNIT;
  while (b) {
    size_t r = a % b;
    a = b;
    b = r;
  }
  return channels / a * ES_PATTERN_UNIT; /* least common multiple */
}

void es_pattern_fill(float *pattern, const float *values, size_t channels) {
  for (size_t i = 0, n = es_pattern_length(channels); i < n; i += channels)
    memcpy(pattern + i, values, channels * sizeof *values);
}
