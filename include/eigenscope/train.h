/** Training and evaluation of one point: batches, optimizer, schedule. Random numbers and orders are functions of
 * (seed, epoch, step, sample), so an epoch can be repeated or resumed anywhere with the same bits. */
#ifndef EIGENSCOPE_TRAIN_H
#define EIGENSCOPE_TRAIN_H

#include "eigenscope/comm.h"
#include "eigenscope/data.h"
#include "eigenscope/graph.h"
#include "eigenscope/model.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdbool.h>

/** State of schedule plateau: all that PyTorch's ReduceLROnPlateau (mode min or max, threshold relative, eps 1e-8)
 * remembers. Only doubles, so that a state holds the struct as one tensor. */
typedef struct es_plateau {
  double rate;     /**< learning rate of the next epoch */
  double best;     /**< best number so far; ±∞ before the first */
  double waited;   /**< epochs without improvement */
  double cooldown; /**< epochs that still do not count */
} es_plateau_t;
enum { ES_PLATEAU_NUMBERS = sizeof(es_plateau_t) / sizeof(double) };

void es_plateau_start(es_plateau_t *plateau, const es_train_settings_t *settings);
/** Takes the number that the schedule follows, after an epoch. */
void es_plateau_observe(es_plateau_t *plateau, const es_train_settings_t *settings, double value);

/** Learning rate of epoch 1 … E. The first W = warmup epochs: rate·(s + (1−s)(epoch−1)/W) with s = warmup_start. Epochs
 * after them, with e = epoch − W; step: rate·γ^⌊(e−1)/step⌋; milestones: rate·γ^(number of milestones below e);
 * cosine: rate·(1 + cos(π(e−1)/(E−W)))/2; plateau: plateau->rate. So as PyTorch's StepLR, MultiStepLR and
 * CosineAnnealingLR stepped once an epoch, after a LinearLR in a SequentialLR. `plateau` may be NULL for other
 * schedules. */
double es_learning_rate(const es_train_settings_t *settings, int32_t epoch, const es_plateau_t *plateau);

/** Optimiser over flat vectors, as PyTorch's SGD (momentum, dampening 0), Adam, AdamW and RAdam. Weight decay concerns
 * every parameter; AdamW multiplies the weights by 1 − rate·decay, the others add decay·weight to the gradient. */
typedef struct es_optimizer_state {
  es_train_settings_t settings;
  int64_t n;
  float *first, *second; /**< owned; momentum (SGD) or the two moments (`second` is NULL for SGD) */
  es_plateau_t plateau;
} es_optimizer_state_t;
/** Vectors as long as the parameters that the optimizer holds: 1 or 2. */
static inline int es_optimizer_moments(const es_train_settings_t *settings) {
  return settings->optimizer == ES_SGD ? 1 : 2;
}
es_code_t es_optimizer_create(es_optimizer_state_t *out, const es_train_settings_t *settings, int64_t n,
                              es_status_t *status);
void es_optimizer_destroy(es_optimizer_state_t *optimizer);
/** parameters −= update(gradients). `step` counts from 1 (Adam's bias correction). */
void es_optimizer_step(es_optimizer_state_t *optimizer, float *parameters, const float *gradients, double learning_rate,
                       int64_t step);

/** Scales the gradient down to the norm `most` if its 2-norm is larger: by most/(norm + 1e-6), as PyTorch's
 * clip_grad_norm_. Returns the norm before. Sums in double in a fixed order. */
double es_clip_gradients(float *gradients, int64_t n, double most);

/** Means over the samples of an epoch or a split. */
typedef struct es_epoch_stats {
  double loss; /**< in training with label smoothing, which evaluation never has */
  double accuracy, top5_accuracy;
  double mcc; /**< Matthews correlation for several classes (Gorodkin 2004, eq. 8); 0 where it is 0/0 */
  double learning_rate;
  double seconds;
  int64_t images;
} es_epoch_stats_t;

typedef struct es_trainer es_trainer_t;

