#include "eigenscope/stability.h"
#include <math.h>

/* Values of two epochs by layer. A pair is a layer with a value in both. */
typedef struct pairs {
  const double *a, *b;
  int n;
} pairs_t;

static bool is_pair(const pairs_t *p, int i) {
  return !isnan(p->a[i]) && !isnan(p->b[i]);
}

/* Rank of a value among the pairs, from 1. Equal values share the mean of their ranks. */
static double rank_of(const pairs_t *p, const double *values, int i) {
  int below = 0, equal = 0;
  for (int j = 0; j < p->n; j++) {
    if (!is_pair(p, j)) continue;
    below += values[j] < values[i];
    equal += values[j] == values[i];
  }
  return below + 0.5 * (equal + 1);
}

static double value_of(const pairs_t *p, const double *values, int i, bool ranked) {
  return ranked ? rank_of(p, values, i) : values[i];
}

/* Equal values have no correlation, although rounding of their mean could produce one. */
static bool is_constant(const pairs_t *p, const double *values) {
  int first = -1;
  for (int i = 0; i < p->n; i++) {
    if (!is_pair(p, i)) continue;
    if (first < 0) first = i;
    if (values[i] != values[first]) return false;
  }
  return true;
}

static double correlation(const pairs_t *p, int count, bool ranked) {
  if (count < 3 || is_constant(p, p->a) || is_constant(p, p->b)) return NAN;
  double mean_a = 0.0, mean_b = 0.0, aa = 0.0, bb = 0.0, ab = 0.0;
  for (int i = 0; i < p->n; i++) {
    if (!is_pair(p, i)) continue;
    mean_a += value_of(p, p->a, i, ranked) / count;
    mean_b += value_of(p, p->b, i, ranked) / count;
  }
  for (int i = 0; i < p->n; i++) {
    if (!is_pair(p, i)) continue;
    const double a = value_of(p, p->a, i, ranked) - mean_a, b = value_of(p, p->b, i, ranked) - mean_b;
    aa += a * a;
    bb += b * b;
    ab += a * b;
  }
  return fmax(-1.0, fmin(1.0, ab / (sqrt(aa) * sqrt(bb))));
}

void es_stability_compare(es_stability_t *out, const double *a, const double *b, int n) {
  const pairs_t p = {a, b, n};
  double squares = 0.0;
  *out = (es_stability_t){0};
  for (int i = 0; i < n; i++) {
    if (!is_pair(&p, i)) continue;
    squares += (a[i] - b[i]) * (a[i] - b[i]);
    out->layers++;
  }
  out->distance = out->layers > 0 ? sqrt(squares / out->layers) : NAN;
  out->pearson = correlation(&p, out->layers, false);
  out->spearman = correlation(&p, out->layers, true);
}

bool es_stability_settled(const double *distances, int n, const es_stop_settings_t *settings) {
  if (settings->patience < 1 || n < settings->patience) return false;
  for (int i = n - settings->patience; i < n; i++) {
    if (!(distances[i] < settings->distance)) return false;
  }
  return true;
}
