/* The rules. They know neither files nor points. */
#include "eigenscope/search.h"
#include <math.h>

/* ---- the smallest good value ---- */

static const double slack = 1e-9; /* means of shares are not exact */

/* Diverged levels are worse than any other. */
static double accuracy_of(const es_search_level_t *level) {
  return isnan(level->accuracy) ? -1.0 : level->accuracy;
}

int32_t es_search_smallest(const es_search_level_t *levels, int32_t n, double accuracy, int32_t *answer) {
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

double es_search_mean(const es_search_points_t *level, int32_t k) {
  double sum = 0.0;
  int32_t complete = 0;
  for (int32_t i = 0; i < k; i++) {
    if (level->accuracy[i] == -(double)INFINITY) continue;
    sum += level->accuracy[i];
    complete++;
  }
  return complete > 0 ? sum / complete : -1.0;
}

static double ask_for(es_search_points_t *level, int32_t k) {
  const int32_t n = k < level->n ? k : level->n;
  if (level->asked < n) level->asked = n;
  return es_search_mean(level, n);
}

/* 1: the second level is better by more than `accuracy`; 0: it is not; −1: not known yet. */
static int is_better(es_search_points_t *pair, double accuracy) {
  for (int32_t k = 1;; k++) {
    const double a = ask_for(&pair[0], k), b = ask_for(&pair[1], k), gain = b - a;
    if (isnan(a) || isnan(b)) return -1;
    if (k >= pair[0].n && k >= pair[1].n) return b < 0.0 || gain > accuracy + slack;
    if (a < 0.0 || b < 0.0) continue;
    if (gain > 2.0 * accuracy + slack) return 1;
    if (gain < -slack) return 0;
  }
}

int32_t es_search_needed(es_search_points_t *levels, int32_t n, double accuracy, int32_t *answer) {
  double best = -1.0;
  int32_t asked = 1;
  int better = 1;
  *answer = ES_SEARCH_OPEN;
  for (int32_t l = 0; l < n; l++) levels[l].asked = 0;
  if (isnan(ask_for(&levels[0], 1))) return asked;
  while (better == 1 && asked < n) better = is_better(&levels[asked++ - 1], accuracy);
  if (better < 0) return asked;
  for (int32_t l = 0; l < asked; l++) best = fmax(best, es_search_mean(&levels[l], levels[l].asked));
  *answer = ES_SEARCH_NO_ANSWER;
  for (int32_t l = asked - 1; l >= 0 && best >= 0.0; l--) {
    if (es_search_mean(&levels[l], levels[l].asked) >= best - accuracy - slack) *answer = l;
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
