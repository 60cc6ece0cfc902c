/** Capture: chooses the measured layers, turns each output into rows of a data matrix (the method), and accumulates the
 * covariances of these rows during a pass. */
#ifndef EIGENSCOPE_CAPTURE_H
#define EIGENSCOPE_CAPTURE_H

#include "eigenscope/accumulator.h"
#include "eigenscope/comm.h"
#include "eigenscope/graph.h"
#include "eigenscope/model.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"

/** A method that turns outputs into rows. To add a method, add an entry in src/capture/methods.c. */
typedef struct es_method {
  const char *name;
  /** Columns of the data matrix for outputs of this shape; INT32_MAX if there are more. */
  int32_t (*width)(es_shape_t shape, int32_t size);
  /** Turns (samples, h, w, c) into rows. Returns `out` if it already is the data matrix, else `scratch`. */
  const float *(*rows)(const float *out, int64_t samples, es_shape_t shape, int32_t size, float *scratch);
  /** Does what `rows` does, for outputs of type double. */
  const double *(*rows_f64)(const double *out, int64_t samples, es_shape_t shape, int32_t size, double *scratch);
  /** Rows per sample. */
  int64_t (*positions)(es_shape_t shape, int32_t size);
  /** Numbers of scratch that ES_SLICE_MAX samples need. */
  int64_t (*scratch)(es_shape_t shape, int32_t size);
} es_method_t;

/** The method of that kind, or NULL if this version does not have it. */
const es_method_t *es_method(es_method_kind_t kind);
/** The method for the output of a node. Tokens lie on one axis, so that `pool` makes `size` rows of them instead of
 * size × size. */
const es_method_t *es_method_of(es_method_kind_t kind, const es_node_t *node);

/** True if a captured layer is measured. */
static inline bool es_capture_takes(const es_measure_settings_t *measure, const es_node_t *node) {
  return node->kind != ES_LAYER_KINDS && es_measure_takes(measure, node->name);
}

/** Finds the captured layers that match the patterns of `measure: {layers: ...}`: writes their indices into
 * graph->layers to `out` (at most the graph's n_layers) and returns their number. */
int es_capture_select(const es_graph_t *graph, const es_measure_settings_t *measure, int32_t *out);

typedef struct es_capture es_capture_t;

/** Finds the measured layers; es_capture_begin creates their accumulators. Not collective; the caller calls es_agree.
 * ES_INPUT if no layer matches, ES_SYSTEM if out of memory. Borrows graph and group. */
es_code_t es_capture_create(es_capture_t **out, const es_graph_t *graph, const es_measure_settings_t *measure,
                            const es_group_t *group, es_status_t *status);
void es_capture_destroy(es_capture_t *capture);

int es_capture_n_layers(const es_capture_t *capture);
/** Node of measured layer `layer`. */
const es_node_t *es_capture_node(const es_capture_t *capture, int layer);
/** Index of a captured layer (graph.h) among the measured layers, or −1. */
int es_capture_measured(const es_capture_t *capture, int captured);
/** Columns of measured layer `layer`. */
int32_t es_capture_width(const es_capture_t *capture, int layer);

/** Before each pass: discards all rows and creates the accumulators for a pass over `samples` samples (of all ranks).
 * Collective; all ranks return the same code. */
es_code_t es_capture_begin(es_capture_t *capture, int64_t samples, es_status_t *status);
/** The observer that a pass calls; borrows the capture. */
const es_observer_t *es_capture_observer(es_capture_t *capture);
/** The rows that the observer has made of the output of a measured layer that it saw last; valid until it sees the next
 * one. Borrowed. */
const float *es_capture_rows(const es_capture_t *capture);
/** After each batch: exchanges the rows of accumulators that are distributed over the ranks. Collective; all ranks
 * return the same code. */
es_code_t es_capture_exchange(es_capture_t *capture, es_status_t *status);
/** Order of the eigenproblem that es_capture_finish returns for a layer if all announced rows are added. */
int32_t es_capture_order(const es_capture_t *capture, int layer);
/** Merges the rows of one layer over lanes and ranks, see es_accumulator_finish. Collective. */
es_code_t es_capture_finish(es_capture_t *capture, int layer, es_reduced_t *out, es_status_t *status);
/** Seconds spent in `observe` and es_capture_exchange since es_capture_begin. */
double es_capture_seconds(const es_capture_t *capture);
/** Bytes of accumulators and scratch on the rank that needs most of `ranks` ranks, for passes over `samples` samples; 0
 * if memory is too short to compute it. */
int64_t es_capture_bytes(const es_graph_t *graph, const es_measure_settings_t *measure, int64_t samples, int lanes,
                         int ranks);
/** Messages that a rank sends to merge the layers' covariances after such a pass (traffic.h), if `ranks` ranks share
 * the lanes: moments and triangle of each lane. Excludes layers that are not merged lane by lane (accumulator.h).
 * Includes seconds if `link` is given. Zeros if memory is too short to compute it. */
es_traffic_t es_capture_traffic(const es_graph_t *graph, const es_measure_settings_t *measure, int64_t samples,
                                int lanes, int ranks, const es_link_t *link);

#endif
