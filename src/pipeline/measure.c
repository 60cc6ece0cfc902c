/* Measuring: rows are merged over lanes and ranks, eigenvalues computed, and numbers made of them. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/memory.h"
#include "eigenscope/saturation.h"
#include <math.h>
#include <string.h>

/* What is under way for the layers of one call. */
typedef struct batch {
  int first, n;
  es_layer_problem_t *problems;
  es_reduced_t *merged; /* triangles only where they are solved */
  double *values;       /* of all layers, one after the other */
} batch_t;

static int32_t width_of(const flow_t *f, int layer) {
  return es_result_layer(f->result, layer)->width;
}

static es_code_t create_batch(const flow_t *f, batch_t *b, es_status_t *status) {
  size_t total = 0;
  for (int i = 0; i < b->n; i++) total += (size_t)width_of(f, b->first + i);
  b->problems = es_allocate_zero((size_t)b->n, sizeof *b->problems);
  b->merged = es_allocate_zero((size_t)b->n, sizeof *b->merged);
  b->values = es_allocate_zero(total, sizeof *b->values);
  if (!b->problems || !b->merged || !b->values) es_out_of_memory(status, "pipeline", "eigenvalues");
  return es_group_agree(&f->group, status);
}

static void destroy_batch(batch_t *b) {
  if (b->problems) es_spectrum_release(b->problems, b->n);
  for (int i = 0; b->merged && i < b->n; i++) es_reduced_destroy(&b->merged[i]);
  es_free(b->problems);
  es_free(b->merged);
  es_free(b->values);
}

/* Who solves what is known before anything is merged, so that a covariance stays only where it is needed. */
static void assign(const flow_t *f, batch_t *b, const flow_rows_t *rows, double share) {
  double *values = b->values;
  for (int i = 0; i < b->n; i++) {
    b->problems[i] = (es_layer_problem_t){.order = rows->order(rows->context, b->first + i),
                                          .values = values,
                                          .share = share,
                                          .choice = f->point->measure.solver};
    values += width_of(f, b->first + i);
  }
  es_spectrum_assign(b->problems, b->n, f->group.size);
}

static es_code_t merge_layers(flow_t *f, batch_t *b, const flow_rows_t *rows, es_status_t *status) {
  for (int i = 0; i < b->n; i++) {
    es_layer_problem_t *p = &b->problems[i];
    es_reduced_t *m = &b->merged[i];
    ES_TRY(rows->finish(rows->context, b->first + i, m, status));
    if (p->owner != f->group.rank) {
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

static void store_layer(flow_t *f, es_split_t split, int32_t epoch, int layer, const es_layer_problem_t *p,
                        const es_reduced_t *merged) {
  es_result_t *r = f->result;
  const es_measure_settings_t *m = &f->point->measure;
  const int32_t width = width_of(f, layer);
  es_saturation_t s;
  for (int i = p->skip ? 0 : p->order; i < width; i++) p->values[i] = p->skip ? (double)NAN : 0.0;
  es_saturation_measure(&s, p->values, width, merged->rows, m->delta, m->n_deltas, m->convention);
  if (p->fell_back) s.flags |= ES_FLAG_FALLBACK;
  const int64_t epochs = es_result_extent(r, ES_DIM_EPOCH), layers = f->n_layers;
  const int64_t at = ((int64_t)split * epochs + epoch) * layers + layer;
  ((int64_t *)es_result_data(r, ES_FIELD_SAMPLES))[at] = merged->rows;
  ((double *)es_result_data(r, ES_FIELD_TRACE))[at] = s.trace;
  ((double *)es_result_data(r, ES_FIELD_EFFECTIVE_RANK))[at] = s.effective_rank;
  ((double *)es_result_data(r, ES_FIELD_PARTICIPATION_RATIO))[at] = s.participation_ratio;
  ((double *)es_result_data(r, ES_FIELD_FIRST_COMPONENT_SHARE))[at] = s.first_component_share;
  ((uint8_t *)es_result_data(r, ES_FIELD_SOLVER))[at] = (uint8_t)p->solver;
  ((uint8_t *)es_result_data(r, ES_FIELD_FLAGS))[at] = s.flags;
  for (int d = 0; d < m->n_deltas; d++) {
    ((int32_t *)es_result_data(r, ES_FIELD_INTRINSIC_DIMENSION))[at * m->n_deltas + d] = s.k[d];
    ((double *)es_result_data(r, ES_FIELD_SATURATION))[at * m->n_deltas + d] = s.saturation[d];
  }
  memcpy(es_result_f64(r, ES_FIELD_EIGENVALUES, split, epoch, layer, 0), p->values, (size_t)width * sizeof(double));
}

static es_code_t solve(flow_t *f, es_split_t split, int32_t epoch, batch_t *b, es_status_t *status) {
  const double start = es_clock();
  ES_TRY(es_spectrum_solve(b->problems, b->n, &f->group, status));
  for (int i = 0; i < b->n; i++) {
    if (b->problems[i].fell_back) flow_warn(f, b->problems[i].warning);
    store_layer(f, split, epoch, b->first + i, &b->problems[i], &b->merged[i]);
    const flow_solved_t solved = {split, epoch, b->first + i, &b->problems[i], &b->merged[i]};
    if (b->problems[i].share > 0.0) ES_TRY(flow_spaces_take(f, &solved, status));
  }
  flow_charge(f, ES_STAGE_SPECTRUM, start);
  return ES_OK;
}

es_code_t flow_measure(flow_t *f, es_split_t split, int32_t epoch, const flow_rows_t *rows, int first, int n,
                       es_status_t *status) {
  const flow_mark_t mark = flow_mark(f);
  batch_t b = {.first = first, .n = n};
  es_code_t code = create_batch(f, &b, status);
  if (code == ES_OK) {
    assign(f, &b, rows, flow_spaces_share(f, split, epoch));
    code = merge_layers(f, &b, rows, status);
    flow_charge(f, ES_STAGE_REDUCE, mark.clock);
  }
  if (code == ES_OK) code = solve(f, split, epoch, &b, status);
  destroy_batch(&b);
  const bool whole = first + n == f->n_layers; /* else other layers of the split are to come */
  if (code == ES_OK && whole) {
    flow_stability(f, split, epoch);
    code = flow_spaces_commit(f, split, epoch, status);
  }
  flow_effort(f, ES_WORK_MEASURE, &mark, whole, 0);
  return code;
}
