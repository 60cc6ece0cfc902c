/* Products in bfloat16 (src/probe/tiles.h) against loops in double on the rounded rows. */
#include "../../src/probe/tiles_sets.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

/* The sets that this process may use: the one that fits choose, and on AMX also that without AMX. */
static int sets_or_skip(const tiles_t *sets[2]) {
  int n = 0;
  sets[n] = es_tiles();
  if (!sets[n]) {
    print_message("skipped: no AVX512-BF16 on this CPU, or not allowed by DNNL_MAX_CPU_ISA (valgrind lacks it)\n");
    skip();
  }
#ifdef ES_KERNEL_TARGETS
  if (sets[n++] != &es_tiles_avx512bf16) sets[n++] = &es_tiles_avx512bf16;
#endif
  return n;
}

/* True if a set rounds the other factor to bfloat16. */
static bool rounds_all(const tiles_t *tiles) {
#ifdef ES_KERNEL_TARGETS
  return tiles == &es_tiles_avx512bf16;
#else
  return false;
#endif
}

static float *normals(uint64_t stream, int64_t n) {
  float *out = es_allocate((size_t)n, sizeof *out);
  assert_non_null(out);
  for (int64_t i = 0; i < n; i++) out[i] = draw_normal(9, stream, (uint64_t)i);
  return out;
}

static double rounded(float f) {
  return (double)es_tiles_round(f);
}

/* On AMX the other factor keeps 16 bits; sums are in float. */
static const double SHARE = 0x1p-16;

static void check_products(const tiles_t *tiles, int64_t n, int64_t d, int64_t k) {
  float *x = normals(1, n * d), *w = normals(2, k * d), *r = normals(3, n * k);
  float *out = es_allocate((size_t)(n * k), sizeof *out);
  double *sum = es_allocate((size_t)(k * d + 1), sizeof *sum);
  uint16_t *packed = es_allocate(es_tiles_rows(n, d), sizeof *packed);
  uint16_t *factor = es_allocate(es_tiles_factor(d, k), sizeof *factor);
  uint16_t *room = es_allocate(es_tiles_factor(n, k), sizeof *room);
  assert_true(out && sum && packed && factor && room);
  for (int64_t i = 0; i <= k * d; i++) sum[i] = 1.0;
  for (int64_t i = 0; rounds_all(tiles) && i < k * d; i++) w[i] = es_tiles_round(w[i]);
  for (int64_t i = 0; rounds_all(tiles) && i < n * k; i++) r[i] = es_tiles_round(r[i]);
  tiles->pack(packed, x, n, d);
  tiles->load(factor, w, k, d);
  tiles->forward(out, packed, n, d, factor, k);
  tiles->backward(sum, packed, n, d, r, k, room);
  for (int64_t i = 0; i < n; i++) {
    for (int64_t c = 0; c < k; c++) {
      double want = 0.0, size = 0.0;
      for (int64_t j = 0; j < d; j++) {
        want += rounded(x[i * d + j]) * (double)w[c * d + j];
        size += fabs((double)x[i * d + j] * (double)w[c * d + j]);
      }
      assert_true(fabs((double)out[i * k + c] - want) <= SHARE * size);
    }
  }
  for (int64_t c = 0; c < k; c++) {
    for (int64_t j = 0; j < d; j++) {
      double want = 1.0, size = 1.0;
      for (int64_t i = 0; i < n; i++) {
        want += (double)r[i * k + c] * rounded(x[i * d + j]);
        size += fabs((double)r[i * k + c] * (double)x[i * d + j]);
      }
      assert_true(fabs(sum[c * d + j] - want) <= SHARE * size);
    }
  }
  assert_true(sum[k * d] == 1.0);
  es_free(x);
  es_free(w);
  es_free(r);
  es_free(out);
  es_free(sum);
  es_free(packed);
  es_free(factor);
  es_free(room);
}

TEST(products) {
  const tiles_t *sets[2];
  const int n_sets = sets_or_skip(sets);
  const int64_t rows[] = {1, 31, 32, 100, ES_TILES_SLICE}, features[] = {1, 33, 64, 90, 200},
                columns[] = {1, 10, 16, 37};
  for (int i = 0; i < 5 * 5 * 4 * n_sets; i++)
    check_products(sets[i / 100], rows[i / 20 % 5], features[i / 4 % 5], columns[i % 4]);
}

/* Rounding is that of packed rows and factors: to the nearest, ties to even. */
TEST(rounding) {
  assert_true(es_tiles_round(1.0f + 0x1p-8f) == 1.0f && es_tiles_round(1.0f + 0x1.8p-7f) == 1.0f + 0x1p-6f);
  assert_true(es_tiles_round(-1.0f - 0x1.02p-8f) == -1.0f - 0x1p-7f && es_tiles_round(0.0f) == 0.0f);
}

/* Rows keep their order: a lane is packed at once, its slices of whole blocks are multiplied one by one. */
static void check_slices(const tiles_t *tiles) {
  const int64_t n = 200, d = 70, k = 5, first = 3 * ES_TILES_EDGE;
  float *x = normals(1, n * d), *w = normals(2, k * d), whole[200 * 5], part[200 * 5];
  uint16_t *packed = es_allocate(es_tiles_rows(n, d), sizeof *packed);
  uint16_t *factor = es_allocate(es_tiles_factor(d, k), sizeof *factor);
  assert_true(packed && factor);
  tiles->pack(packed, x, n, d);
  tiles->load(factor, w, k, d);
  tiles->forward(whole, packed, n, d, factor, k);
  tiles->forward(part, packed + es_tiles_rows(first, d), n - first, d, factor, k);
  assert_memory_equal(part, whole + first * k, (size_t)((n - first) * k) * sizeof *part);
  es_free(x);
  es_free(w);
  es_free(packed);
  es_free(factor);
}

TEST(slices) {
  const tiles_t *sets[2];
  for (int n = sets_or_skip(sets); n-- > 0;) check_slices(sets[n]);
}
