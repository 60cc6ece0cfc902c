/* Interface of the sources of activations: each source is a table of functions and owns its state.
 *
 * `open` creates the group, the result and the state key of the point. In each epoch the source then makes the rows of
 * the measured layers, and measure.h turns the rows into numbers. Functions are collective over the group and return
 * the same code on all ranks unless stated otherwise. Epochs are indices on the result's epoch axis; layers are indices
 * of measured layers. Functions that a source does not need are NULL. */
#ifndef ES_PIPELINE_SOURCE_H
#define ES_PIPELINE_SOURCE_H

#include "context.h"
#include "eigenscope/accumulator.h"
#include "eigenscope/classes.h"
#include "eigenscope/forecast.h"
#include "eigenscope/graph.h"
#include "eigenscope/memory.h"
#include "eigenscope/state.h"
#include <assert.h>

typedef struct es_point_source es_point_source_t;

/* Samples of a split that es_source_passes_t.visit shows to this rank, lane after lane. */
typedef struct es_visit_samples {
  int64_t n;           /* samples of all ranks; 0 if the source lacks the split */
  int64_t *lane_start; /* (lane_count + 1): index in `position` of each lane's first sample */
  int32_t *position;   /* position of each sample in the split */
  int32_t *label;      /* (n) labels by position in the split */
  es_owned_t owned;    /* owns the arrays above */
} es_visit_samples_t;
/* Allocates for n samples of all ranks, n_local of them on this rank; returns false when out of memory. */
bool es_visit_samples_allocate(es_visit_samples_t *out, int64_t n, int64_t n_local, int lane_count);

/* Receives n outputs of a layer (n, shape.h, shape.w, shape.c), float, or double if es_source_passes_t.is_double says
 * so; the first is sample `at` of this rank. */
typedef struct es_visitor {
  const es_visit_samples_t *samples; /* of the split; borrowed */
  void (*visit)(void *context, int layer, int64_t at, const void *out, int64_t n, es_shape_t shape);
  void *context;
} es_visitor_t;

/* Outputs of one lane that the pass over the rows of a split has just made. Pointers are valid during the call. */
typedef struct es_ride {
  es_split_t split;
  int layer;            /* measured layer; −1 if the node is not measured */
  int shown;            /* captured layer (graph.h); −1 if the source has no network */
  int lane;             /* of this rank; its samples come in order */
  int64_t at;           /* the first sample among those of this rank, lane after lane */
  int64_t local, total; /* samples of this rank, of all ranks, in the whole pass */
  const void *out;      /* (n, shape.h, shape.w, shape.c), float or double */
  const void *rows;     /* rows that measure.method makes of `out`; NULL if the layer is not measured, or unknown */
  int64_t n;
  es_shape_t shape;
  bool is_double;
  const int32_t *labels; /* (n); NULL if the source has none */
} es_ride_t;

/* Sees the outputs from which rows are made, while they are made. Analyses add riders when they open. */
typedef struct es_rider {
  void (*take)(void *context, const es_ride_t *ride);
  void *context;
} es_rider_t;
enum { ES_RIDERS_MAX = 4 };

/* Changes n output vectors of a layer in place. */
typedef struct es_layer_editor {
  void (*edit)(void *context, int layer, float *rows, int64_t n);
  void *context;
} es_layer_editor_t;

/* Passes over the samples: measured rows first, then visits and evaluations. */
typedef struct es_source_passes {
  /* Makes the rows of *n layers from `first` on, as many layers as fit into memory. The caller asks for layers in
   * order; a split may need several calls. *n is 0 if the split is not measured. `stats` covers the whole pass. */
  es_code_t (*rows)(es_point_source_t *source, es_split_t split, int32_t epoch, int first, int *n,
                    es_epoch_stats_t *stats, es_status_t *status);
  /* Returns the order of the eigenproblem of a layer whose rows exist. Not collective. */
  int32_t (*order)(const es_point_source_t *source, int layer);
  /* Merges the rows of a layer over lanes and ranks (es_accumulator_finish). */
  es_code_t (*reduce)(es_point_source_t *source, int layer, es_reduced_t *out, es_status_t *status);
  /* Gives the class means of a layer whose rows exist, from sums that the source has; NULL: from single samples. */
  es_code_t (*class_means)(es_point_source_t *source, int layer, es_class_means_t *out, es_status_t *status);
  /* Frees the rows of the last call of `rows`. Not collective. */
  void (*release)(es_point_source_t *source);

  /* Lists the samples that a visit of a split will show. Visits run in inference mode, after the epoch's rows. Not
   * collective; the caller then calls es_agree. */
  es_code_t (*samples)(es_point_source_t *source, es_split_t split, int32_t epoch, es_visit_samples_t *out,
                       es_status_t *status);
  /* Shape of the outputs of a layer. Not collective. */
  es_shape_t (*shape)(const es_point_source_t *source, int layer);
  /* True if a visit shows the outputs of a layer as double; NULL if it shows float. Not collective. */
  bool (*is_double)(const es_point_source_t *source, int layer);
  /* Shows all outputs of layers first … first+n−1. Ranks may return different codes; the caller then calls es_agree. */
  es_code_t (*visit)(es_point_source_t *source, es_split_t split, int32_t epoch, int first, int n,
                     const es_visitor_t *visitor, es_status_t *status);
  /* Computes the accuracy on the eval split while `editor` changes the outputs of all measured layers; NaN if the loss
   * is not finite. NULL if the source has no network to run. */
  es_code_t (*evaluate)(es_point_source_t *source, int32_t epoch, const es_layer_editor_t *editor, double *accuracy,
                        es_status_t *status);
} es_source_passes_t;

