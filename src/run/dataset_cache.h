/* The datasets of a run. Each is loaded once per resolution, for all points that use it. */
#ifndef ES_RUN_DATASET_CACHE_H
#define ES_RUN_DATASET_CACHE_H

#include "eigenscope/run.h"

/* One dataset at one resolution. */
typedef struct es_dataset_cache_item {
  int spec; /* index of the dataset in the job */
  int32_t resolution;
  es_dataset_t *dataset; /* owned */
} es_dataset_cache_item_t;

typedef struct es_dataset_cache {
  const es_plan_t *plan; /* borrowed */
  bool stream;           /* leave images in their file if the format supports it */
  int n;
  es_dataset_cache_item_t *items; /* owned */
} es_dataset_cache_t;

/* Loads the datasets of a point, one copy per node, unless they are loaded already. Collective over MPI_COMM_WORLD; all
 * ranks return the same code; codes as es_dataset_load. */
es_code_t es_dataset_cache_add(es_dataset_cache_t *loaded, const es_point_t *point, es_status_t *status);
/* Returns the dataset of a point, and those of its probe.datasets in `others` if it has probes; NULL for one that is
 * not loaded. Borrowed. */
es_dataset_t *es_dataset_cache_find(const es_dataset_cache_t *loaded, const es_point_t *point,
                                    const es_dataset_t *others[ES_PROBE_DATASETS_MAX]);

/* Checks that all existing results of the selection fit the job and were made from the data of this run, also results
 * that this run does not touch: otherwise a user who runs a job again could mistake results of other data for its own.
 * Loads datasets that only such results need. `results`: one for each point, on rank 0. Rank 0 checks; collective over
 * MPI_COMM_WORLD, all ranks return the same code. ES_INPUT naming the file. */
es_code_t es_dataset_cache_check(const es_dataset_cache_t *loaded, const es_selection_t *selection,
                                 const es_known_t *results, es_status_t *status);

/* Collective over MPI_COMM_WORLD. */
void es_dataset_cache_destroy(es_dataset_cache_t *loaded);

#endif
