/* Methods that turn outputs into rows of a data matrix. In NHWC, channelwise and flatten need no copy. */
#include "eigenscope/capture.h"
#include "eigenscope/kernel.h"
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int64_t positions(es_shape_t shape) {
  return (int64_t)shape.h * shape.w;
}

/* Limits the width to an int32. The caller refuses such a layer as too wide. */
static int32_t bounded(int64_t width) {
  return width > INT32_MAX ? INT32_MAX : (int32_t)width;
}

static int64_t no_scratch(ES_UNUSED es_shape_t shape, ES_UNUSED int32_t size) {
  return 0;
}

static int32_t channels_width(es_shape_t shape, ES_UNUSED int32_t size) {
  return shape.c;
}

/* Scratch for one row of each sample and one column of positions (median). */
static int64_t row_scratch(es_shape_t shape, ES_UNUSED int32_t size) {
  return (int64_t)ES_SLICE_MAX * shape.c + positions(shape);
}

static int64_t every_position(es_shape_t shape, ES_UNUSED int32_t size) {
  return positions(shape);
}

static int64_t one_row(ES_UNUSED es_shape_t shape, ES_UNUSED int32_t size) {
  return 1;
}

/* channelwise: every position of every sample is a row. flatten: every sample is a row. */

static const float *as_it_is(const float *out, ES_UNUSED int64_t samples, ES_UNUSED es_shape_t shape,
                             ES_UNUSED int32_t size, ES_UNUSED float *scratch) {
  return out;
}

static int32_t flatten_width(es_shape_t shape, ES_UNUSED int32_t size) {
  return bounded(es_shape_size(shape));
}

/* mean, max, median: over the positions of a sample. */

/* True if no sum overflowed. If one did, its mean is computed again in UNIT, which is exact. */
ES_KERNEL
static bool is_finite(const float *row, int64_t channels) {
  int32_t finite = 1;
  for (int64_t c = 0; c < channels; c++) finite &= fabsf(row[c]) <= FLT_MAX;
  return finite;
}

static const float ONE = 1.0f, UNIT = 0x1p-32f;

ES_KERNEL
static void mean_sample(float *row, const float *out, int64_t count, int64_t channels, float unit) {
  for (int64_t c = 0; c < channels; c++) row[c] = 0.0f;
  for (int64_t p = 0; p < count; p++) {
    for (int64_t c = 0; c < channels; c++) row[c] += unit * out[p * channels + c];
  }
  for (int64_t c = 0; c < channels; c++) row[c] /= unit * (float)count;
}

/* If any value is NaN, the result is NaN. */
ES_KERNEL
static void max_sample(float *row, const float *out, int64_t count, int64_t channels) {
  for (int64_t c = 0; c < channels; c++) row[c] = out[c];
  for (int64_t p = 1; p < count; p++) {
    for (int64_t c = 0; c < channels; c++) {
      const float v = out[p * channels + c];
      row[c] = row[c] >= v || row[c] != row[c] ? row[c] : v;
    }
  }
}

