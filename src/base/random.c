#include "eigenscope/random.h"
#include <assert.h>
#include <math.h>

enum { ROUNDS = 10 };
static const uint32_t MULTIPLIER_0 = 0xD2511F53u, MULTIPLIER_1 = 0xCD9E8D57u;
static const uint32_t WEYL_0 = 0x9E3779B9u, WEYL_1 = 0xBB67AE85u;

void es_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < ROUNDS; round++) {
    uint64_t product0 = (uint64_t)MULTIPLIER_0 * c0;
    uint64_t product1 = (uint64_t)MULTIPLIER_1 * c2;
    c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)product1;
    c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)product0;
    k0 += WEYL_0;
    k1 += WEYL_1;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

void es_random_block(int64_t seed, es_purpose_t purpose, uint64_t major, uint64_t minor, uint32_t out[4]) {
  assert(major >> 56 == 0);
  uint64_t high = major | (uint64_t)purpose << 56;
  const uint32_t counter[4] = {(uint32_t)minor, (uint32_t)(minor >> 32), (uint32_t)high, (uint32_t)(high >> 32)};
  const uint32_t key[2] = {(uint32_t)(uint64_t)seed, (uint32_t)((uint64_t)seed >> 32)};
  es_philox(counter, key, out);
}

void es_random_normal(uint32_t word0, uint32_t word1, float out[2]) {
  /* Box and Muller (1958). (0, 1] for the radius, so that the logarithm is finite; the largest deviate is 6.7. */
  double radius = sqrt(-2.0 * log(((double)word0 + 1.0) * 0x1p-32));
  double angle = 2.0 * M_PI * ((double)word1 * 0x1p-32);
  out[0] = (float)(radius * cos(angle));
  out[1] = (float)(radius * sin(angle));
}

void es_random_permutation(int64_t seed, uint64_t epoch, int64_t n, int32_t *out) {
  assert(n >= 0 && n <= INT32_MAX);
  for (int64_t i = 0; i < n; i++) out[i] = (int32_t)i;
  for (int64_t i = n - 1; i > 0; i--) {
    uint32_t words[4];
    es_random_block(seed, ES_RANDOM_ORDER, epoch, (uint64_t)i, words);
    uint32_t j = es_random_below(words[0], (uint32_t)i + 1);
    int32_t moved = out[i];
    out[i] = out[j];
    out[j] = moved;
  }
}
