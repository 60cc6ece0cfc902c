/* Our own convolution kernels, for shapes where oneDNN uses little of the machine. Each direction of a layer is
 * computed by the kernel measured to be fastest for its shape. conv.c has the table of our kernels; oneDNN computes the
 * rest (onednn/onednn_layers.c, which runs both). */
#ifndef ES_MODEL_CONV_H
#define ES_MODEL_CONV_H

#include "eigenscope/graph.h"
#include "eigenscope/precision.h"
#include <stdbool.h>
#include <stddef.h>

typedef enum es_conv_direction {
  CONV_FORWARD,
  CONV_BACKWARD_DATA,
  CONV_BACKWARD_WEIGHTS,
  CONV_DIRECTIONS
} es_conv_direction_t;

/* Vector instructions that this process may use: those of the CPU, limited by DNNL_MAX_CPU_ISA, so that oneDNN's
 * kernels and ours use the same. Each set of x86 includes those before it; CONV_AMX has bfloat16. On ARM always NEON,
 * even where oneDNN's kernels use SVE. */
typedef enum es_conv_isa { CONV_BASELINE, CONV_NEON, CONV_AVX2, CONV_AVX512, CONV_AMX, CONV_ISAS } es_conv_isa_t;
es_conv_isa_t es_conv_isa(void); /* onednn/onednn.c */

/* One slice in one direction. Activations and their gradients are NHWC, float or bfloat16 (uint16_t), as the kernel's
 * row of the table says; weights and their gradient are flat floats, in PyTorch's order (oihw). */
typedef struct es_conv_task {
  const es_node_t *node;
  int64_t count;        /* samples */
  const void *x, *dy;   /* the layer's input; the gradient of its output */
  void *y, *dx;         /* outputs of forward and of backward data */
  float *dw, *db;       /* outputs of backward weights: set for a lane's first slice, else added to */
  const float *weights; /* as `pack` wrote them; flat without `pack` */
  const float *bias;    /* bias and db may be NULL */
  float *scratch;
  bool first; /* first slice of its lane */
} es_conv_task_t;

/* A kernel for one direction. The bits of a sample's output depend only on the instruction set; the bits of a lane's
 * gradient depend also on how the lane is sliced. */
typedef struct es_conv_algorithm {
  /* Packs the weights each time they have changed. NULL: the kernel reads the flat weights. The packed weights may be
   * of any type; their size is in floats. */
  size_t (*packed_floats)(const es_node_t *node);
  void (*pack)(float *packed, const float *weights, const es_node_t *node);
  /* Memory for one call of `run`; other layers reuse it. NULL: none. */
  size_t (*scratch_floats)(const es_node_t *node);
  /* NULL: the weight gradient is computed for all lanes of a pass at once (conv_small_weights.h). */
  void (*run)(const es_conv_task_t *task);
} es_conv_algorithm_t;

/* A row of the table. */
typedef struct es_conv_kernel {
  const char *name;         /* NULL: another precision of the row before */
  es_precision_t precision; /* of activations and their gradients */
  bool any_window; /* false: only windows that are equal on both axes, undilated, with padding up to kernel/2 */
  /* Depends only on shape and instruction set, so that all ranks choose the same kernel. */
  bool (*applies)(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
  const es_conv_algorithm_t *forward, *backward_data, *backward_weights; /* NULL: the kernel lacks this direction */
  const char *measured; /* CPU and method of the measurement; the rates stand above the row */
} es_conv_kernel_t;

/* Returns our algorithm for this direction of a convolution; NULL if oneDNN's is the fastest. */
const es_conv_algorithm_t *es_conv_choose(const es_node_t *node, es_conv_direction_t direction,
                                          es_precision_t precision);

/* True if a convolution of bfloat16 activations runs in float32 (emulate.c), because oneDNN has no good kernel. */
bool es_conv_widens(const es_node_t *node);

/* "winograd, small, ...": the names of our kernels that this CPU can run. Static storage. */
const char *es_conv_names(void);

/* ---- the kernels of the table, each in the file of its name ---- */

bool es_conv_winograd_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_winograd_forward, es_conv_winograd_data;

bool es_conv_small_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_small_forward, es_conv_small_data;

bool es_conv_small_weights_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_small_weights;

bool es_conv_narrow_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_narrow_forward, es_conv_narrow_data, es_conv_narrow_weights;

bool es_conv_depthwise_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_depthwise_weights, es_conv_depthwise_weights_bfloat16;

/* bfloat16, on x86 only. */
bool es_conv_amx_narrow_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_amx_narrow_forward, es_conv_amx_narrow_data;

bool es_conv_amx_small_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_amx_small_forward, es_conv_amx_small_data;

bool es_conv_amx_lanes_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
bool es_conv_amx_weights_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_amx_lanes, es_conv_amx_weights;

/* Returns the row (or column) of the source that result row `at` reads at tap offset `shift`, where the source has
 * `end` rows; −1: outside the map. Backward, the source is the output's gradient. */
static inline int es_conv_source(const es_node_t *node, bool backward, int at, int shift, int end) {
  const int stride = node->stride;
  int i = backward ? at - shift : at * stride + shift;
  if (backward && stride > 1) {
    if (i % stride) return -1;
    i /= stride;
  }
  return i < end ? i : -1;
}

#endif
