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
