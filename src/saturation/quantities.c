#include "eigenscope/saturation.h"
#include <math.h>

static double entropy(const es_eigenvalues_t *s) {
  double entropy = 0.0;
  for (int32_t i = 0; i < s->width; i++) {
    const double share = s->values[i] / s->sum;
    if (share > 0.0) entropy -= share * log(share);
  }
  return entropy;
}

static double sum_of_squared_shares(const es_eigenvalues_t *s) {
  double squares = 0.0;
  for (int32_t i = 0; i < s->width; i++) {
    const double share = s->values[i] / s->sum;
    squares += share * share;
  }
  return squares;
}

/* Entropy of the shares of the singular values, plus the paper's 1e-7 in each share. */
static double entropy_of_roots(const es_eigenvalues_t *s) {
  double roots = 0.0, entropy = 0.0;
  for (int32_t i = 0; i < s->width; i++) roots += sqrt(s->values[i] / s->values[0]);
  for (int32_t i = 0; i < s->width; i++) {
    const double share = sqrt(s->values[i] / s->values[0]) / roots + 1e-7;
    entropy -= share * log(share);
  }
  return entropy;
}

static int32_t rank_of(const es_eigenvalues_t *s) {
  int32_t rank = 0;
  while (rank < s->width && s->values[rank] / s->values[0] > s->width * 0x1p-23) rank++;
  return rank;
}

typedef struct power_law {
  double alpha, r2, last;
} power_law_t;

/* Fits log(value i) = c - alpha log(i), i counted from 1, by least squares with the weights 1/i, over the values from
 * the fourth to the hundredth that are above the numerical rank's tolerance. NaN for fewer than four values. */
static power_law_t fit_power_law(const es_eigenvalues_t *s) {
  enum { FIRST = 4, LAST = 100, FEWEST = 4 };
  const int32_t rank = rank_of(s), last = rank < LAST ? rank : LAST;
  if (last < FIRST + FEWEST - 1) return (power_law_t){NAN, NAN, NAN};
  double weight = 0.0, x = 0.0, y = 0.0, plain = 0.0;
  for (int32_t i = FIRST; i <= last; i++) {
    const double value = log(s->values[i - 1] / s->values[0]);
    weight += 1.0 / i;
    x += log(i) / i;
    y += value / i;
    plain += value / (last - FIRST + 1);
  }
  x /= weight;
  y /= weight;
  double xx = 0.0, xy = 0.0, residual = 0.0, total = 0.0;
  for (int32_t i = FIRST; i <= last; i++) {
    const double dx = log(i) - x, dy = log(s->values[i - 1] / s->values[0]) - y;
    xx += dx * dx / i;
    xy += dx * dy / i;
  }
  const double slope = xy / xx;
  for (int32_t i = FIRST; i <= last; i++) {
    const double value = log(s->values[i - 1] / s->values[0]), error = value - y - slope * (log(i) - x);
    residual += error * error;
    total += (value - plain) * (value - plain);
  }
  return (power_law_t){-slope, total > 0.0 ? 1.0 - residual / total : NAN, last};
}

/* A number that the eigenvalues do not determine. The caller that knows it replaces it (pipeline/measure.c). */
static double unknown(const es_eigenvalues_t *s) {
  (void)s;
  return NAN;
}

#define FUNCTION(id, name, long_name, dead, formula)                                                                   \
  static double name(const es_eigenvalues_t *s) {                                                                      \
    return formula;                                                                                                    \
  }
ES_QUANTITY_ROWS(FUNCTION)

typedef struct row {
  double (*function)(const es_eigenvalues_t *s);
  double dead;
} row_t;

void es_quantities_measure(double out[ES_QUANTITIES], const double *values, int32_t width) {
#define TABLE_ROW(id, name, long_name, dead, formula) [ES_QUANTITY_##id] = {name, dead},
  static const row_t table[ES_QUANTITIES] = {ES_QUANTITY_ROWS(TABLE_ROW)};
  es_eigenvalues_t s = {.values = values, .width = width};
  bool finite = true;
  for (int32_t i = 0; i < width; i++) {
    s.sum += values[i];
    finite = finite && isfinite(values[i]);
  }
  for (int q = 0; q < ES_QUANTITIES; q++) {
    out[q] = !finite ? (double)NAN : s.sum > 0.0 ? table[q].function(&s) : table[q].dead;
  }
}
