/* L-BFGS on the rows of a group. Rank 0 computes everything that decides (directions, scalars of the line search) and
 * broadcasts it, so that ranks on different CPUs decide alike, and the history is stored only once. */
#include "eigenscope/memory.h"
#include "eigenscope/probe.h"
#include "history.h"
#include "rows.h"
#include "sketch.h"
#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <string.h>

static const char STAGE[] = "probe";

enum { ITERATIONS = 1000, TRIALS = 30, STALLED = 20, SKETCH_AGAIN = 10 };
static const double TOLERANCE = 1e-6, GRADIENT_TOLERANCE = 1e-4;

typedef struct fit {
  const es_group_t *group;
  rows_t rows;
  sketch_t sketch;
  history_t history; /* rank 0 only */
  int32_t classes;   /* number of classes of the problem */
  int32_t *present;  /* (k) class of the problem for each class present */
  size_t size;       /* k·d + k */
  double *w;         /* solution: W (k × d), b (k) for centred features; current on rank 0 */
  double *direction; /* current on all ranks */
  double *gradient;  /* of F; rank 0 only */
  double *last;      /* gradient before the last step; rank 0 only */
  double loss;       /* at w */
  double objective, gap, norm;
  es_owned_t owned; /* owns the arrays above */
} fit_t;

/* A direction, as rank 0 broadcasts it. */
typedef struct line {
  double slope;                /* gradient·direction */
  double ww, wp, pp;           /* products of W and the direction, without intercepts */
  double objective, gap, norm; /* at the start of the line */
} line_t;

static void broadcast(const es_group_t *group, void *data, size_t bytes) {
  if (group->size == 1) return;
  for (size_t done = 0, step; done < bytes; done += step) {
    step = bytes - done < (size_t)INT_MAX / 2 ? bytes - done : (size_t)INT_MAX / 2;
    ES_MPI(MPI_Bcast((char *)data + done, (int)step, MPI_BYTE, 0, group->comm));
  }
}

static bool leads(const fit_t *f) {
  return f->group->rank == 0;
}

static size_t weights_of(const fit_t *f) {
  return (size_t)f->rows.k * (size_t)f->rows.d;
}

/* ---- input ---- */

static es_code_t check_problem(const es_probe_problem_t *p, const es_group_t *group, es_status_t *status) {
  if (p->n < 1) return es_fail(status, ES_INPUT, STAGE, "a probe needs at least one sample");
  if (!(p->l2 > 0.0) || !isfinite(p->l2))
    return es_fail(status, ES_INPUT, STAGE, "probe.l2 is %g, but must be positive and finite", p->l2);
  const size_t most = INT_MAX; /* most numbers in one call of BLAS or MPI */
  if (p->width < 1 || p->classes < 1 || es_probe_weights_size(p->width, p->classes) > most ||
      (size_t)p->classes * (size_t)p->classes > most || (size_t)p->width * ES_ROWS_SKETCH > most)
    return es_fail(status, ES_INPUT, STAGE,
                   "a probe has %d features and %d classes, but must have at least one of each and fit into memory",
                   p->width, p->classes);
  int64_t first = 0, n_local;
  if (!p->lane_rows) es_group_range(group, p->n, &first, &n_local);
  n_local = es_rows_local(p, group);
  for (int64_t i = 0; i < n_local; i++) {
    if (p->labels[i] < 0 || p->labels[i] >= p->classes)
      return es_fail(status, ES_INPUT, STAGE, "sample %lld has label %d, but labels must be from 0 to %d",
                     (long long)(first + i), p->labels[i], p->classes - 1);
  }
  return ES_OK;
}

/* Counts labels in counts[0 … classes−1], and values that are not finite in counts[classes], over the group. */
static void count_all(int64_t *counts, const es_probe_problem_t *p, const es_group_t *group) {
  const int64_t n_local = es_rows_local(p, group);
  memset(counts, 0, ((size_t)p->classes + 1) * sizeof *counts);
  for (int64_t i = 0; i < n_local; i++) counts[p->labels[i]]++;
  for (int64_t i = 0; i < n_local * p->width; i++) counts[p->classes] += !isfinite(p->features[i]);
  if (group->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, counts, p->classes + 1, MPI_INT64_T, MPI_SUM, group->comm));
}

/* ---- memory ---- */

