/** The fingerprint of a dataset: xxh3 of its dimensions, then of each split's pixels as stored and its labels. One
 * definition for everything that reads or writes images. Not collective. */
#ifndef EIGENSCOPE_DATA_FINGERPRINT_H
#define EIGENSCOPE_DATA_FINGERPRINT_H

#include "eigenscope/data.h"
#include <xxhash.h>

typedef struct es_fingerprint {
  XXH3_state_t *hash; /**< owned */
} es_fingerprint_t;

/** ES_SYSTEM, naming `what` was to be read, when memory is out. */
es_code_t es_fingerprint_create(es_fingerprint_t *out, const char *what, es_status_t *status);
void es_fingerprint_destroy(es_fingerprint_t *fingerprint);

/** In this order: shape; pixels of train, in any pieces; labels of train; the same of eval. */
void es_fingerprint_shape(es_fingerprint_t *fingerprint, const es_dataset_info_t *info);
void es_fingerprint_pixels(es_fingerprint_t *fingerprint, const uint8_t *pixels, int64_t size);
void es_fingerprint_labels(es_fingerprint_t *fingerprint, const uint16_t *labels, int64_t count);
void es_fingerprint_finish(const es_fingerprint_t *fingerprint, char out[ES_ID_SIZE]);

#endif
