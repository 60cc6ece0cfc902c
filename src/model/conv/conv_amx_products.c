/* Packing and products for the gradient of the weights (conv_amx_weights.h). */
#include "eigenscope/kernel.h"

#ifdef ES_KERNEL_TARGETS
#include "conv_amx_weights.h"

_Static_assert(2 * (int)SAMPLES == (int)AMX_DEEP, "two positions of a slice fill the depth of a tile");

es_amx_shape_t es_amx_shape_of(const es_node_t *n) {
  es_amx_shape_t s = {.n = n, .out_blocks = (n->out.c + 15) / 16, .in_blocks = (n->in.c + 15) / 16};
  s.rows = n->out.c < 16 && 16 % n->out.c == 0 ? n->out.c : AMX_ROWS;
  s.wide = n->in.c < 16 ? 16 / n->in.c : 1;
  if (s.wide > n->kernel) s.wide = n->kernel;
  s.taps = (n->kernel + s.wide - 1) / s.wide;
  s.pairs = (n->out.w + 1) / 2;
  s.pairs_room = (int)amx_round_up(s.pairs, AMX_ROWS / s.rows);
  const int last = (2 * s.pairs - 1) * n->stride + (s.taps - 1) * s.wide;
  s.phase = last / n->stride + 1;
  s.columns = s.phase * n->stride;
  s.band = 32 / s.pairs > 1 ? 32 / s.pairs : 1;
  if (s.band > n->out.h) s.band = n->out.h;
  s.ring = (s.band - 1) * n->stride + n->kernel;
  s.x_line = (ptrdiff_t)s.columns * COLUMN;
  s.dy_line = (ptrdiff_t)s.pairs_room * s.rows * AMX_DEEP;
  return s;
}

ptrdiff_t es_amx_sums(const es_amx_shape_t *s) {
  return (ptrdiff_t)s->n->kernel * s->taps * AMX_TILE_FLOATS;
}

/* ---- packing ---- */

/* A row of the map as columns that are packed: column q of remainder f reads position q·stride + f − padding. */
typedef struct columns {
  ptrdiff_t sample, block; /* numbers of a sample; packed numbers of a block */
  int w, channels, stride, padding, phase;
} columns_t;

/* Marks the numbers of 16 that exist, from a position and block·16 on. Narrow layers have several positions there. */
static ES_INLINE __mmask16 mask_of(const columns_t *c, ptrdiff_t position, int block) {
  const ptrdiff_t at = position * c->channels;
  ptrdiff_t left = (ptrdiff_t)c->w * c->channels - at;
  if (c->channels >= AMX_COLUMNS) left = position >= 0 && position < c->w ? c->channels - block * AMX_COLUMNS : 0;
  const uint32_t most = left <= 0 ? 0 : amx_bits(left);
  return (__mmask16)(at < 0 && c->channels < AMX_COLUMNS ? most & ~amx_bits(-at) : most);
}

/* Packs one column of two samples for one block; `filled` of the samples exist. */
static void pack_column(uint16_t *to, const columns_t *c, const uint16_t *row, ptrdiff_t position, int block,
                        int filled) {
  const __mmask16 mask = mask_of(c, position, block);
  const uint16_t *a = row + position * c->channels + block * AMX_COLUMNS;
  const __m256i even = _mm256_maskz_loadu_epi16(filled > 0 ? mask : 0, a);
  const __m256i odd = _mm256_maskz_loadu_epi16(filled > 1 ? mask : 0, a + c->sample);
  _mm512_storeu_si512(to, amx_pair(even, odd));
}

/* Positions from 0 to the result have all 16 numbers. */
static ptrdiff_t inner_of(const columns_t *c, int block, int filled) {
  const ptrdiff_t row = (ptrdiff_t)c->w * c->channels;
  if (filled < 2) return 0;
  if (c->channels >= AMX_COLUMNS) return c->channels - block * AMX_COLUMNS < AMX_COLUMNS ? 0 : c->w;
  return row < AMX_COLUMNS ? 0 : (row - AMX_COLUMNS) / c->channels + 1;
}

