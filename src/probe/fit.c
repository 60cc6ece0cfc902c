/* L-BFGS on the rows of a group. */
#include "eigenscope/cblas.h"
#include "eigenscope/memory.h"
#include "eigenscope/probe.h"
#include "newton.h"
#include "objective.h"
#include <limits.h>
#include <math.h>
#include <string.h>

static const char STAGE[] = "probe";

enum { ITERATIONS = 1000, STALLED = 20, SKETCH_AGAIN = 10 };
enum { PRODUCTS = 1000 }; /* most products of Newton's method */
static const double GAP = 1e-6;
/* Rows in bfloat16 are corrected each time that they have reduced the bound of the gap to the share REDUCED, and given
 * up if the corrected bound is above the share USEFUL. */
static const double REDUCED = 1e-3, USEFUL = 0.25;

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

/* Counts labels in counts[0 … classes−1], and values that are not finite or too large in counts[classes], over the
 * group. */
static void count_all(int64_t *counts, const es_probe_problem_t *p, const es_group_t *group) {
  const int64_t n_local = es_rows_local(p, group), size = n_local * p->width;
  const float *narrow = p->is_double ? NULL : p->features;
  const double *wide = p->is_double ? p->features : NULL;
  memset(counts, 0, ((size_t)p->classes + 1) * sizeof *counts);
  for (int64_t i = 0; i < n_local; i++) counts[p->labels[i]]++;
  for (int64_t i = 0; narrow && i < size; i++) counts[p->classes] += !isfinite(narrow[i]);
  for (int64_t i = 0; wide && i < size; i++) counts[p->classes] += !(fabs(wide[i]) <= ES_PROBE_LARGEST);
  if (group->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, counts, p->classes + 1, MPI_INT64_T, MPI_SUM, group->comm));
}

/* ---- memory ---- */

