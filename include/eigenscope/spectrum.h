/** Eigenvalues of covariances: backends of one shape behind a table of functions, and the distribution of a point's
 * layers over its group. The only module that knows LAPACK (and ScaLAPACK). */
#ifndef EIGENSCOPE_SPECTRUM_H
#define EIGENSCOPE_SPECTRUM_H

#include "eigenscope/comm.h"
#include "eigenscope/status.h"
#include <stdint.h>

/** What ran, as stored in `solver`. */
typedef enum es_solver { ES_SOLVER_NONE = 0, ES_SOLVER_LAPACK = 1, ES_SOLVER_SCALAPACK = 2 } es_solver_t;

/** One symmetric eigenproblem. */
typedef struct es_eigenproblem {
  int32_t order;
  const double *triangle; /**< lower triangle packed by rows (covariance.h); borrowed, on every rank of comm */
  MPI_Comm comm;          /**< ranks that solve it together; a backend with collective = false ignores it */
} es_eigenproblem_t;

typedef struct es_spectrum_backend {
  const char *name; /**< as in `measure: {solver: ...}` */
  es_solver_t solver;
  bool collective; /**< all ranks of comm must call it together */
  /** All eigenvalues into values[0 … order−1], descending. ES_NUMERIC when the matrix is not finite, the routine did
   * not converge or the checks of trace and Frobenius norm fail (each named in the message), ES_SYSTEM when memory is
   * out.
   */
  es_code_t (*eigenvalues)(const es_eigenproblem_t *problem, double *values, es_status_t *status);
} es_spectrum_backend_t;

extern const es_spectrum_backend_t es_spectrum_lapack;

/** ES_NUMERIC when an element is not finite. Every backend calls it first: what LAPACK does with a NaN is undefined. */
es_code_t es_spectrum_check_finite(const es_eigenproblem_t *problem, es_status_t *status);

/** Checks |Σλ − tr Q| ≤ tol and |√Σλ² − ‖Q‖_F| ≤ tol with tol = 100·n·ε·‖Q‖_F: used by every backend. */
es_code_t es_spectrum_check(const char *routine, const es_eigenproblem_t *problem, const double *values,
                            es_status_t *status);

/** A layer's problem within a point. */
typedef struct es_layer_problem {
  int32_t order;
  double *triangle;   /**< borrowed; needed on the rank that solves it (`owner`) */
  double *values;     /**< borrowed, `order` doubles; filled on every rank */
  int owner;          /**< rank of the group, set by es_spectrum_assign */
  es_solver_t solver; /**< set by es_spectrum_solve; ES_SOLVER_NONE where skip is set */
  bool skip;          /**< nothing to solve (no rows, not finite): same on every rank */
} es_layer_problem_t;

/** Spreads layers over `ranks` by cost (order³, largest first to the least loaded rank): a pure function of the orders.
 */
void es_spectrum_assign(es_layer_problem_t *layers, int n, int ranks);
/** Solves each layer on its owner, then hands the eigenvalues to all ranks. All ranks return the same code. Collective.
 */
es_code_t es_spectrum_solve(es_layer_problem_t *layers, int n, const es_group_t *group, es_status_t *status);

/** "OpenBLAS 0.3.21, SkylakeX": what LAPACK and BLAS run on. Static storage. */
const char *es_spectrum_library_name(void);
/** One BLAS thread for each rank. */
void es_spectrum_single_thread(void);

#endif
