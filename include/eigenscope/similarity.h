/** Similarity of sets of features: debiased linear CKA and orthogonal Procrustes distance. A set X is (n, p),
 * row-major: p features of n samples. Sets that are compared have the same n samples, in the same order.
 *
 * Both are invariant to rotation (X Q, Q orthogonal), to isotropic scale and to translation of the features.
 *
 * Linear CKA (Kornblith, Norouzi, Lee, Hinton: Similarity of Neural Network Representations Revisited, ICML 2019,
 * equation 2), with the unbiased estimator of HSIC (Song et al.: Feature Selection via Dependence Maximization, JMLR
 * 2012, equation 5), as in Nguyen, Raghu, Kornblith: Do Wide and Deep Networks Learn the Same Things?, ICLR 2021,
 * equations 1 to 3. With K = X Xᵀ and K̃ = K with a diagonal of zeros,
 *
 *   HSIC(K, L) = (tr(K̃ L̃) + (1ᵀK̃1)(1ᵀL̃1) / ((n−1)(n−2)) − 2/(n−2) · 1ᵀK̃L̃1) / (n(n−3)),
 *   CKA(X, Y) = HSIC(K, L) / sqrt(HSIC(K, K) · HSIC(L, L)).
 *
 * The sum is the inner product of the U-centred matrices (Székely, Rizzo: Partial distance correlation with methods for
 * dissimilarities, Annals of Statistics 2014, definition 2 and proposition 1),
 *
 *   Û_ij = K_ij − (Σ_l≠i K_il + Σ_l≠j K_lj) / (n−2) + Σ_k≠l K_kl / ((n−1)(n−2)) for i ≠ j, Û_ii = 0,
 *
 * so CKA is the inner product of the vectors of their lower triangles, scaled to length 1: all pairs of N sets are the
 * matrix product V Vᵀ of the N vectors. A vector has n(n−1)/2 numbers, whatever the widths, and costs n²p/2
 * multiply-adds. The value can be below 0 for unrelated sets; that is the price of having no bias.
 *
 * Orthogonal Procrustes distance (Schönemann: A generalized solution of the orthogonal Procrustes problem,
 * Psychometrika 1966), of sets that are centred and scaled to Frobenius norm 1, as in Ding, Denain, Steinhardt:
 * Grounding Representation Similarity with Statistical Testing, NeurIPS 2021, section 2:
 *
 *   d(X, Y) = min over orthogonal Q of ‖X − Y Q‖² = 2 − 2 ‖XᵀY‖_*  (nuclear norm), 0 to 2.
 *
 * sqrt(d) is the metric of Williams, Kunz, Kornblith, Linderman: Generalized Shape Metrics on Neural Representations,
 * NeurIPS 2021, for these sets.
 *
 * A dead set (features do not vary) and a set with numbers that are not finite have no direction: their numbers are
 * NaN. Not collective unless said. */
#ifndef EIGENSCOPE_SIMILARITY_H
#define EIGENSCOPE_SIMILARITY_H

#include "eigenscope/status.h"
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

/** Kinds of sets: only the usual ones have numbers. A flat set varies, but its U-centred matrix vanishes, so its CKA is
 * 0/0, for example if only one sample differs from the others; its Procrustes distance exists. */
typedef enum es_set_kind { ES_SET_USUAL, ES_SET_DEAD, ES_SET_NOT_FINITE, ES_SET_FLAT, ES_SET_KINDS } es_set_kind_t;

/** Subtracts the column means of X (n, p), in place, after scaling by a power of two that keeps products in range.
 * Dead: no column deviates from its mean by more than rounding, n·ε times its largest number. */
es_set_kind_t es_similarity_centre(double *x, int64_t n, int64_t p);

/** Length of the vector of a set of n samples: n(n−1)/2. */
int64_t es_similarity_vector_size(int64_t n);
/** Writes the vector of a centred set, of length 1; `gram` is scratch, n × n. Flat if the U-centred matrix vanishes. */
es_set_kind_t es_similarity_vector(double *out, const double *x, int64_t n, int64_t p, double *gram);

