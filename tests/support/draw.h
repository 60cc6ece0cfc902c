/* Random numbers for tests: a function of seed, stream and element. */
#ifndef ES_TEST_SUPPORT_DRAW_H
#define ES_TEST_SUPPORT_DRAW_H

#include "eigenscope/random.h"

static inline uint32_t draw_word(int64_t seed, uint64_t stream, uint64_t element) {
  uint32_t words[4];
  es_random_block(seed, ES_RANDOM_TEST, stream, element, words);
  return words[0];
}

/* Uniform in (0, 1). */
static inline float draw_unit(int64_t seed, uint64_t stream, uint64_t element) {
  return es_random_unit(draw_word(seed, stream, element));
}

/* Two normal numbers with mean 0 and deviation 1. */
static inline void draw_pair(float out[2], int64_t seed, uint64_t stream, uint64_t element) {
  uint32_t words[4];
  es_random_block(seed, ES_RANDOM_TEST, stream, element, words);
  es_random_normal(words[0], words[1], out);
}

static inline float draw_normal(int64_t seed, uint64_t stream, uint64_t element) {
  float pair[2];
  draw_pair(pair, seed, stream, element);
  return pair[0];
}

#endif
