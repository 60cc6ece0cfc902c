/* Scores of classes against values computed by hand; scikit-learn's are in system.test_scores. */
#include "eigenscope/scores.h"
#include "support/unit.h"
#include <math.h>

static void check(es_score_counts_t counts, const double expected[ES_SCORES]) {
  for (int i = 0; i < ES_SCORES; i++) {
    const double value = es_score((es_score_t)i, &counts);
    if (value != expected[i] && !(isnan(value) && isnan(expected[i])))
      fail_msg("%s is %.17g instead of %.17g", es_score_name((es_score_t)i), value, expected[i]);
  }
}

TEST(by_hand) {
  /* 8 of 10 samples found, 4 of 12 predictions wrong, 26 of 30 others kept out. */
  check((es_score_counts_t){.hits = 8, .samples = 10, .predictions = 12, .all = 40},
        (double[]){0.8, 8 / 12.0, 16 / 22.0, 26 / 30.0});
  check((es_score_counts_t){.hits = 0, .samples = 5, .predictions = 3, .all = 20}, (double[]){0, 0, 0, 12 / 15.0});
}

TEST(limits) {
  const double nan = (double)NAN;
  check((es_score_counts_t){.hits = 0, .samples = 5, .predictions = 0, .all = 9}, (double[]){0, 0, 0, 1});
  check((es_score_counts_t){.hits = 7, .samples = 7, .predictions = 7, .all = 7}, (double[]){1, 1, 1, nan});
  check((es_score_counts_t){.hits = 0, .samples = 0, .predictions = 2, .all = 9}, (double[]){nan, nan, nan, nan});
}

TEST(names) {
  static const char *const names[ES_SCORES] = {"recall", "precision", "f1", "specificity"};
  for (int i = 0; i < ES_SCORES; i++) assert_string_equal(es_score_name((es_score_t)i), names[i]);
}
