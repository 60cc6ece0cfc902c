/* Eigenspaces of measured layers: their leading eigenvectors, followed over the epochs and kept for projections. */
#include "context.h"
#include "eigenscope/clock.h"
#include "eigenscope/gram.h"
#include "eigenscope/memory.h"
#include <string.h>

static int32_t width_of(const flow_t *f, int layer) {
  return es_result_layer(f->result, layer)->width;
}

/* ---- made and destroyed ---- */

/* Layers are spread by their widths, which are the same in every epoch and split; so are their owners. */
static es_code_t create(flow_t *f, es_status_t *status) {
  const size_t n = (size_t)f->n_layers;
  int32_t *widths = es_allocate(n, sizeof *widths);
  es_layer_problem_t *problems = es_allocate_zero(n, sizeof *problems);
  f->owners = es_allocate(n, sizeof *f->owners);
  if (widths && problems && f->owners) {
    for (int i = 0; i < f->n_layers; i++) {
      widths[i] = width_of(f, i);
      problems[i] = (es_layer_problem_t){.order = widths[i], .choice = ES_CHOOSE_LAPACK};
    }
    es_spectrum_assign(problems, f->n_layers, f->group.size);
    for (int i = 0; i < f->n_layers; i++) f->owners[i] = problems[i].owner;
    const es_eigenspaces_shape_t shape = {.group = &f->group,
                                          .n_layers = f->n_layers,
                                          .widths = widths,
                                          .owners = f->owners,
                                          .n_deltas = f->point->measure.n_deltas,
                                          .n_epochs = (int32_t)es_result_extent(f->result, ES_DIM_EPOCH)};
    es_eigenspaces_create(&f->spaces, &shape, status);
  } else {
    es_out_of_memory(status, "pipeline", "the owners of eigenspaces");
  }
  es_free(widths);
  es_free(problems);
  return status->code;
}

es_code_t flow_spaces_open(flow_t *f, es_status_t *status) {
  if (f->point->measure.eigenspace != ES_EIGENSPACE_NO) create(f, status);
  return es_agree(f->group.comm, status);
}

void flow_spaces_close(flow_t *f) {
  es_eigenspaces_destroy(f->spaces);
  es_free(f->owners);
}

/* ---- one measured epoch ---- */

double flow_spaces_share(const flow_t *f, es_split_t split, int32_t epoch) {
  const es_measure_settings_t *m = &f->point->measure;
  return f->spaces || flow_projection_wants(f, split, epoch) ? m->delta[m->n_deltas - 1] : 0.0;
}

/* Vectors that each delta takes of those that were found; 0 for a dead layer, −1 for one that is not finite. */
static void count_vectors(const flow_t *f, const flow_solved_t *s, int32_t k[ES_DELTAS_MAX]) {
  const int64_t first[ES_RANK_MAX] = {s->split, s->epoch, s->layer, 0};
  const int32_t *stored = es_result_at(f->result, ES_FIELD_INTRINSIC_DIMENSION, first), n = s->problem->vectors.n;
  for (int d = 0; d < f->point->measure.n_deltas; d++) k[d] = stored[d] < n ? stored[d] : n;
}

/* Vectors over columns take the place of those over rows that the Gram matrix has, on every rank. */
static es_code_t make_features(flow_t *f, const flow_solved_t *s, es_status_t *status) {
  es_vectors_t *v = &s->problem->vectors;
  const int32_t width = width_of(f, s->layer);
  double *rows = es_allocate((size_t)v->n * (size_t)width, sizeof *rows);
  if (!rows) es_out_of_memory(status, "pipeline", "%d eigenvectors of width %d", v->n, width);
  es_code_t code = es_agree(f->group.comm, status);
  if (code == ES_OK) code = es_gram_features(s->merged->gram, v->rows, v->n, rows, status);
  if (code == ES_OK) code = es_eigenspace_orthonormalise(rows, v->n, width, status);
  es_free(v->rows);
  v->rows = rows;
  return code;
}

