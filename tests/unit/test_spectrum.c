/* Eigenvalues of matrices with known spectra, the checks of every solve, and the assignment of layers to ranks. */
#include "../../src/spectrum/spectrum_internal.h"
#include "eigenscope/blas.h"
#include "eigenscope/covariance.h"
#include "eigenscope/random.h"
#include "eigenscope/spectrum.h"
#include "support/draw.h"
#include "support/unit.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

static const int32_t orders[] = {1, 2, 3, 127, 500};
enum { ORDERS = sizeof orders / sizeof *orders };

/* A matrix under construction (full, row-major), its packed triangle, the known spectrum and the computed one. */
typedef struct problem {
  int32_t n;
  double *full, *triangle, *expected, *found;
} problem_t;

static void problem_open(problem_t *p, int32_t n) {
  *p = (problem_t){.n = n};
  p->full = es_allocate_zero((size_t)n * (size_t)n, sizeof *p->full);
  p->triangle = es_allocate_zero(es_triangle_size(n), sizeof *p->triangle);
  p->expected = es_allocate_zero((size_t)n, sizeof *p->expected);
  p->found = es_allocate_zero((size_t)n, sizeof *p->found);
  assert_true(p->full && p->triangle && p->expected && p->found);
}

static void problem_close(problem_t *p) {
  es_free(p->full);
  es_free(p->triangle);
  es_free(p->expected);
  es_free(p->found);
}

static double *element(problem_t *p, int32_t i, int32_t j) {
  return &p->full[(size_t)i * (size_t)p->n + (size_t)j];
}

static double normal(uint64_t stream, uint64_t i) {
  return (double)draw_normal(31, stream, i);
}

static int descending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

/* A ← H A H with H = I − 2vvᵀ for a random unit vector v: changes the basis, keeps the spectrum. */
static void reflect(problem_t *p, uint64_t stream) {
  const size_t n = (size_t)p->n;
  double *v = es_allocate(2 * n, sizeof *v), *w = v + n, length = 0.0, product = 0.0;
  assert_non_null(v);
  for (size_t i = 0; i < n; i++) {
    v[i] = normal(stream, i);
    length += v[i] * v[i];
  }
  for (size_t i = 0; i < n; i++) v[i] /= sqrt(length);
  for (size_t i = 0; i < n; i++) {
    w[i] = 0.0;
    for (size_t j = 0; j < n; j++) w[i] += p->full[i * n + j] * v[j];
    product += w[i] * v[i];
  }
  for (size_t i = 0; i < n; i++) w[i] -= product * v[i];
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < n; j++) p->full[i * n + j] -= 2.0 * (w[i] * v[j] + v[i] * w[j]);
  }
  es_free(v);
}

/* Puts the expected values on the diagonal, shuffled, and reflects the basis `times` times. */
static void hide(problem_t *p, int times) {
  int32_t *order = es_allocate((size_t)p->n, sizeof *order);
  assert_non_null(order);
  es_random_permutation(5, 1, p->n, order);
  for (int32_t i = 0; i < p->n; i++) *element(p, i, i) = p->expected[order[i]];
  for (int t = 0; t < times; t++) reflect(p, 10 + (uint64_t)t);
  qsort(p->expected, (size_t)p->n, sizeof *p->expected, descending);
  es_free(order);
}

static es_eigenproblem_t pack(problem_t *p) {
  for (int32_t i = 0; i < p->n; i++) {
    for (int32_t j = 0; j <= i; j++) p->triangle[(size_t)i * ((size_t)i + 1) / 2 + (size_t)j] = *element(p, i, j);
  }
  return (es_eigenproblem_t){.order = p->n, .triangle = p->triangle, .comm = MPI_COMM_NULL};
}

/* Every value is within 10·n·ε of the largest modulus. */
static void check_solution(problem_t *p, const char *what) {
  const es_eigenproblem_t problem = pack(p);
  if (es_spectrum_lapack.solve(&problem, 0.0, p->found, NULL, fresh()) != ES_OK)
    fail_msg("%s of order %d: %s", what, p->n, said.message);
  double largest = 0.0;
  for (int32_t i = 0; i < p->n; i++) largest = fmax(largest, fabs(p->expected[i]));
  for (int32_t i = 0; i < p->n; i++) {
    if (!(fabs(p->found[i] - p->expected[i]) <= 10.0 * p->n * DBL_EPSILON * largest))
      fail_msg("%s of order %d: value %d is %.17g, not %.17g", what, p->n, i, p->found[i], p->expected[i]);
    assert_true(i == 0 || p->found[i] <= p->found[i - 1]);
  }
}

