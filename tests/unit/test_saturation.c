/* Intrinsic dimensions against a table computed by hand, against brute force, and at all limits. */
#include "eigenscope/random.h"
#include "eigenscope/saturation.h"
#include "support/unit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDEST = 512 };

static int32_t smallest(const double *values, int32_t width, double delta) {
  return es_saturation_count(values, width, delta, ES_CONVENTION_SMALLEST);
}

static int32_t pca_layer(const double *values, int32_t width, double delta) {
  return es_saturation_count(values, width, delta, ES_CONVENTION_PCA_LAYER);
}

static int32_t delve(const double *values, int32_t width, double delta) {
  return es_saturation_count(values, width, delta, ES_CONVENTION_DELVE);
}

/* Spectra, the expected count of each convention, and the reason. */
typedef struct entry {
  const char *name;
  double delta;
  int32_t width, smallest, pca_layer, delve;
  double values[8];
} entry_t;

/* The first two spectra: delve 0.1.50 itself counts 2 and 0 (by hand, with torch 2.15.0). */
static const entry_t table[] = {
    {"three", 0.99, 3, 3, 3, 2, {5, 4, 1}},                 /* two below, the second 0.09 short */
    {"first suffices", 0.99, 3, 1, 1, 0, {10, 0.01, 0.01}}, /* none below */
    /* Cumulative ratios of 4^−i: 0.75, 0.9375, 0.98439, 0.99611: three below, the third 0.0056 short. */
    {"exponential 8", 0.99, 8, 4, 3, 3, {1, 0.25, 0.0625, 0.015625, 0.00390625, 0x1p-10, 0x1p-12, 0x1p-14}},
    /* 5^−i: 0.8, 0.96, 0.992: two below, the second 0.03 short, so a PCA layer counts the next one, too. */
    {"fifths", 0.99, 8, 3, 3, 2, {1, 0.2, 0.04, 0.008, 0.0016, 0.00032, 6.4e-5, 1.28e-5}},
    /* 2^−i: 1 − 2^−k over 1 − 2^−8: six below 0.99, the sixth 0.0018 short. */
    {"halves", 0.99, 8, 7, 6, 6, {1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125}},
    {"one direction", 0.99, 4, 1, 1, 0, {5, 0, 0, 0}},
    {"width one", 0.99, 1, 1, 1, 0, {3e-7}},
    {"enough at once", 0.99, 2, 1, 1, 0, {0.995, 0.005}},     /* none below: at least one, and not short */
    {"a little short", 0.99, 2, 2, 1, 1, {0.975, 0.025}},     /* 0.015 short */
    {"a good deal short", 0.99, 2, 2, 2, 1, {0.9, 0.1}},      /* 0.09 short */
    {"met exactly", 0.75, 4, 3, 3, 2, {1, 1, 1, 1}},          /* not strictly below: two, 0.25 short */
    {"just missed", 0.7500001, 4, 4, 3, 3, {1, 1, 1, 1}},     /* three below, barely short */
    {"all of it", 1.0, 5, 3, 3, 2, {2, 1, 1, 0, 0}},          /* trailing zeros explain nothing */
    {"all of it, full rank", 1.0, 4, 4, 4, 3, {1, 1, 1, 1}},  /* three below, 0.25 short */
    {"all of it, faint", 1.0, 3, 3, 2, 2, {1, 1e-3, 1e-9}},   /* two below, 1e-9 short */
    {"lost in rounding", 1.0, 3, 1, 1, 0, {1, 1e-20, 1e-20}}, /* in double the sum is 1 */
    {"first alone", 1e-9, 3, 1, 1, 0, {1, 1, 1}},
};

TEST(table) {
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const entry_t *e = &table[i];
    const int32_t k = smallest(e->values, e->width, e->delta), p = pca_layer(e->values, e->width, e->delta),
                  d = delve(e->values, e->width, e->delta);
    if (k != e->smallest || p != e->pca_layer || d != e->delve)
      fail_msg("%s: smallest %d instead of %d, PCA layer %d instead of %d, delve %d instead of %d", e->name, k,
               e->smallest, p, e->pca_layer, d, e->delve);
  }
}

