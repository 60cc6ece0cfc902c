/** Predicts the multiply-adds and bytes of a point before it runs, for `plan`. The numbers come from the same tables of
 * sources and analyses (src/pipeline/source.h, analysis.h) that `run` executes. Not collective. */
#ifndef EIGENSCOPE_FORECAST_H
#define EIGENSCOPE_FORECAST_H

#include "eigenscope/accumulator.h"
#include "eigenscope/external.h"
#include "eigenscope/graph.h"
#include "eigenscope/point.h"
#include "eigenscope/status.h"
#include <stdint.h>

/** Assumed saturation k/width at the largest delta, before anything is measured. */
#define ES_EXPECTED_SATURATION 0.5

/** A measured layer. */
typedef struct es_forecast_layer {
  es_rows_info_t rows; /**< rows of the largest pass */
  int32_t order;       /**< order of its eigenproblem */
  int32_t features;    /**< features of its probe */
  bool is_double;      /**< the features are double, else float */
} es_forecast_layer_t;

/** A point, and sums over its measured layers that depend only on the network and the measure settings. */
typedef struct es_forecast {
  const es_point_t *point;    /**< bound; borrowed */
  int64_t samples[ES_SPLITS]; /**< images that the point uses; for activation files: samples of the largest file */
  int32_t classes;            /**< 0 without labels */
  const es_graph_t *graph;    /**< borrowed; NULL for activations in files */
  int n_layers;
  es_forecast_layer_t *layers; /**< (n_layers) owned; es_forecast_cost does not need them */
  int64_t parameters, macs;    /**< parameters of the network; multiply-adds of one sample forward */
  double covariance;           /**< multiply-adds of one sample in all covariances: rows · width²/2 (one triangle) */
  double solve;    /**< all eigenproblems: width³ · 4/3 (reduction to tridiagonal form), 10/3 with eigenvectors */
  double features; /**< Σ features */
} es_forecast_t;

/** Fills the forecast for a network. The caller sets `samples` before it asks for cost or bytes. ES_SYSTEM. */
es_code_t es_forecast_network(es_forecast_t *out, const es_point_t *point, const es_graph_t *graph,
                              es_status_t *status);
/** Fills the forecast for activations in files. ES_SYSTEM. */
es_code_t es_forecast_files(es_forecast_t *out, const es_point_t *point, const es_external_info_t *info,
                            es_status_t *status);
void es_forecast_destroy(es_forecast_t *forecast);

/** Multiply-adds of one sample forward, counted in those of float32 that take as long. */
double es_forecast_pass(const es_forecast_t *forecast);
/** Float32 multiply-adds of a network that take as long as one in this precision: a half in bfloat16. Measured with AMX
 * (Emerald Rapids, user CPU seconds of 2560 images without those of starting): 0.9 for VGG11 at width 1/16, 0.7 at 1/8,
 * 0.5 at 1/4; 0.6 for ResNet-18 at 1/16 and 1/8. */
double es_forecast_weight(es_precision_t precision);

/** Rows of `samples` samples of a layer in a file. Methods that do not change outputs keep double as double; others
 * convert to float. */
es_rows_info_t es_forecast_rows(const es_external_layer_t *layer, const es_measure_settings_t *measure,
                                int64_t samples);

/** Multiply-adds of the whole point; those of its network are counted as by es_forecast_pass. */
double es_forecast_cost(const es_forecast_t *forecast);
/** Bytes, without images, on the rank that needs most of `ranks` ranks; 0 if memory is too short to compute it. Needs
 * `layers`, and `graph` unless the activations come from files. */
int64_t es_forecast_bytes(const es_forecast_t *forecast, int ranks);
/** Bytes of the file of features (features.h), but for the few that HDF5 adds; 0 without measure.similarity. Needs
 * `layers`. */
int64_t es_forecast_features(const es_forecast_t *forecast);

#endif
