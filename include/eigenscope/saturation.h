/** Quantities of a spectrum: intrinsic dimension, saturation and others. Pure functions. */
#ifndef EIGENSCOPE_SATURATION_H
#define EIGENSCOPE_SATURATION_H

#include "eigenscope/point.h"
#include <stdint.h>

/** Bits of `flags`. */
typedef enum es_flag {
  ES_FLAG_DEAD = 1,         /**< zero variance: k = 0 */
  ES_FLAG_UNDERSAMPLED = 2, /**< fewer than width + 1 rows */
  ES_FLAG_NONFINITE = 4,    /**< NaN or Inf in the activations: the layer has no other results */
  ES_FLAG_FALLBACK = 8,     /**< a collective eigensolver failed its check, so LAPACK was used: the numbers are valid */
  ES_FLAG_UNSOLVED = 16,    /**< no eigensolver passed its check: the layer has no other results */
  /** not in means over layers */
  ES_FLAGS_EXCLUDED = ES_FLAG_DEAD | ES_FLAG_UNDERSAMPLED | ES_FLAG_NONFINITE | ES_FLAG_UNSOLVED
} es_flag_t;

/** Eigenvalues of one layer: descending, finite, ≥ 0, not all 0. */
typedef struct es_eigenvalues {
  const double *values; /**< borrowed */
  int32_t width;
  double sum; /**< sum in the order of the values */
} es_eigenvalues_t;

/** The quantities: one row per number that is a function of a layer's eigenvalues s (es_eigenvalues_t): the id, the
 * name of the variable (split, epoch, layer) float64, its long name, the value for a dead layer, and the formula. To
 * add a quantity, add a row: results, state files, `show` and `merge` iterate over these rows, and compute a quantity
 * that an older file lacks. Functions in formulas: src/saturation/quantities.c. Effective rank: Roy and Vetterli,
 * EUSIPCO 2007, eq. 3. */
#define ES_QUANTITY_ROWS(ROW)                                                                                          \
  ROW(TRACE, trace, "total variance of the layer: trace of the covariance", 0.0, s->sum)                               \
  ROW(EFFECTIVE_RANK, effective_rank,                                                                                  \
      "exponential of the entropy of the shares of the covariance's eigenvalues (RankMe: of their square roots)", NAN, \
      exp(entropy(s)))                                                                                                 \
  ROW(PARTICIPATION_RATIO, participation_ratio,                                                                        \
      "squared sum of the eigenvalues over the sum of their squares; n rows bias it low: 1/PR + 1/n", NAN,             \
      1.0 / sum_of_squared_shares(s))                                                                                  \
  ROW(FIRST_COMPONENT_SHARE, first_component_share, "share of the variance along the first component", NAN,            \
      s->values[0] / s->sum)                                                                                           \
  ROW(STABLE_RANK, stable_rank, "sum of the eigenvalues over the largest", NAN, s->sum / s->values[0])

#define ES_QUANTITY_ID(id, ...) ES_QUANTITY_##id,
typedef enum es_quantity { ES_QUANTITY_ROWS(ES_QUANTITY_ID) ES_QUANTITIES } es_quantity_t;

/** Computes all quantities of `width` eigenvalues, descending, ≥ 0; NaN if one of the values is not finite. */
void es_quantities_measure(double out[ES_QUANTITIES], const double *values, int32_t width);

/** Results for one layer's spectrum. */
typedef struct es_saturation {
  uint8_t flags;                    /**< es_flag_t */
  double quantities[ES_QUANTITIES]; /**< by es_quantity_t, after clamping */
  int32_t k[ES_DELTAS_MAX];         /**< intrinsic dimension at each δ; −1 if nonfinite */
  double saturation[ES_DELTAS_MAX]; /**< k/width; NaN if nonfinite */
} es_saturation_t;

/** Clamps negative `values` (descending, `width` of them; rounding errors) to 0, then measures. `rows`: rows of the
 * data matrix. Dead (zero variance): k = 0, saturation 0. Values that are not finite: flag nonfinite, the rest NaN. */
void es_saturation_measure(es_saturation_t *out, double *values, int32_t width, int64_t rows, const double *deltas,
                           int n_deltas, es_convention_t convention);

/** k(δ) by a convention. `smallest`: the smallest k with λ₁+…+λ_k ≥ δΣλ (Richter et al. 2022, section 3.1). `delve`:
 * the number of cumulative shares strictly below δ, which can be 0 (delve 0.1.50, compute_intrinsic_dimensionality; its
 * "+ 1" never acts). `pca-layer`: as the authors' PCA layers (phd-lab, pca_layers.py) delve's count, but at least 1,
 * and 1 more if the last share below δ is below δ − 0.02. */
int32_t es_saturation_count(const double *values, int32_t width, double delta, es_convention_t convention);

/** Index of the headline δ among n ≥ 1 ascending deltas: 0.99 if it is one of them, else the largest. Whatever prints
 * one saturation prints it at this δ, and names the δ, unless the caller asks for another. */
int64_t es_headline_delta(const double *deltas, int64_t n);

#endif
