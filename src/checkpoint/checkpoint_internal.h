/* Shared by states and weights. */
#ifndef ES_CHECKPOINT_INTERNAL_H
#define ES_CHECKPOINT_INTERNAL_H

#include "eigenscope/comm.h"
#include "eigenscope/graph.h"
#include "eigenscope/model.h"

/* state.c: broadcasts rank 0's weights and running statistics. Collective over the group. */
void es_share_model(es_model_t *model, const es_graph_t *graph, const es_group_t *group);

#endif
