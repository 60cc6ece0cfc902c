/* The rules of searches: on accuracies made by hand, and against all levels for many random ones. */
#include "eigenscope/random.h"
#include "eigenscope/search.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

enum { MOST = 12 };

/* The next word of a stream that is the same in each run of the tests. */
static uint32_t draw(void) {
  static uint64_t at;
  uint32_t words[4];
  es_random_block(1, ES_RANDOM_SYNTHETIC, 0, at++, words);
  return words[0];
}

static int32_t below(int32_t bound) {
  return (int32_t)es_random_below(draw(), (uint32_t)bound);
}

static double unit(void) {
  return (double)es_random_unit(draw());
}

/* Replays a search that is told the accuracy of each level it asks for. Returns the answer; *asked: how many. */
static int32_t search(const double *accuracy, int32_t n, double within, int32_t *asked) {
  es_search_level_t levels[MOST] = {0};
  int32_t answer = ES_SEARCH_OPEN;
  for (int32_t i = 0; i < n; i++) levels[i] = (es_search_level_t){.value = (double)i, .accuracy = accuracy[i]};
  for (int32_t round = 0; answer == ES_SEARCH_OPEN; round++) {
    assert_true(round <= n);
    *asked = es_search_smallest(levels, n, within, &answer);
    for (int32_t i = 0; i + 1 < *asked; i++) assert_true(levels[i].done);
    if (answer == ES_SEARCH_OPEN) assert_false(levels[*asked - 1].done);
    levels[*asked - 1].done = true;
  }
  return answer;
}

TEST(smallest_by_hand) {
  int32_t asked;
  const double grows[] = {0.5, 0.7, 0.8, 0.9, 0.905, 0.906};
  assert_int_equal(search(grows, 6, 0.01, &asked), 3);
  assert_int_equal(asked, 5);
  const double flat[] = {0.9, 0.9, 0.9, 0.9};
  assert_int_equal(search(flat, 4, 0.01, &asked), 0);
  assert_int_equal(asked, 2);
  const double all[] = {0.1, 0.2, 0.3, 0.4};
  assert_int_equal(search(all, 4, 0.01, &asked), 3);
  assert_int_equal(asked, 4);
  const double within[] = {0.59, 0.6}; /* exactly at the limit counts */
  assert_int_equal(search(within, 2, 0.01, &asked), 0);
  assert_int_equal(search(within, 1, 0.01, &asked), 0);
}

TEST(smallest_with_diverged_levels) {
  int32_t asked;
  const double nan = (double)NAN;
  const double top[] = {0.5, 0.9, nan, 0.9}, low[] = {nan, nan, 0.9, 0.9}, none[] = {nan, nan, nan};
  assert_int_equal(search(top, 4, 0.01, &asked), 1);
  assert_int_equal(search(low, 4, 0.01, &asked), 2);
  assert_int_equal(search(none, 3, 0.01, &asked), ES_SEARCH_NO_ANSWER);
  assert_int_equal(asked, 3);
}

/* Where accuracies grow by more than the tolerance up to a level and are flat from there, the search finds this level.
 */
TEST(smallest_finds_the_bend) {
  for (int trial = 0; trial < 2000; trial++) {
    const int32_t n = 2 + below(MOST - 1), bend = below(n);
    double accuracy[MOST];
    int32_t asked;
    for (int32_t i = 0; i < n; i++) accuracy[i] = i <= bend ? 0.2 + 0.05 * i : accuracy[bend] + 0.009 * unit();
    assert_int_equal(search(accuracy, n, 0.01, &asked), bend);
    assert_int_equal(asked, bend + 2 < n ? bend + 2 : n);
  }
}

/* ---- as many seeds as needed ---- */

enum { SEEDS = 3 };

/* As search(), where the search asks for points one after another. Returns the answer; *total: points asked for. */
static int32_t search_needed(const double accuracy[][SEEDS], int32_t n, double within, int32_t *total) {
  double known[MOST][SEEDS];
  es_search_points_t levels[MOST];
  int32_t answer = ES_SEARCH_OPEN;
  for (int32_t i = 0; i < n; i++) {
    for (int s = 0; s < SEEDS; s++) known[i][s] = (double)NAN;
    levels[i] = (es_search_points_t){known[i], SEEDS, 0};
  }
  for (int round = 0; answer == ES_SEARCH_OPEN; round++) {
    assert_true(round <= n * SEEDS);
    const int32_t asked = es_search_needed(levels, n, within, &answer);
    *total = 0;
    for (int32_t i = 0; i < n; i++) {
      assert_true(i < asked ? levels[i].asked > 0 : levels[i].asked == 0);
      memcpy(known[i], accuracy[i], (size_t)levels[i].asked * sizeof(double));
      *total += levels[i].asked;
    }
  }
  return answer;
}

