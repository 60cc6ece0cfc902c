/** The participation ratio (tr Σ)²/tr Σ² of a layer, corrected for the number of samples.
 *
 *   Σ over lanes i < j of tr Mᵢ tr Mⱼ  /  Σ over lanes i < j of tr(Mᵢ Mⱼ),   Mᵢ = Σ (x − mᵢ)(x − mᵢ)ᵀ over the nᵢ rows
 *   of lane i, mᵢ their mean
 *
 * For independent rows with covariance Σ, E[Mᵢ] = (nᵢ − 1)Σ, and the matrices of two lanes are independent. So both
 * sums are unbiased estimates, of (tr Σ)² and of tr Σ², times the same Σ (nᵢ − 1)(nⱼ − 1). The (Σλ)²/Σλ² of the
 * eigenvalues is biased because it also pairs each row with itself. Himeno and Yamada (Journal of Multivariate Analysis
 * 130, 2014) leave out the pairs of a row with itself, which needs Σ‖x − m‖⁴ and independent rows. Pairs of lanes leave
 * out 1/L of the pairs, need no other sums, and allow rows of one sample (positions) to depend on each other, because
 * all rows of a sample are in one lane. Then mᵢ takes from Mᵢ a share of at most 1/Nᵢ of the variance between the Nᵢ
 * samples; the ratio changes only if this part has another spectrum than the rest. The result is at least 0, may exceed
 * the width, and is NaN if fewer than two lanes have two rows. Lanes of files of moments: their `lane_moment`, or else
 * their parts (analysis/README.md). */
#ifndef EIGENSCOPE_LANE_PAIRS_H
#define EIGENSCOPE_LANE_PAIRS_H

#include "eigenscope/status.h"
#include <stddef.h>
#include <stdint.h>

/** Sums over the pairs of the lanes so far. */
typedef struct es_lane_pairs {
  size_t size;     /**< numbers of a packed triangle (covariance.h) */
  double *sum;     /**< owned; Σ Mᵢ, packed */
  double trace;    /**< of `sum` */
  double traces;   /**< Σ tr Mᵢ tr Mⱼ */
  double products; /**< Σ tr(Mᵢ Mⱼ) */
} es_lane_pairs_t;

/** ES_SYSTEM if out of memory. Not collective, as all functions here. */
es_code_t es_lane_pairs_create(es_lane_pairs_t *out, int32_t width, es_status_t *status);
void es_lane_pairs_destroy(es_lane_pairs_t *pairs);
/** Adds the next lane: its packed triangle Mᵢ of `width` rows. */
void es_lane_pairs_add(es_lane_pairs_t *pairs, const double *triangle, int32_t width);
/** The corrected ratio, or NaN. */
double es_lane_pairs_ratio(const es_lane_pairs_t *pairs);

/** The corrected ratio from the Gram matrix of the rows (gram.h: packed, centred, in the order of the lanes), because
 * tr(Mᵢ Mⱼ) is the sum of the squares of the products of rows of lane i and rows of lane j, each about the mean of its
 * lane. `rows`: rows of each lane. `scratch`: as many doubles as rows. */
double es_lane_pairs_of_gram(const double *triangle, const int64_t *rows, int lanes, double *scratch);

#endif
