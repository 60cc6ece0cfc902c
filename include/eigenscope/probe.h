/** Probes: multinomial logistic regression on the outputs of a layer, with scikit-learn's objective, solved to the
 * optimum by all ranks of a group together.
 *
 *   F(W, b) = Σ_i −log softmax(W x_i + b)[y_i] + 1/(2C)·‖W‖²,  C = 1/l2,
 *
 * the sum over the samples (not the mean), intercepts b free, as `LogisticRegression` at its defaults (scikit-learn
 * 1.2, sklearn/linear_model/_logistic.py, "lbfgs", multi_class="auto"). That default is multinomial with K weight
 * vectors for K ≥ 3 classes, and for 2 classes the binomial loss with one weight vector w, Σ log(1 + exp(−±(w·x + b)))
 * + l2/2·‖w‖². With 2 classes this module minimises the same function, written as the softmax with W₁ = w/2 = −W₀ and
 * the penalty l2·‖W‖². `K` counts the classes that have training samples, as scikit-learn's `classes_` does. The other
 * classes get weights 0 and intercept −∞, so they are never predicted. With a single class F = 0 and W = 0.
 *
 * Solver: L-BFGS (Nocedal & Wright, "Numerical Optimization", 2006, algorithm 7.4) on centred features, in a metric
 * that has the exact Hessian in the leading directions of the features (src/probe/curvature.h) and, outside them, a
 * low-rank sketch of it (Frangella, Tropp, Udell, "Randomized Nyström preconditioning", 2023, algorithm 2.1). Centring
 * changes only the intercepts and the metric only the steps, so neither changes the optimum. A step takes one pass over
 * the features: logits of the direction, softmax and gradient of a slice of rows follow each other while the slice is
 * in the cache, at the length of the last step; another pass is needed only if that length is not accepted. Products
 * with the features run in float on slices of at most 192 KiB, everything else (softmax, sums, line search, vectors) in
 * double; former steps are stored in float. The metric is computed from at most 16,384 rows. If float is too inexact to
 * converge, the solver continues in double, and at last by Newton's method (src/probe/newton.c). The reported numbers
 * always come from a final evaluation in double.
 *
 * On CPUs with AMX or AVX512-BF16, steps read features in float of ordinary size that are rounded to bfloat16
 * (src/probe/tiles.h), half the bytes. They minimise F of the rounded features plus a linear term that gives this
 * function the value and the gradient of F at one point. Each time that the bound of the gap has fallen to a
 * thousandth, a pass in float computes value and gradient of F, and with them a new linear term, so the fit converges
 * to the optimum of F. If a correction does not lower the gap of F to a quarter, steps go on in float. Directions are
 * rounded to bfloat16 before a step is taken along them, which costs no accuracy. A pass adds to the gradient the
 * change of the probabilities since the last pass, rounded to bfloat16; what rounding leaves out is part of the next
 * change.
 *
 * Features are centred in double. Features in float of ordinary size (no mean or range above 2²⁰) are then rounded to
 * float again, so what is smaller than 6e-8 of a value's distance from the mean is lost. Larger ones, and features in
 * double, are not rounded; there the limit is double itself, 1e-16 of the distance.
 *
 * Converged means ‖∇F‖₂/n ≤ 1e-4 and ‖∇F‖²/(2·l2) ≤ gap·F. Because F is l2-strongly convex in W, the second
 * criterion bounds (F − F*)/F (for the free intercepts only if their curvature Σ p(1−p) is at least l2). Features above
 * 2²⁰, and fits that need Newton's method, are judged so that neither shift nor unit of the features matters: the norm
 * is that of features centred and divided by their ranges, and half the Newton decrement may replace the second
 * criterion; F ≤ 1e-10 of F without features counts as converged, too.
 *
 * Sums over samples use the fixed tree (comm.h); rank 0 computes the steps and broadcasts them. So the bits do not
 * depend on the number of ranks.
 *
 * Memory of a fit without the features: es_probe_bytes. */
#ifndef EIGENSCOPE_PROBE_H
#define EIGENSCOPE_PROBE_H

#include "eigenscope/comm.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Largest magnitude of a feature in double. */
#define ES_PROBE_LARGEST 1e150

