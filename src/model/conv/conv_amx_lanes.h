/* The gradient of the weights in bfloat16 for all lanes of a pass at once, for conv_small_weights.c; compiled on x86
 * only. A panel holds the packed operands of one slice. */
#ifndef ES_MODEL_CONV_AMX_LANES_H
#define ES_MODEL_CONV_AMX_LANES_H

#include "eigenscope/comm.h"
#include "eigenscope/graph.h"

size_t es_amx_panel_floats(const es_node_t *node);
/* Floats of a vector of the stack that es_amx_lanes_finish uses. */
size_t es_amx_group_floats(const es_node_t *node);
/* x, dy: `count` samples in NHWC. */
void es_amx_panel_pack(const es_node_t *node, float *panel, const uint16_t *x, const uint16_t *dy, int64_t count);
/* ends[l]: number of panels up to the end of lane l. Writes the tree sum over the lanes to gradient (out, in, tap) and
 * bias (out), which may be NULL. Memory of `sums` as es_stack_place wants it. */
void es_amx_lanes_finish(const es_node_t *node, const float *panels, float *sums, const int64_t *ends, int lanes,
                         float *gradient, float *bias);

#endif
