/** Eigenspaces of layers: compares two eigenspaces, follows them over the epochs of a point, and projects outputs onto
 * them. An eigenspace at δ is spanned by the k(δ) leading eigenvectors of a layer's covariance (Richter et al. 2022,
 * section 3.1).
 *
 * Vectors are rows: element (r, i) of a basis of n vectors lies at r·width + i, row r belongs to the r-th eigenvalue in
 * descending order and has length 1. So the first k(δ) rows are the basis for δ. Vectors are stored in float, whose
 * rounding turns an eigenspace by about 1e-7; results are computed in double.
 *
 * The bits of every result depend only on shapes and values, never on the number of ranks. */
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
  const int32_t *k; /**< k(δ) of each δ; ≤ 0 if there is no eigenspace: 0 for a dead layer, −1 for not measured */
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
 * Vectors are first orthonormalised in double; the span of the first r vectors stays the same for each r. ES_NUMERIC if
 * they are not nearly orthonormal or a LAPACK routine failed (named), ES_SYSTEM if out of memory. Not collective. */
es_code_t es_eigenspace_compare(double *overlap, double *angles, const es_leading_t *a, const es_leading_t *b,
                                int n_deltas, es_status_t *status);

/** Orthonormalises `n` vectors in double (row-major, n × width, n ≤ width) by Householder QR, in order: the span of the
 * first r vectors and the sign of each vector stay the same. A vector that is zero or depends linearly on earlier ones
 * becomes an arbitrary vector orthogonal to them. For vectors that were computed one by one, as those of Gram matrices.
 * ES_SYSTEM, ES_NUMERIC (LAPACK). Not collective. */
es_code_t es_eigenspace_orthonormalise(double *rows, int32_t n, int32_t width, es_status_t *status);

/* ---- the eigenspaces of a point over its epochs ---- */

/** Follows the eigenspaces of a point: each measured epoch is compared with the one before, and at the end with the
 * last. Both splits; epochs are indices of the result's epoch axis.
 *
 * Storage: the owner of a layer (es_spectrum_assign) compares it and stores its vectors of the last measured epoch. The
 * leader (rank 0 of the group, the only rank that writes states) stores the vectors of all epochs, because the last
 * epoch is known only at the end. Memory: 4·k·width bytes for each layer, split and measured epoch on the leader; on
 * another rank at most three times that for each of its own layers: es_eigenspaces_bytes. All ranks hold the results of
 * the last comparison and every k.
 *
 * Use: each owner puts the vectors of its layers, then all ranks commit the epoch and read the comparison. After a
 * failure a tracker can only be destroyed. */
typedef struct es_eigenspaces es_eigenspaces_t;

/** Borrowed pointers; es_eigenspaces_create copies the data. */
typedef struct es_eigenspaces_shape {
  const es_group_t *group; /**< its communicator must outlive the tracker; any number of ranks */
  int n_layers;
  const int32_t *widths;
  const int *owners; /**< rank of the group that computes a layer's vectors */
  int n_deltas;
  int32_t n_epochs; /**< length of the epoch axis */
} es_eigenspaces_shape_t;

/** ES_SYSTEM if out of memory. Not collective; the caller calls es_agree. *out is owned by the caller. */
es_code_t es_eigenspaces_create(es_eigenspaces_t **out, const es_eigenspaces_shape_t *shape, es_status_t *status);
void es_eigenspaces_destroy(es_eigenspaces_t *spaces);

/** Sets a layer's eigenspaces for the epoch that is committed next: k (n_deltas of them; −1 or 0 for none) and `n`
 * vectors (row-major, n × width; the first max k are rounded to float and copied). A layer without a put has no
 * eigenspace. ES_BUG for a k beyond n or the width, ES_SYSTEM if out of memory. Owner only; not collective. */
es_code_t es_eigenspaces_put(es_eigenspaces_t *spaces, int layer, const int32_t *k, const double *rows, int32_t n,
                             es_status_t *status);
/** Adds an epoch, later than all earlier ones of this split, and compares it with the previous one (all NaN for the
 * first). First calls es_agree on `status`, so that a failed put fails on all ranks. Collective; all ranks return the
 * same code. */
es_code_t es_eigenspaces_commit(es_eigenspaces_t *spaces, es_split_t split, int32_t epoch, es_status_t *status);
/** Compares a committed epoch with the last committed one of its split. Must not be called between a put and its
 * commit. Collective; all ranks return the same code. */
es_code_t es_eigenspaces_compare_last(es_eigenspaces_t *spaces, es_split_t split, int32_t epoch, es_status_t *status);

/** Results of the last comparison, as es_eigenspace_compare returns them: n_deltas overlaps, `width` angles. On every
 * rank. Borrowed until the next comparison. */
