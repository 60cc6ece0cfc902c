/* Weight gradient of a convolution with a small map: for each tap, a product of two tall matrices, input and output
 * gradient, over the positions where the tap lies inside the map. oneDNN writes the sum of each lane to memory (9 MiB
 * for 512 × 512 channels), which takes longer than the arithmetic when a lane has 64 positions. Here the lanes of a
 * rank are multiplied and summed tile by tile in the cache, and each weight is written once. */
#ifndef ES_MODEL_CONV_SMALL_WEIGHTS_H
#define ES_MODEL_CONV_SMALL_WEIGHTS_H

#include "../unit.h"
#include "eigenscope/precision.h"

typedef struct es_small_weights es_small_weights_t;

/* Floats that a pass needs for `samples` samples of a rank with `lanes` lanes. */
size_t es_small_weights_floats(const es_node_t *node, int64_t samples, int lanes, es_precision_t precision);

/* `precision`: of the input and of the gradient. Returns NULL when out of memory. */
es_small_weights_t *es_small_weights_create(const es_unit_t *unit, es_precision_t precision);
void es_small_weights_destroy(es_small_weights_t *s);
/* Sets es_small_weights_floats(…, unit->samples, …) floats, in use until es_small_weights_finish; multiples of 64
 * bytes. */
void es_small_weights_set_memory(es_small_weights_t *s, const es_group_t *group, float *memory);
/* Call `begin` before a pass, `slice` for each slice in order, and `lane_end` after each lane, even an empty one. */
void es_small_weights_begin(es_small_weights_t *s);
void es_small_weights_slice(es_small_weights_t *s, const es_slice_t *slice, const void *x, const void *dy);
void es_small_weights_lane_end(es_small_weights_t *s);
/* Writes the tree sum over this rank's lanes (es_stack_t) to gradient (out, in, kernel, kernel) and bias (out), which
 * may be NULL. */
void es_small_weights_finish(es_small_weights_t *s, float *gradient, float *bias);

#endif
