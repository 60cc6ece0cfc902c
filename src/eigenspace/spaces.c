/* The eigenspaces of a point in all epochs: put, commit, compare. */
#include "spaces.h"
#include "eigenscope/memory.h"
#include "eigenscope/panels.h"
#include "eigenspace_internal.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- creation ---- */

static bool allocate(es_eigenspaces_t *s, size_t angles) {
  const size_t layers = (size_t)s->n_layers, deltas = (size_t)s->n_deltas;
  const size_t slots = ES_SPLITS * (size_t)s->n_epochs;
  es_owned_t *owned = &s->owned;
  s->widths = es_owned_allocate(owned, layers, sizeof *s->widths);
  s->owners = es_owned_allocate(owned, layers, sizeof *s->owners);
  s->k = es_owned_allocate(owned, es_spaces_table_size(s), sizeof *s->k);
  s->incoming_k = es_owned_allocate(owned, layers * deltas, sizeof *s->incoming_k);
  s->incoming = es_owned_allocate_zero(owned, layers, sizeof *s->incoming);
  s->last = es_owned_allocate_zero(owned, ES_SPLITS * layers, sizeof *s->last);
  s->overlap = es_owned_allocate(owned, layers * deltas, sizeof *s->overlap);
  s->angles = es_owned_allocate(owned, angles, sizeof *s->angles);
  s->blocks = es_owned_allocate_zero(owned, slots, sizeof *s->blocks);
  s->block_sizes = es_owned_allocate_zero(owned, slots, sizeof *s->block_sizes);
  s->views = es_owned_allocate(owned, es_spaces_is_leader(s) ? slots + 1 : 0, sizeof *s->views);
  return !owned->failed;
}

static void forget_numbers(es_eigenspaces_t *s) {
  for (int i = 0; i < s->n_layers * s->n_deltas; i++) s->overlap[i] = NAN;
  double *angles = s->angles;
  for (int layer = 0; layer < s->n_layers; angles += s->widths[layer++])
    for (int32_t i = 0; i < s->widths[layer]; i++) angles[i] = NAN;
}

static void forget_incoming(es_eigenspaces_t *s) {
  for (int i = 0; i < s->n_layers * s->n_deltas; i++) s->incoming_k[i] = ES_K_NONE;
  for (int layer = 0; layer < s->n_layers; layer++) {
    es_free(s->incoming[layer]);
    s->incoming[layer] = NULL;
  }
}

es_code_t es_eigenspaces_create(es_eigenspaces_t **out, const es_eigenspaces_shape_t *shape, es_status_t *status) {
  size_t angles = 0;
  for (int i = 0; i < shape->n_layers; i++) angles += (size_t)shape->widths[i];
  es_eigenspaces_t *s = *out = es_allocate_zero(1, sizeof *s);
  if (!s) return es_spaces_out_of_memory(status);
  s->group = *shape->group;
  s->n_layers = shape->n_layers;
  s->n_deltas = shape->n_deltas;
  s->n_epochs = shape->n_epochs;
  if (!allocate(s, angles)) {
    es_eigenspaces_destroy(s);
    *out = NULL;
    return es_spaces_out_of_memory(status);
  }
  memcpy(s->widths, shape->widths, (size_t)s->n_layers * sizeof *s->widths);
  memcpy(s->owners, shape->owners, (size_t)s->n_layers * sizeof *s->owners);
  for (size_t i = 0, n = es_spaces_table_size(s); i < n; i++) s->k[i] = ES_K_UNCOMMITTED;
  for (int split = 0; split < ES_SPLITS; split++) s->last_epoch[split] = -1;
  forget_incoming(s);
  forget_numbers(s);
  return ES_OK;
}

void es_eigenspaces_destroy(es_eigenspaces_t *s) {
  if (!s) return;
  for (int i = 0; s->incoming && i < s->n_layers; i++) es_free(s->incoming[i]);
  for (int i = 0; s->last && i < ES_SPLITS * s->n_layers; i++) es_free(s->last[i]);
  for (int i = 0; s->blocks && i < ES_SPLITS * s->n_epochs; i++) es_free(s->blocks[i]);
  es_owned_free(&s->owned);
  es_free(s);
}

/* ---- epochs ---- */

es_code_t es_eigenspaces_put(es_eigenspaces_t *s, int layer, const int32_t *k, const double *rows, int32_t n,
                             es_status_t *status) {
  assert(layer >= 0 && layer < s->n_layers && s->owners[layer] == s->group.rank);
  const int32_t kept = es_eigenspace_most(k, s->n_deltas), width = s->widths[layer];
  if (kept > n || kept > width)
    return es_fail(status, ES_BUG, "eigenspace",
                   "an eigenspace of %d dimensions cannot be made from %d vectors of width %d", kept, n, width);
  const size_t size = (size_t)kept * (size_t)width;
  float *copy = kept > 0 ? es_allocate(size, sizeof *copy) : NULL;
  if (kept > 0 && !copy) return es_spaces_out_of_memory(status);
  for (size_t i = 0; copy && i < size; i++) copy[i] = (float)rows[i];
  es_free(s->incoming[layer]);
  s->incoming[layer] = copy;
  for (int d = 0; d < s->n_deltas; d++) s->incoming_k[layer * s->n_deltas + d] = k[d] < ES_K_NONE ? ES_K_NONE : k[d];
  return ES_OK;
}

