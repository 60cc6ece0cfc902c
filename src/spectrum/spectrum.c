/* Chooses a backend for each problem, and distributes a point's layers over the ranks of its group. */
#include "eigenscope/memory.h"
#include "eigenscope/panels.h"
#include "spectrum_internal.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

es_code_t es_spectrum_choose(const es_spectrum_backend_t **out, es_solver_choice_t choice, int32_t order, int ranks,
                             es_status_t *status) {
  *out = &es_spectrum_lapack;
  switch (choice) {
  case ES_CHOOSE_AUTO:
    if (order >= ES_SCALAPACK_ORDER && ranks > 1) *out = &es_spectrum_scalapack;
    return ES_OK;
  case ES_CHOOSE_LAPACK:
    return ES_OK;
  case ES_CHOOSE_SCALAPACK:
    *out = &es_spectrum_scalapack;
    return ES_OK;
  case ES_CHOOSE_ELPA:
  case ES_SOLVER_CHOICES:
    break;
  }
#ifdef ES_ELPA
  (void)status;
  int rows, cols;
  es_dist_matrix_grid(ranks, &rows, &cols);
  if (order >= ES_SPECTRUM_BLOCK * cols) *out = &es_spectrum_elpa; /* it fails if a process has no elements */
  return ES_OK;
#else
  return es_fail(status, ES_INPUT, "spectrum",
                 "solver elpa: this build has no ELPA (pkg-config did not find it); use auto, lapack or scalapack");
#endif
}

static es_code_t backend_of(const es_layer_problem_t *layer, int ranks, const es_spectrum_backend_t **out,
                            es_status_t *status) {
  *out = layer->backend;
  return *out ? ES_OK : es_spectrum_choose(out, layer->choice, layer->order, ranks, status);
}

static bool is_collective(const es_layer_problem_t *layer, int ranks) {
  const es_spectrum_backend_t *backend;
  return backend_of(layer, ranks, &backend, &(es_status_t){0}) != ES_OK || backend->collective;
}

/* ---- choice of ranks ---- */

static double load_of(const es_layer_problem_t *layers, int n, int rank, int ranks) {
  double load = 0.0;
  for (int i = 0; i < n; i++) {
    if (layers[i].owner == rank && !is_collective(&layers[i], ranks)) load += pow((double)layers[i].order, 3.0);
  }
  return load;
}

void es_spectrum_assign(es_layer_problem_t *layers, int n, int ranks) {
  for (int i = 0; i < n; i++) layers[i].owner = -1;
  for (int done = 0; done < n; done++) {
    int next = -1, rank = 0;
    for (int i = 0; i < n; i++) {
      if (layers[i].owner < 0 && (next < 0 || layers[i].order > layers[next].order)) next = i;
    }
    double least = INFINITY;
    for (int r = 0; r < ranks && r <= n; r++) { /* one of n+1 ranks has no problem yet */
      const double load = load_of(layers, n, r, ranks);
      if (load < least) rank = r, least = load;
    }
    layers[next].owner = rank;
  }
}

/* ---- solving ---- */

static es_code_t attempt(es_layer_problem_t *layer, const es_spectrum_backend_t *backend, const double *triangle,
                         const es_group_t *group, es_status_t *status) {
  const es_eigenproblem_t problem = {.order = layer->order,
                                     .triangle = triangle,
                                     .comm = group->comm,
                                     .blocks = triangle ? NULL : layer->blocks,
                                     .owner = layer->owner,
                                     .watch = group->watch};
  layer->solver = backend->solver;
  return backend->solve(&problem, layer->share, layer->values, &layer->vectors, status);
}

static void note_fallback(es_layer_problem_t *layer, const es_status_t *why) {
  layer->fell_back = true;
  snprintf(layer->warning, sizeof layer->warning, "%.200s; the problem was solved again by LAPACK on one rank",
           why->message);
}

/* Solves again by plain LAPACK after the failure `why`. Numeric failures leave the layer unsolved. */
static es_code_t repeat(es_layer_problem_t *layer, const double *triangle, const es_group_t *group,
                        const es_status_t *why, es_status_t *status) {
  es_status_t second = {0};
  note_fallback(layer, why);
  if (attempt(layer, &es_spectrum_lapack_plain, triangle, group, &second) == ES_OK) return ES_OK;
  const es_eigenproblem_t problem = {.order = layer->order, .triangle = triangle};
  if (second.code == ES_NUMERIC && es_spectrum_check_finite(&problem, &(es_status_t){0}) == ES_OK) {
    layer->unsolved = true;
    layer->fell_back = false;
    layer->solver = ES_SOLVER_NONE;
    snprintf(layer->warning, sizeof layer->warning,
             "no eigensolver passed its check, so the layer is flagged as unsolved: %.200s", second.message);
    return ES_OK;
  }
  *status = second;
  return status->code;
}

/* On the owner: solves with `backend`, then with plain LAPACK after a numeric failure. Other failures are final. */
static es_code_t solve_alone(es_layer_problem_t *layer, const es_spectrum_backend_t *backend, const double *triangle,
                             const es_group_t *group, es_status_t *status) {
  es_status_t first = {0};
  if (attempt(layer, backend, triangle, group, &first) == ES_OK) return ES_OK;
  const es_eigenproblem_t problem = {.order = layer->order, .triangle = triangle};
  if (first.code != ES_NUMERIC || es_spectrum_check_finite(&problem, &(es_status_t){0}) != ES_OK) {
    *status = first;
    return status->code;
  }
  return repeat(layer, triangle, group, &first, status);
}

