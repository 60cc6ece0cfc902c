/* The three ways a result is shown; each appends to `out` and cannot fail but by memory (out->failed). */
#ifndef ES_STORE_SHOW_H
#define ES_STORE_SHOW_H

#include "reader.h"

/* For people: at most 100 columns. */
void es_show_table(es_text_t *out, const es_reader_t *reader);
/* For machines: one row for each (split, epoch, layer, delta) where anything was measured in that split and epoch. */
void es_show_csv(es_text_t *out, const es_reader_t *reader);
void es_show_json(es_text_t *out, const es_reader_t *reader);

#endif
