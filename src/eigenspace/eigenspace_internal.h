/* Helpers that the files of this module share. */
#ifndef ES_EIGENSPACE_INTERNAL_H
#define ES_EIGENSPACE_INTERNAL_H

#include <stdint.h>

/* Returns the largest of n_deltas k, 0 if none is positive. */
int32_t es_eigenspace_most(const int32_t *k, int n_deltas);

#endif
