/* Sums in double, each with the sum of the absolute values of its terms, which bounds its rounding errors. */
#ifndef ES_TEST_SUMS_H
#define ES_TEST_SUMS_H

#include "eigenscope/memory.h"
#include "unit.h"
#include <math.h>

typedef struct sums {
  double *value, *size;
} sums_t;

static inline sums_t sums_of(int64_t n) {
  sums_t s = {es_allocate_zero((size_t)n, sizeof *s.value), es_allocate_zero((size_t)n, sizeof *s.size)};
  assert_true(s.value && s.size);
  return s;
}

static inline void sums_add(sums_t *s, int64_t i, double term) {
  s->value[i] += term;
  s->size[i] += fabs(term);
}

static inline void sums_free(sums_t *s) {
  es_free(s->value);
  es_free(s->size);
}

#endif