static ES_INLINE void pack_pair(uint16_t *packed, const columns_t *c, const uint16_t *row, int block, int filled) {
  const ptrdiff_t step = (ptrdiff_t)c->stride * c->channels, inner = inner_of(c, block, filled);
  for (int f = 0; f < c->stride; f++) {
    uint16_t *to = packed + (ptrdiff_t)f * c->phase * COLUMN;
    int q = 0;
    ptrdiff_t position = f - c->padding;
    for (; q < c->phase && position < 0; q++, position += c->stride, to += COLUMN)
      pack_column(to, c, row, position, block, filled);
    const uint16_t *a = row + position * c->channels + block * AMX_COLUMNS;
    for (; q < c->phase && position < inner; q++, position += c->stride, to += COLUMN, a += step)
      _mm512_storeu_si512(
          to, amx_pair(_mm256_loadu_si256((const __m256i *)a), _mm256_loadu_si256((const __m256i *)(a + c->sample))));
    for (; q < c->phase; q++, position += c->stride, to += COLUMN) pack_column(to, c, row, position, block, filled);
  }
}

/* Goes from sample to sample, because rows of samples often lie at distances that a cache maps to each other. */
static void pack_row(uint16_t *packed, const columns_t *c, const uint16_t *row, int64_t count) {
  for (int pair = 0; pair < PAIRS; pair++, row += 2 * c->sample, packed += AMX_DEEP) {
    const int filled = count - 2 * pair > 2 ? 2 : (int)(count - 2 * pair);
    for (int block = 0; block * AMX_COLUMNS < c->channels; block++)
      pack_pair(packed + block * c->block, c, row, block, filled);
  }
}

void es_amx_pack_x(const es_amx_shape_t *s, uint16_t *packed, ptrdiff_t block, const uint16_t *row, int64_t count) {
  const es_node_t *n = s->n;
  const columns_t c = {es_shape_size(n->in), block, n->in.w, n->in.c, n->stride, n->padding, s->phase};
  pack_row(packed, &c, row, count);
}

/* Puts `even` positions before odd ones in a line of 32 numbers with `channels` each. */
static ES_INLINE __m512i part(__m512i line, int channels) {
  if (channels == 8) return _mm512_shuffle_i64x2(line, line, 0xd8);
  if (channels == 4) return _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), line);
  if (channels == 2)
    return _mm512_permutexvar_epi32(_mm512_set_epi32(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0), line);
  const __m512i one = _mm512_set_epi32(0x1f001d, 0x1b0019, 0x170015, 0x130011, 0xf000d, 0xb0009, 0x70005, 0x30001,
                                       0x1e001c, 0x1a0018, 0x160014, 0x120010, 0xe000c, 0xa0008, 0x60004, 0x20000);
  return _mm512_permutexvar_epi16(one, line);
}

/* Packs one row of the output gradient of fewer than 16 channels: [pair][channel][position][sample]. */
static void pack_dy_narrow(const es_amx_shape_t *s, uint16_t *packed, const uint16_t *row, int64_t count) {
  const int channels = s->rows, step = AMX_DEEP / channels;
  const ptrdiff_t sample = es_shape_size(s->n->out);
  for (int c = 0; c < 2 * s->pairs; c += step, packed += AMX_ROWS * AMX_DEEP) {
    const ptrdiff_t left = (ptrdiff_t)(s->n->out.w - c) * channels;
    const __mmask32 mask = amx_bits(left);
    __m512i r[16];
    for (int pair = 0; pair < PAIRS; pair++) {
      const uint16_t *a = row + 2 * pair * sample + (ptrdiff_t)c * channels;
      const __m512i first = part(_mm512_maskz_loadu_epi16(2 * pair < count ? mask : 0, a), channels);
      const __m512i second = part(_mm512_maskz_loadu_epi16(2 * pair + 1 < count ? mask : 0, a + sample), channels);
      r[pair] = amx_pair(_mm512_castsi512_si256(first), _mm512_castsi512_si256(second));
      r[PAIRS + pair] = amx_pair(_mm512_extracti64x4_epi64(first, 1), _mm512_extracti64x4_epi64(second, 1));
    }
    amx_turn(r);
    for (int i = 0; i < 16; i++) _mm512_storeu_si512(packed + i * AMX_DEEP, r[i]);
  }
}

