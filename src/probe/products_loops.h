/* The loops of products.h for vectors of VECTOR floats. products_*.c include this file with NAME, VECTOR, DOTS and
 * OUTER defined. DOTS and OUTER are the most columns of a tile, chosen so that TALL · DOTS sums of `forward` and 2 ·
 * OUTER sums of `backward` stay in registers. */
#include "eigenscope/kernel.h"
#include "products.h"
#include "unroll.h"
#include <string.h>

typedef float vector_t __attribute__((vector_size(VECTOR * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t lanes_t __attribute__((vector_size(VECTOR * sizeof(int32_t))));
typedef double wide_t __attribute__((vector_size(VECTOR * sizeof(double)), aligned(sizeof(double)), may_alias));

/* Rows of a tile of `forward`; its features at a time, so that the weights of a tile stay in the first-level cache. */
enum { TALL = 4, LONG = 1024 };
enum { PAIR = 2 * VECTOR };

static ES_INLINE vector_t load(const float *from) {
  return *(const vector_t *)from;
}

/* Loads the first `count` floats; the others are 0. */
static ES_INLINE vector_t load_part(const float *from, int64_t count) {
  float part[VECTOR] = {0};
  for (int64_t i = 0; i < count; i++) part[i] = from[i];
  return load(part);
}

#if VECTOR == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD  1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif VECTOR == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD  1, 3, 5, 7, 9, 11, 13, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD  1, 3, 5, 7
#endif
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (lanes_t){__VA_ARGS__})
#endif
#define FOLD(a, b) (SHUFFLE(a, b, EVEN) + SHUFFLE(a, b, ODD))

/* out[i·k] += the sum of the lanes of v[i·DOTS], for `tall` vectors, 1 or TALL. */
static ES_INLINE void add_lanes(float *out, int64_t k, const vector_t *v, const int tall) {
  const vector_t zero = {0}, b = tall == TALL ? v[DOTS] : zero, c = tall == TALL ? v[2 * DOTS] : zero,
                 e = tall == TALL ? v[3 * DOTS] : zero;
  vector_t sums = FOLD(FOLD(v[0], b), FOLD(c, e));
  for (int width = 4; width < VECTOR; width *= 2) sums = FOLD(sums, sums);
  UNROLL for (int i = 0; i < tall; i++) out[i * k] += sums[i];
}

/* out[i][c] += Σ over features x[i][j]·w[c][j], for `tall` rows and `columns` columns. */
static ES_INLINE void dots(float *out, int64_t k, const float *x, int64_t d, const float *w, int64_t steps,
                           const int tall, const int columns) {
  vector_t sums[TALL][DOTS] = {{{0}}};
  int64_t j = 0;
  for (; j + VECTOR <= steps; j += VECTOR) {
    vector_t row[TALL];
    UNROLL for (int i = 0; i < tall; i++) row[i] = load(x + i * d + j);
    UNROLL for (int c = 0; c < columns; c++) {
      const vector_t weight = load(w + c * d + j);
      UNROLL for (int i = 0; i < tall; i++) sums[i][c] += row[i] * weight;
    }
  }
  if (j < steps) {
    vector_t row[TALL];
    UNROLL for (int i = 0; i < tall; i++) row[i] = load_part(x + i * d + j, steps - j);
    UNROLL for (int c = 0; c < columns; c++) {
      const vector_t weight = load_part(w + c * d + j, steps - j);
      UNROLL for (int i = 0; i < tall; i++) sums[i][c] += row[i] * weight;
    }
  }
  UNROLL for (int c = 0; c < columns; c++) add_lanes(out + c, k, &sums[0][c], tall);
}

static ES_INLINE void all_dots(float *out, int64_t k, const float *x, int64_t n, int64_t d, const float *w,
                               int64_t steps, const int columns) {
  int64_t i = 0;
  for (; i + TALL <= n; i += TALL) dots(out + i * k, k, x + i * d, d, w, steps, TALL, columns);
  for (; i < n; i++) dots(out + i * k, k, x + i * d, d, w, steps, 1, columns);
}

static void forward(float *out, const float *x, int64_t n, int64_t d, const float *w, int64_t k) {
  const int64_t groups = (k + DOTS - 1) / DOTS;
  memset(out, 0, (size_t)(n * k) * sizeof *out);
  for (int64_t j = 0; j < d; j += LONG) {
    const int64_t steps = d - j < LONG ? d - j : LONG;
    for (int64_t g = 0; g < groups; g++) { /* groups of nearly equal size */
      const int64_t c = g * k / groups, columns = (g + 1) * k / groups - c;
      const float *weights = w + c * d + j;
      switch (columns) {
#define CASE(columns)                                                                                                  \
  case columns:                                                                                                        \
    all_dots(out + c, k, x + j, n, d, weights, steps, columns);                                                        \
    break;
        CASE(1)
        CASE(2)
#if DOTS > 2
        CASE(3)
        CASE(4)
        CASE(5)
#endif
#if DOTS > 5
        CASE(6)
#endif
#undef CASE
      }
    }
  }
}

static ES_INLINE void add_wide(double *sum, const vector_t *v) {
  *(wide_t *)sum += __builtin_convertvector(*v, wide_t);
}

/* sum[c][j] += Σ over rows r[i][c]·x[i][j], for `columns` columns and `across` vectors of features. */
static ES_INLINE void outer(double *sum, int64_t sum_stride, const float *x, int64_t stride, int64_t n, const float *r,
                            int64_t k, const float *next, const int columns, const int across) {
  vector_t sums[OUTER][2] = {{{0}}};
  for (int64_t i = 0; i < n; i++, x += stride, r += k) {
    vector_t row[2];
    if (next) {
      __builtin_prefetch(next + i * stride, 0, 2);
      if (across * VECTOR > 16) __builtin_prefetch(next + i * stride + 16, 0, 2);
    }
    UNROLL for (int v = 0; v < across; v++) row[v] = load(x + v * VECTOR);
    UNROLL for (int c = 0; c < columns; c++) {
      const float factor = r[c];
      UNROLL for (int v = 0; v < across; v++) sums[c][v] += factor * row[v];
    }
  }
  UNROLL for (int c = 0; c < columns; c++) {
    UNROLL for (int v = 0; v < across; v++) add_wide(sum + c * sum_stride + v * VECTOR, &sums[c][v]);
  }
}

static ES_INLINE void outer_any(double *sum, int64_t sum_stride, const float *x, int64_t stride, int64_t n,
                                const float *r, int64_t k, const float *next, int64_t columns, const int across) {
  switch (columns) {
#define CASE(columns)                                                                                                  \
  case columns:                                                                                                        \
    outer(sum, sum_stride, x, stride, n, r, k, next, columns, across);                                                 \
    break;
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5)
    CASE(6)
#if OUTER > 6
    CASE(7)
    CASE(8)
    CASE(9)
    CASE(10)
    CASE(11)
    CASE(12)
#endif
#undef CASE
  }
}

/* The last features, fewer than a vector: copies of the rows are padded with zeros. */
static void outer_rest(double *sum, const float *x, int64_t n, int64_t d, const float *r, int64_t k, int64_t rest) {
  enum { ROWS = 64 };
  float padded[ROWS * VECTOR];
  double sums[OUTER * VECTOR];
  const int64_t groups = (k + OUTER - 1) / OUTER;
  for (int64_t i = 0; i < n; i += ROWS) {
    const int64_t rows = n - i < ROWS ? n - i : ROWS;
    memset(padded, 0, sizeof padded);
    for (int64_t l = 0; l < rows; l++) {
      for (int64_t j = 0; j < rest; j++) padded[l * VECTOR + j] = x[(i + l) * d + j];
    }
    for (int64_t g = 0; g < groups; g++) {
      const int64_t c = g * k / groups, columns = (g + 1) * k / groups - c;
      memset(sums, 0, sizeof sums);
      outer_any(sums, VECTOR, padded, VECTOR, rows, r + i * k + c, k, NULL, columns, 1);
      for (int64_t e = 0; e < columns; e++) {
        for (int64_t j = 0; j < rest; j++) sum[(c + e) * d + j] += sums[e * VECTOR + j];
      }
    }
  }
}

static void backward(double *sum, const float *x, int64_t n, int64_t d, const float *r, int64_t k, const float *next) {
  const int64_t groups = (k + OUTER - 1) / OUTER;
  int64_t j = 0;
  for (; j + VECTOR <= d; j += d - j < PAIR ? VECTOR : PAIR) {
    for (int64_t g = 0; g < groups; g++) {
      const int64_t c = g * k / groups, columns = (g + 1) * k / groups - c;
      const float *fetch = next && g == 0 ? next + j : NULL;
      if (d - j < PAIR)
        outer_any(sum + c * d + j, d, x + j, d, n, r + c, k, fetch, columns, 1);
      else
        outer_any(sum + c * d + j, d, x + j, d, n, r + c, k, fetch, columns, 2);
    }
  }
  if (j < d) outer_rest(sum + j, x + j, n, d, r, k, d - j);
}

const products_t NAME = {forward, backward};
