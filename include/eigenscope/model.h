/** Runtime of a network: weights, forward and backward pass over the lanes of a group (comm.h).
 *
 * The pass is depth-first: a batch is cut into slices of at most 16 samples, and each slice passes through as many
 * nodes as possible while it is in the cache. There is a barrier between slices only where batch norm needs the
 * statistics of the whole batch. If several nodes read a value, its gradients are added in node order. Kernels get
 * equal slices of equal shapes on any number of ranks, and every sum over samples is lane-ordered, so the bits are
 * equal on 1, 2, 4 … ranks.
 *
 * Layout: activations are NHWC, one sample after the other; parameters, gradients and buffers are flat float vectors in
 * the order and the (PyTorch) shapes of graph.h.
 *
 * Precision: with ES_BFLOAT16, images, activations and their gradients are bfloat16 in memory, and layers multiply them
 * with weights rounded to bfloat16, adding in float32, as PyTorch's autocast does. Each result is rounded once, to
 * nearest even; batch norm with its activation and pooling is one result. Float32 or double in every precision:
 * parameters, biases, their gradients, statistics, the loss (of the rounded logits), and all sums over samples.
 * Observers and editors get the rounded outputs, widened to float. */
#ifndef EIGENSCOPE_MODEL_H
#define EIGENSCOPE_MODEL_H

#include "eigenscope/comm.h"
#include "eigenscope/graph.h"
#include "eigenscope/precision.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

enum { ES_SLICE_MAX = 16 };

typedef struct es_model es_model_t;

/** The source of the samples of a pass. */
typedef struct es_feed {
  /** Writes samples first … first+count−1 of the batch into out: float (count, H, W, 3). Must not fail. */
  void (*fetch)(void *context, int64_t first, int64_t count, float *out);
  void *context;
  const int32_t *labels; /**< of the whole batch, 0 … classes−1; borrowed */
} es_feed_t;

/** Callback for every output of a layer (graph.h), slice by slice, as it is computed: `out` is float (samples, shape.h,
 * shape.w, shape.c), valid during the call. `lane` counts this rank's lanes from 0; within a lane slices come in order.
 */
typedef struct es_observer {
  void (*observe)(void *context, int layer, int lane, const float *out, int64_t samples, es_shape_t shape);
  void *context;
} es_observer_t;

/** Callback that may change every output of a layer in place, after the observer and before the next node.
 * Arguments as for es_observer_t. */
typedef struct es_editor {
  void (*edit)(void *context, int layer, float *out, int64_t samples, es_shape_t shape);
  void *context;
} es_editor_t;

/** Kinds of work in training, for timing; observers and waiting for other ranks are not included. */
typedef enum es_kind {
  ES_KIND_LAYERS,  /**< convolutions and linear layers, including the sums of their gradients over the lanes */
  ES_KIND_BETWEEN, /**< nodes between them: batch norm, activations, pooling, sums, dropout, the loss */
  ES_KIND_DATA,    /**< conversion of images from bytes to floats */
  ES_KIND_UPDATE,  /**< the optimizer, and the conversion of weights to the kernels' layouts */
  ES_KINDS
} es_kind_t;

typedef struct es_pass {
  int64_t n;        /**< samples of the batch, over all ranks; ≤ the largest of es_model_create's `batches` */
  bool training;    /**< batch statistics, dropout; otherwise running statistics */
  int64_t seed;     /**< of dropout */
  uint64_t step;    /**< of dropout: different in each training step, below 2⁴⁰ */
  double smoothing; /**< label smoothing ε: the target is 1 − ε for the label, plus ε/classes for every class */
  es_feed_t feed;
  const es_observer_t *observer; /**< or NULL */
  const es_editor_t *editor;     /**< or NULL; not in training, because the backward pass ignores edits */
  double *profile;               /**< seconds of each kind (ES_KINDS), added to the values; or NULL */
  float *logits;                 /**< (n, classes): gets the rows of this rank's samples; or NULL */
  int64_t *confusion; /**< classes × classes counts [label][prediction] of this rank's samples, added to the values; or
                         NULL */
} es_pass_t;

