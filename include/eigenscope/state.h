/** The state of a point under way: weights, optimiser, running statistics and results so far in one safetensors file,
 * so that a run that was killed goes on with the same bits. Also the weights that a finished point leaves behind. */
#ifndef EIGENSCOPE_STATE_H
#define EIGENSCOPE_STATE_H

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
} es_state_key_t;

/** <output>/state/<id>.safetensors */
void es_state_path(char out[ES_PATH_MAX], const char *output, const char *id);
/** <output>/checkpoints/<id>.safetensors, or <id>-<epoch>.safetensors with epoch ≥ 0 */
void es_weights_path(char out[ES_PATH_MAX], const char *output, const char *id, int32_t epoch);

/** Saves everything after epoch `epoch`, atomically. Only the leader of a group calls it. ES_SYSTEM. */
es_code_t es_state_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_graph_t *graph,
                        es_trainer_t *trainer, es_result_t *result, es_status_t *status);
/** Saves weights and running statistics alone, named as in torchvision's state_dict. Only the leader calls it. */
es_code_t es_weights_save(const char *path, const es_state_key_t *key, int32_t epoch, const es_graph_t *graph,
                          es_trainer_t *trainer, es_status_t *status);

/** Goes on from a state if there is one: the leader reads, all ranks get the weights. *epoch is the last epoch done, −1
 * when there is no state. `result` is filled on the leader. A state of another point or dataset, a damaged one, or one
 * of another engine (unless accept_cpu_change) is an error that names the file and what to do. Collective over the
 * group; all ranks return the same code. */
es_code_t es_state_resume(int32_t *epoch, const char *path, const es_state_key_t *key, const es_graph_t *graph,
                          const es_group_t *group, es_trainer_t *trainer, es_result_t *result, bool accept_cpu_change,
                          es_status_t *status);

#endif
