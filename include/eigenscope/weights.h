/** Loads foreign weights into a network: maps tensors of a safetensors file to tensors of a graph, reports mismatches,
 * and infers width and classes from the shapes. Names are those of torchvision's state_dict. The prefixes "module."
 * (DataParallel) and "_orig_mod." (torch.compile) are ignored; "num_batches_tracked" is optional; every other tensor
 * must occur exactly once, with the shape of the graph and a real dtype. Not collective. */
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
/** True for batch norm's count of batches, which this program does not use. */
bool es_weights_is_count(const char *name);

/** Compares an opened file (without its data) with a network. Returns the number of mismatches; appends each to
 * `report` (or NULL) as "  features.0.weight: 8 x 3 x 3 x 3, the network has 4 x 3 x 3 x 3". 0: it fits. */
int es_weights_compare(const es_safetensors_t *file, const es_graph_t *graph, es_text_t *report);
/** Fills flat vectors of the graph from a loaded file that fits. */
void es_weights_fill(const es_safetensors_t *file, const es_graph_t *graph, float *parameters, float *buffers);

/** Infers width and classes of a point (model and resolution given) from the shapes: the width if the job does not set
 * it (numerator 0), the classes if the job does not set them (0). The width is the smallest that rounds down to the
 * channels in the file. ES_INPUT if the file holds too little of the network. */
es_code_t es_weights_infer(const es_safetensors_t *file, es_point_t *point, es_status_t *status);

/** Finds the network that a file fits: the model of the point with any of its options, or, if `point` is NULL, the
 * first built-in architecture that fits. Sets model, width, classes and resolution of `out`; the resolution is 224
 * unless weights show it. ES_SYSTEM if out of memory. */
es_code_t es_weights_recognise(const es_safetensors_t *file, const es_point_t *point, es_point_t *out, bool *found,
                               es_status_t *status);

/** Appends in one clause how the tensors of a file and of a network differ: "lacks 2 tensors (the first is fc.weight)
 * and has 1 that the network lacks (the first is head.weight)". Nothing if they fit. */
void es_weights_summarise(const es_safetensors_t *file, const es_graph_t *graph, es_text_t *out);
/** Appends one line that says why a file does not fit a point: the first tensor that does not fit, its shape, what the
 * job says, and what would be right. Appends nothing if no single network explains the shapes; es_weights_compare then
 * lists the mismatches. `dataset_classes`: the dataset's count, or 0 if unknown. ES_SYSTEM if out of memory. */
es_code_t es_weights_explain(const es_safetensors_t *file, const es_point_t *point, int32_t dataset_classes,
                             es_text_t *out, es_status_t *status);

/** The path of a point's weights at an index of its epochs. ES_INPUT if the path is too long. */
es_code_t es_weights_file(char out[ES_PATH_MAX], const es_point_t *point, int32_t index, es_status_t *status);

/** Fingerprint of the data and weights of a point: chains the fingerprint of the dataset and of each file
 * (es_safetensors_fingerprint). `hashes` (or NULL) gets the fingerprints of the files, separated by blanks. Codes as
 * es_safetensors_open. */
es_code_t es_weights_fingerprint(const es_point_t *point, const char *dataset, char out[ES_ID_SIZE], es_text_t *hashes,
                                 es_status_t *status);

/** Loads weights into a model: the leader (rank 0) reads, all ranks get them. The file must fit (else ES_INPUT with the
 * first mismatches) and have that fingerprint. Collective over the group; all ranks return the same code. */
es_code_t es_weights_load(const char *path, const char *fingerprint, const es_graph_t *graph, es_model_t *model,
                          const es_group_t *group, es_status_t *status);

/** Weights that a point saved in a folder of results. */
typedef struct es_trained {
  char training[ES_ID_SIZE]; /**< the point's es_point_training_id */
  char id[ES_ID_SIZE];       /**< id of the point */
  int32_t epoch;
  bool each; /**< one file per epoch */
} es_trained_t;
typedef struct es_trained_list {
  int n;
  es_trained_t *items; /**< owned; ascending by training, then epoch */
} es_trained_list_t;

/** Reads the headers of all weights in <output>/checkpoints. Ignores files that this program did not write. ES_INPUT if
 * there is no such folder. */
es_code_t es_trained_scan(es_trained_list_t *out, const char *output, es_status_t *status);
/** The last epoch of a point with that training id, or NULL. Borrowed. */
const es_trained_t *es_trained_find(const es_trained_list_t *list, const char *training);
void es_trained_destroy(es_trained_list_t *list);

#endif
