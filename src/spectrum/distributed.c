#include "distributed.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

/* Returns the diagonal element in local column j, or NULL if another rank has it. */
static double *diagonal_of(const es_dist_matrix_t *a, int32_t j) {
  const int32_t global = es_dist_matrix_column(a, j), tile = global / a->block;
  if (!a->local || tile % a->rows != a->row) return NULL;
  const int32_t i = tile / a->rows * a->block + global % a->block;
  return a->local + (size_t)j * (size_t)a->leading + (size_t)i;
}

/* Checks that the lower half is finite and computes its norms. */
static es_code_t examine(es_team_t *team, es_status_t *status) {
  const es_dist_matrix_t *a = team->a;
  double sums[2] = {0.0, 0.0}, largest = 0.0; /* trace, sum of squares */
  for (int32_t j = 0; j < a->local_cols; j++) {
    const double *column = a->local + (size_t)j * (size_t)a->leading;
    const int32_t to = es_dist_matrix_column(a, j);
    for (int32_t i = 0; i < a->local_rows; i++) {
      const int32_t from = es_dist_matrix_row(a, i);
      if (from < to) continue;
      if (!isfinite(column[i]))
        es_fail(status, ES_NUMERIC, "spectrum", "the covariance of order %d is not finite: element (%d, %d) is %g",
                a->order, from, to, column[i]);
      sums[0] += from == to ? column[i] : 0.0;
      largest = fmax(largest, fabs(column[i]));
    }
  }
  ES_TRY(es_agree(team->problem->comm, status));
  const MPI_Comm comm = team->problem->comm;
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, comm));
  const double scale = es_spectrum_scale(largest);
  for (int32_t j = 0; j < a->local_cols; j++) {
    const double *column = a->local + (size_t)j * (size_t)a->leading;
    const int32_t to = es_dist_matrix_column(a, j);
    for (int32_t i = 0; i < a->local_rows; i++) {
      const int32_t from = es_dist_matrix_row(a, i);
      if (from >= to) sums[1] += (from == to ? 1.0 : 2.0) * (scale * column[i]) * (scale * column[i]);
    }
  }
  /* One rank sums and broadcasts, because MPI_Allreduce may give the ranks different bits, and all ranks must decide
   * alike. */
  int rank;
  ES_MPI(MPI_Comm_rank(comm, &rank));
  ES_MPI(MPI_Reduce(rank ? sums : MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, 0, comm));
  team->norms = (es_matrix_norms_t){sums[0], sqrt(sums[1]) / scale, largest, scale};
  ES_MPI(MPI_Bcast(&team->norms, (int)sizeof team->norms, MPI_BYTE, 0, comm));
  return ES_OK;
}

static void build_grid(es_team_t *team) {
  const es_dist_matrix_t *a = team->a;
  int rank;
  ES_MPI(MPI_Comm_rank(team->problem->comm, &rank));
  ES_MPI(MPI_Comm_split(team->problem->comm, a->row >= 0 ? 0 : MPI_UNDEFINED, rank, &team->grid));
  if (!es_team_on_grid(team)) return;
  /* ScaLAPACK ignores the error codes of MPI, so a failure of MPI must abort here. */
  ES_MPI(MPI_Comm_set_errhandler(team->grid, MPI_ERRORS_ARE_FATAL));
  team->system = team->context = Csys2blacs_handle(team->grid);
  Cblacs_gridinit(&team->context, "Row", a->rows, a->cols);
  const int descriptor[9] = {1, team->context, a->order, a->order, a->block, a->block, 0, 0, a->leading};
  memcpy(team->descriptor, descriptor, sizeof descriptor);
}

