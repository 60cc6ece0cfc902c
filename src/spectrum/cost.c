/* What a solve costs, for plans. */
#include "parts.h"

double es_spectrum_seconds(int32_t order, int ranks, bool vectors) {
  const double n = order;
  (void)ranks;
  return 1e-10 * n * n * n * (vectors ? 2.5 : 1.0);
}

int64_t es_spectrum_bytes(int32_t order, int ranks, bool vectors) {
  const int64_t n = order;
  (void)ranks;
  return 8 * n * n * (vectors ? 3 : 1);
}
