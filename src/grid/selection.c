/* Sets of point indices: "0-3,7" and shares of a SLURM array. */
#include "eigenscope/grid.h"
#include "eigenscope/memory.h"
#include <stdlib.h>
#include <string.h>

static const char STAGE[] = "grid";

/* Reads digits at *text and advances it; false if there are none or too many. */
static bool read_index(const char **text, int64_t *out) {
  const char *c = *text;
  *out = 0;
  while (*c >= '0' && *c <= '9' && c - *text < 18) *out = 10 * *out + (*c++ - '0');
  const bool any = c > *text && !(*c >= '0' && *c <= '9');
  *text = c;
  return any;
}

/* Reads one "3" or "0-3" and the separator after it. */
static bool read_range(const char **text, int64_t *first, int64_t *last) {
  if (!read_index(text, first)) return false;
  *last = *first;
  if (**text == '-') {
    (*text)++;
    if (!read_index(text, last)) return false;
  }
  if (**text == '\0') return true;
  if (**text != ',' || (*text)[1] == '\0') return false;
  (*text)++;
  return true;
}

static es_code_t mark_ranges(bool *marked, const char *text, int64_t count, es_status_t *status) {
  const char *rest = text;
  if (*rest == '\0') return es_fail(status, ES_INPUT, STAGE, "--points is empty; write indices as in 0-3,7");
  while (*rest != '\0') {
    int64_t first, last;
    if (!read_range(&rest, &first, &last))
      return es_fail(status, ES_INPUT, STAGE, "--points %.100s: write indices and ranges as in 0-3,7", text);
    if (last < first)
      return es_fail(status, ES_INPUT, STAGE, "--points %.100s: the range %lld-%lld ends before it begins", text,
                     (long long)first, (long long)last);
    if (last >= count)
      return es_fail(status, ES_INPUT, STAGE,
                     "--points %.100s: point %lld does not exist; the grid has the points 0-%lld", text,
                     (long long)last, (long long)count - 1);
    for (int64_t i = first; i <= last; i++) marked[i] = true;
  }
  return ES_OK;
}

es_code_t es_selection_parse(es_selection_t *out, const char *text, int64_t count, es_status_t *status) {
  *out = (es_selection_t){0};
  es_code_t code = ES_OK;
  int64_t *index = es_allocate((size_t)count, sizeof *index);
  bool *marked = es_allocate_zero((size_t)count, sizeof *marked);
  if (index == NULL || marked == NULL)
    code = es_out_of_memory(status, STAGE, "a selection of %lld points", (long long)count);
  else if (text != NULL)
    code = mark_ranges(marked, text, count, status);
  if (code != ES_OK) goto out;
  out->index = index;
  for (int64_t i = 0; i < count; i++) {
    if (text == NULL || marked[i]) index[out->n++] = i;
  }
out:
  es_free(marked);
  if (code != ES_OK) es_free(index);
  return code;
}

typedef struct ranked {
  double cost;
  int64_t index;
} ranked_t;

/* Most expensive first; equal costs by index, so that every task gets the same order. */
static int by_cost(const void *a, const void *b) {
  const ranked_t *x = a, *y = b;
  if (x->cost != y->cost) return x->cost < y->cost ? 1 : -1;
  return (x->index > y->index) - (x->index < y->index);
}

static int by_index(const void *a, const void *b) {
  const int64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

es_code_t es_selection_task(es_selection_t *selection, const char *task, const double *cost, es_status_t *status) {
  const char *rest = task;
  int64_t share, shares;
  bool read = read_index(&rest, &share) && *rest == '/';
  rest += read;
  if (!read || !read_index(&rest, &shares) || *rest != '\0')
    return es_fail(status, ES_INPUT, STAGE, "--task %.100s: write I/N, as in 0/4 for the first of four", task);
  if (share >= shares)
    return es_fail(status, ES_INPUT, STAGE, "--task %.100s: I must be below N, because tasks are counted from 0", task);
  ranked_t *order = es_allocate((size_t)selection->n, sizeof *order);
  if (order == NULL) return es_out_of_memory(status, STAGE, "a selection of %lld points", (long long)selection->n);
  for (int64_t i = 0; i < selection->n; i++) order[i] = (ranked_t){cost[i], selection->index[i]};
  qsort(order, (size_t)selection->n, sizeof *order, by_cost);
  int64_t n = 0;
  for (int64_t i = share; i < selection->n; i += shares) selection->index[n++] = order[i].index;
  selection->n = n;
  qsort(selection->index, (size_t)n, sizeof *selection->index, by_index);
  es_free(order);
  return ES_OK;
}

void es_selection_print(const es_selection_t *selection, es_text_t *out) {
  for (int64_t i = 0; i < selection->n;) {
    int64_t last = i;
    while (last + 1 < selection->n && selection->index[last + 1] == selection->index[last] + 1) last++;
    es_text_append(out, "%s%lld", i > 0 ? "," : "", (long long)selection->index[i]);
    if (last > i) es_text_append(out, "-%lld", (long long)selection->index[last]);
    i = last + 1;
  }
}

void es_selection_destroy(es_selection_t *selection) {
  es_free(selection->index);
  *selection = (es_selection_t){0};
}
