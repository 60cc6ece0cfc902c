/** Activations that others measured, as a job names them: files of activations by split and epoch, and what they have
 * in common. Not collective. */
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

/** Facts that all the files have in common. */
typedef struct es_external_info {
  int32_t n_layers;
  es_external_layer_t *layers;  /**< owned */
  int64_t samples[ES_SPLITS];   /**< of the first epoch; 0 without the split */
  int64_t most_samples;         /**< of any file */
  int32_t classes;              /**< the largest label + 1 over all files; 0 unless all of them have labels */
  char fingerprint[ES_ID_SIZE]; /**< of all files, in the order of epochs, then splits */
} es_external_info_t;

/** Opens every file, checks that all have the layers of the first (names, shapes, types; train and eval too), and
 * hashes them. ES_INPUT naming the file; all files that are missing are named at once. Names must be shorter than
 * ES_NAME_MAX.
 */
es_code_t es_external_inspect(es_external_info_t *out, const es_external_t *external, es_status_t *status);
void es_external_info_destroy(es_external_info_t *info);
/** ES_OK if the files have all that a point needs: a layer that is measured and, for probes, labels of at most
 * ES_CLASSES_MAX classes. ES_INPUT. */
es_code_t es_external_check(const es_external_info_t *info, const es_point_t *point, es_status_t *status);

/** Opens one file and checks it against the info, as es_external_inspect does. */
es_code_t es_external_open(es_activations_t **out, const es_external_t *external, const es_external_info_t *info,
                           es_split_t split, int32_t epoch, es_status_t *status);

#endif
