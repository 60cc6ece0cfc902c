/* Overlap and principal angles: against scipy, for subspaces with known angles, and at limits. */
#include "eigenscope/eigenspace.h"
#include "eigenscope/random.h"
#include "support/unit.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDEST = 96 };

/* Two bases under test, with one k each. */
typedef struct pair {
  int32_t width, ka, kb;
  float a[WIDEST * WIDEST], b[WIDEST * WIDEST];
} pair_t;

static double overlap, angles[WIDEST];

static void compare(const pair_t *p) {
  const es_leading_t a = {p->width, &p->ka, p->a}, b = {p->width, &p->kb, p->b};
  for (int i = 0; i < WIDEST; i++) angles[i] = -7.0;
  assert_ok(es_eigenspace_compare(&overlap, angles, &a, &b, 1, fresh()));
  const int32_t least = p->ka < p->kb ? p->ka : p->kb;
  for (int32_t i = 0; i < p->width; i++) {
    if (i >= least)
      assert_true(isnan(angles[i]));
    else
      assert_true(angles[i] >= (i > 0 ? angles[i - 1] : 0.0) && angles[i] <= M_PI / 2 + 1e-15);
  }
  for (int32_t i = p->width; i < WIDEST; i++) assert_true(angles[i] == -7.0);
}

static void assert_near(double value, double expected, double tolerance) {
  if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g instead of %.17g", value, expected);
}

/* n random orthonormal vectors. */
static void directions(float *out, int stream, int32_t n, int32_t width) {
  assert_ok(es_directions_random(out, 71, stream, n, width, fresh()));
}

/* out (n × width) = mixing (n × n, orthogonal) · rows: another basis of the same subspace. */
static void mix(float *out, const float *rows, int stream, int32_t n, int32_t width) {
  static float mixing[WIDEST * WIDEST];
  directions(mixing, stream, n, n);
  for (int32_t r = 0; r < n; r++) {
    for (int32_t i = 0; i < width; i++) {
      double sum = 0.0;
      for (int32_t j = 0; j < n; j++) sum += (double)mixing[r * n + j] * (double)rows[j * width + i];
      out[r * width + i] = (float)sum;
    }
  }
}

static pair_t pair; /* too large for the stack */

TEST(scipy) {
  FILE *file = fopen(ES_FIXTURES "/eigenspace/angles.txt", "r");
  assert_non_null(file);
  int cases = 0;
  for (; fscanf(file, "%d %d %d", &pair.width, &pair.ka, &pair.kb) == 3; cases++) {
    double expected;
    for (int32_t i = 0; i < pair.ka * pair.width; i++) assert_int_equal(fscanf(file, "%f", &pair.a[i]), 1);
    for (int32_t i = 0; i < pair.kb * pair.width; i++) assert_int_equal(fscanf(file, "%f", &pair.b[i]), 1);
    compare(&pair);
    assert_int_equal(fscanf(file, "%lf", &expected), 1);
    assert_near(overlap, expected, 1e-13);
    for (int32_t i = 0; i < (pair.ka < pair.kb ? pair.ka : pair.kb); i++) {
      assert_int_equal(fscanf(file, "%lf", &expected), 1);
      assert_near(angles[i], expected, 1e-13);
    }
  }
  assert_int_equal(cases, 10);
  fclose(file);
}

TEST(identical) {
  const int32_t widths[] = {1, 2, 17, WIDEST};
  for (int w = 0; w < 4; w++) {
    for (int32_t k = 1; k <= widths[w]; k += 1 + widths[w] / 4) {
      pair.width = widths[w];
      pair.ka = pair.kb = k;
      directions(pair.a, w, k, widths[w]);
      memcpy(pair.b, pair.a, sizeof pair.b);
      compare(&pair);
      assert_near(overlap, 1.0, 1e-14);
      assert_near(angles[k - 1], 0.0, 1e-14);
      mix(pair.b, pair.a, 90 + w, k, widths[w]); /* another basis, rounded to float */
      compare(&pair);
      assert_near(overlap, 1.0, 1e-12);
      assert_near(angles[k - 1], 0.0, 1e-6);
      for (int32_t i = 0; i < k * widths[w]; i++) pair.b[i] = -pair.a[i]; /* signs do not matter */
      compare(&pair);
      assert_near(overlap, 1.0, 1e-14);
    }
  }
}

