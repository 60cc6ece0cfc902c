/* The rows of one rank's lanes, with the operations of the solver: logits of a direction, loss along the direction,
 * and gradient. Logits are stored, so that a step along a direction costs a softmax but no matrix product. */
#ifndef ES_PROBE_ROWS_H
#define ES_PROBE_ROWS_H

#include "eigenscope/memory.h"
#include "eigenscope/probe.h"
#include "products.h"
#include "tiles.h"

/* Most rows of a slice; most columns of a sketch (sketch.h). */
enum { ES_ROWS_SLICE = 256, ES_ROWS_SKETCH = 128 };
/* Directions of the features that the metric knows. Layers of 512 channels take 55 steps with 64 and 42 with 128, which
 * take as long; those of 1024 and 2048 take 91 and 53, 148 and 89. */
static inline int32_t es_rows_directions(int32_t d) {
  const int32_t most = d < 1024 ? ES_ROWS_SKETCH / 2 : ES_ROWS_SKETCH;
  return d < most ? d : most;
}
/* Features beyond this magnitude may differ by less than float resolves at their distance from the mean. They stay as
 * they are and are centred slice by slice, in double; others are centred once, which is faster. */
#define ES_ROWS_FAR 0x1p20

typedef struct rows {
  const es_group_t *group;    /* borrowed */
  const products_t *products; /* in float */
  int64_t n, n_local;
  int64_t *start; /* (lane_count + 1), first row of each lane, then n_local */
  int32_t d, k;   /* features; number of classes present */
  double l2;      /* the penalty is l2/2·‖W‖² for the softmax parametrisation */
  float *x;       /* borrowed; (n_local, d), centred and scaled by es_rows_centre unless `far`; NULL for features in
                     double */
  double *x64;    /* borrowed; the same for features in double, always centred and scaled; else NULL */
  bool far;       /* some mean or range exceeds ES_ROWS_FAR */
  double *mean;   /* (d) */
  double *range;  /* (d) largest − smallest value of each feature */
  double scale;   /* x = scale·(features − mean), a power of two */
  int32_t *label; /* (n_local), index among the classes present */
  double *logits; /* (n_local, k) */
  double *step;   /* (n_local, k), change of the logits along the direction */
  double *square; /* (n_local), ‖x‖² */
  double *lanes;  /* (lane_count, largest sum) for the tree sum */
  double *block;  /* (slice, k) probabilities or residuals */
  float *block32; /* (slice, max(k, 64)): `block` in float */
  float *coefficients;     /* (max(k, 64), d) */
  double *wide;            /* (slice, d) for products in double */
  float *narrowed;         /* (slice, d) for products in float, unless x is centred */
  double *spare;           /* (k, d), at least (2, d): coefficients in double */
  float *sampled;          /* (slice, d) copies of chosen rows */
  int32_t *chosen;         /* (n_local), from start[lane] to chosen_end[lane]: the rows of the metric */
  int64_t *chosen_end;     /* (lane_count) */
  bool exact;              /* true for products in double */
  const tiles_t *tiles;    /* products of rows in bfloat16; NULL without AMX, or if rows are not centred in float */
  bool coarse;             /* true for these products, unless `exact` */
  uint16_t *packed;        /* the rows in bfloat16, lane by lane */
  int64_t *packed_start;   /* (lane_count), first number of each lane in `packed` */
  uint16_t *packed_sample; /* a slice of chosen rows; numbers after the last row are finite */
  float *known;            /* (n_local, k) probabilities in the gradient of the last pass, for these products */
  uint16_t *packed_factor; /* `coefficients`, packed */
  uint16_t *packed_block;  /* `block32`, packed */
  int32_t passes;
  es_owned_t owned; /* owns the arrays above except x */
} rows_t;

/* Number of rows in this rank's lanes. */
int64_t es_rows_local(const es_probe_problem_t *problem, const es_group_t *group);
/* Size of the largest sum over the lanes, in doubles. */
size_t es_rows_sum_size(int32_t d, int32_t k);
int64_t es_rows_bytes(const es_probe_problem_t *problem, int64_t n_local, int lanes);
/* Not collective. Returns ES_SYSTEM when out of memory. `k`: number of classes present; `label` is not filled yet. */
es_code_t es_rows_create(rows_t *out, const es_probe_problem_t *problem, int32_t k, const es_group_t *group,
                         es_status_t *status);
