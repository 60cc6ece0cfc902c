/* ELPA on all ranks of a communicator, in two stages. Compiled only if the build found ELPA; used only if a job names
 * it. */
#ifdef ES_ELPA
#include "distributed.h"
#include "eigenscope/memory.h"
#include <elpa/elpa.h>
#include <string.h>

static const char ROUTINE[] = "ELPA's two-stage solver";

static es_code_t failed(const char *what, int error, int32_t order, es_status_t *status) {
  return es_fail(status, ES_NUMERIC, "spectrum", "%s of order %d failed in %s: %s", ROUTINE, order, what,
                 elpa_strerr(error));
}

static es_code_t describe(elpa_t handle, const es_team_t *team, es_status_t *status) {
  const es_dist_matrix_t *a = team->a;
  const struct {
    const char *name;
    int value;
  } facts[] = {{"na", a->order},
               {"nev", a->order},
               {"local_nrows", a->leading},
               {"local_ncols", a->local_cols},
               {"nblk", a->block},
               {"mpi_comm_parent", (int)MPI_Comm_c2f(team->grid)},
               {"process_row", a->row},
               {"process_col", a->col}};
  int error = ELPA_OK;
  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
    elpa_set_integer(handle, facts[i].name, facts[i].value, &error);
    if (error != ELPA_OK) return failed(facts[i].name, error, a->order, status);
  }
  error = elpa_setup(handle);
  if (error != ELPA_OK) return failed("the set-up", error, a->order, status);
  elpa_set_integer(handle, "solver", ELPA_SOLVER_2STAGE, &error);
  return error == ELPA_OK ? ES_OK : failed("the choice of the solver", error, a->order, status);
}

/* Called on the grid. Overwrites `copy`; z may be NULL. */
static es_code_t run(const es_team_t *team, double *copy, double *values, double *z, es_status_t *status) {
  int error = ELPA_OK;
  if (elpa_init(ELPA_API_VERSION) != ELPA_OK) return failed("the start", ELPA_ERROR, team->problem->order, status);
  elpa_t handle = elpa_allocate(&error);
  if (error != ELPA_OK) return failed("the start", error, team->problem->order, status);
  es_code_t code = describe(handle, team, status);
  if (code == ES_OK) {
    if (z)
      elpa_eigenvectors(handle, copy, values, z, &error);
    else
      elpa_eigenvalues(handle, copy, values, &error);
    if (error != ELPA_OK) code = failed("the solve", error, team->problem->order, status);
  }
  elpa_deallocate(handle, &error);
  return code;
}

static es_code_t solve(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                       es_status_t *status) {
  es_team_t team;
  const bool wants_vectors = share > 0.0;
  double *copy = NULL, *z = NULL;
  if (wants_vectors) *vectors = (es_vectors_t){0};
  es_code_t code = es_team_open(&team, problem, status);
  if (code == ES_OK) {
    const size_t size = es_team_local_size(&team);
    copy = es_allocate_zero(size, sizeof *copy); /* ELPA uses both halves; a fallback needs one of them */
    z = wants_vectors ? es_allocate(size, sizeof *z) : NULL;
    if (!copy || (wants_vectors && !z)) es_out_of_memory(status, "spectrum", "%s of order %d", ROUTINE, problem->order);
    code = es_agree(problem->comm, status);
    if (code == ES_OK && team.a->local) memcpy(copy, team.a->local, size * sizeof *copy);
  }
  if (code == ES_OK) {
    if (es_team_on_grid(&team)) run(&team, copy, values, z, status);
    code = es_team_values(&team, ROUTINE, values, status);
  }
  es_free(copy);
  if (code == ES_OK && wants_vectors) code = es_team_vectors(&team, ROUTINE, z, share, values, vectors, status);
  es_free(z);
  es_team_close(&team);
  return code;
}

const es_spectrum_backend_t es_spectrum_elpa = {"elpa", ES_SOLVER_ELPA, true, solve};
#else
extern const int es_spectrum_no_elpa;
const int es_spectrum_no_elpa = 1; /* ISO C forbids an empty file */
#endif
