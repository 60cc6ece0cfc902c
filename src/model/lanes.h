/* Sums over one row, in loops that compilers vectorise: number j goes to lane j mod ES_LANES. With fewer lanes GCC
 * makes scalar code. */
#ifndef ES_MODEL_LANES_H
#define ES_MODEL_LANES_H

#include "eigenscope/kernel.h"
#include <stddef.h>

enum { ES_LANES = 32 };

/* Adds the lanes in a tree; overwrites them. */
static ES_INLINE float es_lanes_total(float lane[ES_LANES]) {
  for (size_t half = ES_LANES / 2; half >= 8; half /= 2) {
    for (size_t l = 0; l < half; l++) lane[l] += lane[l + half];
  }
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Runs a statement on number `j` of n and its lane `l`. */
#define ES_FOR_LANES(n, statement)                                                                                     \
  {                                                                                                                    \
    size_t start = 0;                                                                                                  \
    for (; start + ES_LANES <= (n); start += ES_LANES) {                                                               \
      for (size_t l = 0; l < ES_LANES; l++) {                                                                          \
        const size_t j = start + l;                                                                                    \
        statement;                                                                                                     \
      }                                                                                                                \
    }                                                                                                                  \
    for (size_t l = 0; l < (n)-start; l++) {                                                                           \
      const size_t j = start + l;                                                                                      \
      statement;                                                                                                       \
    }                                                                                                                  \
  }

#endif
