/** Eigenspaces of layers: how far two of them agree, how they move over the epochs of a point, and outputs projected
 * onto them. An eigenspace at δ is spanned by the k(δ) leading eigenvectors of a layer's covariance (Richter et al.
 * 2022, section 3.1).
 *
 * Vectors are rows: element (r, i) of a basis of n vectors lies at r·width + i, row r belongs to the r-th eigenvalue in
 * descending order and has length 1. So the first k(δ) rows serve each δ, and the vectors of the largest δ all. They
 * are kept in float, whose rounding turns an eigenspace by about 1e-7; all that is made of them is computed in double.
 *
 * The bits of every number here depend on shapes and values alone, never on the number of ranks. */
#ifndef EIGENSCOPE_EIGENSPACE_H
#define EIGENSCOPE_EIGENSPACE_H

#include "eigenscope/checkpoint.h"
#include "eigenscope/comm.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

/* ---- two eigenspaces ---- */

/** Leading eigenvectors of one layer at one epoch. Borrowed pointers. */
typedef struct es_leading {
  int32_t width;
  const int32_t *k;  /**< k(δ) of each δ; ≤ 0 where there is no eigenspace: 0 of a dead layer, −1 not measured */
  const float *rows; /**< (largest k, width); not read if there is none */
} es_leading_t;

/** Compares the eigenspaces U₁ of `a` and U₂ of `b`, of the same width:
 *
 *   overlap[δ] = ‖U₁ᵀU₂‖²_F / min(k₁, k₂), for each of n_deltas: 1 if one contains the other, 0 if they are
 *                orthogonal, about max(k₁, k₂)/width for random ones; NaN where either is empty.
 *   angles     = principal angles in radians at the first δ, min(k₁, k₂) of them, ascending, 0 … π/2; then NaN up to
 *                `width`. Each comes from its cosine (a singular value of U₁ᵀU₂) and its sine (one of U₂ − U₁U₁ᵀU₂,
 *                U₂ the smaller), so that small angles are exact as well: Björck and Golub, "Numerical methods for
 *                computing angles between linear subspaces", Math. Comp. 27 (1973), section 3; Knyazev and Argentati,
 *                SIAM J. Sci. Comput. 23 (2002).
 *
 * Vectors are orthonormalised in double first, keeping what the first r of them span for each r. ES_NUMERIC when they
 * are not nearly orthonormal or a routine of LAPACK failed (named), ES_SYSTEM when memory is out. Not collective. */
es_code_t es_eigenspace_compare(double *overlap, double *angles, const es_leading_t *a, const es_leading_t *b,
                                int n_deltas, es_status_t *status);

/** Orthonormalises `n` vectors in double (row-major, n × width, n ≤ width) by Householder's QR, in order: the first r
 * keep what they span, each its direction. What is a combination of those before, or zero, becomes some vector that is
 * orthogonal to them. For vectors that were computed one by one, as those of Gram matrices. ES_SYSTEM, ES_NUMERIC
 * (LAPACK). Not collective. */
es_code_t es_eigenspace_orthonormalise(double *rows, int32_t n, int32_t width, es_status_t *status);

/* ---- the eigenspaces of a point over its epochs ---- */

/** Follows the eigenspaces of a point: each measured epoch is compared with the one before, and at the end with the
 * last. Both splits; epochs are indices of the result's epoch axis.
 *
 * Who holds what: an owner (es_spectrum_assign) compares its own layers and keeps their vectors of the last measured
 * epoch; the leader, rank 0 of the group, which alone writes states, keeps the vectors of all epochs, because what will
 * be the last one is known only then. Memory: 4·k·width bytes for each layer, split and measured epoch on the leader;
 * on another rank at most three times that for each of its own layers: es_eigenspaces_bytes. All ranks have the numbers
 * of the last comparison and every k.
 *
 * The owner puts the vectors of each of its layers, then all ranks commit the epoch and read the comparison. After a
 * failure a tracker can only be destroyed. */
typedef struct es_eigenspaces es_eigenspaces_t;

/** Borrowed pointers, copied. */
typedef struct es_eigenspaces_shape {
  const es_group_t *group; /**< its communicator stays borrowed; any number of ranks */
  int n_layers;
  const int32_t *widths;
  const int *owners; /**< rank of the group that has a layer's vectors */
  int n_deltas;
  int32_t n_epochs; /**< of the epoch axis */
} es_eigenspaces_shape_t;

/** ES_SYSTEM when memory is out. Not collective; the caller agrees. *out is owned by the caller. */
es_code_t es_eigenspaces_create(es_eigenspaces_t **out, const es_eigenspaces_shape_t *shape, es_status_t *status);
void es_eigenspaces_destroy(es_eigenspaces_t *spaces);

/** Hands over what a layer's owner found for the epoch that is committed next: k (n_deltas of them; −1 or 0 for none)
 * and `n` vectors (row-major, n × width; the first max k are rounded to float and copied). A layer that nobody puts has
 * none. ES_BUG for a k beyond n or the width, ES_SYSTEM when memory is out. Owner only; not collective. */
es_code_t es_eigenspaces_put(es_eigenspaces_t *spaces, int layer, const int32_t *k, const double *rows, int32_t n,
                             es_status_t *status);
/** Takes an epoch in, later than those of this split before, and compares it with the one before (all NaN for the
 * first). Begins by agreeing on `status`, so that a failed put returns everywhere. Collective; all ranks return the
 * same code. */
