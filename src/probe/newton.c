/* Newton's method, for fits that L-BFGS leaves unconverged: features far from zero or of very different sizes, whose
 * curvature spans more than float can hold, and features so large that the bound by l2 says nothing. Directions come
 * from conjugate gradients with the diagonal of the Hessian H as preconditioner, which makes them independent of the
 * features' units. All products run in double.
 *
 * Conjugate gradients also measure the distance to the optimum: F − F* ≈ gᵀH⁻¹g/2, half the Newton decrement. They find
 * a lower bound of gᵀH⁻¹g, and by strong convexity an upper bound of the rest, Σ r²/l2 with the residual r. Directions
 * with less than 1e-28 of the curvature of their features are beyond double (1e-14 of their size), and count as having
 * that much. If rounding keeps r too large for the bound, a solution in 2·size steps is as complete as double can make
 * it. Both are valid where the logits hardly change; saturated samples (outliers) can still lie far from the optimum.
 */
#include "newton.h"
#include "eigenscope/cblas.h"
#include <math.h>
#include <string.h>

static const double UNSEEN = 1e-28;      /* see above */
static const double ZERO = 1e-10;        /* F is 0 if it is that small beside F of the cold start: F* ≥ 0 */
static const double SMALL_CHANGE = 0.25; /* of logits; the decrement is exact for small changes */
static const double LARGE_CHANGE = 4.0;  /* of logits; first step of a search */

/* The vectors of conjugate gradients, on rank 0 in the memory of the history. */
typedef struct conjugate {
  double *diagonal, *solution, *residual, *product;
  double rest;         /* residualᵀ·diag(H)⁻¹·residual */
  double lower, upper; /* bounds of gᵀH⁻¹g: so far, and of the rest */
  bool whole;          /* found after so many steps that nothing can be missing but rounding */
} conjugate_t;

/* direction = diag(H)⁻¹·residual + beta·direction, orthogonal to shifts of all classes, which only l2 bounds.
 * Overwrites c->product. On rank 0. */
static void turn(const fit_t *f, conjugate_t *c) {
  double *next = c->product;
  es_fit_gauge(f, c->residual);
  c->upper = 0.0;
  for (size_t i = 0; i < f->size; i++) {
    const double diagonal = c->diagonal[i], r = c->residual[i];
    next[i] = diagonal > 0.0 ? r / diagonal : 0.0;
    c->upper += r / fmax(f->rows.l2, UNSEEN * diagonal) * r;
  }
  es_fit_gauge(f, next);
  const double rest = es_history_dot(c->residual, next, f->size), beta = c->rest > 0.0 ? rest / c->rest : 0.0;
  for (size_t i = 0; i < f->size; i++) f->direction[i] = beta * f->direction[i] + next[i];
  c->rest = rest;
}

/* Starts at the solution 0. Collective. */
static void begin(fit_t *f, conjugate_t *c) {
  *c = (conjugate_t){0};
  if (es_fit_leads(f)) {
    c->diagonal = f->history.memory;
    c->solution = c->diagonal + f->size;
    c->residual = c->solution + f->size;
    c->product = c->residual + f->size;
  }
  es_rows_diagonal(&f->rows, c->diagonal);
  if (!es_fit_leads(f)) return;
  for (size_t i = 0; i < es_fit_weights(f); i++) c->diagonal[i] += f->rows.l2;
  memset(c->solution, 0, f->size * sizeof(double));
  memset(f->direction, 0, f->size * sizeof(double));
  for (size_t i = 0; i < f->size; i++) c->residual[i] = -f->gradient[i];
  turn(f, c);
}

/* Takes one step along f->direction; returns false if rounding leaves no curvature. Collective; the result counts on
 * rank 0. */
static bool advance(fit_t *f, conjugate_t *c) {
  es_group_broadcast(f->group, f->direction, f->size * sizeof(double), 0);
  es_rows_curvature(&f->rows, f->direction, c->product);
  if (!es_fit_leads(f)) return true;
  cblas_daxpy((int)es_fit_weights(f), f->rows.l2, f->direction, 1, c->product, 1);
  const double curvature = es_history_dot(f->direction, c->product, f->size), t = c->rest / curvature;
  if (!(curvature > 0.0) || !isfinite(t)) return false;
  c->lower += t * c->rest;
  cblas_daxpy((int)f->size, t, f->direction, 1, c->solution, 1);
  cblas_daxpy((int)f->size, -t, c->product, 1, c->residual, 1);
  turn(f, c);
  return true;
}