es_code_t es_team_open(es_team_t *out, const es_eigenproblem_t *problem, es_status_t *status) {
  *out = (es_team_t){.problem = problem, .made = {.row = -1, .col = -1}, .grid = MPI_COMM_NULL};
  out->a = problem->blocks ? problem->blocks : &out->made;
  if (problem->comm == MPI_COMM_NULL)
    return es_fail(status, ES_BUG, "spectrum", "a solver that uses all ranks needs a communicator");
  if (!problem->blocks) es_dist_matrix_create(&out->made, problem->comm, problem->order, ES_SPECTRUM_BLOCK, status);
  out->diagonal = es_allocate_zero((size_t)out->a->local_cols + 1, sizeof *out->diagonal);
  if (!out->diagonal) es_spectrum_out_of_memory(problem->order, status);
  ES_TRY(es_agree(problem->comm, status));
  if (!problem->blocks) es_dist_matrix_scatter(&out->made, problem->triangle, problem->owner);
  ES_TRY(examine(out, status));
  for (int32_t j = 0; j < out->a->local_cols; j++) {
    const double *element = diagonal_of(out->a, j);
    if (element) out->diagonal[j] = *element;
  }
  build_grid(out);
  return ES_OK;
}

static void restore_diagonal(const es_team_t *team) {
  for (int32_t j = 0; j < team->a->local_cols; j++) {
    double *element = diagonal_of(team->a, j);
    if (element) *element = team->diagonal[j];
  }
}

void es_team_close(es_team_t *team) {
  if (es_team_on_grid(team)) {
    restore_diagonal(team);
    Cblacs_gridexit(team->context);
    Cfree_blacs_system_handle(team->system);
    ES_MPI(MPI_Comm_free(&team->grid));
  }
  es_dist_matrix_destroy(&team->made);
  es_free(team->diagonal);
  team->diagonal = NULL;
}

size_t es_team_local_size(const es_team_t *team) {
  const size_t size = (size_t)team->a->local_rows * (size_t)team->a->local_cols;
  return size > 0 ? size : 1;
}

es_code_t es_team_values(const es_team_t *team, const char *routine, double *values, es_status_t *status) {
  const int32_t n = team->problem->order;
  ES_TRY(es_agree(team->problem->comm, status));
  ES_MPI(MPI_Bcast(values, n, MPI_DOUBLE, 0, team->problem->comm)); /* rank 0 is on every grid */
  es_spectrum_reverse(values, n);
  return es_spectrum_check_values(routine, n, &team->norms, values, status); /* same bits on all ranks */
}

/* ---- vectors ---- */

/* Largest ‖Av − λv‖ of the k leading columns of z, from the upper half of `a`. Called on the grid. */
static double find_residual(const es_team_t *team, const double *z, int k, const double *values, double *product,
                            double *squares) {
  const es_dist_matrix_t *a = team->a;
  const int n = a->order, first = n - k + 1, one = 1;
  const double alpha = 1.0, beta = 0.0;
  restore_diagonal(team);
  pdsymm_("L", "U", &n, &k, &alpha, a->local, &one, &one, team->descriptor, z, &one, &first, team->descriptor, &beta,
          product, &one, &first, team->descriptor);
  for (int32_t j = 0; j < n; j++) squares[j] = 0.0;
  for (int32_t j = 0; j < a->local_cols; j++) {
    const int32_t column = es_dist_matrix_column(a, j);
    for (int32_t i = 0; column >= n - k && i < a->local_rows; i++) {
      const size_t at = (size_t)j * (size_t)a->leading + (size_t)i;
      const double r = product[at] - values[n - 1 - column] * z[at];
      squares[column] += r * r;
    }
  }
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, squares, n, MPI_DOUBLE, MPI_SUM, team->grid));
  double residual = 0.0;
  for (int32_t j = 0; j < n; j++) residual = squares[j] <= residual ? residual : squares[j];
  return sqrt(residual);
}

