/** The state of a point under way: weights, optimiser, running statistics and results so far in one safetensors file,
 * so that a run that was killed goes on with the same bits. Also the weights that a finished point leaves behind. */
#ifndef EIGENSCOPE_STATE_H
#define EIGENSCOPE_STATE_H

#include "eigenscope/checkpoint.h"
#include "eigenscope/status.h"
#include "eigenscope/store.h"
#include "eigenscope/train.h"
#include <stdbool.h>
#include <stdint.h>

/** What a state must have in common with the run that goes on from it. Borrowed pointers. */
typedef struct es_state_key {
  const char *point_id;
  const char *fingerprint; /**< of the dataset */
  const char *engine;      /**< libraries and instruction set, which decide bits */
  const char *training;    /**< of weights: what made them (es_point_training_id), */
  const char *network;     /**< and in words, as in "vgg11, width 1/8"; NULL: not told */
} es_state_key_t;

/** What a state holds. Borrowed pointers. */
typedef struct es_state_content {
  const es_graph_t *graph; /**< network and its trainer; both NULL where nothing is trained */
  es_trainer_t *trainer;
  es_result_t *result;           /**< results so far; the leader's */
  const es_tensor_view_t *extra; /**< saving: more tensors, named "<module>.<name>" */
  int n_extra;
  /** Resuming: takes from the file what `extra` was; the leader alone; may be NULL. */
  es_code_t (*restore)(void *context, const es_safetensors_t *file, es_status_t *status);
  void *restore_context;
} es_state_content_t;

/** <output>/state/<id>.safetensors */
void es_state_path(char out[ES_PATH_MAX], const char *output, const char *id);
/** <output>/state/<id>.previous.safetensors: the one that was saved before it. */
void es_state_previous_path(char out[ES_PATH_MAX], const char *path);
/** <output>/checkpoints/<id>.safetensors, or <id>-<epoch>.safetensors with epoch ≥ 0 */
void es_weights_path(char out[ES_PATH_MAX], const char *output, const char *id, int32_t epoch);

/** Saves everything after epoch `epoch`, atomically; the state that was there becomes the previous one. Only the leader
 * of a group calls it. ES_SYSTEM. */
es_code_t es_state_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_state_content_t *content,
                        es_status_t *status);
/** Removes a state, the previous one, and parts of either. */
void es_state_remove(const char *path);
/** Saves weights and running statistics alone, named as in torchvision's state_dict, with num_batches_tracked, so that
 * PyTorch's strict load_state_dict takes them. Only the leader calls it. */
es_code_t es_weights_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_graph_t *graph,
                          es_trainer_t *trainer, es_status_t *status);

/** Goes on from a state if there is one: the leader reads, all ranks get the weights. *epoch is the last epoch done (of
 * results: its index), −1 when there is no state. `result` is filled on the leader. A damaged state is left for the one
 * before it, which `warning` (512 bytes; "" without) then says. A state of another point or dataset, one of another
 * engine (unless accept_cpu_change), or two damaged ones are an error that names the file and what to do. Collective
 * over the group; all ranks return the same code. */
es_code_t es_state_resume(int32_t *epoch, const char *path, const es_state_key_t *key, const es_group_t *group,
                          const es_state_content_t *content, bool accept_cpu_change, char warning[512],
                          es_status_t *status);

/** The last epoch in a state, read off its metadata alone (cheap: the tensors and the hash are not looked at); −1 when
 * there is no state of this point. Not collective. */
int32_t es_state_epoch(const char *path, const char *point_id);

#endif
