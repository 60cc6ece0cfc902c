/* Root attributes of a file read as text. */
#ifndef ES_STORE_ATTRIBUTE_H
#define ES_STORE_ATTRIBUTE_H

#include "hdf.h"
#include "stored.h"

/* Appends all root attributes that are variable-length strings or numbers to `stored`, others are passed over. False
 * when one cannot be read (HDF5's reason is on its stack) or memory is out. */
bool attributes_read(stored_t *stored, hid_t file);

#endif
