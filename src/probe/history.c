#include "history.h"
#include "eigenscope/memory.h"
#include <cblas.h>
#include <string.h>

enum { PAIRS_LEAST = 4, PAIRS_MOST = 20 };

int es_history_pairs(size_t size) {
  const size_t room = ((size_t)256 << 20) / (2 * sizeof(double) * size);
  return room < PAIRS_LEAST ? PAIRS_LEAST : room > PAIRS_MOST ? PAIRS_MOST : (int)room;
}

es_code_t es_history_create(history_t *out, size_t size, es_status_t *status) {
  const int most = es_history_pairs(size);
  es_owned_t owned = {0};
  *out = (history_t){.size = size,
                     .most = most,
                     .step = es_owned_allocate(&owned, (size_t)most * size, sizeof(double)),
                     .change = es_owned_allocate(&owned, (size_t)most * size, sizeof(double)),
                     .inverse = es_owned_allocate(&owned, (size_t)most, sizeof(double)),
                     .alpha = es_owned_allocate(&owned, (size_t)most, sizeof(double))};
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

void es_history_push(history_t *h, double t, const double *direction, const double *gradient, const double *last) {
  const int next = (h->newest + 1) % h->most;
  double *step = h->step + (size_t)next * h->size, *change = h->change + (size_t)next * h->size;
  for (size_t i = 0; i < h->size; i++) {
    step[i] = t * direction[i];
    change[i] = gradient[i] - last[i];
  }
  const double curvature = es_history_dot(step, change, h->size);
  if (!(curvature > 0.0)) return;
  h->newest = next;
  h->inverse[next] = 1.0 / curvature;
  if (h->count < h->most) h->count++;
}

void es_history_direction(history_t *h, double *direction, const double *gradient, const sketch_t *sketch) {
  const int n = (int)h->size;
  memcpy(direction, gradient, h->size * sizeof *direction);
  for (int i = 0; i < h->count; i++) {
    const int at = (h->newest - i + h->most) % h->most;
    h->alpha[at] = h->inverse[at] * es_history_dot(h->step + (size_t)at * h->size, direction, h->size);
    cblas_daxpy(n, -h->alpha[at], h->change + (size_t)at * h->size, 1, direction, 1);
  }
  es_sketch_solve(sketch, direction);
  for (int i = h->count - 1; i >= 0; i--) {
    const int at = (h->newest - i + h->most) % h->most;
    const double beta = h->inverse[at] * es_history_dot(h->change + (size_t)at * h->size, direction, h->size);
    cblas_daxpy(n, h->alpha[at] - beta, h->step + (size_t)at * h->size, 1, direction, 1);
  }
  cblas_dscal(n, -1.0, direction, 1);
}
