/** Files of features: the outputs of all measured layers for a fixed sample of the eval split, in every measured epoch
 * (`measure.similarity`). A finished point has one file `<id>.features.h5` beside its result; analysis/README.md
 * describes it. Until then each epoch lies in a file of its own beside the state. Not collective: the leader of a group
 * writes. */
#ifndef EIGENSCOPE_FEATURES_H
#define EIGENSCOPE_FEATURES_H

#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdbool.h>
#include <stdint.h>

enum { ES_FEATURES_LEAST = 4 }; /**< samples that debiased CKA needs */

/** The sample: some positions of the split, chosen by their hashes, so that the choice depends on the number of samples
 * in the split alone: never on ranks, batches, seeds or networks. */
typedef struct es_features_sample {
  int64_t n, of;     /**< chosen, and samples of the split */
  int32_t *position; /**< (n) ascending; owned */
  int32_t *label;    /**< (n); −1 without labels; owned */
  char hash[17];     /**< xxh3 of the data's name, `of`, positions and labels: 16 hexadecimal digits */
} es_features_sample_t;

/** Chooses min(most, of) samples. `labels`: (of), or NULL. `data`: fingerprint of the dataset, or "" if the split is
 * known by its labels only. ES_SYSTEM. */
es_code_t es_features_choose(es_features_sample_t *out, int64_t of, int64_t most, const int32_t *labels,
                             const char *data, es_status_t *status);
void es_features_sample_destroy(es_features_sample_t *sample);

typedef struct es_features_layer {
  char name[ES_NAME_MAX];
  int32_t width;
  bool is_double; /**< stored as float64, else float32 */
} es_features_layer_t;

/** Content of a file. Borrowed pointers. */
typedef struct es_features_content {
  const es_point_t *point;
  const char *point_id, *job_name, *data;
  const es_features_sample_t *sample;
  int n_layers, n_epochs;
  const es_features_layer_t *layers;
  const int32_t *epochs; /**< numbers, ascending */
  /** Gets the features of an epoch (index in `epochs`): rows[layer] becomes (n, width), row-major, valid until the next
   * call. */
  es_code_t (*load)(void *context, int epoch, const void **rows, es_status_t *status);
  void *context;
} es_features_content_t;

/** <folder of the result>/<id>.features.h5 for the path of a result, <id>.h5. */
void es_features_path(char out[ES_PATH_MAX], const char *result);
/** Writes a file atomically, epoch by epoch. ES_SYSTEM, and codes of `load`. */
es_code_t es_features_write(const char *path, const es_features_content_t *content, es_status_t *status);

/** A file that is open for reading. */
typedef struct es_features {
  char path[ES_PATH_MAX], point_id[ES_ID_SIZE], sample_hash[17];
  int64_t n; /**< samples */
  int n_layers, n_epochs;
  es_features_layer_t *layers; /**< owned */
  int32_t *epochs;             /**< owned */
  int64_t file;                /**< hid_t; −1: closed */
} es_features_t;

/** Opens a file and checks names, shapes and types. ES_INPUT if it is no file of features or is damaged, ES_SYSTEM. On
 * failure *out is zero but for `file`, so that es_features_close may be called in any case. */
es_code_t es_features_open(es_features_t *out, const char *path, es_status_t *status);
void es_features_close(es_features_t *features);
/** Closes the file until the next es_features_read, because a process may have only so many open files. */
void es_features_rest(es_features_t *features);
/** Reads one layer of one epoch (indices): (n, width) as double, which is exact. ES_INPUT, ES_SYSTEM. */
es_code_t es_features_read(es_features_t *features, int epoch, int layer, double *out, es_status_t *status);

#endif
