#include "eigenscope/names.h"
#include "eigenscope/memory.h"

bool es_names_add(es_names_t *names, const char *name) {
  if (names->n == names->room) {
    const int64_t room = 2 * names->room + 16;
    char **items = es_reallocate(names->items, (size_t)room, sizeof *items);
    if (items == NULL) return false;
    names->items = items;
    names->room = room;
  }
  names->items[names->n] = es_duplicate(name);
  return names->items[names->n] != NULL && ++names->n > 0;
}

void es_names_destroy(es_names_t *names) {
  for (int64_t i = 0; i < names->n; i++) es_free(names->items[i]);
  es_free(names->items);
  *names = (es_names_t){0};
}
