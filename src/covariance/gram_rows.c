/* Rows of a Gram matrix: stored by lane, exchanged some columns at a time. */
#include "eigenscope/lane_pairs.h"
#include "eigenscope/memory.h"
#include <assert.h>
#include <string.h>

#include "gram_internal.h"

enum { CHUNK_BYTES = 1 << 20, ROWS_MOST = 1 << 20 };

es_code_t es_gram_create(es_gram_t **out, const es_group_t *group, int32_t width, es_real_t real, es_status_t *status) {
  assert(width > 0);
  *out = NULL;
  es_gram_t *g = es_allocate_zero(1, sizeof *g + (size_t)group->lane_count * sizeof *g->lanes);
  if (!g) return es_out_of_memory(status, "covariance", "a Gram matrix");
  const size_t line = (size_t)width * es_real_size(real);
  g->group = group;
  g->width = width;
  g->real = real;
  g->line = line;
  g->chunk_rows = line >= CHUNK_BYTES ? 1 : (int32_t)(CHUNK_BYTES / line);
  *out = g;
  return ES_OK;
}

void es_gram_reset(es_gram_t *g) {
  for (int l = 0; l < g->group->lane_count; l++) {
    for (es_gram_chunk_t *c = g->lanes[l].first, *next; c; c = next) {
      next = c->next;
      es_free(c->rows);
      es_free(c);
    }
    g->lanes[l] = (es_gram_lane_t){0};
  }
}

void es_gram_destroy(es_gram_t *g) {
  if (!g) return;
  es_gram_reset(g);
  es_free(g);
}

/* Adds a new chunk at the end of a lane; returns false when out of memory. */
static bool grow(const es_gram_t *g, es_gram_lane_t *lane) {
  es_gram_chunk_t *c = es_allocate_zero(1, sizeof *c);
  if (c) c->rows = es_allocate((size_t)g->chunk_rows, g->line);
  if (!c || !c->rows) {
    es_free(c);
    return false;
  }
  if (lane->last)
    lane->last->next = c;
  else
    lane->first = c;
  lane->last = c;
  return true;
}

es_code_t es_gram_add(es_gram_t *g, int lane, const void *rows, int64_t n, es_status_t *status) {
  const char *from = rows;
  assert(lane >= 0 && lane < g->group->lane_count);
  es_gram_lane_t *l = &g->lanes[lane];
  while (n > 0) {
    if ((!l->last || l->last->used == g->chunk_rows) && !grow(g, l))
      return es_out_of_memory(status, "covariance", "the rows of a layer of width %d", g->width);
    const int32_t space = g->chunk_rows - l->last->used, take = n < space ? (int32_t)n : space;
    memcpy(l->last->rows + (size_t)l->last->used * g->line, from, (size_t)take * g->line);
    l->last->used += take;
    l->n += take;
    from += (size_t)take * g->line;
    n -= take;
  }
  return ES_OK;
}

static int64_t rows_local(const es_gram_t *g) {
  int64_t n = 0;
  for (int l = 0; l < g->group->lane_count; l++) n += g->lanes[l].n;
  return n;
}

int64_t es_gram_rows(const es_gram_t *g) {
  int64_t n = rows_local(g);
  if (g->group->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, &n, 1, MPI_INT64_T, MPI_SUM, g->group->comm));
  return n;
}

es_code_t es_gram_participation(const es_gram_t *g, const double *triangle, double *out, es_status_t *status) {
  const es_group_t *group = g->group;
  es_owned_t owned = {0};
  int64_t *rows = es_owned_allocate_zero(&owned, (size_t)group->lanes, sizeof *rows);
  double *scratch = es_owned_allocate(&owned, (size_t)es_gram_rows(g) + 1, sizeof *scratch);
  if (owned.failed) es_out_of_memory(status, "covariance", "the pairs of lanes of a layer of width %d", g->width);
  const es_code_t code = es_group_agree(group, status);
  if (code == ES_OK) {
    for (int l = 0; l < group->lane_count; l++) rows[group->lane_first + l] = g->lanes[l].n;
    if (group->size > 1) ES_MPI(MPI_Allreduce(MPI_IN_PLACE, rows, group->lanes, MPI_INT64_T, MPI_SUM, group->comm));
    *out = es_lane_pairs_of_gram(triangle, rows, group->lanes, scratch);
  }
  es_owned_free(&owned);
  return code;
}

es_code_t es_gram_exchange_create(es_gram_exchange_t *x, const es_gram_t *g, es_status_t *status) {
  const int64_t local = rows_local(g), n = es_gram_rows(g);
  const int size = g->group->size;
  *x = (es_gram_exchange_t){.g = g, .element = es_real_size(g->real)};
  if (n > ROWS_MOST)
    return es_fail(status, ES_INPUT, "covariance", "%lld rows are too many for a Gram matrix; at most %d", (long long)n,
                   ROWS_MOST);
  x->n_local = (int32_t)local;
  x->n = (int32_t)n;
  const size_t columns = (size_t)(g->width < GRAM_COLUMNS ? g->width : GRAM_COLUMNS);
  x->packed = es_owned_allocate(&x->owned, size > 1 ? (size_t)local * columns : 0, x->element);
  x->all = es_owned_allocate(&x->owned, (size_t)n * columns, x->element);
  x->rows = es_owned_allocate(&x->owned, 3 * (size_t)size, sizeof *x->rows);
  if (!x->owned.failed) return ES_OK;
  return es_out_of_memory(status, "covariance", "the Gram matrix of %lld rows", (long long)n);
}

void es_gram_exchange_open(es_gram_exchange_t *x) {
  x->rows[0] = x->n_local;
  if (x->g->group->size > 1) ES_MPI(MPI_Allgather(&x->n_local, 1, MPI_INT, x->rows, 1, MPI_INT, x->g->group->comm));
}

static void pack(const es_gram_exchange_t *x, char *out, int32_t first, int32_t count) {
  const es_gram_t *g = x->g;
  const size_t bytes = (size_t)count * x->element;
  for (int l = 0; l < g->group->lane_count; l++) {
    for (const es_gram_chunk_t *c = g->lanes[l].first; c; c = c->next) {
      for (int32_t i = 0; i < c->used; i++, out += bytes)
        memcpy(out, c->rows + (size_t)i * g->line + (size_t)first * x->element, bytes);
    }
  }
}

void es_gram_exchange_gather(es_gram_exchange_t *x, int32_t first, int32_t count, int root) {
  const es_group_t *group = x->g->group;
  if (group->size == 1) {
    pack(x, x->all, first, count);
    return;
  }
  int *counts = x->rows + group->size, *places = counts + group->size;
  for (int r = 0, place = 0; r < group->size; place += counts[r++]) {
    counts[r] = x->rows[r] * count;
    places[r] = place;
  }
  const MPI_Datatype type = x->g->real == ES_REAL_F64 ? MPI_DOUBLE : MPI_FLOAT;
  pack(x, x->packed, first, count);
  if (root < 0)
    ES_MPI(MPI_Allgatherv(x->packed, counts[group->rank], type, x->all, counts, places, type, group->comm));
  else
    ES_MPI(MPI_Gatherv(x->packed, counts[group->rank], type, x->all, counts, places, type, root, group->comm));
}

int64_t es_gram_bytes(int64_t local, int64_t rows, int32_t width, es_real_t real) {
  const int64_t element = (int64_t)es_real_size(real), columns = width < GRAM_COLUMNS ? width : GRAM_COLUMNS;
  return element * width * local + element * columns * (rows + local);
}
