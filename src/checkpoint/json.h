/* The little of JSON that a safetensors header consists of, read strictly (RFC 8259): objects, arrays, strings and
 * whole numbers. A reader goes forward over text that it owns; the first error stays and every later call fails. */
#ifndef ES_CHECKPOINT_JSON_H
#define ES_CHECKPOINT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct json {
  char *text; /* borrowed; strings are decoded in place; a zero follows it */
  size_t size, at;
  const char *error; /* what would be right, static storage; NULL while there is none */
} es_json_t;

/* Steps over `symbol` (blanks before it are skipped) or fails, saying that it was expected. */
bool es_json_expect(es_json_t *json, char symbol);
/* Steps over `symbol` if it comes next; no error otherwise. */
bool es_json_accept(es_json_t *json, char symbol);
/* Goes to the next item of an object or array that ends with `close`: true when there is one. `first` starts as true
 * and is the caller's to keep. */
bool es_json_next(es_json_t *json, char close, bool *first);
/* A string, UTF-8 and zero-terminated in place; NULL on failure. Borrowed from the text. */
const char *es_json_string(es_json_t *json);
/* A whole number ≥ 0 that fits. */
bool es_json_whole(es_json_t *json, int64_t *out);
/* Only blanks are left. */
bool es_json_end(es_json_t *json);

#endif