TEST(orthogonal) {
  static float all[WIDEST * WIDEST];
  directions(all, 3, 40, 40);
  pair.width = 40;
  pair.ka = 13;
  pair.kb = 27;
  memcpy(pair.a, all, 13 * 40 * sizeof *all);
  memcpy(pair.b, all + 13 * 40, 27 * 40 * sizeof *all);
  compare(&pair);
  assert_near(overlap, 0.0, 1e-12);
  for (int i = 0; i < 13; i++) assert_near(angles[i], M_PI / 2, 1e-6);
  memset(pair.a, 0, sizeof pair.a);
  memset(pair.b, 0, sizeof pair.b);
  pair.ka = pair.kb = 1;
  pair.a[4] = pair.b[31] = 1.0f;
  compare(&pair);
  assert_true(overlap == 0.0 && angles[0] == M_PI / 2);
}

/* u_i = q_i and cos θ_i q_i + sin θ_i q_{n+i}, in any basis: the angles are the θ_i. */
static void check_turned(const double *theta, int32_t n, int32_t width, int stream) {
  static float all[WIDEST * WIDEST], turned[WIDEST * WIDEST];
  double expected = 0.0;
  directions(all, stream, 2 * n, width);
  for (int32_t r = 0; r < n; r++) {
    expected += cos(theta[r]) * cos(theta[r]) / n;
    for (int32_t i = 0; i < width; i++)
      turned[r * width + i] =
          (float)(cos(theta[r]) * (double)all[r * width + i] + sin(theta[r]) * (double)all[(n + r) * width + i]);
  }
  pair.width = width;
  pair.ka = pair.kb = n;
  for (int mixed = 0; mixed < 2; mixed++) {
    memcpy(pair.a, all, sizeof all);
    memcpy(pair.b, turned, sizeof turned);
    if (mixed) mix(pair.a, all, 100 + stream, n, width);
    if (mixed) mix(pair.b, turned, 200 + stream, n, width);
    compare(&pair);
    assert_near(overlap, expected, 1e-6);
    for (int32_t i = 0; i < n; i++) assert_near(angles[i], theta[i], 1e-6);
  }
}

TEST(turned) {
  const double theta[] = {0.0, 1e-6, 1e-4, 0.01, 0.3, M_PI / 4, 1.0, 1.5, 1.5707, M_PI / 2};
  check_turned(theta, 10, 20, 1);
  check_turned(theta, 10, WIDEST, 2);
  for (int i = 0; i < 10; i++) check_turned(theta + i, 1, 2 + i, 3 + i);
}

/* Angles for which an arc cosine would give 0 or 1.5e-8, by vectors that float holds exactly. */
TEST(small_angles) {
  const float tangents[] = {1e-12f, 1e-9f, 1e-8f, 3e-8f, 1e-6f, 1e-4f};
  memset(pair.a, 0, sizeof pair.a);
  memset(pair.b, 0, sizeof pair.b);
  pair.width = 5;
  pair.ka = pair.kb = 2;
  pair.a[0] = pair.b[0] = pair.a[6] = pair.b[6] = 1.0f;
  for (int i = 0; i < 6; i++) {
    pair.b[2] = tangents[i]; /* the first vector leans into a third direction */
    compare(&pair);
    assert_near(angles[0], 0.0, 1e-30);
    assert_near(angles[1], atan((double)tangents[i]), 1e-15 * (double)tangents[i]);
    pair.b[2] = 0.0f;
  }
}

/* There are min(k₁, k₂) angles; a subspace inside another has angle 0 to it. */
TEST(different_dimensions) {
  static float inner[WIDEST * WIDEST];
  directions(pair.a, 5, 30, 50);
  mix(inner, pair.a, 6, 30, 50);
  memcpy(pair.b, inner, sizeof inner);
  pair.width = 50;
  pair.ka = 30;
  for (pair.kb = 1; pair.kb <= 30; pair.kb++) {
    compare(&pair);
    assert_near(overlap, 1.0, 1e-12);
    assert_near(angles[pair.kb - 1], 0.0, 1e-6);
  }
  directions(pair.b, 7, 12, 50);
  pair.kb = 12;
  compare(&pair);
  const double there = overlap;
  double cosines = 0.0, forth[12];
  memcpy(forth, angles, sizeof forth);
  for (int i = 0; i < 12; i++) cosines += cos(angles[i]) * cos(angles[i]) / 12.0;
  assert_near(overlap, cosines, 1e-13); /* the overlap is the mean squared cosine */
  static pair_t swapped;
  swapped = (pair_t){.width = 50, .ka = 12, .kb = 30};
  memcpy(swapped.a, pair.b, sizeof swapped.a);
  memcpy(swapped.b, pair.a, sizeof swapped.b);
  compare(&swapped);
  assert_near(overlap, there, 1e-13);
  for (int i = 0; i < 12; i++) assert_near(angles[i], forth[i], 1e-13);
}

