/* The loops of syrk_kernels.h for vectors of VECTOR floats. syrk_*.c include this file with VECTOR, NAME and TALL
 * defined, and with CENTRED_MOST if the CPU rearranges the floats of a vector in one instruction. TALL is chosen so
 * that TALL · TILE / VECTOR sums stay in registers. */
#include "eigenscope/kernel.h"
#include "syrk_kernels.h"
#include <stddef.h>
#include <string.h>

typedef float vector_t __attribute__((vector_size(VECTOR * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t lanes_t __attribute__((vector_size(VECTOR * sizeof(int32_t))));

/* Partial sums of at most this many lines keep the rounding error of a float sum small. */
enum { BLOCK = 256, CENTRED_BLOCK = 64, ACROSS = SYRK_TILE / VECTOR, TURNS_MOST = 5 };
/* Lines that are centred at once, to have enough independent sums. */
enum { ABREAST = 4 / ACROSS };
/* Most vectors of columns in a tile: as many as leave the tile's sums in registers. */
enum { ACROSS_MOST = VECTOR == 16 ? 2 * ACROSS : ACROSS };

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

static ES_INLINE vector_t load(const float *from) {
  return *(const vector_t *)from;
}

/* out[i][j] += Σ over lines left[line][i]·right[line][j], for TALL rows and `across` vectors of columns. Lines are
 * `stride` floats apart. */
static ES_INLINE void tile(float *out, ptrdiff_t out_stride, const float *left, const float *right, ptrdiff_t lines,
                           ptrdiff_t stride, const int across) {
  vector_t sums[TALL][ACROSS_MOST] = {{{0}}};
  for (ptrdiff_t line = 0; line < lines; line++, left += stride, right += stride) {
    vector_t x[ACROSS_MOST];
    UNROLL for (int k = 0; k < across; k++) x[k] = load(right + k * VECTOR);
    UNROLL for (int i = 0; i < TALL; i++) {
      const float factor = left[i];
      UNROLL for (int k = 0; k < across; k++) sums[i][k] += factor * x[k];
    }
  }
  UNROLL for (int i = 0; i < TALL; i++) {
    UNROLL for (int k = 0; k < across; k++) * (vector_t *)(out + i * out_stride + k * VECTOR) += sums[i][k];
  }
}

static void tiles(float *product, const float *rows, ptrdiff_t n, ptrdiff_t width) {
  for (ptrdiff_t block = 0; block < n; block += BLOCK) {
    const ptrdiff_t lines = n - block < BLOCK ? n - block : BLOCK;
    const float *x = rows + block * width;
    for (ptrdiff_t i = 0; i < width; i += TALL) {
      ptrdiff_t j = 0;
      for (; j + ACROSS_MOST * VECTOR <= (i / SYRK_TILE + 1) * SYRK_TILE; j += ACROSS_MOST * VECTOR)
        tile(product + i * width + j, width, x + i, x + j, lines, width, ACROSS_MOST);
      for (; j < i + TALL; j += SYRK_TILE) tile(product + i * width + j, width, x + i, x + j, lines, width, ACROSS);
    }
  }
}

/* Centres SYRK_TILE columns of `lines` lines, a multiple of `abreast`, and adds to sums and squares. */
static ES_INLINE void centre_columns(float *out, float *sums, float *squares, const float *rows, ptrdiff_t lines,
                                     ptrdiff_t width, const float *shift, const int abreast) {
  vector_t mean[ACROSS], sum[ABREAST][ACROSS] = {{{0}}}, square[ABREAST][ACROSS] = {{{0}}};
  UNROLL for (int k = 0; k < ACROSS; k++) mean[k] = load(shift + k * VECTOR);
  for (ptrdiff_t line = 0; line < lines; line += abreast, rows += abreast * width, out += abreast * width) {
    UNROLL for (int a = 0; a < abreast; a++) {
      UNROLL for (int k = 0; k < ACROSS; k++) {
        const vector_t d = load(rows + a * width + k * VECTOR) - mean[k];
        *(vector_t *)(out + a * width + k * VECTOR) = d;
        sum[a][k] += d;
        square[a][k] += d * d;
      }
    }
  }
  UNROLL for (int a = 0; a < abreast; a++) {
    UNROLL for (int k = 0; k < ACROSS; k++) {
      *(vector_t *)(sums + k * VECTOR) += sum[a][k];
      *(vector_t *)(squares + k * VECTOR) += square[a][k];
    }
  }
}

static void centre(float *out, float *sums, float *squares, const float *rows, ptrdiff_t n, ptrdiff_t width,
                   const float *shift) {
  const ptrdiff_t even = n - n % ABREAST, rest = even * width;
  memset(sums, 0, (size_t)width * sizeof *sums);
  memset(squares, 0, (size_t)width * sizeof *squares);
  for (ptrdiff_t j = 0; j < width; j += SYRK_TILE) {
    centre_columns(out + j, sums + j, squares + j, rows + j, even, width, shift + j, ABREAST);
    centre_columns(out + rest + j, sums + j, squares + j, rows + rest + j, n - even, width, shift + j, 1);
  }
}

#ifdef CENTRED_MOST
static ES_INLINE vector_t shuffled(vector_t v, lanes_t by) {
#ifdef __clang__ /* clang has no such function, and makes one instruction of this where `by` is constant */
  vector_t out;
  UNROLL for (int i = 0; i < VECTOR; i++) out[i] = v[by[i]];
  return out;
#else
  return __builtin_shuffle(v, by);
#endif
}

/* A vector holds VECTOR / width rows. Rotating each row by r gives the second factor of the products of all columns
 * that are r apart; r = 0 … width / 2 covers every pair. */
static ES_INLINE void turn_lines(float turned[TURNS_MOST][VECTOR], double *sums, const float *rows, ptrdiff_t lines,
                                 const float *shift, const int width) {
  lanes_t turn[TURNS_MOST];
  vector_t products[TURNS_MOST], sum = {0};
  const vector_t mean = load(shift);
  UNROLL for (int r = 0; r <= width / 2; r++) {
    products[r] = (vector_t){0};
    UNROLL for (int i = 0; i < VECTOR; i++) turn[r][i] = i / width * width + (i + r) % width;
  }
  for (ptrdiff_t line = 0; line < lines; line++, rows += VECTOR) {
    const vector_t d = load(rows) - mean;
    sum += d;
    products[0] += d * d;
    UNROLL for (int r = 1; r <= width / 2; r++) products[r] += d * shuffled(d, turn[r]);
  }
  UNROLL for (int r = 0; r <= width / 2; r++) * (vector_t *)turned[r] += products[r];
  for (int i = 0; i < VECTOR; i++) sums[i % width] += (double)sum[i];
}

static ES_INLINE void centred_rows(float *product, double *sums, const float *rows, ptrdiff_t n, const float *shift,
                                   const int width) {
  float turned[TURNS_MOST][VECTOR] = {{0}}, last[VECTOR];
  const ptrdiff_t lines = n * width / VECTOR, rest = n * width - lines * VECTOR;
  for (ptrdiff_t i = 0; i < lines; i += CENTRED_BLOCK)
    turn_lines(turned, sums, rows + i * VECTOR, lines - i < CENTRED_BLOCK ? lines - i : CENTRED_BLOCK, shift, width);
  memcpy(last, shift, sizeof last); /* rows without deviation fill the last line */
  memcpy(last, rows + lines * VECTOR, (size_t)rest * sizeof *last);
  turn_lines(turned, sums, last, 1, shift, width);
  for (int r = 0; r <= width / 2; r++) {
    for (int i = 0; i < width; i++) {
      const int j = (i + r) % width, row = i > j ? i : j, column = i > j ? j : i;
      float value = 0.0f;
      for (int k = i; k < VECTOR; k += width) value += turned[r][k];
      product[row * width + column] = value;
    }
  }
}

static void centred(float *product, double *sums, const float *rows, ptrdiff_t n, ptrdiff_t width, const float *shift) {
  for (ptrdiff_t j = 0; j < width; j++) sums[j] = 0.0;
  if (width == 8 && CENTRED_MOST >= 8)
    centred_rows(product, sums, rows, n, shift, 8);
  else if (width == 4)
    centred_rows(product, sums, rows, n, shift, 4);
  else if (width == 2)
    centred_rows(product, sums, rows, n, shift, 2);
  else
    centred_rows(product, sums, rows, n, shift, 1);
}
#else
#define centred      NULL
#define CENTRED_MOST 0
#endif

const es_syrk_kernels_t NAME = {tiles, centre, centred, CENTRED_MOST};
