/* Private to the distributed accumulator: spread.c has the arithmetic, spread_exchange.c sends rows to the ranks that
 * need them. */
#ifndef ES_COVARIANCE_SPREAD_INTERNAL_H
#define ES_COVARIANCE_SPREAD_INTERNAL_H

#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/spread.h"
#include "panel.h"

/* Columns of the data matrix that this rank needs along one side of its share. */
typedef struct side {
  int32_t count;        /* number of columns: local rows (or columns) of the share */
  void *panel;          /* (panel_rows, count), row-major */
  int exponent;         /* of the panel being merged (es_panel_centre) */
  double *mean;         /* of the rows merged so far */
  double *shift, *rest; /* of the panel being merged: subtracted shift, remaining mean */
  double *delta;        /* panel's mean minus `mean` */
} side_t;

struct es_spread {
  es_dist_matrix_t blocks;
  es_real_t real;
  size_t element;        /* bytes of a number */
  int64_t n;             /* rows merged, over all ranks */
  int32_t waiting;       /* rows in the panels, equal on all ranks */
  bool finished, shared; /* shared: both sides are the same, stored in `tall` */
  side_t tall, wide;     /* columns of the tile rows; of the tile columns */
  void *product, *work;
  es_owned_t owned; /* owns everything except the memory of `blocks` */

  int rank, size;
  int64_t *left; /* rows that each rank still has to send in this es_spread_add */
  int32_t *take; /* rows that each rank sends in this exchange */
  int32_t lines; /* most rows that a rank sends at once */
  void *send;    /* (lines, width) */
  int *counts;   /* 4 × size: MPI_Alltoallv's counts and displacements */
};

/* Returns the most rows that one rank sends at once. */
int32_t es_spread_exchange_lines(int ranks);
/* Sets rank and size and allocates. s->owned records a failed allocation. */
void es_spread_exchange_create(es_spread_t *s);
/* Tells every rank how many rows each rank has. Collective. */
void es_spread_exchange_open(es_spread_t *s, int64_t n);
/* Chooses the rows that each rank sends next, at most as many as fit into the panel; returns false if no rows are left.
 * All ranks choose the same. */
bool es_spread_exchange_next(es_spread_t *s);
/* Sends the chosen rows into the panels; `rows` points to this rank's first one. Collective. */
void es_spread_exchange_rows(es_spread_t *s, const void *rows);

#endif
