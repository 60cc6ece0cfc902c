/* One running node. The driver (model.c) walks units; each kind is a small file behind this table of functions. */
#ifndef ES_MODEL_UNIT_H
#define ES_MODEL_UNIT_H

#include "eigenscope/model.h"
#include "kernels.h"

/* Consecutive samples of one lane that go through the kernels together. */
typedef struct es_slice {
  int32_t lane;  /* of this rank, from 0 */
  int32_t count; /* 1 … ES_SLICE_MAX */
  int64_t first; /* position in the whole batch */
  int64_t store; /* first sample's place in stored activations: 0 for all slices when nothing is kept */
} es_slice_t;

typedef struct es_unit es_unit_t;
struct es_step;

/* Floats that training takes for the weights of a layer: in the layouts of the kernels, and scratch (below). */
typedef struct es_unit_floats {
  int64_t packed, scratch;
} es_unit_floats_t;

/* All that the model knows of a kind of unit. Any function may be NULL: then there is nothing to do. */
typedef struct es_unit_class {
  /* For the layout (layout.h): */
  bool activates;   /* the ReLU that alone reads the output is done in the same pass, */
  bool pools;       /* and the max pooling of 2 × 2 behind it */
  bool adds;        /* a sum: made in the place of an input; its gradient is that of both inputs */
  bool reads_input; /* backward reads the input again */
  /* For the memory of a model that is not there yet. `kept_bytes`: for each sample, of training, beside the buffers of
   * the layout. `floats`: of a layer with weights, on a rank with so many lanes. */
  int64_t (*kept_bytes)(const struct es_step *step);
  es_unit_floats_t (*floats)(const es_graph_t *graph, const es_node_t *node, int64_t samples, int lanes);
  /* Doubles that `synchronise` adds up over lanes and ranks, and `backward_synchronise` as well. */
  int64_t (*sums)(const es_node_t *node);

  /* `sizes`: bit s is set when slices of s samples will come, on any rank: so that what is chosen here is the same on
   * all. */
  es_code_t (*create)(es_unit_t *unit, uint32_t sizes, es_status_t *status);
  void (*destroy)(es_unit_t *unit);
  /* Floats of scratch that the unit needs from the first `backward` of a pass to `backward_end`, known after create;
   * units whose turns do not meet get the same memory. */
  size_t (*scratch_floats)(const es_unit_t *unit);
  void (*set_scratch)(es_unit_t *unit, float *memory);
  /* Parameters have changed. */
  void (*pack)(es_unit_t *unit);
  /* Before the first slice of a pass. */
  void (*begin)(es_unit_t *unit, const es_pass_t *pass);
  /* Training only: the input of this slice has just been computed. A unit that has `synchronise` waits for all slices:
   * it starts a segment of the network. */
  void (*gather)(es_unit_t *unit, const es_slice_t *slice);
  void (*synchronise)(es_unit_t *unit, const es_pass_t *pass); /* collective */
  void (*forward)(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice);
  /* Backward, where the output was not kept: makes that of this slice again. A unit that has this needs no output for
   * its own backward pass. */
  void (*renew)(es_unit_t *unit, const es_slice_t *slice);
  /* Backward: the same shape in the other direction. The gradient of this unit's output is there; `backward` writes
   * that of its inputs, where there is a place for it. */
  void (*backward_gather)(es_unit_t *unit, const es_slice_t *slice);
  void (*backward_synchronise)(es_unit_t *unit, const es_pass_t *pass); /* collective */
  void (*backward)(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice);
  /* After the last slice of each lane (also an empty one), then after the last lane: sums to the flat gradient. */
  void (*lane_end)(es_unit_t *unit, int lane);
  void (*backward_end)(es_unit_t *unit);
} es_unit_class_t;

/* A vector for each sample. Kept for the whole batch, or only while a slice is under way. */
typedef struct es_storage {
  float *data;
  int64_t size;   /* floats of a sample; those of one slice lie together */
  int64_t stride; /* floats between the places of two samples, at least size: all that use a buffer have the same */
  bool whole;
} es_storage_t;

static inline float *es_storage_at(const es_storage_t *storage, const es_slice_t *slice) {
  return storage->data ? storage->data + (storage->whole ? slice->store * storage->stride : 0) : NULL;
}

struct es_unit {
  const es_unit_class_t *class;
  const es_graph_t *graph;
  const es_group_t *group;
  const es_node_t *node;
  int32_t index;                           /* of the node, for random numbers */
  bool training;                           /* will run backward */
  int64_t samples;                         /* stored at most */
  es_activation_t activation;              /* of a batch norm or a sum in the same pass, or the unit's own */
  bool pools;                              /* a batch norm: max pooling of 2 × 2 in the same pass */
  bool renewed;                            /* the output is not kept for backward */
  es_storage_t in[2], out;                 /* activations; in[1] of a sum. `out` of a sum may be one of `in` */
  es_storage_t in_gradient[2];             /* data is NULL when nobody wants it. Of a sum it may be out_gradient */
  es_storage_t out_gradient;               /* spoiled by backward */
  es_storage_t total[2];                   /* where the model adds in_gradient to, or NULL: it is all there is */
  float *parameters, *gradients, *buffers; /* the model's flat vectors, borrowed */
  void *state;                             /* owned by the class */
};

extern const es_unit_class_t es_unit_layer, es_unit_pool; /* onednn/ */
extern const es_unit_class_t es_unit_batchnorm, es_unit_activation, es_unit_sum, es_unit_dropout, es_unit_maxpool2;
/* units.c: the kind of unit that runs a node; one without functions for the input node. */
const es_unit_class_t *es_unit_class(const es_node_t *node);

static inline float *es_unit_parameter(const es_unit_t *unit, int32_t tensor) {
  return unit->parameters + unit->graph->parameters[tensor].offset;
}
static inline float *es_unit_gradient(const es_unit_t *unit, int32_t tensor) {
  return unit->gradients + unit->graph->parameters[tensor].offset;
}
static inline float *es_unit_buffer(const es_unit_t *unit, int32_t tensor) {
  return unit->buffers + unit->graph->buffers[tensor].offset;
}

/* loss.c: softmax cross-entropy of one slice. logits (count, classes); labels of these samples; adds to `sums` (loss,
 * correct, top5) in order; gradient (count, classes) = (softmax − onehot)/n when not NULL; confusion as in es_pass_t or
 * NULL. */
void es_loss_slice(const float *logits, const int32_t *labels, int64_t count, int32_t classes, int64_t n,
                   double sums[3], float *gradient, int64_t *confusion);

#endif
