/* Reductions panel by panel have the bits of LAPACK's own routines, and stop when the watch says so. */
#include "eigenscope/blas.h"
#include "eigenscope/lapack.h"
#include "eigenscope/memory.h"
#include "eigenscope/panels.h"
#include "support/draw.h"
#include "support/unit.h"
#include <string.h>

BEFORE_TESTS {
  es_blas_single_thread();
}

static double *numbers(size_t n, uint64_t stream) {
  double *values = es_allocate(n, sizeof *values);
  assert_non_null(values);
  for (size_t i = 0; i < n; i++) values[i] = (double)draw_normal(7, stream, i);
  return values;
}

static double *copy_of(const double *values, size_t n) {
  double *copy = es_allocate(n, sizeof *copy);
  assert_non_null(copy);
  return memcpy(copy, values, n * sizeof *copy);
}

static void assert_same_bits(const double *a, const double *b, size_t n) {
  assert_memory_equal(a, b, n * sizeof *a);
}

/* Counts questions, and says stop at the last of them. */
typedef struct counter {
  int asked, stop_at;
} counter_t;

static bool count(void *context) {
  counter_t *c = context;
  return ++c->asked == c->stop_at;
}

TEST(tridiagonal) {
  static const int orders[] = {1, 2, 31, 32, 33, 64, 65, 97, 300};
  for (size_t t = 0; t < sizeof orders / sizeof *orders; t++) {
    const int n = orders[t], lwork = 64 * n;
    const size_t size = (size_t)n;
    double *a = numbers(size * size, 1), *b = copy_of(a, size * size);
    double *mine = es_allocate_zero(3 * size, sizeof *mine), *theirs = es_allocate_zero(3 * size, sizeof *theirs);
    double *work = es_allocate((size_t)lwork, sizeof *work);
    int info = -1;
    assert_ok(es_panels_tridiagonal(n, a, mine, mine + n, mine + 2 * n, NULL, fresh()));
    dsytrd_("L", &n, b, &n, theirs, theirs + n, theirs + 2 * n, work, &lwork, &info, 1);
    assert_int_equal(info, 0);
    assert_same_bits(mine, theirs, 3 * size);
    assert_same_bits(a, b, size * size);
    es_free(a);
    es_free(b);
    es_free(mine);
    es_free(theirs);
    es_free(work);
  }
}

TEST(band) {
  static const int orders[] = {20, 64, 65, 127, 300};
  for (size_t t = 0; t < sizeof orders / sizeof *orders; t++) {
    const int n = orders[t], kd = 16, ldab = kd + 1, lwork = 64 * n + 4 * kd * kd;
    const size_t size = (size_t)n;
    double *a = numbers(size * size, 2), *b = copy_of(a, size * size);
    double *mine = es_allocate_zero((size_t)(ldab + 1) * size, sizeof *mine);
    double *theirs = es_allocate_zero((size_t)(ldab + 1) * size, sizeof *theirs);
    double *work = es_allocate((size_t)lwork, sizeof *work);
    int info = -1;
    assert_ok(es_panels_band(n, kd, a, mine, mine + (size_t)ldab * size, NULL, fresh()));
    dsytrd_sy2sb_("L", &n, &kd, b, &n, theirs, &ldab, theirs + (size_t)ldab * size, work, &lwork, &info, 1);
    assert_int_equal(info, 0);
    assert_same_bits(mine, theirs, (size_t)ldab * size);
    es_free(a);
    es_free(b);
    es_free(mine);
    es_free(theirs);
    es_free(work);
  }
}