const double *es_eigenspaces_overlap(const es_eigenspaces_t *spaces, int layer);
const double *es_eigenspaces_angles(const es_eigenspaces_t *spaces, int layer);
/** True if an epoch was committed. On every rank. */
bool es_eigenspaces_has(const es_eigenspaces_t *spaces, es_split_t split, int32_t epoch);
/** The last committed epoch of a split, −1 for none. On every rank. */
int32_t es_eigenspaces_last(const es_eigenspaces_t *spaces, es_split_t split);
/** Vectors of a committed epoch, *n of them: float (n, width). NULL for none (*n = 0). Leader only. Borrowed. */
const float *es_eigenspaces_vectors(const es_eigenspaces_t *spaces, es_split_t split, int32_t epoch, int layer,
                                    int32_t *n);

/** Tensors "eigenspace.…" that a state file stores: sets *out and returns their number; 0 except on the leader. The
 * tensors point into the tracker. Borrowed until the next commit. */
int es_eigenspaces_tensors(es_eigenspaces_t *spaces, const es_tensor_view_t **out);
/** Restores a new tracker: copies one tensor of a state; ignores names other than "eigenspace.…". ES_INPUT for a tensor
 * that does not fit this point, ES_SYSTEM if out of memory. Leader only. */
es_code_t es_eigenspaces_take(es_eigenspaces_t *spaces, const es_tensor_view_t *tensor, es_status_t *status);
/** Call after the leader restored all tensors: calls es_agree on `status`, checks that no tensor is missing (ES_INPUT),
 * and sends each owner its vectors. The ranks and owners may have changed. Collective; all ranks return the same
 * code. */
es_code_t es_eigenspaces_resume(es_eigenspaces_t *spaces, es_status_t *status);

/** Arguments of es_eigenspaces_bytes. */
typedef struct es_eigenspaces_plan {
  const int32_t *widths; /**< borrowed */
  int n_layers;
  int64_t measured; /**< number of measured epochs, summed over the measured splits */
  double share;     /**< expected k/width at the largest δ; 1 for an upper bound */
  int ranks;
} es_eigenspaces_plan_t;
/** Bytes on the leader at the end of a point, including scratch of the largest comparison. Another rank holds the bytes
 * for `measured` = 2, divided by the number of ranks, and the scratch. */
int64_t es_eigenspaces_bytes(const es_eigenspaces_plan_t *plan);

/* ---- projection ---- */

/** `n` random orthonormal vectors (n ≤ width, float, row-major): Q of a QR decomposition (Householder, double) of a
 * Gaussian matrix, so their span is uniformly distributed. A pure function of (seed, layer, n, width). For one width,
 * the first n of more vectors span the same space up to rounding. ES_SYSTEM, ES_NUMERIC (LAPACK). */
es_code_t es_directions_random(float *out, int64_t seed, int layer, int32_t n, int32_t width, es_status_t *status);

/** Projects outputs of layers onto subspaces while a network runs: y = m + UᵀU (x − m), U the first k rows of a layer's
 * vectors, m its mean (Richter et al., "Feature Space Saturation during Training", BMVC 2021, arXiv 2006.08679).
 *
 * Defined only if a row of the data matrix is the output at one position: for method channelwise, which projects each
 * position, and for layers with one position (linear ones) with any method that does not change them. The eigenspaces
 * of flatten, pool, mean, … are not spaces of channels: the caller refuses these methods.
 *
 * Not collective: every rank has its own projector with the same vectors. */
typedef struct es_projector es_projector_t;

enum { ES_PROJECT_NOTHING = -1 };

/** Creates a projector that projects no layer yet. ES_SYSTEM. Copies widths; *out is owned by the caller. */
es_code_t es_projector_create(es_projector_t **out, const int32_t *widths, int n_layers, es_status_t *status);
void es_projector_destroy(es_projector_t *projector);
/** Sets `n` orthonormal vectors (row-major, n × width) of a layer and the mean (width) of its outputs; both are copied
 * as float. ES_SYSTEM. */
es_code_t es_projector_set(es_projector_t *projector, int layer, const double *rows, int32_t n, const double *mean,
                           es_status_t *status);
/** Sets random directions (es_directions_random) as the vectors of a layer. */
es_code_t es_projector_set_random(es_projector_t *projector, int layer, int64_t seed, int32_t n, const double *mean,
                                  es_status_t *status);
/** Projects a layer onto its first k vectors (k ≤ n; 0: outputs become the mean), or not (ES_PROJECT_NOTHING). */
void es_projector_choose(es_projector_t *projector, int layer, int32_t k);
/** Projects n rows (float, n × width) of a layer in place, by two SGEMMs per 256 rows: the same rows, n and k give the
 * same bits. Does nothing for a layer that is not projected. Cannot fail; uses scratch of the projector. */
void es_projector_apply(es_projector_t *projector, int layer, float *rows, int64_t n);
/** Bytes of a projector with n = share·width vectors in each layer. */
int64_t es_projector_bytes(const int32_t *widths, int n_layers, double share);

#endif
