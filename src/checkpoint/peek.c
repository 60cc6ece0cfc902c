/* How far a point under way has come: the header of its state alone, not the tensors, which may be large. */
#include "eigenscope/state.h"
#include "eigenscope/text.h"
#include <string.h>

int32_t es_state_epoch(const char *path, const char *point_id) {
  es_safetensors_t *file;
  int64_t epoch;
  if (es_safetensors_open(&file, path, &(es_status_t){0}) != ES_OK) return -1;
  const char *own = es_safetensors_metadata(file, "point_id"), *text = es_safetensors_metadata(file, "epoch");
  const bool known = own && strcmp(own, point_id) == 0 && text && es_text_to_int(text, &epoch);
  es_safetensors_destroy(file);
  return known && epoch >= 0 && epoch <= INT32_MAX ? (int32_t)epoch : -1;
}