/** Sums over the batch. */
enum { ES_LOSS_SUMS = 4 };
typedef struct es_loss {
  double loss;    /**< Σ cross-entropy */
  double correct; /**< samples whose largest logit (the first of equal ones) is the label's */
  double top5;    /**< samples whose label is among the five largest logits */
  double signal;  /**< Σ over ranks of `signal`, see es_model_forward */
} es_loss_t;

/** Arguments of es_model_create. */
typedef struct es_model_setup {
  const int64_t *batches; /**< sizes of the batches that occur; borrowed during the call */
  int n_batches;
  bool training;            /**< false: only forward passes */
  es_precision_t precision; /**< of activations and their gradients */
} es_model_setup_t;

/** Creates kernels for every slice size that batches of these sizes have on this rank, and activations for the largest
 * batch. Borrows graph and group. Not collective; the caller calls es_agree. ES_SYSTEM if out of memory or if oneDNN
 * has no kernel. *out is owned by the caller. */
es_code_t es_model_create(es_model_t **out, const es_graph_t *graph, const es_group_t *group,
                          const es_model_setup_t *setup, es_status_t *status);
void es_model_destroy(es_model_t *model);

/** Initialises parameters and buffers as graph.h defines, a pure function of the seed. */
void es_model_initialise(es_model_t *model, int64_t seed);
/** Like es_model_initialise, but writes to flat vectors of the caller. */
void es_tensors_initialise(const es_graph_t *graph, float *parameters, float *buffers, int64_t seed);

/** Flat vectors of this model: parameters, gradients (after es_model_backward: of the mean loss, summed over the group)
 * and running statistics. Borrowed, writable. Call es_model_changed after writing parameters. */
float *es_model_parameters(es_model_t *model);
float *es_model_gradients(es_model_t *model);
float *es_model_buffers(es_model_t *model);
void es_model_changed(es_model_t *model);

/** Runs the forward pass over this rank's share of the batch and computes the loss. out->signal is the sum of `signal`
 * over the ranks, so ranks can agree (for example to stop) without another message. Training passes update the running
 * statistics (momentum 0.1, unbiased variance, as PyTorch) and store the values that es_model_backward needs.
 * Collective over the group. */
void es_model_forward(es_model_t *model, const es_pass_t *pass, double signal, es_loss_t *out);

/** Computes the gradients of the mean loss of the last training pass's batch. Collective over the group. */
void es_model_backward(es_model_t *model, const es_pass_t *pass);

/** Repeats a pass and returns the name of the first node (forward order, over all ranks) whose output is not finite;
 * "the loss" if there is none. In training the running statistics are invalid afterwards. Collective over the group. */
const char *es_model_first_nonfinite(es_model_t *model, const es_pass_t *pass);

/** Messages that a rank sends in one batch (traffic.h), if `ranks` ranks share the lanes: in training the sums of every
 * batch norm (both passes), of the loss, and of all gradients; else only of the loss. Seconds if `link` is given. */
es_traffic_t es_model_traffic(const es_graph_t *graph, int lanes, int ranks, bool training, const es_link_t *link);

/** Bytes that es_model_create would allocate on one rank of a group of `ranks`, without oneDNN's own scratch; 0 if
 * memory is too short to compute it. */
int64_t es_model_bytes(const es_graph_t *graph, int64_t batch, int lanes, int ranks, bool training,
                       es_precision_t precision);

/** True if this CPU, or DNNL_MAX_CPU_ISA, offers no instructions for this precision: float32 kernels then compute on
 * widened activations, and each result is rounded. That is slow, and its bits differ from those of such instructions.
 */
bool es_model_emulates(es_precision_t precision);

/** "oneDNN 2.6.3, avx512_core": the kernel library and its instruction set. Static storage. */
const char *es_model_engine_name(void);
/** The convolution kernels of this build on this CPU: ours by name, and oneDNN's algorithms. Static storage. */
const char *es_model_convolutions(void);
/** Bump the number of a precision when a change of its kernels, ours or the choice among oneDNN's, alters rounding:
 * older states would give other bits. Points in bfloat16 depend on both, because their covariances and statistics are
 * float32. */
enum { ES_MODEL_KERNELS = 5, ES_MODEL_KERNELS_BFLOAT16 = 1 };
/** Sets one thread per rank. Call it before the first model is created, because oneDNN reads the setting only once. */
void es_model_engine_single_thread(void);

#endif
