/* The history of L-BFGS: the last steps and the changes of the gradient. */
#ifndef ES_PROBE_HISTORY_H
#define ES_PROBE_HISTORY_H

#include "sketch.h"

typedef struct history {
  size_t size;             /* length of a vector */
  int most, count, newest; /* capacity; pairs stored; index of the newest pair */
  double *step, *change;   /* (most, size) */
  double *inverse;         /* 1/(step·change) */
  double *alpha;           /* (most), scratch of es_history_direction */
  es_owned_t owned;        /* owns the arrays above */
} history_t;

/* Number of pairs stored for vectors of `size` doubles. */
int es_history_pairs(size_t size);
es_code_t es_history_create(history_t *out, size_t size, es_status_t *status);
void es_history_destroy(history_t *history);
/* Adds the step t·direction, which changed the gradient from `last`, unless the step's curvature is not positive. */
void es_history_push(history_t *history, double t, const double *direction, const double *gradient, const double *last);
/* direction = −H·gradient by the two-loop recursion, with the sketch as initial metric. */
void es_history_direction(history_t *history, double *direction, const double *gradient, const sketch_t *sketch);

/* Dot product of any two vectors of length n. */
double es_history_dot(const double *a, const double *b, size_t n);

#endif