/** Arguments of es_trainer_create; all borrowed. */
typedef struct es_trainer_setup {
  const es_point_t *point;
  const es_graph_t *graph;
  const es_group_t *group;
  const es_samples_t *samples[ES_SPLITS];
  const int64_t *others; /**< (n_others) numbers of samples of other sets (es_trainer_show); used during the call */
  int n_others;          /**< at most ES_SPLITS · ES_PROBE_DATASETS_MAX */
  es_watch_t watch;      /**< asked at each batch on every rank */
  bool inference;        /**< never trains: half the memory, no optimizer */
  double *profile;       /**< seconds of training by es_kind_t, added to the values; borrowed, or NULL */
  int64_t most_batches;  /**< most batches of a pass, for a dry run; 0 = all */
  /** Called on all ranks after the forward pass of each batch with an observer; may be collective, must return the same
   * code on all ranks; or NULL. */
  es_code_t (*after_forward)(void *context, es_status_t *status);
  /** Called on all ranks after the backward pass of each training step, before the optimizer; or NULL. */
  void (*after_backward)(void *context);
  void *after_context; /**< first argument of after_forward and after_backward */
  /** Called on all ranks in training, before the first step with 0, and after each step with the number of steps since
   * the start of training. May be collective and call es_trainer_evaluate_part, which changes nothing that training
   * depends on; must return the same code on all ranks; or NULL. */
  es_code_t (*after_step)(void *context, int64_t step, es_status_t *status);
  void *step_context;
  int64_t part; /**< samples that es_trainer_evaluate_part evaluates; 0: it is never called */
} es_trainer_setup_t;

/** Creates and initialises model and optimizer. Collective over the group; all ranks return the same code. */
es_code_t es_trainer_create(es_trainer_t **out, const es_trainer_setup_t *setup, es_status_t *status);
void es_trainer_destroy(es_trainer_t *trainer);

/** Runs training epoch `epoch` (1 …). `observer` (or NULL) gets the activations of the training passes. ES_STOPPED if
 * any rank was told to stop (the model is then in mid-epoch and unusable); ES_DIVERGED if the loss is not finite, with
 * epoch, batch and the first layer whose output is not finite. Same code on every rank. Collective over the group. */
es_code_t es_trainer_epoch(es_trainer_t *trainer, int32_t epoch, const es_observer_t *observer, es_epoch_stats_t *stats,
                           es_status_t *status);

/** Runs a whole split in inference mode, in file order, without augmentation. `epoch` is for messages. Collective,
 * codes as es_trainer_epoch; does not change the model. */
es_code_t es_trainer_evaluate(es_trainer_t *trainer, es_split_t split, int32_t epoch, const es_observer_t *observer,
                              es_epoch_stats_t *stats, es_status_t *status);

/** Runs samples of another dataset (whose number is in es_trainer_setup_t.others) like es_trainer_evaluate, for the
 * observer alone: their labels are not those of the network, so they are not read, and outputs that are not finite are
 * no failure. Keeps the confusion of the pass before. */
es_code_t es_trainer_show(es_trainer_t *trainer, const es_samples_t *samples, int32_t epoch,
                          const es_observer_t *observer, es_status_t *status);

/** Tells schedule plateau the numbers of the eval split after training epoch `epoch`. Other schedules ignore the call.
 * Not collective, but every rank must call it with equal numbers, once an epoch. */
void es_trainer_observe(es_trainer_t *trainer, int32_t epoch, const es_epoch_stats_t *eval);
/** Some samples of a split. */
typedef struct es_trainer_part {
  es_split_t split;
  int64_t n;
  const int32_t *positions; /**< (n) in the split's es_samples_t; borrowed */
} es_trainer_part_t;
/** Like es_trainer_evaluate, for a part of a split, which may be called within es_trainer_epoch (`after_step`). Keeps
 * the confusion of the pass before, so stats->mcc is NaN. */
es_code_t es_trainer_evaluate_part(es_trainer_t *trainer, const es_trainer_part_t *part, int32_t epoch,
                                   const es_observer_t *observer, es_epoch_stats_t *stats, es_status_t *status);

/** Sets the editor that later calls of es_trainer_evaluate apply to the outputs of layers; NULL: none. Borrowed. Not
 * collective, but every rank must set its own. */
void es_trainer_edit(es_trainer_t *trainer, const es_editor_t *editor);

/** Counts [label][prediction], classes × classes, of the last pass over all ranks. Borrowed. */
const int64_t *es_trainer_confusion(const es_trainer_t *trainer);
/** Number of batches in a training epoch. */
int64_t es_trainer_batches(const es_trainer_t *trainer);
es_model_t *es_trainer_model(es_trainer_t *trainer);
es_optimizer_state_t *es_trainer_optimizer(es_trainer_t *trainer);

#endif
