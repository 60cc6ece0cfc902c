/** What labels say about a dataset, for every format that reads them. Not collective. */
#ifndef EIGENSCOPE_DATA_LABELS_H
#define EIGENSCOPE_DATA_LABELS_H

#include "eigenscope/data.h"

/** Keeps `labels` (owned) in out[split], or frees them where nobody asked (out is NULL) or `code` is a failure; then
 * frees those of the splits before, too. Returns `code`. */
es_code_t es_labels_keep(uint16_t *out[ES_SPLITS], es_split_t split, uint16_t *labels, es_code_t code);

#endif
