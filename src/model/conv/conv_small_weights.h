/* The gradient of the weights of a convolution whose map is small: a product of two tall matrices for each tap, input
 * and gradient of the output, over the positions where the tap lies on the map. oneDNN writes the sum of each lane to
 * memory (9 MiB for 512 × 512 channels), which takes longer than the arithmetic when a lane has 64 positions. Here the
 * lanes of a rank are multiplied and added up tile by tile, in the cache, and each weight is written once. */
#ifndef ES_MODEL_CONV_SMALL_WEIGHTS_H
#define ES_MODEL_CONV_SMALL_WEIGHTS_H

#include "unit.h"

typedef struct es_small_weights es_small_weights_t;

/* Floats of memory that a pass needs for `samples` of a rank with that many lanes. */
size_t es_small_weights_floats(const es_node_t *node, int64_t samples, int lanes);

/* NULL when memory is out. */
es_small_weights_t *es_small_weights_create(const es_unit_t *unit);
void es_small_weights_destroy(es_small_weights_t *s);
/* es_small_weights_floats(…, unit->samples, …) floats, good until es_small_weights_finish; multiples of 64 bytes. */
void es_small_weights_set_memory(es_small_weights_t *s, const es_group_t *group, float *memory);
/* At the start of a pass; then for each slice, in order; at the end of each lane, also an empty one. */
void es_small_weights_begin(es_small_weights_t *s);
void es_small_weights_slice(es_small_weights_t *s, const es_slice_t *slice, const float *x, const float *dy);
void es_small_weights_lane_end(es_small_weights_t *s);
/* The sum over this rank's lanes, in the shape of the tree (es_stack_t), to gradient (out, in, kernel, kernel) and
 * bias (out), which may be NULL. */
void es_small_weights_finish(es_small_weights_t *s, float *gradient, float *bias);

#endif
