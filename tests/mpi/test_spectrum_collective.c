/* Solves by all ranks together: known spectra, orders without useful divisors, all kinds of layouts, vectors, and
 * deliberately wrong backends.
 * ranks: 1 2 3 5 6 */
#define _GNU_SOURCE
#include "eigenscope/blas.h"
#include "eigenscope/covariance.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "eigenscope/spectrum.h"
#include "support/draw.h"
#include "support/mpi.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

static double uniform(uint64_t stream, uint64_t i) {
  return (double)draw_unit(43, stream, i) - 0.5;
}

static int descending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

typedef enum spectrum_kind { REPEATED, TINY, ZERO, GRADED, SIGNED, IDENTITY, KINDS } spectrum_kind_t;

static double wanted(spectrum_kind_t kind, int32_t i, int32_t n) {
  switch (kind) {
  case REPEATED:
    return i < n / 3 ? 7.0 : i < n / 2 ? 1.0 : 0.0;
  case TINY:
    return 1e-60 * (1.0 + i);
  case ZERO:
    return 0.0;
  case GRADED:
    return pow(1e-12, (double)i / (double)(n > 1 ? n - 1 : 1));
  case SIGNED:
    return uniform(2, (uint64_t)i);
  default:
    return 1.0;
  }
}

/* Makes the packed triangle of H₂H₁·diag(values)·H₁H₂ with Householder reflections H: n² work, a known spectrum. */
static void make_triangle(double *triangle, double *values, int32_t n, spectrum_kind_t kind) {
  double *full = es_allocate_zero((size_t)n * (size_t)n, sizeof *full);
  double *v = es_allocate(2 * (size_t)n, sizeof *v), *w = v + n;
  CHECK(full && v);
  for (int32_t i = 0; i < n; i++) full[(size_t)i * (size_t)n + (size_t)i] = values[i] = wanted(kind, i, n);
  for (int turn = 0; turn < 2 && kind != IDENTITY; turn++) {
    double length = 0.0, product = 0.0;
    for (int32_t i = 0; i < n; i++) {
      v[i] = uniform(10 + (uint64_t)turn, (uint64_t)i);
      length += v[i] * v[i];
    }
    for (int32_t i = 0; i < n; i++) v[i] /= sqrt(length);
    for (int32_t i = 0; i < n; i++) {
      w[i] = 0.0;
      for (int32_t j = 0; j < n; j++) w[i] += full[(size_t)i * (size_t)n + (size_t)j] * v[j];
      product += w[i] * v[i];
    }
    for (int32_t i = 0; i < n; i++) w[i] -= product * v[i];
    for (int32_t i = 0; i < n; i++) {
      for (int32_t j = 0; j < n; j++) full[(size_t)i * (size_t)n + (size_t)j] -= 2.0 * (w[i] * v[j] + v[i] * w[j]);
    }
  }
  for (int32_t i = 0; i < n; i++)
    memcpy(triangle + es_triangle_size(i), full + (size_t)i * (size_t)n, ((size_t)i + 1) * sizeof *triangle);
  qsort(values, (size_t)n, sizeof *values, descending);
  es_free(full);
  es_free(v);
}

/* Multiplies row i of the symmetric matrix of a packed triangle by v. */
static double row_times(const double *triangle, int32_t n, int32_t i, const double *v) {
  double sum = 0.0;
  for (int32_t j = 0; j < n; j++) {
    const size_t low = (size_t)(i < j ? j : i), high = (size_t)(i < j ? i : j);
    sum += triangle[low * (low + 1) / 2 + high] * v[j];
  }
  return sum;
}

static void check_values(const double *found, const double *expected, int32_t n) {
  double largest = 0.0;
  for (int32_t i = 0; i < n; i++) largest = fmax(largest, fabs(expected[i]));
  for (int32_t i = 0; i < n; i++) {
    CHECK(fabs(found[i] - expected[i]) <= 20.0 * n * DBL_EPSILON * largest);
    CHECK(i == 0 || found[i] <= found[i - 1]);
  }
}

