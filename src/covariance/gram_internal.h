/* Private to the Gram matrix: gram_rows.c stores and exchanges its rows, gram.c multiplies them, and gram_features.c
 * converts its eigenvectors back to columns. */
#ifndef ES_COVARIANCE_GRAM_INTERNAL_H
#define ES_COVARIANCE_GRAM_INTERNAL_H

#include "eigenscope/gram.h"
#include "eigenscope/memory.h"
#include "panel.h"

/* Number of columns that are exchanged and multiplied at once. */
enum { GRAM_COLUMNS = 1024 };

/* Rows of a lane are stored in a list of chunks, so that they do not move when more rows are added. */
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

/* An exchange of some columns of all rows. Lanes are assigned to ranks in order, so rows in rank order are also in lane
 * order. */
typedef struct gram_exchange {
  const es_gram_t *g;
  int32_t n_local, n; /* rows of this rank; of all ranks */
  size_t element;     /* bytes of a number */
  char *packed;       /* owned; (n_local, GRAM_COLUMNS) of this rank */
  char *all;          /* owned; (n, GRAM_COLUMNS) of all ranks */
  int *rows;          /* owned; rows of each rank; then counts, then displacements */
  es_owned_t owned;   /* the arrays above, and the scratch of the caller */
} es_gram_exchange_t;

/* Counts the rows of all ranks. Collective. The caller then calls es_agree, and frees x->owned in any case. */
es_code_t es_gram_exchange_create(es_gram_exchange_t *x, const es_gram_t *g, es_status_t *status);
/* Tells every rank how many rows each rank has. Collective. */
void es_gram_exchange_open(es_gram_exchange_t *x);
/* Gathers columns first … first+count−1 of all rows in x->all (n, count) on rank `root`, or on all ranks (−1).
 * Collective. */
void es_gram_exchange_gather(es_gram_exchange_t *x, int32_t first, int32_t count, int root);

/* Number of columns that are multiplied together from `first` on. */
static inline int32_t gram_columns(const es_gram_t *g, int32_t first) {
  return g->width - first < GRAM_COLUMNS ? g->width - first : GRAM_COLUMNS;
}

#endif
