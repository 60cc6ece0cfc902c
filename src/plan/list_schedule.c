#include "list_schedule.h"
#include "eigenscope/memory.h"
#include <stdbool.h>
#include <stdlib.h>

typedef struct item {
  double cost;
  int64_t number;
} item_t;

static int by_cost(const void *a, const void *b) {
  const item_t *x = a, *y = b;
  if (x->cost != y->cost) return x->cost < y->cost ? 1 : -1;
  return (x->number > y->number) - (x->number < y->number);
}

/* A worker and the time from which it is free. */
typedef struct slot {
  double free;
  int32_t worker;
} slot_t;

static bool is_before(const slot_t *a, const slot_t *b) {
  return a->free != b->free ? a->free < b->free : a->worker < b->worker;
}

/* Restores a binary heap after a change of its top; the worker that is free first is on top. */
static void sink(slot_t *heap, int64_t n) {
  const slot_t moved = heap[0];
  int64_t at = 0;
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && is_before(&heap[child + 1], &heap[child])) child++;
    if (!is_before(&heap[child], &moved)) break;
    heap[at] = heap[child];
  }
  heap[at] = moved;
}

es_code_t es_list_schedule_create(es_list_schedule_t *out, const double *cost, int64_t n, const double *speed,
                                  int32_t n_workers, es_status_t *status) {
  const size_t count = (size_t)n;
  item_t *items = es_allocate(count, sizeof *items);
  slot_t *heap = es_allocate((size_t)n_workers, sizeof *heap);
  *out = (es_list_schedule_t){.n = n,
                              .order = es_allocate(count, sizeof *out->order),
                              .worker = es_allocate(count, sizeof *out->worker),
                              .end = es_allocate(count, sizeof *out->end)};
  const bool good = items && heap && out->order && out->worker && out->end;
  if (good) {
    for (int64_t i = 0; i < n; i++) items[i] = (item_t){cost[i], i};
    qsort(items, count, sizeof *items, by_cost);
    for (int32_t w = 0; w < n_workers; w++) heap[w] = (slot_t){0, w}; /* sorted, so a heap */
    for (int64_t i = 0; i < n; i++) {
      const int32_t worker = heap[0].worker;
      heap[0].free += items[i].cost / (speed != NULL ? speed[worker] : 1);
      out->order[i] = items[i].number;
      out->worker[i] = worker;
      out->end[i] = heap[0].free;
      sink(heap, n_workers);
    }
  }
  es_free(items);
  es_free(heap);
  if (good) return ES_OK;
  es_list_schedule_destroy(out);
  return es_out_of_memory(status, "plan", "the schedule of %lld points", (long long)n);
}

void es_list_schedule_destroy(es_list_schedule_t *schedule) {
  es_free(schedule->order);
  es_free(schedule->worker);
  es_free(schedule->end);
  *schedule = (es_list_schedule_t){0};
}