es_code_t es_eigenspaces_commit(es_eigenspaces_t *spaces, es_split_t split, int32_t epoch, es_status_t *status);
/** Compares a committed epoch with the last committed one of its split. Not between a put and its commit. Collective;
 * all ranks return the same code. */
es_code_t es_eigenspaces_compare_last(es_eigenspaces_t *spaces, es_split_t split, int32_t epoch, es_status_t *status);

/** Of the last comparison, as es_eigenspace_compare gives them: n_deltas overlaps, `width` angles. On every rank.
 * Borrowed, until the next comparison. */
const double *es_eigenspaces_overlap(const es_eigenspaces_t *spaces, int layer);
const double *es_eigenspaces_angles(const es_eigenspaces_t *spaces, int layer);
/** True if an epoch was committed. On every rank. */
bool es_eigenspaces_has(const es_eigenspaces_t *spaces, es_split_t split, int32_t epoch);
/** The last committed epoch of a split, −1 for none. On every rank. */
int32_t es_eigenspaces_last(const es_eigenspaces_t *spaces, es_split_t split);
/** Vectors of a committed epoch, *n of them: float (n, width). NULL for none (*n = 0). Leader only. Borrowed. */
const float *es_eigenspaces_vectors(const es_eigenspaces_t *spaces, es_split_t split, int32_t epoch, int layer,
                                    int32_t *n);

/** All that a state needs, as tensors named "eigenspace.…": returns how many, and where they are; 0 on ranks but the
 * leader. Nothing is copied: they point into the tracker. Borrowed, until the next commit. */
int es_eigenspaces_tensors(es_eigenspaces_t *spaces, const es_tensor_view_t **out);
/** Resuming a tracker just created: copies one tensor of a state; others than those named "eigenspace.…" are ignored.
 * ES_INPUT for one that does not belong here, ES_SYSTEM when memory is out. Leader only. */
es_code_t es_eigenspaces_take(es_eigenspaces_t *spaces, const es_tensor_view_t *tensor, es_status_t *status);
/** After the leader took all tensors: agrees on `status`, checks that none is missing (ES_INPUT), and hands the owners
 * what they keep. The number of ranks and the owners may have changed. Collective; all ranks return the same code. */
es_code_t es_eigenspaces_resume(es_eigenspaces_t *spaces, es_status_t *status);

/** Sizes that es_eigenspaces_bytes asks for. */
typedef struct es_eigenspaces_plan {
  const int32_t *widths; /**< borrowed */
  int n_layers;
  int64_t measured; /**< epochs, summed over the splits that are measured */
  double share;     /**< expected k/width at the largest δ; 1 for a bound */
  int ranks;
} es_eigenspaces_plan_t;
/** Bytes on the leader at the end of a point, with the scratch of the largest comparison. Another rank holds what
 * `measured` = 2 gives, divided by the ranks, and the scratch. */
int64_t es_eigenspaces_bytes(const es_eigenspaces_plan_t *plan);

/* ---- projection ---- */

/** `n` random orthonormal vectors (n ≤ width, float, row-major): Q of a QR decomposition (Householder, double) of a
 * Gaussian matrix, so their span is uniformly distributed. A pure function of (seed, layer, n, width); fewer of one
 * width span, to rounding, what the first of more do. ES_SYSTEM, ES_NUMERIC (LAPACK). */
es_code_t es_directions_random(float *out, int64_t seed, int layer, int32_t n, int32_t width, es_status_t *status);

/** Projects outputs of layers onto subspaces while a network runs: y = m + UᵀU (x − m), U the first k rows of a layer's
 * vectors, m its mean (Richter et al., "Feature Space Saturation during Training", BMVC 2021, arXiv 2006.08679).
 *
 * Defined where a row of the data matrix is the output at one position: method channelwise, whose outputs are projected
 * position by position, and layers of one position (linear ones) by any method that leaves them as they are. The
 * eigenspaces of flatten, pool, mean, … are not spaces of channels: the caller refuses those.
 *
 * Not collective: every rank has its own, with the same vectors. */
typedef struct es_projector es_projector_t;

enum { ES_PROJECT_NOTHING = -1 };

/** No layer has vectors yet, and none is projected. ES_SYSTEM. Copies widths; *out is owned by the caller. */
es_code_t es_projector_create(es_projector_t **out, const int32_t *widths, int n_layers, es_status_t *status);
void es_projector_destroy(es_projector_t *projector);
/** Gives a layer `n` orthonormal vectors (row-major, n × width) and the mean (width) of its outputs; both are copied as
 * float. ES_SYSTEM. */
es_code_t es_projector_set(es_projector_t *projector, int layer, const double *rows, int32_t n, const double *mean,
                           es_status_t *status);
/** Gives a layer random directions (es_directions_random). */
es_code_t es_projector_set_random(es_projector_t *projector, int layer, int64_t seed, int32_t n, const double *mean,
                                  es_status_t *status);
/** Chooses the first k of a layer's vectors (k ≤ n; 0: outputs become the mean), or ES_PROJECT_NOTHING. */
void es_projector_choose(es_projector_t *projector, int layer, int32_t k);
/** Projects n rows (float, n × width) of a layer in place, by two SGEMMs for each 256 rows: the same bits for the same
 * rows, n and k. Nothing for a layer that is not projected. Cannot fail; uses scratch of the projector. */
void es_projector_apply(es_projector_t *projector, int layer, float *rows, int64_t n);
/** Bytes of a projector with n = share·width vectors in each layer. */
int64_t es_projector_bytes(const int32_t *widths, int n_layers, double share);

#endif
