/* Properties of orthogonal projections, comparison with a naive projection, and random directions. */
#include "eigenscope/eigenspace.h"
#include "eigenscope/random.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

enum { ROWS = 600, WIDTH = 48, MOST = 64 };

static float vectors[MOST * MOST], rows[ROWS * WIDTH], before[ROWS * WIDTH];
static double basis[WIDTH * WIDTH], mean[WIDTH];

static double normal(uint64_t stream, uint64_t i) {
  return (double)draw_normal(81, stream, i);
}

static void directions(float *out, int64_t seed, int layer, int32_t n, int32_t width) {
  assert_ok(es_directions_random(out, seed, layer, n, width, fresh()));
}

/* Fills rows about a mean of moderate size, and a basis of the whole space. */
static void fill(void) {
  directions(vectors, 82, 0, WIDTH, WIDTH);
  for (int i = 0; i < WIDTH * WIDTH; i++) basis[i] = (double)vectors[i];
  for (int i = 0; i < WIDTH; i++) mean[i] = 3.0 * normal(1, (uint64_t)i);
  for (int i = 0; i < ROWS * WIDTH; i++) rows[i] = (float)(mean[i % WIDTH] + normal(2, (uint64_t)i));
  memcpy(before, rows, sizeof rows);
}

static es_projector_t *open_projector(int32_t n) {
  const int32_t widths[] = {16, WIDTH};
  es_projector_t *p;
  fill();
  assert_ok(es_projector_create(&p, widths, 2, fresh()));
  assert_ok(es_projector_set(p, 1, basis, n, mean, fresh()));
  return p;
}

static void assert_rows(const float *found, const float *expected, int64_t n, double tolerance) {
  for (int64_t i = 0; i < n * WIDTH; i++) {
    if (!(fabs((double)found[i] - (double)expected[i]) <= tolerance))
      fail_msg("row %lld, column %lld: %.9g instead of %.9g", (long long)(i / WIDTH), (long long)(i % WIDTH),
               (double)found[i], (double)expected[i]);
  }
}

/* m + Σ u ⟨u, x − m⟩ in double. */
static void naive(float *out, const float *in, int32_t k) {
  for (int r = 0; r < ROWS; r++) {
    double y[WIDTH];
    memcpy(y, mean, sizeof y);
    for (int32_t v = 0; v < k; v++) {
      double product = 0.0;
      for (int i = 0; i < WIDTH; i++) product += basis[v * WIDTH + i] * ((double)in[r * WIDTH + i] - mean[i]);
      for (int i = 0; i < WIDTH; i++) y[i] += product * basis[v * WIDTH + i];
    }
    for (int i = 0; i < WIDTH; i++) out[r * WIDTH + i] = (float)y[i];
  }
}

TEST(against_naive) {
  static float expected[ROWS * WIDTH];
  es_projector_t *p = open_projector(WIDTH);
  for (int32_t k = 0; k <= WIDTH; k += k < 3 ? 1 : 9) {
    memcpy(rows, before, sizeof rows);
    naive(expected, before, k);
    es_projector_choose(p, 1, k);
    es_projector_apply(p, 1, rows, ROWS);
    assert_rows(rows, expected, ROWS, 2e-5);
  }
  es_projector_destroy(p);
}

TEST(whole_space_and_none) {
  es_projector_t *p = open_projector(WIDTH);
  es_projector_apply(p, 1, rows, ROWS); /* no k was chosen yet */
  es_projector_apply(p, 0, rows, ROWS);
  assert_memory_equal(rows, before, sizeof rows);
  es_projector_choose(p, 1, WIDTH);
  es_projector_apply(p, 1, rows, ROWS);
  assert_rows(rows, before, ROWS, 1e-5);
  es_projector_choose(p, 1, 0);
  es_projector_apply(p, 1, rows, ROWS);
  for (int i = 0; i < ROWS * WIDTH; i++) assert_true(rows[i] == (float)mean[i % WIDTH]);
  memcpy(rows, before, sizeof rows);
  es_projector_choose(p, 1, ES_PROJECT_NOTHING);
  es_projector_apply(p, 1, rows, ROWS);
  assert_memory_equal(rows, before, sizeof rows);
  es_projector_destroy(p);
}

/* Projecting twice changes nothing; the remainder is orthogonal to the projection; rows in the span stay unchanged. */
TEST(projection) {
  enum { K = 11 };
  static float once[ROWS * WIDTH];
  es_projector_t *p = open_projector(K);
  es_projector_choose(p, 1, K);
  es_projector_apply(p, 1, rows, ROWS);
  memcpy(once, rows, sizeof rows);
  es_projector_apply(p, 1, rows, ROWS);
  assert_rows(rows, once, ROWS, 1e-5);
  for (int r = 0; r < ROWS; r++) {
    double all = 0.0, kept = 0.0, lost = 0.0;
    for (int i = 0; i < WIDTH; i++) {
      const double x = (double)before[r * WIDTH + i], y = (double)once[r * WIDTH + i];
      all += (x - mean[i]) * (x - mean[i]);
      kept += (y - mean[i]) * (y - mean[i]);
      lost += (x - y) * (x - y);
    }
    assert_true(fabs(kept + lost - all) <= 1e-5 * all && lost > 0.01 * all);
    for (int v = 0; v < K; v++) {
      double product = 0.0;
      for (int i = 0; i < WIDTH; i++)
        product += basis[v * WIDTH + i] * ((double)before[r * WIDTH + i] - (double)once[r * WIDTH + i]);
      assert_true(fabs(product) < 1e-5);
    }
  }
  es_projector_destroy(p);
}

