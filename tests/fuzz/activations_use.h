/* Calls every function that reads activations. */
#ifndef ES_FUZZ_ACTIVATIONS_USE_H
#define ES_FUZZ_ACTIVATIONS_USE_H

#include "eigenscope/activations.h"
#include "fuzz.h"

enum { USE_BYTES = 1 << 20, USE_SAMPLES = 1000 };

static inline int64_t use_count(const es_activations_t *file, size_t row) {
  int64_t n = es_activations_samples(file);
  if (n > USE_SAMPLES) n = USE_SAMPLES;
  return row > USE_BYTES ? 0 : n < (int64_t)(USE_BYTES / row) ? n : (int64_t)(USE_BYTES / row);
}

static inline void use_activations(const char *path) {
  es_status_t status = {0};
  es_activations_t *file;
  es_code_t code = es_activations_open(&file, path, "labels", &status);
  fuzz_expect(code, &status, path);
  if (code != ES_OK) return;
  char fingerprint[ES_ID_SIZE];
  char *rows = malloc(USE_BYTES);
  fuzz_require(rows != NULL, "malloc");
  const int64_t samples = es_activations_samples(file);
  for (int i = 0; code == ES_OK && i < es_activations_count(file); i++) {
    const int64_t n = use_count(file, es_activations_row_size(file, i));
    if (n > 0) code = es_activations_read(file, i, 0, n, rows, &status);
    if (code == ES_OK && n > 0) code = es_activations_read(file, i, samples - n, n, rows, &status);
  }
  if (code == ES_OK && es_activations_has_labels(file) && samples <= USE_SAMPLES)
    code = es_activations_labels(file, 0, samples, (int32_t *)(void *)rows, &status);
  if (code == ES_OK && samples <= USE_SAMPLES) code = es_activations_fingerprint(file, fingerprint, &status);
  fuzz_expect(code, &status, path);
  free(rows);
  es_activations_close(file);
}

#endif
