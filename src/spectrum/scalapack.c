/* ScaLAPACK on all ranks of a communicator. Values: two stages on its PBLAS (two_stage.c), or pdsyev for matrices that
 * are small or oddly tiled. Vectors: pdsyevd. */
#include "distributed.h"
#include "eigenscope/memory.h"

/* Calls either routine and returns its info. `lwork` −1 makes the call a query. */
static int call(const es_team_t *team, double *values, double *z, double *work, int lwork, int *integers, int liwork) {
  int info = ES_INFO_UNTOUCHED;
  const int n = team->problem->order, one = 1, *d = team->descriptor;
  double *a = team->a->local;
  if (integers)
    pdsyevd_("V", "L", &n, a, &one, &one, d, values, z, &one, &one, d, work, &lwork, integers, &liwork, &info, 1, 1);
  else
    pdsyev_("N", "L", &n, a, &one, &one, d, values, z, &one, &one, d, work, &lwork, &info, 1, 1);
  return info;
}

/* Doubles that the inner routines may need beyond the outer routine's answer (pdstedc passes pdlasrt less than it
 * needs: github.com/Reference-ScaLAPACK/scalapack/issues/74), plus the arrays that the routine places before them. */
static double least_work(const es_dist_matrix_t *a) {
  const double n = a->order, nb = a->block, np = a->local_rows + nb, nq = a->local_cols + nb;
  const double tridiagonal = 3.0 * n + nb * (np + 3.0), sort = np * (nb + nq), merge = 6.0 * n + 2.0 * np * nq;
  const double most = tridiagonal > sort ? tridiagonal : sort;
  return 8.0 * n + 3.0 * nb * (nb + np + nq) + (most > merge ? most : merge);
}

typedef struct memory {
  double *work, *z;
  int *integers;
  int lwork, liwork;
} memory_t;

static es_code_t prepare(memory_t *m, const es_team_t *team, bool vectors, double *values, es_status_t *status) {
  const char *routine = vectors ? "pdsyevd" : "pdsyev";
  double asked[4] = {0.0};
  int asked_integers[4] = {0};
  const int info = call(team, values, values, asked, -1, vectors ? asked_integers : NULL, -1);
  ES_TRY(es_lapack_check("spectrum", routine, info, team->problem->order, status));
  const double least = least_work(team->a), wanted = asked[0] > least ? asked[0] : least;
  if (wanted > (double)INT32_MAX)
    return es_fail(status, ES_INPUT, "spectrum",
                   "%s for order %d on %d ranks needs a workspace of more than 2^31 numbers; use more ranks per point",
                   routine, team->problem->order, team->a->rows * team->a->cols);
  m->lwork = (int)wanted;
  m->liwork = 8 * team->problem->order + 2 * team->a->cols + 64;
  if (asked_integers[0] > m->liwork) m->liwork = asked_integers[0];
  m->work = es_allocate((size_t)m->lwork, sizeof *m->work);
  m->z = es_allocate(vectors ? es_team_local_size(team) : 1, sizeof *m->z);
  m->integers = vectors ? es_allocate((size_t)m->liwork, sizeof *m->integers) : NULL;
  if (m->work && m->z && (!vectors || m->integers)) return ES_OK;
  return es_out_of_memory(status, "spectrum", "%s of order %d", routine, team->problem->order);
}

static es_code_t solve(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                       es_status_t *status) {
  const bool wants_vectors = share > 0.0;
  const char *routine = wants_vectors ? "pdsyevd" : "pdsyev";
  es_team_t team;
  memory_t m = {0};
  if (wants_vectors) *vectors = (es_vectors_t){0};
  es_code_t code = es_team_open(&team, problem, status);
  if (code == ES_OK && !wants_vectors && es_team_can_two_stage(&team)) {
    es_team_two_stage(&team, values, status);
    code = es_team_values(&team, "the reduction in two stages", values, status);
    es_team_close(&team);
    return code;
  }
  if (code == ES_OK) {
    if (es_team_on_grid(&team)) prepare(&m, &team, wants_vectors, values, status);
    code = es_agree(problem->comm, status);
  }
  if (code == ES_OK) {
    if (es_team_on_grid(&team))
      es_lapack_check("spectrum", routine, call(&team, values, m.z, m.work, m.lwork, m.integers, m.liwork),
                      problem->order, status);
    es_free(m.work);
    m.work = NULL;
    code = es_team_values(&team, routine, values, status);
  }
  if (code == ES_OK && wants_vectors) code = es_team_vectors(&team, routine, m.z, share, values, vectors, status);
  es_free(m.work);
  es_free(m.z);
  es_free(m.integers);
  es_team_close(&team);
  return code;
}

const es_spectrum_backend_t es_spectrum_scalapack = {"scalapack", ES_SOLVER_SCALAPACK, true, solve};
