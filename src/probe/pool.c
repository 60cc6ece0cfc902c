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

#define REAL       float
#define NAME(name) name
#include "pool_real.h"
#undef REAL
#undef NAME
#define REAL       double
#define NAME(name) name##_wide
#include "pool_real.h"

void es_probe_pool(void *rows, const void *outputs, int64_t samples, const es_probe_pooling_t *p) {
  if (p->is_double)
    pool_wide(rows, outputs, samples, p);
  else
    pool(rows, outputs, samples, p);
}
