/* Max pooling of 2 × 2 after batch norm against its definition. Inputs have few distinct values, so equal ones are
 * common, and contain NaN. */
#include "../../src/model/kernels.h"
#include "eigenscope/random.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MOST = 9, CHANNELS = 70, SIZE = MOST * MOST * CHANNELS, GUARD = 16 };

static float few(uint64_t stream, uint64_t i) {
  const uint32_t n = es_random_below(draw_word(72, stream, i), 40);
  return n == 0 ? NAN : n == 1 ? -INFINITY : (float)(n % 5) - 2.0f;
}

static bool same(float a, float b) {
  return a == b || (isnan(a) && isnan(b));
}

/* Index of the winner among four: the first NaN, else the first of the largest. */
static int winner_of(const float v[4]) {
  int best = 0;
  for (int i = 1; i < 4; i++) {
    if (!isnan(v[best]) && (isnan(v[i]) || v[i] > v[best])) best = i;
  }
  return best;
}

static float activated(float v, es_activation_t activation) {
  if (activation != ES_NO_ACTIVATION && v < 0.0f) return 0.0f;
  return activation == ES_RELU6 && v > 6.0f ? 6.0f : v;
}

static bool lets_through(float v, es_activation_t activation) {
  return activation == ES_NO_ACTIVATION || (v > 0.0f && (activation == ES_RELU || v < 6.0f));
}

static float x[SIZE], dx[SIZE + GUARD], spread[SIZE + GUARD], y[SIZE + GUARD], picked[SIZE + GUARD], dy[SIZE];
static float scratch[2 * MOST * CHANNELS];
static uint8_t winner[SIZE + GUARD];
static float values[5][CHANNELS], patterns[5][CHANNELS * ES_PATTERN_UNIT]; /* scale, shift; a, b, c */

static void fill(size_t h, size_t w, size_t c) {
  for (size_t i = 0; i < h * w * c; i++) x[i] = few(h * 100 + w, i * c);
  for (size_t i = 0; i < SIZE; i++) dy[i] = (float)i + 1.0f;
  for (size_t i = 0; i < SIZE + GUARD; i++) dx[i] = spread[i] = y[i] = picked[i] = -77.0f, winner[i] = 99;
  for (size_t which = 0; which < 5; which++) {
    for (size_t k = 0; k < c; k++) values[which][k] = (float)((k + which * h) % 9) - 4.0f;
    es_pattern_fill(patterns[which], values[which], c);
  }
}

/* Positions of the four inputs of output o, and their values before the activation. */
static int four_of(size_t o, size_t w, size_t c, size_t at[4], float v[4]) {
  const size_t k = o % c, column = o / c % (w / 2), row = o / c / (w / 2);
  for (size_t i = 0; i < 4; i++) {
    at[i] = ((2 * row + i / 2) * w + 2 * column + i % 2) * c + k;
    v[i] = x[at[i]] * values[0][k] + values[1][k];
  }
  return winner_of(v);
}

static void check(size_t h, size_t w, size_t c, es_activation_t activation) {
  static float g[SIZE];
  const size_t in = h * w * c, out = (h / 2) * (w / 2) * c;
  const es_affine_t f = {patterns[0], patterns[1], activation};
  const es_backward_t t = {patterns[2], patterns[3], patterns[4]};
  fill(h, w, c);
  es_maxpool2_forward(y, picked, winner, x, h, w, c, &f, scratch, ES_FLOAT32);
  memset(scratch, 0xff, sizeof scratch);
  es_maxpool2_backward(dx, dy, winner, x, h, w, c, &t, scratch, ES_FLOAT32);
  es_maxpool2_spread(spread, dy, winner, h, w, c, scratch, ES_FLOAT32);
  memset(g, 0, sizeof g);
  for (size_t o = 0; o < out; o++) {
    size_t at[4];
    float v[4];
    const int best = four_of(o, w, c, at, v);
    const bool through = lets_through(v[best], activation);
    assert_int_equal(winner[o], through ? best : 4);
    assert_true(same(y[o], activated(v[best], activation)));
    assert_true(same(picked[o], x[at[best]]));
    if (through) g[at[best]] = dy[o];
  }
  for (size_t i = 0; i < in; i++) { /* includes an odd last row or column, which no output uses */
    assert_true(spread[i] == g[i]);
    assert_true(same(dx[i], values[2][i % c] * g[i] + (values[3][i % c] * x[i] + values[4][i % c])));
  }
  for (size_t i = 0; i < GUARD; i++) {
    assert_true(y[out + i] == -77.0f && picked[out + i] == -77.0f && winner[out + i] == 99);
    assert_true(dx[in + i] == -77.0f && spread[in + i] == -77.0f);
  }
}

TEST(definition) {
  for (size_t c = 1; c <= CHANNELS; c += c < 34 ? 1 : 18) {
    for (size_t h = 2; h <= MOST; h++) {
      for (size_t w = 2; w <= MOST; w += h > 4 ? 2 : 1) {
        for (es_activation_t a = ES_NO_ACTIVATION; a <= ES_RELU6; a++) check(h, w, c, a);
      }
    }
  }
}

/* From the winners alone, batch norm computes the same outputs and gradient sums as from the whole map. */
TEST(winners_stand_for_all) {
  enum { H = 6, W = 4, C = 5, IN = H * W * C, OUT = IN / 4 };
  static float whole[IN], again[OUT];
  double sums[2][2 * C] = {{0}}, room[2 * C * ES_PATTERN_UNIT];
  const es_affine_t f = {patterns[0], patterns[1], ES_RELU};
  fill(H, W, C);
  for (size_t i = 0; i < IN; i++) x[i] = (float)(i * 37 % 101) * 0.25f - 10.0f;
  es_maxpool2_forward(y, picked, winner, x, H, W, C, &f, scratch, ES_FLOAT32);
  es_rows_affine(again, picked, OUT / C, C, &f, ES_FLOAT32);
  assert_memory_equal(again, y, sizeof again);
  es_maxpool2_spread(whole, dy, winner, H, W, C, scratch, ES_FLOAT32);
  es_rows_backward_sums(sums[0], whole, x, IN / C, C, &f, patterns[2], room, ES_FLOAT32);
  es_rows_backward_sums(sums[1], dy, picked, OUT / C, C, &f, patterns[2], room, ES_FLOAT32);
  for (int i = 0; i < 2 * C; i++) assert_true(sums[0][i] == sums[1][i]);
}
