/* The list of arrays that readers fill, and the names of arrays. */
#include "activations_internal.h"
#include "eigenscope/memory.h"
#include "eigenscope/text.h"
#include <string.h>

int es_name_compare(const char *a, const char *b) {
  static const char digits[] = "0123456789";
  const char *left = a, *right = b;
  while (*left != '\0' && *right != '\0') {
    if (strspn(left, digits) > 0 && strspn(right, digits) > 0) {
      left += strspn(left, "0");
      right += strspn(right, "0");
      const size_t n_left = strspn(left, digits), n_right = strspn(right, digits);
      if (n_left != n_right) return n_left < n_right ? -1 : 1;
      int order = memcmp(left, right, n_left);
      if (order != 0) return order;
      left += n_left;
      right += n_right;
    } else if (*left != *right) {
      return (unsigned char)*left < (unsigned char)*right ? -1 : 1;
    } else {
      left++;
      right++;
    }
  }
  if (*left != *right) return *left == '\0' ? -1 : 1;
  return strcmp(a, b); /* "1" and "01" are equal as numbers */
}

char *es_name_dotted(const char *place) {
  char *name = es_duplicate(place + strspn(place, "/"));
  for (char *c = name; c != NULL && *c != '\0'; c++) {
    if (*c == '/') *c = '.';
  }
  return name;
}

es_array_t *es_array_add(es_activations_t *file, const char *place, const char *where, es_status_t *status) {
  es_array_t *arrays = es_make_room(file->arrays, file->n_arrays, sizeof *arrays);
  if (arrays != NULL) {
    file->arrays = arrays;
    es_array_t *array = arrays + file->n_arrays++;
    *array = (es_array_t){.name = es_name_dotted(place), .where = es_duplicate(where), .chunk = 1, .handle = -1};
    if (array->name != NULL && array->where != NULL) return array;
  }
  es_out_of_memory(status, "data", "reading %s", file->path);
  return NULL;
}
