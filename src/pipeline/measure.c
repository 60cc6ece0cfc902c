#include "measure.h"
#include "eigenscope/clock.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/memory.h"
#include "eigenscope/saturation.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The layers of one call of es_measure. */
typedef struct batch {
  int first, n;
  es_layer_problem_t *problems;
  es_reduced_t *reduced; /* triangles only on the ranks that solve them */
  double *values;        /* eigenvalues of all layers, layer after layer */
  es_owned_t owned;      /* owns the arrays above */
} batch_t;

/* Assigns an owner to each problem before covariances are merged, so that only owners keep them. */
static es_code_t create_batch(const es_context_t *c, const es_point_source_t *source, batch_t *b, es_status_t *status) {
  size_t total = 0, at = 0;
  for (int i = 0; i < b->n; i++) total += (size_t)es_context_width(c, b->first + i);
  b->problems = es_owned_allocate_zero(&b->owned, (size_t)b->n, sizeof *b->problems);
  b->reduced = es_owned_allocate_zero(&b->owned, (size_t)b->n, sizeof *b->reduced);
  b->values = es_owned_allocate_zero(&b->owned, total, sizeof *b->values);
  if (b->owned.failed) es_out_of_memory(status, "pipeline", "eigenvalues");
  ES_TRY(es_group_agree(&c->group, status));
  for (int i = 0; i < b->n; i++) {
    b->problems[i] = (es_layer_problem_t){.order = source->class->passes->order(source, b->first + i),
                                          .values = b->values + at,
                                          .choice = c->point->measure.solver};
    at += (size_t)es_context_width(c, b->first + i);
  }
  es_spectrum_assign(b->problems, b->n, c->group.size);
  return ES_OK;
}

static es_code_t reduce_layers(es_context_t *c, es_point_source_t *source, batch_t *b, es_status_t *status) {
  for (int i = 0; i < b->n; i++) {
    es_layer_problem_t *p = &b->problems[i];
    es_reduced_t *m = &b->reduced[i];
    ES_TRY(es_group_pause(&c->group, status));
    ES_TRY(source->class->passes->reduce(source, b->first + i, m, status));
    if (p->owner != c->group.rank) {
      es_free(m->triangle);
      m->triangle = NULL;
    }
    p->order = m->order;
    p->triangle = m->triangle;
    p->blocks = m->blocks;
    p->skip = m->order == 0 || m->rows == 0 || !m->finite;
  }
  return ES_OK;
}

/* Exponent that turns eigenvalues of the scaled matrix into those of the layer. */
static int unit_of(const es_reduced_t *merged) {
  return -2 * merged->exponent;
}

/* Shows the warnings of a layer. */
static void warn(const es_context_t *c, int layer, const es_layer_problem_t *p, const es_reduced_t *merged) {
  const char *name = es_result_layer(c->result, layer)->name;
  char text[sizeof p->warning + ES_NAME_MAX + 16];
  snprintf(text, sizeof text, "layer %s: %s", name, p->warning);
  if (p->warning[0]) es_context_warn(c, p->unsolved ? text : p->warning);
  snprintf(text, sizeof text,
           "layer %s: the eigenvalues or the trace do not fit double (Inf or 0); the other numbers are valid", name);
  if (!p->skip && !p->unsolved && p->values[0] > 0.0 && !isnormal(ldexp(p->values[0], unit_of(merged))))
    es_context_warn(c, text);
}

/* Number of outputs that each row is the mean of. */
static double outputs_of_row(const es_measure_settings_t *m, es_shape_t shape, int32_t width) {
  const double positions = (double)shape.h * shape.w, cells = (double)width / shape.c;
  if (m->method == ES_METHOD_MEAN) return positions;
  return m->method == ES_METHOD_POOL && cells < positions ? positions / cells : 1.0;
}

/* True if the last direction that is counted at the largest delta may be rounding errors. */
static bool is_rounding(const es_context_t *c, const es_point_source_t *source, int layer, const es_layer_problem_t *p,
                        const es_reduced_t *merged, int32_t k) {
  const int32_t width = es_context_width(c, layer);
  double squares = 0.0;
  if (!es_source_has_network(c->point->source) || c->point->train.precision != ES_BFLOAT16 || p->skip || p->unsolved)
    return false;
  for (int32_t i = 0; i < width; i++) squares += merged->mean[i] * merged->mean[i];
  return es_saturation_is_rounding(
      p->values, width, k, ldexp(squares, -unit_of(merged)),
      outputs_of_row(&c->point->measure, source->class->passes->shape(source, layer), width));
}

