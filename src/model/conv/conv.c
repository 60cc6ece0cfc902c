/* The table of our convolution kernels, with the measurements that decide where each is used. Rates are of one layer on
 * slices of 16 samples, on an Emerald Rapids with oneDNN 2.6.3; "AVX2" is the same CPU with DNNL_MAX_CPU_ISA=AVX2.
 * Nothing was measured on ARM: NEON has AVX2's limits, and those without AVX for "narrow", where vectors are as short.
 */
#include "conv.h"
#include "eigenscope/kernel.h"
#include <assert.h>
#include <stdio.h>

#define ONE_LAYER      "Emerald Rapids, oneDNN 2.6.3, one layer on slices of 16; again: eigenscope bench train --profile "
#define BFLOAT16_LAYER "Emerald Rapids, oneDNN 2.6.3, one layer in bfloat16 on slices of 16"

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
    /* Microseconds of oneDNN and of this kernel, in parentheses both in bfloat16: 7 × 7 taps, 96 channels on 32 × 32
     * positions 15500 and 2900 (63200 and 2780), 24 on 8 × 8 256 and 44 (796 and 60); 5 × 5, 72 on 16 × 16, stride 2
     * 529 and 102 (4030 and 136), 120 on 8 × 8 867 and 117 (5090 and 130), 336 on 4 × 4 1970 and 78 (7030 and 81), 576
     * on 2 × 2 2800 and 61 (6090 and 62). 3 × 3 on 32 × 32, 96 channels: 234 and 2200, but 576 on 2 × 2 670 and 35. */
    {.name = "depthwise",
     .any_window = true,
     .applies = es_conv_depthwise_applies,
     .backward_weights = &es_conv_depthwise_weights,
     .measured = "Emerald Rapids, oneDNN 2.6.3, one layer on slices of 16"},
    {.precision = ES_BFLOAT16,
     .any_window = true,
     .applies = es_conv_depthwise_applies,
     .backward_weights = &es_conv_depthwise_weights_bfloat16,
     .measured = BFLOAT16_LAYER},
#ifdef ES_KERNEL_TARGETS
    /* Microseconds of oneDNN and of this kernel, both in bfloat16: forward 3 → 4 channels on 32 × 32 positions 58 and
     * 16, 4 → 4 68 and 13, 8 → 8 61 and 29; 1 → 64 on 28 × 28 298 and 211; 4 → 8 on 16 × 16 28 and 8, 8 → 16 17 and 14;
     * input gradient 4 → 4 on 32 × 32 79 and 13, 8 → 8 80 and 29; 8 → 8 on 16 × 16 30 and 7, 16 → 16 31 and 20; on 8 ×
     * 8 17 and 6. Not on 32 × 32 3 → 16 forward 57 and 60, 16 → 16 83 and 96. */
    {.name = "AMX narrow",
     .precision = ES_BFLOAT16,
     .applies = es_conv_amx_narrow_applies,
     .forward = &es_conv_amx_narrow_forward,
     .backward_data = &es_conv_amx_narrow_data,
     .measured = BFLOAT16_LAYER},
    /* Microseconds forward of oneDNN and of this kernel: 16 → 16 channels on 4 × 4 positions 3.5 and 2.7, 64 → 64 16
     * and 8, 512 → 512 3135 and 679; on 2 × 2 64 → 64 11 and 1.6, 512 → 512 2924 and 216; on 8 × 8 256 → 256 775 and
     * 594, but 64 → 64 44 and 41. Input gradient on 8 × 8 32 → 32 23 and 13, 64 → 64 61 and 41, 256 → 256 1034 and 597;
     * on 4 × 4 512 → 512 3853 and 622; on 2 × 2 2990 and 212; stride 2 from 32 × 32 64 → 128 1370 and 591, from 8 × 8
     * 256 → 512 2584 and 435; kernels of one tap 64 → 64 on 8 × 8 21 and 16. */
    {.name = "AMX small",
     .precision = ES_BFLOAT16,
     .applies = es_conv_amx_small_applies,
     .forward = &es_conv_amx_small_forward,
     .backward_data = &es_conv_amx_small_data,
     .measured = BFLOAT16_LAYER},
    /* Microseconds of oneDNN, of the next row and of this one for a slice, four lanes of one slice: 64 → 64 channels on
     * 8 × 8 positions 178, 76 and 67; on 4 × 4 105, 22 and 17; on 2 × 2 74, 16 and 10; 512 → 512 on 4 × 4 9370, 2790
     * and 1260, on 2 × 2 7050, 2210 and 700. Not 256 → 256 on 8 × 8: 2700, 1160 and 1250. */
    {.name = "AMX lanes",
     .precision = ES_BFLOAT16,
     .applies = es_conv_amx_lanes_applies,
     .backward_weights = &es_conv_amx_lanes,
     .measured = BFLOAT16_LAYER},
    /* Microseconds of oneDNN and of this kernel: 3 → 4 channels on 32 × 32 positions 157 and 39, 4 → 4 158 and 40, 8 →
     * 8 163 and 56, 16 → 16 169 and 91, 64 → 64 1780 and 1150; on 16 × 16 8 → 8 44 and 14, 16 → 16 50 and 25, 32 → 32
     * 140 and 63, 128 → 128 1790 and 1040; 256 → 256 on 8 × 8 2920 and 1105; stride 2 from 32 × 32 64 → 128 1700 and
     * 760; kernels of one tap 32 → 96 on 16 × 16 131 and 80, stride 2 from 32 × 32 16 → 32 89 and 34; 7 × 7 taps,
     * stride 2, 3 → 64 on 64 × 64 2270 and 610. */
    {.name = "AMX weights",
     .precision = ES_BFLOAT16,
     .applies = es_conv_amx_weights_applies,
     .backward_weights = &es_conv_amx_weights,
     .measured = BFLOAT16_LAYER},