void es_amx_pack_dy(const es_amx_shape_t *s, uint16_t *packed, ptrdiff_t block, const uint16_t *row, int64_t count) {
  const es_node_t *n = s->n;
  const columns_t c = {es_shape_size(n->out), block, n->out.w, n->out.c, 1, 0, 2 * s->pairs};
  if (s->rows < AMX_ROWS) {
    pack_dy_narrow(s, packed, row, count);
    return;
  }
  pack_row(packed, &c, row, count);
  for (int o = 0; o < s->out_blocks; o++) {
    for (int q = 0; q < s->pairs; q++) { /* two columns are as large as the tile that they become */
      uint16_t *tile = packed + o * block + (ptrdiff_t)q * 2 * COLUMN;
      __m512i r[16];
      for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(tile + i * AMX_DEEP);
      amx_turn(r);
      for (int i = 0; i < 16; i++) _mm512_storeu_si512(tile + i * AMX_DEEP, r[i]);
    }
  }
}

/* ---- products ---- */

/* Output rows of a band whose input row lies inside the map, for a row of the kernel. */
typedef struct range {
  int first, end;
} range_t;

static range_t range_of(const es_amx_shape_t *s, const es_amx_band_t *b, int u) {
  const es_node_t *n = s->n;
  range_t r = {0, b->rows};
  while (r.first < r.end && (b->first + r.first) * n->stride - n->padding + u < 0) r.first++;
  while (r.first < r.end && (b->first + r.end - 1) * n->stride - n->padding + u >= n->in.h) r.end--;
  return r;
}

static const uint16_t *column_of(const es_amx_shape_t *s, const es_amx_band_t *band, int block, int t) {
  const int column = t * s->wide, stride = s->n->stride;
  return band->x + block * band->x_block + (ptrdiff_t)(column % stride * s->phase + column / stride) * COLUMN;
}

/* Offset of the input row that an output row of the band reads at row u of the kernel; the row lies inside the map. */
static ptrdiff_t offset_of(const es_amx_shape_t *s, const es_amx_band_t *band, int row, int u) {
  const int at = (band->first + row) * s->n->stride - s->n->padding + u;
  return (band->ring ? at % band->ring : at) * band->x_row;
}

