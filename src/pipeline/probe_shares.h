/* Divides the fits of a round of layers among the ranks of a group: each rank fits whole layers alone, which needs the
 * rows of all ranks but no message between two steps. Lanes lie on the ranks in order, so rows that follow each other
 * rank by rank are in the order of lanes. A group of one with all lanes adds in the tree of any other group (comm.h),
 * so the bits of a fit do not depend on who computes it. */
#ifndef ES_PIPELINE_PROBE_SHARES_H
#define ES_PIPELINE_PROBE_SHARES_H

#include "eigenscope/comm.h"
#include "eigenscope/memory.h"

enum { ES_SHARE_NOBODY = -1 }; /* owner of a fit that all ranks compute together */

/* A fit of the round. */
typedef struct es_share {
  double cost;     /* in any unit */
  int64_t row;     /* bytes of the features of a sample */
  int64_t scratch; /* bytes that a fit on one rank allocates besides */
  int owner;       /* set by es_shares_assign */
} es_share_t;

/* The fitted rows of all ranks. */
typedef struct es_share_rows {
  es_group_t alone; /* this rank with all lanes */
  int64_t n;        /* rows of all ranks */
  int64_t *lane;    /* (lanes) rows of each lane */
  int64_t *rank;    /* (size) rows of each rank */
  int32_t *label;   /* (n) */
  es_owned_t owned; /* owns the arrays above */
} es_share_rows_t;

/* Gathers rows per lane and labels; each rank passes those of its own lanes. es_owned_free(&out->owned) frees them.
 * Collective; all ranks return the same code. */
es_code_t es_share_rows_create(es_share_rows_t *out, const int64_t *lane_rows, const int32_t *labels,
                               const es_group_t *group, es_status_t *status);

/* Sets the owners of n fits: the most expensive first, each to the rank with the least work. A fit that costs much more
 * than a rank's share of all work has no owner: all ranks compute it together. Returns false, with no owners, if some
 * rank would need more than `room` bytes for features and scratch, its own rows of all layers among them. The result is
 * equal on all ranks. Not collective. */
bool es_shares_assign(es_share_t *shares, int n, const es_share_rows_t *rows, int64_t room, int ranks);

/* Sends the rows of a fit to its owner, which receives them in `whole` (n rows). `part`: the rows of this rank.
 * Collective. */
void es_share_collect(const es_share_t *share, void *whole, const void *part, const es_share_rows_t *rows,
                      const es_group_t *group);

#endif
