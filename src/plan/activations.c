/* What a job of activations would do: its layers, the way each is accumulated, time and memory. */
#include "eigenscope/accumulator.h"
#include "eigenscope/capture.h"
#include "eigenscope/eigenspace.h"
#include "eigenscope/spectrum.h"
#include "plan_internal.h"
#include <stdio.h>

enum { RANKS_MOST = 1 << 20 };

static const int64_t process_bytes = 60 << 20; /* with MPI, HDF5 and OpenBLAS, and the part that is read at a time */

static es_rows_info_t rows_of(const es_point_t *point, const es_external_layer_t *layer, int64_t samples) {
  const es_shape_t shape = {layer->h, layer->w, layer->c};
  const es_method_t *method = es_method(point->measure.method);
  return (es_rows_info_t){method->width(shape, point->measure.method_size),
                          layer->is_double ? ES_REAL_F64 : ES_REAL_F32,
                          samples * method->positions(shape, point->measure.method_size)};
}

/* One triangle at the rate of SYRK on this kind of machine (Zen 4, `eigenscope bench covariance`), 70 GFLOP/s a rank.
 */
static double covariance_seconds(const es_rows_info_t *rows, int ranks) {
  const double order = rows->rows < rows->width ? (double)rows->rows : rows->width;
  return (double)rows->rows * rows->width * order / (70e9 * ranks);
}

static int32_t order_of(const es_rows_info_t *rows) {
  return es_accumulator_strategy(rows->width, rows->rows) == ES_STRATEGY_GRAM ? (int32_t)rows->rows : rows->width;
}

static double layer_seconds(const es_rows_info_t *rows, bool vectors, int ranks) {
  return es_spectrum_seconds(order_of(rows), ranks, vectors) + covariance_seconds(rows, ranks);
}

/* Eigenvectors of one layer: as they are found on each rank, and as the leader keeps them of all epochs, once more
 * while a state is saved, and once if they are stored. Half of the directions, where nothing is known yet. */
static int64_t vectors_bytes(const es_point_t *point, const es_rows_info_t *rows, int ranks) {
  const int64_t files =
      (int64_t)es_external_epochs(&point->external) * (1 + es_external_has(&point->external, ES_EVAL));
  const es_eigenspaces_plan_t plan = {.widths = &rows->width,
                                      .n_layers = 1,
                                      .measured = files,
                                      .share = 0.5 * order_of(rows) / rows->width,
                                      .ranks = ranks};
  int64_t bytes = 2 * es_eigenspaces_bytes(&plan) + 4 * (int64_t)order_of(rows) * rows->width;
  if (point->measure.eigenspace == ES_EIGENSPACE_STORE) bytes += 2 * files * 4 * (int64_t)rows->width * rows->width;
  return bytes;
}

int64_t es_plan_activations_bytes(const es_plan_t *plan, const es_external_info_t *info, int ranks) {
  const es_point_t *point = es_job_base(plan->job);
  const bool vectors = es_measure_vectors(&point->measure);
  int64_t most = 0, sum = 0, followed = 0;
  for (int i = 0; i < info->n_layers; i++) {
    if (!es_measure_takes(&point->measure, info->layers[i].name)) continue;
    const es_rows_info_t rows = rows_of(point, &info->layers[i], info->most_samples);
    const es_strategy_t way = es_accumulator_strategy(rows.width, rows.rows);
    int64_t bytes =
        es_accumulator_bytes(&rows, point->train.lanes, ranks) + es_spectrum_bytes(order_of(&rows), ranks, vectors);
    if (vectors) followed += vectors_bytes(point, &rows, ranks);
    if (way == ES_STRATEGY_SPREAD && ranks == 1)
      bytes += 8 * (int64_t)es_triangle_size(rows.width); /* as LAPACK wants it */
    if (way == ES_STRATEGY_LANES) bytes += 3 * 8 * (int64_t)es_cov_moments_size(rows.width);
    if (bytes > most) most = bytes;
    sum += bytes;
  }
  /* Layers that fit together are accumulated in one round. */
  return process_bytes + followed +
         (most > (1 << 30) || sum < (1 << 30) ? (sum < most         ? sum
                                                 : most > (1 << 30) ? most
                                                                    : sum)
                                              : 1 << 30);
}

int es_plan_activations_fit(const es_plan_t *plan, const es_external_info_t *info, int ranks, int here,
                            int64_t available) {
  for (; ranks <= RANKS_MOST; ranks *= 2) {
    if (0.8 * here * (double)es_plan_activations_bytes(plan, info, ranks) <= (double)available) return ranks;
  }
  return 0;
}

void es_plan_activations_table(const es_plan_t *plan, const es_external_info_t *info, int ranks, es_text_t *out) {
  static const char *const headings[] = {"width", "rows", "s"};
  const es_point_t *point = es_job_base(plan->job);
  const int32_t epochs = es_external_epochs(&point->external);
  es_table_t table = {0};
  double total = 0.0;
  es_table_column(&table, "layer", false);
  es_table_column(&table, "shape", false);
  es_table_column(&table, "way", false);
  for (int i = 0; i < 3; i++) es_table_column(&table, headings[i], true);
  for (int i = 0; i < info->n_layers; i++) {
    const es_external_layer_t *layer = &info->layers[i];
    if (!es_measure_takes(&point->measure, layer->name)) continue;
    const es_rows_info_t rows = rows_of(point, layer, info->most_samples);
    const double seconds = layer_seconds(&rows, es_measure_vectors(&point->measure), ranks);
    es_table_cell(&table, "%s", layer->name);
    es_table_cell(&table, "%d x %d x %d", layer->h, layer->w, layer->c);
    es_table_cell(&table, "%s", es_strategy_name(es_accumulator_strategy(rows.width, rows.rows)));
    es_table_cell(&table, "%d", rows.width);
    es_table_cell(&table, "%lld", (long long)rows.rows);
    es_table_cell(&table, "%.2f", seconds);
    total += seconds;
  }
  es_table_print(&table, out);
  const int files = epochs * (1 + es_external_has(&point->external, ES_EVAL));
  es_text_append(out,
                 "\n%d file%s of %lld samples, %d classes; about %.0f s on %d rank%s beside reading; results go to "
                 "%s/points/%s.h5\n",
                 files, files == 1 ? "" : "s", (long long)info->most_samples, info->classes, total * files, ranks,
                 ranks == 1 ? "" : "s", plan->output, es_grid_id(plan->grid, 0));
  es_text_append(out, "memory: up to %.0f MiB for each rank\n",
                 (double)es_plan_activations_bytes(plan, info, ranks) / (1 << 20));
  const int64_t available = es_memory_available();
  const int more = es_plan_activations_fit(plan, info, ranks, 1, available);
  if (more != ranks) es_text_append(out, "more than the %.1f GiB that are free here", (double)available / (1 << 30));
  if (more > ranks) es_text_append(out, ": %d ranks, one on each node, would do", more);
  if (more != ranks) es_text_append(out, "\n");
  es_table_destroy(&table);
}