/* Adds to tall × across tiles of sums for row u and tap t of the kernel, or sets them. */
static ES_INLINE void multiply_blocks(const es_amx_shape_t *s, const es_amx_band_t *band, int u, int t,
                                      float *const *sums, int o, int i, bool set, const int tall, const int across) {
  const range_t range = range_of(s, band, u);
  const ptrdiff_t step = (ptrdiff_t)s->rows * AMX_DEEP;
  const uint16_t *a = band->dy + o * band->dy_block, *b = column_of(s, band, i, t);
  if (set) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums[0], AMX_LINE);
    if (across > 1) _tile_loadd(1, sums[1], AMX_LINE);
    if (tall > 1) _tile_loadd(2, sums[2], AMX_LINE);
    if (tall > 1 && across > 1) _tile_loadd(3, sums[3], AMX_LINE);
  }
  for (int r = range.first; r < range.end; r++) {
    const uint16_t *left = a + r * band->dy_row, *right = b + offset_of(s, band, r, u);
    for (int q = 0; q < s->pairs; q++, left += step, right += 2 * COLUMN) {
      _tile_loadd(4, left, AMX_LINE);
      _tile_loadd(6, right, AMX_LINE);
      _tile_dpbf16ps(0, 4, 6);
      if (across > 1) {
        _tile_loadd(7, right + band->x_block, AMX_LINE);
        _tile_dpbf16ps(1, 4, 7);
      }
      if (tall > 1) {
        _tile_loadd(5, left + band->dy_block, AMX_LINE);
        _tile_dpbf16ps(2, 5, 6);
        if (across > 1) _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
  _tile_stored(0, sums[0], AMX_LINE);
  if (across > 1) _tile_stored(1, sums[1], AMX_LINE);
  if (tall > 1) _tile_stored(2, sums[2], AMX_LINE);
  if (tall > 1 && across > 1) _tile_stored(3, sums[3], AMX_LINE);
}

/* The three taps of row u of the kernel for `tall` blocks of the gradient and one of the input: columns of neighbouring
 * taps overlap, so that most of them come from the first-level cache. below: floats between the sums of the two blocks.
 */
static ES_INLINE void multiply_row(const es_amx_shape_t *s, const es_amx_band_t *band, int u, float *sums,
                                   ptrdiff_t below, int o, int i, bool set, const int tall) {
  enum { NEXT = AMX_TILE_FLOATS };
  const range_t range = range_of(s, band, u);
  const ptrdiff_t step = (ptrdiff_t)s->rows * AMX_DEEP;
  const uint16_t *a = band->dy + o * band->dy_block, *b = column_of(s, band, i, 0);
  const ptrdiff_t second = column_of(s, band, i, 1) - b, third = column_of(s, band, i, 2) - b;
  if (set) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
  } else {
    _tile_loadd(0, sums, AMX_LINE);
    _tile_loadd(1, sums + NEXT, AMX_LINE);
    _tile_loadd(2, sums + 2 * NEXT, AMX_LINE);
    if (tall > 1) {
      _tile_loadd(3, sums + below, AMX_LINE);
      _tile_loadd(4, sums + below + NEXT, AMX_LINE);
      _tile_loadd(5, sums + below + 2 * NEXT, AMX_LINE);
    }
  }
  for (int r = range.first; r < range.end; r++) {
    const uint16_t *left = a + r * band->dy_row, *right = b + offset_of(s, band, r, u);
    for (int q = 0; q < s->pairs; q++, left += step, right += 2 * COLUMN) {
      _tile_loadd(6, left, AMX_LINE);
      _tile_loadd(7, right, AMX_LINE);
      _tile_dpbf16ps(0, 6, 7);
      _tile_loadd(7, right + second, AMX_LINE);
      _tile_dpbf16ps(1, 6, 7);
      _tile_loadd(7, right + third, AMX_LINE);
      _tile_dpbf16ps(2, 6, 7);
      if (tall > 1) {
        _tile_loadd(6, left + band->dy_block, AMX_LINE);
        _tile_dpbf16ps(5, 6, 7);
        _tile_loadd(7, right + second, AMX_LINE);
        _tile_dpbf16ps(4, 6, 7);
        _tile_loadd(7, right, AMX_LINE);
        _tile_dpbf16ps(3, 6, 7);
      }
    }
  }
  _tile_stored(0, sums, AMX_LINE);
  _tile_stored(1, sums + NEXT, AMX_LINE);
  _tile_stored(2, sums + 2 * NEXT, AMX_LINE);
  if (tall > 1) {
    _tile_stored(3, sums + below, AMX_LINE);
    _tile_stored(4, sums + below + NEXT, AMX_LINE);
    _tile_stored(5, sums + below + 2 * NEXT, AMX_LINE);
  }
}

/* For a single block of input: n products from `first` on, in order of row and tap, share a block of the gradient. A
 * product that waits for another one with the same sums takes three times as long. */
static ES_INLINE void multiply_taps(const es_amx_shape_t *s, const es_amx_band_t *band, float *sums, int o, int first,
                                    bool set, const int n) {
  const ptrdiff_t step = (ptrdiff_t)s->rows * AMX_DEEP;
  const uint16_t *b[3];
  range_t range[3];
  for (int j = 0; j < n; j++) {
    b[j] = column_of(s, band, 0, (first + j) % s->taps);
    range[j] = range_of(s, band, (first + j) / s->taps);
  }
  sums += (ptrdiff_t)first * AMX_TILE_FLOATS;
  if (set) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
  } else {
    _tile_loadd(0, sums, AMX_LINE);
    if (n > 1) _tile_loadd(1, sums + AMX_TILE_FLOATS, AMX_LINE);
    if (n > 2) _tile_loadd(2, sums + 2 * AMX_TILE_FLOATS, AMX_LINE);
  }
  for (int r = 0; r < band->rows; r++) {
    const uint16_t *left = band->dy + o * band->dy_block + r * band->dy_row, *right[3];
    bool inside[3] = {false};
    for (int j = 0; j < n; j++) {
      inside[j] = r >= range[j].first && r < range[j].end;
      right[j] = inside[j] ? b[j] + offset_of(s, band, r, (first + j) / s->taps) : b[j];
    }
    for (int q = 0; q < s->pairs; q++, left += step) {
      _tile_loadd(4, left, AMX_LINE);
      if (inside[0]) {
        _tile_loadd(6, right[0] + (ptrdiff_t)q * 2 * COLUMN, AMX_LINE);
        _tile_dpbf16ps(0, 4, 6);
      }
      if (n > 1 && inside[1]) {
        _tile_loadd(7, right[1] + (ptrdiff_t)q * 2 * COLUMN, AMX_LINE);
        _tile_dpbf16ps(1, 4, 7);
      }
      if (n > 2 && inside[2]) {
        _tile_loadd(6, right[2] + (ptrdiff_t)q * 2 * COLUMN, AMX_LINE);
        _tile_dpbf16ps(2, 4, 6);
      }
    }
  }
  _tile_stored(0, sums, AMX_LINE);
  if (n > 1) _tile_stored(1, sums + AMX_TILE_FLOATS, AMX_LINE);
  if (n > 2) _tile_stored(2, sums + 2 * AMX_TILE_FLOATS, AMX_LINE);
}

