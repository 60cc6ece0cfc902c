/** A square matrix, distributed block-cyclically over a process grid in ScaLAPACK's layout. Holds a covariance that is
 * too large for one rank, while it is accumulated (spread.h) and solved (spectrum.h).
 *
 * Layout (ScaLAPACK Users' Guide, section 4.3): the matrix is cut into block × block tiles; tile (I, J) belongs to the
 * process at row I mod rows, column J mod cols of the grid; rank r of comm is at (r / cols, r mod cols). Ranks from
 * rows·cols on are idle: they take part in collective calls and hold nothing. Local parts are column-major. */
#ifndef EIGENSCOPE_DIST_MATRIX_H
#define EIGENSCOPE_DIST_MATRIX_H

#include "eigenscope/status.h"
#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct es_dist_matrix {
  MPI_Comm comm;                  /**< borrowed */
  int32_t order, block;           /**< order of the matrix; order of a tile */
  int rows, cols;                 /**< size of the process grid, rows ≤ cols, rows·cols ≤ size of comm */
  int row, col;                   /**< position of this rank; −1 if it is idle */
  int32_t local_rows, local_cols; /**< size of the local part; 0 if idle */
  int32_t leading;                /**< leading dimension, max(1, local_rows) */
  double *local;                  /**< owned; element (i, j) at i + j·leading; NULL if empty */
} es_dist_matrix_t;

/** Chooses a near-square grid for `ranks`: the largest rows·cols ≤ ranks with rows ≤ cols ≤ 2·rows; among equal ones
 * the most square. */
void es_dist_matrix_grid(int ranks, int *rows, int *cols);
/** Number of rows (or columns) of a matrix of `order` at position `at` of `n`: ScaLAPACK's numroc. 0 for at < 0. */
int32_t es_dist_matrix_count(int32_t order, int32_t block, int at, int n);
/** Global index of local index `local` on position `at` of `n`. Ascending in `local`. */
static inline int32_t es_dist_matrix_global(int32_t local, int32_t block, int at, int n) {
  return (local / block * n + at) * block + local % block;
}

/** Global index of a row, or column, of the local part. */
static inline int32_t es_dist_matrix_row(const es_dist_matrix_t *matrix, int32_t local) {
  return es_dist_matrix_global(local, matrix->block, matrix->row, matrix->rows);
}
static inline int32_t es_dist_matrix_column(const es_dist_matrix_t *matrix, int32_t local) {
  return es_dist_matrix_global(local, matrix->block, matrix->col, matrix->cols);
}

/** Elements of a packed triangle of that order, n(n+1)/2. */
static inline size_t es_triangle_size(int32_t order) {
  return (size_t)order * ((size_t)order + 1) / 2;
}

/** Creates a zero matrix over comm. Not collective; the caller calls es_agree. ES_SYSTEM if out of memory. */
es_code_t es_dist_matrix_create(es_dist_matrix_t *out, MPI_Comm comm, int32_t order, int32_t block,
                                es_status_t *status);
void es_dist_matrix_destroy(es_dist_matrix_t *matrix);
/** Bytes of the largest local part; allocates nothing, for plans. */
int64_t es_dist_matrix_bytes(int32_t order, int32_t block, int ranks);

/** Copies the local part of a symmetric matrix, both triangles, from its lower triangle packed by rows (covariance.h),
 * which each rank holds completely. Not collective. */
void es_dist_matrix_from_triangle(es_dist_matrix_t *matrix, const double *triangle);
/** Like es_dist_matrix_from_triangle, but only rank `root` holds the triangle (ignored elsewhere). Collective. */
void es_dist_matrix_scatter(es_dist_matrix_t *matrix, const double *triangle, int root);
/** Copies the lower triangle to the upper one. Collective. ES_SYSTEM on all ranks if one is out of memory. */
es_code_t es_dist_matrix_mirror(es_dist_matrix_t *matrix, es_status_t *status);
/** Gathers the lower triangle, or the upper one, which a solver does not overwrite (spectrum.h), into a packed triangle
 * on rank `root` (`triangle` is ignored elsewhere). Collective. */
void es_dist_matrix_to_triangle(const es_dist_matrix_t *matrix, double *triangle, int root, bool upper);

#endif
