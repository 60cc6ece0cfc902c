/* Helpers that the files of this module share. */
#ifndef ES_EIGENSPACE_INTERNAL_H
#define ES_EIGENSPACE_INTERNAL_H

#include <stdint.h>

/* Returns the largest of n_deltas k, 0 if none is positive. */
int32_t es_eigenspace_most(const int32_t *k, int n_deltas);

/* Two eigenspaces, for es_eigenspace_compare. Borrowed pointers. */
typedef struct es_pair {
  const es_leading_t *a, *b;
  int n_deltas;
  const es_watch_t *watch; /* asked between the steps; or NULL */
} es_pair_t;
/* As es_eigenspace_compare; ES_STOPPED if the watch says so. */
es_code_t es_eigenspace_compare_pair(double *overlap, double *angles, const es_pair_t *pair, es_status_t *status);

#endif
