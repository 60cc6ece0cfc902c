/* Weights (measure.weights): numbers of the weight matrices of measured layers after each measured epoch. */
#include "analysis.h"
#include "eigenscope/clock.h"
#include "eigenscope/matrices.h"
#include "eigenscope/memory.h"
#include "eigenscope/model.h"
#include "eigenscope/train.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_TENSORS = 2, MESSAGE = 1 << 28 };
static const char FIRST[] = "weights.first", PREVIOUS[] = "weights.previous";

typedef struct es_weights_analysis {
  es_context_t *context;
  es_point_source_t *source;
  const es_tensor_t **matrices; /* (layers) weights of each layer; NULL: the layer has none */
  int *owners;                  /* (layers) the rank that computes them */
  double *numbers;              /* (layers × ES_MATRIX_NUMBERS) */
  /* Parameters of the network: as initialised (of loaded weights: those of the first epoch), and after the measured
   * epoch before. */
  float *first, *previous;
  int32_t epoch; /* of `previous`; −1: none */
  es_owned_t owned;
  es_tensor_view_t tensors[N_TENSORS];
} es_weights_analysis_t;

static int64_t count_of(const es_weights_analysis_t *a) {
  return a->source->network->parameter_count;
}

static float *parameters_of(const es_weights_analysis_t *a) {
  return es_model_parameters(es_trainer_model(a->source->runner));
}

/* ---- opening ---- */

static void close_analysis(void *state) {
  es_weights_analysis_t *a = state;
  es_owned_free(&a->owned);
  es_free(a);
}

/* The weights of a layer, if they are a matrix. */
static const es_tensor_t *matrix_of(const es_graph_t *graph, const char *layer) {
  for (int32_t i = 0; i < graph->n_nodes; i++) {
    const es_node_t *node = &graph->nodes[i];
    if (strcmp(node->name, layer) != 0 || node->weight < 0) continue;
    const es_tensor_t *tensor = &graph->parameters[node->weight];
    return tensor->rank >= 2 ? tensor : NULL;
  }
  return NULL;
}

static void shape_of(const es_tensor_t *tensor, int64_t *rows, int64_t *columns) {
  *rows = tensor->shape[0];
  *columns = tensor->count / *rows;
}

/* Gives each layer, the most expensive first, to the rank with the least work so far. */
static void assign(es_weights_analysis_t *a, int n, double *loads) {
  for (int i = 0; i < n; i++) a->owners[i] = -1;
  for (int done = 0; done < n; done++) {
    int next = -1, rank = 0;
    double most = -1.0;
    for (int i = 0; i < n; i++) {
      int64_t rows = 0, columns = 0;
      if (a->owners[i] >= 0) continue;
      if (a->matrices[i] != NULL) shape_of(a->matrices[i], &rows, &columns);
      const double cost = es_matrix_cost(rows, columns);
      if (cost > most) most = cost, next = i;
    }
    for (int r = 1; r < a->context->group.size; r++) rank = loads[r] < loads[rank] ? r : rank;
    a->owners[next] = rank;
    loads[rank] += most;
  }
}

static es_code_t open_analysis(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status) {
  if (!es_result_has(c->result, ES_GROUP_WEIGHTS)) return ES_OK;
  const int n = es_context_layers(c);
  const es_graph_t *graph = source->network;
  es_weights_analysis_t *a = *state = es_allocate_zero(1, sizeof *a);
  if (a == NULL) return es_out_of_memory(status, "pipeline", "the weights of %d layers", n);
  *a = (es_weights_analysis_t){.context = c, .source = source, .epoch = -1};
  a->matrices = es_owned_allocate(&a->owned, (size_t)n, sizeof *a->matrices);
  a->owners = es_owned_allocate(&a->owned, (size_t)n, sizeof *a->owners);
  a->numbers = es_owned_allocate(&a->owned, (size_t)n * ES_MATRIX_NUMBERS, sizeof *a->numbers);
  a->first = es_owned_allocate(&a->owned, (size_t)graph->parameter_count, sizeof *a->first);
  a->previous = es_owned_allocate(&a->owned, (size_t)graph->parameter_count, sizeof *a->previous);
  float *buffers = es_allocate((size_t)graph->buffer_count, sizeof *buffers);
  double *loads = es_allocate_zero((size_t)c->group.size, sizeof *loads);
  if (!a->owned.failed && buffers && loads) {
    for (int i = 0; i < n; i++) a->matrices[i] = matrix_of(graph, es_result_layer(c->result, i)->name);
    assign(a, n, loads);
    es_tensors_initialise(graph, a->first, buffers, c->point->seed);
  } else {
    es_out_of_memory(status, "pipeline", "two copies of the weights");
  }
  es_free(buffers);
  es_free(loads);
  return status->code;
}

