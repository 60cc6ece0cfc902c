/* The distributed accumulator's inside: what spread.c (arithmetic) and spread_exchange.c (rows to where they are
 * needed) share. */
#ifndef ES_COVARIANCE_SPREAD_INTERNAL_H
#define ES_COVARIANCE_SPREAD_INTERNAL_H

#include "eigenscope/comm.h"
#include "eigenscope/memory.h"
#include "eigenscope/spread.h"
#include "panel.h"

/* Columns of the data matrix that this rank needs along one side of its share. */
typedef struct side {
  int32_t count;        /* columns: local rows (or columns) of the share */
  void *panel;          /* (panel_rows, count), row-major */
  double *mean;         /* of the rows merged so far */
  double *shift, *rest; /* of the panel being merged: what was subtracted, mean of what remains */
  double *delta;        /* mean of the panel less `mean` */
} side_t;

struct es_spread {
  es_dist_matrix_t blocks;
  es_real_t real;
  size_t element;        /* bytes of a number */
  int64_t n;             /* rows merged, over all ranks */
  int32_t waiting;       /* rows in the panels: the same on every rank */
  bool finished, shared; /* shared: both sides are one, in `tall` */
  side_t tall, wide;     /* columns of the tile rows; of the tile columns */
  void *product, *work;
  es_owned_t owned; /* all blocks but those of `blocks` */

  int rank, size;
  int64_t *left; /* rows that each rank still has to give in this es_spread_add */
  int32_t *take; /* rows that each rank gives in this exchange */
  int32_t lines; /* most rows that a rank gives at once */
  void *send;    /* (lines, width) */
  int *counts;   /* 4 × size: MPI_Alltoallv's counts and displacements */
};

/* Most rows that one rank gives at once. */
int32_t es_spread_exchange_lines(int ranks);
/* Asks for its size, and allocates: s->owned says if memory was out. */
void es_spread_exchange_create(es_spread_t *s);
/* Tells all ranks how many rows each has. Collective. */
void es_spread_exchange_open(es_spread_t *s, int64_t n);
/* Chooses what each rank gives next, at most what still fits into the panel; false when nothing is left. The same on
 * all ranks. */
bool es_spread_exchange_next(es_spread_t *s);
/* Sends those rows (this rank's from `rows` on) into the panels. Collective. */
void es_spread_exchange_rows(es_spread_t *s, const void *rows);

#endif
