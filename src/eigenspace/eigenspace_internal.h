/* Helpers that the files of this module share. */
#ifndef ES_EIGENSPACE_INTERNAL_H
#define ES_EIGENSPACE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* The largest of n_deltas k, 0 if none is positive. */
int32_t es_eigenspace_most(const int32_t *k, int n_deltas);

/* Doubles that a comparison of k₁ with k₂ vectors takes, without LAPACK's workspace. */
size_t es_eigenspace_compare_doubles(int32_t width, int32_t k1, int32_t k2);

#endif