/* To the owner who follows them, and to all ranks for projections. */
es_code_t flow_spaces_take(flow_t *f, const flow_solved_t *s, es_status_t *status) {
  es_vectors_t *v = &s->problem->vectors;
  const int owner = f->spaces ? f->owners[s->layer] : s->problem->owner;
  const bool projected = flow_projection_wants(f, s->split, s->epoch);
  int32_t k[ES_DELTAS_MAX];
  count_vectors(f, s, k);
  if (s->merged->gram || projected || s->problem->owner != owner)
    ES_TRY(es_spectrum_share_vectors(s->problem, &f->group, status));
  if (s->merged->gram && v->n > 0) make_features(f, s, status);
  if (status->code == ES_OK && f->spaces && f->group.rank == owner)
    es_eigenspaces_put(f->spaces, s->layer, k, v->rows, v->n, status);
  if (status->code == ES_OK && projected) flow_projection_take(f, s, k, status);
  return es_agree(f->group.comm, status);
}

/* The comparison that the tracker made last, into the leader's result. */
static void store_comparison(flow_t *f, es_reference_t reference, es_split_t split, int32_t epoch) {
  const size_t deltas = (size_t)f->point->measure.n_deltas;
  for (int layer = 0; flow_is_leader(f) && layer < f->n_layers; layer++) {
    const int64_t first[ES_RANK_MAX] = {reference, split, epoch, layer, 0};
    memcpy(es_result_at(f->result, ES_FIELD_EIGENSPACE_OVERLAP, first), es_eigenspaces_overlap(f->spaces, layer),
           deltas * sizeof(double));
    memcpy(es_result_at(f->result, ES_FIELD_PRINCIPAL_ANGLES, first), es_eigenspaces_angles(f->spaces, layer),
           (size_t)width_of(f, layer) * sizeof(double));
  }
}

es_code_t flow_spaces_commit(flow_t *f, es_split_t split, int32_t epoch, es_status_t *status) {
  if (!f->spaces) return ES_OK;
  const double start = es_clock();
  ES_TRY(es_eigenspaces_commit(f->spaces, split, epoch, status));
  store_comparison(f, ES_PREVIOUS, split, epoch);
  flow_charge(f, ES_STAGE_SPECTRUM, start);
  return ES_OK;
}

/* ---- the end ---- */

/* On the leader, which has the vectors of all epochs. */
static void store_vectors(flow_t *f, es_split_t split, int32_t epoch) {
  for (int layer = 0; layer < f->n_layers; layer++) {
    const int64_t first[ES_RANK_MAX] = {split, epoch, layer, 0, 0};
    int32_t n;
    const float *vectors = es_eigenspaces_vectors(f->spaces, split, epoch, layer, &n);
    if (n > 0)
      memcpy(es_result_at(f->result, ES_FIELD_EIGENVECTORS, first), vectors,
             (size_t)n * (size_t)width_of(f, layer) * sizeof *vectors);
  }
}

es_code_t flow_spaces_last(flow_t *f, es_status_t *status) {
  if (!f->spaces) return ES_OK;
  const double start = es_clock();
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int32_t epoch = 0; epoch <= es_eigenspaces_last(f->spaces, (es_split_t)split); epoch++) {
      if (!es_eigenspaces_has(f->spaces, (es_split_t)split, epoch)) continue;
      ES_TRY(es_eigenspaces_compare_last(f->spaces, (es_split_t)split, epoch, status));
      store_comparison(f, ES_LAST, (es_split_t)split, epoch);
      if (flow_is_leader(f) && es_result_has(f->result, ES_GROUP_EIGENVECTORS))
        store_vectors(f, (es_split_t)split, epoch);
    }
  }
  flow_charge(f, ES_STAGE_SPECTRUM, start);
  return ES_OK;
}

/* ---- states ---- */

es_code_t flow_spaces_restore(void *context, const es_safetensors_t *file, es_status_t *status) {
  flow_t *f = context;
  for (int i = 0; f->spaces && i < es_safetensors_count(file); i++)
    ES_TRY(es_eigenspaces_take(f->spaces, es_safetensors_tensor(file, i), status));
  return ES_OK;
}
