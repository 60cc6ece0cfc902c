/** Fits a power law p(x) ∝ x^−α, x ≥ x_min, to the tail of a sample. Pure. */
#ifndef EIGENSCOPE_POWERLAW_H
#define EIGENSCOPE_POWERLAW_H

#include <stdint.h>

typedef struct es_powerlaw {
  double alpha;    /**< exponent */
  double distance; /**< Kolmogorov-Smirnov distance of the tail from the fit */
  double x_min;    /**< the smallest value of the tail */
  int64_t tail;    /**< number of values from x_min on */
} es_powerlaw_t;

/** Method of Clauset, Shalizi and Newman, SIAM Review 51 (2009), doi 10.1137/070710111, sections 3.1 and 3.3. For each
 * candidate x_min (each value except the largest) of the m values ≥ x_min:
 *   α = 1 + m / Σ ln(x_j / x_min)                                             (equation 3.1)
 *   D = max_j |S(x_j) − P(x_j)|,  P(x) = 1 − (x / x_min)^(1 − α)               (equation 3.9)
 * with S(x) the share of the m values that are less than x. The candidate of the least D is taken, the smallest of
 * equal ones. Equal to powerlaw.Fit(x) of PyPI's powerlaw 1.5, which has no bound on α. (By default powerlaw 2 excludes
 * α > 3.)
 * `values`: n positive numbers in descending order. All members are NaN, and tail 0, unless two values differ. `room`:
 * scratch, n doubles. O(n²) time at worst; candidates are given up as soon as their D exceeds the least. */
void es_powerlaw_fit(es_powerlaw_t *out, const double *values, int64_t n, double *room);

#endif