#endif
};

const char *es_conv_names(void) {
  static char text[256];
  size_t used = 0;
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    if (!kernels[i].name || (kernels[i].precision == ES_BFLOAT16 && es_conv_isa() != CONV_AMX)) continue;
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : "", kernels[i].name);
  }
  assert(used < sizeof text);
  return text;
}

static bool is_usual(const es_node_t *node) {
  return es_node_is_square(node) && node->padding <= node->kernel / 2;
}

const es_conv_algorithm_t *es_conv_choose(const es_node_t *node, es_conv_direction_t direction,
                                          es_precision_t precision) {
  if (node->op != ES_OP_CONV) return NULL;
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    const es_conv_kernel_t *k = &kernels[i];
    const es_conv_algorithm_t *const algorithms[CONV_DIRECTIONS] = {k->forward, k->backward_data, k->backward_weights};
    if (k->precision != precision || !algorithms[direction] || !(k->any_window || is_usual(node))) continue;
    if (k->applies(node, direction, es_conv_isa())) return algorithms[direction];
  }
  return NULL;
}

/* True if a tap lies outside the map at all positions of an axis. */
static bool idles(int in, int out, int kernel, int stride, int padding, int dilation) {
  for (int tap = 0; tap < kernel; tap++) {
    bool used = false;
    for (int i = 0; i < out && !used; i++) {
      const int at = i * stride - padding + tap * dilation;
      used = at >= 0 && at < in;
    }
    if (!used) return true;
  }
  return false;
}

/* Convolutions for which oneDNN 2.6.3 has no good kernel in bfloat16: groups of other than multiples of 16 channels
 * take longer than in float32 (32 groups of 4 on 32 × 32 positions 5150 µs forward and 3040, of 8 on 16 × 16 600 and
 * 335), and its weight gradient with AMX does not set taps that lie outside the map at all positions. */
bool es_conv_widens(const es_node_t *n) {
  if (n->op != ES_OP_CONV) return false;
  const int32_t in = n->in.c / n->groups, out = n->out.c / n->groups;
  if ((n->groups > 1 && in == 1 && out == 1) || es_conv_choose(n, CONV_BACKWARD_WEIGHTS, ES_BFLOAT16)) return false;
  const bool narrow = n->groups > 1 && (in % 16 != 0 || out % 16 != 0);
  return narrow || (es_conv_isa() == CONV_AMX &&
                    (idles(n->in.h, n->out.h, n->kernel, n->stride, n->padding, n->dilation) ||
                     idles(n->in.w, n->out.w, n->kernel_w, n->stride_w, n->padding_w, n->dilation_w)));
}
