#include "fingerprint.h"
#include <stdio.h>

es_code_t es_fingerprint_create(es_fingerprint_t *out, const char *what, es_status_t *status) {
  out->hash = XXH3_createState();
  if (out->hash != NULL) return ES_OK;
  return es_fail(status, ES_SYSTEM, "data", "%s: not enough memory to read it", what);
}

void es_fingerprint_destroy(es_fingerprint_t *fingerprint) {
  if (fingerprint->hash != NULL) XXH3_freeState(fingerprint->hash);
  fingerprint->hash = NULL;
}

void es_fingerprint_shape(es_fingerprint_t *fingerprint, const es_dataset_info_t *info) {
  const int64_t shape[] = {info->count[ES_TRAIN], info->count[ES_EVAL], info->height, info->width, info->channels};
  XXH3_64bits_reset(fingerprint->hash);
  XXH3_64bits_update(fingerprint->hash, shape, sizeof shape);
}

void es_fingerprint_pixels(es_fingerprint_t *fingerprint, const uint8_t *pixels, int64_t size) {
  XXH3_64bits_update(fingerprint->hash, pixels, (size_t)size);
}

void es_fingerprint_labels(es_fingerprint_t *fingerprint, const uint16_t *labels, int64_t count) {
  XXH3_64bits_update(fingerprint->hash, labels, (size_t)count * sizeof *labels);
}

void es_fingerprint_finish(const es_fingerprint_t *fingerprint, char out[ES_ID_SIZE]) {
  snprintf(out, ES_ID_SIZE, "%016llx", (unsigned long long)XXH3_64bits_digest(fingerprint->hash));
}
