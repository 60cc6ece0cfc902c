/* The datasets of a run: each is loaded once at each resolution, for all points that use it. */
#ifndef ES_RUN_DATASET_CACHE_H
#define ES_RUN_DATASET_CACHE_H

#include "eigenscope/plan.h"

/* One dataset at one resolution. */
typedef struct es_dataset_cache_item {
  int spec; /* index in the job */
  int32_t resolution;
  es_dataset_t *dataset; /* owned */
} es_dataset_cache_item_t;

typedef struct es_dataset_cache {
  const es_plan_t *plan; /* borrowed */
  bool stream;           /* images that can stay in their file do */
  int n;
  es_dataset_cache_item_t *items; /* owned */
} es_dataset_cache_t;

/* What a point needs, one copy a node, unless it is there. Collective over MPI_COMM_WORLD, all ranks return the same
 * code; codes as es_dataset_load. */
es_code_t es_dataset_cache_add(es_dataset_cache_t *loaded, const es_point_t *point, es_status_t *status);
/* The dataset of a point, or NULL. Borrowed. */
es_dataset_t *es_dataset_cache_find(const es_dataset_cache_t *loaded, const es_point_t *point);

/* All results of the selection that are there must be of the data that this run sees, also those that will not be
 * touched: who runs a job again must not take numbers of other data for its own. Datasets that only they need are read
 * for that alone. Rank 0 looks; collective over MPI_COMM_WORLD, all ranks return the same code. ES_INPUT naming the
 * file. */
es_code_t es_dataset_cache_check(const es_dataset_cache_t *loaded, const es_selection_t *selection,
                                 es_status_t *status);

/* Collective over MPI_COMM_WORLD. */
void es_dataset_cache_destroy(es_dataset_cache_t *loaded);

#endif
