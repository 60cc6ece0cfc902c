/** Mean and deviation of pixels by channel, from exact integer sums: independent of any order. Not collective. */
#ifndef EIGENSCOPE_DATA_MOMENTS_H
#define EIGENSCOPE_DATA_MOMENTS_H

#include <stdint.h>

typedef struct es_moments {
  int32_t channels; /**< 1 or 3 */
  uint64_t count;   /**< pixels so far */
  uint64_t sum[3], squares[3];
} es_moments_t;

/** Adds n pixels of (channels) bytes each. Start from es_moments_t m = {.channels = ...}. */
void es_moments_add(es_moments_t *moments, const uint8_t *pixels, int64_t n);
/** On the 0 … 1 scale; deviation with 1/n. Grey fills all three. */
void es_moments_finish(const es_moments_t *moments, double mean[3], double deviation[3]);

#endif
