/* The history of L-BFGS: the last steps and the changes of the gradient. Both are stored in float, divided by their
 * largest number, because a direction reads all of them twice. */
#ifndef ES_PROBE_HISTORY_H
#define ES_PROBE_HISTORY_H

#include "sketch.h"

typedef struct history {
  size_t size;             /* length of a vector */
  int most, count, newest; /* capacity; pairs stored; index of the newest pair */
  double *memory;          /* owns step and change; at least 5·size doubles */
  float *step, *change;    /* (most, size) */
  double *inverse;         /* (most) 1/(step·change) as stored */
  double *unit;            /* (most) unit of the steps ÷ unit of the changes */
  double *alpha;           /* (most), scratch of es_history_direction */
  es_owned_t owned;        /* owns the arrays above */
} history_t;

/* Number of pairs stored for vectors of `size` numbers and k classes. */
int es_history_pairs(size_t size, int32_t k);
/* Bytes of them. */
int64_t es_history_bytes(size_t size, int32_t k);
es_code_t es_history_create(history_t *out, size_t size, int32_t k, es_status_t *status);
void es_history_destroy(history_t *history);
/* Adds the step t·direction, which changed the gradient from `last`, unless the step's curvature is not positive. */
void es_history_push(history_t *history, double t, const double *direction, const double *gradient, const double *last);
/* direction = −H·gradient by the two-loop recursion, with the sketch as initial metric. */
void es_history_direction(history_t *history, double *direction, const double *gradient, const sketch_t *sketch);

/* Dot product of any two vectors of length n. */
double es_history_dot(const double *a, const double *b, size_t n);

#endif
