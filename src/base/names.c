#include "eigenscope/names.h"
#include "eigenscope/memory.h"

bool es_names_add(es_names_t *names, const char *name) {
  char **items = es_make_room(names->items, names->n, sizeof *items);
  if (items == NULL) return false;
  names->items = items;
  names->items[names->n] = es_duplicate(name);
  return names->items[names->n] != NULL && ++names->n > 0;
}

void es_names_destroy(es_names_t *names) {
  for (int64_t i = 0; i < names->n; i++) es_free(names->items[i]);
  es_free(names->items);
  *names = (es_names_t){0};
}
