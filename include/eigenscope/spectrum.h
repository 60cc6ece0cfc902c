/** Eigenvalues and leading eigenvectors of covariances: backends behind a common table of functions, and the
 * distribution of a point's layers over its group.
 *
 * Every solve is checked (below). If it fails its check or does not converge, plain LAPACK repeats it on one rank, and
 * a warning is set. If that fails too, the layer is marked as unsolved, and the other layers are not affected. */
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
  /** ES_CHOOSE_AUTO: ScaLAPACK from this order on with two or more ranks, else LAPACK. A constant, so that bits never
   * depend on memory or timing. */
  ES_SCALAPACK_ORDER = 4096,
  /** Tile size of the layouts that collective backends create; also the fastest for matrices given as blocks. */
  ES_SPECTRUM_BLOCK = 64,
  /** Eigenvectors of wider matrices overflow LAPACK's int workspaces. */
  ES_VECTORS_ORDER_MOST = 32766
};

/** One symmetric eigenproblem, given as a packed triangle or as blocks. */
typedef struct es_eigenproblem {
  int32_t order;
  const double *triangle;   /**< lower triangle packed by rows (covariance.h); borrowed. LAPACK: on the calling rank.
                               Collective backends: on `owner`, ignored elsewhere. NULL on all ranks if `blocks` is set */
  MPI_Comm comm;            /**< ranks that solve it together; a backend with collective = false ignores it */
  es_dist_matrix_t *blocks; /**< over comm, both triangles filled; borrowed. The solver overwrites the lower triangle;
                               the backend restores the diagonal and keeps the strict upper triangle, so the matrix is
                               not lost. Collective backends only */
  int owner;                /**< rank of comm that holds `triangle` and gets the vectors */
  const es_watch_t *watch;  /**< asked between the steps of a solve; or NULL; borrowed */
} es_eigenproblem_t;

/** Leading eigenvectors. */
typedef struct es_vectors {
  int32_t n;    /**< number of vectors, on every rank of comm */
  double *rows; /**< owned, es_free; only on `owner`, elsewhere NULL: n × order; row r belongs to values[r], has length
                   1, and its component of largest modulus (the first of equal ones) is positive */
} es_vectors_t;

typedef struct es_spectrum_backend {
  const char *name; /**< as in `measure: {solver: ...}` */
  es_solver_t solver;
  bool collective; /**< all ranks of comm must call it together, and all return the same code */
  /** Writes all eigenvalues into values[0 … order−1], descending, on every rank of comm. share > 0: also the leading
   * vectors (es_spectrum_leading tells how many), with the checks ‖Qv − λv‖₂ ≤ 100·n·ε·‖Q‖_F for each vector and |VVᵀ −
   * I| ≤ 100·n·ε for each element. share = 0 needs no `vectors`; its values agree with those of share > 0 to n·ε·‖Q‖,
   * not always in bits. ES_NUMERIC if the matrix is not finite, the routine did not converge or a check fails (each
   * named in the message), ES_SYSTEM if out of memory, ES_INPUT for an order too large for LAPACK's eigenvectors,
   * ES_STOPPED if the watch says so. */
  es_code_t (*solve)(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                     es_status_t *status);
} es_spectrum_backend_t;

/** LAPACK on one rank: large orders are reduced in two stages (full to band to tridiagonal), to use BLAS 3. */
extern const es_spectrum_backend_t es_spectrum_lapack;
/** The fallback of the other backends: dsyevd. */
extern const es_spectrum_backend_t es_spectrum_lapack_plain;
/** On the near-square grid of comm's ranks (dist_matrix.h), surplus ranks idle. Memory order²/ranks. */
extern const es_spectrum_backend_t es_spectrum_scalapack;

/** Selects the backend of a choice for a matrix of `order` on `ranks`; LAPACK for elpa if a process would get no tile.
 * ES_INPUT for elpa in a build without ELPA. */
es_code_t es_spectrum_choose(const es_spectrum_backend_t **out, es_solver_choice_t choice, int32_t order, int ranks,
                             es_status_t *status);

/** The smallest k with values[0] + … + values[k−1] ≥ share · Σ values, with negative values counted as 0; 0 for a sum
 * of 0. Equals the k of saturation.h with convention `smallest`. */
int32_t es_spectrum_leading(const double *values, int32_t order, double share);

/** ES_NUMERIC if an element is not finite. Every backend calls it first: LAPACK's behaviour with NaN is undefined. */
es_code_t es_spectrum_check_finite(const es_eigenproblem_t *problem, es_status_t *status);

/** Eigenproblem of one layer of a point. Fields other than order, values and triangle may be zero. */
typedef struct es_layer_problem {
  int32_t order;
  double *triangle;          /**< borrowed; needed on the rank `owner` */
  es_dist_matrix_t *blocks;  /**< or: over the group, both triangles filled (see es_eigenproblem_t); borrowed */
  double *values;            /**< borrowed, `order` doubles; filled on every rank */
  double share;              /**< > 0: also compute the leading vectors (es_spectrum_leading) */
  es_vectors_t vectors;      /**< out; owned, es_spectrum_release */
  es_solver_choice_t choice; /**< same on every rank */
  const es_spectrum_backend_t *backend; /**< NULL: selected by `choice` (tests set their own); borrowed */
  int owner;                            /**< rank of the group, set by es_spectrum_assign */
  es_solver_t solver;                   /**< set by es_spectrum_solve; ES_SOLVER_NONE where skip is set */
  bool skip;                            /**< nothing to solve (no rows, not finite); equal on every rank */
  bool fell_back;    /**< set by es_spectrum_solve on every rank: `solver` is LAPACK because another backend failed */
  bool unsolved;     /**< set by es_spectrum_solve on every rank: no solver passed its check; no values, no vectors */
  char warning[320]; /**< reason of the fallback, or why the layer is unsolved: one sentence; else empty */
} es_layer_problem_t;

/** Assigns layers to `ranks` ranks by cost (order³, largest first to the least loaded rank): a pure function of orders
 * and choices. Layers that all ranks solve together count as cost 0. */
void es_spectrum_assign(es_layer_problem_t *layers, int n, int ranks);
/** Solves the layers with collective backends one after another, then each other layer on its owner, and sends the
 * eigenvalues to all ranks. Any number of ranks. A layer that no solver solves is marked as unsolved; ES_NUMERIC only
 * for a matrix that is not finite. All ranks return the same code. Collective. */
es_code_t es_spectrum_solve(es_layer_problem_t *layers, int n, const es_group_t *group, es_status_t *status);
/** Sends a layer's vectors from its owner to every rank. Does nothing without vectors. Collective. */
es_code_t es_spectrum_share_vectors(es_layer_problem_t *layer, const es_group_t *group, es_status_t *status);
/** Frees the vectors of layers. */
void es_spectrum_release(es_layer_problem_t *layers, int n);

/** Predicts the seconds of a solve by ES_CHOOSE_AUTO on the machine that cost.c names; for comparisons and plans.
 * `vectors`: with all eigenvectors. */
double es_spectrum_seconds(int32_t order, int ranks, bool vectors);
/** Bytes that a solve needs besides the triangle or the blocks, on the rank that needs most. */
int64_t es_spectrum_bytes(int32_t order, int ranks, bool vectors);

#endif
