#include "eigenscope/saturation.h"
#include <math.h>
#include <stdbool.h>

/* Sums in the order of the eigenvalues, so that the last cumulative sum equals the total and k ≤ width. */
static double total_of(const double *values, int32_t width) {
  double total = 0.0;
  for (int32_t i = 0; i < width; i++) total += values[i];
  return total;
}

static int32_t smallest(const double *values, int32_t width, double delta) {
  const double wanted = delta * total_of(values, width);
  double sum = 0.0;
  for (int32_t k = 0; k < width; k++) {
    sum += values[k];
    if (sum >= wanted) return k + 1;
  }
  return width;
}

/* Counts the cumulative shares strictly below delta. `last` is the last of them, or the first share if there is none.
 */
static int32_t delve(const double *values, int32_t width, double delta, double *last) {
  const double total = total_of(values, width);
  double sum = 0.0;
  int32_t below = 0;
  *last = values[0] / total;
  for (int32_t k = 0; k < width; k++) {
    sum += values[k];
    if (sum / total >= delta) break;
    *last = sum / total;
    below++;
  }
  return below;
}

static int32_t pca_layer(const double *values, int32_t width, double delta) {
  double last;
  int32_t below = delve(values, width, delta, &last);
  if (below < 1) below = 1;
  return below + (delta - last > 0.02 && below < width ? 1 : 0);
}

int32_t es_saturation_count(const double *values, int32_t width, double delta, es_convention_t convention) {
  double last;
  switch (convention) {
  case ES_CONVENTION_PCA_LAYER:
    return pca_layer(values, width, delta);
  case ES_CONVENTION_DELVE:
    return delve(values, width, delta, &last);
  default:
    return smallest(values, width, delta);
  }
}

void es_saturation_measure(es_saturation_t *out, double *values, int32_t width, int64_t rows, const double *deltas,
                           int n_deltas, es_convention_t convention) {
  bool finite = true;
  for (int32_t i = 0; i < width; i++) finite = finite && isfinite(values[i]);
  for (int32_t i = 0; finite && i < width; i++) values[i] = values[i] > 0.0 ? values[i] : 0.0;
  *out = (es_saturation_t){.flags = (uint8_t)(rows < (int64_t)width + 1 ? ES_FLAG_UNDERSAMPLED : 0)};
  es_quantities_measure(out->quantities, values, width);
  const bool dead = out->quantities[ES_QUANTITY_TRACE] <= 0.0;
  if (!finite) out->flags |= ES_FLAG_NONFINITE;
  if (dead) out->flags |= ES_FLAG_DEAD;
  for (int i = 0; i < n_deltas; i++) {
    out->k[i] = !finite ? -1 : dead ? 0 : es_saturation_count(values, width, deltas[i], convention);
    out->saturation[i] = finite ? (double)out->k[i] / (double)width : (double)NAN;
  }
}

bool es_saturation_is_rounding(const double *values, int32_t width, int32_t k, double squares, double averaged) {
  const double share = 0.18 / 65536; /* 0.18 · 2^(−2p) */
  return k > 0 && values[k - 1] < share * (total_of(values, width) + squares) / (width * averaged);
}

int64_t es_headline_delta(const double *deltas, int64_t n) {
  int64_t at = n - 1;
  while (at > 0 && deltas[at] > 0.99) at--;
  return deltas[at] == 0.99 ? at : n - 1;
}
