/* Loops over rows and single numbers, included by the files that compile all loops (loops.h). */
#include "activate.h"
#include "loops.h"
#include "number.h"
#include <stdbool.h>
#include <string.h>

enum { GROUP = ES_PATTERN_UNIT, BLOCK = 64, AHEAD = 2048 };

/* Fetches a group that a loop will need soon, into the first cache: whole batches lie beyond the second. */
static ES_INLINE void fetch_ahead(const void *x, es_precision_t precision) {
  const char *at = (const char *)x + AHEAD;
  for (size_t i = 0; i < GROUP * es_precision_bytes(precision); i += 64) __builtin_prefetch(at + i);
}

/* Rounds a whole group: CPUs with AVX512-BF16 have an instruction for two vectors, but compilers do not put it into
 * loops. It makes zeros of denormal numbers. */
static ES_INLINE void put_group(void *y, const float *v) {
#ifdef __AVX512BF16__
  for (size_t j = 0; j < GROUP; j += 32)
    _mm512_storeu_si512((uint16_t *)y + j,
                        (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(v + j + 16), _mm512_loadu_ps(v + j)));
#else
  for (size_t j = 0; j < GROUP; j++) es_put(y, j, v[j], ES_BFLOAT16);
#endif
}

/* y[j] = value for all j < n, where `value` depends on j and `precision`. ivdep: arrays are identical or disjoint,
 * never shifted; without it the compiler tests for overlap in every line. */
#define PUT_COLUMNS(y, n, value)                                                                                       \
  if (IN_GROUPS && precision == ES_BFLOAT16 && (n) == GROUP) {                                                         \
    float group[GROUP];                                                                                                \
    for (size_t j = 0; j < GROUP; j++) group[j] = value;                                                               \
    put_group(y, group);                                                                                               \
  } else {                                                                                                             \
    _Pragma("GCC ivdep") for (size_t j = 0; j < (n); j++) es_put(y, j, value, precision);                              \
  }

/* Sets n columns to `value`; n is any number. */
#define PUT_ALL(y, n, value)                                                                                           \
  size_t done = 0;                                                                                                     \
  for (; IN_GROUPS && precision == ES_BFLOAT16 && done + GROUP <= (n); done += GROUP) {                                \
    float group[GROUP];                                                                                                \
    for (size_t k = 0, j = done; k < GROUP; k++, j++) group[k] = value;                                                \
    put_group((uint16_t *)(y) + done, group);                                                                          \
  }                                                                                                                    \
  _Pragma("GCC ivdep") for (size_t j = done; j < (n); j++) es_put(y, j, value, precision);

/* Adds the moments of `lines` lines of a group of numbers (line i starts at i·stride) to wide double sums. The sums of
 * one group of columns stay in registers over all lines. */
