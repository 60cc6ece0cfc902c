/* Root attributes of a file read as text. */
#ifndef ES_STORE_ATTRIBUTE_H
#define ES_STORE_ATTRIBUTE_H

#include "reader.h"

/* Appends all root attributes of the open file that are variable-length strings or numbers to the reader; passes over
 * others. ES_INPUT when one cannot be read, ES_SYSTEM when memory is out. */
es_code_t es_attributes_read(es_reader_t *reader);

/* True for what an attribute of a result, and an axis, may be called: letters, digits and underscores. */
bool es_attribute_name_is_fit(const char *name);

#endif
