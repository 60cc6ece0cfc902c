/** Fingerprint of data that arrive in pieces: xxh3 of all bytes, independent of how they are cut. Not collective. */
#ifndef EIGENSCOPE_FINGERPRINT_H
#define EIGENSCOPE_FINGERPRINT_H

#include "eigenscope/status.h"
#include <stddef.h>

enum { ES_FINGERPRINT_SIZE = 17 }; /**< 16 hexadecimal digits and the terminator */

typedef struct es_fingerprint {
  void *hash; /**< owned */
} es_fingerprint_t;

/** Starts with no bytes. ES_SYSTEM if out of memory; `path` is for the message. */
es_code_t es_fingerprint_create(es_fingerprint_t *out, const char *path, es_status_t *status);
void es_fingerprint_add(es_fingerprint_t *fingerprint, const void *bytes, size_t size);
void es_fingerprint_finish(const es_fingerprint_t *fingerprint, char out[ES_FINGERPRINT_SIZE]);
/** A zeroed struct is allowed. */
void es_fingerprint_destroy(es_fingerprint_t *fingerprint);

#endif
