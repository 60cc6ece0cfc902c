/* Probes: what every source of features does with them. Solutions are kept on the leader, as tensors of the state file,
 * so that the probes of a later epoch start from them, also after an interruption. */
#include "context.h"
#include "eigenscope/memory.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "probe", PREFIX[] = "probe.";

int flow_probe_epochs(const flow_t *f, const int32_t *epochs, int n, int32_t *out) {
  const es_epochs_t *wanted = &f->point->probe.epochs;
  int found = 0;
  for (int i = 0; i < n; i++) {
    const int32_t epoch = epochs ? epochs[i] : i;
    bool is_wanted = wanted->kind == ES_EPOCHS_ALL || (wanted->kind == ES_EPOCHS_LAST && i == n - 1);
    for (int32_t e = 0; wanted->kind == ES_EPOCHS_LIST && e < wanted->n; e++) is_wanted |= wanted->list[e] == epoch;
    if (is_wanted) out[found++] = epoch;
  }
  return found;
}

bool flow_probes_due(flow_t *f, int32_t epoch, int64_t *at) {
  const int32_t number = es_result_epoch(f->result, epoch);
  if (!es_result_has(f->result, ES_GROUP_PROBE)) return false;
  if (f->point->probe.epochs.kind == ES_EPOCHS_LAST && flow_is_last(f, epoch))
    es_result_move_last_probe_epoch(f->result, number);
  *at = es_result_probe_epoch_index(f->result, number);
  return *at >= 0;
}

int64_t flow_probe_choose(const flow_t *f, const int32_t *labels, int64_t n, int32_t classes, int32_t *slot) {
  const int64_t limit = f->point->probe.samples;
  int64_t left[ES_CLASSES_MAX], chosen = 0;
  for (int32_t c = 0; c < classes; c++) left[c] = es_class_quota(limit, classes, c);
  for (int64_t i = 0; i < n; i++) slot[i] = left[labels[i]]-- > 0 ? (int32_t)chosen++ : -1;
  return chosen;
}

/* ---- solutions that are kept ---- */

static void tensor_name(const flow_t *f, int layer, char out[ES_TENSOR_NAME_MAX]) {
  snprintf(out, ES_TENSOR_NAME_MAX, "%s%s", PREFIX, es_result_layer(f->result, layer)->name);
}

static es_tensor_view_t *find_kept(const flow_t *f, int layer) {
  char name[ES_TENSOR_NAME_MAX];
  tensor_name(f, layer, name);
  for (int i = 0; i < f->n_probes; i++) {
    if (strcmp(f->probes[i].name, name) == 0) return &f->probes[i];
  }
  return NULL;
}

/* A copy of a solution under the name of its layer. */
static es_code_t keep(flow_t *f, int layer, const double *weights, int64_t classes, int64_t row, es_status_t *status) {
  es_tensor_view_t *view = find_kept(f, layer);
  const size_t size = (size_t)(classes * row);
  if (!f->probes) f->probes = es_allocate_zero((size_t)f->n_layers, sizeof *f->probes);
  double *copy = f->probes ? es_allocate(size, sizeof *copy) : NULL;
  if (!copy) return es_out_of_memory(status, STAGE, "the weights of a probe");
  memcpy(copy, weights, size * sizeof *copy);
  if (view)
    es_free((void *)view->data);
  else
    view = &f->probes[f->n_probes++];
  *view = (es_tensor_view_t){.dtype = ES_F64, .rank = 2, .shape = {classes, row}, .data = copy};
  tensor_name(f, layer, view->name);
  return ES_OK;
}

es_code_t flow_probe_restore(void *flow, const es_safetensors_t *file, es_status_t *status) {
  flow_t *f = flow;
  if (!es_result_has(f->result, ES_GROUP_PROBE)) return ES_OK;
  for (int layer = 0; layer < f->n_layers; layer++) {
    char name[ES_TENSOR_NAME_MAX];
    tensor_name(f, layer, name);
    const es_tensor_view_t *view = es_safetensors_find(file, name);
    if (view && view->dtype == ES_F64 && view->rank == 2)
      ES_TRY(keep(f, layer, view->data, view->shape[0], view->shape[1], status));
  }
  return ES_OK;
}

void flow_probe_close(flow_t *f) {
  for (int i = 0; i < f->n_probes; i++) es_free((void *)f->probes[i].data);
  es_free(f->probes);
}

/* ---- fits ---- */