/* Checks on one rank, naively: residuals of a few vectors, and orthogonality of all neighbours. */
static void check_vectors(const es_layer_problem_t *layer, const double *triangle, double norm) {
  const int32_t n = layer->order, k = layer->vectors.n;
  CHECK(k == es_spectrum_leading(layer->values, n, layer->share));
  const double *rows = layer->vectors.rows, tolerance = 100.0 * n * DBL_EPSILON;
  for (int32_t r = 0; r<k; r += k> 8 ? k / 8 : 1) {
    const double *v = rows + (size_t)r * (size_t)n, *next = rows + (size_t)((r + 1) % k) * (size_t)n;
    double squares = 0.0, length = 0.0, product = 0.0, largest = 0.0;
    for (int32_t i = 0; i < n; i++) {
      const double residual = row_times(triangle, n, i, v) - layer->values[r] * v[i];
      squares += residual * residual;
      length += v[i] * v[i];
      product += v[i] * next[i];
      largest = fabs(v[i]) > fabs(largest) ? v[i] : largest;
    }
    CHECK(sqrt(squares) <= tolerance * norm && fabs(length - 1.0) <= tolerance);
    CHECK(k == 1 || fabs(product) <= tolerance);
    CHECK(largest > 0.0);
  }
}

/* Solves one matrix by one backend, from the owner's triangle or from blocks; with vectors if share > 0. */
static void check_solve(int32_t n, int32_t block, spectrum_kind_t kind, es_solver_choice_t choice, double share) {
  es_dist_matrix_t blocks;
  const size_t triangle_size = es_triangle_size(n);
  double *triangle = es_allocate(triangle_size, sizeof *triangle), *upper = es_allocate(triangle_size, sizeof *upper);
  double *expected = es_allocate(2 * (size_t)n, sizeof *expected), *found = expected + n, norm = 0.0;
  CHECK(triangle && upper && expected);
  make_triangle(triangle, expected, n, kind);
  for (int32_t i = 0; i < n; i++) norm += expected[i] * expected[i];
  es_layer_problem_t layer = {.order = n, .values = found, .share = share, .choice = choice};
  es_spectrum_assign(&layer, 1, size);
  layer.owner = size - 1;
  if (block > 0) {
    CHECK(es_dist_matrix_create(&blocks, MPI_COMM_WORLD, n, block, fresh()) == ES_OK);
    es_dist_matrix_from_triangle(&blocks, triangle);
    layer.blocks = &blocks;
  } else {
    layer.triangle = rank == layer.owner ? triangle : NULL;
  }
  if (es_spectrum_solve(&layer, 1, &world, fresh()) != ES_OK) {
    fprintf(stderr, "order %d, block %d, kind %d, choice %d: %s\n", n, block, kind, choice, said.message);
    CHECK(false);
  }
  if (layer.fell_back) fprintf(stderr, "order %d, block %d, kind %d: %s\n", n, block, kind, layer.warning);
  const es_spectrum_backend_t *chosen; /* ELPA leaves small matrices to LAPACK */
  CHECK(es_spectrum_choose(&chosen, choice, n, size, fresh()) == ES_OK);
  CHECK(!layer.fell_back && layer.solver == chosen->solver);
  check_values(found, expected, n);
  CHECK((layer.vectors.rows != NULL) == (share > 0.0 && rank == layer.owner && layer.vectors.n > 0));
  if (share > 0.0 && layer.vectors.n > 0) {
    CHECK(es_spectrum_share_vectors(&layer, &world, fresh()) == ES_OK);
    check_vectors(&layer, triangle, sqrt(norm));
  }
  if (block > 0) { /* the input of a fallback is unchanged, bit for bit */
    es_dist_matrix_to_triangle(&blocks, upper, 0, true);
    CHECK(rank != 0 || memcmp(upper, triangle, triangle_size * sizeof *triangle) == 0);
    es_dist_matrix_destroy(&blocks);
  }
  es_spectrum_release(&layer, 1);
  es_free(triangle);
  es_free(upper);
  es_free(expected);
}

/* The smallest orders, which LAPACK's routines handle separately. */
TEST(least_orders) {
  for (int32_t n = 1; n <= 3; n++) {
    for (spectrum_kind_t kind = 0; kind < KINDS; kind++) {
      check_solve(n, 0, kind, ES_CHOOSE_LAPACK, 0.5);
      check_solve(n, 0, kind, ES_CHOOSE_LAPACK, 1.0);
    }
  }
}

