/* Gram matrices of rows distributed over lanes and ranks: compared with two passes in long double, with equal bits on
 * any number of ranks, and the eigenvectors computed from them.
 * ranks: 1 2 3 5 11 */
#include "eigenscope/blas.h"
#include "eigenscope/gram.h"
#include "eigenscope/memory.h"
#include "eigenscope/spectrum.h"
#include "support/draw.h"
#include "support/mpi.h"
#include <math.h>
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

enum { LANES = 8 };

typedef struct setup {
  int32_t width;
  int64_t n;
  double mean;
  es_real_t real;
  int batches; /* calls per lane */
} setup_t;

static double element(const setup_t *t, int64_t row, int32_t j) {
  float z[2];
  draw_pair(z, 41, (uint64_t)row, (uint64_t)j);
  const double x = t->mean + (double)z[0] * (1.0 + j % 3) + sin((double)row);
  return t->real == ES_REAL_F32 ? (double)(float)x : x + 1e-9 * (double)z[1];
}

/* Rows of a lane follow the rows of all earlier lanes. */
static void fill(es_gram_t *g, const es_group_t *group, const setup_t *t) {
  double *wide = es_allocate((size_t)(t->n + 1) * (size_t)t->width, sizeof *wide);
  CHECK(wide != NULL);
  float *narrow = (float *)wide;
  for (int b = 0; b < t->batches; b++) {
    for (int lane = 0; lane < group->lane_count; lane++) {
      int64_t first, count;
      es_lane_range(t->n, LANES, group->lane_first + lane, &first, &count);
      const int64_t begin = first + count * b / t->batches, end = first + count * (b + 1) / t->batches;
      for (int64_t i = 0; i < (end - begin) * t->width; i++) {
        const double x = element(t, begin + i / t->width, (int32_t)(i % t->width));
        if (t->real == ES_REAL_F32)
          narrow[i] = (float)x;
        else
          wide[i] = x;
      }
      CHECK(es_gram_add(g, lane, wide, end - begin, fresh()) == ES_OK);
    }
  }
  es_free(wide);
}

static es_gram_t *make(const es_group_t *group, const setup_t *t) {
  es_gram_t *g;
  CHECK(es_gram_create(&g, group, t->width, t->real, fresh()) == ES_OK);
  if (t->n > 8) { /* earlier content must not matter */
    const setup_t other = {t->width, t->n / 2, -3.0, t->real, 1};
    fill(g, group, &other);
    es_gram_reset(g);
  }
  fill(g, group, t);
  CHECK(es_gram_rows(g) == t->n);
  return g;
}

/* Centred rows Xc in long double, (n, width). */
static long double *centred(const setup_t *t) {
  long double *x = es_allocate((size_t)(t->n + 1) * (size_t)t->width, sizeof *x);
  CHECK(x != NULL);
  for (int32_t j = 0; j < t->width; j++) {
    long double sum = 0.0L;
    for (int64_t i = 0; i < t->n; i++) sum += x[i * t->width + j] = (long double)element(t, i, j);
    for (int64_t i = 0; i < t->n; i++) x[i * t->width + j] -= sum / (long double)t->n;
  }
  return x;
}

static void check_mean(const setup_t *t, const double *mean) {
  for (int32_t j = 0; t->n > 0 && j < t->width; j++) {
    long double sum = 0.0L, scale = 0.0L;
    for (int64_t i = 0; i < t->n; i++) {
      sum += (long double)element(t, i, j) / (long double)t->n;
      scale += fabsl((long double)element(t, i, j)) / (long double)t->n;
    }
    CHECK(fabsl((long double)mean[j] - sum) <= (t->real == ES_REAL_F32 ? 1e-6L : 1e-14L) * scale);
  }
}

static void check_triangle(const setup_t *t, const double *triangle, double tolerance) {
  long double *x = centred(t), scale = 0.0L;
  for (int64_t i = 0; i < t->n * t->width; i++) scale += x[i] * x[i] / (long double)(t->n * t->n);
  for (int64_t i = 0, at = 0; i < t->n; i++) {
    for (int64_t k = 0; k <= i; k++, at++) {
      long double sum = 0.0L;
      for (int32_t j = 0; j < t->width; j++) sum += x[i * t->width + j] * x[k * t->width + j] / (long double)t->n;
      CHECK(fabsl((long double)triangle[at] - sum) <= tolerance * (double)scale);
    }
  }
  es_free(x);
}