/* Largest |ZᵀZ − I| of the k leading columns. Called on the grid. */
static double find_orthogonality(const es_team_t *team, const double *z, int k, double *product) {
  const es_dist_matrix_t *a = team->a;
  const int n = a->order, first = n - k + 1, one = 1;
  const double alpha = 1.0, beta = 0.0;
  pdsyrk_("L", "T", &k, &n, &alpha, z, &one, &first, team->descriptor, &beta, product, &first, &first,
          team->descriptor);
  double worst = 0.0;
  for (int32_t j = 0; j < a->local_cols; j++) {
    const int32_t column = es_dist_matrix_column(a, j);
    for (int32_t i = 0; column >= n - k && i < a->local_rows; i++) {
      const int32_t row = es_dist_matrix_row(a, i);
      const double element = product[(size_t)j * (size_t)a->leading + (size_t)i];
      const double off = row < column ? 0.0 : fabs(element - (row == column ? 1.0 : 0.0));
      worst = off <= worst ? worst : off;
    }
  }
  ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, team->grid));
  return worst;
}

static void gather(const es_team_t *team, const double *z, es_vectors_t *vectors, double *buffer) {
  const es_dist_matrix_t *a = team->a;
  const MPI_Comm comm = team->problem->comm;
  const int owner = team->problem->owner;
  int rank;
  ES_MPI(MPI_Comm_rank(comm, &rank));
  for (int r = 0; r < a->rows * a->cols; r++) {
    const int row = r / a->cols, col = r % a->cols;
    const int32_t n = es_dist_matrix_count(a->order, a->block, row, a->rows);
    const int32_t columns = es_dist_matrix_count(a->order, a->block, col, a->cols);
    if (n == 0 || (rank != owner && rank != r)) continue;
    for (int32_t j = 0; j < columns; j++) {
      const int32_t column = es_dist_matrix_global(j, a->block, col, a->cols);
      if (column < a->order - vectors->n) continue;
      const double *mine = rank == r ? z + (size_t)j * (size_t)a->leading : NULL;
      if (mine && rank != owner) ES_MPI(MPI_Send(mine, n, MPI_DOUBLE, owner, 0, comm));
      if (!mine) ES_MPI(MPI_Recv(buffer, n, MPI_DOUBLE, r, 0, comm, MPI_STATUS_IGNORE));
      const double *values = mine ? mine : buffer;
      double *out = vectors->rows + (size_t)(a->order - 1 - column) * (size_t)a->order;
      for (int32_t i = 0; rank == owner && i < n; i++)
        out[es_dist_matrix_global(i, a->block, row, a->rows)] = values[i];
    }
  }
}

es_code_t es_team_vectors(const es_team_t *team, const char *routine, const double *z, double share,
                          const double *values, es_vectors_t *vectors, es_status_t *status) {
  const int32_t n = team->problem->order;
  const MPI_Comm comm = team->problem->comm;
  double found[2] = {0.0, 0.0}; /* residual, orthogonality */
  int rank;
  ES_MPI(MPI_Comm_rank(comm, &rank));
  *vectors = (es_vectors_t){.n = es_spectrum_leading(values, n, share)};
  if (vectors->n == 0) return ES_OK;
  double *product = es_allocate(es_team_local_size(team), sizeof *product);
  double *buffer = es_allocate((size_t)n, sizeof *buffer);
  if (rank == team->problem->owner) vectors->rows = es_allocate((size_t)vectors->n, (size_t)n * sizeof(double));
  if (!product || !buffer || (rank == team->problem->owner && !vectors->rows)) es_spectrum_out_of_memory(n, status);
  es_code_t code = es_agree(comm, status);
  if (code == ES_OK) {
    if (es_team_on_grid(team)) {
      found[0] = find_residual(team, z, vectors->n, values, product, buffer);
      found[1] = find_orthogonality(team, z, vectors->n, product);
    }
    ES_MPI(MPI_Bcast(found, 2, MPI_DOUBLE, 0, comm));
    code = es_spectrum_check_vectors(routine, n, &team->norms, found[0], found[1], status);
  }
  if (code == ES_OK) gather(team, z, vectors, buffer);
  if (code == ES_OK && vectors->rows) es_spectrum_fix_signs(vectors->rows, vectors->n, n);
  es_free(product);
  es_free(buffer);
  if (code == ES_OK) return ES_OK;
  es_free(vectors->rows);
  *vectors = (es_vectors_t){0};
  return code;
}
