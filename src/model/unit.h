/* Interface of a node that runs. The driver (model.c) loops over units; each kind of unit is a small file. */
#ifndef ES_MODEL_UNIT_H
#define ES_MODEL_UNIT_H

#include "eigenscope/model.h"
#include "kernels.h"

/* Consecutive samples of one lane that the kernels process together. */
typedef struct es_slice {
  int32_t lane;  /* of this rank, from 0 */
  int32_t count; /* 1 … ES_SLICE_MAX */
  int64_t first; /* position in the whole batch */
  int64_t store; /* index of the first sample in stored activations; 0 for all slices if nothing is stored */
} es_slice_t;

typedef struct es_unit es_unit_t;
struct es_step;

/* Floats that training needs for the weights of a layer: weights in the layouts of the kernels, and scratch (below). */
typedef struct es_unit_floats {
  int64_t packed, scratch;
} es_unit_floats_t;

/* Interface of a kind of unit. A function may be NULL if there is nothing to do. */
typedef struct es_unit_class {
  /* For the layout (layout.h): */
  bool activates;   /* the unit includes the ReLU that is the only reader of its output, */
  bool pools;       /* and the max pooling of 2 × 2 after that ReLU */
  bool adds;        /* a sum: may overwrite an input; the gradient of each input is that of the output */
  bool reads_input; /* backward reads the input again */
  bool identity;    /* the output is the input, number by number: the node needs no step */
  bool emulated;    /* has no bfloat16 loops of ours: needs those of the CPU, or es_unit_emulated */
  /* To forecast the memory of a model. `kept_bytes`: per sample in training, beyond the layout's buffers. `floats`: of
   * a layer with weights, on a rank with `lanes` lanes. */
  int64_t (*kept_bytes)(const struct es_step *step, es_precision_t precision);
  es_unit_floats_t (*floats)(const es_graph_t *graph, const es_node_t *node, int64_t samples, int lanes,
                             es_precision_t precision);
  /* Number of doubles that `synchronise` sums over lanes and ranks; `backward_synchronise` sums as many. */
  int64_t (*sums)(const es_node_t *node);

  /* Bit s of `sizes` is set if a slice of s samples occurs on any rank, so that all ranks choose the same kernels. */
  es_code_t (*create)(es_unit_t *unit, uint32_t sizes, es_status_t *status);
  void (*destroy)(es_unit_t *unit);
  /* Floats of scratch that the unit uses from the first `backward` of a pass to `backward_end`; known after `create`.
   * Units that do not run at the same time share the memory. */
  size_t (*scratch_floats)(const es_unit_t *unit);
  void (*set_scratch)(es_unit_t *unit, float *memory);
  /* Runs after the parameters have changed. */
  void (*pack)(es_unit_t *unit);
  /* Runs before the first slice of a pass. */
  void (*begin)(es_unit_t *unit, const es_pass_t *pass);
  /* Training only: runs when the input of this slice has just been computed. A unit with `synchronise` is a barrier for
   * all slices and starts a segment of the network. */
  void (*gather)(es_unit_t *unit, const es_slice_t *slice);
  void (*synchronise)(es_unit_t *unit, const es_pass_t *pass); /* collective */
  void (*forward)(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice);
  /* For layers among the nodes that a unit runs in one pass: runs one of these nodes alone. `values` are the outputs of
   * the node before (the unit's own node reads its input instead), and become those of `node`; the last node writes to
   * `out`. */
  void (*stage)(es_unit_t *unit, const es_slice_t *slice, const es_node_t *node, void *values);
  /* Backward: recomputes the output of this slice if it was not stored. The `backward` of such a unit does not need its
   * output. */
  void (*renew)(es_unit_t *unit, const es_slice_t *slice);
  /* Backward counterparts. The gradient of this unit's output exists; `backward` writes the gradients of those inputs
   * that have storage for them. */
  void (*backward_gather)(es_unit_t *unit, const es_slice_t *slice);
  void (*backward_synchronise)(es_unit_t *unit, const es_pass_t *pass); /* collective */
  void (*backward)(es_unit_t *unit, const es_pass_t *pass, const es_slice_t *slice);
  /* `lane_end` runs after each lane's last slice, even of an empty lane; `backward_end` then sums into the flat
   * gradient. */
  void (*lane_end)(es_unit_t *unit, int lane);
  void (*backward_end)(es_unit_t *unit);
} es_unit_class_t;

