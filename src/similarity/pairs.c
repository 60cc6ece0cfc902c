/* Procrustes distances of many pairs, over ranks. */
#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/similarity.h"
#include <math.h>

static const char STAGE[] = "similarity";
enum { SLOTS_MOST = 4096 };

/* A reduced set that was used last at step `used`. */
typedef struct slot {
  int64_t index, columns, used; /* index −1: empty */
  es_set_kind_t kind;
  double *set; /* (n, columns); owned */
} slot_t;

typedef struct cache {
  const es_similarity_sets_t *sets;
  double *x; /* a set */
  slot_t *slots;
  int64_t n_slots, step;
  es_owned_t owned;
} cache_t;

static int64_t columns_of(const es_similarity_sets_t *sets, int64_t index) {
  return sets->widths[index] < sets->n ? sets->widths[index] : sets->n;
}

/* Finds or computes a reduced set; it stays until n_slots − 1 others were asked for. */
static es_code_t get(cache_t *c, int64_t index, slot_t **out, es_status_t *status) {
  slot_t *oldest = &c->slots[0];
  const int64_t n = c->sets->n, width = c->sets->widths[index];
  for (int64_t i = 0; i < c->n_slots; i++) {
    slot_t *slot = *out = &c->slots[i];
    if (slot->index == index) {
      slot->used = ++c->step;
      return ES_OK;
    }
    if (slot->used < oldest->used) oldest = slot;
  }
  *out = oldest;
  es_free(oldest->set);
  *oldest = (slot_t){.index = -1, .set = es_allocate((size_t)(n * columns_of(c->sets, index)), sizeof(double))};
  if (oldest->set == NULL) return es_out_of_memory(status, STAGE, "a set of features; try a smaller --memory");
  ES_TRY(c->sets->read(c->sets->context, index, c->x, status));
  oldest->kind = es_similarity_centre(c->x, n, width);
  if (oldest->kind == ES_SET_USUAL) ES_TRY(es_procrustes_reduce(oldest->set, &oldest->columns, c->x, n, width, status));
  oldest->index = index;
  oldest->used = ++c->step;
  return ES_OK;
}

static es_code_t measure(cache_t *c, const int64_t pair[2], double *out, es_status_t *status) {
  slot_t *a, *b;
  ES_TRY(get(c, pair[0], &a, status));
  ES_TRY(get(c, pair[1], &b, status));
  *out = (double)NAN;
  if (a->kind != ES_SET_USUAL || b->kind != ES_SET_USUAL) return ES_OK;
  *out = 0.0;
  if (pair[0] == pair[1]) return ES_OK;
  return es_procrustes_distance(out, a->set, a->columns, b->set, b->columns, c->sets->n, status);
}

static es_code_t open_cache(cache_t *c, int64_t memory, es_status_t *status) {
  int64_t widest = 1;
  for (int64_t i = 0; i < c->sets->count; i++) widest = c->sets->widths[i] > widest ? c->sets->widths[i] : widest;
  const int64_t columns = widest < c->sets->n ? widest : c->sets->n;
  c->n_slots = memory / (c->sets->n * columns * (int64_t)sizeof(double));
  c->n_slots = c->n_slots < 2 ? 2 : c->n_slots < SLOTS_MOST ? c->n_slots : SLOTS_MOST;
  c->x = es_owned_allocate(&c->owned, (size_t)(c->sets->n * widest), sizeof *c->x);
  c->slots = es_owned_allocate_zero(&c->owned, (size_t)c->n_slots, sizeof *c->slots);
  if (c->owned.failed) return es_out_of_memory(status, STAGE, "a set of features");
  for (int64_t i = 0; i < c->n_slots; i++) c->slots[i].index = -1;
  return ES_OK;
}

es_code_t es_procrustes_pairs(double *out, const int64_t (*pairs)[2], int64_t n_pairs, const es_similarity_sets_t *sets,
                              int64_t memory, MPI_Comm comm, es_status_t *status) {
  es_group_t group = {.comm = comm, .size = 1};
  cache_t c = {.sets = sets};
  if (comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_rank(comm, &group.rank));
  if (comm != MPI_COMM_NULL) ES_MPI(MPI_Comm_size(comm, &group.size));
  const int64_t first = n_pairs * group.rank / group.size, end = n_pairs * (group.rank + 1) / group.size;
  for (int64_t i = 0; i < n_pairs; i++) out[i] = 0.0;
  open_cache(&c, memory, status);
  for (int64_t i = first; i < end && status->code == ES_OK; i++) measure(&c, pairs[i], &out[i], status);
  es_agree(comm, status);
  /* Each number is added to zeros of the other ranks, which is exact. */
  if (status->code == ES_OK && group.size > 1 && n_pairs > 0) es_group_allreduce_f64(&group, out, (size_t)n_pairs);
  for (int64_t i = 0; c.slots != NULL && i < c.n_slots; i++) es_free(c.slots[i].set);
  es_owned_free(&c.owned);
  return status->code;
}