/* Computes the numbers of a layer, and completes its eigenvalues. */
static es_saturation_t measure_layer(const es_context_t *c, const es_point_source_t *source, int layer,
                                     const es_layer_problem_t *p, const es_reduced_t *merged) {
  const es_measure_settings_t *m = &c->point->measure;
  const int32_t width = es_context_width(c, layer);
  es_saturation_t s;
  const bool none = p->skip || p->unsolved;
  for (int i = none ? 0 : p->order; i < width; i++) p->values[i] = none ? (double)NAN : 0.0;
  es_saturation_measure(&s, p->values, width, merged->rows, m->delta, m->n_deltas, m->convention);
  if (p->fell_back) s.flags |= ES_FLAG_FALLBACK;
  if (is_rounding(c, source, layer, p, merged, s.k[m->n_deltas - 1])) s.flags |= ES_FLAG_ROUNDING;
  if (p->unsolved) s.flags = (uint8_t)((s.flags & ~ES_FLAG_NONFINITE) | ES_FLAG_UNSOLVED);
  if (!none && s.quantities[ES_QUANTITY_TRACE] > 0.0)
    s.quantities[ES_QUANTITY_PARTICIPATION_RATIO_CORRECTED] = merged->participation;
  /* Shares and counts do not depend on the scale. Eigenvalues that do not fit double become Inf or lose digits. */
  s.quantities[ES_QUANTITY_TRACE] = ldexp(s.quantities[ES_QUANTITY_TRACE], unit_of(merged));
  return s;
}

static void store_eigenvalues(double *out, const es_layer_problem_t *p, const es_reduced_t *merged, int32_t width) {
  for (int32_t i = 0; i < width; i++) out[i] = ldexp(p->values[i], unit_of(merged));
}

static void store_layer(es_context_t *c, const es_point_source_t *source, es_split_t split, int32_t epoch, int layer,
                        const es_layer_problem_t *p, const es_reduced_t *merged) {
  es_result_t *r = c->result;
  const es_measure_settings_t *m = &c->point->measure;
  const es_saturation_t s = measure_layer(c, source, layer, p, merged);
  const int64_t epochs = es_result_extent(r, ES_DIM_EPOCH), layers = es_context_layers(c);
  const int64_t at = ((int64_t)split * epochs + epoch) * layers + layer;
  ((int64_t *)es_result_data(r, ES_FIELD_SAMPLES))[at] = merged->rows;
  for (int q = 0; q < ES_QUANTITIES; q++) {
    ((double *)es_result_data(r, es_field_of_quantity((es_quantity_t)q)))[at] = s.quantities[q];
  }
  ((uint8_t *)es_result_data(r, ES_FIELD_SOLVER))[at] = (uint8_t)p->solver;
  ((uint8_t *)es_result_data(r, ES_FIELD_FLAGS))[at] = s.flags;
  for (int d = 0; d < m->n_deltas; d++) {
    ((int32_t *)es_result_data(r, ES_FIELD_INTRINSIC_DIMENSION))[at * m->n_deltas + d] = s.k[d];
    ((double *)es_result_data(r, ES_FIELD_SATURATION))[at * m->n_deltas + d] = s.saturation[d];
  }
  store_eigenvalues(es_result_f64(r, ES_FIELD_EIGENVALUES, split, epoch, layer, 0), p, merged,
                    es_context_width(c, layer));
}

static void store_step(es_context_t *c, const es_point_source_t *source, int64_t step, int layer,
                       const es_layer_problem_t *p, const es_reduced_t *merged) {
  es_result_t *r = c->result;
  const int n = c->point->measure.n_deltas;
  const es_saturation_t s = measure_layer(c, source, layer, p, merged);
  *(uint8_t *)es_result_at(r, ES_FIELD_STEP_FLAGS, (int64_t[ES_RANK_MAX]){step, layer}) = s.flags;
  for (int d = 0; d < n; d++) *es_result_f64(r, ES_FIELD_STEP_SATURATION, step, layer, d, 0) = s.saturation[d];
  store_eigenvalues(es_result_f64(r, ES_FIELD_STEP_EIGENVALUES, step, layer, 0, 0), p, merged,
                    es_context_width(c, layer));
}

/* Replaces the eigenvectors of the Gram matrix (over rows) by eigenvectors over columns. Collective. */
static es_code_t make_features(const es_context_t *c, const es_reduced_t *reduced, es_vectors_t *v, int32_t width,
                               es_status_t *status) {
  double *rows = es_allocate((size_t)v->n * (size_t)width, sizeof *rows);
  if (!rows) es_out_of_memory(status, "pipeline", "%d eigenvectors of width %d", v->n, width);
  es_code_t code = es_agree(c->group.comm, status);
  if (code == ES_OK) code = es_gram_features(reduced->gram, v->rows, v->n, rows, status);
  if (code == ES_OK) code = es_eigenspace_orthonormalise(rows, v->n, width, status);
  es_free(v->rows);
  v->rows = rows;
  return code;
}

