/* Rows of the methods, for one type of number. methods.c includes this file with REAL, MOST (its largest number) and
 * NAME(function) defined. */

static const REAL *NAME(as_it_is)(const REAL *out, ES_UNUSED int64_t samples, ES_UNUSED es_shape_t shape,
                                  ES_UNUSED int32_t size, ES_UNUSED REAL *scratch) {
  return out;
}

/* mean, max, median: over the positions of a sample. */

/* True if no sum overflowed. If one did, its mean is computed again in UNIT, which is exact. */
ES_KERNEL
static bool NAME(is_finite)(const REAL *row, int64_t channels) {
  int32_t finite = 1;
  for (int64_t c = 0; c < channels; c++) finite &= row[c] >= -MOST && row[c] <= MOST;
  return finite;
}

ES_KERNEL
static void NAME(mean_sample)(REAL *row, const REAL *out, int64_t count, int64_t channels, REAL unit) {
  for (int64_t c = 0; c < channels; c++) row[c] = 0;
  for (int64_t p = 0; p < count; p++) {
    for (int64_t c = 0; c < channels; c++) row[c] += unit * out[p * channels + c];
  }
  for (int64_t c = 0; c < channels; c++) row[c] /= unit * (REAL)count;
}

/* If any value is NaN, the result is NaN. */
ES_KERNEL
static void NAME(max_sample)(REAL *row, const REAL *out, int64_t count, int64_t channels) {
  for (int64_t c = 0; c < channels; c++) row[c] = out[c];
  for (int64_t p = 1; p < count; p++) {
    for (int64_t c = 0; c < channels; c++) {
      const REAL v = out[p * channels + c];
      row[c] = row[c] >= v || row[c] != row[c] ? row[c] : v;
    }
  }
}

static int NAME(compare)(const void *a, const void *b) {
  const REAL x = *(const REAL *)a, y = *(const REAL *)b;
  return (x > y) - (x < y);
}

/* The middle value, or the lower of the two middle values, as torch.median. If any value is NaN, the result is NaN. */
static void NAME(median_sample)(REAL *row, const REAL *out, int64_t count, int64_t channels, REAL *column) {
  for (int64_t c = 0; c < channels; c++) {
    REAL nan = 0;
    for (int64_t p = 0; p < count; p++) {
      column[p] = out[p * channels + c];
      if (column[p] != column[p]) nan = column[p];
    }
    qsort(column, (size_t)count, sizeof *column, NAME(compare));
    row[c] = column[(count - 1) / 2];
    if (nan != nan) row[c] = nan;
  }
}

static const REAL *NAME(mean_rows)(const REAL *out, int64_t samples, es_shape_t shape, ES_UNUSED int32_t size,
                                   REAL *scratch) {
  const int64_t sample = es_shape_size(shape);
  for (int64_t i = 0; i < samples; i++) {
    REAL *row = scratch + i * shape.c;
    NAME(mean_sample)(row, out + i * sample, positions(shape), shape.c, 1);
    if (!NAME(is_finite)(row, shape.c)) NAME(mean_sample)(row, out + i * sample, positions(shape), shape.c, (REAL)UNIT);
  }
  return scratch;
}

static const REAL *NAME(max_rows)(const REAL *out, int64_t samples, es_shape_t shape, ES_UNUSED int32_t size,
                                  REAL *scratch) {
  const int64_t sample = es_shape_size(shape);
  for (int64_t i = 0; i < samples; i++)
    NAME(max_sample)(scratch + i * shape.c, out + i * sample, positions(shape), shape.c);
  return scratch;
}

static const REAL *NAME(median_rows)(const REAL *out, int64_t samples, es_shape_t shape, ES_UNUSED int32_t size,
                                     REAL *scratch) {
  const int64_t sample = es_shape_size(shape);
  REAL *column = scratch + (int64_t)ES_SLICE_MAX * shape.c;
  for (int64_t i = 0; i < samples; i++)
    NAME(median_sample)(scratch + i * shape.c, out + i * sample, positions(shape), shape.c, column);
  return scratch;
}

