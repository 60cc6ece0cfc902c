#ifndef ES_MODEL_ONEDNN_ROWS_H
#define ES_MODEL_ONEDNN_ROWS_H

#include "conv.h"

/* The algorithm for one direction of a linear layer at each position; NULL if a primitive of oneDNN runs it. */
const es_conv_algorithm_t *es_onednn_rows_choose(const es_node_t *node, es_conv_direction_t direction,
                                                 es_precision_t precision);

#endif
