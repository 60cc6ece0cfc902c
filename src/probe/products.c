#include "products.h"
#include "eigenscope/kernel.h"
#include <string.h>

/* Coefficients of BLOCK features stay in the second-level cache, while four rows are read in runs long enough for the
 * hardware prefetcher. A packed block of PACK_ROWS × PACK_WIDE stays in the first-level cache. */
enum { BLOCK = 1024, PACK_ROWS = 32, PACK_WIDE = 128, TALL = 4 };

/* As in src/covariance/syrk.c: vectors of 8 floats, and tiles whose sums fit into the 16 registers of AVX2. */
typedef float v8_t __attribute__((vector_size(8 * sizeof(float)), aligned(sizeof(float)), may_alias));

/* Macros, because the ABI of functions that return vectors depends on the target. */
#define LOAD(p)   (*(const v8_t *)(p))
#define ADD(p, v) (*(v8_t *)(p) += (v))

/* out (4 × 16) += Σ over steps of a(row, step)·b(step), with a(row, step) = a[row·row_stride + step·step_stride]. Rows
 * of out and b are 16 floats. The sums are named variables, so that the compiler keeps them in registers. */
static ES_INLINE void tile16(float *out, const float *a, int64_t row_stride, int64_t step_stride, const float *b,
                             int64_t steps) {
  v8_t p0 = {0}, p1 = {0}, p2 = {0}, p3 = {0}, q0 = {0}, q1 = {0}, q2 = {0}, q3 = {0};
  const float *a0 = a, *a1 = a + row_stride, *a2 = a1 + row_stride, *a3 = a2 + row_stride;
  for (int64_t s = 0; s < steps; s++, b += 16) {
    const int64_t at = s * step_stride;
    const v8_t p = LOAD(b), q = LOAD(b + 8);
    p0 += a0[at] * p;
    q0 += a0[at] * q;
    p1 += a1[at] * p;
    q1 += a1[at] * q;
    p2 += a2[at] * p;
    q2 += a2[at] * q;
    p3 += a3[at] * p;
    q3 += a3[at] * q;
  }
  ADD(out, p0);
  ADD(out + 8, q0);
  ADD(out + 16, p1);
  ADD(out + 24, q1);
  ADD(out + 32, p2);
  ADD(out + 40, q2);
  ADD(out + 48, p3);
  ADD(out + 56, q3);
}

/* tile16 for rows of 8 floats. Even and odd steps have separate sums, so that there are as many independent sums. */
static ES_INLINE void tile8(float *out, const float *a, int64_t row_stride, int64_t step_stride, const float *b,
                            int64_t steps) {
  v8_t p0 = {0}, p1 = {0}, p2 = {0}, p3 = {0}, q0 = {0}, q1 = {0}, q2 = {0}, q3 = {0};
  const float *a0 = a, *a1 = a + row_stride, *a2 = a1 + row_stride, *a3 = a2 + row_stride;
  int64_t s = 0;
  for (; s + 1 < steps; s += 2, b += 16) {
    const int64_t at = s * step_stride, next = at + step_stride;
    const v8_t p = LOAD(b), q = LOAD(b + 8);
    p0 += a0[at] * p;
    q0 += a0[next] * q;
    p1 += a1[at] * p;
    q1 += a1[next] * q;
    p2 += a2[at] * p;
    q2 += a2[next] * q;
    p3 += a3[at] * p;
    q3 += a3[next] * q;
  }
  if (s < steps) {
    const int64_t at = s * step_stride;
    const v8_t p = LOAD(b);
    p0 += a0[at] * p;
    p1 += a1[at] * p;
    p2 += a2[at] * p;
    p3 += a3[at] * p;
  }
  ADD(out, p0 + q0);
  ADD(out + 8, p1 + q1);
  ADD(out + 16, p2 + q2);
  ADD(out + 24, p3 + q3);
}