TEST(diagonal) {
  for (int o = 0; o < ORDERS; o++) {
    problem_t p;
    problem_open(&p, orders[o]);
    for (int32_t i = 0; i < p.n; i++) p.expected[i] = normal(1, (uint64_t)i); /* of both signs */
    hide(&p, 0);
    check_solution(&p, "diagonal");
    problem_close(&p);
  }
}

/* 2 on the diagonal, −1 beside it: λ_k = 2 − 2 cos(kπ/(n+1)). */
TEST(toeplitz) {
  for (int o = 0; o < ORDERS; o++) {
    problem_t p;
    problem_open(&p, orders[o]);
    for (int32_t i = 0; i < p.n; i++) {
      *element(&p, i, i) = 2.0;
      if (i > 0) *element(&p, i, i - 1) = -1.0;
      p.expected[i] = 2.0 - 2.0 * cos((double)(p.n - i) * M_PI / (double)(p.n + 1));
    }
    check_solution(&p, "Toeplitz matrix");
    problem_close(&p);
  }
}

/* The form of a covariance of two samples. */
TEST(rank_one) {
  for (int o = 0; o < ORDERS; o++) {
    problem_t p;
    problem_open(&p, orders[o]);
    for (int32_t i = 0; i < p.n; i++) {
      for (int32_t j = 0; j < p.n; j++) *element(&p, i, j) = normal(2, (uint64_t)i) * normal(2, (uint64_t)j);
      p.expected[0] += *element(&p, i, i);
    }
    check_solution(&p, "rank one");
    problem_close(&p);
  }
}

TEST(identity_and_zero) {
  for (int o = 0; o < ORDERS; o++) {
    for (int scale = 0; scale < 2; scale++) {
      problem_t p;
      problem_open(&p, orders[o]);
      for (int32_t i = 0; i < p.n; i++) *element(&p, i, i) = p.expected[i] = scale;
      check_solution(&p, scale ? "identity" : "zeros");
      for (int32_t i = 0; i < p.n; i++) assert_true(p.found[i] == (double)scale); /* exactly */
      problem_close(&p);
    }
  }
}

/* From 1 down to 1e-12 in equal ratios, like spectra of real layers; in another basis. */
TEST(graded) {
  for (int o = 0; o < ORDERS; o++) {
    for (int times = 0; times < 4; times += 3) {
      problem_t p;
      problem_open(&p, orders[o]);
      for (int32_t i = 0; i < p.n; i++) p.expected[i] = p.n > 1 ? pow(1e-12, (double)i / (double)(p.n - 1)) : 1e-12;
      hide(&p, times);
      check_solution(&p, "graded spectrum");
      problem_close(&p);
    }
  }
}

TEST(repeated) {
  for (int o = 0; o < ORDERS; o++) {
    problem_t p;
    problem_open(&p, orders[o]);
    for (int32_t i = 0; i < p.n; i++) p.expected[i] = i < p.n / 3 ? 7.0 : i < p.n / 2 ? 1.0 : 0.0;
    hide(&p, 4);
    check_solution(&p, "repeated values");
    problem_close(&p);
  }
}

/* Possible magnitudes of activations: the solve scales, and the checks must not under- or overflow. */
TEST(magnitudes) {
  const double scales[] = {1e-70, 1e-30, 1e30, 1e70};
  for (int s = 0; s < 4; s++) {
    problem_t p;
    problem_open(&p, 60);
    for (int32_t i = 0; i < p.n; i++) p.expected[i] = scales[s] * fabs(normal(3, (uint64_t)i));
    hide(&p, 3);
    check_solution(&p, "scaled spectrum");
    problem_close(&p);
  }
}

/* NaN is refused, because LAPACK's answer to it is undefined (a wrong number of eigenvalues, no return at all). */
TEST(nonfinite_is_refused) {
  const double bad[] = {NAN, INFINITY, -INFINITY};
  for (int o = 0; o < ORDERS; o++) {
    for (int b = 0; b < 3; b++) {
      problem_t p;
      problem_open(&p, orders[o]);
      for (int32_t i = 0; i < p.n; i++) *element(&p, i, i) = 1.0 + i;
      *element(&p, p.n - 1, p.n / 2) = bad[b];
      const es_eigenproblem_t problem = pack(&p);
      assert_fails_with(es_spectrum_lapack.solve(&problem, 0.0, p.found, NULL, fresh()), ES_NUMERIC, "not finite");
      problem_close(&p);
    }
  }
}

