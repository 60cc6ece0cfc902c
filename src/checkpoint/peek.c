/* How far a point under way has come: the metadata of its state alone, not the tensors, which may be large. */
#include "eigenscope/file.h"
#include "eigenscope/memory.h"
#include "eigenscope/state.h"
#include "eigenscope/text.h"
#include "format.h"
#include "json.h"
#include <stdio.h>
#include <string.h>

/* The header, zero-terminated; NULL when there is none. The caller's. */
static char *read_header(FILE *file, size_t *size) {
  unsigned char bytes[FORMAT_LENGTH_BYTES];
  uint64_t length = 0;
  if (fread(bytes, 1, sizeof bytes, file) != sizeof bytes) return NULL;
  for (int i = FORMAT_LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | bytes[i];
  if (length > FORMAT_HEADER_MAX) return NULL;
  char *header = es_allocate((size_t)length + 1, 1);
  if (header == NULL || fread(header, 1, (size_t)length, file) == length) {
    *size = (size_t)length;
    return header;
  }
  es_free(header);
  return NULL;
}

/* The epoch that the metadata give, if they are of this point. Our writer puts them first. */
static int32_t find_epoch(json_t *json, const char *point_id) {
  bool first = true, own = false;
  int64_t epoch = -1;
  if (!json_expect(json, '{')) return -1;
  const char *name = json_string(json);
  if (name == NULL || strcmp(name, FORMAT_METADATA_KEY) != 0 || !json_expect(json, ':') || !json_expect(json, '{'))
    return -1;
  while (json_next(json, '}', &first)) {
    const char *key = json_string(json);
    const char *value = key != NULL && json_expect(json, ':') ? json_string(json) : NULL;
    if (value == NULL) break;
    if (strcmp(key, "point_id") == 0) own = strcmp(value, point_id) == 0;
    if (strcmp(key, "epoch") == 0 && !es_text_to_int(value, &epoch)) epoch = -1;
  }
  return own && json->error == NULL && epoch >= 0 && epoch <= INT32_MAX ? (int32_t)epoch : -1;
}

int32_t es_state_epoch(const char *path, const char *point_id) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  size_t size;
  char *header = read_header(file, &size);
  fclose(file);
  if (header == NULL) return -1;
  const int32_t epoch = find_epoch(&(json_t){.text = header, .size = size}, point_id);
  es_free(header);
  return epoch;
}