/* Maps labels to the classes present; `present` lists these classes. */
static es_code_t create(fit_t *f, const es_probe_problem_t *p, const es_group_t *group, es_status_t *status) {
  ES_TRY(es_rows_create(&f->rows, p, f->rows.k, group, status));
  ES_TRY(es_sketch_create(&f->sketch, &f->rows, status));
  f->size = weights_of(f) + (size_t)f->rows.k;
  f->w = es_owned_allocate_zero(&f->owned, f->size, sizeof(double));
  f->direction = es_owned_allocate_zero(&f->owned, f->size, sizeof(double));
  f->gradient = es_owned_allocate_zero(&f->owned, f->size, sizeof(double));
  f->last = es_owned_allocate(&f->owned, leads(f) ? f->size : 0, sizeof(double));
  if (f->owned.failed) return es_out_of_memory(status, STAGE, "vectors of %zu weights", f->size);
  if (leads(f)) ES_TRY(es_history_create(&f->history, f->size, status));
  for (int64_t i = 0; i < f->rows.n_local; i++) {
    int32_t c = 0;
    while (f->present[c] != p->labels[i]) c++;
    f->rows.label[i] = c;
  }
  return ES_OK;
}

int64_t es_probe_bytes(const es_probe_problem_t *problem, const es_group_t *group) {
  const int32_t d = problem->width, k = problem->classes;
  const size_t size = es_probe_weights_size(d, k);
  int64_t bytes = es_rows_bytes(d, k, es_rows_local(problem, group), group->lane_count ? group->lane_count : 1) +
                  24 * (int64_t)size;
  if (group->rank == 0) bytes += es_sketch_bytes(d, k) + 8 * (int64_t)size * (2 * es_history_pairs(size) + 1);
  return bytes;
}

/* ---- conversion between the caller's weights and w ---- */

/* Sets w from the caller's weights; returns false if they are all 0 or not finite. Centring changes the intercepts. */
static bool load_start(fit_t *f, const double *weights) {
  const int64_t d = f->rows.d, k = f->rows.k;
  double *bias = f->w + k * d;
  bool any = false;
  for (int64_t c = 0; c < k; c++) {
    const double *row = weights + f->present[c] * (d + 1);
    bias[c] = row[d];
    for (int64_t j = 0; j < d; j++) {
      f->w[c * d + j] = row[j];
      bias[c] += row[j] * f->rows.mean[j];
      any = any || row[j] != 0.0;
    }
    if (!isfinite(bias[c])) return false;
  }
  return any;
}

/* Sets W to 0 and the intercepts to their optimum for W = 0, the logarithms of the classes' shares. Returns F there. */
static double cold_start(fit_t *f, const int64_t *counts) {
  double objective = 0.0;
  memset(f->w, 0, f->size * sizeof *f->w);
  for (int32_t c = 0; c < f->rows.k; c++) {
    const double share = (double)counts[f->present[c]] / (double)f->rows.n;
    f->w[weights_of(f) + (size_t)c] = log(share);
    objective -= (double)counts[f->present[c]] * log(share);
  }
  return objective;
}

/* Subtracts the mean over classes from each column and from the intercepts; at the optimum this mean is 0 anyway. */
static void gauge(double *column, int64_t k, int64_t stride) {
  double sum = 0.0;
  for (int64_t c = 0; c < k; c++) sum += column[c * stride];
  for (int64_t c = 0; c < k; c++) column[c * stride] -= sum / (double)k;
}

static void store_weights(const fit_t *f, double *weights) {
  const int64_t d = f->rows.d, k = f->rows.k;
  for (int64_t c = 0; c < f->classes; c++) {
    memset(weights + c * (d + 1), 0, (size_t)d * sizeof *weights);
    weights[c * (d + 1) + d] = -INFINITY;
  }
  for (int64_t j = 0; j < d; j++) gauge(f->w + j, k, d);
  double *bias = f->w + k * d;
  for (int64_t c = 0; c < k; c++) {
    double *row = weights + f->present[c] * (d + 1);
    memcpy(row, f->w + c * d, (size_t)d * sizeof *row);
    for (int64_t j = 0; j < d; j++) bias[c] -= row[j] * f->rows.mean[j];
  }
  gauge(bias, k, 1);
  for (int64_t c = 0; c < k; c++) weights[f->present[c] * (d + 1) + d] = bias[c];
}

/* ---- the solver ---- */

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

