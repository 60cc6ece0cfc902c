#include "history.h"
#include "eigenscope/cblas.h"
#include "eigenscope/kernel.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

/* Most pairs. With few classes, pairs from before the last update of the metric hold the steps up: the features of a
 * layer of 512 channels need 55 steps with 10 pairs, 62 with 20, 77 with 80. */
enum { PAIRS_LEAST = 6, PAIRS_FEW = 10, PAIRS_MANY = 40, MANY_CLASSES = 32 };
static const size_t ROOM = (size_t)256 << 20; /* bytes */

int es_history_pairs(size_t size, int32_t k) {
  const size_t room = ROOM / (2 * sizeof(float) * size), most = k < MANY_CLASSES ? PAIRS_FEW : PAIRS_MANY;
  return room < PAIRS_LEAST ? PAIRS_LEAST : room > most ? (int)most : (int)room;
}

int64_t es_history_bytes(size_t size, int32_t k) {
  return 8 * (int64_t)size * es_history_pairs(size, k);
}

es_code_t es_history_create(history_t *out, size_t size, int32_t k, es_status_t *status) {
  const int most = es_history_pairs(size, k);
  es_owned_t owned = {0};
  *out = (history_t){.size = size,
                     .most = most,
                     .memory = es_owned_allocate(&owned, (size_t)most * size, sizeof(double)),
                     .inverse = es_owned_allocate(&owned, (size_t)most, sizeof(double)),
                     .unit = es_owned_allocate(&owned, (size_t)most, sizeof(double)),
                     .alpha = es_owned_allocate(&owned, (size_t)most, sizeof(double))};
  out->step = (void *)out->memory;
  out->change = out->step + (size_t)most * size;
  out->owned = owned;
  if (!owned.failed) return ES_OK;
  es_history_destroy(out);
  return es_out_of_memory(status, "probe", "%d pairs of vectors of %zu weights", most, size);
}

void es_history_destroy(history_t *history) {
  es_owned_free(&history->owned);
  *history = (history_t){0};
}

double es_history_dot(const double *a, const double *b, size_t n) {
  return cblas_ddot((int)n, a, 1, b, 1);
}

/* ---- products of stored vectors ---- */

/* Eight lanes, so that compilers vectorise the loop and the order of sums is that of every vector length. */
enum { LANES = 8 };

ES_KERNEL
static double dot(const float *restrict a, const double *restrict b, size_t n) {
  double lane[LANES] = {0}, sum = 0.0;
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (size_t l = 0; l < LANES; l++) lane[l] += (double)a[i + l] * b[i + l];
  }
  for (; i < n; i++) sum += (double)a[i] * b[i];
  for (size_t l = 0; l < LANES; l++) sum += lane[l];
  return sum;
}

ES_KERNEL
static double dot_stored(const float *restrict a, const float *restrict b, size_t n) {
  double lane[LANES] = {0}, sum = 0.0;
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (size_t l = 0; l < LANES; l++) lane[l] += (double)a[i + l] * (double)b[i + l];
  }
  for (; i < n; i++) sum += (double)a[i] * (double)b[i];
  for (size_t l = 0; l < LANES; l++) sum += lane[l];
  return sum;
}

/* v += factor·a */
ES_KERNEL
static void add(double *restrict v, double factor, const float *restrict a, size_t n) {
  for (size_t i = 0; i < n; i++) v[i] += factor * (double)a[i];
}

/* Stores v divided by its largest number, which the function returns. Tiny numbers become 0: denormal floats only slow
 * the processor down. */
static double store(float *out, const double *v, const double *minus, size_t n) {
  double largest = 0.0;
  for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(v[i] - (minus ? minus[i] : 0.0)));
  const double factor = largest > 0.0 ? 1.0 / largest : 0.0;
  for (size_t i = 0; i < n; i++) {
    const double number = factor * (v[i] - (minus ? minus[i] : 0.0));
    out[i] = fabs(number) < 1e-30 ? 0.0f : (float)number;
  }
  return largest;
}

void es_history_push(history_t *h, double t, const double *direction, const double *gradient, const double *last) {
  const int next = (h->newest + 1) % h->most;
  float *step = h->step + (size_t)next * h->size, *change = h->change + (size_t)next * h->size;
  const double length = store(step, direction, NULL, h->size), growth = store(change, gradient, last, h->size);
  const double curvature = dot_stored(step, change, h->size), unit = t * length / growth;
  if (!(curvature > 0.0) || !(unit > 0.0) || !isfinite(unit)) return;
  h->newest = next;
  h->inverse[next] = 1.0 / curvature;
  h->unit[next] = unit;
  if (h->count < h->most) h->count++;
}

void es_history_direction(history_t *h, double *direction, const double *gradient, const sketch_t *sketch) {
  memcpy(direction, gradient, h->size * sizeof *direction);
  for (int i = 0; i < h->count; i++) {
    const int at = (h->newest - i + h->most) % h->most;
    h->alpha[at] = h->inverse[at] * dot(h->step + (size_t)at * h->size, direction, h->size);
    add(direction, -h->alpha[at], h->change + (size_t)at * h->size, h->size);
  }
  es_sketch_solve(sketch, direction);
  for (int i = h->count - 1; i >= 0; i--) {
    const int at = (h->newest - i + h->most) % h->most;
    const double beta = h->inverse[at] * dot(h->change + (size_t)at * h->size, direction, h->size);
    add(direction, h->unit[at] * h->alpha[at] - beta, h->step + (size_t)at * h->size, h->size);
  }
  cblas_dscal((int)h->size, -1.0, direction, 1);
}
