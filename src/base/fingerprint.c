#include "eigenscope/fingerprint.h"
#include <stdio.h>
#include <xxhash.h>

es_code_t es_fingerprint_create(es_fingerprint_t *out, const char *path, es_status_t *status) {
  XXH3_state_t *hash = XXH3_createState();
  out->hash = hash;
  if (hash == NULL) return es_out_of_memory(status, "data", "the fingerprint of %s", path);
  XXH3_64bits_reset(hash);
  return ES_OK;
}

void es_fingerprint_add(es_fingerprint_t *fingerprint, const void *bytes, size_t size) {
  XXH3_64bits_update(fingerprint->hash, bytes, size);
}

void es_fingerprint_finish(const es_fingerprint_t *fingerprint, char out[ES_FINGERPRINT_SIZE]) {
  snprintf(out, ES_FINGERPRINT_SIZE, "%016llx", (unsigned long long)XXH3_64bits_digest(fingerprint->hash));
}

void es_fingerprint_destroy(es_fingerprint_t *fingerprint) {
  XXH3_freeState(fingerprint->hash);
  fingerprint->hash = NULL;
}