/* Bits depend on the slice alone: not on earlier calls, nor on the position of rows in memory. */
TEST(bits) {
  static float again[ROWS * WIDTH + 1], other[3 * WIDTH];
  es_projector_t *p = open_projector(20);
  es_projector_choose(p, 1, 17);
  es_projector_apply(p, 1, rows, ROWS);
  for (int shift = 0; shift < 2; shift++) {
    memcpy(other, before, sizeof other);
    es_projector_apply(p, 1, other, 3);
    memcpy(again + shift, before, sizeof before);
    es_projector_apply(p, 1, again + shift, ROWS);
    assert_memory_equal(again + shift, rows, sizeof rows);
  }
  es_projector_destroy(p);
  p = open_projector(17); /* no vectors beyond k */
  es_projector_choose(p, 1, 17);
  es_projector_apply(p, 1, rows, ROWS);
  assert_memory_equal(again + 1, rows, sizeof rows);
  es_projector_destroy(p);
}

TEST(random_is_set) {
  es_projector_t *p = open_projector(3);
  assert_ok(es_projector_set_random(p, 1, 7, 9, mean, fresh()));
  es_projector_apply(p, 1, rows, ROWS); /* setting a basis chooses no k */
  assert_memory_equal(rows, before, sizeof rows);
  es_projector_choose(p, 1, 9);
  es_projector_apply(p, 1, rows, ROWS);
  static float expected[ROWS * WIDTH];
  directions(vectors, 7, 1, 9, WIDTH);
  for (int i = 0; i < 9 * WIDTH; i++) basis[i] = (double)vectors[i];
  naive(expected, before, 9);
  assert_rows(rows, expected, ROWS, 2e-5);
  es_projector_destroy(p);
}

TEST(random_is_orthonormal) {
  for (int32_t width = 1; width <= MOST; width = 2 * width) {
    for (int32_t n = 0; n <= width; n += 1 + width / 5) {
      directions(vectors, 3, 4, n, width);
      for (int32_t r = 0; r < n; r++) {
        for (int32_t s = 0; s <= r; s++) {
          double product = 0.0;
          for (int32_t i = 0; i < width; i++)
            product += (double)vectors[r * width + i] * (double)vectors[s * width + i];
          assert_true(fabs(product - (r == s ? 1.0 : 0.0)) < 1e-6);
        }
      }
    }
  }
}

/* Random directions are a function of seed, layer, number and width; fewer directions are the first of more. */
TEST(random_is_pure) {
  static float again[MOST * MOST];
  const int32_t k = 13, n = 30;
  const struct {
    int64_t seed;
    int layer;
  } others[] = {{6, 2}, {5, 1}, {-5, 2}, {5 + (1ll << 32), 2}};
  directions(vectors, 5, 2, n, MOST);
  directions(again, 5, 3, n, MOST);
  directions(again, 5, 2, n, MOST);
  assert_memory_equal(again, vectors, (size_t)(n * MOST) * sizeof *vectors);
  double overlap, angles[MOST];
  const es_leading_t first = {MOST, &k, vectors}, fewer = {MOST, &k, again};
  directions(again, 5, 2, k, MOST);
  assert_ok(es_eigenspace_compare(&overlap, angles, &first, &fewer, 1, fresh()));
  assert_true(angles[k - 1] < 1e-6);
  for (int i = 0; i < 4; i++) {
    directions(again, others[i].seed, others[i].layer, k, MOST);
    assert_ok(es_eigenspace_compare(&overlap, angles, &first, &fewer, 1, fresh()));
    assert_true(overlap < 0.5 && angles[k - 1] > 1.0);
  }
}

TEST(bytes) {
  const int32_t widths[] = {10, 4};
  assert_int_equal(es_projector_bytes(widths, 2, 1.0), 4 * (110 + 20) + 2 * 256 * 4 * 10);
  assert_int_equal(es_projector_bytes(widths, 2, 0.5), 4 * (60 + 12) + 2 * 256 * 4 * 10);
}

/* The result is orthonormal; the span of the first r vectors is kept for each r, whatever the last ones are. */
TEST(orthonormalise) {
  enum { N = 5 };
  static double q[N * WIDTH], given[N * WIDTH];
  for (int i = 0; i < N * WIDTH; i++) given[i] = normal(5, (uint64_t)i);
  for (int i = 0; i < WIDTH; i++) {
    given[3 * WIDTH + i] = 2.0 * given[i] - given[2 * WIDTH + i]; /* linearly dependent */
    given[4 * WIDTH + i] = 0.0;
  }
  memcpy(q, given, sizeof q);
  assert_ok(es_eigenspace_orthonormalise(q, N, WIDTH, fresh()));
  for (int a = 0; a < N; a++) {
    double rest = 0.0, length = 0.0, along = 0.0;
    for (int b = 0; b <= a; b++) {
      double product = 0.0, coordinate = 0.0;
      for (int i = 0; i < WIDTH; i++) {
        product += q[a * WIDTH + i] * q[b * WIDTH + i];
        coordinate += given[a * WIDTH + i] * q[b * WIDTH + i];
      }
      assert_true(fabs(product - (a == b)) < 1e-13);
      rest += coordinate * coordinate;
      along = coordinate;
    }
    for (int i = 0; i < WIDTH; i++) length += given[a * WIDTH + i] * given[a * WIDTH + i];
    assert_true(fabs(rest - length) < 1e-12 * (1.0 + length)); /* the remainder lies in the span so far */
    if (a < 3) assert_true(along > 0.0);
  }
  assert_ok(es_eigenspace_orthonormalise(q, 0, WIDTH, fresh()));
}
