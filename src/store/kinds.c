/* Instruction sets and libraries that computed the points of a sweep. */
#include "eigenscope/store.h"
#include <stdio.h>
#include <string.h>

void es_kind_name(char out[ES_KIND_SIZE], const char *onednn, const char *blas) {
  const int each = ES_KIND_SIZE / 2 - 8;
  snprintf(out, ES_KIND_SIZE, "%.*s and %.*s", each, onednn[0] != '\0' ? onednn : "an unknown oneDNN", each,
           blas[0] != '\0' ? blas : "an unknown BLAS");
  es_text_make_plain(out);
}

int es_kinds_add(es_kinds_t *kinds, const char *name) {
  int i = 0;
  while (i < kinds->n && i < ES_KINDS_MAX - 1 && strcmp(kinds->name[i], name) != 0) i++;
  if (i == kinds->n) snprintf(kinds->name[kinds->n++], ES_KIND_SIZE, "%s", i < ES_KINDS_MAX - 1 ? name : "others");
  kinds->count[i]++;
  return i;
}

void es_kinds_print(const es_kinds_t *kinds, es_text_t *out) {
  if (kinds->n < 2) return;
  es_text_append(out, "mixed: computed with %d instruction sets or libraries, so last bits may differ: ", kinds->n);
  for (int i = 0; i < kinds->n; i++)
    es_text_append(out, "%s%lld with %s", i > 0 ? "; " : "", (long long)kinds->count[i], kinds->name[i]);
  es_text_append(out, "\n");
}
