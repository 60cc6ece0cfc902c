#include "winograd.h"
#include "eigenscope/kernel.h"
#include <stdbool.h>
#include <string.h>

#ifdef ES_KERNEL_NEON
enum { VECTOR = ES_VECTOR };
#else
enum { VECTOR = 16 };
#endif
enum { TILE = WINOGRAD_TILE, PATCH = WINOGRAD_PATCH, SIDE = 3 };

typedef float vector_t __attribute__((vector_size(VECTOR * sizeof(float)), aligned(sizeof(float)), may_alias));

/* Macros, because the compiler warns about functions that return such vectors. */
#define LOAD(p)             (*(const vector_t *)(p))
#define PICK(s, i, channel) LOAD((s)->at[i] + (s)->step[i] * (channel))

/* One dimension of each transform, for the points 0, ±a, ±b and infinity. With a = 5/8 and b = 3/2, the float rounding
 * errors are a third of those with 1 and 2 as in the paper (measured; oneDNN's kernels use the same points). Vectors of
 * the result are `step` apart, vectors of the input `from`. */
#define A 0.625f
#define B 1.5f
static const float a2 = A * A, b2 = B * B, sum2 = A * A + B * B, product2 = A * A * B * B;
static const float scale_a = 1.0f / (2.0f * A * A * (A * A - B * B)), scale_b = 1.0f / (2.0f * B * B * (B * B - A * A));

static ES_INLINE void input_line(vector_t *to, const vector_t *d, int step, int from) {
  const vector_t d0 = d[0], d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from], d5 = d[5 * from];
  const vector_t even_a = d4 - b2 * d2, odd_a = A * (d3 - b2 * d1);
  const vector_t even_b = d4 - a2 * d2, odd_b = B * (d3 - a2 * d1);
  to[0] = product2 * d0 - sum2 * d2 + d4;
  to[step] = even_a + odd_a;
  to[2 * step] = even_a - odd_a;
  to[3 * step] = even_b + odd_b;
  to[4 * step] = even_b - odd_b;
  to[5 * step] = product2 * d1 - sum2 * d3 + d5;
}

static ES_INLINE void output_line(vector_t *to, const vector_t *m, int step, int from) {
  const vector_t even_a = m[from] + m[2 * from], odd_a = A * (m[from] - m[2 * from]);
  const vector_t even_b = m[3 * from] + m[4 * from], odd_b = B * (m[3 * from] - m[4 * from]);
  const vector_t first = m[0], last = m[5 * from];
  to[0] = first + even_a + even_b;
  to[step] = odd_a + odd_b;
  to[2 * step] = a2 * even_a + b2 * even_b;
  to[3 * step] = a2 * odd_a + b2 * odd_b + last;
}

static ES_INLINE void kernel_line(vector_t *to, const vector_t *g, int step, int from) {
  const vector_t g0 = g[0], g1 = g[from], g2 = g[2 * from];
  const vector_t even_a = scale_a * (g0 + a2 * g2), odd_a = scale_a * A * g1;
  const vector_t even_b = scale_b * (g0 + b2 * g2), odd_b = scale_b * B * g1;
  to[0] = g0 * (1.0f / product2);
  to[step] = even_a + odd_a;
  to[2 * step] = even_a - odd_a;
  to[3 * step] = even_b + odd_b;
  to[4 * step] = even_b - odd_b;
  to[5 * step] = g2;
}

/* Positions of a square of the map. Positions outside the map share one vector of zeros. */
typedef struct square {
  const float *at[PATCH * PATCH];
  ptrdiff_t step[PATCH * PATCH]; /* 1; 0 for the shared zeros */
} square_t;

static ES_INLINE void place(square_t *s, const es_winograd_map_t *m, ptrdiff_t row, ptrdiff_t column) {
  static const float zeros[VECTOR];
  for (int i = 0; i < PATCH * PATCH; i++) {
    const ptrdiff_t r = row + i / PATCH, c = column + i % PATCH;
    const bool on = r >= 0 && r < m->h && c >= 0 && c < m->w;
    s->at[i] = on ? m->map + (r * m->w + c) * m->channels : zeros;
    s->step[i] = on;
  }
}

ES_KERNEL
void es_winograd_input(float *out, ptrdiff_t number, const es_winograd_map_t *from, ptrdiff_t row, ptrdiff_t column) {
  square_t s;
  place(&s, from, row - 1, column - 1);
  for (ptrdiff_t c = 0; c < from->channels; c += VECTOR) {
    vector_t d[PATCH * PATCH], line[PATCH];
#pragma GCC unroll 6
    for (int j = 0; j < PATCH; j++) {
      vector_t down[PATCH];
#pragma GCC unroll 6
      for (int i = 0; i < PATCH; i++) down[i] = PICK(&s, i * PATCH + j, c);
      input_line(d + j, down, PATCH, 1);
    }
#pragma GCC unroll 6
    for (int i = 0; i < PATCH; i++) {
      input_line(line, d + i * PATCH, 1, 1);
#pragma GCC unroll 6
      for (int j = 0; j < PATCH; j++) memcpy(out + (i * PATCH + j) * number + c, &line[j], sizeof line[j]);
    }
  }
}

ES_KERNEL
void es_winograd_output(float *map, ptrdiff_t h, ptrdiff_t w, ptrdiff_t channels, ptrdiff_t row, ptrdiff_t column,
                        const float *m, ptrdiff_t number, const float *bias) {
  for (ptrdiff_t c = 0; c < channels; c += VECTOR) {
    vector_t d[TILE * PATCH], line[TILE];
#pragma GCC unroll 6
    for (int j = 0; j < PATCH; j++) {
      vector_t column_of[PATCH];
#pragma GCC unroll 6
      for (int i = 0; i < PATCH; i++) column_of[i] = LOAD(m + (i * PATCH + j) * number + c);
      output_line(d + j, column_of, PATCH, 1);
    }
    for (int i = 0; i < TILE && row + i < h; i++) {
      output_line(line, d + i * PATCH, 1, 1);
      for (int j = 0; j < TILE && column + j < w; j++) {
        const vector_t v = bias ? line[j] + LOAD(bias + c) : line[j] + (vector_t){0};
        memcpy(map + ((row + i) * w + column + j) * channels + c, &v, sizeof v);
      }
    }
  }
}

ES_KERNEL
void es_winograd_kernel(float *out, ptrdiff_t number, const float *taps, ptrdiff_t wide) {
  for (ptrdiff_t c = 0; c < wide; c += VECTOR) {
    vector_t g[SIDE * SIDE], down[PATCH * SIDE], line[PATCH];
    for (int i = 0; i < SIDE * SIDE; i++) g[i] = LOAD(taps + i * wide + c);
    for (int j = 0; j < SIDE; j++) kernel_line(down + j, g + j, SIDE, SIDE);
    for (int i = 0; i < PATCH; i++) {
      kernel_line(line, down + i * SIDE, 1, 1);
      for (int j = 0; j < PATCH; j++) memcpy(out + (i * PATCH + j) * number + c, &line[j], sizeof line[j]);
    }
  }
}
