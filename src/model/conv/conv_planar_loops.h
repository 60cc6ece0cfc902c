/* The loops of conv_planar.h for vectors of VECTOR floats; WIDE × CONV_TALL vectors of sums stay in registers. Included
 * by conv_planar_*.c, which define both and NAME. */
#include "conv_planar.h"
#include "eigenscope/kernel.h"
#include <string.h>

typedef float vector_t __attribute__((vector_size(VECTOR * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t lanes_t __attribute__((vector_size(VECTOR * sizeof(int32_t))));

/* Indices into two vectors side by side: `even` takes every other float, `low` interleaves the two lower halves. */
#if VECTOR == 16
static const lanes_t lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const lanes_t even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
static const lanes_t low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
#elif VECTOR == 8
static const lanes_t lane = {0, 1, 2, 3, 4, 5, 6, 7};
static const lanes_t even = {0, 2, 4, 6, 8, 10, 12, 14};
static const lanes_t low = {0, 8, 1, 9, 2, 10, 3, 11};
#else
static const lanes_t lane = {0, 1, 2, 3};
static const lanes_t even = {0, 2, 4, 6};
static const lanes_t low = {0, 4, 1, 5};
#endif

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Picks floats from two vectors side by side, by index. */
static ES_INLINE vector_t pick(vector_t a, vector_t b, lanes_t at) {
#ifdef __clang__ /* clang shuffles by constants only */
  vector_t picked;
  for (int i = 0; i < VECTOR; i++) {
    const int from = at[i] & (2 * VECTOR - 1);
    picked[i] = from < VECTOR ? a[from] : b[from - VECTOR];
  }
  return picked;
#else
  return __builtin_shuffle(a, b, at);
#endif
}

static ES_INLINE vector_t load(const float *from) {
  return *(const vector_t *)from;
}

static ES_INLINE void store(float *to, vector_t v) {
  *(vector_t *)to = v;
}

/* ---- NHWC and planes ---- */

/* VECTOR positions of n channels fill n vectors; the index of a float in them is position·n + channel. Taking the even
 * and then the odd floats rotates the bits of the index by one; after log₂ n rotations the channel comes first. */
static ES_INLINE void part(vector_t *a, const int n) {
  vector_t b[16];
  UNROLL for (int bit = 1; bit < n; bit *= 2) {
    UNROLL for (int i = 0; i < n / 2; i++) {
      b[i] = pick(a[2 * i], a[2 * i + 1], even);
      b[i + n / 2] = pick(a[2 * i], a[2 * i + 1], even + 1);
    }
    UNROLL for (int i = 0; i < n; i++) a[i] = b[i];
  }
}

/* Inverse of `part`. */
static ES_INLINE void join(vector_t *a, const int n) {
  vector_t b[16];
  UNROLL for (int bit = 1; bit < n; bit *= 2) {
    UNROLL for (int i = 0; i < n / 2; i++) {
      b[2 * i] = pick(a[i], a[i + n / 2], low);
      b[2 * i + 1] = pick(a[i], a[i + n / 2], low + VECTOR / 2);
    }
    UNROLL for (int i = 0; i < n; i++) a[i] = b[i];
  }
}

/* Copies the first n of `channels` channels to planes; n is `channels` or a multiple of VECTOR. */
static ES_INLINE void spread_vectors(float *planes, ptrdiff_t plane, const float *from, ptrdiff_t channels,
                                     const int n) {
  vector_t a[16];
  UNROLL for (int i = 0; i < n; i++) a[i] =
      load(from + (n < VECTOR ? i * VECTOR : i * VECTOR / n * channels + i * VECTOR % n));
  part(a, n);
  UNROLL for (int i = 0; i < n; i++) store(planes + i * plane, a[i]);
}

/* Copies the three channels of an image: every third float of three vectors. */
static ES_INLINE void spread_three(float *planes, ptrdiff_t plane, const float *from) {
  const vector_t a = load(from), b = load(from + VECTOR), c = load(from + 2 * VECTOR);
  UNROLL for (int i = 0; i < 3; i++) {
    const lanes_t at = 3 * lane + i, in_ab = at < 2 * VECTOR;
    const vector_t ab = pick(a, b, at);
    store(planes + i * plane, pick(ab, c, (in_ab & lane) | (~in_ab & (at - VECTOR))));
  }
}

/* n is a constant in all calls. */
static ES_INLINE void spread_channels(float *planes, const es_conv_map_t *map, const float *sample, ptrdiff_t rows,
                                      ptrdiff_t channels, const int n) {
  for (ptrdiff_t i = 0; i < rows; i++, planes += map->row, sample += map->w * channels) {
    ptrdiff_t j = 0;
    for (; n > 1 && j + VECTOR <= map->w; j += VECTOR) {
      if (n == 3)
        spread_three(planes + j, map->plane, sample + j * channels);
      else
        spread_vectors(planes + j, map->plane, sample + j * channels, channels, n);
    }
    for (; j < map->w; j++) {
      for (int c = 0; c < n; c++) planes[c * map->plane + j] = sample[j * channels + c];
    }
  }
}

static void spread(float *planes, const es_conv_map_t *map, const float *sample, ptrdiff_t rows, ptrdiff_t channels) {
  if (channels == 3) {
    spread_channels(planes, map, sample, rows, 3, 3);
  } else if (channels == 4) {
    spread_channels(planes, map, sample, rows, 4, 4);
  } else if (channels == 8) {
    spread_channels(planes, map, sample, rows, 8, 8);
  } else {
    ptrdiff_t c = 0;
    for (; c + 16 <= channels; c += 16) spread_channels(planes + c * map->plane, map, sample + c, rows, channels, 16);
    for (; c < channels; c++) spread_channels(planes + c * map->plane, map, sample + c, rows, channels, 1);
  }
}

/* ---- products ---- */

/* Writes one vector of n channels to NHWC. */
static ES_INLINE void put(float *y, const es_conv_vector_t *at, ptrdiff_t channels, ptrdiff_t first, vector_t *a,
                          const int n) {
  float rest[VECTOR * 8];
  float *to = y + at->position * channels + first;
  join(a, n);
  if (channels == n && at->count == VECTOR) {
    UNROLL for (int i = 0; i < n; i++) store(to + i * VECTOR, a[i]);
    return;
  }
  UNROLL for (int i = 0; i < n; i++) store(rest + i * VECTOR, a[i]);
  const ptrdiff_t left = channels - first < n ? channels - first : n;
  if (left == n)
    for (ptrdiff_t i = 0; i < at->count; i++) memcpy(to + i * channels, rest + i * n, (size_t)n * sizeof *to);
  else
    for (ptrdiff_t i = 0; i < at->count; i++)
      for (ptrdiff_t c = 0; c < left; c++) to[i * channels + c] = rest[i * n + c];
}

/* Multiplies n vectors for `tall` channels from `first` on. */
static ES_INLINE void multiply_tile(float *y, const es_conv_vector_t *at, ptrdiff_t channels, ptrdiff_t first,
                                    const float *x, const ptrdiff_t *offsets, ptrdiff_t taps, const float *weights,
                                    const float *bias, const int tall, const int n) {
  vector_t sum[WIDE][8], v[WIDE];
  const float *from[WIDE];
  UNROLL for (int j = 0; j < n; j++) from[j] = x + at[j].plane;
  UNROLL for (int i = 0; i < tall; i++) {
    UNROLL for (int j = 0; j < n; j++) sum[j][i] = bias[first + i] - (vector_t){0};
  }
  weights += first * taps;
  for (ptrdiff_t t = 0; t < taps; t++, weights += CONV_TALL) {
    UNROLL for (int j = 0; j < n; j++) v[j] = load(from[j] + offsets[t]);
    UNROLL for (int i = 0; i < tall; i++) {
      const float w = weights[i / CONV_TALL * CONV_TALL * taps + i % CONV_TALL];
      UNROLL for (int j = 0; j < n; j++) sum[j][i] += w * v[j];
    }
  }
  UNROLL for (int j = 0; j < n; j++) put(y, at + j, channels, first, sum[j], tall);
}

#define TILE(tall, n) multiply_tile(y, at, channels, first, x, offsets, taps, weights, bias, tall, n)

static void multiply(float *y, const es_conv_map_t *map, ptrdiff_t channels, const float *x, const ptrdiff_t *offsets,
                     ptrdiff_t taps, const float *weights, const float *bias) {
  for (ptrdiff_t first = 0, tall; first < channels; first += tall) {
    const bool high = WIDE == 6 && channels - first > CONV_TALL;
    const ptrdiff_t wide = high ? WIDE / 2 : WIDE;
    tall = high ? 2 * CONV_TALL : CONV_TALL;
    for (ptrdiff_t i = 0, n; i < map->n_vectors; i += n) {
      const es_conv_vector_t *at = map->vectors + i;
      const ptrdiff_t left = map->n_vectors - i, tiles = (left + wide - 1) / wide;
      n = (left + tiles - 1) / tiles; /* balanced, because a last tile of one vector would stall on its sums */
      switch (n + (high ? 6 : 0)) {
#if WIDE == 6
      case 9:
        TILE(8, 3);
        break;
      case 8:
        TILE(8, 2);
        break;
      case 7:
        TILE(8, 1);
        break;
      case 6:
        TILE(4, 6);
        break;
      case 5:
        TILE(4, 5);
        break;
      case 4:
        TILE(4, 4);
        break;
#endif
      case 3:
        TILE(4, 3);
        break;
      case 2:
        TILE(4, 2);
        break;
      default:
        TILE(4, 1);
      }
    }
  }
}

/* to[i] += the sum of the floats of sums[i], for i < n; keeps the floats of `to` that follow, up to a vector. */
static ES_INLINE void fold(float *to, const vector_t *sums, const int n) {
  const int most = n > 4 ? 8 : 4, filled = most > VECTOR ? most / VECTOR : 1;
  vector_t a[8];
  UNROLL for (int i = 0; i < most; i++) a[i] = i < n ? sums[i] : (vector_t){0};
  UNROLL for (int half = VECTOR / 2; half > 0; half /= 2) {
    const int left = half * most / VECTOR;
    UNROLL for (int i = 0; i < (left > 0 ? left : 1); i++) {
      const vector_t b = a[2 * i], c = left > 0 ? a[2 * i + 1] : (vector_t){0};
      a[i] = pick(b, c, even) + pick(b, c, even + 1);
    }
  }
  UNROLL for (int i = 0; i < filled; i++) store(to + i * VECTOR, load(to + i * VECTOR) + a[i]);
}

static ES_INLINE void correlate_tile(float *sums, ptrdiff_t taps, const es_conv_map_t *map, const float *dy,
                                     const float *x, const ptrdiff_t *offsets, const int n) {
  vector_t sum[CONV_TALL][WIDE] = {{{0}}}, v[WIDE];
  const float *from[WIDE];
  UNROLL for (int j = 0; j < n; j++) from[j] = x + offsets[j];
  for (ptrdiff_t k = 0; k < map->n_vectors; k++) {
    const ptrdiff_t p = map->vectors[k].plane;
    UNROLL for (int j = 0; j < n; j++) v[j] = load(from[j] + p);
    UNROLL for (int i = 0; i < CONV_TALL; i++) {
      const vector_t g = load(dy + i * map->plane + p);
      UNROLL for (int j = 0; j < n; j++) sum[i][j] += g * v[j];
    }
  }
  UNROLL for (int i = 0; i < CONV_TALL; i++) fold(sums + i * taps, sum[i], n);
}

static void correlate(float *sums, const es_conv_map_t *map, ptrdiff_t channels, const float *dy, const float *x,
                      const ptrdiff_t *offsets, ptrdiff_t taps) {
  for (ptrdiff_t o = 0; o < channels; o += CONV_TALL) {
    const float *g = dy + o * map->plane;
    for (ptrdiff_t t = 0, n; t < taps; t += n) {
      n = taps - t < WIDE ? 3 : WIDE;
      if (n == WIDE)
        correlate_tile(sums + o * taps + t, taps, map, g, x, offsets + t, WIDE);
      else
        correlate_tile(sums + o * taps + t, taps, map, g, x, offsets + t, 3);
    }
    vector_t sum[CONV_TALL] = {{0}};
    for (ptrdiff_t k = 0; k < map->n_vectors; k++) {
      UNROLL for (int i = 0; i < CONV_TALL; i++) sum[i] += load(g + i * map->plane + map->vectors[k].plane);
    }
    fold(sums + channels * taps + o, sum, CONV_TALL);
  }
}

const es_conv_planar_t NAME = {.vector = VECTOR, .spread = spread, .multiply = multiply, .correlate = correlate};