/* Compares the group of all ranks with the first rank alone, which is compared with the reference. */
static void check(const es_group_t *group, const es_group_t *alone, const setup_t *t) {
  const size_t elements = es_triangle_size((int32_t)t->n);
  double *together = es_allocate(elements, sizeof *together), *serial = es_allocate(elements, sizeof *serial);
  double *means = es_allocate_zero(2 * (size_t)t->width, sizeof *means), *alike = means + t->width;
  CHECK(together && serial && means);
  es_gram_t *g = make(group, t), *s = rank == 0 ? make(alone, t) : NULL;
  CHECK(es_gram_reduce(g, together, means, fresh()) == ES_OK);
  if (rank == 0) CHECK(es_gram_reduce(s, serial, alike, fresh()) == ES_OK);
  ES_MPI(MPI_Bcast(serial, (int)elements, MPI_DOUBLE, 0, MPI_COMM_WORLD));
  ES_MPI(MPI_Bcast(alike, t->width, MPI_DOUBLE, 0, MPI_COMM_WORLD));
  CHECK(memcmp(together, serial, elements * sizeof *serial) == 0);
  CHECK(memcmp(means, alike, (size_t)t->width * sizeof *means) == 0);
  if (rank == 0) check_mean(t, means);
  if (rank == 0) check_triangle(t, serial, t->real == ES_REAL_F32 ? 2e-6 : 1e-14 * (1.0 + 1e-4 * fabs(t->mean)));
  es_gram_destroy(g);
  es_gram_destroy(s);
  es_free(together);
  es_free(serial);
  es_free(means);
}

static void check_matches_and_same_bits(const es_group_t *group, const es_group_t *alone) {
  check(group, alone, &(setup_t){5, 0, 1.0, ES_REAL_F32, 1});
  check(group, alone, &(setup_t){5, 1, 1.0, ES_REAL_F32, 1});
  check(group, alone, &(setup_t){30, 2, 1e4, ES_REAL_F64, 1});
  check(group, alone, &(setup_t){50, 7, 0.0, ES_REAL_F32, 2});
  check(group, alone, &(setup_t){3, 40, 0.0, ES_REAL_F32, 3});    /* more rows than columns: correct, if not useful */
  check(group, alone, &(setup_t){1100, 60, 1e4, ES_REAL_F32, 2}); /* two blocks of columns, a mean far from zero */
  check(group, alone, &(setup_t){1030, 61, -1e4, ES_REAL_F64, 1});
  check(group, alone, &(setup_t){300, 290, 2.0, ES_REAL_F32, 2}); /* three strips of G, with chunks of rows */
  check(group, alone, &(setup_t){70000, 9, 2.0, ES_REAL_F32, 1}); /* rows larger than a quarter of a chunk */
}

