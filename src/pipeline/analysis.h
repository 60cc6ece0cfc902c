/* Interface of the analyses of a point: each analysis is a table of functions and owns its state.
 *
 * To add an analysis, write one file and add one row in analysis.c. Functions are collective over the group and return
 * the same code on all ranks unless stated otherwise. Functions that an analysis does not need are NULL. Epochs are
 * indices on the result's epoch axis; layers are indices of measured layers. */
#ifndef ES_PIPELINE_ANALYSIS_H
#define ES_PIPELINE_ANALYSIS_H

#include "context.h"
#include "eigenscope/accumulator.h"
#include "eigenscope/checkpoint.h"
#include "eigenscope/forecast.h"
#include "eigenscope/spectrum.h"
#include "source.h"

/* A solved layer of a measured split, with its numbers already in the result. Pointers are borrowed. */
typedef struct es_solved {
  es_split_t split;
  int32_t epoch;
  int layer;
  const es_layer_problem_t *problem; /* over the layer's columns; has vectors only on the ranks of `wants_vectors` */
  const es_reduced_t *reduced;
  int32_t k[ES_DELTAS_MAX]; /* number of leading vectors for each delta, at most those found; 0: dead layer, −1: layer
                               that is not finite */
} es_solved_t;

/* The merged rows of a layer. Pointers are borrowed. */
typedef struct es_merged {
  es_split_t split;
  int32_t epoch;
  int layer, owner;
  const es_reduced_t *reduced;
} es_merged_t;

/* Ranks that need the eigenvectors of a layer: either one rank, or one of these values. */
enum { ES_VECTORS_NOBODY = -1, ES_VECTORS_EVERYBODY = -2 };

typedef struct es_analysis {
  /* Forecasts (forecast.h): bytes per rank, including state files, −1 if memory is out; multiply-adds. Not
   * collective. */
  int64_t (*bytes)(const es_forecast_t *forecast, int ranks);
  double (*cost)(const es_forecast_t *forecast);

  /* Creates the state, or leaves *state NULL if the point does not ask for the analysis. Not collective; the caller
   * then calls es_agree. */
  es_code_t (*open)(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status);
  es_code_t (*begin)(void *state, int32_t epoch, es_status_t *status);                 /* before the rows of an epoch */
  int (*wants_vectors)(const void *state, es_split_t split, int32_t epoch, int layer); /* equal on all ranks */
  /* Receives the merged rows of a layer before its eigenvalues are computed. The triangle is only on rank `owner`.
   * Collective. */
  es_code_t (*reduced)(void *state, const es_merged_t *merged, es_status_t *status);
  /* Receives a solved layer. Not collective; the caller then calls es_agree. */
  es_code_t (*layer)(void *state, const es_solved_t *solved, es_status_t *status);
  es_code_t (*split)(void *state, es_split_t split, int32_t epoch, es_status_t *status); /* after its last layer */
  es_code_t (*epoch)(void *state, int32_t epoch, es_status_t *status);                   /* after its last split */
  /* Runs after the last epoch; `complete` is false if the point diverged. */
  es_code_t (*finish)(void *state, bool complete, es_status_t *status);

  /* Returns the number of tensors for the state file; *tensors is borrowed. Called on the leader only. */
  int (*save)(void *state, const es_tensor_view_t **tensors);
  /* `restore` reads these tensors from a state file on the leader only; `resume` then shares them with all ranks. */
  es_code_t (*restore)(void *state, const es_safetensors_t *file, es_status_t *status);
  es_code_t (*resume)(void *state, es_status_t *status);
  void (*close)(void *state);
} es_analysis_t;

enum { ES_ANALYSES_MAX = 16 };

/* The analyses of one point. */
typedef struct es_analyses {
  es_context_t *context;         /* borrowed */
  void *states[ES_ANALYSES_MAX]; /* NULL if the point does not ask for the analysis */
} es_analyses_t;

/* Each function calls all analyses in the table's order. Call es_analyses_close even if es_analyses_open failed. */
es_code_t es_analyses_open(es_analyses_t *analyses, es_context_t *c, es_point_source_t *source, es_status_t *status);
es_code_t es_analyses_begin(es_analyses_t *analyses, int32_t epoch, es_status_t *status);
int es_analyses_want_vectors(const es_analyses_t *analyses, es_split_t split, int32_t epoch, int layer);
es_code_t es_analyses_reduced(es_analyses_t *analyses, const es_merged_t *merged, es_status_t *status);
es_code_t es_analyses_layer(es_analyses_t *analyses, const es_solved_t *solved, es_status_t *status);
es_code_t es_analyses_split(es_analyses_t *analyses, es_split_t split, int32_t epoch, es_status_t *status);
es_code_t es_analyses_epoch(es_analyses_t *analyses, int32_t epoch, es_status_t *status);
es_code_t es_analyses_finish(es_analyses_t *analyses, bool complete, es_status_t *status);
/* Collects the tensors of all analyses. The caller frees *tensors; the data are borrowed. Called on the leader only. */
es_code_t es_analyses_save(es_analyses_t *analyses, es_tensor_view_t **tensors, int *n, es_status_t *status);
es_code_t es_analyses_restore(void *analyses, const es_safetensors_t *file, es_status_t *status);
es_code_t es_analyses_resume(es_analyses_t *analyses, es_status_t *status);
void es_analyses_close(es_analyses_t *analyses);

/* For forecast.c: sums over all analyses; −1 as above. */
int64_t es_analyses_bytes(const es_forecast_t *forecast, int ranks);
double es_analyses_cost(const es_forecast_t *forecast);

#endif
