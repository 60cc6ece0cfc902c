/* Appends to `out`. Only a lack of memory is a failure (out->failed). */
#ifndef ES_STORE_SHOW_H
#define ES_STORE_SHOW_H

#include "reader.h"

/* For people: at most 100 columns. Saturations are at the delta with this index. */
void es_show_table(es_text_t *out, const es_reader_t *reader, int64_t delta);

#endif
