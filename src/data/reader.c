/* The table of dataset readers, and the code that all of them share. */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "images.h"
#include "stream.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char STAGE[] = "data";

#define ROW(NAME, name)  [ES_FORMAT_##NAME] = &es_reader_##name,
#define WORD(NAME, name) [ES_FORMAT_##NAME] = #name,
static const es_dataset_reader_t *const readers[ES_FORMATS_COUNT] = {ES_FORMATS(ROW)};
const char *const es_format_words[ES_FORMATS_COUNT + 1] = {ES_FORMATS(WORD)};

const es_dataset_reader_t *es_reader_of(es_format_t format) {
  assert(format < ES_FORMATS_COUNT);
  return readers[format];
}

bool es_format_find(es_format_t *out, const char *word) {
  for (es_format_t f = 0; f < ES_FORMATS_COUNT; f++) {
    if (strcmp(es_format_words[f], word) != 0) continue;
    *out = f;
    return true;
  }
  return false;
}

const es_key_t *es_reader_key(const es_dataset_reader_t *reader, const char *name) {
  for (int i = 0; i < reader->n_keys; i++) {
    if (strcmp(reader->keys[i].name, name) == 0 && strcmp(reader->keys[i].section, "datasets.*") == 0)
      return &reader->keys[i];
  }
  return NULL;
}

int es_formats_with(const char *key, char out[ES_FORMATS_TEXT]) {
  const char *words[ES_FORMATS_COUNT] = {NULL};
  int n = 0;
  size_t length = 0;
  for (es_format_t f = 0; f < ES_FORMATS_COUNT; f++) {
    const bool has = strcmp(key, "path") == 0 ? readers[f]->hint != NULL : es_reader_key(readers[f], key) != NULL;
    if (has) words[n++] = es_format_words[f];
  }
  out[0] = '\0';
  for (int i = 0; i < n && length < ES_FORMATS_TEXT; i++) {
    const char *separator = i == 0 ? "" : i == n - 1 ? " or " : ", ";
    length += (size_t)snprintf(out + length, ES_FORMATS_TEXT - length, "%s%s", separator, words[i]);
  }
  return n;
}

int es_readers_guess(const es_dataset_reader_t *const *rows, int n, const char *path, char found[ES_PATH_MAX]) {
  for (int i = 0; i < n; i++) {
    if (rows[i]->mark != NULL && es_stream_found(path, rows[i]->mark, found)) return i;
    if (rows[i]->found == NULL || !es_file_exists(path) || !rows[i]->found(path)) continue;
    snprintf(found, ES_PATH_MAX, "its first bytes");
    return i;
  }
  return -1;
}

bool es_dataset_guess(const char *path, es_format_t *format, char found[ES_PATH_MAX]) {
  const int i = es_readers_guess(readers, ES_FORMATS_COUNT, path, found);
  if (i >= 0) *format = (es_format_t)i;
  return i >= 0;
}

es_code_t es_labels_inspect(es_dataset_info_t *info, uint16_t *labels[ES_SPLITS], const es_dataset_spec_t *spec,
                            es_status_t *status) {
  uint16_t *read[ES_SPLITS] = {NULL};
  memset(info, 0, sizeof *info);
  const es_code_t code = es_reader_of(spec->format)->inspect(info, read, spec, status);
  for (int split = 0; split < ES_SPLITS; split++) {
    if (code == ES_OK && labels != NULL)
      labels[split] = read[split];
    else
      es_free(read[split]);
  }
  return code;
}

es_code_t es_dataset_inspect(es_dataset_info_t *out, const es_dataset_spec_t *spec, es_status_t *status) {
  return es_labels_inspect(out, NULL, spec, status);
}

es_code_t es_images_open(es_images_t *images, es_status_t *status) {
  const es_dataset_reader_t *reader = es_reader_of(images->spec->format);
  images->state = es_allocate_zero(1, reader->state_size + 1);
  if (images->state == NULL) return es_out_of_memory(status, STAGE, "reading %s", images->spec->path);
  const es_code_t code = reader->open != NULL ? reader->open(images, status) : ES_OK;
  if (code != ES_OK) es_images_close(images);
  return code;
}

void es_images_close(es_images_t *images) {
  if (images->state == NULL) return;
  const es_dataset_reader_t *reader = es_reader_of(images->spec->format);
  if (reader->close != NULL) reader->close(images);
  es_free(images->state);
  images->state = NULL;
}
