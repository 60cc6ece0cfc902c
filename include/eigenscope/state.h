/** The state of an unfinished point: weights, optimizer and running statistics in a safetensors file, which each save
 * replaces, and results so far in a journal beside it (journal.h), to which each save appends; so that a killed run
 * resumes with the same bits. Version 1, which is still read, has the results in the safetensors file too. Also saves
 * the weights of a finished point. */
#ifndef EIGENSCOPE_STATE_H
#define EIGENSCOPE_STATE_H

#include "eigenscope/checkpoint.h"
#include "eigenscope/journal.h"
#include "eigenscope/status.h"
#include "eigenscope/store.h"
#include "eigenscope/train.h"
#include <stdbool.h>
#include <stdint.h>

/** Properties that must be equal in a state and in the run that resumes from it. Borrowed pointers. */
typedef struct es_state_key {
  const char *point_id;
  const char *fingerprint; /**< of the dataset */
  const char *engine;      /**< libraries and instruction set, which determine the bits */
  const char *training;    /**< weights: es_point_training_id of their point */
  const char *network;     /**< weights: description, as in "vgg11, width 1/8"; NULL: none */
} es_state_key_t;

/** Content of a state. Borrowed pointers. */
typedef struct es_state_content {
  const es_graph_t *graph; /**< network and its trainer; both NULL if nothing is trained */
  es_trainer_t *trainer;
  es_result_t *result;           /**< results so far; on the leader */
  es_journal_t *journal;         /**< of this point, with `result`; set by resuming, then used by saving */
  const es_tensor_view_t *extra; /**< saving: additional tensors, named "<module>.<name>" */
  int n_extra;
  /** Resuming: restores the tensors of `extra` from the file; called on the leader; may be NULL. */
  es_code_t (*restore)(void *context, const es_safetensors_t *file, es_status_t *status);
  void *restore_context;
} es_state_content_t;

/** <output>/state/<id>.safetensors */
void es_state_path(char out[ES_PATH_MAX], const char *output, const char *id);
/** <output>/state/<id>.previous.safetensors: the state saved before the latest one. */
void es_state_previous_path(char out[ES_PATH_MAX], const char *path);
/** <output>/checkpoints/<id>.safetensors, or <id>-<epoch>.safetensors with epoch ≥ 0 */
void es_weights_path(char out[ES_PATH_MAX], const char *output, const char *id, int32_t epoch);

/** <output>/state/<id>.<epoch>.features: the features of an epoch (features.h) of an unfinished point. */
void es_state_features_path(char out[ES_PATH_MAX], const char *output, const char *id, int32_t epoch);

/** Saves the state after epoch `epoch`: appends to the journal, then replaces the state atomically; the existing state
 * becomes the previous one. Only the leader of a group calls it. ES_SYSTEM. */
es_code_t es_state_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_state_content_t *content,
                        es_status_t *status);
/** Removes a state, the previous one, parts of either, and all journals and features of the point. */
void es_state_remove(const char *path);
/** Saves only weights and running statistics, named as in torchvision's state_dict, with num_batches_tracked, so that
 * PyTorch's strict load_state_dict accepts them. Only the leader calls it. */
es_code_t es_weights_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_graph_t *graph,
                          es_trainer_t *trainer, es_status_t *status);

/** Resumes from a state if there is one: the leader reads, all ranks get the weights. *epoch is the last completed
 * epoch (as index of the epoch axis), −1 if there is no state. `result` is filled on the leader. If the state is
 * damaged, resumes from the previous one and sets `warning` (512 bytes; else ""). Fails for a state of another point or
 * dataset, of another engine (unless accept_cpu_change), or if both states are damaged; the message names the file and
 * the remedy. Collective over the group; all ranks return the same code. */
es_code_t es_state_resume(int32_t *epoch, const char *path, const es_state_key_t *key, const es_group_t *group,
                          const es_state_content_t *content, bool accept_cpu_change, char warning[512],
                          es_status_t *status);

/** The last epoch in a state, from its metadata only (cheap: does not read tensors or check the hash); −1 if there is
 * no state of this point. Not collective. */
int32_t es_state_epoch(const char *path, const char *point_id);

#endif
