/** A growing list of texts. Not collective. */
#ifndef EIGENSCOPE_NAMES_H
#define EIGENSCOPE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct es_names {
  char **items; /**< owned, with every string */
  int64_t n;
} es_names_t;

/** Appends a copy; false if out of memory. Initialise with zeros. */
bool es_names_add(es_names_t *names, const char *name);
void es_names_destroy(es_names_t *names);

#endif