void es_rows_destroy(rows_t *rows);

/* Computes means by the fixed tree; centres and scales the rows in place. A column of equal values becomes exactly 0.
 * Features must be finite. Collective. */
void es_rows_centre(rows_t *rows);
/* into (n_local, k) = W (features − mean) + b, with v = (W (k × d), b (k)). */
void es_rows_apply(rows_t *rows, double *into, const double *v);
/* Number of rows of the slice that begins `left` rows before the end of its lane. */
int64_t es_rows_count(const rows_t *rows, int64_t left);
/* Most rows of a slice of packed rows, or of others. */
int64_t es_rows_most(const rows_t *rows, bool packed);

/* A slice of rows as products need it: in bfloat16, in double or in float. */
typedef struct slice {
  int64_t first, n;
  const uint16_t *packed; /* or NULL */
  const float *x, *next;  /* `next`: the n rows after them, to fetch them into the cache, or NULL */
  double *wide;
} slice_t;
slice_t es_rows_slice(const rows_t *rows, int lane, int64_t first, int64_t n);
/* Rows i … i+n−1, centred, scaled and in float. */
const float *es_rows_narrow(const rows_t *rows, int64_t i, int64_t n);
/* Chooses the rows from which the metric is computed: of each lane every `stride`-th row, unless its weight Σ p(1−p) at
 * the logits is less than the share `negligible` of the lane's mean. Uses rows->step. Not collective. */
void es_rows_choose(rows_t *rows, int64_t stride, double negligible);
/* Computes the weights Σ p(1−p) of n samples from their probabilities. */
void es_rows_weigh(double *weight, const double *p, int64_t n, int32_t k);
/* Prepares rows->coefficients (count × d) as a factor of the metric's products, which may round them. */
void es_rows_load_factor(rows_t *rows, int32_t count);
/* A slice of a lane's chosen rows, of which the first is chosen[i]. Computes their probabilities at the logits into
 * rows->block, and their products with the `count` prepared columns into rows->block32. Returns their number. */
int64_t es_rows_sample(rows_t *rows, int lane, int64_t i, int32_t count, slice_t *slice);
/* sum (count × d) += block32ᵀ·x for the rows of a slice. */
void es_rows_add(rows_t *rows, double *sum, const slice_t *slice, int32_t count);
/* Rounds a direction (k × d + k) to weights that products in bfloat16 take as they are. Not collective. */
void es_rows_round(const rows_t *rows, double *direction);
/* Computes rows->step = W (features − mean) + b for the direction (W, b), and gradient, loss and slope (the derivative
 * of the loss with respect to t) at logits + t·step, in one pass over the features. `gradient` may be NULL on ranks
 * that do not need it. With `coarse`, it is the change of the gradient since the last pass: the probabilities' changes
 * are rounded, and so the error falls with the length of the steps. Collective. */
void es_rows_sweep(rows_t *rows, const double *direction, double t, double *gradient, double *loss, double *slope);
/* Loss at logits + t·step, and its derivative with respect to t. Collective. */
void es_rows_trial(rows_t *rows, double t, double *loss, double *slope);
/* logits += t·step. */
void es_rows_move(rows_t *rows, double t);
/* Gradient of the loss at the logits with respect to W (k × d) and b (k), without the penalty; may be NULL on ranks
 * that do not need it. With `coarse` as in es_rows_sweep. Returns the loss. Collective. */
double es_rows_gradient(rows_t *rows, double *gradient);
/* Computes rows->logits of the weights v, and in the same pass gradient and loss there. Collective. */
double es_rows_evaluate(rows_t *rows, const double *v, double *gradient);
/* Gradient of the loss with the rows in bfloat16 and the probabilities of the last pass. Needs rows->coarse.
 * Collective. */
void es_rows_known(rows_t *rows, double *gradient);
/* Computes rows->step for the direction, and the product of the Hessian of the loss with the direction. Needs
 * rows->exact. Collective. */
void es_rows_curvature(rows_t *rows, const double *direction, double *product);
/* Diagonal of the Hessian of the loss; shape as in es_rows_gradient. Needs rows->exact. Collective. */
void es_rows_diagonal(rows_t *rows, double *diagonal);
/* Largest change of a logit in rows->step. Collective. */
double es_rows_largest_step(const rows_t *rows);

#endif
