/* Products on AMX (src/probe/tiles.h) against loops in double on the rounded rows. */
#include "../../src/probe/tiles.h"
#include "eigenscope/memory.h"
#include "support/draw.h"
#include "support/unit.h"
#include <math.h>
#include <string.h>

static const tiles_t *tiles_or_skip(void) {
  const tiles_t *tiles = es_tiles();
  if (tiles) return tiles;
  print_message("skipped: no AMX on this CPU, or not allowed by DNNL_MAX_CPU_ISA (valgrind lacks it)\n");
  skip();
  return NULL;
}

static float *normals(uint64_t stream, int64_t n) {
  float *out = es_allocate((size_t)n, sizeof *out);
  assert_non_null(out);
  for (int64_t i = 0; i < n; i++) out[i] = draw_normal(9, stream, (uint64_t)i);
  return out;
}

/* The nearest bfloat16, ties to even. */
static double rounded(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  memcpy(&f, &bits, sizeof f);
  return (double)f;
}

/* The other factor keeps 16 bits, and sums are in float. */
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
  const tiles_t *tiles = tiles_or_skip();
  const int64_t rows[] = {1, 31, 32, 100, ES_TILES_SLICE}, features[] = {1, 33, 64, 90, 200},
                columns[] = {1, 10, 16, 37};
  for (int n = 0; n < 5; n++) {
    for (int d = 0; d < 5; d++) {
      for (int k = 0; k < 4; k++) check_products(tiles, rows[n], features[d], columns[k]);
    }
  }
}

/* Rows keep their order: a lane is packed at once, its slices of whole blocks are multiplied one by one. */
TEST(slices) {
  const tiles_t *tiles = tiles_or_skip();
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
