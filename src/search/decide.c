/* The two rules. They know neither files nor points. */
#include "eigenscope/search.h"
#include <math.h>

/* ---- the smallest good value ---- */

/* Diverged levels are worse than any other. */
static double accuracy_of(const es_search_level_t *level) {
  return isnan(level->accuracy) ? -1.0 : level->accuracy;
}

int32_t es_search_smallest(const es_search_level_t *levels, int32_t n, double accuracy, int32_t *answer) {
  const double slack = 1e-9; /* means of shares are not exact */
  double best = -1.0;
  int32_t asked = 0;
  *answer = ES_SEARCH_OPEN;
  for (bool grows = true; grows && asked < n; asked++) {
    if (!levels[asked].done) return asked + 1;
    const double own = accuracy_of(&levels[asked]);
    /* A diverged level says nothing of larger ones. */
    grows = asked == 0 || own < 0.0 || own > accuracy_of(&levels[asked - 1]) + accuracy + slack;
    best = fmax(best, own);
  }
  *answer = ES_SEARCH_NO_ANSWER;
  for (int32_t i = asked - 1; i >= 0 && best >= 0.0; i--) {
    if (accuracy_of(&levels[i]) >= best - accuracy - slack) *answer = i;
  }
  return asked;
}

/* ---- successive halving ---- */

/* Number of candidates in the race with a better score, or an equal one and a smaller index. */
static int32_t place_of(const double *score, int32_t n, int32_t n_rungs, int32_t rung, const int32_t *fate, int32_t c) {
  const double own = score[(int64_t)c * n_rungs + rung];
  int32_t place = 0;
  for (int32_t i = 0; i < n; i++) {
    const double other = score[(int64_t)i * n_rungs + rung];
    place += i != c && fate[i] >= rung && (other > own || (other == own && i < c));
  }
  return place;
}

int32_t es_search_halve(const double *score, int32_t n, int32_t n_rungs, es_ratio_t keep, int32_t *fate) {
  int32_t left = n;
  for (int32_t c = 0; c < n; c++) fate[c] = 0;
  for (int32_t rung = 0; rung < n_rungs; rung++) {
    for (int32_t c = 0; c < n; c++) {
      if (fate[c] == rung && isnan(score[(int64_t)c * n_rungs + rung])) return rung;
    }
    const int64_t kept = (left * keep.numerator + keep.denominator - 1) / keep.denominator;
    int32_t on = 0;
    for (int32_t c = 0; c < n; c++) {
      const double own = score[(int64_t)c * n_rungs + rung];
      if (fate[c] != rung || place_of(score, n, n_rungs, rung, fate, c) >= kept || own == -(double)INFINITY) continue;
      fate[c] = n_rungs + 1; /* marks it, so that places are those before the rung */
      on++;
    }
    for (int32_t c = 0; c < n; c++) {
      if (fate[c] == n_rungs + 1) fate[c] = rung + 1;
    }
    left = on;
  }
  return n_rungs;
}
