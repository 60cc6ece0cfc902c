/* Comparing patterns of saturation: against scipy, by property, and the rule that ends training. */
#include "eigenscope/stability.h"
#include "support/draw.h"
#include "support/unit.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 128 };

static es_stability_t compare(const double *a, const double *b, int n) {
  es_stability_t s;
  es_stability_compare(&s, a, b, n);
  return s;
}

static void assert_near(double value, double expected, double tolerance) {
  if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g instead of %.17g", value, expected);
}

static double random_unit(uint64_t stream, uint64_t i) {
  return (double)draw_unit(61, stream, i);
}

static double read_number(FILE *file) {
  char word[64], *end;
  assert_int_equal(fscanf(file, "%63s", word), 1);
  const double number = strtod(word, &end);
  assert_int_equal(*end, '\0');
  return number;
}

TEST(scipy) {
  FILE *file = fopen(ES_FIXTURES "/eigenspace/stability.txt", "r");
  assert_non_null(file);
  int n, layers, cases = 0;
  for (; fscanf(file, "%d %d", &n, &layers) == 2; cases++) {
    double a[MOST], b[MOST];
    assert_in_range(n, 3, MOST);
    for (int i = 0; i < n; i++) a[i] = read_number(file);
    for (int i = 0; i < n; i++) b[i] = read_number(file);
    const es_stability_t s = compare(a, b, n);
    assert_int_equal(s.layers, layers);
    assert_near(s.distance, read_number(file), 1e-15);
    assert_near(s.pearson, read_number(file), 1e-14);
    assert_near(s.spearman, read_number(file), 1e-14);
  }
  assert_int_equal(cases, 13);
  fclose(file);
}

TEST(by_hand) {
  const double a[] = {0.1, 0.2, 0.4}, b[] = {0.4, 0.2, 0.3};
  const es_stability_t s = compare(a, b, 3);
  assert_int_equal(s.layers, 3);
  assert_near(s.distance, sqrt((0.09 + 0.01) / 3.0), DBL_EPSILON);
  assert_near(s.spearman, -0.5, 1e-15); /* ranks 1 2 3 and 3 1 2 */
  const double tied[] = {0.5, 0.5, 0.7, 0.9}, other[] = {1, 2, 3, 3};
  assert_near(compare(tied, other, 4).spearman, 8.0 / 9.0, 1e-15); /* ranks 1½ 1½ 3 4 and 1 2 3½ 3½ */
}

TEST(same_and_opposite) {
  double a[20], same[20], opposite[20], curved[20];
  for (int i = 0; i < 20; i++) {
    a[i] = random_unit(1, (uint64_t)i);
    same[i] = 0.5 * a[i] + 0.25;
    opposite[i] = 1.0 - a[i];
    curved[i] = a[i] * a[i] * a[i];
  }
  es_stability_t s = compare(a, a, 20);
  assert_true(s.distance == 0.0 && s.pearson <= 1.0);
  assert_near(s.pearson, 1.0, 1e-15);
  assert_near(s.spearman, 1.0, 1e-15);
  s = compare(a, same, 20);
  assert_near(s.pearson, 1.0, 1e-14);
  assert_true(s.distance > 0.0);
  s = compare(a, opposite, 20);
  assert_near(s.pearson, -1.0, 1e-14);
  assert_near(s.spearman, -1.0, 1e-15);
  s = compare(a, curved, 20); /* monotone, not linear */
  assert_near(s.spearman, 1.0, 1e-15);
  assert_true(s.pearson < 0.99);
}

/* A layer that is missing in one pattern does not count. */
TEST(left_out) {
  double a[30], b[30], kept_a[30], kept_b[30];
  int kept = 0;
  for (int i = 0; i < 30; i++) {
    a[i] = random_unit(2, (uint64_t)i);
    b[i] = random_unit(3, (uint64_t)i);
    if (i % 7 == 1) a[i] = NAN;
    if (i % 5 == 2) b[i] = NAN;
    if (isnan(a[i]) || isnan(b[i])) continue;
    kept_a[kept] = a[i];
    kept_b[kept++] = b[i];
  }
  const es_stability_t s = compare(a, b, 30), expected = compare(kept_a, kept_b, kept), turned = compare(b, a, 30);
  assert_true(kept < 30 && s.layers == kept);
  assert_true(s.distance == expected.distance && s.pearson == expected.pearson && s.spearman == expected.spearman);
  assert_true(s.distance == turned.distance);
  assert_near(s.pearson, turned.pearson, 1e-15);
}

TEST(too_few_and_constant) {
  const double a[] = {0.1, 0.4, 0.2, NAN}, b[] = {0.3, 0.5, NAN, 0.1};
  es_stability_t s = compare(a, b, 0);
  assert_true(s.layers == 0 && isnan(s.distance) && isnan(s.pearson) && isnan(s.spearman));
  s = compare(a + 2, b + 2, 2); /* no layer in both */
  assert_true(s.layers == 0 && isnan(s.distance) && isnan(s.pearson) && isnan(s.spearman));
  s = compare(a, b, 4);
  assert_true(s.layers == 2 && isnan(s.pearson) && isnan(s.spearman));
  assert_near(s.distance, sqrt((0.04 + 0.01) / 2.0), DBL_EPSILON);
  double constant[10], other[10]; /* the mean of ten tenths is not a tenth */
  for (int i = 0; i < 10; i++) {
    constant[i] = 0.1;
    other[i] = 0.1 * i;
  }
  s = compare(constant, other, 10);
  assert_true(s.layers == 10 && isnan(s.pearson) && isnan(s.spearman) && s.distance > 0.0);
  s = compare(other, constant, 10);
  assert_true(isnan(s.pearson) && isnan(s.spearman));
}

TEST(settled) {
  const es_stop_settings_t never = {.distance = 1.0, .patience = 0}, once = {.distance = 0.1, .patience = 1},
                           thrice = {.distance = 0.1, .patience = 3};
  const double distances[] = {NAN, 0.3, 0.05, 0.02, 0.2, 0.05, 0.09, 0.1, 0.05, 0.04, 0.03};
  const bool after_one[] = {0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1}, after_three[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  assert_false(es_stability_settled(distances, 0, &once));
  for (int n = 1; n <= 11; n++) {
    assert_false(es_stability_settled(distances, n, &never));
    assert_int_equal(es_stability_settled(distances, n, &once), after_one[n - 1]);
    assert_int_equal(es_stability_settled(distances, n, &thrice), after_three[n - 1]);
  }
  const double unknown[] = {0.01, NAN, 0.01};
  assert_false(es_stability_settled(unknown, 3, &thrice));
  assert_false(es_stability_settled(distances + 9, 2, &thrice)); /* fewer than patience */
}