/* A vector for each sample, stored for the whole batch or only for the current slice. */
typedef struct es_storage {
  void *data;
  int64_t size;   /* numbers per sample; the samples of a slice are contiguous */
  int64_t stride; /* numbers between two samples, at least `size`; the same for all users of a buffer */
  es_precision_t precision;
  bool whole;
} es_storage_t;

static inline void *es_storage_at(const es_storage_t *storage, const es_slice_t *slice) {
  const int64_t first = storage->whole ? slice->store * storage->stride : 0;
  return storage->data ? (char *)storage->data + (size_t)first * es_precision_bytes(storage->precision) : NULL;
}

/* Address of the i-th sample of a slice; the storage must have data. */
static inline void *es_storage_sample(const es_storage_t *storage, const es_slice_t *slice, int64_t i) {
  return (char *)es_storage_at(storage, slice) + (size_t)(i * storage->size) * es_precision_bytes(storage->precision);
}

struct es_unit {
  const es_unit_class_t *class;
  const es_graph_t *graph;
  const es_group_t *group;
  const es_node_t *node;
  const es_node_t *last;       /* the node whose output is `out`: `node`, or what is fused after it */
  int32_t index;               /* of the node, for random numbers */
  bool training;               /* true if backward will run */
  es_precision_t precision;    /* of all activations and their gradients */
  int64_t samples;             /* most samples stored */
  es_activation_t activation;  /* fused after a batch norm or a sum, or the unit's own */
  bool pools;                  /* batch norm: fused max pooling of 2 × 2 */
  bool renewed;                /* the output is not kept for backward */
  es_storage_t in[2], out;     /* activations; in[1] only of nodes with two inputs. `out` of a sum may be one of `in` */
  es_storage_t in_gradient[2]; /* data is NULL if not needed. A sum may use out_gradient here */
  es_storage_t out_gradient;   /* overwritten by backward */
  es_storage_t total[2];       /* the model adds in_gradient to it; NULL if in_gradient is complete */
  float *parameters, *gradients, *buffers; /* the model's flat vectors, borrowed */
  void *state;                             /* owned by the class */
};

extern const es_unit_class_t es_unit_layer, es_unit_pool; /* onednn/ */
extern const es_unit_class_t es_unit_emulated;            /* emulate.c: either of these, where a CPU lacks bfloat16 */
extern const es_unit_class_t es_unit_batchnorm, es_unit_activation, es_unit_sum, es_unit_dropout, es_unit_maxpool2;
extern const es_unit_class_t es_unit_windows;                                                 /* windows.c */
extern const es_unit_class_t es_unit_function, es_unit_product;                               /* product.c */
extern const es_unit_class_t es_unit_concat, es_unit_slice, es_unit_shuffle, es_unit_flatten; /* channels.c */
extern const es_unit_class_t es_unit_layernorm, es_unit_groupnorm;                            /* norm.c */
extern const es_unit_class_t es_unit_class_token, es_unit_position, es_unit_pick;             /* tokens.c */
extern const es_unit_class_t es_unit_scale, es_unit_drop_path;                                /* scale.c */
extern const es_unit_class_t es_unit_attention;                                               /* onednn/ */
/* units.c: returns the kind of unit that runs a node; for the input node, a kind without functions. */
const es_unit_class_t *es_unit_class(const es_node_t *node);
/* True if es_unit_emulated runs the node. */
bool es_node_widens(const es_node_t *node, es_precision_t precision);

static inline float *es_unit_parameter(const es_unit_t *unit, int32_t tensor) {
  return unit->parameters + unit->graph->parameters[tensor].offset;
}
static inline float *es_unit_gradient(const es_unit_t *unit, int32_t tensor) {
  return unit->gradients + unit->graph->parameters[tensor].offset;
}
static inline float *es_unit_buffer(const es_unit_t *unit, int32_t tensor) {
  return unit->buffers + unit->graph->buffers[tensor].offset;
}

/* The loss of a batch. */
typedef struct es_criterion {
  int32_t classes;
  int64_t n;        /* samples of the batch over all ranks */
  double smoothing; /* ε of label smoothing, as in es_pass_t */
} es_criterion_t;

/* loss.c: softmax cross-entropy of one slice. logits (count, classes); labels (count); adds loss, correct and top5 to
 * `sums`, sample by sample; gradient (count, classes) = (softmax − target)/n, or NULL; confusion as in es_pass_t, or
 * NULL. */
void es_loss_slice(const es_criterion_t *criterion, const float *logits, const int32_t *labels, int64_t count,
                   double sums[3], float *gradient, int64_t *confusion);

#endif
