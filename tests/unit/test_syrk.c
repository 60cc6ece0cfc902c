/* Products of narrow panels in every instruction set of this CPU against naive sums. Values are small multiples of 1/4,
 * so sums are exact in any order. */
#include "../../src/covariance/syrk_kernels.h"
#include "eigenscope/kernel.h"
#include "eigenscope/random.h"
#include "support/draw.h"
#include "support/unit.h"

enum { ROWS = 1030, MOST = 64 };

static float rows[ROWS * MOST], product[MOST * MOST];

static void fill(void) {
  for (size_t i = 0; i < ROWS * MOST; i++) {
    rows[i] = (float)es_random_below(draw_word(73, 0, i), 17) * 0.25f - 2.0f;
  }
}

static int list_kernels(const es_syrk_kernels_t *out[3]) {
  int n = 0;
  out[n++] = &es_syrk_baseline;
#ifdef ES_KERNEL_TARGETS
  if (es_syrk_kernels() != &es_syrk_baseline) out[n++] = &es_syrk_avx2;
  if (es_syrk_kernels() == &es_syrk_avx512) out[n++] = &es_syrk_avx512;
#endif
#ifdef ES_KERNEL_NEON
  assert_true(es_syrk_kernels() == &es_syrk_neon);
  out[n++] = &es_syrk_neon;
#endif
  return n;
}

static double expected(ptrdiff_t n, ptrdiff_t width, const float *shift, ptrdiff_t i, ptrdiff_t j) {
  double sum = 0.0;
  for (ptrdiff_t line = 0; line < n; line++)
    sum += (double)(rows[line * width + i] - shift[i]) * (double)(rows[line * width + j] - shift[j]);
  return sum;
}

static void check_product(ptrdiff_t n, ptrdiff_t width, const float *shift) {
  for (ptrdiff_t i = 0; i < width; i++) {
    for (ptrdiff_t j = 0; j <= i; j++) assert_true((double)product[i * width + j] == expected(n, width, shift, i, j));
  }
}

static const ptrdiff_t counts[] = {1, 2, 3, 7, 16, 63, 65, 255, 257, ROWS};

TEST(tiles) {
  static const float none[MOST];
  const es_syrk_kernels_t *kernels[3];
  fill();
  for (int k = 0, n = list_kernels(kernels); k < n; k++) {
    for (ptrdiff_t width = SYRK_TILE; width <= MOST; width += SYRK_TILE) {
      for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        for (size_t i = 0; i < MOST * MOST; i++) product[i] = 0.0f;
        kernels[k]->tiles(product, rows, counts[c], width);
        check_product(counts[c], width, none);
      }
    }
  }
}

static void check_centre(const es_syrk_kernels_t *kernels, ptrdiff_t n, ptrdiff_t width) {
  static float out[MOST * MOST];
  float shift[MOST] = {0}, sums[MOST], squares[MOST];
  for (ptrdiff_t j = 0; j < width; j++) shift[j] = (float)(j % 5) * 0.25f;
  kernels->centre(out, sums, squares, rows, n, width, shift);
  for (ptrdiff_t j = 0; j < width; j++) {
    double sum = 0.0;
    for (ptrdiff_t line = 0; line < n; line++) {
      assert_true(out[line * width + j] == rows[line * width + j] - shift[j]);
      sum += (double)out[line * width + j];
    }
    assert_true((double)sums[j] == sum && (double)squares[j] == expected(n, width, shift, j, j));
  }
}

TEST(centre) {
  const es_syrk_kernels_t *kernels[3];
  fill();
  for (int k = 0, n = list_kernels(kernels); k < n; k++) {
    for (ptrdiff_t width = SYRK_TILE; width <= MOST; width += SYRK_TILE) {
      for (ptrdiff_t lines = 1; lines <= MOST; lines = lines < 5 ? lines + 1 : 2 * lines - 1)
        check_centre(kernels[k], lines, width);
      check_centre(kernels[k], MOST, width);
    }
  }
}

static void check_centred(const es_syrk_kernels_t *kernels, ptrdiff_t n, ptrdiff_t width) {
  float shift[SYRK_TILE];
  double sums[SYRK_TILE];
  for (ptrdiff_t i = 0; i < SYRK_TILE; i++) {
    shift[i] = (float)(i % width) * 0.25f + 0.5f;
    sums[i] = -1.0;
  }
  for (size_t i = 0; i < MOST * MOST; i++) product[i] = -1.0f;
  kernels->centred(product, sums, rows, n, width, shift);
  check_product(n, width, shift);
  for (ptrdiff_t j = 0; j < width; j++) {
    double sum = 0.0;
    for (ptrdiff_t line = 0; line < n; line++) sum += (double)(rows[line * width + j] - shift[j]);
    assert_true(sums[j] == sum);
  }
  assert_true(sums[width] == -1.0); /* writes no more than its width */
}

TEST(centred) {
  const es_syrk_kernels_t *kernels[3];
  fill();
  for (int k = 0, n = list_kernels(kernels); k < n; k++) {
    for (ptrdiff_t width = 1; width <= kernels[k]->centred_most; width *= 2) {
      for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) check_centred(kernels[k], counts[c], width);
    }
  }
}