/* Maps labels to the classes present; `present` lists these classes. */
static es_code_t create(fit_t *f, const es_probe_problem_t *p, const es_group_t *group, es_status_t *status) {
  ES_TRY(es_rows_create(&f->rows, p, f->rows.k, group, status));
  ES_TRY(es_sketch_create(&f->sketch, &f->rows, status));
  f->size = es_fit_weights(f) + (size_t)f->rows.k;
  f->w = es_owned_allocate_zero(&f->owned, f->size, sizeof(double));
  f->direction = es_owned_allocate_zero(&f->owned, f->size, sizeof(double));
  f->gradient = es_owned_allocate_zero(&f->owned, f->size, sizeof(double));
  f->last = es_owned_allocate(&f->owned, f->size, sizeof(double));
  f->known = es_owned_allocate_zero(&f->owned, f->rows.tiles ? f->size : 0, sizeof(double));
  f->linear = es_owned_allocate_zero(&f->owned, f->rows.tiles ? f->size : 0, sizeof(double));
  if (f->owned.failed) return es_out_of_memory(status, STAGE, "vectors of %zu weights", f->size);
  if (es_fit_leads(f)) ES_TRY(es_history_create(&f->history, f->size, f->rows.k, status));
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
  int64_t bytes = es_rows_bytes(problem, es_rows_local(problem, group), group->lane_count ? group->lane_count : 1) +
                  48 * (int64_t)size;
  bytes += es_sketch_bytes(d, k, group->rank == 0);
  if (group->rank == 0) bytes += es_history_bytes(size, k);
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

static void store_weights(const fit_t *f, double *weights) {
  const int64_t d = f->rows.d, k = f->rows.k;
  for (int64_t c = 0; c < f->classes; c++) {
    memset(weights + c * (d + 1), 0, (size_t)d * sizeof *weights);
    weights[c * (d + 1) + d] = -INFINITY;
  }
  for (int64_t j = 0; j < d; j++) es_fit_gauge_column(f->w + j, k, d);
  double *bias = f->w + k * d;
  for (int64_t c = 0; c < k; c++) {
    double *row = weights + f->present[c] * (d + 1);
    memcpy(row, f->w + c * d, (size_t)d * sizeof *row);
    for (int64_t j = 0; j < d; j++) bias[c] -= row[j] * f->rows.mean[j];
  }
  es_fit_gauge_column(bias, k, 1);
  for (int64_t c = 0; c < k; c++) weights[f->present[c] * (d + 1) + d] = bias[c];
}

/* ---- the solver ---- */

/* Makes the result of a pass the gradient of the loss. */
static void complete(fit_t *f, double *gradient) {
  if (!es_fit_is_coarse(f) || !es_fit_leads(f)) return;
  cblas_daxpy((int)f->size, 1.0, gradient, 1, f->known, 1);
  memcpy(gradient, f->known, f->size * sizeof *gradient);
}

/* Computes a direction and moves along it: by `first` if that step is good, else by a searched one. Updates solution,
 * logits, gradient and history. Returns the step, 0 if none lowers F. Collective. */
static double step(fit_t *f, double first) {
  line_t line;
  if (es_fit_leads(f)) es_history_direction(&f->history, f->direction, f->gradient, &f->sketch);
  if (es_fit_leads(f) && es_fit_is_coarse(f)) es_rows_round(&f->rows, f->direction);
  if (!es_fit_line(f, &line)) return 0.0;
  es_group_broadcast(f->group, f->direction, f->size * sizeof *f->direction, 0);
  trial_t trial = {.t = first};
  double *gradient = f->last; /* of the trial, while f->gradient still is that of the start */
  es_rows_sweep(&f->rows, f->direction, first, gradient, &trial.loss, &trial.slope);
  complete(f, gradient);
  const bool accepted = es_fit_accepts(f, &line, &trial);
  const double t = accepted ? first : es_fit_search(f, &line, first, &trial);
  if (!(t > 0.0)) return 0.0;
  es_rows_move(&f->rows, t);
  f->last = f->gradient;
  f->gradient = gradient;
  if (es_fit_leads(f)) cblas_daxpy((int)f->size, t, f->direction, 1, f->w, 1);
  f->loss = accepted ? trial.loss : es_rows_gradient(&f->rows, f->gradient);
  if (!accepted) complete(f, f->gradient);
  if (es_fit_is_coarse(f)) {
    f->shift += t * line.linear;
    f->loss += f->shift;
  }
  es_fit_score(f);
  if (es_fit_leads(f)) es_history_push(&f->history, t, f->direction, f->gradient, f->last);
  return t;
}

/* ---- the rows that steps use ---- */

/* Lets steps use rows in bfloat16, from the point w, where loss and gradient are known in float. Steps then minimise F
 * of the rounded rows, at logits that are exact at w, plus a linear term that gives this function the gradient of F at
 * w. Collective. */
static void coarsen(fit_t *f) {
  f->rows.coarse = true;
  f->shift = 0.0;
  if (es_fit_leads(f)) {
    memcpy(f->known, f->gradient, f->size * sizeof *f->known);
    cblas_daxpy((int)es_fit_weights(f), -f->rows.l2, f->w, 1, f->known, 1);
  }
  es_rows_known(&f->rows, f->last);
  for (size_t i = 0; es_fit_leads(f) && i < f->size; i++) f->linear[i] = f->known[i] - f->last[i];
}

/* Computes value and gradient of F at w with the rows in float, and the linear term anew. Collective. */
static void correct(fit_t *f) {
  f->rows.coarse = false;
  es_fit_recompute(f);
  coarsen(f);
}

/* Switches from bfloat16 to float, or from float to double: recomputes logits and gradient. Collective. */
static void refine(fit_t *f, bool exact) {
  f->rows.coarse = false;
  f->rows.exact = exact;
  f->shift = 0.0;
  es_fit_recompute(f);
}

/* Corrects steps with rows in bfloat16 if they have come near enough to their optimum, or stops using them if that does
 * not help. `reference`: the gap at the last correction, which is updated. Collective. */
static void check_steps(fit_t *f, double *reference) {
  if (!es_fit_is_coarse(f) || !(es_fit_good(f) || f->gap <= REDUCED * *reference)) return;
  correct(f);
  if (!es_fit_good(f) && !(f->gap <= USEFUL * *reference)) refine(f, false);
  *reference = f->gap;
}

/* Iterates until the fit has converged, iterations run out, or rounding stops progress. `warm`: logits differ between
 * samples at the start. Collective. */
static void solve(fit_t *f, es_probe_result_t *out, const es_probe_problem_t *p, bool warm) {
  const int32_t most = p->iterations > 0 ? p->iterations : ITERATIONS;
  double before = INFINITY;  /* F some iterations earlier */
  double length = 1.0;       /* length of the last step */
  double reference = f->gap; /* at the last correction */
  int32_t next_sketch = 0;   /* updates get rarer, because the curvature changes ever more slowly */
  if (f->rows.tiles && !es_fit_good(f)) coarsen(f);
  for (;;) {
    if (f->stopped) return;
    check_steps(f, &reference);
    if (es_fit_good(f) && f->rows.exact) break;
    if (out->iterations == most) break;
    if (es_fit_good(f)) {
      refine(f, true);
      continue;
    }
    if (out->iterations >= next_sketch && (out->iterations == 0 || !es_fit_near(f))) {
      es_sketch_update(&f->sketch, &f->rows, warm || out->iterations > 0);
      next_sketch = next_sketch == 0 ? SKETCH_AGAIN : 2 * next_sketch;
    }
    if (out->iterations % STALLED == 0) {
      const bool stalled = before - f->objective <= 1e-12 * f->objective;
      before = f->objective;
      if (stalled && f->rows.exact) break;
      if (stalled) refine(f, !es_fit_is_coarse(f));
    }
    const double t = step(f, length);
    out->iterations++;
    if (t > 0.0) {
      length = t;
    } else if (f->rows.exact) {
      break;
    } else {
      refine(f, !es_fit_is_coarse(f));
    }
  }
  if (!f->rows.exact) refine(f, true);
  if (f->stopped) return;
  out->iterations += es_fit_newton(f, p->iterations > 0 ? most - out->iterations : PRODUCTS);
  out->converged = es_fit_good(f);
  out->objective = f->objective;
  out->gradient_norm = f->norm;
  out->gap = f->gap;
  out->passes = f->rows.passes;
}

/* Starts at the caller's weights, or cold if these are worse. Returns true if it starts at the weights. */
static bool start(fit_t *f, const double *weights) {
  const bool warm = load_start(f, weights);
  if (warm) es_fit_recompute(f);
  double *kept = f->direction; /* saves the warm start until it is compared with the cold start */
  memcpy(kept, f->w, f->size * sizeof *kept);
  es_fit_cold_start(f);
  if (warm && f->objective < f->cold) {
    memcpy(f->w, kept, f->size * sizeof *kept);
    return true;
  }
  es_fit_recompute(f);
  return false;
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
  fit_t f = {.group = group, .classes = problem->classes, .tolerance = problem->gap > 0.0 ? problem->gap : GAP};
  if (check_problem(problem, group, status) == ES_OK) {
    f.counts = es_allocate((size_t)problem->classes + 1, sizeof *f.counts);
    f.present = es_allocate((size_t)problem->classes, sizeof *f.present);
    if (!f.counts || !f.present) es_out_of_memory(status, STAGE, "%d classes", problem->classes);
  }
  es_code_t code = es_agree(group->comm, status);
  if (code == ES_OK) {
    count_all(f.counts, problem, group);
    for (int32_t c = 0; c < problem->classes; c++) {
      if (f.counts[c] > 0) f.present[f.rows.k++] = c;
    }
    if (f.counts[problem->classes] > 0) {
      code = es_fail(status, ES_NUMERIC, STAGE, "features of a probe that are NaN, infinite or larger than 1e150: %lld",
                     (long long)f.counts[problem->classes]);
    } else if (f.rows.k == 1) {
      trivial(out, weights, confusion, problem, f.present[0]);
    } else {
      create(&f, problem, group, status);
      code = es_agree(group->comm, status);
      if (code == ES_OK) {
        *out = (es_probe_result_t){0};
        es_rows_centre(&f.rows);
        f.scaled = f.rows.far;
        const bool warm = start(&f, weights);
        solve(&f, out, problem, warm);
        if (f.stopped) code = es_fail(status, ES_STOPPED, STAGE, "stopped");
      }
      if (code == ES_OK) {
        predict(&f, confusion, &out->accuracy);
        es_group_broadcast(group, f.w, f.size * sizeof *f.w, 0);
        store_weights(&f, weights);
        es_group_broadcast(group, weights, es_probe_weights_size(problem->width, problem->classes) * sizeof *weights,
                           0);
      }
    }
  }
  es_rows_destroy(&f.rows);
  es_sketch_destroy(&f.sketch);
  es_history_destroy(&f.history);
  es_owned_free(&f.owned);
  es_free(f.counts);
  es_free(f.present);
  return code;
}