/* Flat 512: 0.99 · 512 = 506.88, so 507 directions; delve omits the one that crosses. */
TEST(flat_512) {
  double values[512];
  for (int i = 0; i < 512; i++) values[i] = 0.125;
  assert_int_equal(smallest(values, 512, 0.99), 507);
  assert_int_equal(delve(values, 512, 0.99), 506);
  assert_int_equal(smallest(values, 512, 507.0 / 512.0), 507); /* met exactly */
  assert_int_equal(delve(values, 512, 507.0 / 512.0), 506);
  assert_int_equal(smallest(values, 512, 1.0), 512);
}

/* 1/i, i = 1 … 64: 0.99 · H₆₄ = 4.69646, H₆₁ = 4.69626, H₆₂ = 4.71239. */
TEST(harmonic_64) {
  double values[64];
  for (int i = 0; i < 64; i++) values[i] = 1.0 / (i + 1);
  assert_int_equal(smallest(values, 64, 0.99), 62);
  assert_int_equal(delve(values, 64, 0.99), 61);
}

static int descending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

static int32_t random_spectrum(double *values, uint64_t trial) {
  uint32_t words[4];
  es_random_block(51, ES_RANDOM_TEST, trial, 0, words);
  const int32_t width = 1 + (int32_t)es_random_below(words[0], WIDEST);
  const double decay = (double)es_random_unit(words[1]) * 0.2; /* from flat to a few directions */
  for (int32_t i = 0; i < width; i++) {
    es_random_block(51, ES_RANDOM_TEST, trial, 1 + (uint64_t)i, words);
    values[i] = (0.01 + (double)es_random_unit(words[0])) * exp(-decay * i);
  }
  qsort(values, (size_t)width, sizeof *values, descending);
  return width;
}

static long double sum_of(const double *values, int32_t n) {
  long double sum = 0.0L;
  for (int32_t i = 0; i < n; i++) sum += (long double)values[i];
  return sum;
}

/* The definition, word for word: tries every k, and computes every sum again. */
static int32_t brute_force(const double *values, int32_t width, double delta) {
  for (int32_t k = 1; k < width; k++) {
    if (sum_of(values, k) >= (long double)delta * sum_of(values, width)) return k;
  }
  return width;
}

static int32_t brute_force_delve(const double *values, int32_t width, double delta) {
  int32_t below = 0;
  for (int32_t k = 1; k <= width; k++) below += sum_of(values, k) / sum_of(values, width) < (long double)delta;
  return below;
}

static int32_t brute_force_pca_layer(const double *values, int32_t width, double delta) {
  const int32_t below = brute_force_delve(values, width, delta);
  if (below == 0) return 1;
  const long double last = sum_of(values, below) / sum_of(values, width);
  return (long double)delta - last > 0.02L && below < width ? below + 1 : below;
}

TEST(random_spectra) {
  const double deltas[] = {0.1, 0.5, 0.9, 0.95, 0.99, 0.995};
  double values[WIDEST];
  for (uint64_t trial = 0; trial < 100; trial++) {
    const int32_t width = random_spectrum(values, trial);
    int32_t previous = 1;
    for (size_t i = 0; i < sizeof deltas / sizeof *deltas; i++) {
      const int32_t k = smallest(values, width, deltas[i]);
      assert_int_equal(k, brute_force(values, width, deltas[i]));
      assert_int_equal(delve(values, width, deltas[i]), brute_force_delve(values, width, deltas[i]));
      assert_int_equal(pca_layer(values, width, deltas[i]), brute_force_pca_layer(values, width, deltas[i]));
      assert_in_range(k, previous, width);
      previous = k;
    }
  }
}

static es_saturation_t measure(double *values, int32_t width, int64_t rows) {
  const double deltas[] = {0.5, 0.99, 1.0};
  es_saturation_t s;
  es_saturation_measure(&s, values, width, rows, deltas, 3, ES_CONVENTION_SMALLEST);
  return s;
}

static void assert_near(double value, double expected) {
  if (!(fabs(value - expected) <= 1e-14 * fabs(expected))) fail_msg("%.17g instead of %.17g", value, expected);
}

