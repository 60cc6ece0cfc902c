/* Methods that turn outputs into rows of a data matrix. In NHWC, channelwise and flatten need no copy. */
#include "eigenscope/capture.h"
#include "eigenscope/kernel.h"
#include <float.h>
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

static int32_t flatten_width(es_shape_t shape, ES_UNUSED int32_t size) {
  return bounded(es_shape_size(shape));
}

/* first, last: one position of the map, the first or last token. */

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

static int32_t token_pool_width(es_shape_t shape, int32_t size) {
  return bounded((int64_t)size * shape.c);
}

static int64_t token_pool_scratch(es_shape_t shape, int32_t size) {
  return (int64_t)ES_SLICE_MAX * token_pool_width(shape, size);
}

/* Positions of a cell. */
typedef struct cell {
  int32_t y0, y1, x0, x1;
} cell_t;

static int32_t cell_start(int32_t i, int32_t length, int32_t size) {
  return (int32_t)((int64_t)i * length / size);
}

static int32_t cell_end(int32_t i, int32_t length, int32_t size) {
  return (int32_t)((((int64_t)i + 1) * length + size - 1) / size);
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

static const double UNIT = 0x1p-32; /* for means whose sums overflow */

#define REAL       float
#define MOST       FLT_MAX
#define NAME(name) name
#include "methods_real.h"
#undef REAL
#undef MOST
#undef NAME
#define REAL       double
#define MOST       DBL_MAX
#define NAME(name) name##_wide
#include "methods_real.h"

static const es_method_t methods[] = {
    [ES_METHOD_CHANNELWISE] = {"channelwise", channels_width, as_it_is, as_it_is_wide, every_position, no_scratch},
    [ES_METHOD_MEAN] = {"mean", channels_width, mean_rows, mean_rows_wide, one_row, row_scratch},
    [ES_METHOD_MAX] = {"max", channels_width, max_rows, max_rows_wide, one_row, row_scratch},
    [ES_METHOD_MEDIAN] = {"median", channels_width, median_rows, median_rows_wide, one_row, row_scratch},
    [ES_METHOD_FLATTEN] = {"flatten", flatten_width, as_it_is, as_it_is_wide, one_row, no_scratch},
    [ES_METHOD_FIRST] = {"first", channels_width, first_rows, first_rows_wide, one_row, row_scratch},
    [ES_METHOD_LAST] = {"last", channels_width, last_rows, last_rows_wide, one_row, row_scratch},
    [ES_METHOD_POOL] = {"pool", pool_width, pool_rows, pool_rows_wide, one_row, pool_scratch},
    [ES_METHOD_NEAREST] = {"nearest", channels_width, nearest_rows, nearest_rows_wide, nearest_positions,
                           nearest_scratch},
};

static const es_method_t token_pool = {"pool",  token_pool_width,  token_pool_rows, token_pool_rows_wide,
                                       one_row, token_pool_scratch};

const es_method_t *es_method_of(es_method_kind_t kind, const es_node_t *node) {
  return kind == ES_METHOD_POOL && node->tokens ? &token_pool : es_method(kind);
}

const es_method_t *es_method(es_method_kind_t kind) {
  return (size_t)kind < sizeof methods / sizeof *methods ? &methods[kind] : NULL;
}
