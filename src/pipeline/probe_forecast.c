#include "probe_forecast.h"
#include "eigenscope/probe.h"
#include "probe_eval.h"
#include "probe_path.h"

static void add_layer(es_probe_features_t *f, int64_t bytes) {
  f->all += bytes;
  if (bytes > f->largest) f->largest = bytes;
}

es_probe_features_t es_probe_features(const es_point_source_t *source) {
  es_probe_features_t f = {0};
  for (int i = 0; i < es_context_layers(source->context); i++) {
    const es_probe_pooling_t p = es_probe_eval_pooling(source, i);
    add_layer(&f, es_probe_width(p.h, p.w, p.c, p.pool) * (int64_t)(p.is_double ? sizeof(double) : sizeof(float)));
  }
  return f;
}

int64_t es_probe_round_bytes(const es_probe_features_t *f, int64_t n, int ranks) {
  const int64_t part = (n + ranks - 1) / ranks * f->all;
  return ranks > 1 ? 2 * part + n * f->largest : part;
}

enum { PRODUCTS = 400 }; /* see es_probe_forecast_cost */

/* A dataset to which probes are fitted. */
typedef struct data {
  int32_t classes;
  int64_t samples[ES_SPLITS];
} data_t;

/* Dataset `i` of probe.datasets, or that of the point. */
static data_t data_of(const es_forecast_t *f, int i) {
  const es_probe_dataset_t *other = &f->point->probe.datasets[i < 0 ? 0 : i];
  if (i < 0) return (data_t){f->classes, {f->samples[ES_TRAIN], f->samples[ES_EVAL]}};
  return (data_t){other->classes, {other->samples[ES_TRAIN], other->samples[ES_EVAL]}};
}

static int64_t fitted_samples(const es_forecast_t *f, const data_t *data) {
  const int64_t all = data->samples[ES_TRAIN], limit = f->point->probe.samples;
  return limit > 0 && limit < all ? limit : all;
}

/* Features of one round on the busiest rank, plus the fit of the widest layer. Lanes differ by one or two samples.
 * Several ranks send their features to the ranks that fit whole layers, one layer after the other, if probe.memory has
 * room for both. */
static int64_t fit_bytes(const es_forecast_t *f, const data_t *data, bool own, int ranks) {
  const int lanes = f->point->train.lanes;
  const es_group_t group = {.size = ranks, .lanes = lanes, .lane_count = lanes / ranks > 0 ? lanes / ranks : 1};
  int32_t widest = 1;
  es_probe_features_t size = {.largest = 4};
  for (int i = 0; i < f->n_layers; i++) {
    const int64_t features = f->layers[i].features;
    if (features > widest) widest = (int32_t)features;
    add_layer(&size, features * (f->layers[i].is_double ? 8 : 4));
  }
  const int64_t n = fitted_samples(f, data), one = (n + ranks - 1) / ranks * size.largest,
                room = (int64_t)f->point->probe.memory << 20,
                eval = (data->samples[ES_EVAL] + ranks - 1) / ranks * size.all;
  int64_t held = es_probe_round_bytes(&size, n, ranks);
  if (held > room || (!f->graph && ranks == 1)) held = f->graph || ranks > 1 ? room : 0; /* or one layer of a file */
  if (held < one) held = one;
  if (own && f->graph && held + eval <= room) held += eval;
  const es_probe_problem_t problem = {.n = n, .width = widest, .classes = data->classes};
  return held + es_probe_bytes(&problem, &group) +
         es_probe_path_bytes(&f->point->probe, ranks > 1 ? n : one / size.largest, size.largest);
}

/* The fit that needs most, plus the confusion and the recall of each probe, in the result and in the image of the file.
 */
int64_t es_probe_forecast_bytes(const es_forecast_t *f, int ranks) {
  int64_t most = 0;
  if (f->point->probe.epochs.kind == ES_EPOCHS_NONE || f->classes == 0) return 0;
  for (int i = -1; i < f->point->probe.n_datasets; i++) {
    const data_t data = data_of(f, i);
    const int64_t bytes = fit_bytes(f, &data, i < 0, ranks);
    if (bytes > most) most = bytes;
  }
  const int64_t probes = (int64_t)es_point_probe_epochs(f->point, NULL) * f->n_layers;
  const int64_t others = 2 * 40 * probes * f->point->probe.n_datasets;
  return most + 2 * 8 * probes * f->classes * (f->classes + 1) + others;
}

/* One pass over both splits of each dataset per probe epoch, plus the fits: about 70 to 150 passes with two products
 * each over the features, which wait for memory. Fits took the CPU time of 285 to 500 such products by the speed of a
 * network's passes. A path has a fit for each strength besides the final one. */
double es_probe_forecast_cost(const es_forecast_t *f) {
  const double products = PRODUCTS * (1 + f->point->probe.n_path);
  double cost = 0.0;
  for (int i = -1; i < f->point->probe.n_datasets; i++) {
    const data_t data = data_of(f, i);
    cost += (double)(data.samples[ES_TRAIN] + data.samples[ES_EVAL]) * es_forecast_pass(f) +
            products * (double)fitted_samples(f, &data) * data.classes * f->features;
  }
  return es_point_probe_epochs(f->point, NULL) * cost;
}
