#include "conv.h"
#include "conv_narrow.h"
#include "conv_planar.h"
#include "conv_small.h"
#include "conv_winograd.h"
#include "eigenscope/kernel.h"

/* Of each direction the first that is wanted is taken. */
enum { WAYS_MOST = 3 };
static const es_conv_algorithm_t *const ways[CONV_DIRECTIONS][WAYS_MOST] = {
    [CONV_FORWARD] = {&es_conv_winograd_forward, &es_conv_small_forward, &es_conv_narrow_forward},
    [CONV_BACKWARD_DATA] = {&es_conv_winograd_backward_data, &es_conv_small_backward_data, &es_conv_narrow_data},
    [CONV_BACKWARD_WEIGHTS] = {&es_conv_narrow_weights}};

const es_conv_algorithm_t *es_conv_choose(const es_node_t *node, es_conv_direction_t direction) {
  if (node->op != ES_OP_CONV) return NULL;
  for (int i = 0; i < WAYS_MOST && ways[direction][i]; i++) {
    if (ways[direction][i]->wanted(node, es_conv_isa())) return ways[direction][i];
  }
  return NULL;
}

const es_conv_planar_t *es_conv_planar(conv_isa_t isa) {
#ifdef ES_KERNEL_TARGETS
  if (isa == CONV_AVX512) return &es_conv_planar_avx512;
  if (isa == CONV_AVX2) return &es_conv_planar_avx2;
#endif
  (void)isa;
  return &es_conv_planar_baseline;
}