/* Gathers the triangle for a fallback from the half that the solver did not overwrite, if the layer is distributed.
 * Collective. */
static es_code_t collect(const es_layer_problem_t *layer, const es_group_t *group, double **made, es_status_t *status) {
  *made = NULL;
  if (!layer->blocks) return ES_OK;
  if (group->rank == layer->owner) *made = es_allocate(es_triangle_size(layer->order), sizeof **made);
  if (group->rank == layer->owner && !*made)
    es_out_of_memory(status, "spectrum", "a covariance of order %d on one rank", layer->order);
  ES_TRY(es_group_agree(group, status));
  es_dist_matrix_to_triangle(layer->blocks, *made, layer->owner, true);
  return ES_OK;
}

/* Solves on all ranks together. A backend reports the same on all ranks, so all ranks fall back together. */
static es_code_t solve_together(es_layer_problem_t *layer, const es_spectrum_backend_t *backend,
                                const es_group_t *group, es_status_t *status) {
  es_status_t first = {0};
  double *made;
  attempt(layer, backend, layer->blocks ? NULL : layer->triangle, group, &first);
  if (es_group_agree(group, &first) == ES_OK) return ES_OK;
  if (first.code != ES_NUMERIC) {
    *status = first;
    return status->code;
  }
  ES_TRY(collect(layer, group, &made, status));
  const double *triangle = made ? made : layer->triangle;
  es_status_t second = {0};
  if (group->rank == layer->owner) repeat(layer, triangle, group, &first, &second);
  es_free(made);
  if (es_group_agree(group, &second) != ES_OK) *status = second;
  return status->code;
}

/* Broadcasts values, solver and warning from the owner. */
static void share_outcome(es_layer_problem_t *layer, const es_group_t *group) {
  if (group->size == 1) return;
  struct {
    int32_t solver, fell_back, unsolved, n_vectors;
    char warning[sizeof layer->warning];
  } outcome = {(int32_t)layer->solver, layer->fell_back, layer->unsolved, layer->vectors.n, ""};
  memcpy(outcome.warning, layer->warning, sizeof outcome.warning);
  ES_MPI(MPI_Bcast(&outcome, (int)sizeof outcome, MPI_BYTE, layer->owner, group->comm));
  layer->solver = (es_solver_t)outcome.solver;
  layer->fell_back = outcome.fell_back;
  layer->unsolved = outcome.unsolved;
  layer->vectors.n = outcome.n_vectors;
  memcpy(layer->warning, outcome.warning, sizeof outcome.warning);
  ES_MPI(MPI_Bcast(layer->values, layer->order, MPI_DOUBLE, layer->owner, group->comm));
}

static es_code_t solve_all(es_layer_problem_t *layers, int n, const es_group_t *group, es_status_t *status) {
  const es_spectrum_backend_t *backend;
  for (int i = 0; i < n; i++) {
    ES_TRY(backend_of(&layers[i], group->size, &backend, status)); /* equal on all ranks */
    if (layers[i].skip || !(backend->collective || layers[i].blocks)) continue;
    ES_TRY(es_group_pause(group, status));
    if (backend->collective) {
      ES_TRY(solve_together(&layers[i], backend, group, status));
    } else { /* gathered on its owner */
      double *made;
      ES_TRY(collect(&layers[i], group, &made, status));
      if (group->rank == layers[i].owner) solve_alone(&layers[i], backend, made, group, status);
      es_free(made);
      ES_TRY(es_group_agree(group, status));
    }
  }
  for (int i = 0; i < n && status->code == ES_OK; i++) {
    backend_of(&layers[i], group->size, &backend, status);
    if (layers[i].skip || layers[i].blocks || backend->collective || layers[i].owner != group->rank) continue;
    if (es_panels_pause(group->watch, "spectrum", status) == ES_OK)
      solve_alone(&layers[i], backend, layers[i].triangle, group, status);
  }
  return es_group_agree(group, status);
}

es_code_t es_spectrum_solve(es_layer_problem_t *layers, int n, const es_group_t *group, es_status_t *status) {
  for (int i = 0; i < n; i++) {
    layers[i].solver = ES_SOLVER_NONE;
    layers[i].vectors = (es_vectors_t){0};
    layers[i].fell_back = layers[i].unsolved = false;
    layers[i].warning[0] = '\0';
  }
  const es_code_t code = solve_all(layers, n, group, status);
  if (code != ES_OK) es_spectrum_release(layers, n);
  for (int i = 0; code == ES_OK && i < n; i++) {
    if (!layers[i].skip) share_outcome(&layers[i], group);
  }
  return code;
}

es_code_t es_spectrum_share_vectors(es_layer_problem_t *layer, const es_group_t *group, es_status_t *status) {
  es_vectors_t *v = &layer->vectors;
  if (v->n == 0 || group->size == 1) return ES_OK;
  if (!v->rows) v->rows = es_allocate((size_t)v->n, (size_t)layer->order * sizeof *v->rows);
  if (!v->rows) es_out_of_memory(status, "spectrum", "%d vectors of order %d", v->n, layer->order);
  ES_TRY(es_group_agree(group, status));
  for (int32_t r = 0; r < v->n; r++) /* a row of any order has far fewer than INT_MAX bytes */
    ES_MPI(MPI_Bcast(v->rows + (size_t)r * (size_t)layer->order, layer->order, MPI_DOUBLE, layer->owner, group->comm));
  return ES_OK;
}

void es_spectrum_release(es_layer_problem_t *layers, int n) {
  for (int i = 0; i < n; i++) {
    es_free(layers[i].vectors.rows);
    layers[i].vectors = (es_vectors_t){0};
  }
}
