/* Max pooling of 2 × 2 against its definition. Values are few, so that equals are common; NaN stand among them. */
#include "../../src/model/kernels.h"
#include "check.h"
#include "eigenscope/random.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MOST = 9, CHANNELS = 70, SIZE = MOST * MOST * CHANNELS, GUARD = 16 };

static float few(uint64_t stream, uint64_t i) {
  uint32_t words[4];
  es_random_block(72, ES_RANDOM_TEST, stream, i, words);
  const uint32_t n = es_random_below(words[0], 40);
  return n == 0 ? NAN : n == 1 ? -INFINITY : (float)(n % 5) - 2.0f;
}

static bool same(float a, float b) {
  return a == b || (isnan(a) && isnan(b));
}

/* Which of the four: the first NaN, else the first of the largest. */
static int winner_of(const float v[4]) {
  int best = 0;
  for (int i = 1; i < 4; i++) {
    if (!isnan(v[best]) && (isnan(v[i]) || v[i] > v[best])) best = i;
  }
  return best;
}

static void check(size_t h, size_t w, size_t c) {
  static float x[SIZE], dx[SIZE + GUARD], y[SIZE + GUARD], dy[SIZE], scratch[2 * MOST * CHANNELS];
  static int32_t winner[SIZE + GUARD];
  const size_t in = h * w * c, out = (h / 2) * (w / 2) * c;
  for (size_t i = 0; i < in; i++) x[i] = few(h * 100 + w, i * c);
  for (size_t i = 0; i < out; i++) dy[i] = (float)i + 1.0f;
  for (size_t i = 0; i < SIZE + GUARD; i++) dx[i] = y[i] = -77.0f, winner[i] = 99;

  es_maxpool2_forward(y, winner, x, h, w, c);
  es_maxpool2_backward(dx, dy, winner, h, w, c, scratch);
  double left = 0.0, came = 0.0;
  for (size_t o = 0; o < out; o++) {
    const size_t k = o % c, column = o / c % (w / 2), row = o / c / (w / 2);
    size_t at[4];
    float v[4];
    for (size_t i = 0; i < 4; i++) {
      at[i] = ((2 * row + i / 2) * w + 2 * column + i % 2) * c + k;
      v[i] = x[at[i]];
    }
    const int want = winner_of(v);
    assert_int_equal(winner[o], want);
    assert_true(same(y[o], v[want]));
    for (int i = 0; i < 4; i++) assert_true(dx[at[i]] == (i == want ? dy[o] : 0.0f));
    left += (double)dy[o];
  }
  for (size_t i = 0; i < in; i++) came += (double)dx[i];
  if (out > 0) assert_true(came == left); /* also where an odd row or column is left out */
  for (size_t i = 0; i < GUARD; i++) {
    assert_true(y[out + i] == -77.0f && dx[in + i] == -77.0f && winner[out + i] == 99);
  }
}

static void test_definition(void **state) {
  (void)state;
  for (size_t c = 1; c <= CHANNELS; c += c < 34 ? 1 : 18) {
    for (size_t h = 2; h <= MOST; h++) {
      for (size_t w = 2; w <= MOST; w += h > 4 ? 2 : 1) check(h, w, c);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {balanced_test(test_definition)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
