/* Turns outputs of convolutions into features: adaptive average pooling. */
#include "eigenscope/kernel.h"
#include "eigenscope/probe.h"

static int32_t shrunk(int32_t length, int32_t pool) {
  return length < pool ? length : pool;
}

int32_t es_probe_width(int32_t h, int32_t w, int32_t c, int32_t pool) {
  const int64_t positions = (int64_t)shrunk(h, pool) * shrunk(w, pool);
  return positions > INT32_MAX / c ? INT32_MAX : (int32_t)(positions * c);
}

/* Computes the range of cell i, of `cells` cells over `length` positions. */
static void cell(int32_t i, int32_t cells, int32_t length, int32_t *first, int32_t *end) {
  *first = (int32_t)((int64_t)i * length / cells);
  *end = (int32_t)((((int64_t)i + 1) * length + cells - 1) / cells);
}

ES_KERNEL
static void average(float *restrict out, const float *restrict in, int64_t stride, int32_t rows, int32_t columns,
                    int64_t c) {
  for (int64_t j = 0; j < c; j++) out[j] = 0.0f;
  for (int32_t y = 0; y < rows; y++) {
    for (int32_t x = 0; x < columns; x++) {
      for (int64_t j = 0; j < c; j++) out[j] += in[y * stride + x * c + j];
    }
  }
  const float count = (float)rows * (float)columns;
  for (int64_t j = 0; j < c; j++) out[j] /= count;
}

void es_probe_pool(float *rows, const float *outputs, int64_t samples, int32_t h, int32_t w, int32_t c, int32_t pool) {
  const int32_t high = shrunk(h, pool), wide = shrunk(w, pool);
  for (int64_t i = 0; i < samples; i++, outputs += (int64_t)h * w * c) {
    for (int32_t y = 0; y < high; y++) {
      int32_t y0, y1, x0, x1;
      cell(y, high, h, &y0, &y1);
      for (int32_t x = 0; x < wide; x++, rows += c) {
        cell(x, wide, w, &x0, &x1);
        average(rows, outputs + ((int64_t)y0 * w + x0) * c, (int64_t)w * c, y1 - y0, x1 - x0, c);
      }
    }
  }
}