void es_amx_multiply(const es_amx_shape_t *s, const es_amx_band_t *band, float *sums, int wide, int o, int i, bool set,
                     int tall, int across) {
  const int products = s->n->kernel * s->taps;
  for (int j = 0; s->in_blocks == 1 && j < products; j += 3) {
    if (products - j >= 3)
      multiply_taps(s, band, sums, o, j, set, 3);
    else if (products - j == 2)
      multiply_taps(s, band, sums, o, j, set, 2);
    else
      multiply_taps(s, band, sums, o, j, set, 1);
  }
  if (s->in_blocks > 1 && s->taps == 3 && s->rows == AMX_ROWS) {
    for (int u = 0; u < 3; u++) {
      for (int k = 0; k < across; k++) {
        float *to = sums + k * es_amx_sums(s) + (ptrdiff_t)u * 3 * AMX_TILE_FLOATS;
        if (tall == 2)
          multiply_row(s, band, u, to, wide * es_amx_sums(s), o, i + k, set, 2);
        else
          multiply_row(s, band, u, to, 0, o, i + k, set, 1);
      }
    }
    return;
  }
  for (int j = 0; s->in_blocks > 1 && j < products; j++) {
    float *first = sums + (ptrdiff_t)j * AMX_TILE_FLOATS, *below = first + wide * es_amx_sums(s);
    float *const to[4] = {first, first + es_amx_sums(s), below, below + es_amx_sums(s)};
    const int u = j / s->taps, t = j % s->taps;
    if (tall == 2 && across == 2)
      multiply_blocks(s, band, u, t, to, o, i, set, 2, 2);
    else if (tall == 2)
      multiply_blocks(s, band, u, t, to, o, i, set, 2, 1);
    else if (across == 2)
      multiply_blocks(s, band, u, t, to, o, i, set, 1, 2);
    else
      multiply_blocks(s, band, u, t, to, o, i, set, 1, 1);
  }
}

