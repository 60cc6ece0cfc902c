/* Plans a job of activations: its layers, the strategy of each, time and memory. */
#include "eigenscope/forecast.h"
#include "eigenscope/memory.h"
#include "eigenscope/spectrum.h"
#include "eigenscope/text.h"
#include "plan_internal.h"
#include <stdio.h>

enum { RANKS_MOST = 1 << 20 };

/* Predicts the seconds for a layer. The covariance computes one triangle at the rate of SYRK on this kind of machine
 * (Zen 4, `eigenscope bench covariance`), 70 GFLOP/s per rank. */
static double layer_seconds(const es_point_t *point, const es_forecast_layer_t *layer, int ranks) {
  const es_rows_info_t *rows = &layer->rows;
  const bool vectors = es_measure_vectors(&point->measure);
  if (point->source == ES_SOURCE_MOMENTS) return es_spectrum_seconds(layer->order, ranks, vectors);
  const double order = rows->rows < rows->width ? (double)rows->rows : rows->width;
  return es_spectrum_seconds(layer->order, ranks, vectors) + (double)rows->rows * rows->width * order / (70e9 * ranks);
}

static int64_t features_bytes(const es_plan_t *plan, const es_external_info_t *info) {
  es_point_t point;
  es_forecast_t forecast;
  es_plan_point(plan, 0, &point);
  const es_code_t code = es_forecast_files(&forecast, &point, info, &(es_status_t){0});
  const int64_t bytes = code == ES_OK ? es_forecast_features(&forecast) : 0;
  es_forecast_destroy(&forecast);
  return bytes;
}

int64_t es_plan_activations_bytes(const es_plan_t *plan, int64_t index, const es_external_info_t *info, int ranks) {
  es_forecast_t forecast;
  es_point_t point;
  es_grid_point(plan->grid, index, &point);
  es_plan_moments_apply(plan, index, &point);
  const es_code_t code = es_forecast_files(&forecast, &point, info, &(es_status_t){0});
  const int64_t bytes = code == ES_OK ? es_forecast_bytes(&forecast, ranks) : 0;
  es_forecast_destroy(&forecast);
  return bytes;
}

int64_t es_plan_external_bytes(const es_plan_t *plan, int64_t index, int ranks) {
  es_external_info_t info;
  if (es_plan_external(plan, index, &info, &(es_status_t){0}) != ES_OK) return 0;
  const int64_t bytes = es_plan_activations_bytes(plan, index, &info, ranks);
  es_external_info_destroy(&info);
  return bytes;
}

int es_plan_activations_fit(const es_plan_t *plan, int64_t index, const es_external_info_t *info, int ranks, int here,
                            int64_t available) {
  for (; ranks <= RANKS_MOST; ranks *= 2) {
    if (0.8 * here * (double)es_plan_activations_bytes(plan, index, info, ranks) <= (double)available) return ranks;
  }
  return 0;
}

void es_plan_activations_table(const es_plan_t *plan, const es_external_info_t *info, int ranks, es_text_t *out) {
  es_point_t first;
  const es_point_t *point = &first;
  es_grid_point(plan->grid, 0, &first);
  es_plan_moments_apply(plan, 0, &first);
  const int32_t epochs = es_external_epochs(&point->external);
  es_table_t table = {0};
  const bool sums = point->source == ES_SOURCE_MOMENTS;
  double total = 0.0;
  es_table_columns(&table, "layer|shape|way|>width|>rows|>s");
  es_forecast_t forecast;
  if (es_forecast_files(&forecast, point, info, &(es_status_t){0}) != ES_OK) out->failed = true;
  for (int i = 0, n = 0; !out->failed && i < info->n_layers; i++) {
    const es_external_layer_t *layer = &info->layers[i];
    if (!es_measure_takes(&point->measure, layer->name)) continue;
    const es_forecast_layer_t *planned = &forecast.layers[n++];
    const es_rows_info_t *rows = &planned->rows;
    const double seconds = layer_seconds(point, planned, ranks);
    es_table_cell(&table, "%s", layer->name);
    es_table_cell(&table, "%d x %d x %d", layer->h, layer->w, layer->c);
    es_table_cell(&table, "%s", sums ? "sums" : es_strategy_name(es_accumulator_strategy(rows->width, rows->rows)));
    es_table_cell(&table, "%d", rows->width);
    if (sums)
      es_table_cell(&table, "-"); /* the line below has their largest number */
    else
      es_table_cell(&table, "%lld", (long long)rows->rows);
    es_table_cell(&table, "%.2f", seconds);
    total += seconds;
  }
  es_forecast_destroy(&forecast);
  es_table_print(&table, out);
  const int files = epochs * (es_external_has(&point->external, ES_TRAIN) + es_external_has(&point->external, ES_EVAL));
  if (sums)
    es_text_append(
        out,
        "\n"
        "%d epoch%s of at most %lld rows; about %.0f s on %d rank%s, without the time to read files; results go "
        "to %s/points/%s.h5\n",
        epochs, epochs == 1 ? "" : "s", (long long)info->most_samples, total * files, ranks, ranks == 1 ? "" : "s",
        plan->output, es_grid_id(plan->grid, 0));
  else
    es_text_append(out,
                   "\n"
                   "%d file%s of %lld sample%s, %d class%s; about %.0f s on %d rank%s, without the time to read files; "
                   "results go to %s/points/%s.h5\n",
                   files, files == 1 ? "" : "s", (long long)info->most_samples, es_plural(info->most_samples),
                   info->classes, info->classes == 1 ? "" : "es", total * files, ranks, ranks == 1 ? "" : "s",
                   plan->output, es_grid_id(plan->grid, 0));
  es_text_append(out, "memory: up to %.0f MiB for each rank\n",
                 (double)es_plan_activations_bytes(plan, 0, info, ranks) / (1 << 20));
  const int64_t features = features_bytes(plan, info);
  if (features > 0) es_text_append(out, "features: %s in <id>.features.h5\n", es_bytes(features).text);
  char warning[256];
  if (es_external_has_unknown_labels(info, point, warning)) es_text_append(out, "warning: %s\n", warning);
  const int64_t available = es_memory_available();
  const int more = es_plan_activations_fit(plan, 0, info, ranks, 1, available);
  if (more != ranks)
    es_text_append(out, "this is more than the %s that are free on this machine", es_bytes(available).text);
  if (more > ranks) es_text_append(out, "; use %d ranks, with one rank on each node", more);
  if (more != ranks) es_text_append(out, "\n");
  es_table_destroy(&table);
}