static int compare_floats(const void *a, const void *b) {
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The middle value, or the lower of the two middle values, as torch.median. If any value is NaN, the result is NaN. */
static void median_sample(float *row, const float *out, int64_t count, int64_t channels, float *column) {
  for (int64_t c = 0; c < channels; c++) {
    float nan = 0.0f;
    for (int64_t p = 0; p < count; p++) {
      column[p] = out[p * channels + c];
      if (column[p] != column[p]) nan = column[p];
    }
    qsort(column, (size_t)count, sizeof *column, compare_floats);
    row[c] = column[(count - 1) / 2];
    if (nan != nan) row[c] = nan;
  }
}

static const float *mean_rows(const float *out, int64_t samples, es_shape_t shape, ES_UNUSED int32_t size,
                              float *scratch) {
  const int64_t sample = es_shape_size(shape);
  for (int64_t i = 0; i < samples; i++) {
    float *row = scratch + i * shape.c;
    mean_sample(row, out + i * sample, positions(shape), shape.c, ONE);
    if (!is_finite(row, shape.c)) mean_sample(row, out + i * sample, positions(shape), shape.c, UNIT);
  }
  return scratch;
}

static const float *max_rows(const float *out, int64_t samples, es_shape_t shape, ES_UNUSED int32_t size,
                             float *scratch) {
  const int64_t sample = es_shape_size(shape);
  for (int64_t i = 0; i < samples; i++) max_sample(scratch + i * shape.c, out + i * sample, positions(shape), shape.c);
  return scratch;
}

static const float *median_rows(const float *out, int64_t samples, es_shape_t shape, ES_UNUSED int32_t size,
                                float *scratch) {
  const int64_t sample = es_shape_size(shape);
  float *column = scratch + (int64_t)ES_SLICE_MAX * shape.c;
  for (int64_t i = 0; i < samples; i++)
    median_sample(scratch + i * shape.c, out + i * sample, positions(shape), shape.c, column);
  return scratch;
}

/* pool: adaptive average to size × size as in PyTorch's AdaptiveAvgPool2d, flattened. Cell i covers ⌊i·h/k⌋ …
 * ⌈(i+1)·h/k⌉ − 1, so small maps are repeated. Outputs with a single position are used unchanged. */

static bool single(es_shape_t shape) {
  return shape.h == 1 && shape.w == 1;
}

static int32_t pool_width(es_shape_t shape, int32_t size) {
  return single(shape) ? shape.c : bounded((int64_t)size * size * shape.c);
}

static int64_t pool_scratch(es_shape_t shape, int32_t size) {
  return (int64_t)ES_SLICE_MAX * pool_width(shape, size);
}

/* Positions of a cell. */
typedef struct cell {
  int32_t y0, y1, x0, x1;
} cell_t;

/* Mean of one cell of one sample. */
ES_KERNEL
static void pool_cell(float *row, const float *out, es_shape_t shape, cell_t cell, float unit) {
  const int64_t channels = shape.c;
  for (int64_t c = 0; c < channels; c++) row[c] = 0.0f;
  for (int32_t y = cell.y0; y < cell.y1; y++) {
    for (int32_t x = cell.x0; x < cell.x1; x++) {
      const float *p = out + ((int64_t)y * shape.w + x) * channels;
      for (int64_t c = 0; c < channels; c++) row[c] += unit * p[c];
    }
  }
  const float count = (float)((cell.y1 - cell.y0) * (cell.x1 - cell.x0));
  for (int64_t c = 0; c < channels; c++) row[c] /= unit * count;
}

static int32_t cell_start(int32_t i, int32_t length, int32_t size) {
  return (int32_t)((int64_t)i * length / size);
}

static int32_t cell_end(int32_t i, int32_t length, int32_t size) {
  return (int32_t)((((int64_t)i + 1) * length + size - 1) / size);
}

static const float *pool_rows(const float *out, int64_t samples, es_shape_t shape, int32_t size, float *scratch) {
  if (single(shape)) return out;
  float *row = scratch;
  for (int64_t i = 0; i < samples; i++, out += es_shape_size(shape)) {
    for (int32_t y = 0; y < size; y++) {
      for (int32_t x = 0; x < size; x++, row += shape.c) {
        const cell_t cell = {cell_start(y, shape.h, size), cell_end(y, shape.h, size), cell_start(x, shape.w, size),
                             cell_end(x, shape.w, size)};
        pool_cell(row, out, shape, cell, ONE);
        if (!is_finite(row, shape.c)) pool_cell(row, out, shape, cell, UNIT);
      }
    }
  }
  return scratch;
}

/* nearest: the authors' subsampling to size × size (position ⌊i·h/k⌋, as in PyTorch's interpolate), then channelwise.
 * Smaller maps are used unchanged. */

static int64_t nearest_positions(es_shape_t shape, int32_t size) {
  return (int64_t)(shape.h > size ? size : shape.h) * (shape.w > size ? size : shape.w);
}

static int64_t nearest_scratch(es_shape_t shape, int32_t size) {
  const int64_t h = shape.h > size ? size : shape.h, w = shape.w > size ? size : shape.w;
  return (int64_t)ES_SLICE_MAX * h * w * shape.c;
}

static const float *nearest_rows(const float *out, int64_t samples, es_shape_t shape, int32_t size, float *scratch) {
  const int32_t h = shape.h > size ? size : shape.h, w = shape.w > size ? size : shape.w;
  if (h == shape.h && w == shape.w) return out;
  float *row = scratch;
  for (int64_t i = 0; i < samples; i++, out += es_shape_size(shape)) {
    for (int32_t y = 0; y < h; y++) {
      const float *line = out + (int64_t)cell_start(y, shape.h, h) * shape.w * shape.c;
      for (int32_t x = 0; x < w; x++, row += shape.c)
        memcpy(row, line + (int64_t)cell_start(x, shape.w, w) * shape.c, (size_t)shape.c * sizeof *row);
    }
  }
  return scratch;
}

static const es_method_t methods[] = {
    [ES_METHOD_CHANNELWISE] = {"channelwise", channels_width, as_it_is, every_position, no_scratch},
    [ES_METHOD_MEAN] = {"mean", channels_width, mean_rows, one_row, row_scratch},
    [ES_METHOD_MAX] = {"max", channels_width, max_rows, one_row, row_scratch},
    [ES_METHOD_MEDIAN] = {"median", channels_width, median_rows, one_row, row_scratch},
    [ES_METHOD_FLATTEN] = {"flatten", flatten_width, as_it_is, one_row, no_scratch},
    [ES_METHOD_POOL] = {"pool", pool_width, pool_rows, one_row, pool_scratch},
    [ES_METHOD_NEAREST] = {"nearest", channels_width, nearest_rows, nearest_positions, nearest_scratch},
};

const es_method_t *es_method(es_method_kind_t kind) {
  return (size_t)kind < sizeof methods / sizeof *methods ? &methods[kind] : NULL;
}
