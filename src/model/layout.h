/* Steps of a pass and memory of their values. The layout needs only the graph, so that the memory of a model is known
 * before the model is created. */
#ifndef ES_MODEL_LAYOUT_H
#define ES_MODEL_LAYOUT_H

#include "unit.h"

/* A node that runs, together with the nodes that run in the same pass: the ReLU after a batch norm or a sum, and after
 * a batch norm also the max pooling of 2 × 2. Step 0 is the input. */
typedef struct es_step {
  const es_node_t *node;
  const es_node_t *last;        /* the node whose output the step stores */
  const es_unit_class_t *class; /* unit that runs the node */
  es_activation_t activation;
  bool pools;
  bool renewed;                /* training: the output is not stored; backward recomputes it per slice */
  es_shape_t shape;            /* of the output */
  int32_t in[2];               /* steps whose output it reads, or −1 */
  int32_t first_use, last_use; /* steps that read the output; the loss counts as step n_steps */
  int32_t out, gradient;       /* buffers of the output and of its gradient (−1 for the input) */
  /* Backward: buffer for the gradient of in[i], or −1 if it is not needed. If a later step already wrote the gradient
   * of in[i], this step writes to a separate buffer and `adds`. A sum may have its own gradient's buffer here. */
  int32_t in_gradient[2];
  bool adds[2];
} es_step_t;

/* Whole: for all samples of a rank; else for one slice, and each slice reuses it. */
typedef struct es_buffer {
  int64_t size; /* numbers per sample */
  bool whole;
} es_buffer_t;

typedef struct es_layout {
  int32_t n_steps, n_buffers;
  es_step_t *steps;     /* owned */
  es_buffer_t *buffers; /* owned */
} es_layout_t;

/* Borrows the graph. Returns ES_SYSTEM when out of memory. */
es_code_t es_layout_create(es_layout_t *out, const es_graph_t *graph, bool training, es_status_t *status);
void es_layout_destroy(es_layout_t *layout);
/* True for max pooling of 2 × 2 positions with stride 2 and no padding, which drops a last odd row. */
static inline bool es_node_halves(const es_node_t *node) {
  return node->op == ES_OP_MAXPOOL && es_node_is_square(node) && node->kernel == 2 && node->stride == 2 &&
         node->padding == 0 && node->out.h == node->in.h / 2 && node->out.w == node->in.w / 2;
}
/* True if the step is a barrier: all samples must arrive before a pass continues. */
static inline bool es_step_waits(const es_step_t *step) {
  return step->class->synchronise != NULL;
}
/* Numbers per sample of the largest layer whose output is not stored, because nodes after it join its step; or 0. */
int64_t es_layout_hidden(const es_layout_t *layout);
/* Bytes of all buffers for `samples` samples of a rank. */
int64_t es_layout_bytes(const es_layout_t *layout, int64_t samples, es_precision_t precision);

#endif
