#include "eigenscope/scores.h"
#include <assert.h>
#include <math.h>

static const char *const names[ES_SCORES] = {"recall", "precision", "f1", "specificity"};

const char *es_score_name(es_score_t score) {
  assert((unsigned)score < ES_SCORES);
  return names[score];
}

static double share(int64_t part, int64_t whole, double otherwise) {
  return whole > 0 ? (double)part / (double)whole : otherwise;
}

double es_score(es_score_t score, const es_score_counts_t *c) {
  const int64_t others = c->all - c->samples;
  if (c->samples == 0) return (double)NAN;
  switch (score) {
  case ES_SCORE_RECALL:
    return share(c->hits, c->samples, (double)NAN);
  case ES_SCORE_PRECISION:
    return share(c->hits, c->predictions, 0);
  case ES_SCORE_F1:
    return share(2 * c->hits, c->samples + c->predictions, 0);
  default:
    return share(others - (c->predictions - c->hits), others, (double)NAN);
  }
}