static es_code_t check_values(const es_eigenproblem_t *problem, const double *values, es_status_t *status) {
  const es_matrix_norms_t norms = es_spectrum_triangle_norms(problem->triangle, problem->order);
  return es_spectrum_check_values("dxyz", problem->order, &norms, values, status);
}

TEST(check_rejects_wrong_values) {
  problem_t p;
  problem_open(&p, 50);
  for (int32_t i = 0; i < p.n; i++) p.expected[i] = exp(-0.2 * i);
  hide(&p, 3);
  const es_eigenproblem_t problem = pack(&p);
  double *v = p.expected, norm = 0.0;
  for (int32_t i = 0; i < p.n; i++) norm += v[i] * v[i];
  const double allowed = 100.0 * p.n * DBL_EPSILON * sqrt(norm);
  assert_int_equal(check_values(&problem, v, fresh()), ES_OK);
  const double kept[] = {v[0], v[10], v[49]};
  v[49] = kept[2] + 0.5 * allowed;
  assert_int_equal(check_values(&problem, v, fresh()), ES_OK);
  v[49] = kept[2] + 2.0 * allowed; /* invisible in the norm: the trace detects it */
  assert_int_equal(check_values(&problem, v, fresh()), ES_NUMERIC);
  v[49] = NAN;
  assert_int_equal(check_values(&problem, v, fresh()), ES_NUMERIC);
  v[49] = kept[2];
  v[0] += 1e3 * allowed, v[10] -= 1e3 * allowed; /* the trace is right: the norm detects it */
  assert_int_equal(check_values(&problem, v, fresh()), ES_NUMERIC);
  v[0] = -kept[0], v[10] = kept[1] + 2.0 * kept[0];
  assert_int_equal(check_values(&problem, v, fresh()), ES_NUMERIC);
  v[0] = kept[0], v[10] = kept[1];
  for (int32_t i = 0; i < p.n; i++) v[i] = -v[i]; /* the norm is right: the trace detects it */
  assert_fails_with(check_values(&problem, v, fresh()), ES_NUMERIC, "the result of dxyz for order 50 is wrong");
  assert_string_equal(said.stage, "spectrum");
  problem_close(&p);
}

static double cost(int32_t order) {
  return (double)order * order * order;
}

/* Greedy assignment by descending cost: no rank leads by more than its cheapest layer. */
static void check_assignment(const int32_t *layer_orders, int n, int ranks) {
  es_layer_problem_t layers[64] = {0}, again[64] = {0};
  double load[256] = {0}, most = 0.0, least = INFINITY;
  for (int i = 0; i < n; i++) layers[i].order = again[i].order = layer_orders[i];
  es_spectrum_assign(layers, n, ranks);
  es_spectrum_assign(again, n, ranks);
  for (int i = 0; i < n; i++) {
    assert_in_range(layers[i].owner, 0, ranks - 1);
    assert_int_equal(layers[i].owner, again[i].owner);
    load[layers[i].owner] += cost(layer_orders[i]);
  }
  for (int r = 0; r < ranks; r++) {
    most = fmax(most, load[r]);
    least = fmin(least, load[r]);
  }
  for (int i = 0; i < n; i++) {
    if (load[layers[i].owner] == most) assert_true(most - cost(layer_orders[i]) <= least);
  }
}

TEST(assignment_balances) {
  const int32_t vgg16[] = {64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512, 256, 10};
  const int32_t equal[] = {42, 42, 42, 42, 42, 42, 42, 42};
  const int32_t one_giant[] = {1, 2000, 1, 1, 1};
  const int rank_counts[] = {1, 2, 3, 4, 5, 8, 16, 64, 256};
  for (size_t r = 0; r < sizeof rank_counts / sizeof *rank_counts; r++) {
    check_assignment(vgg16, 15, rank_counts[r]);
    check_assignment(equal, 8, rank_counts[r]);
    check_assignment(one_giant, 5, rank_counts[r]);
    check_assignment(NULL, 0, rank_counts[r]);
  }
  es_layer_problem_t layers[8] = {0};
  int owned[4] = {0};
  for (int i = 0; i < 8; i++) layers[i].order = 42;
  es_spectrum_assign(layers, 8, 4);
  for (int i = 0; i < 8; i++) owned[layers[i].owner]++;
  for (int r = 0; r < 4; r++) assert_int_equal(owned[r], 2);
}

