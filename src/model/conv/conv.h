/* Our own convolution kernels, for shapes where oneDNN uses little of the machine. Each direction of a layer is
 * computed by the kernel measured to be fastest for its shape. conv.c has the table of our kernels; oneDNN computes the
 * rest (onednn/onednn_layers.c, which runs both). */
#ifndef ES_MODEL_CONV_H
#define ES_MODEL_CONV_H

#include "eigenscope/graph.h"
#include <stdbool.h>
#include <stddef.h>

typedef enum es_conv_direction {
  CONV_FORWARD,
  CONV_BACKWARD_DATA,
  CONV_BACKWARD_WEIGHTS,
  CONV_DIRECTIONS
} es_conv_direction_t;

/* Vector instructions that this process may use, weakest first: those of the CPU, limited by DNNL_MAX_CPU_ISA, so that
 * oneDNN's kernels and ours use the same. */
typedef enum es_conv_isa { CONV_BASELINE, CONV_AVX2, CONV_AVX512, CONV_ISAS } es_conv_isa_t;
es_conv_isa_t es_conv_isa(void); /* onednn/onednn.c */

/* One slice in one direction. Activations are NHWC; weights and their gradient are flat, in PyTorch's order (oihw). */
typedef struct es_conv_task {
  const es_node_t *node;
  int64_t count;        /* samples */
  const float *x, *dy;  /* the layer's input; the gradient of its output */
  float *y, *dx;        /* outputs of forward and of backward data */
  float *dw, *db;       /* outputs of backward weights: set for a lane's first slice, else added to */
  const float *weights; /* as `pack` wrote them; flat without `pack` */
  const float *bias;    /* bias and db may be NULL */
  float *scratch;
  bool first; /* first slice of its lane */
} es_conv_task_t;

/* A kernel for one direction. The bits of a sample's output depend only on the instruction set; the bits of a lane's
 * gradient depend also on how the lane is sliced. */
typedef struct es_conv_algorithm {
  /* Packs the weights each time they have changed. NULL: the kernel reads the flat weights. */
  size_t (*packed_floats)(const es_node_t *node);
  void (*pack)(float *packed, const float *weights, const es_node_t *node);
  /* Memory for one call of `run`; other layers reuse it. NULL: none. */
  size_t (*scratch_floats)(const es_node_t *node);
  /* NULL: the weight gradient is computed for all lanes of a pass at once (conv_small_weights.h). */
  void (*run)(const es_conv_task_t *task);
} es_conv_algorithm_t;

/* A row of the table. */
typedef struct es_conv_kernel {
  const char *name;
  /* Depends only on shape and instruction set, so that all ranks choose the same kernel. */
  bool (*applies)(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
  const es_conv_algorithm_t *forward, *backward_data, *backward_weights; /* NULL: the kernel lacks this direction */
  const char *measured; /* CPU and method of the measurement; the rates stand above the row */
} es_conv_kernel_t;

/* Returns our algorithm for this direction of a convolution; NULL if oneDNN's is the fastest. */
const es_conv_algorithm_t *es_conv_choose(const es_node_t *node, es_conv_direction_t direction);

/* ---- the kernels of the table, each in the file of its name ---- */

bool es_conv_winograd_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_winograd_forward, es_conv_winograd_data;

bool es_conv_small_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_small_forward, es_conv_small_data;

bool es_conv_small_weights_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_small_weights;

bool es_conv_narrow_applies(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
extern const es_conv_algorithm_t es_conv_narrow_forward, es_conv_narrow_data, es_conv_narrow_weights;

#endif