/* Returns a layer's eigenspace at an epoch, from the storage of this rank. */
static es_leading_t leading(const es_eigenspaces_t *s, int split, int32_t epoch, int layer) {
  es_leading_t l = {.width = s->widths[layer], .k = es_spaces_k(s, split, epoch, layer)};
  if (es_spaces_is_leader(s))
    l.rows = s->blocks[es_spaces_slot(s, split, epoch)] + es_spaces_offset(s, split, epoch, layer);
  else
    l.rows = epoch == s->last_epoch[split] ? s->last[split * s->n_layers + layer] : s->incoming[layer];
  return l;
}

/* Compares two epochs of one split in this rank's layers, then shares the numbers with all ranks. */
static es_code_t compare(es_eigenspaces_t *s, int split, int32_t earlier, int32_t later, es_status_t *status) {
  double *angles = s->angles;
  for (int layer = 0; layer < s->n_layers && status->code == ES_OK; angles += s->widths[layer++]) {
    if (s->owners[layer] != s->group.rank) continue;
    const es_leading_t a = leading(s, split, earlier, layer), b = leading(s, split, later, layer);
    const es_pair_t pair = {&a, &b, s->n_deltas, s->group.watch};
    if (es_panels_pause(s->group.watch, "eigenspace", status) == ES_OK)
      es_eigenspace_compare_pair(s->overlap + layer * s->n_deltas, angles, &pair, status);
  }
  ES_TRY(es_agree(s->group.comm, status));
  es_spaces_share_numbers(s);
  return ES_OK;
}

void es_spaces_keep(es_eigenspaces_t *s, int split) {
  for (int layer = 0; !es_spaces_is_leader(s) && layer < s->n_layers; layer++) {
    float **last = &s->last[split * s->n_layers + layer];
    es_free(*last);
    *last = s->incoming[layer];
    s->incoming[layer] = NULL;
  }
  forget_incoming(s);
}

es_code_t es_eigenspaces_commit(es_eigenspaces_t *s, es_split_t split, int32_t epoch, es_status_t *status) {
  if (epoch <= s->last_epoch[split])
    es_fail(status, ES_INPUT, "eigenspace",
            "the state has eigenspaces of epoch %d, but the run is only at epoch %d; remove the state to start this "
            "point again",
            s->last_epoch[split], epoch);
  ES_TRY(es_agree(s->group.comm, status));
  es_spaces_share_k(s, split, epoch);
  ES_TRY(es_spaces_collect(s, split, epoch, status));
  if (s->last_epoch[split] >= 0)
    ES_TRY(compare(s, split, s->last_epoch[split], epoch, status));
  else
    forget_numbers(s);
  es_spaces_keep(s, split);
  s->last_epoch[split] = epoch;
  return ES_OK;
}

es_code_t es_eigenspaces_compare_last(es_eigenspaces_t *s, es_split_t split, int32_t epoch, es_status_t *status) {
  assert(es_eigenspaces_has(s, split, epoch));
  if (epoch != s->last_epoch[split]) ES_TRY(es_spaces_hand_out(s, split, epoch, status));
  ES_TRY(compare(s, split, epoch, s->last_epoch[split], status));
  forget_incoming(s);
  return ES_OK;
}

/* ---- queries ---- */

const double *es_eigenspaces_overlap(const es_eigenspaces_t *s, int layer) {
  return s->overlap + layer * s->n_deltas;
}

const double *es_eigenspaces_angles(const es_eigenspaces_t *s, int layer) {
  const double *angles = s->angles;
  for (int i = 0; i < layer; i++) angles += s->widths[i];
  return angles;
}

bool es_eigenspaces_has(const es_eigenspaces_t *s, es_split_t split, int32_t epoch) {
  return *es_spaces_k(s, split, epoch, 0) != ES_K_UNCOMMITTED;
}

int32_t es_eigenspaces_last(const es_eigenspaces_t *s, es_split_t split) {
  return s->last_epoch[split];
}

const float *es_eigenspaces_vectors(const es_eigenspaces_t *s, es_split_t split, int32_t epoch, int layer, int32_t *n) {
  assert(es_spaces_is_leader(s));
  *n = es_spaces_kept(s, split, epoch, layer);
  return *n > 0 ? leading(s, split, epoch, layer).rows : NULL;
}

int64_t es_eigenspaces_bytes(const es_eigenspaces_plan_t *plan) {
  double vectors = 0.0, scratch = 0.0;
  for (int i = 0; i < plan->n_layers; i++) {
    const double width = plan->widths[i], k = ceil(plan->share * width);
    vectors += 4.0 * k * width;
    scratch = fmax(scratch, 8.0 * (2.0 * k * width + k * k + 2.0 * k));
  }
  return (int64_t)(vectors * ((double)plan->measured + 1.0 / plan->ranks) + scratch);
}
