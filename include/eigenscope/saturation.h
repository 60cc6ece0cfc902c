/** Quantities of a spectrum: intrinsic dimension, saturation and others. Pure functions. */
#ifndef EIGENSCOPE_SATURATION_H
#define EIGENSCOPE_SATURATION_H

#include "eigenscope/point.h"
#include <stdbool.h>
#include <stdint.h>

/** Bits of `flags`. */
typedef enum es_flag {
  ES_FLAG_DEAD = 1,         /**< zero variance: k = 0 */
  ES_FLAG_UNDERSAMPLED = 2, /**< fewer than width + 1 rows */
  ES_FLAG_NONFINITE = 4,    /**< NaN or Inf in the activations: the layer has no other results */
  ES_FLAG_FALLBACK = 8,     /**< a collective eigensolver failed its check, so LAPACK was used: the numbers are valid */
  ES_FLAG_UNSOLVED = 16,    /**< no eigensolver passed its check: the layer has no other results */
  ES_FLAG_ROUNDING = 32,    /**< es_saturation_is_rounding: the last directions may be rounding errors of bfloat16 */
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
 * that an older file lacks. Functions in formulas: src/saturation/quantities.c. All but the trace depend on shares of
 * the eigenvalues alone, so a power of two that scales the layer changes no bit of them. Effective rank: Roy and
 * Vetterli, EUSIPCO 2007, eq. 3. RankMe: Garrido et al., arXiv 2210.02885, eq. 4, of centred features. Numerical rank:
 * the tolerance of numpy.linalg.matrix_rank for a symmetric float32 matrix, because covariances are sums of float32
 * products. The corrected participation ratio does not follow from eigenvalues: lane_pairs.h. alpha-ReQ: Agrawal et
 * al., NeurIPS 2022, with the weights 1/i of Stringer et al., Nature 571 (2019). */
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
  ROW(STABLE_RANK, stable_rank, "sum of the eigenvalues over the largest", NAN, s->sum / s->values[0])                 \
  ROW(SPECTRAL_ENTROPY, spectral_entropy, "entropy of the shares of the eigenvalues, in nats", NAN, entropy(s))        \
  ROW(RANKME, rankme, "RankMe of the centred features: from the shares of the square roots of the eigenvalues", NAN,   \
      exp(entropy_of_roots(s)))                                                                                        \
  ROW(NUMERICAL_RANK, numerical_rank, "eigenvalues above the largest times the width times 2^-23", 0.0,                \
      (double)rank_of(s))                                                                                              \
  ROW(ALPHA_REQ, alpha_req, "exponent of the power law that fits the eigenvalues 4 to alpha_req_last", NAN,            \
      fit_power_law(s).alpha)                                                                                          \
  ROW(ALPHA_REQ_R2, alpha_req_r2, "coefficient of determination of the power law, of logarithms", NAN,                 \
      fit_power_law(s).r2)                                                                                             \
  ROW(ALPHA_REQ_LAST, alpha_req_last, "last eigenvalue of the fit of the power law, counted from 1", NAN,              \
      fit_power_law(s).last)                                                                                           \
  ROW(PARTICIPATION_RATIO_CORRECTED, participation_ratio_corrected,                                                    \
      "participation ratio from pairs of lanes of samples, which the number of rows does not bias", NAN, unknown(s))

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

/** True if the k-th eigenvalue is below the mean variance that rounding to bfloat16 adds to a channel. `squares`: Σ
 * over the channels of the squared mean of their rows, in the unit of `values`. `averaged`: outputs that a row is the
 * mean of, else 1. False for k = 0.
 *
 * A number x with 2^e ≤ |x| < 2^(e+1) is rounded to a multiple of 2^(e−7), because bfloat16 has p = 8 significant bits.
 * The error is uniform within half of that step, so its variance is 2^(2e−14)/12: between 1/12 and 1/3 of 2^(−2p) x².
 * Over the magnitudes of a smooth distribution this becomes 0.18 · 2^(−2p) E[x²] (Widrow and Kollár, "Quantization
 * Noise", 2008, chapter 12: floating-point quantization noise). E[x²] is the variance plus the squared mean. Errors of
 * different outputs are uncorrelated, so they add this much to every direction on average, and a mean of n outputs has
 * 1/n of it. Rounding of weights and of earlier layers adds more, so the flag is a lower bound: it may be missing, but
 * is not set where rounding cannot matter. With means of zero and δ = 0.99 it is never set, because directions that
 * `smallest` counts have at least (1 − δ) of the mean eigenvalue. */
bool es_saturation_is_rounding(const double *values, int32_t width, int32_t k, double squares, double averaged);

/** Index of the headline δ among n ≥ 1 ascending deltas: 0.99 if it is one of them, else the largest. Whatever prints
 * one saturation prints it at this δ, and names the δ, unless the caller asks for another. */
int64_t es_headline_delta(const double *deltas, int64_t n);

#endif
