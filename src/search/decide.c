/* The two rules. They know neither files nor points. */
#include "eigenscope/search.h"
#include <math.h>

/* ---- the smallest good value ---- */

/* Diverged levels are worse than any other. */
static double accuracy_of(const es_search_level_t *level) {
  return isnan(level->accuracy) ? -1.0 : level->accuracy;
}

/* The best accuracy of the trials. */
static double best_of(const es_search_level_t *levels, const es_search_trial_t *trials, int32_t n) {
  double best = -1.0;
  for (int32_t i = 0; i < n; i++) best = fmax(best, accuracy_of(&levels[trials[i].level]));
  return best;
}

static bool is_good(const es_search_level_t *level, double best, double accuracy) {
  return accuracy_of(level) >= best - accuracy - 1e-9; /* means of shares are not exact */
}

/* The smallest level that is at least as large as the directions which the largest network uses. */
static int32_t first_look(const es_search_level_t *levels, int32_t n, double saturation) {
  const double least = (isfinite(saturation) ? saturation : 1.0) * levels[n - 1].value;
  int32_t level = 0;
  while (level < n - 2 && levels[level].value < least) level++;
  return level;
}

/* The value that the trials, which are all done, ask for; its level is −1 if they ask for none. */
static es_search_trial_t next_trial(const es_search_level_t *levels, int32_t n, double accuracy,
                                    const es_search_trial_t *trials, int32_t n_trials, int32_t *good) {
  const double best = best_of(levels, trials, n_trials);
  int32_t top = 0, bad = -1;
  *good = n;
  for (int32_t i = 0; i < n_trials; i++) {
    const int32_t level = trials[i].level;
    if (level > top) top = level;
    if (level < *good && is_good(&levels[level], best, accuracy)) *good = level;
  }
  for (int32_t i = 0; i < n_trials; i++) { /* those below `good` are not good, since it is the smallest */
    if (trials[i].level < *good && trials[i].level > bad) bad = trials[i].level;
  }
  const bool grows = n_trials == 1 || accuracy_of(&levels[top]) > accuracy_of(&levels[top - 1]) + accuracy + 1e-9;
  if (grows && top < n - 1 && trials[n_trials - 1].why != ES_SEARCH_MIDDLE)
    return (es_search_trial_t){.level = top + 1, .why = ES_SEARCH_UP};
  return (es_search_trial_t){.level = *good - bad > 1 ? bad + (*good - bad) / 2 : -1, .why = ES_SEARCH_MIDDLE};
}

int32_t es_search_smallest(const es_search_level_t *levels, int32_t n, double saturation, double accuracy,
                           es_search_trial_t *trials, int32_t *answer) {
  es_search_trial_t next = {.level = first_look(levels, n, saturation), .why = ES_SEARCH_LOOK};
  int32_t n_trials = 0, good = -1;
  *answer = ES_SEARCH_OPEN;
  while (next.level >= 0) {
    es_search_trial_t *trial = &trials[n_trials++];
    *trial = next;
    if (!levels[trial->level].done) return n_trials;
    trial->best = best_of(levels, trials, n_trials);
    trial->good = is_good(&levels[trial->level], trial->best, accuracy);
    next = next_trial(levels, n, accuracy, trials, n_trials, &good);
  }
  *answer = best_of(levels, trials, n_trials) < 0.0 ? ES_SEARCH_NO_ANSWER : good;
  return n_trials;
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
