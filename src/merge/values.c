/* Ascending values of an axis. */
#include "eigenscope/memory.h"
#include "merge_internal.h"
#include <string.h>

/* Index of the first value that is not below `value`. */
static int64_t lower_bound(const es_merge_values_t *values, double value) {
  int64_t low = 0, high = values->n;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (values->list[middle] < value)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

int64_t es_merge_values_find(const es_merge_values_t *values, double value) {
  int64_t at = lower_bound(values, value);
  return at < values->n && values->list[at] == value ? at : -1;
}

bool es_merge_values_add(es_merge_values_t *values, double value) {
  int64_t at = lower_bound(values, value);
  if (at < values->n && values->list[at] == value) return true;
  double *grown = es_make_room(values->list, values->n, sizeof *grown);
  if (grown == NULL) return false;
  values->list = grown;
  memmove(grown + at + 1, grown + at, (size_t)(values->n - at) * sizeof *grown);
  grown[at] = value;
  values->n++;
  return true;
}
