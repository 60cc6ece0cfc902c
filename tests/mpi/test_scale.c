/* Rows multiplied by a power of two have the same digits, in every kind of accumulator: each number of the matrix is
 * multiplied by its square, and the scale that solvers see is ordinary.
 * ranks: 1 2 3 5 */
#include "eigenscope/accumulator.h"
#include "eigenscope/blas.h"
#include "eigenscope/memory.h"
#include "support/draw.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

enum { LANES = 8, SPREAD_BLOCK = 8 };

/* Multiples of 2^-10, so that they stay normal when they are scaled. Column 3 is constant. */
static float element(int64_t i, int32_t j, int exponent) {
  const float z = roundf(1024.0f * draw_normal(51, (uint64_t)i, (uint64_t)j)) / 1024.0f;
  return ldexpf(j == 3 ? 1.5f : 0.5f + (j % 4 == 1 ? ldexpf(z, -8) : z), exponent);
}

static float *make_rows(int64_t first, int64_t n, int32_t width, int exponent) {
  float *rows = es_allocate((size_t)(n + 1) * (size_t)width, sizeof *rows);
  CHECK(rows != NULL);
  for (int64_t i = 0; i < n * width; i++) rows[i] = element(first + i / width, (int32_t)(i % width), exponent);
  return rows;
}

/* Measures n rows of a width; `gram`: announced as all rows, so that the Gram matrix is used if n < width. */
static es_reduced_t measure(es_accumulator_t **out, const es_group_t *group, int32_t width, int64_t n, bool gram,
                            int exponent) {
  const es_rows_info_t info = {.width = width, .real = ES_REAL_F32, .rows = gram ? n : 1 << 20};
  es_cov_workspace_t workspace;
  es_reduced_t reduced;
  CHECK(es_cov_workspace_create(&workspace, width, ES_REAL_F32, fresh()) == ES_OK);
  CHECK(es_accumulator_create(out, group, &info, fresh()) == ES_OK);
  for (int lane = 0; lane < group->lane_count; lane++) {
    int64_t first, count;
    es_lane_range(n, LANES, group->lane_first + lane, &first, &count);
    float *rows = make_rows(first, count, width, exponent);
    es_accumulator_add(*out, &workspace, lane, rows, count);
    es_free(rows);
  }
  CHECK(es_accumulator_finish(*out, &workspace, &reduced, fresh()) == ES_OK);
  es_cov_workspace_destroy(&workspace);
  return reduced;
}

static void check(const es_group_t *group, int32_t width, int64_t n, bool gram) {
  static const int exponents[] = {-105, -80, -40, 40, 62, 100, 122};
  es_accumulator_t *plain, *scaled;
  es_reduced_t p = measure(&plain, group, width, n, gram, 0);
  CHECK(p.finite && p.exponent == 0 && (p.gram != NULL) == gram);
  for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
    es_reduced_t s = measure(&scaled, group, width, n, gram, exponents[e]);
    CHECK(s.finite && s.largest >= 0x1p-201 && s.largest <= 0x1p201);
    const int by = 2 * (exponents[e] + s.exponent);
    for (size_t i = 0; i < es_triangle_size(p.order); i++) CHECK(s.triangle[i] == ldexp(p.triangle[i], by));
    for (int32_t j = 0; j < width; j++) CHECK(s.mean[j] == ldexp(p.mean[j], exponents[e]));
    es_reduced_destroy(&s);
    es_accumulator_destroy(scaled);
  }
  es_reduced_destroy(&p);
  es_accumulator_destroy(plain);
}

TEST(lanes_and_gram) {
  es_group_t group;
  CHECK(es_group_create_any(&group, MPI_COMM_WORLD, LANES, fresh()) == ES_OK);
  check(&group, 8, 9000, false);
  check(&group, 12, 1500, false);
  check(&group, 48, 1500, false);
  check(&group, 300, 700, false);
  check(&group, 700, 50, true);
  check(&group, 1200, 30, true); /* two blocks of columns */
}

static void spread(double *triangle, double *mean, int32_t width, int64_t n, int exponent) {
  es_spread_t *s;
  es_spread_total_t total;
  CHECK(es_spread_create(&s, MPI_COMM_WORLD, width, SPREAD_BLOCK, ES_REAL_F32, fresh()) == ES_OK);
  const int64_t first = n * rank / size, count = n * (rank + 1) / size - first;
  float *rows = make_rows(first, count, width, exponent);
  es_spread_add(s, rows, count);
  es_spread_finish(s, &total, mean);
  CHECK(total.n == n && total.finite);
  es_dist_matrix_to_triangle(es_spread_blocks(s), triangle, 0, false);
  es_spread_destroy(s);
  es_free(rows);
}

TEST(spread_over_ranks) {
  enum { WIDTH = 50, ROWS = 2500 };
  static const int exponents[] = {-105, -80, -40, 40, 62, 100, 122};
  const size_t n = es_triangle_size(WIDTH);
  double mean[2][WIDTH], *plain = es_allocate(2 * n, sizeof *plain), *scaled = plain + n;
  CHECK(plain != NULL);
  spread(plain, mean[0], WIDTH, ROWS, 0);
  for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
    spread(scaled, mean[1], WIDTH, ROWS, exponents[e]);
    for (int j = 0; j < WIDTH; j++) CHECK(mean[1][j] == ldexp(mean[0][j], exponents[e]));
    for (size_t i = 0; rank == 0 && i < n; i++) CHECK(scaled[i] == ldexp(plain[i], 2 * exponents[e]));
  }
  es_free(plain);
}
