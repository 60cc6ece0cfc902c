/* What the files of this module share. */
#ifndef ES_EIGENSPACE_INTERNAL_H
#define ES_EIGENSPACE_INTERNAL_H

#include "eigenscope/status.h"
#include <stddef.h>
#include <stdint.h>

enum { ES_INFO_UNTOUCHED = -12345 }; /* what info starts at: a routine that never ran is not taken for success */

/* ES_BUG for a refused argument, ES_NUMERIC for what did not converge, each with the routine's name. */
es_code_t es_eigenspace_check_info(const char *routine, int info, int32_t width, es_status_t *status);

/* The largest of n_deltas k, 0 if none is positive. */
int32_t es_eigenspace_most(const int32_t *k, int n_deltas);

/* Doubles that a comparison of k₁ with k₂ vectors takes, without LAPACK's workspace. */
size_t es_eigenspace_compare_doubles(int32_t width, int32_t k1, int32_t k2);

#endif
