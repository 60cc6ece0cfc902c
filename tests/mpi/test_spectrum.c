/* Layers of a point distributed over its ranks: all get equal eigenvalues, and all return from failures.
 * ranks: 1 2 3 5 */
#include "eigenscope/blas.h"
#include "eigenscope/covariance.h"
#include "eigenscope/memory.h"
#include "eigenscope/spectrum.h"
#include "support/draw.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

enum { LAYERS = 7, WIDEST = 90 };
static const int32_t orders[LAYERS] = {1, 3, 64, WIDEST, 17, 64, 2};

/* One layer: its triangle if it is needed, and the values of a solve on this rank alone. */
typedef struct layer {
  double *triangle, values[WIDEST], alone[WIDEST];
} layer_t;

static void fill(double *triangle, int32_t order, uint64_t stream) {
  for (size_t i = 0; i < es_triangle_size(order); i++) {
    triangle[i] = (double)draw_unit(41, stream, i) - 0.5;
  }
}

static void check_solve(const es_group_t *group) {
  layer_t layer[LAYERS];
  es_layer_problem_t problems[LAYERS];
  for (int i = 0; i < LAYERS; i++) {
    layer[i].triangle = es_allocate(es_triangle_size(orders[i]), sizeof(double));
    CHECK(layer[i].triangle != NULL);
    fill(layer[i].triangle, orders[i], (uint64_t)i);
    const es_eigenproblem_t alone = {.order = orders[i], .triangle = layer[i].triangle, .comm = MPI_COMM_SELF};
    CHECK(es_spectrum_lapack.solve(&alone, 0.0, layer[i].alone, NULL, fresh()) == ES_OK);
    problems[i] = (es_layer_problem_t){
        .order = orders[i], .triangle = layer[i].triangle, .values = layer[i].values, .skip = i == 4};
    for (int j = 0; j < WIDEST; j++) layer[i].values[j] = -7.0;
  }
  es_spectrum_assign(problems, LAYERS, size);
  for (int i = 0; i < LAYERS; i++) {
    if (problems[i].owner == rank) continue; /* only the owner needs the triangle */
    es_free(layer[i].triangle);
    layer[i].triangle = problems[i].triangle = NULL;
  }
  CHECK(es_spectrum_solve(problems, LAYERS, group, fresh()) == ES_OK);
  for (int i = 0; i < LAYERS; i++) {
    CHECK(problems[i].solver == (i == 4 ? ES_SOLVER_NONE : ES_SOLVER_LAPACK));
    for (int j = 0; i == 4 && j < WIDEST; j++) CHECK(layer[i].values[j] == -7.0);
    CHECK(i == 4 || memcmp(layer[i].values, layer[i].alone, (size_t)orders[i] * sizeof(double)) == 0);
    es_free(layer[i].triangle);
  }
}

/* The layers of `bad` (bits) hold a NaN on their owners: all ranks return the message of the lowest failing rank. */
static void check_failure(const es_group_t *group, unsigned bad) {
  double triangles[LAYERS][6], values[LAYERS][3];
  es_layer_problem_t problems[LAYERS];
  for (int i = 0; i < LAYERS; i++)
    problems[i] = (es_layer_problem_t){.order = 3, .triangle = triangles[i], .values = values[i]};
  es_spectrum_assign(problems, LAYERS, size);
  int lowest = size;
  for (int i = 0; i < LAYERS; i++) {
    fill(triangles[i], 3, (uint64_t)i);
    if (!(bad >> i & 1)) continue;
    if (problems[i].owner == rank) triangles[i][4] = NAN;
    if (problems[i].owner < lowest) lowest = problems[i].owner;
  }
  CHECK(es_spectrum_solve(problems, LAYERS, group, fresh()) == ES_NUMERIC);
  CHECK(said.code == ES_NUMERIC && said.rank == lowest);
  CHECK(strcmp(said.message, "the covariance of order 3 is not finite: element (2, 1) is nan") == 0);
}

TEST(groups) {
  /* Groups that train have a power of two of ranks; groups that only measure may have any number. */
  check_solve(&world);
  for (unsigned bad = 1; bad < 1u << LAYERS; bad++) check_failure(&world, bad);
  check_solve(&world); /* a failure must not affect later solves */
}
