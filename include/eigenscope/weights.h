/** Weights of others in our networks: which tensors of a safetensors file are which of a graph, what does not fit, and
 * what width and classes the shapes tell. Names are those of torchvision's state_dict. The prefixes "module."
 * (DataParallel) and "_orig_mod." (torch.compile) are looked through; "num_batches_tracked" may be there or not;
 * anything else must be there once, with the shape of the graph and a real dtype. Not collective. */
#ifndef EIGENSCOPE_WEIGHTS_H
#define EIGENSCOPE_WEIGHTS_H

#include "eigenscope/checkpoint.h"
#include "eigenscope/comm.h"
#include "eigenscope/graph.h"
#include "eigenscope/model.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include "eigenscope/text.h"

/** The name without the prefixes above. Borrowed from `name`. */
const char *es_weights_name(const char *name);
/** Whether a tensor is batch norm's count of batches, which nothing here needs. */
bool es_weights_is_count(const char *name);

/** Compares a file (opened; its data are not looked at) with a network: the number of mismatches, each appended to
 * `report` (or NULL) as a line "  features.0.weight: 8 x 3 x 3 x 3, the network has 4 x 3 x 3 x 3". 0: it fits. */
int es_weights_compare(const es_safetensors_t *file, const es_graph_t *graph, es_text_t *report);
/** Fills flat vectors of the graph from a loaded file that fits. */
void es_weights_fill(const es_safetensors_t *file, const es_graph_t *graph, float *parameters, float *buffers);

/** Puts into the point what the shapes tell of its network (model and resolution given): the width, unless the job says
 * one (numerator 0: it does not), and the classes, unless it does (0). The width is the smallest that rounds down to
 * the channels that are there. ES_INPUT when too little of the network is in the file to tell. */
es_code_t es_weights_infer(const es_safetensors_t *file, es_point_t *point, es_status_t *status);

/** The path of a point's weights at an index of its epochs. ES_INPUT when it gets too long. */
es_code_t es_weights_file(char out[ES_PATH_MAX], const es_point_t *point, int32_t index, es_status_t *status);

/** What the numbers of a point with such weights depend on: chained over the fingerprint of the dataset and that of
 * each file (es_safetensors_fingerprint). `hashes` (or NULL) gets those of the files, with a blank between them. Codes
 * as es_safetensors_open. */
es_code_t es_weights_fingerprint(const es_point_t *point, const char *dataset, char out[ES_ID_SIZE], es_text_t *hashes,
                                 es_status_t *status);

/** Reads weights into a model: the leader (rank 0) reads, all ranks get them. The file must fit (else ES_INPUT with the
 * first mismatches) and be the one with that fingerprint. Collective over the group; all ranks return the same code. */
es_code_t es_weights_load(const char *path, const char *fingerprint, const es_graph_t *graph, es_model_t *model,
                          const es_group_t *group, es_status_t *status);

/** Weights that points left in a folder of results. */
typedef struct es_trained {
  char training[ES_ID_SIZE]; /**< es_point_training_id of the point */
  char id[ES_ID_SIZE];       /**< of the point */
  int32_t epoch;
  bool each; /**< in a file for each epoch */
} es_trained_t;
typedef struct es_trained_list {
  int n;
  es_trained_t *items; /**< owned; ascending by training, then epoch */
} es_trained_list_t;

/** Looks at the headers of all weights in <output>/checkpoints. Files that are none of ours are passed over. ES_INPUT
 * when there is no such folder. */
es_code_t es_trained_scan(es_trained_list_t *out, const char *output, es_status_t *status);
/** The last epoch of a point trained like that, or NULL. Borrowed. */
const es_trained_t *es_trained_find(const es_trained_list_t *list, const char *training);
void es_trained_destroy(es_trained_list_t *list);

#endif
