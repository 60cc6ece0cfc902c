#include "syrk.h"
#include "eigenscope/kernel.h"
#include <cblas.h>
#include <string.h>

/* Partial sums of at most BLOCK lines keep the rounding of a float sum small. */
enum { VECTOR = 16, TALL = 4, BLOCK = 256 };

/* Where BLAS catches up, by `eigenscope bench covariance`: at 256 with OpenBLAS's kernels for AVX2 (Zen 4), above 64
 * with those for AVX-512 (Sapphire Rapids). */
static int32_t widest(void) {
  static const char *const avx512[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
  static int32_t found;
  if (found == 0) {
    found = 256;
    for (size_t i = 0; i < sizeof avx512 / sizeof *avx512; i++) {
      if (strcmp(openblas_get_corename(), avx512[i]) == 0) found = 64;
    }
  }
  return found;
}

bool es_syrk_is_narrow(int32_t width) {
  return width <= VECTOR ? VECTOR % width == 0 : width % VECTOR == 0 && width <= widest();
}

/* A tile of the product, TALL × VECTOR, stays in registers while lines of the panel pass. Vectors of 8 floats: the sums
 * then fit the 16 registers of AVX2, and on CPUs with wider ones they were measured to be as fast (Zen 4). */
typedef float v8_t __attribute__((vector_size(8 * sizeof(float)), aligned(sizeof(float)), may_alias));

/* out[i][j] += Σ over lines left[line][i]·right[line][j]; lines are `stride` floats apart. The sums have names, so that
 * the compiler keeps them in registers. */
static ES_INLINE void tile(float *out, int64_t out_stride, const float *left, const float *right, int64_t lines,
                           int64_t stride) {
  v8_t a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0}, b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
  for (int64_t line = 0; line < lines; line++, left += stride, right += stride) {
    const v8_t a = *(const v8_t *)right, b = *(const v8_t *)(right + 8);
    a0 += left[0] * a;
    b0 += left[0] * b;
    a1 += left[1] * a;
    b1 += left[1] * b;
    a2 += left[2] * a;
    b2 += left[2] * b;
    a3 += left[3] * a;
    b3 += left[3] * b;
  }
  const v8_t a[TALL] = {a0, a1, a2, a3}, b[TALL] = {b0, b1, b2, b3};
  for (int i = 0; i < TALL; i++) {
    *(v8_t *)(out + i * out_stride) += a[i];
    *(v8_t *)(out + i * out_stride + 8) += b[i];
  }
}

/* All tiles that touch the lower triangle of a (width × width) product, width a multiple of VECTOR. */
ES_KERNEL
static void tiles(float *product, const float *rows, int64_t n, int64_t width) {
  for (int64_t block = 0; block < n; block += BLOCK) {
    const int64_t lines = n - block < BLOCK ? n - block : BLOCK;
    const float *x = rows + block * width;
    for (int64_t i = 0; i < width; i += TALL) {
      for (int64_t j = 0; j < i + TALL; j += VECTOR) tile(product + i * width + j, width, x + i, x + j, lines, width);
    }
  }
}

void es_syrk_narrow(float *product, const float *rows, int32_t n, int32_t width) {
  if (width >= VECTOR) {
    memset(product, 0, (size_t)width * (size_t)width * sizeof *product);
    tiles(product, rows, n, width);
    return;
  }
  /* Several narrow rows side by side make a line of VECTOR floats; of its product only the blocks on the diagonal
   * count. */
  const int32_t repeat = VECTOR / width, lines = n / repeat, rest = n - lines * repeat;
  float wide[VECTOR * VECTOR] = {0}, last[VECTOR] = {0};
  tiles(wide, rows, lines, VECTOR);
  memcpy(last, rows + (int64_t)lines * VECTOR, (size_t)(rest * width) * sizeof *last);
  tiles(wide, last, 1, VECTOR);
  for (int32_t i = 0; i < width; i++) {
    for (int32_t j = 0; j <= i; j++) {
      float sum = 0.0f;
      for (int32_t k = 0; k < repeat; k++) sum += wide[(k * width + i) * VECTOR + k * width + j];
      product[i * width + j] = sum;
    }
  }
}