/* Computes gradient and objective from the logits, and broadcasts rank 0's scalars. Collective. */
static void evaluate(fit_t *f) {
  f->loss = es_rows_gradient(&f->rows, f->gradient);
  double scalars[3] = {0};
  if (leads(f)) {
    const size_t weights = weights_of(f);
    const double penalty = f->rows.l2;
    scalars[0] = f->loss + 0.5 * penalty * es_history_dot(f->w, f->w, weights);
    cblas_daxpy((int)weights, penalty, f->w, 1, f->gradient, 1);
    const double square = es_history_dot(f->gradient, f->gradient, f->size);
    scalars[1] = square / (2.0 * penalty * scalars[0]);
    scalars[2] = gradient_norm(f);
  }
  broadcast(f->group, scalars, sizeof scalars);
  f->objective = scalars[0];
  f->gap = scalars[1];
  f->norm = scalars[2];
}

/* Computes the logits of w, then gradient and objective. Collective. */
static void recompute(fit_t *f) {
  broadcast(f->group, f->w, f->size * sizeof *f->w);
  es_rows_apply(&f->rows, f->rows.logits, f->w);
  evaluate(f);
}

/* Computes a direction and its scalars on all ranks; returns false if the direction does not descend. Collective. */
static bool direct(fit_t *f, line_t *line) {
  *line = (line_t){0};
  if (leads(f)) {
    const size_t weights = weights_of(f);
    es_history_direction(&f->history, f->direction, f->gradient, &f->sketch);
    line->slope = es_history_dot(f->gradient, f->direction, f->size);
    line->ww = es_history_dot(f->w, f->w, weights);
    line->wp = es_history_dot(f->w, f->direction, weights);
    line->pp = es_history_dot(f->direction, f->direction, weights);
  }
  broadcast(f->group, line, sizeof *line);
  if (!(line->slope < 0.0) || !isfinite(line->slope)) return false;
  broadcast(f->group, f->direction, f->size * sizeof *f->direction);
  es_rows_apply(&f->rows, f->rows.step, f->direction);
  return true;
}

/* Finds a step along the line that fulfils the Wolfe conditions, by secants of the slope between points before and
 * after the minimum (F is convex on the line). Returns 0 if no step lowers F. A trial needs no matrix product, so the
 * search can be fairly exact. Collective. */
static double search(fit_t *f, const line_t *line, double first) {
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

/* Moves by step t: updates solution, logits, gradient and history. Collective. */
static void advance(fit_t *f, double t) {
  es_rows_move(&f->rows, t);
  if (leads(f)) {
    memcpy(f->last, f->gradient, f->size * sizeof *f->last);
    cblas_daxpy((int)f->size, t, f->direction, 1, f->w, 1);
  }
  evaluate(f);
  if (leads(f)) es_history_push(&f->history, t, f->direction, f->gradient, f->last);
}

static bool good(const fit_t *f, double tolerance) {
  return f->norm <= GRADIENT_TOLERANCE && f->gap <= tolerance;
}

/* Switches from float to double: recomputes logits and gradient. Collective. */
static void sharpen(fit_t *f) {
  f->rows.exact = true;
  recompute(f);
}

/* Iterates until the fit has converged, iterations run out, or rounding stops progress. Collective. */
static void solve(fit_t *f, es_probe_result_t *out, const es_probe_problem_t *p) {
  const double tolerance = p->tolerance > 0.0 ? p->tolerance : TOLERANCE;
  const int32_t most = p->iterations > 0 ? p->iterations : ITERATIONS;
  double before = INFINITY; /* F some iterations earlier */
  double length = 1.0;      /* length of the last step */
  int32_t next_sketch = 0;  /* updates get rarer, because the curvature changes ever more slowly */
  for (;;) {
    if (good(f, tolerance) && f->rows.exact) break;
    if (out->iterations == most) break;
    if (good(f, tolerance)) {
      sharpen(f);
      continue;
    }
    if (out->iterations == next_sketch) {
      es_sketch_update(&f->sketch, &f->rows);
      next_sketch = next_sketch == 0 ? SKETCH_AGAIN : 3 * next_sketch;
    }
    if (out->iterations % STALLED == 0) {
      const bool stalled = before - f->objective <= 1e-12 * f->objective;
      before = f->objective;
      if (stalled && f->rows.exact) break;
      if (stalled) sharpen(f);
    }
    line_t line;
    const bool descends = direct(f, &line);
    const double t = descends ? search(f, &line, length) : 0.0;
    out->iterations++;
    if (t > 0.0) {
      advance(f, t);
      length = t;
    } else if (f->rows.exact) {
      break;
    } else {
      sharpen(f);
    }
  }
  if (!f->rows.exact) sharpen(f);
  out->converged = good(f, tolerance);
  out->objective = f->objective;
  out->gradient_norm = f->norm;
  out->gap = f->gap;
  out->passes = f->rows.passes;
}

static void start(fit_t *f, const double *weights, const int64_t *counts) {
  const bool warm = load_start(f, weights);
  if (warm) recompute(f);
  double *kept = f->direction; /* saves the warm start until it is compared with the cold start */
  memcpy(kept, f->w, f->size * sizeof *kept);
  const double cold = cold_start(f, counts);
  if (warm && f->objective < cold)
    memcpy(f->w, kept, f->size * sizeof *kept);
  else
    recompute(f);
}

static void predict(const fit_t *f, int64_t *confusion, double *accuracy) {
  const int64_t k = f->rows.k;
  int64_t right = 0;
  if (confusion) memset(confusion, 0, (size_t)f->classes * (size_t)f->classes * sizeof *confusion);
  for (int64_t i = 0; i < f->rows.n_local; i++) {
    const double *z = f->rows.logits + i * k;
    int32_t best = 0;
    for (int32_t c = 1; c < k; c++) best = z[c] > z[best] ? c : best;
    right += best == f->rows.label[i];
    if (confusion) confusion[(int64_t)f->present[f->rows.label[i]] * f->classes + f->present[best]]++;
  }
  if (f->group->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &right, 1, MPI_INT64_T, MPI_SUM, f->group->comm));
  if (confusion) es_probe_count_reduce(confusion, f->classes, f->group);
  *accuracy = (double)right / (double)f->rows.n;
}

