/* Analyses over the epochs of a point: a table of functions for each, behind which the analysis owns its state.
 *
 * A new analysis is one file and one row in analysis.c. Functions are collective over the group and return the same
 * code on all ranks unless they say otherwise; those that an analysis does not need are NULL. Epochs are indices of the
 * result's epoch axis, layers count the measured layers. */
#ifndef ES_PIPELINE_ANALYSIS_H
#define ES_PIPELINE_ANALYSIS_H

#include "context.h"
#include "eigenscope/accumulator.h"
#include "eigenscope/checkpoint.h"
#include "eigenscope/forecast.h"
#include "eigenscope/spectrum.h"
#include "source.h"

/* A layer of a measured split whose eigenproblem was solved and whose numbers are in the result. Borrowed pointers. */
typedef struct es_solved {
  es_split_t split;
  int32_t epoch;
  int layer;
  const es_layer_problem_t *problem; /* vectors on the ranks that `wants_vectors` names, over the layer's columns */
  const es_reduced_t *reduced;
  int32_t k[ES_DELTAS_MAX]; /* leading vectors of each delta, of those that were found; 0 for a dead layer, −1 for one
                               that is not finite */
} es_solved_t;

/* Ranks that want the eigenvectors of a layer: one rank, or one of these. */
enum { ES_VECTORS_NOBODY = -1, ES_VECTORS_EVERYBODY = -2 };

typedef struct es_analysis {
  /* Forecasts (forecast.h): bytes of a rank with what states hold, multiply-adds. Not collective. */
  int64_t (*bytes)(const es_forecast_t *forecast, int ranks);
  double (*cost)(const es_forecast_t *forecast);

  /* Creates the state, or leaves *state NULL if the point does not ask for the analysis. Not collective; the caller
   * agrees. */
  es_code_t (*open)(void **state, es_context_t *c, es_point_source_t *source, es_status_t *status);
  int (*wants_vectors)(const void *state, es_split_t split, int32_t epoch, int layer); /* the same on all ranks */
  /* Takes a solved layer. Not collective; the caller agrees. */
  es_code_t (*layer)(void *state, const es_solved_t *solved, es_status_t *status);
  es_code_t (*split)(void *state, es_split_t split, int32_t epoch, es_status_t *status); /* all its layers are solved */
  es_code_t (*epoch)(void *state, int32_t epoch, es_status_t *status);                   /* all its splits are */
  /* After the last epoch; `complete` is false if the point diverged. */
  es_code_t (*finish)(void *state, bool complete, es_status_t *status);

  /* Tensors for the state file: returns how many; borrowed. The leader alone. */
  int (*save)(void *state, const es_tensor_view_t **tensors);
  /* Takes them from a state file; the leader alone, not collective. Then all ranks may share what they need. */
  es_code_t (*restore)(void *state, const es_safetensors_t *file, es_status_t *status);
  es_code_t (*resume)(void *state, es_status_t *status);
  void (*close)(void *state);
} es_analysis_t;

enum { ES_ANALYSES_MAX = 16 };

/* The analyses of one point. */
typedef struct es_analyses {
  es_context_t *context;         /* borrowed */
  void *states[ES_ANALYSES_MAX]; /* NULL for those that the point does not ask for */
} es_analyses_t;

/* Each goes over the table in its order. es_analyses_close also after a failure of es_analyses_open. */
es_code_t es_analyses_open(es_analyses_t *analyses, es_context_t *c, es_point_source_t *source, es_status_t *status);
int es_analyses_want_vectors(const es_analyses_t *analyses, es_split_t split, int32_t epoch, int layer);
es_code_t es_analyses_layer(es_analyses_t *analyses, const es_solved_t *solved, es_status_t *status);
es_code_t es_analyses_split(es_analyses_t *analyses, es_split_t split, int32_t epoch, es_status_t *status);
es_code_t es_analyses_epoch(es_analyses_t *analyses, int32_t epoch, es_status_t *status);
es_code_t es_analyses_finish(es_analyses_t *analyses, bool complete, es_status_t *status);
/* Tensors of all analyses; *tensors is the caller's to free, their data are borrowed. The leader alone. */
es_code_t es_analyses_save(es_analyses_t *analyses, es_tensor_view_t **tensors, int *n, es_status_t *status);
es_code_t es_analyses_restore(void *analyses, const es_safetensors_t *file, es_status_t *status);
es_code_t es_analyses_resume(es_analyses_t *analyses, es_status_t *status);
void es_analyses_close(es_analyses_t *analyses);

/* forecast.c: sums over the table. */
int64_t es_analyses_bytes(const es_forecast_t *forecast, int ranks);
double es_analyses_cost(const es_forecast_t *forecast);

#endif
