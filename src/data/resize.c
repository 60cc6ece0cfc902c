/* Reimplements PIL's Image.resize(BILINEAR), which torchvision's Resize applies to PIL images, bit for bit (Pillow,
 * src/libImaging/Resample.c): a triangle filter, stretched by the scale when shrinking (antialias), weights with 22
 * fractional bits; horizontal pass first, rounded to 8 bits, then the vertical pass. */
#include "eigenscope/resize.h"
#include "eigenscope/kernel.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { WEIGHT_BITS = 22, ROUNDING = 1 << (WEIGHT_BITS - 1) };

static double triangle(double x) {
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

/* Computes the weights of output `at`, the x-th kept one, in Pillow's order of operations for equal rounding. */
static void fill_output(es_taps_t *taps, int32_t x, int32_t at, int32_t n_in, double scale, double stretch,
                        double *scratch) {
  double center = (at + 0.5) * scale, per_pixel = 1.0 / stretch, total = 0;
  int32_t first = (int32_t)(center - stretch + 0.5), end = (int32_t)(center + stretch + 0.5);
  if (first < 0) first = 0;
  if (end > n_in) end = n_in;
  for (int32_t t = 0; t < end - first; t++) {
    scratch[t] = triangle((t + first - center + 0.5) * per_pixel);
    total += scratch[t];
  }
  taps->first[x] = first;
  taps->count[x] = end - first;
  for (int32_t t = 0; t < end - first; t++) {
    double weight = total != 0.0 ? scratch[t] / total : scratch[t];
    taps->weight[(int64_t)x * taps->width + t] = (int32_t)(0.5 + weight * (1 << WEIGHT_BITS));
  }
}

/* Computes the weights of outputs from … from+kept−1 of n_out. False when out of memory. */
static bool make_taps(es_taps_t *out, es_owned_t *memory, int32_t n_in, int32_t n_out, int32_t from, int32_t kept) {
  double scale = (double)n_in / n_out, stretch = scale < 1.0 ? 1.0 : scale;
  out->width = (int32_t)ceil(stretch) * 2 + 1;
  out->first = es_owned_allocate(memory, (size_t)kept, sizeof *out->first);
  out->count = es_owned_allocate(memory, (size_t)kept, sizeof *out->count);
  out->weight = es_owned_allocate_zero(memory, (size_t)kept * (size_t)out->width, sizeof *out->weight);
  double *scratch = es_owned_allocate(memory, (size_t)out->width, sizeof *scratch);
  for (int32_t x = 0; !memory->failed && x < kept; x++) fill_output(out, x, from + x, n_in, scale, stretch, scratch);
  return !memory->failed;
}

bool es_resizer_create(es_resizer_t *out, const es_resize_t *shape) {
  size_t row = (size_t)shape->n_columns * (size_t)shape->channels;
  *out = (es_resizer_t){.shape = *shape};
  es_owned_t *memory = &out->memory;
  out->between = es_owned_allocate(memory, (size_t)shape->height, row);
  out->sums = es_owned_allocate(memory, row, sizeof *out->sums);
  if (make_taps(&out->horizontal, memory, shape->width, shape->to_width, shape->left, shape->n_columns) &&
      make_taps(&out->vertical, memory, shape->height, shape->to_height, shape->top, shape->n_rows))
    return true;
  es_resizer_destroy(out);
  return false;
}

void es_resizer_destroy(es_resizer_t *resizer) {
  es_owned_free(&resizer->memory);
  *resizer = (es_resizer_t){0};
}

/* Weights are not negative and add up to about 1, so only the top needs a clip. */
static ES_INLINE uint8_t to_byte(int32_t sum) {
  int32_t value = sum >> WEIGHT_BITS;
  return (uint8_t)(value > 255 ? 255 : value);
}

void es_taps_row(const es_taps_t *taps, const uint8_t *in, int32_t n_out, int32_t channels, uint8_t *out) {
  for (int32_t x = 0; x < n_out; x++) {
    const int32_t *weight = taps->weight + (int64_t)x * taps->width;
    const uint8_t *pixel = in + (int64_t)taps->first[x] * channels;
    for (int32_t c = 0; c < channels; c++) {
      int32_t sum = ROUNDING;
      for (int32_t t = 0; t < taps->count[x]; t++) sum += pixel[t * channels + c] * weight[t];
      *out++ = to_byte(sum);
    }
  }
}

void es_taps_enlarge(es_taps_t *out, int32_t n_in, int32_t n_out) {
  double scratch[ES_ENLARGING_TAPS];
  const double scale = (double)n_in / n_out;
  assert(n_in <= n_out && out->width == ES_ENLARGING_TAPS);
  for (int32_t x = 0; x < n_out; x++) fill_output(out, x, x, n_in, scale, 1.0, scratch);
}

void es_taps_column(const es_taps_t *taps, int32_t y, const uint8_t *const *rows, int64_t n, uint8_t *out) {
  const int32_t *weight = taps->weight + (int64_t)y * taps->width, count = taps->count[y];
  for (int64_t i = 0; i < n; i++) {
    int32_t sum = ROUNDING;
    for (int32_t t = 0; t < count; t++) sum += rows[t][i] * weight[t];
    out[i] = to_byte(sum);
  }
}

ES_KERNEL static void add_row(int32_t *restrict sums, const uint8_t *restrict row, int32_t weight, int64_t n) {
  for (int64_t i = 0; i < n; i++) sums[i] += row[i] * weight;
}

ES_KERNEL static void round_row(uint8_t *restrict out, const int32_t *restrict sums, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = to_byte(sums[i]);
}

void es_resizer_apply(es_resizer_t *resizer, const uint8_t *image, uint8_t *out) {
  const es_resize_t *shape = &resizer->shape;
  const es_taps_t *taps = &resizer->vertical;
  int64_t row = (int64_t)shape->n_columns * shape->channels, row_in = (int64_t)shape->width * shape->channels;
  int32_t last = shape->n_rows - 1, end = taps->first[last] + taps->count[last];
  for (int32_t y = taps->first[0]; y < end; y++) { /* only the rows that the window needs */
    es_taps_row(&resizer->horizontal, image + y * row_in, shape->n_columns, shape->channels,
                resizer->between + y * row);
  }
  for (int32_t y = 0; y < shape->n_rows; y++) {
    for (int64_t i = 0; i < row; i++) resizer->sums[i] = ROUNDING;
    for (int32_t t = 0; t < taps->count[y]; t++) {
      add_row(resizer->sums, resizer->between + (taps->first[y] + t) * row, taps->weight[(int64_t)y * taps->width + t],
              row);
    }
    round_row(out + y * row, resizer->sums, row);
  }
}