static void check_orders(es_solver_choice_t choice) {
  static const int32_t orders[] = {1, 2, 3, 31, 127}, blocks[] = {0, 1, 8, 64};
  for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
      for (spectrum_kind_t kind = 0; kind < KINDS; kind++)
        check_solve(orders[o], blocks[b], kind, choice, (double)((o + b + kind) % 3) / 2.0);
    }
  }
  check_solve(500, 64, REPEATED, choice, 0.0);
  check_solve(500, 8, GRADED, choice, 0.999);
  check_solve(1021, 0, GRADED, choice, 0.0);
}

/* ---- layers of both kinds, and wrong backends ---- */

static es_code_t wrong_solve(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                             es_status_t *status) {
  const es_code_t code = es_spectrum_scalapack.solve(problem, 0.0, values, NULL, status);
  (void)share;
  (void)vectors;
  values[0] *= 1.0 + 1e-3;
  return code != ES_OK ? code : es_fail(status, ES_NUMERIC, "spectrum", "the solver that is wrong failed its check");
}

/* A backend that fails on one rank only: all ranks must return. */
static es_code_t wrong_on_one(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                              es_status_t *status) {
  if (share > 0.0) return wrong_solve(problem, share, values, vectors, status);
  const es_code_t code = es_spectrum_scalapack.solve(problem, 0.0, values, NULL, status);
  if (code != ES_OK || rank != size / 2) return code;
  values[0] = NAN;
  return es_fail(status, ES_NUMERIC, "spectrum", "the solver that is wrong on rank %d failed its check", rank);
}

static es_code_t out_of_memory(const es_eigenproblem_t *problem, double share, double *values, es_vectors_t *vectors,
                               es_status_t *status) {
  (void)share;
  (void)values;
  (void)vectors;
  if (rank != size - 1) return ES_OK;
  return es_fail(status, ES_SYSTEM, "spectrum", "out of memory for order %d on purpose", problem->order);
}

static const es_spectrum_backend_t wrong = {"wrong", ES_SOLVER_SCALAPACK, true, wrong_solve};
static const es_spectrum_backend_t wrong_once = {"wrong", ES_SOLVER_SCALAPACK, true, wrong_on_one};
static const es_spectrum_backend_t wrong_alone = {"wrong", ES_SOLVER_LAPACK, false, wrong_solve};
static const es_spectrum_backend_t hungry = {"hungry", ES_SOLVER_SCALAPACK, true, out_of_memory};

enum { LAYERS = 7, WIDEST = 90 };

