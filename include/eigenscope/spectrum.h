/** Eigenvalues and leading eigenvectors of covariances: backends of one shape behind a table of functions, and the
 * distribution of a point's layers over its group.
 *
 * Every solve is checked (below); one that fails its check or does not converge is done again by plain LAPACK on one
 * rank, and says so. */
#ifndef EIGENSCOPE_SPECTRUM_H
#define EIGENSCOPE_SPECTRUM_H

#include "eigenscope/comm.h"
#include "eigenscope/dist_matrix.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdint.h>

/** The solver that ran, as stored in `solver`. */
typedef enum es_solver {
  ES_SOLVER_NONE = 0,
  ES_SOLVER_LAPACK = 1,
  ES_SOLVER_SCALAPACK = 2,
  ES_SOLVER_ELPA = 3
} es_solver_t;

enum {
  /** ES_CHOOSE_AUTO: from this order on ScaLAPACK, on two or more ranks; LAPACK below and on one rank. A constant, so
   * that bits never depend on memory or timing. */
  ES_SCALAPACK_ORDER = 4096,
  /** Tile of the layouts that the collective backends make themselves; the fastest for those that come as blocks. */
  ES_SPECTRUM_BLOCK = 64,
  /** Eigenvectors of wider matrices overflow LAPACK's int workspaces. */
  ES_VECTORS_ORDER_MOST = 32766
};

/** One symmetric eigenproblem, given as a packed triangle or as blocks. */
typedef struct es_eigenproblem {
  int32_t order;
  const double
      *triangle;            /**< lower triangle packed by rows (covariance.h); borrowed. LAPACK: on the calling rank.
                                 Collective backends: on `owner`, ignored elsewhere. NULL everywhere if there are blocks */
  MPI_Comm comm;            /**< ranks that solve it together; a backend with collective = false ignores it */
  es_dist_matrix_t *blocks; /**< over comm, both halves filled; borrowed. The lower half and the diagonal are given to
                            the solver as workspace; when the backend returns, the diagonal is as before and the
                            strict upper half unchanged, so nothing is lost. Collective backends only */
  int owner;                /**< rank of comm that holds `triangle` and gets the vectors */
} es_eigenproblem_t;

/** Leading eigenvectors. */
typedef struct es_vectors {
  int32_t n;    /**< how many, on every rank of comm */
  double *rows; /**< owned, es_free; on `owner` only, elsewhere NULL: n × order, row r belongs to values[r], has length
                   1, and its component of largest modulus (the first of equal ones) is positive */
} es_vectors_t;

typedef struct es_spectrum_backend {
  const char *name; /**< as in `measure: {solver: ...}` */
  es_solver_t solver;
  bool collective; /**< all ranks of comm must call it together, and all return the same code */
  /** All eigenvalues into values[0 … order−1], descending, on every rank of comm. share > 0: also the leading vectors,
   * as many as es_spectrum_leading says; they are checked, ‖Qv − λv‖₂ ≤ 100·n·ε·‖Q‖_F for each and |VVᵀ − I| ≤ 100·n·ε
   * for each element. The values agree with those of share = 0, which needs no `vectors`, to n·ε·‖Q‖, not always in
   * bits. ES_NUMERIC when the matrix is not finite, the routine did not converge or a check fails (each named in the
   * message), ES_SYSTEM when memory is out, ES_INPUT for an order that LAPACK has no vectors for. */
  es_code_t (*solve)(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                     es_status_t *status);
} es_spectrum_backend_t;

/** On one rank: from an order on reduced in two stages (full to band to tridiagonal), which keeps BLAS 3 busy. */
extern const es_spectrum_backend_t es_spectrum_lapack;
/** The textbook path, what others fall back to: dsyevd. */
extern const es_spectrum_backend_t es_spectrum_lapack_plain;
/** On the near-square grid of comm's ranks (dist_matrix.h), surplus ranks idle. Memory order²/ranks. */
extern const es_spectrum_backend_t es_spectrum_scalapack;

/** The backend of a choice for a matrix of `order` on `ranks`; LAPACK for elpa where a process would not get a tile.
 * ES_INPUT for elpa in a build without ELPA. */
es_code_t es_spectrum_choose(const es_spectrum_backend_t **out, es_solver_choice_t choice, int32_t order, int ranks,
                             es_status_t *status);

/** The smallest k with values[0] + … + values[k−1] ≥ share · Σ values, negative ones counted as 0; 0 for a sum of 0.
 * The k of saturation.h with its convention `smallest`. */
int32_t es_spectrum_leading(const double *values, int32_t order, double share);

/** ES_NUMERIC when an element is not finite. Every backend asks first: what LAPACK does with a NaN is undefined. */
es_code_t es_spectrum_check_finite(const es_eigenproblem_t *problem, es_status_t *status);

/** A layer's problem within a point. All zeros but order, values and triangle is a plain one. */
typedef struct es_layer_problem {
  int32_t order;
  double *triangle;                     /**< borrowed; needed on the rank `owner` */
  es_dist_matrix_t *blocks;             /**< or: over the group, both halves filled (see es_eigenproblem_t); borrowed */
  double *values;                       /**< borrowed, `order` doubles; filled on every rank */
  double share;                         /**< > 0: the leading vectors too, as many as es_spectrum_leading says */
  es_vectors_t vectors;                 /**< out; owned, es_spectrum_release */
  es_solver_choice_t choice;            /**< same on every rank */
  const es_spectrum_backend_t *backend; /**< NULL: by choice (tests bring their own); borrowed */
  int owner;                            /**< rank of the group, set by es_spectrum_assign */
  es_solver_t solver;                   /**< set by es_spectrum_solve; ES_SOLVER_NONE where skip is set */
  bool skip;                            /**< nothing to solve (no rows, not finite): same on every rank */
  bool fell_back;    /**< set by es_spectrum_solve on every rank: `solver` is LAPACK because another way failed */
  char warning[320]; /**< and why: one sentence */
} es_layer_problem_t;

/** Spreads layers over `ranks` by cost (order³, largest first to the least loaded rank): a pure function of orders and
 * choices. Those that all ranks solve together weigh nothing. */
void es_spectrum_assign(es_layer_problem_t *layers, int n, int ranks);
/** Solves the layers that take all ranks one after another, then each of the others on its owner, and hands the
 * eigenvalues to all ranks. Any number of ranks. All ranks return the same code. Collective. */
es_code_t es_spectrum_solve(es_layer_problem_t *layers, int n, const es_group_t *group, es_status_t *status);
/** Hands a layer's vectors from its owner to every rank. Nothing for none. Collective. */
es_code_t es_spectrum_share_vectors(es_layer_problem_t *layer, const es_group_t *group, es_status_t *status);
/** Frees the vectors of layers. */
void es_spectrum_release(es_layer_problem_t *layers, int n);

/** Time of a solve by ES_CHOOSE_AUTO: seconds on the machine that cost.c names, meant for comparisons and plans.
 * `vectors`: with all eigenvectors. */
double es_spectrum_seconds(int32_t order, int ranks, bool vectors);
/** Bytes that a solve takes on the busiest rank beside the triangle or the blocks. */
int64_t es_spectrum_bytes(int32_t order, int ranks, bool vectors);

#endif
