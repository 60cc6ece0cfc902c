/* Covariances distributed over ranks against two passes in double over all rows, for any distribution of rows.
 * ranks: 1 2 3 5 6 */
#include "eigenscope/blas.h"
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/spectrum.h"
#include "eigenscope/spread.h"
#include "support/draw.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

/* The distribution of rows over ranks. */
typedef enum deal { EVEN, ONE_HAS_ALL, FIRST_HAS_NONE, UNEVEN, DEALS } deal_t;

typedef struct setup {
  int32_t width, block;
  int64_t n;
  double mean;
  deal_t deal;
  int calls;
  es_real_t real;
} setup_t;

/* Element of global row i: equal on every rank, whichever rank adds the row. */
static double element(const setup_t *t, int64_t i, int32_t j) {
  float z[2];
  draw_pair(z, 31, (uint64_t)i, (uint64_t)(j / 2));
  const double x = t->mean + (double)z[j % 2] * (1.0 + j % 5) + 0.5 * (double)z[0];
  return t->real == ES_REAL_F32 ? (double)(float)x : x + 1e-9 * (double)z[1];
}

/* The rank that adds a row. */
static int giver(const setup_t *t, int64_t i) {
  switch (t->deal) {
  case ONE_HAS_ALL:
    return size - 1; /* the rank that a grid may leave out */
  case FIRST_HAS_NONE:
    return size == 1 ? 0 : 1 + (int)(i % (size - 1));
  case UNEVEN:
    return i % 7 < 5 ? 0 : (int)(i % size);
  default:
    return (int)(i % size);
  }
}

/* Fills the rows of this rank in call c: the c-th of equal parts of the global rows. */
static int64_t fill(const setup_t *t, int c, void *rows) {
  const int64_t first = t->n * c / t->calls, end = t->n * (c + 1) / t->calls;
  int64_t n = 0;
  for (int64_t i = first; i < end; i++) {
    if (giver(t, i) != rank) continue;
    for (int32_t j = 0; j < t->width; j++) {
      const size_t at = (size_t)n * (size_t)t->width + (size_t)j;
      if (t->real == ES_REAL_F32)
        ((float *)rows)[at] = (float)element(t, i, j);
      else
        ((double *)rows)[at] = element(t, i, j);
    }
    n++;
  }
  return n;
}

static void accumulate(es_spread_t *s, const setup_t *t) {
  void *rows = es_allocate((size_t)(t->n + 1) * (size_t)t->width, sizeof(double));
  CHECK(rows != NULL);
  for (int c = 0; c < t->calls; c++) es_spread_add(s, rows, fill(t, c, rows));
  es_free(rows);
}

/* Means and packed covariance by two passes; means in long double. */
static void reference(const setup_t *t, double *mean, double *q) {
  const size_t d = (size_t)t->width, n = (size_t)t->n;
  double *x = es_allocate((n + 1) * d, sizeof *x);
  CHECK(x != NULL);
  memset(q, 0, es_triangle_size(t->width) * sizeof *q);
  for (size_t i = 0; i < n * d; i++) x[i] = element(t, (int64_t)(i / d), (int32_t)(i % d));
  for (size_t j = 0; j < d; j++) {
    long double sum = 0.0L;
    for (size_t i = 0; i < n; i++) sum += (long double)x[i * d + j];
    const long double m = n > 0 ? sum / (long double)n : 0.0L;
    mean[j] = (double)m;
    for (size_t i = 0; i < n; i++) x[i * d + j] = (double)((long double)x[i * d + j] - m);
  }
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0, at = 0; j < d; j++) {
      const double a = x[i * d + j] / (double)n;
      for (size_t k = 0; k <= j; k++) q[at++] += a * x[i * d + k];
    }
  }
  es_free(x);
}

