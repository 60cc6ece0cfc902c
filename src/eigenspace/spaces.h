/* Private state of es_eigenspaces_t, for the files that compare, exchange and save eigenspaces. */
#ifndef ES_EIGENSPACE_SPACES_H
#define ES_EIGENSPACE_SPACES_H

#include "eigenscope/eigenspace.h"
#include "eigenscope/memory.h"
#include "eigenspace_internal.h"
#include <assert.h>
#include <stddef.h>

enum {
  ES_K_UNCOMMITTED = -2, /* the epoch was not committed */
  ES_K_NONE = -1         /* the layer has no eigenspace in the epoch */
};

struct es_eigenspaces {
  es_group_t group;
  int n_layers, n_deltas;
  int32_t n_epochs;
  es_owned_t owned; /* owns the tables below, but not the memory that `blocks`, `incoming` and `last` point to */
  int32_t *widths;
  int *owners;
  int32_t *k;           /* (splits, epochs, layers, deltas) */
  float **blocks;       /* (splits, epochs): vectors of all layers, layer after layer; leader only */
  int64_t *block_sizes; /* (splits, epochs): floats in a block; leader only */
  int32_t *incoming_k;  /* (layers, deltas): k that this rank put for the next commit */
  float **incoming;     /* (layers): vectors that were put, or received for a comparison */
  float **last;         /* (splits, layers): vectors of the last committed epoch; all ranks except the leader */
  int32_t last_epoch[ES_SPLITS];
  double *overlap;         /* (layers, deltas) */
  double *angles;          /* angles of all layers, layer after layer */
  es_tensor_view_t *views; /* capacity for all tensors; leader only */
  bool took_table;         /* resuming: true if k came from a state */
};

static inline bool es_spaces_is_leader(const es_eigenspaces_t *s) {
  return s->group.rank == 0;
}
/* Index of (split, epoch). */
static inline size_t es_spaces_slot(const es_eigenspaces_t *s, int split, int32_t epoch) {
  assert(epoch >= 0 && epoch < s->n_epochs);
  return (size_t)split * (size_t)s->n_epochs + (size_t)epoch;
}
/* Number of elements of k. */
static inline size_t es_spaces_table_size(const es_eigenspaces_t *s) {
  return ES_SPLITS * (size_t)s->n_epochs * (size_t)s->n_layers * (size_t)s->n_deltas;
}
/* Returns the k of a layer, one for each delta. */
static inline int32_t *es_spaces_k(const es_eigenspaces_t *s, int split, int32_t epoch, int layer) {
  return s->k + (es_spaces_slot(s, split, epoch) * (size_t)s->n_layers + (size_t)layer) * (size_t)s->n_deltas;
}
/* Number of stored vectors of a layer: the largest of its k, 0 if it has none. */
static inline int32_t es_spaces_kept(const es_eigenspaces_t *s, int split, int32_t epoch, int layer) {
  return es_eigenspace_most(es_spaces_k(s, split, epoch, layer), s->n_deltas);
}
/* Number of floats before `layer` in the block of an epoch; for n_layers, of the whole block. */
static inline int64_t es_spaces_offset(const es_eigenspaces_t *s, int split, int32_t epoch, int layer) {
  int64_t offset = 0;
  for (int i = 0; i < layer; i++) offset += (int64_t)es_spaces_kept(s, split, epoch, i) * s->widths[i];
  return offset;
}
/* Makes the received vectors those of the last epoch. The leader has them in its blocks. Not collective. */
void es_spaces_keep(es_eigenspaces_t *s, int split);
static inline es_code_t es_spaces_out_of_memory(es_status_t *status) {
  return es_out_of_memory(status, "eigenspace", "the eigenspaces of a point");
}

/* exchange.c. All functions are collective; those that can fail return the same code on all ranks. */

/* Each owner sends the k of its layers in an epoch to every rank. */
void es_spaces_share_k(es_eigenspaces_t *s, int split, int32_t epoch);
/* Sends the numbers of the last comparison to every rank. */
void es_spaces_share_numbers(es_eigenspaces_t *s);
/* Copies the vectors of an epoch from the owners' `incoming` into a new block of the leader. Owners keep their copy. */
es_code_t es_spaces_collect(es_eigenspaces_t *s, int split, int32_t epoch, es_status_t *status);
/* Sends the vectors of an epoch from the leader's block to the `incoming` of the other owners. */
es_code_t es_spaces_hand_out(es_eigenspaces_t *s, int split, int32_t epoch, es_status_t *status);

#endif