/* Layers of a point on a group without MPI; skipped layers are not touched. */
TEST(solve_alone) {
  double one[] = {3.0}, two[] = {2.0, 1.0, 2.0}, bad[] = {NAN}, values[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
  es_layer_problem_t layers[] = {{.order = 1, .triangle = one, .values = values[0]},
                                 {.order = 1, .triangle = bad, .values = values[1], .skip = true},
                                 {.order = 2, .triangle = two, .values = values[2]}};
  es_group_t group;
  assert_ok(es_group_create(&group, MPI_COMM_NULL, 8, fresh()));
  es_spectrum_assign(layers, 3, 1);
  assert_ok(es_spectrum_solve(layers, 3, &group, fresh()));
  assert_true(values[0][0] == 3.0 && values[1][0] == -1.0);
  assert_true(fabs(values[2][0] - 3.0) < 1e-15 && fabs(values[2][1] - 1.0) < 1e-15);
  assert_int_equal(layers[0].solver, ES_SOLVER_LAPACK);
  assert_int_equal(layers[1].solver, ES_SOLVER_NONE);
  assert_int_equal(layers[2].solver, ES_SOLVER_LAPACK);
  layers[1].skip = false; /* not provided: an error, not a number */
  assert_int_equal(es_spectrum_solve(layers, 3, &group, fresh()), ES_NUMERIC);
}

/* No solver can check a trace that overflows: the layer is marked, and its neighbours are solved. */
TEST(unsolved_layer_leaves_its_neighbours) {
  double big[] = {1.5e308, 0.0, 1.5e308}, two[] = {2.0, 1.0, 2.0}, values[2][2] = {{-1, -1}, {-1, -1}};
  es_layer_problem_t layers[] = {{.order = 2, .triangle = big, .values = values[0], .share = 1.0},
                                 {.order = 2, .triangle = two, .values = values[1], .share = 1.0}};
  es_group_t group;
  assert_ok(es_group_create(&group, MPI_COMM_NULL, 8, fresh()));
  es_spectrum_assign(layers, 2, 1);
  assert_ok(es_spectrum_solve(layers, 2, &group, fresh()));
  assert_true(layers[0].unsolved && layers[0].solver == ES_SOLVER_NONE && layers[0].vectors.n == 0);
  assert_non_null(strstr(layers[0].warning, "flagged as unsolved: the result of dsyevd for order 2 is wrong"));
  assert_true(!layers[1].unsolved && !layers[1].warning[0] && layers[1].vectors.n == 2);
  assert_true(fabs(values[1][0] - 3.0) < 1e-15);
  es_spectrum_release(layers, 2);
}

/* Squares of these elements under- or overflow: norms and checks do not. */
TEST(any_scale) {
  for (int e = -1000; e <= 1000; e += 200) {
    double two[] = {ldexp(2.0, e), ldexp(1.0, e), ldexp(2.0, e)}, values[2];
    const es_eigenproblem_t problem = {.order = 2, .triangle = two};
    es_vectors_t vectors;
    assert_ok(es_spectrum_lapack.solve(&problem, 1.0, values, &vectors, fresh()));
    assert_true(fabs(ldexp(values[0], -e) - 3.0) < 1e-15 && fabs(ldexp(values[1], -e) - 1.0) < 1e-15);
    es_free(vectors.rows);
  }
}

/* Older states have "OpenBLAS 0.3.21, Haswell", so that this form stays. */
TEST(library_is_named) {
  static const char *const first[] = {"BLAS ", "OpenBLAS ", "MKL ", "BLIS "};
  const char *start = first[es_blas_vendor()];
  assert_int_equal(strncmp(es_blas_name(), start, strlen(start)), 0);
  if (es_blas_vendor() == ES_BLAS_OTHER) return;
  char version[32], kernels[32], rest = '\0';
  assert_true(sscanf(es_blas_name() + strlen(start), "%31[0-9.], %31[-_A-Za-z0-9]%c", version, kernels, &rest) >= 2);
  assert_true(rest == '\0' || rest == ',');
  if (es_blas_vendor() == ES_BLAS_OPENBLAS && !strstr(es_blas_name(), "LAPACK")) assert_true(rest == '\0');
}
