/* The rows of one rank's lanes, and the three things a solver asks of them: logits of a direction, loss along it, and
 * the gradient. Logits are kept, so that a step along a direction costs a softmax and no product. */
#ifndef ES_PROBE_ROWS_H
#define ES_PROBE_ROWS_H

#include "eigenscope/memory.h"
#include "eigenscope/probe.h"

/* Rows of one product; most columns of a sketch (sketch.h). */
enum { ES_ROWS_SLICE = 256, ES_ROWS_SKETCH = 64 };

typedef struct rows {
  const es_group_t *group; /* borrowed */
  int64_t n, n_local;
  int64_t *start;      /* (lane_count + 1), first row of each lane; the last is n_local */
  int32_t d, k;        /* features; classes present */
  double l2;           /* the penalty is l2/2·‖W‖² for the softmax parametrisation */
  float *x;            /* borrowed; (n_local, d), centred and scaled by es_rows_centre */
  double *mean;        /* (d) */
  double scale;        /* x = scale·(features − mean), a power of two */
  int32_t *label;      /* (n_local), among the classes present */
  double *logits;      /* (n_local, k) */
  double *step;        /* (n_local, k), change of the logits along the direction */
  double *square;      /* (n_local), ‖x‖² */
  double *lanes;       /* (lane_count, largest sum) for the tree */
  double *block;       /* (slice, k) probabilities or residuals */
  float *block32;      /* (slice, max(k, 64)) grouped (products.h): the same in float */
  float *coefficients; /* (d, max(k, 64)) grouped */
  float *product;      /* (d, max(k, 64)) grouped, of one slice */
  double *wide;        /* (slice, d) for products in double */
  double *spare;       /* (d, k) grouped: sum of a lane; or (k, d): coefficients in double */
  bool exact;          /* products in double */
  int32_t passes;
  es_owned_t owned; /* all of the above but x */
} rows_t;

/* Rows of this rank's lanes. */
int64_t es_rows_local(const es_probe_problem_t *problem, const es_group_t *group);
/* Largest sum over the lanes, in doubles. */
size_t es_rows_sum_size(int32_t d, int32_t k);
int64_t es_rows_bytes(int32_t d, int32_t k, int64_t n_local, int lanes);
/* Not collective. ES_SYSTEM. `k` classes present, `label` not filled yet. */
es_code_t es_rows_create(rows_t *out, const es_probe_problem_t *problem, int32_t k, const es_group_t *group,
                         es_status_t *status);
void es_rows_destroy(rows_t *rows);

/* Means by the fixed tree; centres and scales in place; a column of equal values becomes 0 exactly. Finite features.
 * Collective. */
void es_rows_centre(rows_t *rows);
/* into (n_local, k) = W (features − mean) + b of v = (W (k × d), b (k)). */
void es_rows_apply(rows_t *rows, double *into, const double *v);
/* Loss at logits + t·step, and its derivative by t. Collective. */
void es_rows_trial(rows_t *rows, double t, double *loss, double *slope);
/* logits += t·step. */
void es_rows_move(rows_t *rows, double t);
/* Gradient of the loss at the logits, by W (k × d) and b (k); without the penalty. Returns the loss. Collective. */
double es_rows_gradient(rows_t *rows, double *gradient);
/* into += from. */
void es_rows_add_wide(double *into, const float *from, int64_t n);

#endif
