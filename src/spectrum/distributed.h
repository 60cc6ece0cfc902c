/* A matrix distributed over the ranks of a grid, and the steps that every collective backend runs around its solver.
 * All functions are collective over problem->comm and end with es_agree, unless stated otherwise. */
#ifndef ES_SPECTRUM_DISTRIBUTED_H
#define ES_SPECTRUM_DISTRIBUTED_H

#include "spectrum_internal.h"

typedef struct es_team {
  const es_eigenproblem_t *problem; /* borrowed */
  es_dist_matrix_t made;            /* owned; made from a triangle */
  es_dist_matrix_t *a;              /* `made` or the problem's own */
  MPI_Comm grid;                    /* owned; ranks of the grid in rank order; MPI_COMM_NULL on idle ranks */
  int system, context;              /* BLACS handles; only on the grid */
  int descriptor[9];                /* of `a`, and of any matrix with the same layout */
  double *diagonal;                 /* owned; original diagonal, by local column */
  es_matrix_norms_t norms;          /* same bits on all ranks */
} es_team_t;

/* Distributes the matrix, checks it (ES_NUMERIC if not finite) and builds the grid. Call es_team_close in any case. */
es_code_t es_team_open(es_team_t *out, const es_eigenproblem_t *problem, es_status_t *status);
/* Restores the diagonal and frees everything. Does not end with es_agree; never fails. */
void es_team_close(es_team_t *team);
static inline bool es_team_on_grid(const es_team_t *team) {
  return team->grid != MPI_COMM_NULL;
}
/* Number of doubles in the local part, at least 1. Not collective. */
size_t es_team_local_size(const es_team_t *team);

/* Ends a solve: calls es_agree on `status`, gives all ranks the values, turned from ascending (on the grid) to
 * descending order, and checks them. */
es_code_t es_team_values(const es_team_t *team, const char *routine, double *values, es_status_t *status);
/* Ends a solve for the vectors, after es_team_values: z holds all of them in the layout of `a`, as columns in ascending
 * order of their values. Checks the leading ones and sends them to the problem's owner. */
es_code_t es_team_vectors(const es_team_t *team, const char *routine, const double *z, double share,
                          const double *values, es_vectors_t *vectors, es_status_t *status);

/* ---- two_stage.c: full to band to tridiagonal ---- */

/* True if es_team_two_stage supports the order and the layout. */
bool es_team_can_two_stage(const es_team_t *team);
/* Computes the values of the team's matrix, ascending, on rank 0. Matrix products run in ScaLAPACK's PBLAS over the
 * grid; rank 0 solves the band, which is as wide as a tile. Collective over problem->comm. A failure is only in the
 * `status` of its rank; the caller then calls es_agree. */
void es_team_two_stage(const es_team_t *team, double *values, es_status_t *status);

#endif
