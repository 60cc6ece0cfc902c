/** Activation files of other programs that a job names, by split and epoch, and their common properties. Not
 * collective. */
#ifndef EIGENSCOPE_EXTERNAL_H
#define EIGENSCOPE_EXTERNAL_H

#include "eigenscope/activations.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"

typedef struct es_external_layer {
  char name[ES_NAME_MAX];
  int32_t h, w, c;
  bool is_double;
} es_external_layer_t;

/** Properties that all files share. */
typedef struct es_external_info {
  int32_t n_layers;
  es_external_layer_t *layers;  /**< owned */
  int64_t samples[ES_SPLITS];   /**< samples of the first epoch; 0 without the split */
  int64_t most_samples;         /**< largest number of samples in a file */
  int32_t classes;              /**< the largest label + 1 over all files; 0 unless all files have labels */
  int32_t train_classes;        /**< the same over the files of the train split */
  char fingerprint[ES_ID_SIZE]; /**< fingerprint of all files, ordered by epoch, then split */
} es_external_info_t;

/** Opens every file, checks that it has the layers of the first file (names, shapes, types; in both splits), and hashes
 * it. ES_INPUT naming the file; one message names all missing files. Names must be shorter than ES_NAME_MAX. */
es_code_t es_external_inspect(es_external_info_t *out, const es_external_t *external, es_status_t *status);
void es_external_info_destroy(es_external_info_t *info);
/** Checks that the files have everything that a point needs: a measured layer and, for probes, labels of at most
 * ES_CLASSES_MAX classes. ES_INPUT. */
es_code_t es_external_check(const es_external_info_t *info, const es_point_t *point, es_status_t *status);

/** True if probes will meet labels in the eval split beyond those of the train split, with the warning in `out`. */
bool es_external_has_unknown_labels(const es_external_info_t *info, const es_point_t *point, char out[256]);

/** Opens one file and checks it against `info`, as es_external_inspect does. */
es_code_t es_external_open(es_activations_t **out, const es_external_t *external, const es_external_info_t *info,
                           es_split_t split, int32_t epoch, es_status_t *status);

#endif