TEST(measures) {
  double flat[10], uneven[] = {3.0, 1.0, 0.0};
  for (int i = 0; i < 10; i++) flat[i] = 0.3;
  es_saturation_t s = measure(flat, 10, 11);
  assert_int_equal(s.flags, 0);
  assert_near(s.quantities[ES_QUANTITY_TRACE], 3.0);
  assert_near(s.quantities[ES_QUANTITY_EFFECTIVE_RANK], 10.0);
  assert_near(s.quantities[ES_QUANTITY_PARTICIPATION_RATIO], 10.0);
  assert_near(s.quantities[ES_QUANTITY_FIRST_COMPONENT_SHARE], 0.1);
  assert_near(s.quantities[ES_QUANTITY_STABLE_RANK], 10.0);
  assert_int_equal(s.k[0], 5);
  assert_int_equal(s.k[1], 10);
  assert_int_equal(s.k[2], 10);
  assert_near(s.saturation[0], 0.5);
  assert_near(s.saturation[2], 1.0);
  s = measure(uneven, 3, 100);
  assert_int_equal(s.flags, 0);
  assert_near(s.quantities[ES_QUANTITY_TRACE], 4.0);
  assert_near(s.quantities[ES_QUANTITY_EFFECTIVE_RANK], 4.0 / pow(3.0, 0.75)); /* exp(−¾ ln ¾ − ¼ ln ¼) */
  assert_near(s.quantities[ES_QUANTITY_PARTICIPATION_RATIO], 1.6);
  assert_near(s.quantities[ES_QUANTITY_FIRST_COMPONENT_SHARE], 0.75);
  assert_near(s.quantities[ES_QUANTITY_STABLE_RANK], 4.0 / 3.0);
  assert_int_equal(s.k[0], 1);
  assert_int_equal(s.k[1], 2);
  assert_int_equal(s.k[2], 2);
  assert_near(s.saturation[1], 2.0 / 3.0);
}

TEST(spectral_pack) {
  double flat[10], law[300], few[] = {1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0x1p-60};
  for (int i = 0; i < 10; i++) flat[i] = 0.3;
  es_saturation_t s = measure(flat, 10, 11);
  assert_near(s.quantities[ES_QUANTITY_SPECTRAL_ENTROPY], log(10.0));
  assert_near(s.quantities[ES_QUANTITY_RANKME], exp(-10.0 * (0.1 + 1e-7) * log(0.1 + 1e-7)));
  assert_near(s.quantities[ES_QUANTITY_NUMERICAL_RANK], 10.0);
  assert_true(fabs(s.quantities[ES_QUANTITY_ALPHA_REQ]) < 1e-14); /* no decay, and nothing to explain */
  assert_true(isnan(s.quantities[ES_QUANTITY_ALPHA_REQ_R2]));
  for (int i = 0; i < 300; i++) law[i] = 7e5 * pow(i + 1, -1.25);
  s = measure(law, 300, 301);
  assert_true(fabs(s.quantities[ES_QUANTITY_ALPHA_REQ] - 1.25) < 1e-12);
  assert_true(fabs(s.quantities[ES_QUANTITY_ALPHA_REQ_R2] - 1.0) < 1e-12);
  assert_near(s.quantities[ES_QUANTITY_ALPHA_REQ_LAST], 100.0);
  /* The seventh value is rounding: two are left from the fourth on. */
  s = measure(few, 7, 100);
  assert_near(s.quantities[ES_QUANTITY_NUMERICAL_RANK], 6.0);
  assert_true(isnan(s.quantities[ES_QUANTITY_ALPHA_REQ]) && isnan(s.quantities[ES_QUANTITY_ALPHA_REQ_R2]) &&
              isnan(s.quantities[ES_QUANTITY_ALPHA_REQ_LAST]));
}

/* The numbers that have no unit depend on shares alone. */
TEST(scale_changes_no_bit) {
  for (uint64_t trial = 0; trial < 20; trial++) {
    double values[WIDEST], scaled[WIDEST];
    const int32_t width = random_spectrum(values, trial);
    for (int32_t i = 0; i < width; i++) scaled[i] = ldexp(values[i], 101);
    const es_saturation_t a = measure(values, width, 100), b = measure(scaled, width, 100);
    for (int q = ES_QUANTITY_TRACE + 1; q < ES_QUANTITIES; q++)
      assert_memory_equal(&a.quantities[q], &b.quantities[q], sizeof(double));
  }
}