static void check_result(es_spread_t *s, const setup_t *t, double tolerance) {
  const size_t d = (size_t)t->width, triangle = es_triangle_size(t->width);
  double *mean = es_allocate(3 * d + 2 * triangle, sizeof *mean);
  CHECK(mean != NULL);
  double *expected_mean = mean + d, *q = expected_mean + 2 * d, *expected = q + triangle;
  es_spread_total_t total;
  es_spread_finish(s, &total, mean);
  CHECK(total.n == t->n && total.finite);
  const es_dist_matrix_t *b = es_spread_blocks(s);
  for (int32_t j = 0; j < b->local_cols; j++) {
    for (int32_t i = 0; i < b->local_rows; i++) {
      if (es_dist_matrix_global(i, b->block, b->row, b->rows) < es_dist_matrix_global(j, b->block, b->col, b->cols))
        CHECK(b->local[(size_t)j * (size_t)b->leading + (size_t)i] == 0.0);
    }
  }
  es_dist_matrix_to_triangle(b, q, 0, false);
  if (rank == 0) reference(t, expected_mean, expected);
  ES_MPI(MPI_Bcast(expected_mean, t->width, MPI_DOUBLE, 0, MPI_COMM_WORLD));
  for (size_t j = 0; j < d; j++) CHECK(fabs(mean[j] - expected_mean[j]) <= tolerance + 1e-14 * fabs(t->mean));
  for (size_t j = 0, at = 0; rank == 0 && j < d; j++) {
    for (size_t k = 0; k <= j; k++, at++) {
      const double scale = sqrt(expected[j * (j + 1) / 2 + j] * expected[k * (k + 1) / 2 + k]);
      if (!(fabs(q[at] - expected[at]) <= tolerance * scale))
        fprintf(stderr, "width %d block %d rows %lld: (%zu, %zu) is %.17g, not %.17g\n", t->width, t->block,
                (long long)t->n, j, k, q[at], expected[at]);
      CHECK(fabs(q[at] - expected[at]) <= tolerance * scale);
    }
  }
  es_free(mean);
}

static void check(const setup_t *t) {
  es_spread_t *s;
  CHECK(es_spread_create(&s, MPI_COMM_WORLD, t->width, t->block, t->real, fresh()) == ES_OK);
  const double tolerance = t->real == ES_REAL_F64 ? 1e-14 + 1e-16 * fabs(t->mean) : 2e-6;
  if (t->n > 2) { /* earlier content must not matter */
    const setup_t other = {t->width, t->block, t->n / 2, 7.0, EVEN, 1, t->real};
    accumulate(s, &other);
    es_spread_reset(s);
  }
  accumulate(s, t);
  check_result(s, t, tolerance);
  es_spread_destroy(s);
}

TEST(matches_two_passes) {
  static const int32_t blocks[] = {1, 8, 64}, widths[] = {1, 5, 64, 150};
  const int64_t panel = ES_SPREAD_PANEL_ROWS, counts[] = {0, 1, 2, 77, panel + 300};
  for (int w = 0, deal = 0; w < 4; w++) {
    for (int b = 0; b < 3; b++) {
      for (int c = 0; c < 5; c++, deal++)
        check(&(setup_t){widths[w], blocks[b], counts[c], 0.3, deal % DEALS, 1 + deal % 3, deal % 2});
    }
  }
}

/* Wide shares test strips of columns and halved triangles. */
TEST(wide) {
  check(&(setup_t){1300, 8, 60, 0.0, UNEVEN, 2, ES_REAL_F32});
  check(&(setup_t){700, 64, 90, -1.0, EVEN, 1, ES_REAL_F64});
}

TEST(mean_far_from_zero) {
  for (int deal = 0; deal < DEALS; deal++) {
    check(&(setup_t){70, 8, 2 * (int64_t)ES_SPREAD_PANEL_ROWS + 100, 1e4, deal, 5, ES_REAL_F32});
    check(&(setup_t){33, 1, 1500, -1e4, deal, 5, ES_REAL_F64});
  }
}

