/* Root attributes of a file read as text. */
#ifndef ES_STORE_ATTRIBUTE_H
#define ES_STORE_ATTRIBUTE_H

#include "eigenscope/hdf5.h"
#include "reader.h"

/* Appends all root attributes that are variable-length strings or numbers to `stored`, others are passed over. False
 * when memory is out (which *out_of_memory then says) or one cannot be read (HDF5's reason is on its stack). */
bool es_attributes_read(es_reader_t *stored, hid_t file, bool *out_of_memory);

/* True for what an attribute of a result, and an axis, may be called: letters, digits and underscores. */
bool es_attribute_name_is_fit(const char *name);

#endif