/* ---- epochs ---- */

static es_code_t read_floats(const void *context, int64_t first, int64_t n, double *out,
                             ES_UNUSED es_status_t *status) {
  const float *from = (const float *)context + first;
  for (int64_t i = 0; i < n; i++) out[i] = (double)from[i];
  return ES_OK;
}

static es_code_t measure_layer(es_weights_analysis_t *a, int layer, es_status_t *status) {
  const es_tensor_t *tensor = a->matrices[layer];
  es_matrix_t w = {.read = read_floats, .context = parameters_of(a) + tensor->offset};
  shape_of(tensor, &w.rows, &w.columns);
  es_matrix_t first = w, previous = w;
  first.context = a->first + tensor->offset;
  previous.context = a->previous + tensor->offset;
  return es_matrix_measure(a->numbers + (size_t)layer * ES_MATRIX_NUMBERS, &w, &first, a->epoch >= 0 ? &previous : NULL,
                           a->context->group.watch, status);
}

static void store_numbers(es_weights_analysis_t *a, int32_t epoch) {
  es_result_t *r = a->context->result;
  for (int layer = 0; es_context_is_leader(a->context) && layer < es_context_layers(a->context); layer++) {
    for (int k = 0; a->matrices[layer] != NULL && k < ES_MATRIX_NUMBERS; k++)
      *es_result_f64(r, es_field_of_matrix((es_matrix_number_t)k), epoch, layer, 0, 0) =
          a->numbers[(size_t)layer * ES_MATRIX_NUMBERS + (size_t)k];
  }
}

static es_code_t measure_epoch(void *state, int32_t epoch, es_status_t *status) {
  es_weights_analysis_t *a = state;
  es_context_t *c = a->context;
  const int n = es_context_layers(c);
  const size_t bytes = (size_t)count_of(a) * sizeof *a->first;
  if (!es_context_is_measured(c, ES_TRAIN, epoch) && !es_context_is_measured(c, ES_EVAL, epoch)) return ES_OK;
  if (a->epoch == epoch) return ES_OK; /* the state of an interrupted run has this epoch */
  const double start = es_clock();
  if (epoch == 0 && c->point->source == ES_SOURCE_CHECKPOINT) memcpy(a->first, parameters_of(a), bytes);
  memset(a->numbers, 0, (size_t)n * ES_MATRIX_NUMBERS * sizeof *a->numbers);
  for (int i = 0; i < n && status->code == ES_OK; i++)
    if (a->matrices[i] != NULL && a->owners[i] == c->group.rank) measure_layer(a, i, status);
  ES_TRY(es_group_agree(&c->group, status));
  /* Each number is added to zeros of the other ranks, which is exact. */
  if (c->group.size > 1) es_group_allreduce_f64(&c->group, a->numbers, (size_t)n * ES_MATRIX_NUMBERS);
  store_numbers(a, epoch);
  memcpy(a->previous, parameters_of(a), bytes);
  a->epoch = epoch;
  es_timing_charge(&c->timing, ES_STAGE_SPECTRUM, start);
  return ES_OK;
}

/* ---- states ---- */

/* A state has the weights of the last measured epoch, which may be older than the state's own, and the first of loaded
 * weights. Initial weights follow from the seed. */
