/* What states and weights share. */
#ifndef ES_CHECKPOINT_INTERNAL_H
#define ES_CHECKPOINT_INTERNAL_H

#include "eigenscope/comm.h"
#include <stdint.h>

/* state.c: rank 0's floats to all; `data` may be NULL. Collective over the group. */
void es_share_floats(float *data, int64_t n, const es_group_t *group);

#endif
