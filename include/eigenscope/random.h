/** Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
 * 3", SC'11). A number is a pure function of (seed, purpose, two counters), independent of ranks and of earlier
 * draws. */
#ifndef EIGENSCOPE_RANDOM_H
#define EIGENSCOPE_RANDOM_H

#include <stdint.h>

/** Purpose of a stream. The values determine the random numbers: append only. */
typedef enum es_purpose {
  ES_RANDOM_INITIALISE = 1, /**< (tensor, element) */
  ES_RANDOM_ORDER = 2,      /**< (epoch, position) */
  ES_RANDOM_AUGMENT = 3,    /**< (epoch, sample) */
  ES_RANDOM_DROPOUT = 4,    /**< (step and node, sample and element) */
  ES_RANDOM_SYNTHETIC = 5,  /**< (class or split, sample and element) */
  ES_RANDOM_TEST = 6,
  ES_RANDOM_DIRECTIONS = 7, /**< (layer, element): random directions for es_directions_random */
  ES_RANDOM_SEAT = 8,       /**< (split, image): fixed places of images on the canvas */
  ES_RANDOM_PLACE = 9,      /**< (epoch, sample) */
  ES_RANDOM_PART = 10,      /**< (epoch, sample and attempt) */
  ES_RANDOM_ERASE = 11,     /**< (epoch, sample and attempt) */
  ES_RANDOM_CUTOUT = 12,    /**< (epoch, sample) */
  ES_RANDOM_HELD_OUT = 13   /**< (0, position in the train split): samples that probes hold out; seed 0 */
} es_purpose_t;

/** The raw block function: maps a counter of 4 words and a key of 2 words to 4 words. */
void es_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/** Four words at (major, minor) of the stream (seed, purpose). The 64-bit seed is the key; the purpose is mixed into
 * the upper byte of major, which must stay below 2^56. */
void es_random_block(int64_t seed, es_purpose_t purpose, uint64_t major, uint64_t minor, uint32_t out[4]);

/** [0, 1) with 24 bits, exact in float. */
static inline float es_random_unit(uint32_t word) {
  return (float)(word >> 8) * 0x1p-24f;
}

/** An integer in 0 … bound−1 (bound ≥ 1) by multiply-shift; bias below bound · 2⁻³². */
static inline uint32_t es_random_below(uint32_t word, uint32_t bound) {
  return (uint32_t)(((uint64_t)word * bound) >> 32);
}

/** [0, 1) with 32 bits. */
static inline double es_random_share(uint32_t word) {
  return (double)word * 0x1p-32;
}

/** Two independent normal deviates (Box-Muller in double, rounded to float) from two words. */
void es_random_normal(uint32_t word0, uint32_t word1, float out[2]);

/** Writes the order of epoch `epoch`: a permutation of 0 … n−1 (Fisher-Yates), equal on every rank. */
void es_random_permutation(int64_t seed, uint64_t epoch, int64_t n, int32_t *out);

#endif