static int save(void *state, const es_tensor_view_t **tensors) {
  es_weights_analysis_t *a = state;
  int n = 0;
  *tensors = a->tensors;
  if (a->epoch < 0) return 0;
  es_tensor_view_t view = {.dtype = ES_F32, .rank = 1, .shape = {count_of(a)}, .data = a->previous};
  snprintf(view.name, sizeof view.name, "%s.%d", PREVIOUS, (int)a->epoch);
  a->tensors[n++] = view;
  if (a->context->point->source != ES_SOURCE_CHECKPOINT) return n;
  view.data = a->first;
  snprintf(view.name, sizeof view.name, "%s", FIRST);
  a->tensors[n++] = view;
  return n;
}

static es_code_t restore(void *state, const es_safetensors_t *file, es_status_t *status) {
  es_weights_analysis_t *a = state;
  const size_t length = strlen(PREVIOUS);
  for (int i = 0; i < es_safetensors_count(file); i++) {
    const es_tensor_view_t *t = es_safetensors_tensor(file, i);
    const bool previous = strncmp(t->name, PREVIOUS, length) == 0 && t->name[length] == '.';
    int64_t epoch = 0;
    if (!previous && strcmp(t->name, FIRST) != 0) continue;
    if (t->dtype != ES_F32 || es_tensor_count(t) != count_of(a) ||
        (previous && (!es_text_to_int(t->name + length + 1, &epoch) || epoch < 0 || epoch > INT32_MAX)))
      return es_fail(status, ES_INPUT, "checkpoint", "%s: tensor \"%s\" does not fit the network",
                     es_safetensors_path(file), t->name);
    memcpy(previous ? a->previous : a->first, t->data, (size_t)count_of(a) * sizeof *a->first);
    if (previous) a->epoch = (int32_t)epoch;
  }
  return ES_OK;
}

static es_code_t resume(void *state, ES_UNUSED es_status_t *status) {
  es_weights_analysis_t *a = state;
  const es_group_t *group = &a->context->group;
  if (group->size == 1) return ES_OK;
  ES_MPI(MPI_Bcast(&a->epoch, 1, MPI_INT32_T, 0, group->comm));
  for (int64_t at = 0; at < count_of(a); at += MESSAGE) {
    const int n = count_of(a) - at < MESSAGE ? (int)(count_of(a) - at) : MESSAGE;
    ES_MPI(MPI_Bcast(a->first + at, n, MPI_FLOAT, 0, group->comm));
    ES_MPI(MPI_Bcast(a->previous + at, n, MPI_FLOAT, 0, group->comm));
  }
  return ES_OK;
}

/* ---- forecasts ---- */

static bool is_asked(const es_forecast_t *f) {
  return f->graph != NULL && f->point->measure.weights == ES_ON;
}

/* Two copies of the weights, again while a state is saved, and the largest matrix. */
static int64_t bytes(const es_forecast_t *f, ES_UNUSED int ranks) {
  int64_t most = 0;
  for (int32_t i = 0; is_asked(f) && i < f->graph->n_parameters; i++) {
    const es_tensor_t *tensor = &f->graph->parameters[i];
    int64_t rows, columns;
    if (tensor->rank < 2) continue;
    shape_of(tensor, &rows, &columns);
    if (es_matrix_bytes(rows, columns) > most) most = es_matrix_bytes(rows, columns);
  }
  return is_asked(f) ? most + 4 * 4 * f->graph->parameter_count : 0;
}

static double cost(const es_forecast_t *f) {
  double sum = 0.0;
  for (int32_t i = 0; is_asked(f) && i < f->graph->n_parameters; i++) {
    const es_tensor_t *tensor = &f->graph->parameters[i];
    int64_t rows, columns;
    if (tensor->rank < 2) continue;
    shape_of(tensor, &rows, &columns);
    sum += es_matrix_cost(rows, columns);
  }
  const int32_t train = es_point_measured_count(f->point, ES_TRAIN), eval = es_point_measured_count(f->point, ES_EVAL);
  return sum * (double)(train > eval ? train : eval);
}

extern const es_analysis_t es_analysis_weights;
const es_analysis_t es_analysis_weights = {.bytes = bytes,
                                           .cost = cost,
                                           .open = open_analysis,
                                           .epoch = measure_epoch,
                                           .save = save,
                                           .restore = restore,
                                           .resume = resume,
                                           .close = close_analysis};
