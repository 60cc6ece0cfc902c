/* Checks the range of labels that a reader found, and counts them by class. */
#include "eigenscope/dataset_reader.h"
#include <assert.h>

es_code_t es_labels_count(es_dataset_info_t *info, es_split_t split, const uint16_t *labels, const char *where,
                          es_status_t *status) {
  int64_t largest = 0;
  for (int64_t i = 0; i < info->count[split]; i++) {
    assert(labels[i] < ES_CLASSES_MAX);
    if (split != ES_TRAIN && labels[i] >= info->classes)
      return es_fail(status, ES_INPUT, "data",
                     "%s: label %d of sample %lld is out of range; the train labels are from 0 to %d", where, labels[i],
                     (long long)i, info->classes - 1);
    info->class_count[split][labels[i]]++;
    if (labels[i] > labels[largest]) largest = i;
  }
  if (split != ES_TRAIN) return ES_OK;
  info->classes = labels[largest] + 1;
  for (int32_t c = 0; c < info->classes; c++) {
    if (info->class_count[ES_TRAIN][c] > 0) continue;
    return es_fail(status, ES_INPUT, "data",
                   "%s: class %d has no sample, but sample %lld has label %d; every class from 0 to the largest label "
                   "needs train samples",
                   where, c, (long long)largest, labels[largest]);
  }
  return ES_OK;
}