/* Cyclic Jacobi: makes a diagonal; columns of v become its eigenvectors. */
static void jacobi(double *a, double *v, int n) {
  for (int i = 0; i < n * n; i++) v[i] = i % (n + 1) == 0;
  for (int sweep = 0; sweep < 30; sweep++) {
    for (int p = 0; p < n; p++) {
      for (int q = p + 1; q < n; q++) {
        if (a[p * n + q] == 0.0) continue;
        const double theta = 0.5 * atan2(2.0 * a[p * n + q], a[q * n + q] - a[p * n + p]);
        const double c = cos(theta), s = sin(theta);
        for (int k = 0; k < n; k++) {
          const double x = a[k * n + p], y = a[k * n + q], u = v[k * n + p], w = v[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
          v[k * n + p] = c * u - s * w;
          v[k * n + q] = s * u + c * w;
        }
        for (int k = 0; k < n; k++) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
      }
    }
  }
}

/* Checks Q u = λ u with Q = 1/n Xcᵀ Xc, from λ and v of G alone; and unit length. */
static void check_vector(const long double *x, const setup_t *t, double lambda, double largest, const double *u) {
  long double length = 0.0L;
  for (int32_t j = 0; j < t->width; j++) length += (long double)u[j] * (long double)u[j];
  CHECK(fabsl(length - 1.0L) <= 1e-13L);
  long double *image = es_allocate_zero((size_t)t->width, sizeof *image), error = 0.0L;
  CHECK(image != NULL);
  for (int64_t i = 0; i < t->n; i++) {
    long double dot = 0.0L;
    for (int32_t j = 0; j < t->width; j++) dot += x[i * t->width + j] * (long double)u[j] / (long double)t->n;
    for (int32_t j = 0; j < t->width; j++) image[j] += dot * x[i * t->width + j];
  }
  for (int32_t j = 0; j < t->width; j++) error += powl(image[j] - (long double)lambda * (long double)u[j], 2);
  CHECK(sqrtl(error) <= (t->real == ES_REAL_F32 ? 1e-5L : 1e-12L) * (long double)largest);
  es_free(image);
}

static void check_features(const es_group_t *group, const es_group_t *alone, const setup_t *t) {
  const int n = (int)t->n;
  const size_t square = (size_t)(n * n), wide = (size_t)n * (size_t)t->width;
  double *a = es_allocate(4 * square + 2 * wide + (size_t)t->width, sizeof *a);
  CHECK(a != NULL);
  double *v = a + square, *columns = v + square, *triangle = columns + square, *u = triangle + square, *w = u + wide;
  es_gram_t *g = make(group, t), *s = rank == 0 ? make(alone, t) : NULL;
  CHECK(es_gram_reduce(g, triangle, w + wide, fresh()) == ES_OK);
  for (int i = 0, at = 0; i < n; i++) {
    for (int j = 0; j <= i; j++, at++) a[i * n + j] = a[j * n + i] = triangle[at];
  }
  jacobi(a, v, n);
  double largest = 0.0;
  for (int k = 0; k < n; k++) {
    largest = fmax(largest, a[k * n + k]);
    for (int i = 0; i < n; i++) columns[k * n + i] = v[i * n + k];
  }
  CHECK(es_gram_features(g, columns, n, u, fresh()) == ES_OK);
  if (rank == 0) CHECK(es_gram_features(s, columns, n, w, fresh()) == ES_OK);
  ES_MPI(MPI_Bcast(w, (int)wide, MPI_DOUBLE, 0, MPI_COMM_WORLD));
  CHECK(memcmp(u, w, wide * sizeof *u) == 0);
  long double *x = rank == 0 ? centred(t) : NULL;
  int real = 0;
  for (int k = 0; k < n; k++) {
    if (a[k * n + k] < 1e-4 * largest) continue; /* skip the eigenvector of the mean */
    if (rank == 0) check_vector(x, t, a[k * n + k], largest, u + (size_t)k * (size_t)t->width);
    real++;
  }
  CHECK(real == n - 1);
  es_free(x);
  es_gram_destroy(g);
  es_gram_destroy(s);
  es_free(a);
}

static void check_nonfinite(const es_group_t *group) {
  const setup_t t = {20, 12, 0.0, ES_REAL_F32, 1};
  double triangle[12 * 13 / 2], mean[20];
  es_gram_t *g;
  CHECK(es_gram_create(&g, group, t.width, t.real, fresh()) == ES_OK);
  float row[20] = {1.0f, 2.0f};
  for (int lane = 0; lane < group->lane_count; lane++) {
    row[7] = group->lane_first + lane == LANES - 1 ? INFINITY : 0.0f;
    CHECK(es_gram_add(g, lane, row, 1, fresh()) == ES_OK);
  }
  CHECK(es_gram_reduce(g, triangle, mean, fresh()) == ES_OK);
  CHECK(!isfinite(triangle[es_triangle_size(LANES) - 1]));
  es_gram_destroy(g);
}

TEST(gram) {
  es_group_t group, alone;
  CHECK(es_group_create_any(&group, MPI_COMM_WORLD, LANES, fresh()) == ES_OK);
  CHECK(es_group_create_any(&alone, MPI_COMM_SELF, LANES, fresh()) == ES_OK);
  check_matches_and_same_bits(&group, &alone);
  check_features(&group, &alone, &(setup_t){1500, 12, 3.0, ES_REAL_F32, 2});
  check_features(&group, &alone, &(setup_t){3100, 9, -1e3, ES_REAL_F64, 1});
  check_nonfinite(&group);
  es_gram_destroy(NULL);
}
