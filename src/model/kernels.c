#include "kernels.h"
#include "eigenscope/kernel.h"
#include <math.h>
#include <string.h>

enum { VECTOR = 16, GROUP = 4 * VECTOR, BLOCK = 64 };

size_t es_pattern_length(size_t channels) {
  size_t a = channels, b = VECTOR;
  while (b) {
    size_t r = a % b;
    a = b;
    b = r;
  }
  size_t length = channels / a * VECTOR; /* least common multiple */
  return length >= GROUP ? length : (GROUP + length - 1) / length * length;
}

void es_pattern_fill(float *pattern, const float *values, size_t channels) {
  for (size_t i = 0, n = es_pattern_length(channels); i < n; i += channels)
    memcpy(pattern + i, values, channels * sizeof *values);
}

/* Adds the moments of `lines` lines of `width` floats (line i starts at x + i·stride) to wide double sums. One group of
 * columns is kept in registers while the lines pass. */
static ES_INLINE void moments_columns(double *sum, double *square, const float *x, size_t lines, size_t stride,
                                      const float *shift, size_t width) {
  float s[GROUP], q[GROUP];
  for (size_t block = 0; block < lines; block += BLOCK) {
    size_t end = block + BLOCK < lines ? block + BLOCK : lines;
    for (size_t j = 0; j < width; j++) s[j] = q[j] = 0.0f;
    for (size_t i = block; i < end; i++) {
      const float *line = x + i * stride;
      for (size_t j = 0; j < width; j++) {
        float d = line[j] - shift[j];
        s[j] += d;
        q[j] += d * d;
      }
    }
    for (size_t j = 0; j < width; j++) {
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
  size_t j = 0;
  for (; j + GROUP <= length; j += GROUP) moments_columns(sum + j, square + j, x + j, lines, length, shift + j, GROUP);
  for (; j < length; j += VECTOR) moments_columns(sum + j, square + j, x + j, lines, length, shift + j, VECTOR);
  const float *rest = x + lines * length;
  for (size_t i = 0, n = rows * channels - lines * length; i < n; i++) {
    double d = (double)(rest[i] - shift[i]);
    sum[i] += d;
    square[i] += d * d;
  }
  fold(sums, scratch, length, channels);
}

/* Each activation is a loop of its own: `activation` is a constant where these are called. */
static ES_INLINE float activate(float v, es_activation_t activation) {
  if (activation == ES_NO_ACTIVATION) return v;
  v = v < 0.0f ? 0.0f : v;
  return activation == ES_RELU6 && v > 6.0f ? 6.0f : v;
}

static ES_INLINE float mask(float g, float v, es_activation_t activation) {
  if (activation == ES_NO_ACTIVATION) return g;
  if (activation == ES_RELU6 && !(v < 6.0f)) return 0.0f;
  return v > 0.0f ? g : 0.0f;
}

static ES_INLINE void affine(float *y, const float *x, size_t n, size_t length, const float *scale, const float *shift,
                             es_activation_t activation) {
  for (size_t i = 0; i < n; i += length) {
    const size_t m = n - i < length ? n - i : length;
    for (size_t j = 0; j < m; j++) y[i + j] = activate(x[i + j] * scale[j] + shift[j], activation);
  }
}

ES_KERNEL
void es_rows_affine(float *y, const float *x, size_t rows, size_t channels, const float *scale, const float *shift,
                    es_activation_t activation) {
  const size_t length = es_pattern_length(channels), n = rows * channels;
  if (activation == ES_RELU)
    affine(y, x, n, length, scale, shift, ES_RELU);
  else if (activation == ES_RELU6)
    affine(y, x, n, length, scale, shift, ES_RELU6);
  else
    affine(y, x, n, length, scale, shift, ES_NO_ACTIVATION);
}

static ES_INLINE void backward_columns(double *sum, double *product, float *dy, const float *x, size_t lines,
                                       size_t stride, const float *scale, const float *shift, const float *mean,
                                       es_activation_t activation, size_t width) {
  float s[GROUP], q[GROUP];
  for (size_t block = 0; block < lines; block += BLOCK) {
    size_t end = block + BLOCK < lines ? block + BLOCK : lines;
    for (size_t j = 0; j < width; j++) s[j] = q[j] = 0.0f;
    for (size_t i = block; i < end; i++) {
      const float *line = x + i * stride;
      float *g = dy + i * stride;
      for (size_t j = 0; j < width; j++) {
        float masked = mask(g[j], line[j] * scale[j] + shift[j], activation);
        g[j] = masked;
        s[j] += masked;
        q[j] += masked * (line[j] - mean[j]);
      }
    }
    for (size_t j = 0; j < width; j++) {
      sum[j] += (double)s[j];
      product[j] += (double)q[j];
    }
  }
}

static ES_INLINE void backward_sums(double *sums, float *dy, const float *x, size_t rows, size_t channels,
                                    const float *scale, const float *shift, const float *mean,
                                    es_activation_t activation, double *scratch) {
  const size_t length = es_pattern_length(channels), lines = rows * channels / length;
  double *sum = scratch, *product = scratch + length;
  memset(scratch, 0, 2 * length * sizeof *scratch);
  size_t j = 0;
  for (; j + GROUP <= length; j += GROUP)
    backward_columns(sum + j, product + j, dy + j, x + j, lines, length, scale + j, shift + j, mean + j, activation,
                     GROUP);
  for (; j < length; j += VECTOR)
    backward_columns(sum + j, product + j, dy + j, x + j, lines, length, scale + j, shift + j, mean + j, activation,
                     VECTOR);
  float *rest = dy + lines * length;
  const float *rest_x = x + lines * length;
  for (size_t i = 0, n = rows * channels - lines * length; i < n; i++) {
    rest[i] = mask(rest[i], rest_x[i] * scale[i] + shift[i], activation);
    sum[i] += (double)rest[i];
    product[i] += (double)(rest[i] * (rest_x[i] - mean[i]));
  }
  fold(sums, scratch, length, channels);
}

ES_KERNEL
void es_rows_backward_sums(double *sums, float *dy, const float *x, size_t rows, size_t channels, const float *scale,
                           const float *shift, const float *mean, es_activation_t activation, double *scratch) {
  if (activation == ES_RELU)
    backward_sums(sums, dy, x, rows, channels, scale, shift, mean, ES_RELU, scratch);
  else if (activation == ES_RELU6)
    backward_sums(sums, dy, x, rows, channels, scale, shift, mean, ES_RELU6, scratch);
  else
    backward_sums(sums, dy, x, rows, channels, scale, shift, mean, ES_NO_ACTIVATION, scratch);
}

ES_KERNEL
void es_rows_backward_apply(float *dx, const float *g, const float *x, size_t rows, size_t channels, const float *a,
                            const float *b, const float *c) {
  const size_t length = es_pattern_length(channels), n = rows * channels;
  for (size_t i = 0; i < n; i += length) {
    const size_t m = n - i < length ? n - i : length;
    for (size_t j = 0; j < m; j++) dx[i + j] = a[j] * g[i + j] + (b[j] * x[i + j] + c[j]);
  }
}

ES_KERNEL
void es_activate(float *y, const float *x, size_t n, es_activation_t activation) {
  if (activation == ES_RELU6)
    for (size_t i = 0; i < n; i++) y[i] = activate(x[i], ES_RELU6);
  else if (activation == ES_RELU)
    for (size_t i = 0; i < n; i++) y[i] = activate(x[i], ES_RELU);
  else if (y != x)
    memcpy(y, x, n * sizeof *y);
}

ES_KERNEL
void es_activate_backward(float *dx, const float *dy, const float *y, size_t n, es_activation_t activation) {
  if (activation == ES_RELU6)
    for (size_t i = 0; i < n; i++) dx[i] = mask(dy[i], y[i], ES_RELU6);
  else if (activation == ES_RELU)
    for (size_t i = 0; i < n; i++) dx[i] = mask(dy[i], y[i], ES_RELU);
  else if (dx != dy)
    memcpy(dx, dy, n * sizeof *dx);
}

ES_KERNEL
void es_add_activate(float *y, const float *a, const float *b, size_t n, es_activation_t activation) {
  if (activation == ES_RELU6)
    for (size_t i = 0; i < n; i++) y[i] = activate(a[i] + b[i], ES_RELU6);
  else if (activation == ES_RELU)
    for (size_t i = 0; i < n; i++) y[i] = activate(a[i] + b[i], ES_RELU);
  else
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
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
