/* Convolutions by kernels of our own, where oneDNN's leave much of the machine idle. Each direction of a layer is
 * computed by the kernel that was measured to be the fastest for its shape. conv.c has the table of our kernels; what
 * none of them applies to is oneDNN's (onednn/onednn_layers.c, which runs both). */
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

/* Vector instructions that this process may use, weakest first: what the CPU has, less what DNNL_MAX_CPU_ISA takes
 * away, so that oneDNN's kernels and ours agree. */
typedef enum es_conv_isa { CONV_BASELINE, CONV_AVX2, CONV_AVX512, CONV_ISAS } es_conv_isa_t;
es_conv_isa_t es_conv_isa(void); /* onednn/onednn.c */

/* One slice in one direction. Activations are NHWC; weights and their gradient flat, as PyTorch has them (oihw). */
typedef struct es_conv_task {
  const es_node_t *node;
  int64_t count;        /* samples */
  const float *x, *dy;  /* the layer's input; the gradient of its output */
  float *y, *dx;        /* what forward and backward data write */
  float *dw, *db;       /* what backward weights writes for the first slice of a lane and adds to for the others */
  const float *weights; /* as `pack` left them; flat if there is no `pack` */
  const float *bias;    /* or NULL, as db */
  float *scratch;
  bool first; /* slice of its lane */
} es_conv_task_t;

/* How a kernel computes one direction. The bits may depend on the instruction set; those of a sample's output on
 * nothing else, those of a lane's gradient on its slices. */
typedef struct es_conv_algorithm {
  /* Weights for the kernel, each time they have changed. NULL: it reads the flat ones. */
  size_t (*packed_floats)(const es_node_t *node);
  void (*pack)(float *packed, const float *weights, const es_node_t *node);
  /* Memory for one call of `run`, then for other layers. NULL: none. */
  size_t (*scratch_floats)(const es_node_t *node);
  /* NULL: the gradient of the weights is computed for all lanes of a pass at once (conv_small_weights.h). */
  void (*run)(const es_conv_task_t *task);
} es_conv_algorithm_t;

/* A row of the table. */
typedef struct es_conv_kernel {
  const char *name;
  /* By shape and instruction set alone, so that all ranks choose alike. */
  bool (*applies)(const es_node_t *node, es_conv_direction_t direction, es_conv_isa_t isa);
  const es_conv_algorithm_t *forward, *backward_data, *backward_weights; /* NULL: the kernel has none */
  const char *measured; /* on which CPU and how; the rates stand beside the row */
} es_conv_kernel_t;

/* Our own algorithm for this direction of a convolution; NULL: oneDNN's is the best there is. */
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