/* Many small calls give the same panels as few large ones, if one rank adds the rows in the same order. */
TEST(same_bits_however_rows_are_cut) {
  es_spread_t *s[2];
  const setup_t t[2] = {{50, 8, 2500, 1.0, ONE_HAS_ALL, 1, ES_REAL_F32},
                        {50, 8, 2500, 1.0, ONE_HAS_ALL, 41, ES_REAL_F32}};
  for (int k = 0; k < 2; k++) {
    es_spread_total_t total;
    CHECK(es_spread_create(&s[k], MPI_COMM_WORLD, 50, 8, ES_REAL_F32, fresh()) == ES_OK);
    accumulate(s[k], &t[k]);
    es_spread_finish(s[k], &total, NULL);
  }
  const es_dist_matrix_t *a = es_spread_blocks(s[0]), *b = es_spread_blocks(s[1]);
  if (a->local) CHECK(memcmp(a->local, b->local, (size_t)a->local_rows * (size_t)a->local_cols * sizeof(double)) == 0);
  es_spread_destroy(s[0]);
  es_spread_destroy(s[1]);
}

/* A non-finite number in one row of one rank is reported to every rank, and does not affect later rows. */
static void check_nonfinite(float bad, int who, int64_t row, int32_t column) {
  enum { WIDTH = 40, ROWS = 700 };
  es_spread_t *s;
  es_spread_total_t total;
  CHECK(es_spread_create(&s, MPI_COMM_WORLD, WIDTH, 8, ES_REAL_F32, fresh()) == ES_OK);
  float *rows = es_allocate_zero((size_t)ROWS * WIDTH, sizeof *rows);
  CHECK(rows != NULL);
  for (int i = 0; i < ROWS * WIDTH; i++) rows[i] = (float)((i * 7 + rank) % 13);
  if (rank == who % size) rows[row * WIDTH + column] = bad;
  for (int c = 0; c < 3; c++) es_spread_add(s, rows, ROWS);
  es_spread_finish(s, &total, NULL);
  CHECK(!total.finite && total.n == (int64_t)3 * ROWS * size);
  if (rank == who % size) rows[row * WIDTH + column] = 1.0f;
  es_spread_reset(s);
  es_spread_add(s, rows, ROWS);
  es_spread_finish(s, &total, NULL);
  CHECK(total.finite && total.n == (int64_t)ROWS * size);
  es_free(rows);
  es_spread_destroy(s);
}

/* A dead column has variance exactly 0. */
TEST(constant_column) {
  enum { WIDTH = 12, ROWS = 900 };
  es_spread_t *s;
  es_spread_total_t total;
  double q[WIDTH * (WIDTH + 1) / 2];
  CHECK(es_spread_create(&s, MPI_COMM_WORLD, WIDTH, 1, ES_REAL_F32, fresh()) == ES_OK);
  float *rows = es_allocate((size_t)ROWS * WIDTH, sizeof *rows);
  CHECK(rows != NULL);
  for (int i = 0; i < ROWS * WIDTH; i++) rows[i] = i % WIDTH == 5 ? -1e4f / 3.0f : (float)((i * i) % 101);
  es_spread_add(s, rows, ROWS);
  es_spread_add(s, rows, rank == 0 ? ROWS : 0);
  es_spread_finish(s, &total, NULL);
  es_dist_matrix_to_triangle(es_spread_blocks(s), q, 0, false);
  for (int j = 0; rank == 0 && j < WIDTH; j++) CHECK((j == 5) == (q[j * (j + 1) / 2 + j] == 0.0));
  for (int j = 0; rank == 0 && j <= 5; j++) CHECK(q[15 + j] == 0.0);
  es_free(rows);
  es_spread_destroy(s);
}

TEST(bytes) {
  const int64_t whole = es_spread_bytes(8192, 64, 1, ES_REAL_F32), parts = es_spread_bytes(8192, 64, 16, ES_REAL_F32);
  CHECK(whole > (int64_t)8 * 8192 * 8192 && whole < (int64_t)10 * 8192 * 8192);
  CHECK(parts * 6 < whole && parts > whole / 16);
}

TEST(nonfinite) {
  check_nonfinite(NAN, 0, 0, 0);
  check_nonfinite(INFINITY, 4, 699, 39);
  check_nonfinite(-INFINITY, 1, 350, 17);
  es_spread_destroy(NULL);
}
