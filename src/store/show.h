/* Appends to `out`. Only a lack of memory is a failure (out->failed). */
#ifndef ES_STORE_SHOW_H
#define ES_STORE_SHOW_H

#include "reader.h"

/* True if a layer is to be shown. */
static inline bool es_show_layer(const es_reader_t *reader, int64_t layer) {
  return reader->layer == NULL || es_text_match(reader->layer, reader->result->layers[layer].name);
}

/* For people: at most 100 columns. Saturations are at the delta with this index. */
void es_show_table(es_text_t *out, const es_reader_t *reader, int64_t delta);

#endif
