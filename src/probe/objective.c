#include "objective.h"
#include "eigenscope/cblas.h"
#include <math.h>
#include <string.h>

enum { TRIALS = 30 };
static const double GRADIENT_TOLERANCE = 1e-4;
static const double STEEP = 0.1; /* a search ends where this share of the slope is left */
static const double FLAT = 0.5;  /* a first step is accepted where this share is left, because it costs no other pass */

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

void es_fit_score(fit_t *f) {
  double scalars[4] = {0};
  if (es_fit_leads(f)) {
    const size_t weights = es_fit_weights(f);
    const double penalty = f->rows.l2;
    scalars[0] = f->loss + 0.5 * penalty * es_history_dot(f->w, f->w, weights);
    cblas_daxpy((int)weights, penalty, f->w, 1, f->gradient, 1);
    const double square = es_history_dot(f->gradient, f->gradient, f->size);
    scalars[1] = square / (2.0 * penalty * scalars[0]);
    scalars[2] = f->scaled ? scaled_norm(f) : gradient_norm(f);
    scalars[3] = es_watch_must_stop(f->group->watch) ? 1.0 : 0.0;
  }
  es_group_broadcast(f->group, scalars, sizeof scalars, 0);
  f->objective = scalars[0];
  f->gap = scalars[1];
  f->norm = scalars[2];
  f->stopped = f->stopped || scalars[3] > 0.0;
}

void es_fit_evaluate(fit_t *f) {
  f->loss = es_rows_gradient(&f->rows, f->gradient);
  es_fit_score(f);
}

void es_fit_recompute(fit_t *f) {
  es_group_broadcast(f->group, f->w, f->size * sizeof *f->w, 0);
  f->loss = es_rows_evaluate(&f->rows, f->w, f->gradient);
  es_fit_score(f);
}

bool es_fit_line(const fit_t *f, line_t *line) {
  *line = (line_t){0};
  if (es_fit_leads(f)) {
    const size_t weights = es_fit_weights(f);
    line->slope = es_history_dot(f->gradient, f->direction, f->size);
    line->ww = es_history_dot(f->w, f->w, weights);
    line->wp = es_history_dot(f->w, f->direction, weights);
    line->pp = es_history_dot(f->direction, f->direction, weights);
    if (es_fit_is_coarse(f)) line->linear = es_history_dot(f->linear, f->direction, f->size);
  }
  es_group_broadcast(f->group, line, sizeof *line, 0);
  return line->slope < 0.0 && isfinite(line->slope);
}

/* F at a trial, and its slope. */
static double value_at(const fit_t *f, const line_t *line, const trial_t *trial, double *slope) {
  const double penalty = f->rows.l2, t = trial->t;
  *slope = trial->slope + line->linear + penalty * (line->wp + t * line->pp);
  return trial->loss + f->shift + t * line->linear + penalty * (0.5 * line->ww + t * line->wp + 0.5 * t * t * line->pp);
}

/* True if the trial lowers F enough. */
static bool lowers(const fit_t *f, const line_t *line, const trial_t *trial, double value) {
  return value <= f->objective + 1e-4 * trial->t * line->slope + 1e-14 * fabs(f->objective);
}

bool es_fit_accepts(const fit_t *f, const line_t *line, const trial_t *trial) {
  double slope;
  const double value = value_at(f, line, trial, &slope);
  return lowers(f, line, trial, value) && fabs(slope) <= FLAT * fabs(line->slope);
}

double es_fit_search(fit_t *f, const line_t *line, double first, const trial_t *known) {
  double low = 0.0, low_slope = line->slope, high = INFINITY, high_slope = 0.0, best = 0.0;
  trial_t trial = {.t = first};
  for (int i = 0; i < TRIALS; i++) {
    double slope;
    if (i == 0 && known)
      trial = *known;
    else
      es_rows_trial(&f->rows, trial.t, &trial.loss, &trial.slope);
    const double value = value_at(f, line, &trial, &slope), t = trial.t;
    const bool lower = lowers(f, line, &trial, value);
    if (lower) best = t;
    if (lower && fabs(slope) <= STEEP * fabs(line->slope)) return t;
    if (slope > 0.0 || !lower) {
      high = t;
      high_slope = slope;
    } else {
      low = t;
      low_slope = slope;
    }
    if (isinf(high)) {
      trial.t = 3.0 * t;
    } else {
      double share = high_slope > low_slope ? -low_slope / (high_slope - low_slope) : 0.5;
      share = share > 0.1 ? share : 0.1;
      trial.t = low + (share < 0.9 ? share : 0.9) * (high - low);
    }
  }
  return best;
}

bool es_fit_near(const fit_t *f) {
  const double times = 30.0;
  return f->norm <= times * GRADIENT_TOLERANCE && f->gap <= times * times * f->tolerance;
}

bool es_fit_good(const fit_t *f) {
  return f->norm <= GRADIENT_TOLERANCE && f->gap <= f->tolerance;
}
