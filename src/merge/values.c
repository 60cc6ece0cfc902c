/* Ascending values of an axis, names of datasets, and texts of rows. */
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

/* ---- datasets of probes ---- */

int64_t es_merge_datasets_find(const es_merge_t *merge, const char *name) {
  for (int64_t i = 0; i < merge->n_datasets; i++) {
    if (strcmp(merge->datasets[i], name) == 0) return i;
  }
  return -1;
}

bool es_merge_datasets_add(es_merge_t *merge, const es_result_t *result) {
  for (int64_t i = 0; i < result->extent[ES_DIM_PROBE_DATASET]; i++) {
    const char *name = result->probe_dataset[i];
    if (es_merge_datasets_find(merge, name) >= 0) continue;
    char(*grown)[ES_NAME_MAX] = es_make_room(merge->datasets, merge->n_datasets, sizeof *grown);
    if (grown == NULL) return false;
    merge->datasets = grown;
    memcpy(grown[merge->n_datasets++], name, ES_NAME_MAX);
  }
  return true;
}

/* ---- texts of rows ---- */

enum { TEXTS_HELD = 4096 };

static int64_t most_rows(const es_merge_texts_t *texts) {
  return texts->width < TEXTS_HELD ? TEXTS_HELD / texts->width : 1;
}

bool es_merge_texts_full(const es_merge_texts_t *texts, int64_t row) {
  return texts->n > 0 && (texts->n == most_rows(texts) || row != texts->first + texts->n);
}

bool es_merge_texts_add(es_merge_texts_t *texts, int64_t row, const char *const *words) {
  if (texts->list == NULL)
    texts->list = es_allocate_zero((size_t)(most_rows(texts) * texts->width), sizeof *texts->list);
  if (texts->list == NULL) return false;
  if (texts->n == 0) texts->first = row;
  char **own = texts->list + texts->n++ * texts->width;
  for (int64_t i = 0; i < texts->width; i++) {
    own[i] = words[i] != NULL ? es_duplicate(words[i]) : NULL;
    if (words[i] != NULL && own[i] == NULL) return false;
  }
  return true;
}

void es_merge_texts_clear(es_merge_texts_t *texts) {
  for (int64_t i = 0; i < texts->n * texts->width; i++) es_free(texts->list[i]);
  es_free(texts->list);
  *texts = (es_merge_texts_t){.width = texts->width};
}
