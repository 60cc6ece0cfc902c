/** What labels say about a dataset, for every format that reads them. Not collective. */
#ifndef EIGENSCOPE_DATA_LABELS_H
#define EIGENSCOPE_DATA_LABELS_H

#include "eigenscope/data.h"

/** Counts info->count[split] labels, all below ES_CLASSES_MAX, into info->class_count. The train split comes first and
 * defines the classes: the largest label + 1, each with a sample; labels of the eval split must be among them.
 * ES_INPUT, with `where` (the file, and the variable within) before what is wrong. */
es_code_t es_labels_count(es_dataset_info_t *info, es_split_t split, const uint16_t *labels, const char *where,
                          es_status_t *status);

/** Keeps `labels` (owned) in out[split], or frees them where nobody asked (out is NULL) or `code` is a failure; then
 * frees those of the splits before, too. Returns `code`. */
es_code_t es_labels_keep(uint16_t *out[ES_SPLITS], es_split_t split, uint16_t *labels, es_code_t code);

#endif