/* Solves H·direction = −gradient; rows->step becomes the change of the logits. Ends when the bounds show that the fit
 * has converged, or, if they show the contrary, when the direction is good enough: the better the nearer to the
 * optimum. Sets *bound to the bound of gᵀH⁻¹g. Returns the number of products. Collective. */
static int32_t solve(fit_t *f, double *bound, bool *whole, int32_t most) {
  const double goal = 2.0 * f->tolerance * f->objective;
  conjugate_t c;
  begin(f, &c);
  const double first = c.rest;
  bool more = true;
  int32_t taken = 0;
  for (; taken < most; taken++) {
    const double enough = c.lower <= goal ? 0.0 : c.lower > 1e-2 * f->objective ? 1e-2 : 1e-6;
    c.whole = (size_t)taken >= 2 * f->size && c.lower <= 0.1 * goal;
    if (es_fit_leads(f) && es_watch_must_stop(f->group->watch)) f->stopped = true;
    more = more && !c.whole && c.rest > enough * first && c.upper > 0.1 * goal && !f->stopped;
    es_group_broadcast(f->group, &more, sizeof more, 0);
    if (!more) break;
    more = advance(f, &c);
  }
  if (es_fit_leads(f)) memcpy(f->direction, c.solution, f->size * sizeof(double));
  *bound = c.lower + (c.whole ? 0.0 : c.upper);
  es_group_broadcast(f->group, bound, sizeof *bound, 0);
  *whole = c.whole;
  es_group_broadcast(f->group, whole, sizeof *whole, 0);
  es_group_broadcast(f->group, &f->stopped, sizeof f->stopped, 0);
  es_group_broadcast(f->group, f->direction, f->size * sizeof(double), 0);
  es_rows_apply(&f->rows, f->rows.step, f->direction);
  return taken;
}

/* Takes Newton steps until the fit has converged or makes no progress. Returns the number of products. Collective. */
static int32_t descend(fit_t *f, int32_t most) {
  int32_t taken = 0;
  while (!es_fit_good(f) && taken < most) {
    line_t line;
    double bound;
    bool whole;
    const double gap = f->gap;
    if (f->objective <= ZERO * f->cold) {
      f->gap = 0.0;
      break;
    }
    taken += solve(f, &bound, &whole, most - taken);
    if (f->stopped) break;
    const double change = es_rows_largest_step(&f->rows);
    f->gap = bound / (2.0 * f->objective);
    if ((change <= SMALL_CHANGE || whole) && es_fit_good(f)) break;
    f->gap = gap;
    if (!es_fit_line(f, &line)) break;
    const double t = es_fit_search(f, &line, fmin(1.0, LARGE_CHANGE / change), NULL);
    if (!(t > 0.0)) break;
    es_rows_move(&f->rows, t);
    if (es_fit_leads(f)) cblas_daxpy((int)f->size, t, f->direction, 1, f->w, 1);
    es_fit_evaluate(f);
  }
  return taken;
}

int32_t es_fit_newton(fit_t *f, int32_t most) {
  if (es_fit_good(f) || most <= 0) return 0;
  double *kept = es_fit_leads(f) ? f->history.memory + 4 * f->size : NULL; /* beyond the vectors of `begin` */
  if (kept) memcpy(kept, f->w, f->size * sizeof *kept);
  const double before = f->objective;
  f->scaled = true;
  if (f->rows.far) es_fit_cold_start(f); /* L-BFGS may have moved weights that the data do not determine */
  if (es_fit_leads(f)) es_fit_gauge(f, f->w);
  es_fit_recompute(f);
  const int32_t taken = descend(f, most);
  if (es_fit_good(f) || f->objective <= before) return taken;
  if (kept) memcpy(f->w, kept, f->size * sizeof *kept);
  es_fit_recompute(f);
  return taken;
}