/** The problem to fit. All ranks of the group pass the same numbers; each rank passes its own rows and labels. */
typedef struct es_probe_problem {
  int64_t n;       /**< samples on all ranks, cut into lanes */
  int32_t width;   /**< features d ≥ 1 */
  int32_t classes; /**< K ≥ 1; labels are 0 … K−1 */
  void *features;  /**< borrowed; (n_local, d) row-major, the rows of this rank's lanes in order. Centred and scaled in
                      place, to save memory. NULL if n_local is 0 */
  bool is_double;  /**< features are double, else float */
  const int32_t *labels;    /**< borrowed; n_local */
  const int64_t *lane_rows; /**< borrowed; number of rows of each of this rank's lanes, sum over all ranks n; NULL: as
                               es_lane_range */
  double l2;                /**< > 0 */
  double gap;               /**< largest relative distance to the optimum of a converged fit; 0: 1e-6 */
  int32_t iterations;       /**< most iterations; 0: 1000, then 1000 products of Newton's method */
} es_probe_problem_t;

typedef struct es_probe_result {
  double objective;     /**< F, the sum */
  double gradient_norm; /**< ‖∇F‖₂/n, over W and b, of the original problem or of scaled features, see above */
  double gap;           /**< bound on the relative distance to the optimum, see above; 0 if F is 0 */
  double accuracy;      /**< on the training samples */
  int32_t iterations; /**< steps and products of Newton's method; −1 if there was nothing to solve (a single class) */
  int32_t passes;     /**< passes over the features, over all rows or over those that the metric samples */
  bool converged;
} es_probe_result_t;

/** Number of weights: K·(d+1), row-major; row k holds the d weights of class k, then its intercept. */
static inline size_t es_probe_weights_size(int32_t width, int32_t classes) {
  return (size_t)classes * ((size_t)width + 1);
}

/** Bytes that a fit allocates on rank `rank` of the group. */
int64_t es_probe_bytes(const es_probe_problem_t *problem, const es_group_t *group);

/** Fits. On entry `weights` (es_probe_weights_size doubles) holds the start, all 0 for a cold start (a start that is
 * not finite or worse than 0 is not used); on return the solution on every rank, normalised so that Σ_k W_k = 0 and Σ_k
 * b_k = 0 over the classes present. A constant feature has weight 0. `confusion` (K × K, may be NULL): counts of the
 * training samples, row = label, column = prediction, total on every rank. Works for any group, also with ranks without
 * rows. Collective; all ranks return the same code: ES_INPUT (no samples, a label out of range, l2 not positive),
 * ES_NUMERIC if a feature is NaN, infinite or above ES_PROBE_LARGEST, ES_SYSTEM if out of memory, ES_STOPPED if the
 * watch of the group's first rank says so; then `weights` is unchanged. A fit that did not converge returns ES_OK with
 * converged = false. */
es_code_t es_probe_fit(es_probe_result_t *out, double *weights, int64_t *confusion, const es_probe_problem_t *problem,
                       const es_group_t *group, es_status_t *status);

/** Rows to predict: any rows, in pieces of any size. Borrowed pointers. */
typedef struct es_probe_rows {
  int64_t n;
  int32_t width, classes;
  const void *features; /**< (n, width) */
  bool is_double;       /**< features are double, else float */
  const int32_t *labels;
} es_probe_rows_t;

/** Adds rows to the confusion counts (K × K, row = label, column = prediction: the largest logit, in double, the first
 * of equal ones). Rows with a feature that is not finite are not counted. Not collective. ES_INPUT for a label out of
 * range (nothing is counted), ES_SYSTEM if out of memory. */
es_code_t es_probe_count(int64_t *confusion, const double *weights, const es_probe_rows_t *rows, es_status_t *status);
/** Sums confusion counts over the ranks, exactly. Collective. */
void es_probe_count_reduce(int64_t *confusion, int32_t classes, const es_group_t *group);
/** Accuracy: share of the diagonal; NaN without samples. */
double es_probe_accuracy(const int64_t *confusion, int32_t classes);
/** recall[k] = share of class k's samples that are predicted as k; NaN for a class without samples. */
void es_probe_recall(double *recall, const int64_t *confusion, int32_t classes);

/** Outputs of one layer, NHWC, and how they are pooled. */
typedef struct es_probe_pooling {
  int32_t h, w, c, pool;
  bool is_double; /**< outputs and features are double, else float */
} es_probe_pooling_t;

/** Computes features from `samples` outputs: averages to pool × pool positions as PyTorch's AdaptiveAvgPool2d (cell i
 * covers ⌊i·h/pool⌋ … ⌈(i+1)·h/pool⌉ − 1), only along axes longer than `pool`, and flattens in NHWC order (PyTorch
 * flattens C, H, W: a permutation of features, which does not change the optimum). rows: (samples, es_probe_width). Not
 * collective. */
void es_probe_pool(void *rows, const void *outputs, int64_t samples, const es_probe_pooling_t *pooling);
/** min(h, pool)·min(w, pool)·c; INT32_MAX if it does not fit into int32. */
int32_t es_probe_width(int32_t h, int32_t w, int32_t c, int32_t pool);

#endif