/* A single class needs no fit. */
static void trivial(es_probe_result_t *out, double *weights, int64_t *confusion, const es_probe_problem_t *p,
                    int32_t only) {
  const size_t row = (size_t)p->width + 1;
  memset(weights, 0, es_probe_weights_size(p->width, p->classes) * sizeof *weights);
  for (int32_t c = 0; c < p->classes; c++) weights[(size_t)c * row + row - 1] = c == only ? 0.0 : -INFINITY;
  if (confusion) {
    memset(confusion, 0, (size_t)p->classes * (size_t)p->classes * sizeof *confusion);
    confusion[(size_t)only * (size_t)p->classes + (size_t)only] = p->n;
  }
  *out = (es_probe_result_t){.accuracy = 1.0, .iterations = -1, .converged = true};
}

es_code_t es_probe_fit(es_probe_result_t *out, double *weights, int64_t *confusion, const es_probe_problem_t *problem,
                       const es_group_t *group, es_status_t *status) {
  fit_t f = {.group = group, .classes = problem->classes};
  int64_t *counts = NULL;
  if (check_problem(problem, group, status) == ES_OK) {
    counts = es_allocate((size_t)problem->classes + 1, sizeof *counts);
    f.present = es_allocate((size_t)problem->classes, sizeof *f.present);
    if (!counts || !f.present) es_out_of_memory(status, STAGE, "%d classes", problem->classes);
  }
  es_code_t code = es_agree(group->comm, status);
  if (code == ES_OK) {
    count_all(counts, problem, group);
    for (int32_t c = 0; c < problem->classes; c++) {
      if (counts[c] > 0) f.present[f.rows.k++] = c;
    }
    if (counts[problem->classes] > 0) {
      code = es_fail(status, ES_NUMERIC, STAGE, "features of a probe that are NaN or infinite: %lld",
                     (long long)counts[problem->classes]);
    } else if (f.rows.k == 1) {
      trivial(out, weights, confusion, problem, f.present[0]);
    } else {
      create(&f, problem, group, status);
      code = es_agree(group->comm, status);
      if (code == ES_OK) {
        *out = (es_probe_result_t){0};
        es_rows_centre(&f.rows);
        start(&f, weights, counts);
        solve(&f, out, problem);
        predict(&f, confusion, &out->accuracy);
        broadcast(group, f.w, f.size * sizeof *f.w);
        store_weights(&f, weights);
        broadcast(group, weights, es_probe_weights_size(problem->width, problem->classes) * sizeof *weights);
      }
    }
  }
  es_rows_destroy(&f.rows);
  es_sketch_destroy(&f.sketch);
  es_history_destroy(&f.history);
  es_owned_free(&f.owned);
  es_free(counts);
  es_free(f.present);
  return code;
}
