/* The table of our convolution kernels, with the measurements that decide where each is used. Rates are of one layer on
 * slices of 16 samples, on an Emerald Rapids with oneDNN 2.6.3; "AVX2" is the same CPU with DNNL_MAX_CPU_ISA=AVX2. */
#include "conv.h"

#define ONE_LAYER "Emerald Rapids, oneDNN 2.6.3, one layer on slices of 16; again: eigenscope bench train --profile "

/* For each direction, the first kernel that applies is used. */
static const es_conv_kernel_t kernels[] = {
    /* Microseconds forward of the next best kernel and of this one: 8 × 8 positions with 32 channels 101 and 77, 64:
     * 368 and 213, 128: 1080 and 750; 4 × 4: 64: 80 and 54, 128: 306 and 199, but 256: 1205 and 1413; 16 × 16: 32: 454
     * and 308, 64: 1160 and 869. In whole steps of VGG16 at width 1, where weights are not in the cache, 64 and 128
     * channels on maps from 16 × 16 save 3 % of the CPU time against oneDNN, and 256 on 8 × 8 another 3 %. oneDNN has
     * no such kernels for AVX2: there 8 × 8, 64: 797 and 346; 4 × 4, 128: 712 and 333. */
    {.name = "winograd",
     .applies = es_conv_winograd_applies,
     .forward = &es_conv_winograd_forward,
     .backward_data = &es_conv_winograd_data,
     .measured = ONE_LAYER "--widths 1/2,1"},
    /* Microseconds of oneDNN (forward, backward data) and of this kernel: 2 × 2 positions with 32 channels 11, 8 and 4;
     * 128: 126, 115 and 50; 512: 2034, 2303 and 1076. 4 × 4: 32: 36, 30 and 21; 128: 357, 357 and 308; 512: 5607, 6577
     * and 6071. 8 × 8: 32: 113, 99 and 97; 64: 408, 439 and 384; from 128 on Winograd kernels are faster. AVX2: 2 × 2,
     * 128: 207, 142 and 111; 4 × 4, 128: 822, 705 and 712; 8 × 8, 64: 797, 744 and 828. */
    {.name = "small",
     .applies = es_conv_small_applies,
     .forward = &es_conv_small_forward,
     .backward_data = &es_conv_small_data,
     .measured = ONE_LAYER "--widths 1/4,1"},
    /* Microseconds of this kernel and of oneDNN: 4 × 4 positions with 128 channels 327 and 513, 512: 5900 and 10500; 2
     * × 2: 63 and 269, 1100 and 7500; 8 × 8, 64: 409 and 469. */
    {.name = "small weights",
     .applies = es_conv_small_weights_applies,
     .backward_weights = &es_conv_small_weights,
     .measured = ONE_LAYER "--widths 1/4,1"},
    /* GFLOP/s forward, backward weights and backward data (in parentheses oneDNN's): 3 → 4 channels on 32 × 32 110, 90
     * (25, 25), 4 → 4 108, 100, 130 (28, 28, 45), 3 → 8 104, 87 (47, 48), 8 → 8 117, 103, 150 (63, 65, 88); 4 → 8 on 16
     * × 16 121, 98, 140 (46, 55, 50), 8 → 8 137, 107, 150 (59, 65, 100), 8 → 16 146, -, 162 (118, -, 98). oneDNN
     * is as fast from fewer channels on with AVX2, and from more channels on with SSE. */
    {.name = "narrow",
     .applies = es_conv_narrow_applies,
     .forward = &es_conv_narrow_forward,
     .backward_data = &es_conv_narrow_data,
     .backward_weights = &es_conv_narrow_weights,
     .measured = ONE_LAYER "--widths 1/16,1/8"},
};

const es_conv_algorithm_t *es_conv_choose(const es_node_t *node, es_conv_direction_t direction) {
  if (node->op != ES_OP_CONV) return NULL;
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    const es_conv_kernel_t *k = &kernels[i];
    const es_conv_algorithm_t *const algorithms[CONV_DIRECTIONS] = {k->forward, k->backward_data, k->backward_weights};
    if (algorithms[direction] && k->applies(node, direction, es_conv_isa())) return algorithms[direction];
  }
  return NULL;
}
