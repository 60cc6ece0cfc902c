#include "objective.h"
#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <string.h>

enum { TRIALS = 30 };
static const double GRADIENT_TOLERANCE = 1e-4;

void es_fit_broadcast(const es_group_t *group, void *data, size_t bytes) {
  if (group->size == 1) return;
  for (size_t done = 0, step; done < bytes; done += step) {
    step = bytes - done < (size_t)INT_MAX / 2 ? bytes - done : (size_t)INT_MAX / 2;
    ES_MPI(MPI_Bcast((char *)data + done, (int)step, MPI_BYTE, 0, group->comm));
  }
}

void es_fit_cold_start(fit_t *f) {
  f->cold = 0.0;
  memset(f->w, 0, f->size * sizeof *f->w);
  for (int32_t c = 0; c < f->rows.k; c++) {
    const double count = (double)f->counts[f->present[c]], share = count / (double)f->rows.n;
    f->w[es_fit_weights(f) + (size_t)c] = log(share);
    f->cold -= count * log(share);
  }
}

void es_fit_gauge_column(double *column, int64_t k, int64_t stride) {
  double sum = 0.0;
  for (int64_t c = 0; c < k; c++) sum += column[c * stride];
  for (int64_t c = 0; c < k; c++) column[c * stride] -= sum / (double)k;
}

void es_fit_gauge(const fit_t *f, double *v) {
  const int64_t d = f->rows.d, k = f->rows.k;
  for (int64_t j = 0; j < d; j++) es_fit_gauge_column(v + j, k, d);
  es_fit_gauge_column(v + k * d, k, 1);
}

/* ‖∇F‖₂/n of the caller's problem: for features that are not centred, the gradient is (g_W + g_b·meanᵀ, g_b); for the
 * binomial form of two classes, the squared length is half. */
static double gradient_norm(const fit_t *f) {
  const size_t d = (size_t)f->rows.d, k = (size_t)f->rows.k;
  const double *mean = f->rows.mean, *bias = f->gradient + k * d;
  const double intercepts = es_history_dot(bias, bias, k), shift = es_history_dot(mean, mean, d);
  double square = es_history_dot(f->gradient, f->gradient, k * d) + intercepts * (1.0 + shift);
  for (size_t c = 0; c < k; c++) square += 2.0 * bias[c] * es_history_dot(f->gradient + c * d, mean, d);
  return sqrt(fmax(square, 0.0) / (k == 2 ? 2.0 : 1.0)) / (double)f->rows.n;
}

/* Norm of the gradient for features that are centred and divided by their ranges. A shift or another unit of the
 * features does not change it. */
static double scaled_norm(const fit_t *f) {
  const size_t d = (size_t)f->rows.d, k = (size_t)f->rows.k;
  double square = es_history_dot(f->gradient + k * d, f->gradient + k * d, k);
  for (size_t i = 0; i < k * d; i++) {
    const double range = f->rows.range[i % d], g = range > 0.0 ? f->gradient[i] / range : 0.0;
    square += g * g;
  }
  return sqrt(square / (k == 2 ? 2.0 : 1.0)) / (double)f->rows.n;
}

void es_fit_evaluate(fit_t *f) {
  f->loss = es_rows_gradient(&f->rows, f->gradient);
  double scalars[3] = {0};
  if (es_fit_leads(f)) {
    const size_t weights = es_fit_weights(f);
    const double penalty = f->rows.l2;
    scalars[0] = f->loss + 0.5 * penalty * es_history_dot(f->w, f->w, weights);
    cblas_daxpy((int)weights, penalty, f->w, 1, f->gradient, 1);
    const double square = es_history_dot(f->gradient, f->gradient, f->size);
    scalars[1] = square / (2.0 * penalty * scalars[0]);
    scalars[2] = f->scaled ? scaled_norm(f) : gradient_norm(f);
  }
  es_fit_broadcast(f->group, scalars, sizeof scalars);
  f->objective = scalars[0];
  f->gap = scalars[1];
  f->norm = scalars[2];
}

void es_fit_recompute(fit_t *f) {
  es_fit_broadcast(f->group, f->w, f->size * sizeof *f->w);
  es_rows_apply(&f->rows, f->rows.logits, f->w);
  es_fit_evaluate(f);
}

bool es_fit_line(const fit_t *f, line_t *line) {
  *line = (line_t){0};
  if (es_fit_leads(f)) {
    const size_t weights = es_fit_weights(f);
    line->slope = es_history_dot(f->gradient, f->direction, f->size);
    line->ww = es_history_dot(f->w, f->w, weights);
    line->wp = es_history_dot(f->w, f->direction, weights);
    line->pp = es_history_dot(f->direction, f->direction, weights);
  }
  es_fit_broadcast(f->group, line, sizeof *line);
  return line->slope < 0.0 && isfinite(line->slope);
}

double es_fit_search(fit_t *f, const line_t *line, double first) {
  const double penalty = f->rows.l2, noise = 1e-14 * fabs(f->objective);
  double low = 0.0, low_slope = line->slope, high = INFINITY, high_slope = 0.0, t = first, best = 0.0;
  for (int trial = 0; trial < TRIALS; trial++) {
    double loss, slope;
    es_rows_trial(&f->rows, t, &loss, &slope);
    const double value = loss + penalty * (0.5 * line->ww + t * line->wp + 0.5 * t * t * line->pp);
    slope += penalty * (line->wp + t * line->pp);
    const bool lower = value <= f->objective + 1e-4 * t * line->slope + noise;
    if (lower) best = t;
    if (lower && fabs(slope) <= 0.1 * fabs(line->slope)) return t;
    if (slope > 0.0 || !lower) {
      high = t;
      high_slope = slope;
    } else {
      low = t;
      low_slope = slope;
    }
    if (isinf(high)) {
      t *= 3.0;
    } else {
      double share = high_slope > low_slope ? -low_slope / (high_slope - low_slope) : 0.5;
      share = share > 0.1 ? share : 0.1;
      t = low + (share < 0.9 ? share : 0.9) * (high - low);
    }
  }
  return best;
}

bool es_fit_good(const fit_t *f) {
  return f->norm <= GRADIENT_TOLERANCE && f->gap <= f->tolerance;
}
