#include "kernels.h"
#include "activate.h"
#include "eigenscope/kernel.h"
#include <math.h>
#include <string.h>

enum { GROUP = ES_PATTERN_UNIT, BLOCK = 64 };

size_t es_pattern_length(size_t channels) {
  size_t a = channels, b = GROUP;
  while (b) {
    size_t r = a % b;
    a = b;
    b = r;
  }
  return channels / a * GROUP; /* least common multiple */
}

void es_pattern_fill(float *pattern, const float *values, size_t channels) {
  for (size_t i = 0, n = es_pattern_length(channels); i < n; i += channels)
    memcpy(pattern + i, values, channels * sizeof *values);
}

/* Adds the moments of `lines` lines of `width` floats (line i starts at x + i·stride) to wide double sums. The sums of
 * one group of columns stay in registers over all lines. */
static ES_INLINE void moments_columns(double *sum, double *square, const float *x, size_t lines, size_t stride,
                                      const float *shift) {
  float s[GROUP], q[GROUP];
  for (size_t block = 0; block < lines; block += BLOCK) {
    size_t end = block + BLOCK < lines ? block + BLOCK : lines;
    for (size_t j = 0; j < GROUP; j++) s[j] = q[j] = 0.0f;
    for (size_t i = block; i < end; i++) {
      const float *line = x + i * stride;
      for (size_t j = 0; j < GROUP; j++) {
        float d = line[j] - shift[j];
        s[j] += d;
        q[j] += d * d;
      }
    }
    for (size_t j = 0; j < GROUP; j++) {
      sum[j] += (double)s[j];
      square[j] += (double)q[j];
    }
  }
}

static ES_INLINE void fold(double *sums, const double *wide, size_t length, size_t channels) {
  for (size_t half = 0; half < 2; half++) {
    for (size_t j = 0; j < length; j++) sums[half * channels + j % channels] += wide[half * length + j];
  }
}

ES_KERNEL
void es_rows_moments(double *sums, const float *x, size_t rows, size_t channels, const float *shift, double *scratch) {
  const size_t length = es_pattern_length(channels), lines = rows * channels / length;
  double *sum = scratch, *square = scratch + length;
  memset(scratch, 0, 2 * length * sizeof *scratch);
  for (size_t j = 0; j < length; j += GROUP) moments_columns(sum + j, square + j, x + j, lines, length, shift + j);
  const float *rest = x + lines * length;
  for (size_t i = 0, n = rows * channels - lines * length; i < n; i++) {
    double d = (double)(rest[i] - shift[i]);
    sum[i] += d;
    square[i] += d * d;
  }
  fold(sums, scratch, length, channels);
}

/* ivdep: arrays are identical or disjoint, never shifted; without it the compiler tests for overlap in every line. */
static ES_INLINE void affine_columns(float *y, const float *x, const float *scale, const float *shift,
                                     es_activation_t activation, size_t width) {
#pragma GCC ivdep
  for (size_t j = 0; j < width; j++) y[j] = es_activated(x[j] * scale[j] + shift[j], activation);
}

static ES_INLINE void affine(float *y, const float *x, size_t n, size_t length, const float *scale, const float *shift,
                             es_activation_t activation) {
  size_t i = 0;
  for (; i + length <= n; i += length) {
    for (size_t j = 0; j < length; j += GROUP)
      affine_columns(y + i + j, x + i + j, scale + j, shift + j, activation, GROUP);
  }
  affine_columns(y + i, x + i, scale, shift, activation, n - i);
}

ES_KERNEL
void es_rows_affine(float *y, const float *x, size_t rows, size_t channels, const es_affine_t *f) {
  const size_t length = es_pattern_length(channels), n = rows * channels;
  ES_FOR_ACTIVATION(f->activation, affine(y, x, n, length, f->scale, f->shift, activation))
}

static ES_INLINE void backward_columns(double *sum, double *product, const float *dy, const float *x, size_t lines,
                                       size_t stride, const float *scale, const float *shift, const float *mean,
                                       es_activation_t activation) {
  float s[GROUP], q[GROUP];
  for (size_t block = 0; block < lines; block += BLOCK) {
    size_t end = block + BLOCK < lines ? block + BLOCK : lines;
    for (size_t j = 0; j < GROUP; j++) s[j] = q[j] = 0.0f;
    for (size_t i = block; i < end; i++) {
      const float *line = x + i * stride, *from = dy + i * stride;
      for (size_t j = 0; j < GROUP; j++) {
        const float g = es_gated(from[j], line[j] * scale[j] + shift[j], activation);
        s[j] += g;
        q[j] += g * (line[j] - mean[j]);
      }
    }
    for (size_t j = 0; j < GROUP; j++) {
      sum[j] += (double)s[j];
      product[j] += (double)q[j];
    }
  }
}

