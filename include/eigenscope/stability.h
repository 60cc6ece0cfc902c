/** Stability of the pattern of saturation over the layers: compares two epochs. Pure functions. */
#ifndef EIGENSCOPE_STABILITY_H
#define EIGENSCOPE_STABILITY_H

#include "eigenscope/point.h"
#include <stdbool.h>

/** Comparison of two epochs over the layers that both measured. */
typedef struct es_stability {
  int layers;      /**< n: number of layers where neither value is NaN */
  double distance; /**< √(1/n Σ (a − b)²), in units of saturation; NaN for n = 0 */
  double pearson;  /**< correlation, −1 … 1; NaN for n < 3, where it is meaningless, or if a or b is constant */
  double spearman; /**< Pearson's correlation of the ranks; equal values get the mean of their ranks; NaN as above */
} es_stability_t;

/** Compares the saturations a and b of n layers. Layers with NaN (not measured, or flagged) are ignored. The caller
 * omits the output layer. Agrees with scipy.stats.pearsonr and spearmanr. O(n²) time, no memory. */
void es_stability_compare(es_stability_t *out, const double *a, const double *b, int n);

/** True if training may end: the last `patience` of n `distances` are below `distance`. `distances`: of the measured
 * epochs in order, each to the previous one. A NaN (nothing to compare) is not below. Never with patience 0. */
bool es_stability_settled(const double *distances, int n, const es_stop_settings_t *settings);

#endif