/* The start: the leader's last solution, on all ranks. */
static es_code_t load_start(flow_t *f, int layer, const es_probe_problem_t *p, double **weights, es_status_t *status) {
  const size_t size = es_probe_weights_size(p->width, p->classes);
  *weights = es_allocate_zero(size, sizeof **weights);
  if (!*weights) es_out_of_memory(status, STAGE, "the weights of a probe");
  const bool stop = f->pipeline->watch.stop && f->pipeline->watch.stop(f->pipeline->watch.context);
  if (stop) es_fail(status, ES_STOPPED, STAGE, "stopped");
  ES_TRY(es_agree(f->group.comm, status));
  const es_tensor_view_t *kept = find_kept(f, layer);
  if (kept && kept->shape[0] == p->classes && kept->shape[1] == p->width + 1)
    memcpy(*weights, kept->data, size * sizeof **weights);
  for (size_t done = 0, step; f->group.size > 1 && done < size; done += step) {
    step = size - done < INT_MAX / 16 ? size - done : INT_MAX / 16;
    ES_MPI(MPI_Bcast(*weights + done, (int)step, MPI_DOUBLE, 0, f->group.comm));
  }
  return ES_OK;
}

static void store_fit(flow_t *f, int64_t at, int layer, const es_probe_result_t *fit) {
  const int64_t cell = at * f->n_layers + layer;
  *es_result_f64(f->result, ES_FIELD_PROBE_ACCURACY, ES_TRAIN, at, layer, 0) = fit->accuracy;
  *es_result_f64(f->result, ES_FIELD_PROBE_OBJECTIVE, at, layer, 0, 0) = fit->objective;
  *es_result_f64(f->result, ES_FIELD_PROBE_GRADIENT_NORM, at, layer, 0, 0) = fit->gradient_norm;
  ((int32_t *)es_result_data(f->result, ES_FIELD_PROBE_ITERATIONS))[cell] = fit->iterations > 0 ? fit->iterations : 0;
  ((uint8_t *)es_result_data(f->result, ES_FIELD_PROBE_CONVERGED))[cell] = fit->converged;
}

es_code_t flow_probe_fit(flow_t *f, int64_t at, int layer, const es_probe_problem_t *problem, double **weights,
                         es_status_t *status) {
  es_probe_result_t fit;
  es_status_t own = {0};
  es_code_t code = load_start(f, layer, problem, weights, status);
  if (code == ES_OK) {
    code = es_probe_fit(&fit, *weights, NULL, problem, &f->group, &own);
    if (code == ES_OK) {
      store_fit(f, at, layer, &fit);
      if (flow_is_leader(f) && at + 1 < es_result_extent(f->result, ES_DIM_PROBE_EPOCH))
        keep(f, layer, *weights, problem->classes, (int64_t)problem->width + 1, status);
      code = es_agree(f->group.comm, status);
      if (code == ES_OK) return ES_OK;
    } else if (code == ES_NUMERIC) {
      code = ES_OK; /* the flag nonfinite of the layer says it */
    } else {
      *status = own;
    }
  }
  es_free(*weights);
  *weights = NULL;
  return code;
}

void flow_probe_store_eval(flow_t *f, int64_t at, int layer, int64_t *confusion, int32_t classes, int64_t samples) {
  const int64_t first[ES_RANK_MAX] = {at, layer};
  int64_t counted = 0;
  es_probe_count_reduce(confusion, classes, &f->group);
  for (int64_t i = 0; i < (int64_t)classes * classes; i++) counted += confusion[i];
  if (counted < samples) return;
  *es_result_f64(f->result, ES_FIELD_PROBE_ACCURACY, ES_EVAL, at, layer, 0) = es_probe_accuracy(confusion, classes);
  memcpy(es_result_at(f->result, ES_FIELD_PROBE_CONFUSION, first), confusion,
         (size_t)classes * (size_t)classes * sizeof *confusion);
  es_probe_recall(es_result_at(f->result, ES_FIELD_PROBE_RECALL, first), confusion, classes);
}

/* From the last layer back: a layer is of the tail while none from it on has probe.tail more than the best before it.
 */
void flow_probe_mark_tail(flow_t *f, int64_t at) {
  uint8_t *tail = es_result_data(f->result, ES_FIELD_LAYER_TAIL);
  bool is_tail = true;
  double best_after = -INFINITY;
  const int32_t split = isnan(*es_result_f64(f->result, ES_FIELD_PROBE_ACCURACY, ES_EVAL, at, f->n_layers - 1, 0)) &&
                                isnan(*es_result_f64(f->result, ES_FIELD_PROBE_ACCURACY, ES_EVAL, at, 0, 0))
                            ? ES_TRAIN
                            : ES_EVAL;
  const double *accuracy = es_result_f64(f->result, ES_FIELD_PROBE_ACCURACY, split, at, 0, 0);
  for (int layer = f->n_layers - 1; layer >= 0; layer--) {
    double best_before = -INFINITY;
    for (int i = 0; i < layer; i++) best_before = fmax(best_before, accuracy[i]);
    best_after = fmax(best_after, accuracy[layer]);
    is_tail = is_tail && best_after - best_before < f->point->probe.tail;
    tail[layer] = isnan(accuracy[layer]) ? 255 : is_tail;
  }
}
