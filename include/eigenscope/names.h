/** A growing list of texts. Not collective. */
#ifndef EIGENSCOPE_NAMES_H
#define EIGENSCOPE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct es_names {
  char **items; /**< owned, each and all */
  int64_t n;
} es_names_t;

/** Appends a copy; false when memory is out. Start from a zeroed struct. */
bool es_names_add(es_names_t *names, const char *name);
void es_names_destroy(es_names_t *names);

#endif