/* Passes a solved layer to the analyses, after sending its vectors to the ranks that need them. */
static es_code_t analyse_layer(es_context_t *c, es_analyses_t *analyses, es_solved_t *solved, es_layer_problem_t *p,
                               es_status_t *status) {
  const int64_t first[ES_RANK_MAX] = {solved->split, solved->epoch, solved->layer, 0};
  const int32_t *k = es_result_at(c->result, ES_FIELD_INTRINSIC_DIMENSION, first);
  for (int d = 0; d < c->point->measure.n_deltas; d++) solved->k[d] = k[d] < p->vectors.n ? k[d] : p->vectors.n;
  const int wanted = es_analyses_want_vectors(analyses, solved->split, solved->epoch, solved->layer);
  if (wanted != ES_VECTORS_NOBODY) {
    if (solved->reduced->gram || wanted != p->owner) ES_TRY(es_spectrum_share_vectors(p, &c->group, status));
    if (solved->reduced->gram && p->vectors.n > 0)
      make_features(c, solved->reduced, &p->vectors, es_context_width(c, solved->layer), status);
  }
  return es_analyses_layer(analyses, solved, status);
}

static void release_batch(batch_t *b) {
  if (b->problems) es_spectrum_release(b->problems, b->n);
  for (int i = 0; b->reduced && i < b->n; i++) es_reduced_destroy(&b->reduced[i]);
  es_owned_free(&b->owned);
}

es_code_t es_measure_step(es_context_t *c, es_point_source_t *source, int64_t step, es_status_t *status) {
  double start = es_clock();
  batch_t b = {.n = es_context_layers(c)};
  es_code_t code = create_batch(c, source, &b, status);
  if (code == ES_OK) code = reduce_layers(c, source, &b, status);
  es_timing_charge(&c->timing, ES_STAGE_REDUCE, start);
  start = es_clock();
  if (code == ES_OK) code = es_spectrum_solve(b.problems, b.n, &c->group, status);
  for (int i = 0; i < b.n && code == ES_OK; i++) {
    warn(c, i, &b.problems[i], &b.reduced[i]);
    store_step(c, source, step, i, &b.problems[i], &b.reduced[i]);
  }
  es_timing_charge(&c->timing, ES_STAGE_SPECTRUM, start);
  release_batch(&b);
  return code;
}

es_code_t es_measure(es_context_t *c, es_point_source_t *source, es_analyses_t *analyses, es_split_t split,
                     int32_t epoch, int first, int n, es_status_t *status) {
  double start = es_clock();
  batch_t b = {.first = first, .n = n};
  const es_measure_settings_t *m = &c->point->measure;
  es_code_t code = create_batch(c, source, &b, status);
  for (int i = 0; i < n && code == ES_OK; i++)
    if (es_analyses_want_vectors(analyses, split, epoch, first + i) != ES_VECTORS_NOBODY)
      b.problems[i].share = m->delta[m->n_deltas - 1];
  if (code == ES_OK) code = reduce_layers(c, source, &b, status);
  for (int i = 0; i < n && code == ES_OK; i++) {
    const es_merged_t merged = {split, epoch, first + i, b.problems[i].owner, &b.reduced[i]};
    code = es_analyses_reduced(analyses, &merged, status);
  }
  es_timing_charge(&c->timing, ES_STAGE_REDUCE, start);
  start = es_clock();
  if (code == ES_OK) code = es_spectrum_solve(b.problems, b.n, &c->group, status);
  for (int i = 0; i < n && code == ES_OK; i++) {
    warn(c, first + i, &b.problems[i], &b.reduced[i]);
    store_layer(c, source, split, epoch, first + i, &b.problems[i], &b.reduced[i]);
    es_solved_t solved = {split, epoch, first + i, &b.problems[i], &b.reduced[i], {0}};
    code = analyse_layer(c, analyses, &solved, &b.problems[i], status);
  }
  es_timing_charge(&c->timing, ES_STAGE_SPECTRUM, start);
  release_batch(&b);
  return code;
}

int64_t es_measure_bytes(const es_forecast_t *f, int ranks) {
  const bool vectors = es_measure_vectors(&f->point->measure);
  int64_t bytes = 0, held = 0;
  for (int i = 0; i < f->n_layers; i++) {
    const int32_t width = f->layers[i].rows.width;
    const int64_t moments = 8 * (int64_t)es_cov_moments_size(width), solve = es_spectrum_bytes(width, ranks, vectors);
    const bool whole = es_accumulator_strategy(width, INT64_MAX) == ES_STRATEGY_LANES;
    if (whole) bytes += moments;
    if (whole && 3 * moments > held) held = 3 * moments; /* the total, a lane, and the sum over pairs of lanes */
    if (solve > held) held = solve;
    if (vectors) bytes += (int64_t)(8 * ES_EXPECTED_SATURATION * width) * width;
  }
  return bytes / ranks + held;
}
