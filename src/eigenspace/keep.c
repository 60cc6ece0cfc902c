/* Saves and restores the eigenspaces of a point in its state file. */
#include "eigenscope/memory.h"
#include "spaces.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char PREFIX[] = "eigenspace.", TABLE[] = "eigenspace.k";
static const char *const split_names[ES_SPLITS] = {"train", "eval"};

static void block_name(char out[ES_TENSOR_NAME_MAX], int split, int32_t epoch) {
  snprintf(out, ES_TENSOR_NAME_MAX, "%s%s.%d", PREFIX, split_names[split], epoch);
}

int es_eigenspaces_tensors(es_eigenspaces_t *s, const es_tensor_view_t **out) {
  int n = 0;
  *out = s->views;
  if (!es_spaces_is_leader(s)) return 0;
  s->views[n] = (es_tensor_view_t){.dtype = ES_I32,
                                   .rank = 4,
                                   .shape = {ES_SPLITS, s->n_epochs, s->n_layers, s->n_deltas},
                                   .data = s->k,
                                   .row = (int64_t)s->n_layers * s->n_deltas};
  memcpy(s->views[n++].name, TABLE, sizeof TABLE);
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int32_t epoch = 0; epoch < s->n_epochs; epoch++) {
      const size_t slot = es_spaces_slot(s, split, epoch);
      if (s->block_sizes[slot] == 0) continue;
      s->views[n] = (es_tensor_view_t){.dtype = ES_F32,
                                       .rank = 1,
                                       .shape = {s->block_sizes[slot]},
                                       .data = s->blocks[slot],
                                       .row = s->block_sizes[slot]};
      block_name(s->views[n++].name, split, epoch);
    }
  }
  return n;
}

static es_code_t refuse(const char *name, es_status_t *status) {
  return es_fail(
      status, ES_INPUT, "eigenspace",
      "tensor %s of the state is missing, damaged or has another shape; remove the state to start this point again",
      name);
}

static es_code_t take_table(es_eigenspaces_t *s, const es_tensor_view_t *tensor, es_status_t *status) {
  const int64_t shape[] = {ES_SPLITS, s->n_epochs, s->n_layers, s->n_deltas};
  if (tensor->dtype != ES_I32 || tensor->rank != 4 || memcmp(tensor->shape, shape, sizeof shape) != 0)
    return refuse(TABLE, status);
  const size_t epoch_size = (size_t)s->n_layers * (size_t)s->n_deltas;
  memcpy(s->k, tensor->data, es_spaces_table_size(s) * sizeof *s->k);
  for (size_t i = 0; i < es_spaces_table_size(s); i++) {
    const int32_t first = s->k[i / epoch_size * epoch_size], width = s->widths[i % epoch_size / (size_t)s->n_deltas];
    const bool whole = (s->k[i] == ES_K_UNCOMMITTED) == (first == ES_K_UNCOMMITTED);
    if (!whole || s->k[i] < ES_K_UNCOMMITTED || s->k[i] > width) return refuse(TABLE, status);
  }
  s->took_table = true;
  return ES_OK;
}

es_code_t es_eigenspaces_take(es_eigenspaces_t *s, const es_tensor_view_t *tensor, es_status_t *status) {
  assert(es_spaces_is_leader(s));
  if (strncmp(tensor->name, PREFIX, sizeof PREFIX - 1) != 0) return ES_OK;
  if (strcmp(tensor->name, TABLE) == 0) return take_table(s, tensor, status);
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int32_t epoch = 0; epoch < s->n_epochs; epoch++) {
      char name[ES_TENSOR_NAME_MAX];
      block_name(name, split, epoch);
      if (strcmp(tensor->name, name) != 0) continue;
      const size_t slot = es_spaces_slot(s, split, epoch);
      if (tensor->dtype != ES_F32 || tensor->rank != 1 || s->blocks[slot]) return refuse(name, status);
      s->block_sizes[slot] = tensor->shape[0];
      s->blocks[slot] = es_allocate((size_t)tensor->shape[0], sizeof(float));
      if (!s->blocks[slot]) return es_spaces_out_of_memory(status);
      memcpy(s->blocks[slot], tensor->data, (size_t)tensor->shape[0] * sizeof(float));
      return ES_OK;
    }
  }
  return refuse(tensor->name, status);
}

/* Checks that exactly the committed epochs have the vectors that their k require. An epoch with only dead layers is
 * saved without a block, but gets one here, as after its commit. */
static es_code_t check_blocks(es_eigenspaces_t *s, es_status_t *status) {
  if (!s->took_table) return refuse(TABLE, status);
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int32_t epoch = 0; epoch < s->n_epochs; epoch++) {
      char name[ES_TENSOR_NAME_MAX];
      const size_t slot = es_spaces_slot(s, split, epoch);
      const bool committed = es_eigenspaces_has(s, (es_split_t)split, epoch);
      block_name(name, split, epoch);
      if (committed && !s->blocks[slot] && !(s->blocks[slot] = es_allocate(0, sizeof(float))))
        return es_spaces_out_of_memory(status);
      if (committed != (s->blocks[slot] != NULL) ||
          s->block_sizes[slot] != es_spaces_offset(s, split, epoch, s->n_layers))
        return refuse(name, status);
    }
  }
  return ES_OK;
}

es_code_t es_eigenspaces_resume(es_eigenspaces_t *s, es_status_t *status) {
  if (es_spaces_is_leader(s) && status->code == ES_OK) check_blocks(s, status);
  ES_TRY(es_agree(s->group.comm, status));
  if (s->group.size > 1) ES_MPI(MPI_Bcast(s->k, (int)es_spaces_table_size(s), MPI_INT32_T, 0, s->group.comm));
  for (int split = 0; split < ES_SPLITS; split++) {
    for (int32_t epoch = 0; epoch < s->n_epochs; epoch++)
      if (es_eigenspaces_has(s, (es_split_t)split, epoch)) s->last_epoch[split] = epoch;
    if (s->last_epoch[split] < 0) continue;
    ES_TRY(es_spaces_hand_out(s, split, s->last_epoch[split], status));
    es_spaces_keep(s, split);
  }
  return ES_OK;
}
