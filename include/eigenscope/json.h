/** The subset of JSON that our files and safetensors headers use, read strictly (RFC 8259): objects, arrays, strings
 * and numbers. A reader moves forward over its text. After the first error, every later call fails. */
#ifndef EIGENSCOPE_JSON_H
#define EIGENSCOPE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct json {
  char *text; /* borrowed; strings are decoded in place; a zero follows it */
  size_t size, at;
  const char *error; /* what was expected, static storage; NULL without an error */
} es_json_t;

/* Consumes `symbol`, after blanks, or fails with a message that it was expected. */
bool es_json_expect(es_json_t *json, char symbol);
/* Consumes `symbol` if it comes next; otherwise returns false without an error. */
bool es_json_accept(es_json_t *json, char symbol);
/* Moves to the next item of an object or array that ends with `close`; returns true if there is one. The caller keeps
 * `first`, which starts as true. */
bool es_json_next(es_json_t *json, char close, bool *first);
/* Reads a string, UTF-8 and zero-terminated in place; returns NULL on failure. Borrowed from the text. */
const char *es_json_string(es_json_t *json);
/* Reads a whole number ≥ 0 that fits. */
bool es_json_whole(es_json_t *json, int64_t *out);
/* Reads a number; null is NaN. */
bool es_json_number(es_json_t *json, double *out);
/* True if only blanks are left. */
bool es_json_end(es_json_t *json);

#endif
