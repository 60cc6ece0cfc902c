/* The inside of a tracker, for the files that follow, exchange and keep eigenspaces. */
#ifndef ES_EIGENSPACE_SPACES_H
#define ES_EIGENSPACE_SPACES_H

#include "eigenscope/eigenspace.h"
#include "eigenscope/memory.h"
#include "eigenspace_internal.h"
#include <assert.h>
#include <stddef.h>

enum {
  ES_K_UNCOMMITTED = -2, /* the epoch was not committed */
  ES_K_NONE = -1         /* the layer has no eigenspace in it */
};

struct es_eigenspaces {
  es_group_t group;
  int n_layers, n_deltas;
  int32_t n_epochs;
  es_owned_t owned; /* all tables below, not what `blocks`, `incoming` and `last` point at */
  int32_t *widths;
  int *owners;
  int32_t *k;           /* (splits, epochs, layers, deltas) */
  float **blocks;       /* (splits, epochs): vectors of all layers, one after the other; leader only */
  int64_t *block_sizes; /* (splits, epochs): floats in a block; leader only */
  int32_t *incoming_k;  /* (layers, deltas): what this rank put for the next commit */
  float **incoming;     /* (layers): vectors that were put, or sent here for a comparison */
  float **last;         /* (splits, layers): of the last committed epoch; all ranks but the leader */
  int32_t last_epoch[ES_SPLITS];
  double *overlap;         /* (layers, deltas) */
  double *angles;          /* widths of the layers, one after the other */
  es_tensor_view_t *views; /* room for all; leader only */
  bool took_table;         /* resuming: k came from a state */
};

static inline bool es_spaces_is_leader(const es_eigenspaces_t *s) {
  return s->group.rank == 0;
}
/* Index of (split, epoch). */
static inline size_t es_spaces_slot(const es_eigenspaces_t *s, int split, int32_t epoch) {
  assert(epoch >= 0 && epoch < s->n_epochs);
  return (size_t)split * (size_t)s->n_epochs + (size_t)epoch;
}
/* Elements of k. */
static inline size_t es_spaces_table_size(const es_eigenspaces_t *s) {
  return ES_SPLITS * (size_t)s->n_epochs * (size_t)s->n_layers * (size_t)s->n_deltas;
}
/* k of a layer at each delta. */
static inline int32_t *es_spaces_k(const es_eigenspaces_t *s, int split, int32_t epoch, int layer) {
  return s->k + (es_spaces_slot(s, split, epoch) * (size_t)s->n_layers + (size_t)layer) * (size_t)s->n_deltas;
}
/* Vectors that are kept of a layer: the largest of its k, 0 for none. */
static inline int32_t es_spaces_kept(const es_eigenspaces_t *s, int split, int32_t epoch, int layer) {
  return es_eigenspace_most(es_spaces_k(s, split, epoch, layer), s->n_deltas);
}
/* Floats of the layers before `layer` in the block of an epoch; of the whole block for n_layers. */
static inline int64_t es_spaces_offset(const es_eigenspaces_t *s, int split, int32_t epoch, int layer) {
  int64_t offset = 0;
  for (int i = 0; i < layer; i++) offset += (int64_t)es_spaces_kept(s, split, epoch, i) * s->widths[i];
  return offset;
}
/* The vectors that came in become the last epoch; the leader has it in its blocks. Not collective. */
void es_spaces_keep(es_eigenspaces_t *s, int split);
static inline es_code_t es_spaces_out_of_memory(es_status_t *status) {
  return es_out_of_memory(status, "eigenspace", "the eigenspaces of a point");
}

/* exchange.c. All collective; those that can fail return the same code on all ranks. */

/* Every rank learns the k of an epoch, each from the layer's owner. */
void es_spaces_share_k(es_eigenspaces_t *s, int split, int32_t epoch);
/* Every rank learns the numbers of the last comparison. */
void es_spaces_share_numbers(es_eigenspaces_t *s);
/* Vectors of an epoch: what owners hold as `incoming` into a new block of the leader; owners keep theirs. */
es_code_t es_spaces_collect(es_eigenspaces_t *s, int split, int32_t epoch, es_status_t *status);
/* Vectors of an epoch: from the leader's block to the other owners, as `incoming`. */
es_code_t es_spaces_hand_out(es_eigenspaces_t *s, int split, int32_t epoch, es_status_t *status);

#endif
