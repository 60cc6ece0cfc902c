/** How far the pattern of saturation over the layers has settled: one epoch against another. Pure functions. */
#ifndef EIGENSCOPE_STABILITY_H
#define EIGENSCOPE_STABILITY_H

#include "eigenscope/point.h"
#include <stdbool.h>

/** Two epochs compared, over the layers that both measured. */
typedef struct es_stability {
  int layers;      /**< n: those where neither value is NaN */
  double distance; /**< √(1/n Σ (a − b)²), in units of saturation; NaN for n = 0 */
  double pearson;  /**< correlation, −1 … 1; NaN for n < 3, where it says nothing, or if a or b is constant */
  double spearman; /**< Pearson's of the ranks, equal values sharing the mean of their ranks; NaN as above */
} es_stability_t;

/** Compares the saturations a and b of n layers. NaN = not measured, or flagged: such a layer is left out. The caller
 * leaves out the output layer. Agrees with scipy.stats.pearsonr and spearmanr. Takes O(n²) time and no memory. */
void es_stability_compare(es_stability_t *out, const double *a, const double *b, int n);

/** True if training may end: `distances`, those of n measured epochs in order, each to the measured epoch before, end
 * in at least `patience` that are below `distance`. A NaN (nothing to compare) is not below. Never with patience 0. */
bool es_stability_settled(const double *distances, int n, const es_stop_settings_t *settings);

#endif
