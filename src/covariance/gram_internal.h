/* The inside of a Gram matrix's rows: shared by gram_rows.c (keeping and exchanging them), gram.c (their products) and
 * gram_features.c (back to columns). */
#ifndef ES_COVARIANCE_GRAM_INTERNAL_H
#define ES_COVARIANCE_GRAM_INTERNAL_H

#include "eigenscope/gram.h"
#include "eigenscope/memory.h"
#include "panel.h"

/* Columns that are exchanged and multiplied at once. */
enum { GRAM_COLUMNS = 1024 };

/* Rows of a lane are kept in chunks, so that they need not move when more come. */
typedef struct gram_chunk {
  struct gram_chunk *next; /* owned */
  int32_t used;
  char *rows; /* owned; (chunk_rows, width) */
} es_gram_chunk_t;

typedef struct gram_lane {
  es_gram_chunk_t *first, *last;
  int64_t n;
} es_gram_lane_t;

struct es_gram {
  const es_group_t *group; /* borrowed */
  int32_t width;
  es_real_t real;
  size_t line; /* bytes of a row */
  int32_t chunk_rows;
  es_gram_lane_t lanes[]; /* lane_count of them */
};

/* An exchange of some columns of all rows. Lanes lie on the ranks in order, so rows in rank order are rows
 * in lane order. */
typedef struct gram_exchange {
  const es_gram_t *g;
  int32_t n_local, n; /* rows here; of all ranks */
  size_t element;     /* bytes of a number */
  char *packed;       /* owned; (n_local, GRAM_COLUMNS) of this rank */
  char *all;          /* owned; (n, GRAM_COLUMNS) of all ranks */
  int *rows;          /* owned; of each rank; then counts, then displacements */
  es_owned_t owned;   /* these, and the scratch of whoever exchanges */
} es_gram_exchange_t;

/* Collective for counting rows; the caller agrees on the code, and frees x->owned in any case. */
es_code_t es_gram_exchange_create(es_gram_exchange_t *x, const es_gram_t *g, es_status_t *status);
/* Every rank learns how many rows each has. Collective. */
void es_gram_exchange_open(es_gram_exchange_t *x);
/* Columns first … first+count−1 of all rows into x->all (n, count): on rank `root`, or on every rank (−1). Collective.
 */
void es_gram_exchange_gather(es_gram_exchange_t *x, int32_t first, int32_t count, int root);

/* How many columns are multiplied together from `first` on. */
static inline int32_t gram_columns(const es_gram_t *g, int32_t first) {
  return g->width - first < GRAM_COLUMNS ? g->width - first : GRAM_COLUMNS;
}

#endif
