/* Eigenspaces (measure.eigenspace): compares the leading eigenvectors of measured layers with those of the previous and
 * of the last epoch. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/memory.h"
#include <math.h>
#include <string.h>

typedef struct es_eigenspace_analysis {
  es_context_t *context;
  es_eigenspaces_t *spaces;
  int owners[]; /* (layers) rank that compares the layer */
} es_eigenspace_analysis_t;

static void close_analysis(void *state) {
  es_eigenspace_analysis_t *a = state;
  es_eigenspaces_destroy(a->spaces);
  es_free(a);
}

/* Assigns layers to ranks by width. Widths, and so the owners, are the same in every epoch and split. */
static es_code_t open_analysis(void **state, es_context_t *c, ES_UNUSED es_point_source_t *source,
                               es_status_t *status) {
  const int n_layers = es_context_layers(c);
  if (c->point->measure.eigenspace == ES_EIGENSPACE_NO) return ES_OK;
  es_eigenspace_analysis_t *a = *state = es_allocate_zero(1, sizeof *a + (size_t)n_layers * sizeof *a->owners);
  int32_t *widths = es_allocate((size_t)n_layers, sizeof *widths);
  es_layer_problem_t *problems = es_allocate_zero((size_t)n_layers, sizeof *problems);
  if (a && widths && problems) {
    a->context = c;
    for (int i = 0; i < n_layers; i++) {
      widths[i] = es_context_width(c, i);
      problems[i] = (es_layer_problem_t){.order = widths[i], .choice = ES_CHOOSE_LAPACK};
    }
    es_spectrum_assign(problems, n_layers, c->group.size);
    for (int i = 0; i < n_layers; i++) a->owners[i] = problems[i].owner;
    const es_eigenspaces_shape_t shape = {.group = &c->group,
                                          .n_layers = n_layers,
                                          .widths = widths,
                                          .owners = a->owners,
                                          .n_deltas = c->point->measure.n_deltas,
                                          .n_epochs = (int32_t)es_result_extent(c->result, ES_DIM_EPOCH)};
    es_eigenspaces_create(&a->spaces, &shape, status);
  } else {
    es_out_of_memory(status, "pipeline", "the owners of eigenspaces");
  }
  es_free(widths);
  es_free(problems);
  return status->code;
}

/* ---- epochs ---- */

static int wants_vectors(const void *state, ES_UNUSED es_split_t split, ES_UNUSED int32_t epoch, int layer) {
  return ((const es_eigenspace_analysis_t *)state)->owners[layer];
}

static es_code_t receive_layer(void *state, const es_solved_t *s, es_status_t *status) {
  es_eigenspace_analysis_t *a = state;
  const es_vectors_t *v = &s->problem->vectors;
  if (a->context->group.rank != a->owners[s->layer]) return ES_OK;
  return es_eigenspaces_put(a->spaces, s->layer, s->k, v->rows, v->n, status);
}

/* Copies the comparison made last into the leader's result. */
static void store_comparison(const es_eigenspace_analysis_t *a, es_reference_t reference, es_split_t split,
                             int32_t epoch) {
  const es_context_t *c = a->context;
  const size_t deltas = (size_t)c->point->measure.n_deltas;
  for (int layer = 0; es_context_is_leader(c) && layer < es_context_layers(c); layer++) {
    const int64_t first[ES_RANK_MAX] = {reference, split, epoch, layer, 0};
    memcpy(es_result_at(c->result, ES_FIELD_EIGENSPACE_OVERLAP, first), es_eigenspaces_overlap(a->spaces, layer),
           deltas * sizeof(double));
    memcpy(es_result_at(c->result, ES_FIELD_PRINCIPAL_ANGLES, first), es_eigenspaces_angles(a->spaces, layer),
           (size_t)es_context_width(c, layer) * sizeof(double));
  }
}

static es_code_t compare_with_previous(void *state, es_split_t split, int32_t epoch, es_status_t *status) {
  es_eigenspace_analysis_t *a = state;
  const double start = es_clock();
  ES_TRY(es_eigenspaces_commit(a->spaces, split, epoch, status));
  store_comparison(a, ES_PREVIOUS, split, epoch);
  es_timing_charge(&a->context->timing, ES_STAGE_SPECTRUM, start);
  return ES_OK;
}

/* Runs on the leader only, because only the leader has the vectors of all epochs. */
static void store_vectors(const es_eigenspace_analysis_t *a, es_split_t split, int32_t epoch) {
  const es_context_t *c = a->context;
  for (int layer = 0; layer < es_context_layers(c); layer++) {
    const int64_t first[ES_RANK_MAX] = {split, epoch, layer, 0, 0};
    int32_t n;
    const float *vectors = es_eigenspaces_vectors(a->spaces, split, epoch, layer, &n);
    if (n > 0)
      memcpy(es_result_at(c->result, ES_FIELD_EIGENVECTORS, first), vectors,
             (size_t)n * (size_t)es_context_width(c, layer) * sizeof *vectors);
  }
}

