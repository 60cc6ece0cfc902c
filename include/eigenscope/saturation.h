/** Numbers of a spectrum: intrinsic dimension, saturation and their relatives. Pure functions. */
#ifndef EIGENSCOPE_SATURATION_H
#define EIGENSCOPE_SATURATION_H

#include "eigenscope/point.h"
#include <stdint.h>

/** What is said of one layer's spectrum. */
typedef struct es_saturation {
  uint8_t flags;                    /**< es_flag_t (store.h) */
  double trace;                     /**< Σλ after clamping */
  double effective_rank;            /**< exp of the entropy of λ/Σλ (Roy and Vetterli, EUSIPCO 2007, eq. 3) */
  double participation_ratio;       /**< (Σλ)²/Σλ² */
  double first_component_share;     /**< λ₁/Σλ */
  int32_t k[ES_DELTAS_MAX];         /**< intrinsic dimension at each δ; −1 when nonfinite */
  double saturation[ES_DELTAS_MAX]; /**< k/width; NaN when nonfinite */
} es_saturation_t;

/** Clamps rounding below zero to 0 in `values` (descending, `width` of them), then measures. `rows`: of the data
 * matrix. Dead (zero variance): k = 0, saturation 0, ratios NaN. Values that are not finite: flag nonfinite, the rest
 * NaN. */
void es_saturation_measure(es_saturation_t *out, double *values, int32_t width, int64_t rows, const double *deltas,
                           int n_deltas, es_convention_t convention);

/** k(δ): the smallest k with λ₁+…+λ_k ≥ δΣλ (Richter et al. 2022, section 3.1), or delve's count: the number of
 * cumulative ratios strictly below δ, at least 1, plus 1 if the last of them is more than 0.02 short of δ. */
int32_t es_saturation_count(const double *values, int32_t width, double delta, es_convention_t convention);

#endif
