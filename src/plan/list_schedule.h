/* List scheduling as `run` does it: the most expensive item first, each to the first free worker. Pure functions. */
#ifndef ES_PLAN_LIST_SCHEDULE_H
#define ES_PLAN_LIST_SCHEDULE_H

#include "eigenscope/status.h"
#include <stdint.h>

typedef struct es_list_schedule {
  int64_t n;
  int64_t *order;  /* owned; items in the order of work: by descending cost, then by number */
  int32_t *worker; /* owned; worker of each position in `order` */
  double *end;     /* owned; end time of the item at each position in `order` */
} es_list_schedule_t;

/* Assigns n items to workers 0 … n_workers−1. An item takes cost / speed of its worker; of several free workers, the
 * first gets it. `speed` NULL: 1 for all. ES_SYSTEM when out of memory; then there is nothing to destroy. */
es_code_t es_list_schedule_create(es_list_schedule_t *out, const double *cost, int64_t n, const double *speed,
                                  int32_t n_workers, es_status_t *status);
void es_list_schedule_destroy(es_list_schedule_t *schedule);

#endif
