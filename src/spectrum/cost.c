/* Forecasts time and memory of a solve, for plans. */
#include "spectrum_internal.h"

static bool is_collective(int32_t order, int ranks) {
  const es_spectrum_backend_t *backend;
  return es_spectrum_choose(&backend, ES_CHOOSE_AUTO, order, ranks, &(es_status_t){0}) == ES_OK && backend->collective;
}

/* Seconds for the eigenvalues: (cubic·n³ + square·n²)/ranks + line·n, fitted by `tests/bench/spectrum.py --fit`. The
 * last term is the cost of messages. Vectors multiply the time by `vectors` (`bench spectrum --vectors`). */
typedef struct model {
  double cubic, square, line, vectors;
} model_t;
/* Measured on Intel Xeon (Sapphire Rapids) with AVX-512, 2 cores, OpenBLAS 0.3.21, orders 512 … 8192. */
static const model_t alone = {3.19e-11, 4.32e-8, 0.0, 2.5}, together = {6.84e-11, 3.68e-8, 4.91e-5, 2.5};

double es_spectrum_seconds(int32_t order, int ranks, bool vectors) {
  const bool collective = is_collective(order, ranks);
  const model_t *m = collective ? &together : &alone;
  const double n = order;
  const double seconds = n * n * (m->cubic * n + m->square) / (collective ? ranks : 1) + m->line * n;
  return vectors ? m->vectors * seconds : seconds;
}

int64_t es_spectrum_bytes(int32_t order, int ranks, bool vectors) {
  const int64_t n = order;
  if (!is_collective(order, ranks)) return 8 * n * n * (vectors ? 3 : 1);
  /* The band and panels of the same width; with vectors also pdsyevd's workspace (twice the blocks) and the vectors. */
  const int64_t panels = 3 * 8 * (ES_SPECTRUM_BLOCK + 1) * n;
  return panels + (vectors ? 3 * es_dist_matrix_bytes(order, ES_SPECTRUM_BLOCK, ranks) : 0);
}