/* If ka + kb exceeds the width, the subspaces share at least ka + kb − width dimensions. */
TEST(large_subspaces) {
  pair.width = 24;
  pair.ka = 20;
  pair.kb = 15;
  directions(pair.a, 8, 20, 24);
  directions(pair.b, 9, 15, 24);
  compare(&pair);
  for (int i = 0; i < 11; i++) assert_near(angles[i], 0.0, 1e-14);
  assert_true(angles[11] > 1e-3);
}

/* One product serves every δ: results equal those of each δ alone, in any order of δ. */
TEST(deltas) {
  enum { N = 6 };
  const int32_t ka[N] = {7, 3, 0, 20, 1, 12}, kb[N] = {9, 3, 5, 18, -1, 20};
  double overlaps[N], first[WIDEST];
  pair.width = 32;
  directions(pair.a, 10, 20, 32);
  directions(pair.b, 11, 20, 32);
  const es_leading_t a = {32, ka, pair.a}, b = {32, kb, pair.b};
  assert_ok(es_eigenspace_compare(overlaps, first, &a, &b, N, fresh()));
  for (int d = 0; d < N; d++) {
    pair.ka = ka[d];
    pair.kb = kb[d];
    compare(&pair);
    if (ka[d] <= 0 || kb[d] <= 0)
      assert_true(isnan(overlaps[d]) && isnan(overlap));
    else
      assert_near(overlaps[d], overlap, 1e-13);
    for (int i = 0; d == 0 && i < 7; i++) assert_near(first[i], angles[i], 1e-13);
  }
  for (int i = 7; i < 32; i++) assert_true(isnan(first[i]));
  const int32_t dead_first[N] = {0, 3, 0, 20, 1, 12};
  const es_leading_t c = {32, dead_first, pair.a};
  assert_ok(es_eigenspace_compare(overlaps, first, &c, &b, N, fresh()));
  assert_true(isnan(overlaps[0]) && !isnan(overlaps[1]));
  for (int i = 0; i < 32; i++) assert_true(isnan(first[i]));
}

TEST(dead) {
  const int32_t alive[] = {2, 3}, dead[] = {0, 0}, missing[] = {-1, -1};
  directions(pair.a, 12, 3, 8);
  const es_leading_t a = {8, alive, pair.a}, b = {8, dead, NULL}, c = {8, missing, NULL};
  const es_leading_t *pairs[][2] = {{&a, &b}, {&b, &a}, {&a, &c}, {&b, &b}, {&c, &a}};
  for (int i = 0; i < 5; i++) {
    double overlaps[2] = {0}, all[8] = {0};
    assert_ok(es_eigenspace_compare(overlaps, all, pairs[i][0], pairs[i][1], 2, fresh()));
    assert_true(isnan(overlaps[0]) && isnan(overlaps[1]));
    for (int j = 0; j < 8; j++) assert_true(isnan(all[j]));
  }
}

/* E ‖U₁ᵀU₂‖²_F / min(k₁, k₂) = max(k₁, k₂) / width for random subspaces. */
TEST(random_subspaces) {
  enum { TRIALS = 300 };
  double mean = 0.0;
  pair.width = 20;
  pair.ka = 5;
  pair.kb = 8;
  for (int t = 0; t < TRIALS; t++) {
    directions(pair.a, 1000 + 2 * t, 5, 20);
    directions(pair.b, 1001 + 2 * t, 8, 20);
    compare(&pair);
    mean += overlap / TRIALS;
  }
  assert_near(mean, 0.4, 0.012); /* 4 deviations; one trial deviates by about 0.05 */
}

/* Rows that are not a basis are not measured, and reported. */
TEST(refused) {
  const float values[] = {NAN, INFINITY, 0.0f, 1.1f};
  const int32_t k = 3;
  double numbers[8];
  directions(pair.b, 13, 3, 8);
  for (int i = 0; i < 5; i++) {
    directions(pair.a, 13, 3, 8);
    if (i < 4)
      pair.a[9] = values[i];
    else
      memcpy(pair.a + 8, pair.a, 8 * sizeof *pair.a); /* one vector twice */
    const es_leading_t a = {8, &k, pair.a}, b = {8, &k, pair.b};
    assert_fails_with(es_eigenspace_compare(&overlap, numbers, &b, &a, 1, fresh()), ES_NUMERIC, "not orthonormal");
  }
}