TEST(convention_is_passed_on) {
  double values[] = {1, 0.25, 0.0625, 0.015625, 0.00390625, 0x1p-10, 0x1p-12, 0x1p-14};
  const double delta = 0.99;
  es_saturation_t s;
  es_saturation_measure(&s, values, 8, 100, &delta, 1, ES_CONVENTION_DELVE);
  assert_int_equal(s.k[0], 3);
  assert_near(s.saturation[0], 0.375);
  double few[] = {10, 0.01, 0.01}; /* no share is below delta: a valid measurement of 0, not a dead layer */
  es_saturation_measure(&s, few, 3, 100, &delta, 1, ES_CONVENTION_DELVE);
  assert_int_equal(s.flags, 0);
  assert_int_equal(s.k[0], 0);
  assert_near(s.saturation[0], 0.0);
}

/* Negative values from rounding are clamped in place, so that the stored values sum to the trace. */
TEST(negative_rounding_is_clamped) {
  double values[] = {3.0, 1.0, 1e-17, -1e-17, -4e-16};
  es_saturation_t s = measure(values, 5, 100);
  assert_int_equal(s.flags, 0);
  assert_true(values[0] == 3.0 && values[2] == 1e-17 && values[3] == 0.0 && values[4] == 0.0);
  assert_false(signbit(values[3]) || signbit(values[4]));
  assert_near(s.quantities[ES_QUANTITY_TRACE], 4.0);
  assert_int_equal(s.k[2], 2);
}

TEST(dead) {
  double spectra[3][4] = {{0, 0, 0, 0}, {0, -0.0, -1e-18, -3e-17}, {-1e-18, -1e-18, -2e-18, -3e-18}};
  for (int i = 0; i < 3; i++) {
    es_saturation_t s = measure(spectra[i], 4, 5);
    assert_int_equal(s.flags, ES_FLAG_DEAD);
    assert_true(s.quantities[ES_QUANTITY_TRACE] == 0.0);
    for (int d = 0; d < 3; d++) assert_true(s.k[d] == 0 && s.saturation[d] == 0.0);
    assert_true(isnan(s.quantities[ES_QUANTITY_EFFECTIVE_RANK]) &&
                isnan(s.quantities[ES_QUANTITY_PARTICIPATION_RATIO]) &&
                isnan(s.quantities[ES_QUANTITY_FIRST_COMPONENT_SHARE]) && isnan(s.quantities[ES_QUANTITY_STABLE_RANK]));
    for (int j = 0; j < 4; j++) assert_true(spectra[i][j] == 0.0);
  }
}

/* n rows about their mean span at most n − 1 directions, so width + 1 rows are needed. */
TEST(undersampled) {
  double values[] = {4, 3, 2, 1}, zeros[4] = {0};
  assert_int_equal(measure(values, 4, 1).flags, ES_FLAG_UNDERSAMPLED);
  assert_int_equal(measure(values, 4, 4).flags, ES_FLAG_UNDERSAMPLED);
  assert_int_equal(measure(values, 4, 4).k[0], 2); /* measured anyway */
  assert_int_equal(measure(values, 4, 5).flags, 0);
  assert_int_equal(measure(zeros, 4, 4).flags, ES_FLAG_UNDERSAMPLED | ES_FLAG_DEAD);
}

TEST(nonfinite) {
  const double bad[] = {NAN, INFINITY, -INFINITY};
  for (int b = 0; b < 3; b++) {
    for (int at = 0; at < 3; at++) {
      double values[] = {3, 2, 1};
      values[at] = bad[b];
      es_saturation_t s = measure(values, 3, at < 2 ? 3 : 4);
      assert_int_equal(s.flags, ES_FLAG_NONFINITE | (at < 2 ? ES_FLAG_UNDERSAMPLED : 0));
      assert_true(isnan(s.quantities[ES_QUANTITY_TRACE]) && isnan(s.quantities[ES_QUANTITY_EFFECTIVE_RANK]) &&
                  isnan(s.quantities[ES_QUANTITY_PARTICIPATION_RATIO]));
      assert_true(isnan(s.quantities[ES_QUANTITY_FIRST_COMPONENT_SHARE]) &&
                  isnan(s.quantities[ES_QUANTITY_STABLE_RANK]));
      for (int d = 0; d < 3; d++) assert_true(s.k[d] == -1 && isnan(s.saturation[d]));
    }
  }
}