/** Reduces a centred set to at most n columns and Frobenius norm 1: if p > n, X = R'Q by LQ-decomposition, and R' (n,
 * n) replaces X. *columns: min(n, p). `x` is scratch afterwards. ES_SYSTEM, ES_BUG. */
es_code_t es_procrustes_reduce(double *out, int64_t *columns, double *x, int64_t n, int64_t p, es_status_t *status);
/** Procrustes distance of two reduced sets. ES_SYSTEM, ES_NUMERIC. */
es_code_t es_procrustes_distance(double *out, const double *x, int64_t px, const double *y, int64_t py, int64_t n,
                                 es_status_t *status);

/** Many sets, of which all pairs are compared. */
typedef struct es_similarity_sets {
  int64_t n, count; /**< samples, and sets */
  /** Reads set `index` as double (n, widths[index]). Called on the rank that needs the set. */
  es_code_t (*read)(void *context, int64_t index, double *out, es_status_t *status);
  void *context;
  const int64_t *widths; /**< (count) borrowed */
} es_similarity_sets_t;

enum { ES_SIMILARITY_BLOCK = 64 }; /**< sets of one matrix product; the bits depend on it */

/** Computes CKA of all pairs, on rank 0: cka (count, count) and the kind of each set, NULL on other ranks. The diagonal
 * is exactly 1; NaN where a set has no vector.
 *
 * Sets are cut into blocks of ES_SIMILARITY_BLOCK. Each rank holds the vectors of some blocks, at most `memory` bytes
 * but at least one block, and multiplies them by one block after the other, which the ranks compute in turn and send to
 * all. Vectors that do not fit are computed again. Every product of two blocks is the same call on any number of ranks
 * and with any memory, so the bits are equal. Collective over comm (MPI_COMM_NULL: alone). ES_SYSTEM, ES_INPUT. */
es_code_t es_similarity_cka(double *cka, uint8_t *kinds, const es_similarity_sets_t *sets, int64_t memory,
                            MPI_Comm comm, es_status_t *status);
/** Computes the Procrustes distance of pairs of sets, on every rank; NaN where a set is dead or not finite. Pairs are
 * divided among the ranks; a rank keeps the reduced sets that it used last, at most `memory` bytes of them and at least
 * two. Collective over comm (MPI_COMM_NULL: alone). ES_SYSTEM, ES_NUMERIC. */
es_code_t es_procrustes_pairs(double *out, const int64_t (*pairs)[2], int64_t n_pairs, const es_similarity_sets_t *sets,
                              int64_t memory, MPI_Comm comm, es_status_t *status);
/** Fewest bytes of a rank: three blocks (held, computed, received), a set of this width and its Gram matrix. */
int64_t es_similarity_bytes(int64_t n, int64_t widest, int64_t count);

/** Content of the file that `eigenscope similarity --to` writes. Borrowed pointers. */
typedef struct es_similarity_content {
  int64_t count;                           /**< sets */
  const char *const *point, *const *layer; /**< (count) id of the point, name of the layer */
  const int32_t *epoch;                    /**< (count) */
  const uint8_t *kinds;                    /**< (count) es_set_kind_t */
  const double *cka;                       /**< (count, count) */
  int64_t n_pairs;                         /**< may be 0 */
  const int64_t (*pairs)[2];               /**< sets of each Procrustes distance */
  const double *procrustes;                /**< (n_pairs) */
  int64_t samples;
  const char *sample_hash, *creator;
} es_similarity_content_t;
/** Writes the file atomically: netCDF-4, with the dimensions set, other and pair. ES_SYSTEM. */
es_code_t es_similarity_write(const char *path, const es_similarity_content_t *content, es_status_t *status);
/** True if a file is one of es_similarity_write, of any version. */
bool es_similarity_check(const char *path);

#endif