/* A single block of input goes with three taps instead. */
int es_amx_together(int i, int n, int other) {
  return n - i >= 2 && other > 1 ? 2 : 1;
}

/* sums (rows × 16) += the sum of a block's gradient, in every column. */
void es_amx_add_bias(const es_amx_shape_t *s, const es_amx_band_t *band, float *sums, int o, bool set) {
  static const uint32_t one = 0x3f803f80;
  if (set)
    _tile_zero(0);
  else
    _tile_loadd(0, sums, AMX_LINE);
  uint32_t ones[AMX_ROWS * AMX_COLUMNS];
  for (int i = 0; i < AMX_ROWS * AMX_COLUMNS; i++) ones[i] = one;
  tiles_fence();
  _tile_loadd(6, ones, AMX_LINE);
  for (int r = 0; r < band->rows; r++) {
    for (int q = 0; q < s->pairs; q++) {
      _tile_loadd(4, band->dy + o * band->dy_block + r * band->dy_row + (ptrdiff_t)q * s->rows * AMX_DEEP, AMX_LINE);
      _tile_dpbf16ps(0, 4, 6);
    }
  }
  _tile_stored(0, sums, AMX_LINE);
}

/* Writes the sums of one pair of blocks to the gradient (out, in, tap), or adds them. */
/* Turns the 16 sums of each tap, for up to 16 taps, into the taps of each input channel. */
static void write_turned(const es_amx_shape_t *s, float *to, const float *sums, int channels, bool set) {
  const int area = s->n->kernel * s->n->kernel;
  const __mmask16 mask = (__mmask16)amx_bits(area);
  __m512i r[16];
  for (int tap = 0; tap < 16; tap++)
    r[tap] = tap < area ? _mm512_loadu_si512(sums + (ptrdiff_t)tap * AMX_TILE_FLOATS) : _mm512_setzero_si512();
  amx_turn(r);
  for (int c = 0; c < channels; c++, to += area) {
    const __m512 v = _mm512_castsi512_ps(r[c]);
    _mm512_mask_storeu_ps(to, mask, set ? v : _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), v));
  }
}

/* Writes the numbers of a tile one by one to where they belong: narrow layers, large kernels. */
static void write_scattered(const es_amx_shape_t *s, float *to, const float *sums, int channels, bool set) {
  const int kernel = s->n->kernel, area = kernel * kernel;
  for (int tap = 0; tap < area; tap++) {
    const int u = tap / kernel, v = tap % kernel;
    const float *from = sums + (ptrdiff_t)(u * s->taps + v / s->wide) * AMX_TILE_FLOATS + v % s->wide * channels;
    for (int c = 0; c < channels; c++) to[c * area + tap] = set ? from[c] : to[c * area + tap] + from[c];
  }
}

void es_amx_write_block(const es_amx_shape_t *s, float *dw, const float *sums, int o, int i, bool set) {
  const es_node_t *n = s->n;
  const int area = n->kernel * n->kernel, channels = n->in.c - i * 16 < 16 ? n->in.c - i * 16 : 16;
  const int left = n->out.c - o * 16, rows = left < s->rows ? left : s->rows;
  for (int row = 0; row < rows; row++, sums += AMX_COLUMNS) {
    float *to = dw + ((ptrdiff_t)(o * 16 + row) * n->in.c + i * 16) * area;
    if (s->wide == 1 && area <= 16)
      write_turned(s, to, sums, channels, set);
    else
      write_scattered(s, to, sums, channels, set);
  }
}

void es_amx_write_bias(const es_amx_shape_t *s, float *db, const float *sums, int o, bool set) {
  const int left = s->n->out.c - o * 16, rows = left < s->rows ? left : s->rows;
  for (int row = 0; row < rows; row++)
    db[o * 16 + row] = set ? sums[row * AMX_COLUMNS] : db[o * 16 + row] + sums[row * AMX_COLUMNS];
}

#endif
