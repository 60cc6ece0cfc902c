/* The loops of pool.c for one type of number. pool.c includes this file with REAL and NAME(function) defined. */

ES_KERNEL
static void NAME(average)(REAL *restrict out, const REAL *restrict in, int64_t stride, int32_t rows, int32_t columns,
                          int64_t c) {
  for (int64_t j = 0; j < c; j++) out[j] = 0;
  for (int32_t y = 0; y < rows; y++) {
    for (int32_t x = 0; x < columns; x++) {
      for (int64_t j = 0; j < c; j++) out[j] += in[y * stride + x * c + j];
    }
  }
  const REAL count = (REAL)rows * (REAL)columns;
  for (int64_t j = 0; j < c; j++) out[j] /= count;
}

static void NAME(pool)(REAL *rows, const REAL *outputs, int64_t samples, const es_probe_pooling_t *p) {
  const int32_t high = shrunk(p->h, p->pool), wide = shrunk(p->w, p->pool), w = p->w, c = p->c;
  for (int64_t i = 0; i < samples; i++, outputs += (int64_t)p->h * w * c) {
    for (int32_t y = 0; y < high; y++) {
      int32_t y0, y1, x0, x1;
      cell(y, high, p->h, &y0, &y1);
      for (int32_t x = 0; x < wide; x++, rows += c) {
        cell(x, wide, w, &x0, &x1);
        NAME(average)(rows, outputs + ((int64_t)y0 * w + x0) * c, (int64_t)w * c, y1 - y0, x1 - x0, c);
      }
    }
  }
}
