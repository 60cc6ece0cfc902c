/* Resize is PIL's Image.resize(BILINEAR), which is what torchvision's Resize does to a PIL image, bit for bit (Pillow,
 * src/libImaging/Resample.c): a triangle filter, stretched by the scale when shrinking (antialias), with weights of 22
 * fractional bits, horizontally first, rounded to 8 bits, then vertically. Images that are not square are stretched to
 * a square. Pad centres the image in zeros and crops what does not fit; an odd surplus goes to the right and below. */
#include "fit.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

static const char STAGE[] = "data";

enum { WEIGHT_BITS = 22, ROUNDING = 1 << (WEIGHT_BITS - 1) };

static double triangle(double x) {
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

/* The weights of one output, in Pillow's order of operations, so that they round alike. */
static void fill_output(es_taps_t *taps, int32_t x, int32_t n_in, double scale, double stretch, double *scratch) {
  double center = (x + 0.5) * scale, per_pixel = 1.0 / stretch, total = 0;
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

static void taps_destroy(es_taps_t *taps) {
  es_free(taps->first);
  es_free(taps->count);
  es_free(taps->weight);
  *taps = (es_taps_t){0};
}

static bool taps_create(es_taps_t *out, int32_t n_in, int32_t n_out) {
  double scale = (double)n_in / n_out, stretch = scale < 1.0 ? 1.0 : scale;
  out->width = (int32_t)ceil(stretch) * 2 + 1;
  out->first = es_allocate((size_t)n_out, sizeof *out->first);
  out->count = es_allocate((size_t)n_out, sizeof *out->count);
  out->weight = es_allocate_zero((size_t)n_out * (size_t)out->width, sizeof *out->weight);
  double *scratch = es_allocate((size_t)out->width, sizeof *scratch);
  bool done = out->first != NULL && out->count != NULL && out->weight != NULL && scratch != NULL;
  for (int32_t x = 0; done && x < n_out; x++) fill_output(out, x, n_in, scale, stretch, scratch);
  es_free(scratch);
  return done;
}

es_code_t es_fitter_create(es_fitter_t *out, es_fit_t fit, const es_dataset_info_t *info, int32_t resolution,
                           es_status_t *status) {
  *out = (es_fitter_t){
      .fit = fit, .height = info->height, .width = info->width, .channels = info->channels, .resolution = resolution};
  if (fit != ES_FIT_RESIZE) return ES_OK;
  size_t row = (size_t)resolution * (size_t)info->channels;
  out->between = es_allocate((size_t)info->height, row);
  out->sums = es_allocate(row, sizeof *out->sums);
  if (out->between != NULL && out->sums != NULL && taps_create(&out->horizontal, info->width, resolution) &&
      taps_create(&out->vertical, info->height, resolution)) {
    return ES_OK;
  }
  es_fitter_destroy(out);
  return es_fail(status, ES_SYSTEM, STAGE, "not enough memory to resize images of %d x %d to %d x %d", info->height,
                 info->width, resolution, resolution);
}

void es_fitter_destroy(es_fitter_t *fitter) {
  taps_destroy(&fitter->horizontal);
  taps_destroy(&fitter->vertical);
  es_free(fitter->between);
  es_free(fitter->sums);
  *fitter = (es_fitter_t){0};
}

/* Weights are not negative and add up to about 1: only the top needs a clip. */
static ES_INLINE uint8_t to_byte(int32_t sum) {
  int32_t value = sum >> WEIGHT_BITS;
  return (uint8_t)(value > 255 ? 255 : value);
}

static void resize_row(const es_taps_t *taps, const uint8_t *in, int32_t n_out, int32_t channels, uint8_t *out) {
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

ES_KERNEL static void add_row(int32_t *restrict sums, const uint8_t *restrict row, int32_t weight, int64_t n) {
  for (int64_t i = 0; i < n; i++) sums[i] += row[i] * weight;
}

ES_KERNEL static void round_row(uint8_t *restrict out, const int32_t *restrict sums, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = to_byte(sums[i]);
}

static void resize(es_fitter_t *fitter, const uint8_t *image, uint8_t *out) {
  int64_t row = (int64_t)fitter->resolution * fitter->channels, row_in = (int64_t)fitter->width * fitter->channels;
  for (int32_t y = 0; y < fitter->height; y++) {
    resize_row(&fitter->horizontal, image + y * row_in, fitter->resolution, fitter->channels,
               fitter->between + y * row);
  }
  const es_taps_t *taps = &fitter->vertical;
  for (int32_t y = 0; y < fitter->resolution; y++) {
    for (int64_t i = 0; i < row; i++) fitter->sums[i] = ROUNDING;
    for (int32_t t = 0; t < taps->count[y]; t++) {
      add_row(fitter->sums, fitter->between + (taps->first[y] + t) * row, taps->weight[(int64_t)y * taps->width + t],
              row);
    }
    round_row(out + y * row, fitter->sums, row);
  }
}

/* Where the overlap of n_in and n_out pixels, centred on each other, begins in each, and how long it is. */
static void centre(int32_t n_in, int32_t n_out, int32_t *from, int32_t *to, int32_t *count) {
  *from = n_in > n_out ? (n_in - n_out) / 2 : 0;
  *to = n_out > n_in ? (n_out - n_in) / 2 : 0;
  *count = n_in < n_out ? n_in : n_out;
}

static void pad(const es_fitter_t *fitter, const uint8_t *image, uint8_t *out) {
  int32_t from_y, to_y, rows, from_x, to_x, columns;
  centre(fitter->height, fitter->resolution, &from_y, &to_y, &rows);
  centre(fitter->width, fitter->resolution, &from_x, &to_x, &columns);
  int64_t row = (int64_t)fitter->resolution * fitter->channels;
  memset(out, 0, (size_t)(fitter->resolution * row));
  for (int32_t y = 0; y < rows; y++) {
    memcpy(out + (to_y + y) * row + (int64_t)to_x * fitter->channels,
           image + ((int64_t)(from_y + y) * fitter->width + from_x) * fitter->channels,
           (size_t)columns * (size_t)fitter->channels);
  }
}

void es_fitter_apply(es_fitter_t *fitter, const uint8_t *image, uint8_t *out) {
  if (fitter->height == fitter->resolution && fitter->width == fitter->resolution) {
    memcpy(out, image, (size_t)fitter->height * (size_t)fitter->width * (size_t)fitter->channels);
  } else if (fitter->fit == ES_FIT_RESIZE) {
    resize(fitter, image, out);
  } else {
    pad(fitter, image, out);
  }
}