/* True if the state of an interrupted run has this comparison. Collective. */
static bool was_compared(const es_context_t *c, es_split_t split, int32_t epoch) {
  int found = 0;
  for (int layer = 0; es_context_is_leader(c) && !found && layer < es_context_layers(c); layer++) {
    const int64_t first[ES_RANK_MAX] = {ES_LAST, split, epoch, layer, 0};
    const double *overlap = es_result_at(c->result, ES_FIELD_EIGENSPACE_OVERLAP, first);
    for (int d = 0; d < c->point->measure.n_deltas; d++) found = found || !isnan(overlap[d]);
  }
  ES_MPI(MPI_Bcast(&found, 1, MPI_INT, 0, c->group.comm));
  return found;
}

static es_code_t compare_with_last(void *state, ES_UNUSED bool complete, es_status_t *status) {
  es_eigenspace_analysis_t *a = state;
  es_context_t *c = a->context;
  const bool stores = es_context_is_leader(c) && es_result_has(c->result, ES_GROUP_EIGENVECTORS);
  const double start = es_clock();
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int32_t epoch = 0; epoch <= es_eigenspaces_last(a->spaces, (es_split_t)split); epoch++) {
      if (!es_eigenspaces_has(a->spaces, (es_split_t)split, epoch)) continue;
      if (!was_compared(c, (es_split_t)split, epoch)) {
        ES_TRY(es_group_pause(&c->group, status));
        ES_TRY(es_eigenspaces_compare_last(a->spaces, (es_split_t)split, epoch, status));
        store_comparison(a, ES_LAST, (es_split_t)split, epoch);
      }
      if (stores) store_vectors(a, (es_split_t)split, epoch);
    }
  }
  es_timing_charge(&c->timing, ES_STAGE_SPECTRUM, start);
  return ES_OK;
}

/* ---- states ---- */

static int save(void *state, const es_tensor_view_t **tensors) {
  return es_eigenspaces_tensors(((es_eigenspace_analysis_t *)state)->spaces, tensors);
}

static es_code_t restore(void *state, const es_safetensors_t *file, es_status_t *status) {
  es_eigenspace_analysis_t *a = state;
  for (int i = 0; i < es_safetensors_count(file); i++)
    ES_TRY(es_eigenspaces_take(a->spaces, es_safetensors_tensor(file, i), status));
  return ES_OK;
}

static es_code_t resume(void *state, es_status_t *status) {
  return es_eigenspaces_resume(((es_eigenspace_analysis_t *)state)->spaces, status);
}

/* ---- forecasts ---- */

/* Vectors of all measured epochs on the leader, twice while a state is saved; overlaps, angles and stored vectors, in
 * the result and in its file image. A layer with fewer rows than columns has only that many directions. */
static int64_t bytes(const es_forecast_t *f, int ranks) {
  const es_point_t *point = f->point;
  int64_t columns = 0;
  double squares = 0, directions = 0;
  if (point->measure.eigenspace == ES_EIGENSPACE_NO) return 0;
  int32_t *widths = es_allocate((size_t)f->n_layers, sizeof *widths);
  if (!widths) return -1;
  for (int i = 0; i < f->n_layers; i++) {
    const int32_t width = widths[i] = f->layers[i].rows.width;
    columns += width;
    squares += (double)width * width;
    directions += ES_EXPECTED_SATURATION * f->layers[i].order * width;
  }
  const es_eigenspaces_plan_t plan = {.widths = widths,
                                      .n_layers = f->n_layers,
                                      .measured = es_point_measured_count(point, ES_TRAIN) +
                                                  es_point_measured_count(point, ES_EVAL),
                                      .share = directions / squares,
                                      .ranks = ranks};
  const int64_t cells = 2 * ES_SPLITS * es_point_epochs(point);
  int64_t sum = 2 * es_eigenspaces_bytes(&plan) + cells * 2 * 8 * columns;
  if (point->measure.eigenspace == ES_EIGENSPACE_STORE) sum += cells * (int64_t)(4 * squares);
  es_free(widths);
  return sum;
}

extern const es_analysis_t es_analysis_eigenspace;
const es_analysis_t es_analysis_eigenspace = {.bytes = bytes,
                                              .open = open_analysis,
                                              .wants_vectors = wants_vectors,
                                              .layer = receive_layer,
                                              .split = compare_with_previous,
                                              .finish = compare_with_last,
                                              .save = save,
                                              .restore = restore,
                                              .resume = resume,
                                              .close = close_analysis};
