/* The state of a fit, its objective, and the search along a line. Rank 0 computes everything that decides (directions,
 * scalars of the line search) and broadcasts it, so that ranks on different CPUs decide alike, and the history is
 * stored only once. */
#ifndef ES_PROBE_OBJECTIVE_H
#define ES_PROBE_OBJECTIVE_H

#include "history.h"
#include "rows.h"
#include "sketch.h"

typedef struct fit {
  const es_group_t *group;
  rows_t rows;
  sketch_t sketch;
  history_t history; /* rank 0 only */
  double tolerance;  /* of the gap */
  int32_t classes;   /* number of classes of the problem */
  int32_t *present;  /* (k) class of the problem for each class present */
  int64_t *counts;   /* (classes + 1) samples of each class; values that are not finite */
  size_t size;       /* k·d + k */
  double *w;         /* solution: W (k × d), b (k) for centred features; current on rank 0 */
  double *direction; /* current on all ranks */
  double *gradient;  /* of F; rank 0 only */
  double *last;      /* gradient before the last step, or of a trial; rank 0 only */
  double *known;     /* gradient of the loss of the last pass, to which coarse passes add changes; rank 0 only */
  double *linear;    /* gradient in float − gradient of rows in bfloat16 at the last point in float; rank 0 only */
  double shift;      /* added to the loss of rows in bfloat16, at w */
  double loss;       /* at w */
  double objective, gap, norm;
  bool stopped;     /* rank 0 was told to stop; equal on all ranks */
  bool scaled;      /* the norm is that of features centred and divided by their ranges */
  double cold;      /* F of the cold start */
  es_owned_t owned; /* owns the arrays w, direction, gradient and last */
} fit_t;

/* A direction, as rank 0 broadcasts it. */
typedef struct line {
  double slope;                /* gradient·direction */
  double ww, wp, pp;           /* products of W and the direction, without intercepts */
  double linear;               /* f->linear·direction */
  double objective, gap, norm; /* at the start of the line */
} line_t;

static inline bool es_fit_leads(const fit_t *f) {
  return f->group->rank == 0;
}
/* True if steps use rows in bfloat16. */
static inline bool es_fit_is_coarse(const fit_t *f) {
  return f->rows.coarse && !f->rows.exact;
}
/* Number of weights without intercepts. */
static inline size_t es_fit_weights(const fit_t *f) {
  return (size_t)f->rows.k * (size_t)f->rows.d;
}

/* Sets W to 0 and the intercepts to their optimum for W = 0, the logarithms of the classes' shares; sets f->cold. */
void es_fit_cold_start(fit_t *f);
/* Subtracts the mean over classes from one column, whose k elements lie `stride` apart. */
void es_fit_gauge_column(double *column, int64_t k, int64_t stride);
/* Subtracts the mean over classes from each column of v and from the intercepts; at the optimum this mean is 0. */
void es_fit_gauge(const fit_t *f, double *v);
/* A point on a line: loss and its derivative with respect to t. */
typedef struct trial {
  double t, loss, slope;
} trial_t;

/* Computes objective, gap and norm from f->loss and the gradient of the loss in f->gradient, to which this function
 * adds the penalty's, and broadcasts them. Collective. */
void es_fit_score(fit_t *f);
/* Computes gradient and objective from the logits, and broadcasts rank 0's scalars. Collective. */
void es_fit_evaluate(fit_t *f);
/* Computes the logits of w, gradient and objective. Collective. */
void es_fit_recompute(fit_t *f);
/* True if the fit has converged. */
bool es_fit_good(const fit_t *f);
/* True if the fit is so near to its goal that a new metric does not pay. */
bool es_fit_near(const fit_t *f);

/* Computes the scalars of f->direction on all ranks; returns false if the direction does not descend. Collective. */
bool es_fit_line(const fit_t *f, line_t *line);
/* True if the Wolfe conditions hold at the trial, so that no search is needed. */
bool es_fit_accepts(const fit_t *f, const line_t *line, const trial_t *trial);
/* Finds a step along the line that fulfils the Wolfe conditions, by secants of the slope between points before and
 * after the minimum (F is convex on the line), from the step `first` on, which was computed already if `known` is not
 * NULL. Returns 0 if no step lowers F. A trial needs no matrix product, so the search can be fairly exact. Collective.
 */
double es_fit_search(fit_t *f, const line_t *line, double first, const trial_t *known);

#endif