static ES_INLINE void moments_columns(double *sum, double *square, const void *x, size_t lines, size_t stride,
                                      const float *shift, es_precision_t precision) {
  float s[GROUP], q[GROUP];
  for (size_t block = 0; block < lines; block += BLOCK) {
    size_t end = block + BLOCK < lines ? block + BLOCK : lines;
    for (size_t j = 0; j < GROUP; j++) s[j] = q[j] = 0.0f;
    for (size_t i = block; i < end; i++) {
      const void *line = es_at(x, i * stride, precision);
      for (size_t j = 0; j < GROUP; j++) {
        float d = es_get(line, j, precision) - shift[j];
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

static ES_INLINE void moments(double *sums, const void *x, size_t rows, size_t channels, const float *shift,
                              double *scratch, es_precision_t precision) {
  const size_t length = es_pattern_length(channels), lines = rows * channels / length;
  double *sum = scratch, *square = scratch + length;
  memset(scratch, 0, 2 * length * sizeof *scratch);
  for (size_t j = 0; j < length; j += GROUP)
    moments_columns(sum + j, square + j, es_at(x, j, precision), lines, length, shift + j, precision);
  const void *rest = es_at(x, lines * length, precision);
  for (size_t i = 0, n = rows * channels - lines * length; i < n; i++) {
    double d = (double)(es_get(rest, i, precision) - shift[i]);
    sum[i] += d;
    square[i] += d * d;
  }
  fold(sums, scratch, length, channels);
}

static LOOP void rows_moments(double *sums, const void *x, size_t rows, size_t channels, const float *shift,
                              double *scratch, es_precision_t type) {
  ES_FOR_PRECISION(type, moments(sums, x, rows, channels, shift, scratch, precision));
}

static ES_INLINE void affine_columns(void *y, const void *x, const float *scale, const float *shift,
                                     es_activation_t activation, es_precision_t precision, size_t width) {
  PUT_COLUMNS(y, width, es_activated(es_get(x, j, precision) * scale[j] + shift[j], activation))
}

static ES_INLINE void affine(void *y, const void *x, size_t n, size_t length, const float *scale, const float *shift,
                             es_activation_t activation, es_precision_t precision) {
  size_t i = 0;
  for (; i + length <= n; i += length) {
    for (size_t j = 0; j < length; j += GROUP) {
      fetch_ahead(es_at(x, i + j, precision), precision);
      affine_columns(es_at(y, i + j, precision), es_at(x, i + j, precision), scale + j, shift + j, activation,
                     precision, GROUP);
    }
  }
  affine_columns(es_at(y, i, precision), es_at(x, i, precision), scale, shift, activation, precision, n - i);
}

static LOOP void rows_affine(void *y, const void *x, size_t rows, size_t channels, const es_affine_t *f,
                             es_precision_t type) {
  const size_t length = es_pattern_length(channels), n = rows * channels;
  ES_FOR_PRECISION(
      type, ES_FOR_ACTIVATION(f->activation, affine(y, x, n, length, f->scale, f->shift, activation, precision)));
}

static ES_INLINE void backward_columns(double *sum, double *product, const void *dy, const void *x, size_t lines,
                                       size_t stride, const float *scale, const float *shift, const float *mean,
                                       es_activation_t activation, es_precision_t precision) {
  float s[GROUP], q[GROUP];
  for (size_t block = 0; block < lines; block += BLOCK) {
    size_t end = block + BLOCK < lines ? block + BLOCK : lines;
    for (size_t j = 0; j < GROUP; j++) s[j] = q[j] = 0.0f;
    for (size_t i = block; i < end; i++) {
      const void *line = es_at(x, i * stride, precision), *from = es_at(dy, i * stride, precision);
      for (size_t j = 0; j < GROUP; j++) {
        const float v = es_get(line, j, precision);
        const float g = es_gated(es_get(from, j, precision), v * scale[j] + shift[j], activation);
        s[j] += g;
        q[j] += g * (v - mean[j]);
      }
    }
    for (size_t j = 0; j < GROUP; j++) {
      sum[j] += (double)s[j];
      product[j] += (double)q[j];
    }
  }
}

static ES_INLINE void backward_sums(double *sums, const void *dy, const void *x, size_t rows, size_t channels,
                                    const es_affine_t *f, const float *mean, es_activation_t activation,
                                    es_precision_t precision, double *scratch) {
  const float *scale = f->scale, *shift = f->shift;
  const size_t length = es_pattern_length(channels), lines = rows * channels / length;
  double *sum = scratch, *product = scratch + length;
  memset(scratch, 0, 2 * length * sizeof *scratch);
  for (size_t j = 0; j < length; j += GROUP)
    backward_columns(sum + j, product + j, es_at(dy, j, precision), es_at(x, j, precision), lines, length, scale + j,
                     shift + j, mean + j, activation, precision);
  const void *rest = es_at(dy, lines * length, precision), *rest_x = es_at(x, lines * length, precision);
  for (size_t i = 0, n = rows * channels - lines * length; i < n; i++) {
    const float v = es_get(rest_x, i, precision);
    const float g = es_gated(es_get(rest, i, precision), v * scale[i] + shift[i], activation);
    sum[i] += (double)g;
    product[i] += (double)(g * (v - mean[i]));
  }
  fold(sums, scratch, length, channels);
}

static LOOP void rows_backward_sums(double *sums, const void *dy, const void *x, size_t rows, size_t channels,
                                    const es_affine_t *f, const float *mean, double *scratch, es_precision_t type) {
  ES_FOR_PRECISION(type, ES_FOR_ACTIVATION(f->activation, backward_sums(sums, dy, x, rows, channels, f, mean,
                                                                        activation, precision, scratch)))
}

/* The coefficients of one group of columns. */
typedef struct columns {
  const float *scale, *shift, *a, *b, *c;
} columns_t;

static ES_INLINE columns_t columns_at(const es_affine_t *f, const es_backward_t *t, size_t j) {
  return (columns_t){f->scale + j, f->shift + j, t->a + j, t->b + j, t->c + j};
}

static ES_INLINE float applied(float dy, float x, const columns_t *k, size_t j, es_activation_t activation) {
  const float g = es_gated(dy, x * k->scale[j] + k->shift[j], activation);
  return k->a[j] * g + (k->b[j] * x + k->c[j]);
}

static ES_INLINE void apply_columns(void *dx, const void *dy, const void *x, columns_t k, es_activation_t activation,
                                    es_precision_t precision, size_t width) {
  PUT_COLUMNS(dx, width, applied(es_get(dy, j, precision), es_get(x, j, precision), &k, j, activation))
}

static ES_INLINE void backward_apply(void *dx, const void *dy, const void *x, size_t n, size_t length,
                                     const es_affine_t *f, const es_backward_t *t, es_activation_t activation,
                                     es_precision_t precision) {
  size_t i = 0;
  for (; i + length <= n; i += length) {
    for (size_t j = 0; j < length; j += GROUP) {
      fetch_ahead(es_at(x, i + j, precision), precision);
      fetch_ahead(es_at(dy, i + j, precision), precision);
      apply_columns(es_at(dx, i + j, precision), es_at(dy, i + j, precision), es_at(x, i + j, precision),
                    columns_at(f, t, j), activation, precision, GROUP);
    }
  }
  apply_columns(es_at(dx, i, precision), es_at(dy, i, precision), es_at(x, i, precision), columns_at(f, t, 0),
                activation, precision, n - i);
}

static LOOP void rows_backward_apply(void *dx, const void *dy, const void *x, size_t rows, size_t channels,
                                     const es_affine_t *f, const es_backward_t *t, es_precision_t type) {
  const size_t length = es_pattern_length(channels), n = rows * channels;
  ES_FOR_PRECISION(type,
                   ES_FOR_ACTIVATION(f->activation, backward_apply(dx, dy, x, n, length, f, t, activation, precision)));
}

static ES_INLINE void activate(void *y, const void *x, size_t n, es_activation_t activation, es_precision_t precision) {
  PUT_ALL(y, n, es_activated(es_get(x, j, precision), activation))
}

static LOOP void activate_any(void *y, const void *x, size_t n, es_activation_t which, es_precision_t type) {
  if (which == ES_NO_ACTIVATION && y == x) return;
  ES_FOR_PRECISION(type, ES_FOR_ACTIVATION(which, activate(y, x, n, activation, precision)));
}

static ES_INLINE void activate_backward(void *dx, const void *dy, const void *y, size_t n, es_activation_t activation,
                                        es_precision_t precision) {
  PUT_ALL(dx, n, es_gated(es_get(dy, j, precision), es_get(y, j, precision), activation))
}

static LOOP void activate_any_backward(void *dx, const void *dy, const void *y, size_t n, es_activation_t which,
                                       es_precision_t type) {
  if (which == ES_NO_ACTIVATION && dx == dy) return;
  ES_FOR_PRECISION(type, ES_FOR_ACTIVATION(which, activate_backward(dx, dy, y, n, activation, precision)));
}

static ES_INLINE void add_activate(void *y, const void *a, const void *b, size_t n, es_activation_t activation,
                                   es_precision_t precision) {
  PUT_ALL(y, n, es_activated(es_get(a, j, precision) + es_get(b, j, precision), activation))
}

static LOOP void add_activate_any(void *y, const void *a, const void *b, size_t n, es_activation_t which,
                                  es_precision_t type) {
  ES_FOR_PRECISION(type, ES_FOR_ACTIVATION(which, add_activate(y, a, b, n, activation, precision)));
}

static ES_INLINE void add(void *sum, const void *x, size_t n, es_precision_t precision) {
  PUT_ALL(sum, n, es_get(sum, j, precision) + es_get(x, j, precision));
}

static LOOP void gradient_add(void *sum, const void *x, size_t n, es_precision_t type) {
  ES_FOR_PRECISION(type, add(sum, x, n, precision));
}

static ES_INLINE void round_numbers(void *y, const float *x, size_t n, es_precision_t precision) {
  PUT_ALL(y, n, x[j])
}

static LOOP void round_all(void *y, const float *x, size_t n, es_precision_t type) {
  ES_FOR_PRECISION(type, for (size_t i = 0; i < n; i++) es_put(y, i, x[i], precision));
}

static LOOP void widen_all(float *y, const void *x, size_t n, es_precision_t type) {
  ES_FOR_PRECISION(type, for (size_t i = 0; i < n; i++) y[i] = es_get(x, i, precision));
}
