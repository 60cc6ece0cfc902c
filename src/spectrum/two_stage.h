/* The two stages of reducing a symmetric matrix: full to band to tridiagonal. */
#ifndef ES_SPECTRUM_TWO_STAGE_H
#define ES_SPECTRUM_TWO_STAGE_H

#include "distributed.h"

/* Values of a symmetric band matrix, descending. `band`: (width + 1) × n, column-major, LAPACK's lower storage: element
 * (i, j) at i − j + j·(width + 1); overwritten. On one rank. */
es_code_t es_spectrum_band_values(double *band, int32_t n, int width, double *values, es_status_t *status);

/* Orders and layouts for which es_team_two_stage is made. */
bool es_team_can_two_stage(const es_team_t *team);
/* Values of the team's matrix, ascending, on rank 0. Products of matrices run in ScaLAPACK's PBLAS over the grid, its
 * band (as wide as a tile) is solved on rank 0. Collective over problem->comm; what fails is in `status` of the rank,
 * not yet agreed on. */
void es_team_two_stage(const es_team_t *team, double *values, es_status_t *status);

#endif