typedef struct es_source_class {
  /* Forecasts (forecast.h): bytes per rank; multiply-adds of all passes over the samples. Not collective. */
  int64_t (*bytes)(const es_forecast_t *forecast, int ranks);
  double (*cost)(const es_forecast_t *forecast);

  /* Creates the source, c->group and c->result; sets c->last. The caller closes *out, even if `open` failed. */
  es_code_t (*open)(es_point_source_t **out, es_context_t *c, const es_dataset_t *dataset, es_status_t *status);
  /* Prepares an epoch. */
  es_code_t (*begin)(es_point_source_t *source, int32_t epoch, es_status_t *status);
  /* True if the split exists in this epoch, measured or not. Not collective. */
  bool (*has)(const es_point_source_t *source, es_split_t split, int32_t epoch);
  const es_source_passes_t *passes;
  void (*close)(es_point_source_t *source); /* `source` may be NULL */
} es_source_class_t;

/* State that all sources share; the struct of each source begins with it. */
struct es_point_source {
  const es_source_class_t *class;
  es_context_t *context; /* borrowed */
  es_state_key_t key;
  int32_t classes;           /* number of classes; 0 without labels */
  bool knows_classes;        /* true if class_means has sums of the classes */
  bool one_layer_a_visit;    /* true if a visit of n layers costs as much as n visits of one layer */
  bool takes_rider;          /* true if `rows` of the eval split can show its outputs to `rider`, as a visit would */
  const es_visitor_t *rider; /* or NULL. Borrowed */
  void (*after_backward)(void *context); /* called on all ranks after the backward pass of each step; or NULL */
  void *after_backward_context;
  es_rider_t riders[ES_RIDERS_MAX]; /* see the outputs of the train and the eval split */
  int n_riders;
  /* Trained weights, for states and files of weights; NULL if nothing is trained. Borrowed from the source. */
  const es_graph_t *graph;
  es_trainer_t *trainer;
  /* The network that runs, trained or loaded; NULL if the source has none. Borrowed from the source. */
  const es_graph_t *network;
  es_trainer_t *runner;
  const char *files, *hashes;                         /* of loaded weights, for provenance; or NULL. Borrowed */
  const double *normalize_mean, *normalize_deviation; /* of the images, 3 each; or NULL. Borrowed */
  const es_dataset_t *dataset;                        /* or NULL. Borrowed */
  /* Sources of the point's probe.datasets, for visits (source_other.h). Owned by the source. */
  es_point_source_t *others[ES_PROBE_DATASETS_MAX];
  int n_others;
  const int32_t *steps; /* (n_steps) measured training steps. Borrowed */
  int64_t n_steps, steps_of_epoch;
};

/* Shows outputs to all riders. */
static inline void es_source_show(const es_point_source_t *source, const es_ride_t *ride) {
  for (int i = 0; i < source->n_riders; i++) source->riders[i].take(source->riders[i].context, ride);
}
static inline void es_source_add_rider(es_point_source_t *source, es_rider_t rider) {
  assert(source->n_riders < ES_RIDERS_MAX);
  source->riders[source->n_riders++] = rider;
}

extern const es_source_class_t es_source_train, es_source_checkpoint, es_source_activations, es_source_moments;
const es_source_class_t *es_source_class(es_source_t source);
/* Creates source->context->result for the measured layers; source->class must be set. Not collective; the caller then
 * calls es_agree. */
es_code_t es_source_create_result(const es_point_source_t *source, const es_layer_info_t *layers, int n_layers,
                                  int32_t classes, es_status_t *status);

#endif