/* Layers of a point: alone and together, correct and wrong, from triangles and from blocks. */
static void check_layers(double share) {
  static const int32_t orders[LAYERS] = {40, WIDEST, 3, 64, 17, 50, 33};
  static const es_spectrum_backend_t *const backends[LAYERS] = {NULL, &wrong, NULL, &wrong_once, &wrong, NULL, NULL};
  static const es_solver_choice_t choices[LAYERS] = {ES_CHOOSE_LAPACK,   ES_CHOOSE_AUTO, ES_CHOOSE_AUTO,
                                                     ES_CHOOSE_AUTO,     ES_CHOOSE_AUTO, ES_CHOOSE_SCALAPACK,
                                                     ES_CHOOSE_SCALAPACK};
  static const bool distributed[LAYERS] = {false, true, false, false, false, true, false};
  es_dist_matrix_t blocks[LAYERS];
  es_layer_problem_t layers[LAYERS];
  double *triangles[LAYERS], expected[LAYERS][WIDEST], found[LAYERS][WIDEST];
  for (int i = 0; i < LAYERS; i++) {
    triangles[i] = es_allocate(es_triangle_size(orders[i]), sizeof(double));
    CHECK(triangles[i]);
    make_triangle(triangles[i], expected[i], orders[i], i % 2 ? GRADED : REPEATED);
    layers[i] = (es_layer_problem_t){.order = orders[i],
                                     .triangle = triangles[i],
                                     .values = found[i],
                                     .share = share,
                                     .choice = choices[i],
                                     .backend = backends[i],
                                     .skip = i == 6};
    if (!distributed[i]) continue;
    CHECK(es_dist_matrix_create(&blocks[i], MPI_COMM_WORLD, orders[i], 8, fresh()) == ES_OK);
    es_dist_matrix_from_triangle(&blocks[i], triangles[i]);
    layers[i].blocks = &blocks[i];
    layers[i].triangle = NULL;
  }
  es_spectrum_assign(layers, LAYERS, size);
  CHECK(es_spectrum_solve(layers, LAYERS, &world, fresh()) == ES_OK);
  for (int i = 0; i < LAYERS; i++) {
    const bool falls = i == 1 || i == 3 || i == 4;
    CHECK(layers[i].fell_back == falls);
    CHECK((strstr(layers[i].warning, "that is wrong") != NULL) == falls);
    CHECK(layers[i].solver == (i == 6 ? ES_SOLVER_NONE : i == 5 ? ES_SOLVER_SCALAPACK : ES_SOLVER_LAPACK));
    if (i != 6) check_values(found[i], expected[i], orders[i]);
    CHECK(share > 0.0 || layers[i].vectors.n == 0);
    if (share > 0.0 && i != 6) {
      CHECK(es_spectrum_share_vectors(&layers[i], &world, fresh()) == ES_OK && layers[i].vectors.rows);
      check_vectors(&layers[i], triangles[i], 7.0 * sqrt(orders[i]));
    }
    es_free(triangles[i]);
    if (distributed[i]) es_dist_matrix_destroy(&blocks[i]);
  }
  es_spectrum_release(layers, LAYERS);
}

/* A failure that LAPACK cannot repair fails on all ranks, and frees the results of other layers. */
TEST(failures) {
  double triangle[6] = {2, 1, 2, 0, 0, 1}, values[3][3];
  es_dist_matrix_t blocks;
  es_layer_problem_t layers[] = {
      {.order = 3, .triangle = triangle, .values = values[0], .share = 1.0, .choice = ES_CHOOSE_SCALAPACK},
      {.order = 3, .triangle = triangle, .values = values[1], .backend = &hungry}};
  es_spectrum_assign(layers, 2, size);
  CHECK(es_spectrum_solve(layers, 2, &world, fresh()) == ES_SYSTEM);
  CHECK(said.rank == size - 1 && strstr(said.message, "on purpose"));
  CHECK(!layers[0].vectors.rows);
  CHECK(es_dist_matrix_create(&blocks, MPI_COMM_WORLD, 3, 1, fresh()) == ES_OK);
  es_dist_matrix_from_triangle(&blocks, triangle);
  if (blocks.local) blocks.local[0] = rank == 0 ? NAN : blocks.local[0];
  for (int way = 0; way < 2; way++) {
    es_layer_problem_t bad = {.order = 3, .values = values[0], .choice = ES_CHOOSE_SCALAPACK};
    triangle[3] = INFINITY;
    bad.triangle = way ? NULL : triangle;
    bad.blocks = way ? &blocks : NULL;
    es_spectrum_assign(&bad, 1, size);
    CHECK(es_spectrum_solve(&bad, 1, &world, fresh()) == ES_NUMERIC && strstr(said.message, "is not finite"));
  }
  es_dist_matrix_destroy(&blocks);
}

/* A layer that no solver solves is marked on all ranks; the layer after it is solved. */
TEST(unsolved) {
  double triangle[3] = {2.0, 1.0, 2.0}, big[3] = {1.5e308, 0.0, 1.5e308}, values[2][2];
  es_layer_problem_t layers[] = {
      {.order = 2, .triangle = big, .values = values[0], .share = 1.0, .choice = ES_CHOOSE_SCALAPACK},
      {.order = 2, .triangle = triangle, .values = values[1], .choice = ES_CHOOSE_SCALAPACK}};
  es_spectrum_assign(layers, 2, size);
  CHECK(es_spectrum_solve(layers, 2, &world, fresh()) == ES_OK);
  CHECK(layers[0].unsolved && layers[0].solver == ES_SOLVER_NONE && layers[0].vectors.n == 0 && layers[0].warning[0]);
  CHECK(!layers[1].unsolved && fabs(values[1][0] - 3.0) < 1e-14);
}

