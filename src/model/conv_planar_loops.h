/* The loops of conv_planar.h for vectors of VECTOR floats, WIDE of which by CONV_TALL are sums that stay in registers.
 * Included by conv_planar_*.c, which set both and NAME. */
#include "conv_planar.h"
#include "eigenscope/kernel.h"

typedef float vector_t __attribute__((vector_size(VECTOR * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t lanes_t __attribute__((vector_size(VECTOR * sizeof(int32_t))));

/* Of two vectors side by side: every other float, and the two halves with their floats taken in turn. */
#if VECTOR == 16
static const lanes_t even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
static const lanes_t low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
#elif VECTOR == 8
static const lanes_t even = {0, 2, 4, 6, 8, 10, 12, 14};
static const lanes_t low = {0, 8, 1, 9, 2, 10, 3, 11};
#else
static const lanes_t even = {0, 2, 4, 6};
static const lanes_t low = {0, 4, 1, 5};
#endif

#define UNROLL _Pragma("GCC unroll 16")

static ES_INLINE vector_t load(const float *from) {
  return *(const vector_t *)from;
}

static ES_INLINE void store(float *to, vector_t v) {
  *(vector_t *)to = v;
}

/* ---- NHWC and planes ---- */

/* VECTOR positions of n channels are n vectors, a float's number in them position·n + channel. Taking every other float
 * first turns these bits round by one: after log₂ n times the channel stands in front. */
static ES_INLINE void spread_vectors(float *planes, ptrdiff_t plane, const float *from, ptrdiff_t channels,
                                     const int n) {
  vector_t a[16], b[16];
  UNROLL for (int i = 0; i < n; i++) a[i] = load(from + (n > VECTOR    ? i * VECTOR / n * channels + i * VECTOR % n
                                                         : n == VECTOR ? i * channels
                                                                       : i * VECTOR));
  UNROLL for (int bit = 1; bit < n; bit *= 2) {
    UNROLL for (int i = 0; i < n / 2; i++) {
      b[i] = __builtin_shuffle(a[2 * i], a[2 * i + 1], even);
      b[i + n / 2] = __builtin_shuffle(a[2 * i], a[2 * i + 1], even + 1);
    }
    UNROLL for (int i = 0; i < n; i++) a[i] = b[i];
  }
  UNROLL for (int i = 0; i < n; i++) store(planes + i * plane, a[i]);
}

static ES_INLINE void gather_vectors(float *to, const float *planes, ptrdiff_t plane, ptrdiff_t channels, const int n) {
  vector_t a[16], b[16];
  UNROLL for (int i = 0; i < n; i++) a[i] = load(planes + i * plane);
  UNROLL for (int bit = 1; bit < n; bit *= 2) {
    UNROLL for (int i = 0; i < n / 2; i++) {
      b[2 * i] = __builtin_shuffle(a[i], a[i + n / 2], low);
      b[2 * i + 1] = __builtin_shuffle(a[i], a[i + n / 2], low + VECTOR / 2);
    }
    UNROLL for (int i = 0; i < n; i++) a[i] = b[i];
  }
  UNROLL for (int i = 0; i < n; i++) store(to + (n > VECTOR    ? i * VECTOR / n * channels + i * VECTOR % n
                                                 : n == VECTOR ? i * channels
                                                               : i * VECTOR),
                                           a[i]);
}

/* The first channels of a sample, n of them; n is a constant where this is called. */
static ES_INLINE void spread_channels(float *planes, const conv_map_t *map, const float *sample, ptrdiff_t channels,
                                      const int n) {
  for (ptrdiff_t i = 0; i < map->h; i++) {
    float *to = planes + i * map->row;
    const float *from = sample + i * map->w * channels;
    ptrdiff_t j = 0;
    if (n > 1)
      for (; j + VECTOR <= map->w; j += VECTOR) spread_vectors(to + j, map->plane, from + j * channels, channels, n);
    for (; j < map->w; j++)
      for (int c = 0; c < n; c++) to[c * map->plane + j] = from[j * channels + c];
  }
}

static ES_INLINE void gather_channels(float *sample, const conv_map_t *map, const float *planes, ptrdiff_t channels,
                                      const int n) {
  for (ptrdiff_t i = 0; i < map->h; i++) {
    const float *from = planes + i * map->row;
    float *to = sample + i * map->w * channels;
    ptrdiff_t j = 0;
    if (n > 1)
      for (; j + VECTOR <= map->w; j += VECTOR) gather_vectors(to + j * channels, from + j, map->plane, channels, n);
    for (; j < map->w; j++)
      for (int c = 0; c < n; c++) to[j * channels + c] = from[c * map->plane + j];
  }
}

static void spread(float *planes, const conv_map_t *map, const float *sample, ptrdiff_t channels) {
  if (channels == 4)
    spread_channels(planes, map, sample, channels, 4);
  else if (channels == 8)
    spread_channels(planes, map, sample, channels, 8);
  else if (channels % 16 == 0)
    for (ptrdiff_t c = 0; c < channels; c += 16)
      spread_channels(planes + c * map->plane, map, sample + c, channels, 16);
  else
    for (ptrdiff_t c = 0; c < channels; c++) spread_channels(planes + c * map->plane, map, sample + c, channels, 1);
}

static void gather(float *sample, const conv_map_t *map, const float *planes, ptrdiff_t channels) {
  if (channels == 4)
    gather_channels(sample, map, planes, channels, 4);
  else if (channels == 8)
    gather_channels(sample, map, planes, channels, 8);
  else if (channels % 16 == 0)
    for (ptrdiff_t c = 0; c < channels; c += 16)
      gather_channels(sample + c, map, planes + c * map->plane, channels, 16);
  else
    for (ptrdiff_t c = 0; c < channels; c++) gather_channels(sample + c, map, planes + c * map->plane, channels, 1);
}

/* ---- products ---- */

static ES_INLINE void multiply_tile(float *y, ptrdiff_t plane, const float *x, const ptrdiff_t *offsets, ptrdiff_t taps,
                                    const float *weights, const float *bias, const int n) {
  vector_t sum[CONV_TALL][WIDE], v[WIDE];
  UNROLL for (int i = 0; i < CONV_TALL; i++) {
    UNROLL for (int j = 0; j < n; j++) sum[i][j] = bias[i] - (vector_t){0};
  }
  for (ptrdiff_t t = 0; t < taps; t++, weights += CONV_TALL) {
    UNROLL for (int j = 0; j < n; j++) v[j] = load(x + offsets[t] + j * VECTOR);
    UNROLL for (int i = 0; i < CONV_TALL; i++) {
      UNROLL for (int j = 0; j < n; j++) sum[i][j] += weights[i] * v[j];
    }
  }
  UNROLL for (int i = 0; i < CONV_TALL; i++) {
    UNROLL for (int j = 0; j < n; j++) store(y + i * plane + j * VECTOR, sum[i][j]);
  }
}

static void multiply(float *y, const conv_map_t *map, ptrdiff_t channels, const float *x, const ptrdiff_t *offsets,
                     ptrdiff_t taps, const float *weights, const float *bias) {
  const ptrdiff_t end = map->vectors * CONV_VECTOR;
  for (ptrdiff_t p = 0, n; p < end; p += n * VECTOR) {
    n = (end - p) / VECTOR < WIDE ? (end - p) / VECTOR : WIDE;
    for (ptrdiff_t o = 0; o < channels; o += CONV_TALL) {
      float *to = y + o * map->plane + p;
      const float *w = weights + o * taps;
      switch (n) {
#if WIDE == 6
      case 6:
        multiply_tile(to, map->plane, x + p, offsets, taps, w, bias + o, 6);
        break;
      case 5:
        multiply_tile(to, map->plane, x + p, offsets, taps, w, bias + o, 5);
        break;
      case 4:
        multiply_tile(to, map->plane, x + p, offsets, taps, w, bias + o, 4);
        break;
#endif
      case 3:
        multiply_tile(to, map->plane, x + p, offsets, taps, w, bias + o, 3);
        break;
      case 2:
        multiply_tile(to, map->plane, x + p, offsets, taps, w, bias + o, 2);
        break;
      default:
        multiply_tile(to, map->plane, x + p, offsets, taps, w, bias + o, 1);
      }
    }
  }
}

static ES_INLINE void correlate_tile(float *sums, ptrdiff_t taps, const conv_map_t *map, const float *dy,
                                     const float *x, const ptrdiff_t *offsets, const int n) {
  vector_t sum[CONV_TALL][WIDE] = {{{0}}}, v[WIDE];
  const float *from[WIDE];
  UNROLL for (int j = 0; j < n; j++) from[j] = x + offsets[j];
  for (ptrdiff_t p = 0; p < map->vectors * CONV_VECTOR; p += VECTOR) {
    UNROLL for (int j = 0; j < n; j++) v[j] = load(from[j] + p);
    UNROLL for (int i = 0; i < CONV_TALL; i++) {
      const vector_t g = load(dy + i * map->plane + p);
      UNROLL for (int j = 0; j < n; j++) sum[i][j] += g * v[j];
    }
  }
  UNROLL for (int i = 0; i < CONV_TALL; i++) {
    UNROLL for (int j = 0; j < n; j++) {
      float *to = sums + (i * taps + j) * VECTOR;
      store(to, load(to) + sum[i][j]);
    }
  }
}

static void correlate(float *sums, const conv_map_t *map, ptrdiff_t channels, const float *dy, const float *x,
                      const ptrdiff_t *offsets, ptrdiff_t taps) {
  for (ptrdiff_t o = 0; o < channels; o += CONV_TALL) {
    for (ptrdiff_t t = 0, n; t < taps; t += n) {
      n = taps - t < WIDE ? 3 : WIDE;
      float *to = sums + (o * taps + t) * VECTOR;
      if (n == WIDE)
        correlate_tile(to, taps, map, dy + o * map->plane, x, offsets + t, WIDE);
      else
        correlate_tile(to, taps, map, dy + o * map->plane, x, offsets + t, 3);
    }
  }
  for (ptrdiff_t o = 0; o < channels; o++) {
    vector_t sum = {0};
    for (ptrdiff_t p = 0; p < map->vectors * CONV_VECTOR; p += VECTOR) sum += load(dy + o * map->plane + p);
    float *to = sums + (channels * taps + o) * VECTOR;
    store(to, load(to) + sum);
  }
}

static void fold(float *out, const float *sums, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += VECTOR) {
    vector_t a[VECTOR];
    UNROLL for (int j = 0; j < VECTOR; j++) a[j] = load(sums + (i + j) * VECTOR);
    UNROLL for (int half = VECTOR / 2; half > 0; half /= 2) {
      UNROLL for (int j = 0; j < half; j++) a[j] =
          __builtin_shuffle(a[2 * j], a[2 * j + 1], even) + __builtin_shuffle(a[2 * j], a[2 * j + 1], even + 1);
    }
    store(out + i, a[0]);
  }
}

const conv_planar_t NAME = {
    .spread = spread, .gather = gather, .multiply = multiply, .correlate = correlate, .fold = fold};