/* A number rounded to bfloat16, ties to even. */
static float rounded(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Synthetic spectra: the threshold is 0.18 · 2^-16 of the mean of the squared outputs. */
TEST(rounding_of_spectra) {
  const double share = 0.18 / 65536, values[] = {1.0, 1e-3, 4 * share / 4, 0.9 * share / 4};
  const double sum = values[0] + values[1] + values[2] + values[3];
  for (int32_t k = 0; k < 4; k++) assert_false(es_saturation_is_rounding(values, 4, k, 0.0, 1.0));
  assert_true(es_saturation_is_rounding(values, 4, 4, 0.0, 1.0));
  assert_true(es_saturation_is_rounding(values, 4, 3, 4.0, 1.0)); /* large means leave fewer digits to the deviations */
  assert_false(es_saturation_is_rounding(values, 4, 3, 2.9, 1.0));
  assert_false(es_saturation_is_rounding(values, 4, 4, 0.0, 2.0)); /* rows that are means of two outputs */
  assert_true(es_saturation_is_rounding(values, 4, 4, 0.2 * sum, 1.0));
  const double dead[] = {0.0, 0.0};
  assert_false(es_saturation_is_rounding(dead, 2, 0, 1.0, 1.0));
}

/* With means of 0 and delta = 0.99 the last direction that `smallest` counts is never rounding. */
TEST(rounding_at_headline_delta) {
  for (uint32_t round = 0; round < 200; round++) {
    double values[64];
    uint32_t w[4];
    es_random_block(2, ES_RANDOM_TEST, round, 0, w);
    const double ratio = 0.01 + 0.98 * (w[0] / 4294967296.0);
    for (int i = 0; i < 64; i++) values[i] = i == 0 ? 1.0 : values[i - 1] * ratio;
    assert_false(es_saturation_is_rounding(values, 64, smallest(values, 64, 0.99), 0.0, 1.0));
    if (ratio < 0.7) assert_true(es_saturation_is_rounding(values, 64, smallest(values, 64, 1.0), 0.0, 1.0));
  }
}

/* The variance that rounding really adds, over 65536 numbers each of normal, exponential, cut (ReLU) and sparse
 * distributions at several scales, lies within a fifth of the formula's. */
TEST(rounding_of_numbers) {
  enum { N = 1 << 16 };
  for (int kind = 0; kind < 4; kind++) {
    for (int scale = 0; scale < 5; scale++) {
      double squares = 0.0, errors = 0.0;
      for (uint32_t i = 0; i < N; i++) {
        uint32_t w[4];
        es_random_block(3, ES_RANDOM_TEST, i, (uint32_t)kind, w);
        const double u = (w[0] + 0.5) / 4294967296.0, v = (w[1] + 0.5) / 4294967296.0;
        const double normal = sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
        const double x = kind == 0 ? normal : kind == 1 ? -log(u) : kind == 2 ? fmax(normal, 0.0) : normal * normal;
        const float value = (float)(x * pow(1.2, scale));
        squares += (double)value * value;
        errors += pow((double)rounded(value) - value, 2);
      }
      assert_true(fabs(errors / squares * 65536 / 0.18 - 1.0) < 0.2);
    }
  }
}

/* 0.99 if it was measured, wherever it is in the list, else the largest. */
TEST(headline_delta) {
  const double deltas[] = {0.5, 0.9, 0.99, 0.999};
  assert_int_equal(es_headline_delta(deltas, 4), 2);
  assert_int_equal(es_headline_delta(deltas, 3), 2);
  assert_int_equal(es_headline_delta(deltas + 2, 2), 0);
  assert_int_equal(es_headline_delta(deltas, 2), 1);
  assert_int_equal(es_headline_delta(deltas + 3, 1), 0);
}