static ES_INLINE void tile_one(float *out, const float *a, int64_t step_stride, const float *b, int64_t steps,
                               int64_t g) {
  for (int64_t v = 0; v < g; v += 8) {
    v8_t sum = {0};
    for (int64_t s = 0; s < steps; s++) sum += a[s * step_stride] * LOAD(b + s * g + v);
    ADD(out + v, sum);
  }
}

/* Multiplies `rows` rows of `a` by tiles; g is a constant in all calls. */
static ES_INLINE void tiles(float *out, const float *a, int64_t rows, int64_t row_stride, int64_t step_stride,
                            const float *b, int64_t steps, int64_t g) {
  int64_t i = 0;
  for (; i + TALL <= rows; i += TALL) {
    if (g == 16)
      tile16(out + i * g, a + i * row_stride, row_stride, step_stride, b, steps);
    else
      tile8(out + i * g, a + i * row_stride, row_stride, step_stride, b, steps);
  }
  for (; i < rows; i++) tile_one(out + i * g, a + i * row_stride, step_stride, b, steps, g);
}

static ES_INLINE void forward(float *out, const float *x, int64_t n, int64_t d, const float *c, int64_t groups,
                              int64_t g) {
  memset(out, 0, (size_t)(n * groups * g) * sizeof *out);
  for (int64_t group = 0; group < groups; group++) {
    for (int64_t j = 0; j < d; j += BLOCK) {
      const int64_t steps = d - j < BLOCK ? d - j : BLOCK;
      tiles(out + group * n * g, x + j, n, d, 1, c + (group * d + j) * g, steps, g);
    }
  }
}

/* Copies rows × wide floats and prefetches the next ones. */
static ES_INLINE void pack(float *packed, const float *x, int64_t rows, int64_t d, int64_t wide) {
  for (int64_t l = 0; l < rows; l++, x += d, packed += PACK_WIDE) {
    memcpy(packed, x, (size_t)wide * sizeof *x);
    for (int64_t j = 0; j < PACK_WIDE; j += 16) __builtin_prefetch(x + PACK_WIDE + j, 0, 2);
  }
}

/* Reads the columns of x from a packed copy. If d is a power of two, they would otherwise fall into one cache set. */
static ES_INLINE void backward(float *out, const float *x, int64_t n, int64_t d, const float *r, int64_t groups,
                               int64_t g) {
  float packed[PACK_ROWS * PACK_WIDE];
  memset(out, 0, (size_t)(d * groups * g) * sizeof *out);
  for (int64_t i = 0; i < n; i += PACK_ROWS) {
    const int64_t rows = n - i < PACK_ROWS ? n - i : PACK_ROWS;
    for (int64_t j = 0; j < d; j += PACK_WIDE) {
      const int64_t wide = d - j < PACK_WIDE ? d - j : PACK_WIDE;
      pack(packed, x + i * d + j, rows, d, wide);
      for (int64_t group = 0; group < groups; group++) /* NOLINTNEXTLINE(readability-suspicious-call-argument) */
        tiles(out + (group * d + j) * g, packed, wide, 1, PACK_WIDE, r + (group * n + i) * g, rows, g);
    }
  }
}

ES_KERNEL
void es_product_forward(float *out, const float *x, int64_t n, int64_t d, const float *c, int64_t columns) {
  const int64_t groups = es_product_columns(columns) / es_product_group(columns);
  if (es_product_group(columns) == 16)
    forward(out, x, n, d, c, groups, 16);
  else
    forward(out, x, n, d, c, groups, 8);
}

ES_KERNEL
void es_product_backward(float *out, const float *x, int64_t n, int64_t d, const float *r, int64_t columns) {
  const int64_t groups = es_product_columns(columns) / es_product_group(columns);
  if (es_product_group(columns) == 16)
    backward(out, x, n, d, r, groups, 16);
  else
    backward(out, x, n, d, r, groups, 8);
}