/* From 1024 reflectors on, they are applied in several parts. */
TEST(back) {
  static const int orders[] = {2, 100, 1024, 1025, 1100, 1600};
  enum { VECTORS = 7 };
  for (size_t t = 0; t < sizeof orders / sizeof *orders; t++) {
    const int n = orders[t], k = VECTORS, lwork = 64 * k + 65 * 64;
    const size_t size = (size_t)n;
    double *a = numbers(size * size, 3), *tau = numbers(size, 4);
    for (size_t i = 0; i < size; i++) tau[i] = 0.01 * tau[i];
    double *mine = numbers(size * VECTORS, 5), *theirs = copy_of(mine, size * VECTORS);
    double *work = es_allocate((size_t)lwork, sizeof *work);
    int info = -1;
    counter_t counter = {0};
    const es_watch_t watch = {.stop = count, .context = &counter};
    assert_ok(es_panels_back(n, a, tau, mine, k, &watch, fresh()));
    dormtr_("L", "L", "N", &n, &k, a, &n, tau, theirs, &n, work, &lwork, &info, 1, 1, 1);
    assert_int_equal(info, 0);
    assert_same_bits(mine, theirs, size * VECTORS);
    assert_int_equal(counter.asked, n <= 1024 ? 0 : n < 1537 ? 1 : 2);
    es_free(a);
    es_free(tau);
    es_free(mine);
    es_free(theirs);
    es_free(work);
  }
}

TEST(singular) {
  static const int shapes[][2] = {{1, 1},     {5, 3},     {3, 5},     {128, 128}, {129, 129}, {300, 200},
                                  {200, 300}, {500, 200}, {200, 500}, {365, 200}, {367, 200}, {366, 200}};
  for (size_t t = 0; t < sizeof shapes / sizeof *shapes; t++) {
    const int m = shapes[t][0], n = shapes[t][1], stride = m + 3, one = 1, lwork = 100000;
    const size_t size = (size_t)stride * (size_t)n, least = (size_t)(m < n ? m : n);
    double *a = numbers(size, 6), *b = copy_of(a, size);
    double *mine = es_allocate_zero(2 * least, sizeof *mine), *theirs = mine + least;
    double *work = es_allocate((size_t)lwork, sizeof *work);
    int *integers = es_allocate(8 * least, sizeof *integers), info = -1;
    assert_ok(es_panels_singular(mine, &(es_panels_matrix_t){a, m, n, stride}, m, NULL, fresh()));
    dgesdd_("N", &m, &n, b, &stride, theirs, NULL, &one, NULL, &one, work, &lwork, integers, &info, 1);
    assert_int_equal(info, 0);
    assert_same_bits(mine, theirs, least);
    es_free(a);
    es_free(b);
    es_free(mine);
    es_free(work);
    es_free(integers);
  }
}

/* Every panel asks the watch, and a stop there ends the reduction. */
TEST(stops) {
  enum { N = 300, TRIDIAGONAL = 9, BAND = 18, SINGULAR = 7 };
  const size_t size = N;
  double *a = numbers(size * size, 8), *out = es_allocate(20 * size, sizeof *out);
  counter_t counter = {0};
  const es_watch_t watch = {.stop = count, .context = &counter};
  assert_ok(es_panels_tridiagonal(N, a, out, out + N, out + 2 * N, &watch, fresh()));
  assert_int_equal(counter.asked, TRIDIAGONAL);
  counter = (counter_t){0};
  assert_ok(es_panels_band(N, 16, a, out, out + (size_t)17 * N, &watch, fresh()));
  assert_int_equal(counter.asked, BAND);
  counter = (counter_t){0};
  assert_ok(es_panels_singular(out, &(es_panels_matrix_t){a, N, N, N}, N, &watch, fresh()));
  assert_int_equal(counter.asked, SINGULAR);
  for (int stop = 1; stop <= 5; stop += 2) {
    counter = (counter_t){.stop_at = stop};
    assert_fails(es_panels_tridiagonal(N, a, out, out + N, out + 2 * N, &watch, fresh()), ES_STOPPED, "stopped");
    assert_int_equal(counter.asked, stop);
    counter = (counter_t){.stop_at = stop};
    assert_fails(es_panels_band(N, 16, a, out, out + (size_t)17 * N, &watch, fresh()), ES_STOPPED, "stopped");
    assert_int_equal(counter.asked, stop);
    counter = (counter_t){.stop_at = stop};
    assert_fails(es_panels_singular(out, &(es_panels_matrix_t){a, N, N, N}, N, &watch, fresh()), ES_STOPPED, "stopped");
    assert_int_equal(counter.asked, stop);
  }
  es_free(a);
  es_free(out);
}
