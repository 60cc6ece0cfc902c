/** Weights of others in our networks: which tensors of a safetensors file are which of a graph, what does not fit, and
 * what width and classes the shapes tell. Names are those of torchvision's state_dict. The prefixes "module."
 * (DataParallel) and "_orig_mod." (torch.compile) are looked through; "num_batches_tracked" may be there or not;
 * anything else must be there once, with the shape of the graph and a real dtype. Not collective. */
#ifndef EIGENSCOPE_WEIGHTS_H
#define EIGENSCOPE_WEIGHTS_H

#include "eigenscope/checkpoint.h"
#include "eigenscope/graph.h"
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

#endif