/* A backend that is wrong about a layer of one rank: the owner repairs it, and all ranks are told. */
TEST(alone) {
  double triangle[3] = {2.0, 1.0, 2.0}, values[2][2];
  es_layer_problem_t layers[] = {{.order = 2, .triangle = triangle, .values = values[0], .backend = &wrong_alone},
                                 {.order = 2, .triangle = triangle, .values = values[1]}};
  if (size > 1) return; /* this test calls ScaLAPACK */
  es_spectrum_assign(layers, 2, size);
  CHECK(es_spectrum_solve(layers, 2, &world, fresh()) == ES_OK);
  CHECK(layers[0].fell_back && !layers[1].fell_back && fabs(values[0][0] - 3.0) < 1e-14);
}

/* Grids and contexts are released: BLACS has 10 system handles, MPI about a thousand communicators. */
TEST(many) {
  double triangle[6] = {2, 1, 2, 0, 0, 1}, values[3];
  for (int i = 0; i < 300; i++) {
    es_layer_problem_t layer = {.order = 3, .triangle = triangle, .values = values, .choice = ES_CHOOSE_SCALAPACK};
    es_spectrum_assign(&layer, 1, size);
    CHECK(es_spectrum_solve(&layer, 1, &world, fresh()) == ES_OK && fabs(values[0] - 3.0) < 1e-14);
  }
}

static bool has_elpa(void) {
  return strstr(es_scalapack_name(), "ELPA") != NULL;
}

/* Solver auto depends on order and ranks alone. */
TEST(choice) {
  const es_spectrum_backend_t *backend;
  CHECK(es_spectrum_choose(&backend, ES_CHOOSE_AUTO, ES_SCALAPACK_ORDER - 1, 64, fresh()) == ES_OK);
  CHECK(backend == &es_spectrum_lapack);
  CHECK(es_spectrum_choose(&backend, ES_CHOOSE_AUTO, ES_SCALAPACK_ORDER, 2, fresh()) == ES_OK);
  CHECK(backend == &es_spectrum_scalapack);
  CHECK(es_spectrum_choose(&backend, ES_CHOOSE_AUTO, ES_SCALAPACK_ORDER, 1, fresh()) == ES_OK);
  CHECK(backend == &es_spectrum_lapack);
  es_layer_problem_t layer = {.order = 3, .choice = ES_CHOOSE_ELPA};
  if (has_elpa()) {
    CHECK(es_spectrum_choose(&backend, ES_CHOOSE_ELPA, 500, size, fresh()) == ES_OK);
    CHECK(backend->solver == ES_SOLVER_ELPA);
    return;
  }
  CHECK(es_spectrum_solve(&layer, 1, &world, fresh()) == ES_INPUT);
  CHECK(strcmp(said.message, "solver elpa: this build has no ELPA (pkg-config did not find it); use auto, lapack or "
                             "scalapack") == 0);
}

/* No BLAS below ScaLAPACK starts threads: the CPU time of the process is that of this thread. */
TEST(threads) {
  struct rusage all, own;
  check_solve(700, 0, GRADED, ES_CHOOSE_SCALAPACK, 0.0);
  getrusage(RUSAGE_SELF, &all);
  getrusage(RUSAGE_THREAD, &own);
  const double burnt = (double)(all.ru_utime.tv_sec) + 1e-6 * (double)all.ru_utime.tv_usec;
  const double mine = (double)(own.ru_utime.tv_sec) + 1e-6 * (double)own.ru_utime.tv_usec;
  CHECK(burnt - mine < 0.1 * burnt + 0.05);
}

TEST(layers) {
  check_layers(0.0);
  check_layers(0.99);
}

TEST(orders) {
  check_orders(ES_CHOOSE_SCALAPACK);
  if (has_elpa())
    check_orders(ES_CHOOSE_ELPA);
  else if (rank == 0)
    printf("check_orders(ES_CHOOSE_ELPA) is left out: this build has no ELPA\n");
}