static ES_INLINE void backward_sums(double *sums, const float *dy, const float *x, size_t rows, size_t channels,
                                    const float *scale, const float *shift, const float *mean,
                                    es_activation_t activation, double *scratch) {
  const size_t length = es_pattern_length(channels), lines = rows * channels / length;
  double *sum = scratch, *product = scratch + length;
  memset(scratch, 0, 2 * length * sizeof *scratch);
  for (size_t j = 0; j < length; j += GROUP)
    backward_columns(sum + j, product + j, dy + j, x + j, lines, length, scale + j, shift + j, mean + j, activation);
  const float *rest = dy + lines * length, *rest_x = x + lines * length;
  for (size_t i = 0, n = rows * channels - lines * length; i < n; i++) {
    const float g = es_gated(rest[i], rest_x[i] * scale[i] + shift[i], activation);
    sum[i] += (double)g;
    product[i] += (double)(g * (rest_x[i] - mean[i]));
  }
  fold(sums, scratch, length, channels);
}

ES_KERNEL
void es_rows_backward_sums(double *sums, const float *dy, const float *x, size_t rows, size_t channels,
                           const es_affine_t *f, const float *mean, double *scratch) {
  ES_FOR_ACTIVATION(f->activation,
                    backward_sums(sums, dy, x, rows, channels, f->scale, f->shift, mean, activation, scratch))
}

/* The coefficients of one group of columns. */
typedef struct columns {
  const float *scale, *shift, *a, *b, *c;
} columns_t;

static ES_INLINE columns_t columns_at(const es_affine_t *f, const es_backward_t *t, size_t j) {
  return (columns_t){f->scale + j, f->shift + j, t->a + j, t->b + j, t->c + j};
}

static ES_INLINE void apply_columns(float *dx, const float *dy, const float *x, columns_t k, es_activation_t activation,
                                    size_t width) {
#pragma GCC ivdep
  for (size_t j = 0; j < width; j++) {
    const float g = es_gated(dy[j], x[j] * k.scale[j] + k.shift[j], activation);
    dx[j] = k.a[j] * g + (k.b[j] * x[j] + k.c[j]);
  }
}

static ES_INLINE void backward_apply(float *dx, const float *dy, const float *x, size_t n, size_t length,
                                     const es_affine_t *f, const es_backward_t *t, es_activation_t activation) {
  size_t i = 0;
  for (; i + length <= n; i += length) {
    for (size_t j = 0; j < length; j += GROUP)
      apply_columns(dx + i + j, dy + i + j, x + i + j, columns_at(f, t, j), activation, GROUP);
  }
  apply_columns(dx + i, dy + i, x + i, columns_at(f, t, 0), activation, n - i);
}

ES_KERNEL
void es_rows_backward_apply(float *dx, const float *dy, const float *x, size_t rows, size_t channels,
                            const es_affine_t *f, const es_backward_t *t) {
  const size_t length = es_pattern_length(channels), n = rows * channels;
  ES_FOR_ACTIVATION(f->activation, backward_apply(dx, dy, x, n, length, f, t, activation))
}

ES_KERNEL
void es_activate(float *y, const float *x, size_t n, es_activation_t which) {
  if (which == ES_NO_ACTIVATION && y == x) return;
  ES_FOR_ACTIVATION(which, for (size_t i = 0; i < n; i++) y[i] = es_activated(x[i], activation))
}

ES_KERNEL
void es_activate_backward(float *dx, const float *dy, const float *y, size_t n, es_activation_t which) {
  if (which == ES_NO_ACTIVATION && dx == dy) return;
  ES_FOR_ACTIVATION(which, for (size_t i = 0; i < n; i++) dx[i] = es_gated(dy[i], y[i], activation))
}

ES_KERNEL
void es_add_activate(float *y, const float *a, const float *b, size_t n, es_activation_t which) {
  ES_FOR_ACTIVATION(which, for (size_t i = 0; i < n; i++) y[i] = es_activated(a[i] + b[i], activation))
}

ES_KERNEL
void es_vector_add(float *sum, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) sum[i] += x[i];
}

size_t es_first_nonfinite(const float *x, size_t n) {
  size_t i = 0;
  while (i < n && isfinite(x[i])) i++;
  return i;
}
