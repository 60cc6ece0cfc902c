/* Convolutions by kernels of our own, where oneDNN's leave much of the machine idle. Each direction of a layer is
 * computed in one way or another, whichever was measured to be the fastest; what is not listed in conv.c is oneDNN's
 * (onednn_layers.c, which runs the ways). */
#ifndef ES_MODEL_CONV_H
#define ES_MODEL_CONV_H

#include "eigenscope/graph.h"
#include <stdbool.h>
#include <stddef.h>

typedef enum conv_direction {
  CONV_FORWARD,
  CONV_BACKWARD_DATA,
  CONV_BACKWARD_WEIGHTS,
  CONV_DIRECTIONS
} es_conv_direction_t;

/* Vector instructions that this process may use, weakest first: what the CPU has, less what DNNL_MAX_CPU_ISA takes
 * away, so that oneDNN's kernels and ours agree. */
typedef enum es_conv_isa { CONV_BASELINE, CONV_AVX2, CONV_AVX512, CONV_ISAS } conv_isa_t;
conv_isa_t es_conv_isa(void); /* onednn.c */

/* One slice in one direction. Activations are NHWC; weights and their gradient flat, as PyTorch has them (oihw). What
 * the direction does not need is NULL. */
typedef struct conv_task {
  const es_node_t *node;
  int64_t count;        /* samples */
  const float *x, *dy;  /* the layer's input; the gradient of its output */
  float *y, *dx;        /* what forward and backward data write */
  float *dw, *db;       /* what backward weights writes for the first slice of a lane and adds to for the others */
  const float *weights; /* as `pack` left them; flat if there is no `pack` */
  const float *bias;    /* or NULL, as db */
  float *scratch, *lane;
  bool first; /* slice of its lane */
} es_conv_task_t;

/* A way to compute one direction. The bits may depend on the instruction set; those of a sample's output on nothing
 * else, those of a lane's gradient on its slices. */
typedef struct conv_way {
  /* By shape and instruction set alone, so that all ranks choose alike. */
  bool (*wanted)(const es_node_t *node, conv_isa_t isa);
  /* Weights for the kernel, each time they have changed. NULL: it takes the flat ones. */
  size_t (*packed_floats)(const es_node_t *node);
  void (*pack)(float *packed, const float *weights, const es_node_t *node);
  /* Memory for one call of `run` or `lane_end`, then for other layers. NULL: none. */
  size_t (*scratch_floats)(const es_node_t *node);
  /* Backward weights: memory that is kept from the first slice of a lane to its end. NULL: none. */
  size_t (*lane_floats)(const es_node_t *node);
  void (*run)(const es_conv_task_t *task);
  /* Backward weights: after the last slice of a lane that has slices; dw and db are complete on return. NULL: they are
   * anyway. */
  void (*lane_end)(const es_conv_task_t *task);
} es_conv_algorithm_t;

/* Our own way to compute this direction of a convolution; NULL: oneDNN's is the best there is. */
const es_conv_algorithm_t *es_conv_choose(const es_node_t *node, es_conv_direction_t direction);

#endif
