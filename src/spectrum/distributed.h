/* A matrix over the ranks of a grid, and what every collective backend does around its solver. All functions are
 * collective over problem->comm and end in agreement, unless they say otherwise. */
#ifndef ES_SPECTRUM_DISTRIBUTED_H
#define ES_SPECTRUM_DISTRIBUTED_H

#include "spectrum_internal.h"

typedef struct es_team {
  const es_eigenproblem_t *problem; /* borrowed */
  es_dist_matrix_t made;            /* owned; from a triangle */
  es_dist_matrix_t *a;              /* `made` or the problem's own */
  MPI_Comm grid;                    /* owned; the ranks on the grid, in rank order; MPI_COMM_NULL on idle ones */
  int system, context;              /* BLACS handles; only on the grid */
  int descriptor[9];                /* of `a`, and of any other matrix of the same layout */
  double *diagonal;                 /* owned; what stood on the diagonal, by local column */
  es_matrix_norms_t norms;          /* same bits on every rank */
} es_team_t;

/* Lays the matrix out, looks at it (ES_NUMERIC when it is not finite) and builds the grid. Close it in any case. */
es_code_t es_team_open(es_team_t *out, const es_eigenproblem_t *problem, es_status_t *status);
/* Puts the diagonal back and frees all. Not collective in its outcome; never fails. */
void es_team_close(es_team_t *team);
static inline bool es_team_on_grid(const es_team_t *team) {
  return team->grid != MPI_COMM_NULL;
}
/* Doubles of one local part, at least 1. Not collective. */
size_t es_team_local_size(const es_team_t *team);

/* Ends a solve: agrees on `status`, turns the ascending values that the ranks of the grid hold into descending ones on
 * every rank, checks them. */
es_code_t es_team_values(const es_team_t *team, const char *routine, double *values, es_status_t *status);
/* Then the vectors: z holds all of them, laid out as `a`, columns in ascending order of their values. Checks the
 * leading ones and hands them to the problem's owner. */
es_code_t es_team_vectors(const es_team_t *team, const char *routine, const double *z, double share,
                          const double *values, es_vectors_t *vectors, es_status_t *status);

/* ---- two_stage.c: full to band to tridiagonal ---- */

/* Orders and layouts for which es_team_two_stage is made. */
bool es_team_can_two_stage(const es_team_t *team);
/* Values of the team's matrix, ascending, on rank 0. Products of matrices run in ScaLAPACK's PBLAS over the grid, its
 * band (as wide as a tile) is solved on rank 0. Collective over problem->comm; what fails is in `status` of the rank,
 * not yet agreed on. */
void es_team_two_stage(const es_team_t *team, double *values, es_status_t *status);

#endif