/* Mean of one cell of one sample. */
ES_KERNEL
static void NAME(pool_cell)(REAL *row, const REAL *out, es_shape_t shape, cell_t cell, REAL unit) {
  const int64_t channels = shape.c;
  for (int64_t c = 0; c < channels; c++) row[c] = 0;
  for (int32_t y = cell.y0; y < cell.y1; y++) {
    for (int32_t x = cell.x0; x < cell.x1; x++) {
      const REAL *p = out + ((int64_t)y * shape.w + x) * channels;
      for (int64_t c = 0; c < channels; c++) row[c] += unit * p[c];
    }
  }
  const REAL count = (REAL)((cell.y1 - cell.y0) * (cell.x1 - cell.x0));
  for (int64_t c = 0; c < channels; c++) row[c] /= unit * count;
}

/* Averages each sample to rows × columns cells. */
static const REAL *NAME(pool_cells)(const REAL *out, int64_t samples, es_shape_t shape, int32_t rows, int32_t columns,
                                    REAL *scratch) {
  REAL *row = scratch;
  for (int64_t i = 0; i < samples; i++, out += es_shape_size(shape)) {
    for (int32_t y = 0; y < rows; y++) {
      for (int32_t x = 0; x < columns; x++, row += shape.c) {
        const cell_t cell = {cell_start(y, shape.h, rows), cell_end(y, shape.h, rows), cell_start(x, shape.w, columns),
                             cell_end(x, shape.w, columns)};
        NAME(pool_cell)(row, out, shape, cell, 1);
        if (!NAME(is_finite)(row, shape.c)) NAME(pool_cell)(row, out, shape, cell, (REAL)UNIT);
      }
    }
  }
  return scratch;
}

static const REAL *NAME(pool_rows)(const REAL *out, int64_t samples, es_shape_t shape, int32_t size, REAL *scratch) {
  return single(shape) ? out : NAME(pool_cells)(out, samples, shape, size, size, scratch);
}

static const REAL *NAME(token_pool_rows)(const REAL *out, int64_t samples, es_shape_t shape, int32_t size,
                                         REAL *scratch) {
  return NAME(pool_cells)(out, samples, shape, size, 1, scratch);
}

static const REAL *NAME(position_rows)(const REAL *out, int64_t samples, es_shape_t shape, int64_t position,
                                       REAL *scratch) {
  const int64_t sample = es_shape_size(shape);
  for (int64_t i = 0; i < samples; i++)
    memcpy(scratch + i * shape.c, out + i * sample + position * shape.c, (size_t)shape.c * sizeof *scratch);
  return scratch;
}

static const REAL *NAME(first_rows)(const REAL *out, int64_t samples, es_shape_t shape, ES_UNUSED int32_t size,
                                    REAL *scratch) {
  return single(shape) ? out : NAME(position_rows)(out, samples, shape, 0, scratch);
}

static const REAL *NAME(last_rows)(const REAL *out, int64_t samples, es_shape_t shape, ES_UNUSED int32_t size,
                                   REAL *scratch) {
  return single(shape) ? out : NAME(position_rows)(out, samples, shape, positions(shape) - 1, scratch);
}

static const REAL *NAME(nearest_rows)(const REAL *out, int64_t samples, es_shape_t shape, int32_t size, REAL *scratch) {
  const int32_t h = shape.h > size ? size : shape.h, w = shape.w > size ? size : shape.w;
  if (h == shape.h && w == shape.w) return out;
  REAL *row = scratch;
  for (int64_t i = 0; i < samples; i++, out += es_shape_size(shape)) {
    for (int32_t y = 0; y < h; y++) {
      const REAL *line = out + (int64_t)cell_start(y, shape.h, h) * shape.w * shape.c;
      for (int32_t x = 0; x < w; x++, row += shape.c)
        memcpy(row, line + (int64_t)cell_start(x, shape.w, w) * shape.c, (size_t)shape.c * sizeof *row);
    }
  }
  return scratch;
}