TEST(needed_by_hand) {
  int32_t total;
  const double bad = -(double)INFINITY;
  const double clear[][SEEDS] = {{0.5, 0, 0}, {0.7, 0, 0}, {0.69, 0, 0}, {0.9, 0.9, 0.9}}; /* zeros are not asked for */
  assert_int_equal(search_needed(clear, 4, 0.01, &total), 1);
  assert_int_equal(total, 3);
  const double close[][SEEDS] = {{0.5, 0.5, 0.5}, {0.515, 0.515, 0.509}, {0.51, 0, 0}}; /* 0.013 better in the mean */
  assert_int_equal(search_needed(close, 3, 0.01, &total), 1);
  assert_int_equal(total, 7);
  const double same[][SEEDS] = {{0.5, 0.5, 0.5}, {0.5, 0.52, 0.5}, {0.9, 0.9, 0.9}};
  assert_int_equal(search_needed(same, 3, 0.01, &total), 0);
  assert_int_equal(total, 6);
  const double low[][SEEDS] = {{bad, bad, bad}, {bad, 0.5, 0.5}, {0.49, 0.49, 0.49}};
  assert_int_equal(search_needed(low, 3, 0.01, &total), 1);
  const double none[][SEEDS] = {{bad, bad, bad}, {bad, bad, bad}};
  assert_int_equal(search_needed(none, 2, 0.01, &total), ES_SEARCH_NO_ANSWER);
  assert_int_equal(total, 6);
}

/* If all points of each level are equal, es_search_needed gives the answer of es_search_smallest. */
TEST(needed_equals_smallest_without_noise) {
  for (int trial = 0; trial < 2000; trial++) {
    const int32_t n = 1 + below(MOST);
    double accuracy[MOST], each[MOST][SEEDS];
    int32_t asked, total;
    for (int32_t i = 0; i < n; i++) {
      accuracy[i] = below(8) == 0 ? (double)NAN
                                  : (i > 0 && !isnan(accuracy[i - 1]) ? accuracy[i - 1] : 0.3) + 0.05 * unit() - 0.005;
      for (int s = 0; s < SEEDS; s++) each[i][s] = isnan(accuracy[i]) ? -(double)INFINITY : accuracy[i];
    }
    const int32_t expected = search(accuracy, n, 0.01, &asked);
    assert_int_equal(search_needed(each, n, 0.01, &total), expected);
    assert_true(total <= SEEDS * asked);
  }
}

/* ---- halving ---- */

TEST(halving_by_hand) {
  const es_ratio_t third = {1, 3};
  const double nan = (double)NAN;
  int32_t fate[7];
  double score[7][2] = {{0.1, nan}, {0.7, nan}, {0.3, nan}, {0.4, nan}, {0.5, nan}, {0.6, nan}, {0.2, nan}};
  assert_int_equal(es_search_halve(score[0], 7, 2, third, fate), 1); /* three go on, and wait at the second rung */
  const int32_t first[] = {0, 1, 0, 0, 1, 1, 0};
  assert_memory_equal(fate, first, sizeof first);
  score[1][1] = 0.8;
  score[4][1] = 0.9;
  assert_int_equal(es_search_halve(score[0], 7, 2, third, fate), 1);
  score[5][1] = 0.7;
  assert_int_equal(es_search_halve(score[0], 7, 2, third, fate), 2);
  const int32_t second[] = {0, 1, 0, 0, 2, 1, 0};
  assert_memory_equal(fate, second, sizeof second);
  score[3][1] = 1.0; /* numbers of candidates that were stopped before do not count */
  assert_int_equal(es_search_halve(score[0], 7, 2, third, fate), 2);
  assert_memory_equal(fate, second, sizeof second);
}

TEST(halving_of_ties_and_diverged_candidates) {
  const es_ratio_t half = {1, 2};
  int32_t fate[4];
  const double ties[] = {0.5, 0.5, 0.5, 0.5}, bad[] = {-(double)INFINITY, 0.5, -(double)INFINITY, -(double)INFINITY};
  assert_int_equal(es_search_halve(ties, 4, 1, half, fate), 1);
  assert_memory_equal(fate, ((const int32_t[]){1, 1, 0, 0}), sizeof fate);
  assert_int_equal(es_search_halve(bad, 4, 1, half, fate), 1); /* one of two places stays empty */
  assert_memory_equal(fate, ((const int32_t[]){0, 1, 0, 0}), sizeof fate);
}

/* Equals sorting at each rung. */
TEST(halving_keeps_the_best) {
  for (int trial = 0; trial < 500; trial++) {
    enum { RUNGS = 3 };
    const int32_t n = 1 + below(MOST);
    const es_ratio_t keep = {1, 2 + below(3)};
    double score[MOST][RUNGS];
    int32_t fate[MOST], alive = n;
    for (int32_t c = 0; c < n; c++) {
      for (int r = 0; r < RUNGS; r++) score[c][r] = unit();
    }
    assert_int_equal(es_search_halve(score[0], n, RUNGS, keep, fate), RUNGS);
    for (int32_t r = 0; r < RUNGS; r++) {
      const int32_t on = (int32_t)((alive * keep.numerator + keep.denominator - 1) / keep.denominator);
      double worst_kept = 2.0, best_stopped = -1.0;
      int32_t n_on = 0;
      for (int32_t c = 0; c < n; c++) {
        if (fate[c] > r) worst_kept = fmin(worst_kept, score[c][r]);
        if (fate[c] == r) best_stopped = fmax(best_stopped, score[c][r]);
        n_on += fate[c] > r;
      }
      assert_int_equal(n_on, on);
      assert_true(worst_kept > best_stopped);
      alive = on;
    }
  }
}
