/* List scheduling, as `run` hands out points: the most expensive first, each to whoever is free first. Pure. */
#ifndef ES_PLAN_LIST_SCHEDULE_H
#define ES_PLAN_LIST_SCHEDULE_H

#include "eigenscope/status.h"
#include <stdint.h>

typedef struct es_list_schedule {
  int64_t n;
  int64_t *order;  /* owned; items by descending cost, equal ones by number: the order of work */
  int32_t *worker; /* owned; of each place in `order` */
  double *end;     /* owned; when the item at each place in `order` is done */
} es_list_schedule_t;

/* Hands n items to workers 0 … n_workers−1. An item takes cost / speed of its worker; of several that are free, the one
 * with the lowest number takes it. `speed` NULL: 1 for all. ES_SYSTEM when memory is out; nothing to destroy then. */
es_code_t es_list_schedule_create(es_list_schedule_t *out, const double *cost, int64_t n, const double *speed,
                                  int32_t n_workers, es_status_t *status);
void es_list_schedule_destroy(es_list_schedule_t *schedule);

#endif
