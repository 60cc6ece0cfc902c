/* The steps of a pass and the memory of their values: made from a graph alone, so that the memory of a model is known
 * before there is one. */
#ifndef ES_MODEL_LAYOUT_H
#define ES_MODEL_LAYOUT_H

#include "unit.h"

/* A node that runs, together with the ReLU behind a batch norm or a sum, and the max pooling of 2 × 2 behind those of a
 * batch norm, done in the same pass. Step 0 is the input. */
typedef struct es_step {
  const es_node_t *node;
  const es_unit_class_t *class; /* what runs the node */
  es_activation_t activation;
  bool pools;
  bool renewed;                /* training: nobody keeps the output, backward makes it again slice by slice */
  es_shape_t shape;            /* of the output */
  int32_t in[2];               /* steps that feed it, or −1 */
  int32_t first_use, last_use; /* steps that read it; the number of steps for the loss, which reads the last */
  int32_t out, gradient; /* buffers of the output, and of the loss's gradient with respect to it (−1 for the input) */
  /* Backward: the buffer that takes the gradient of in[i], or −1 when nobody wants it. A step that is not the first to
   * come back to in[i] writes beside it and `adds`. A sum may find its own gradient here: then it is what in[i] gets.
   */
  int32_t in_gradient[2];
  bool adds[2];
} es_step_t;

/* Whole: for all samples of a rank. Else for one slice, used again by the next. */
typedef struct es_buffer {
  int64_t size; /* floats of a sample */
  bool whole;
} es_buffer_t;

typedef struct es_layout {
  int32_t n_steps, n_buffers;
  es_step_t *steps;     /* owned */
  es_buffer_t *buffers; /* owned */
} es_layout_t;

/* Borrows the graph. ES_SYSTEM when memory is out. */
es_code_t es_layout_create(es_layout_t *out, const es_graph_t *graph, bool training, es_status_t *status);
void es_layout_destroy(es_layout_t *layout);
/* True for max pooling of 2 × 2 positions, stride 2, without padding. */
static inline bool es_node_halves(const es_node_t *node) {
  return node->op == ES_OP_MAXPOOL && node->kernel == 2 && node->stride == 2 && node->padding == 0;
}
/* True for steps at which a pass over the batch must wait for all samples. */
static inline bool es_step_waits(const es_step_t *step) {
  return step->class->synchronise != NULL;
}
/* Floats of all buffers for that many samples of a rank. */
int64_t es_layout_floats(const es_layout_t *layout, int64_t samples);

#endif
