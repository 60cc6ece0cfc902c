#include "memory.h"
#include "eigenscope/capture.h"
#include "eigenscope/graph.h"
#include "eigenscope/model.h"
#include <stdio.h>
#include <string.h>

/* What a process with MPI, HDF5, OpenBLAS and oneDNN takes before it has data: measured, Debian 12. Kernels that oneDNN
 * writes come on top, for each convolution. */
static const int64_t process_bytes = 40 << 20, kernel_bytes = 400 << 10;

/* Results, and the images of files under way: a state (weights, momenta, results) or a result file. */
static int64_t store_bytes(const es_point_t *point, const es_graph_t *graph, int64_t layers, int64_t widest) {
  const int64_t epochs = point->train.epochs + 1;
  const int64_t results = ES_SPLITS * epochs * layers * (widest * 8 + point->measure.n_deltas * 12 + 64);
  const int64_t weights =
      4 * (graph->parameter_count * (point->train.optimizer == ES_ADAM ? 3 : 2) + graph->buffer_count);
  return results + results + weights;
}

/* Merged covariances while a split is measured: of all layers, spread over the ranks once solved but made on each. */
static int64_t measure_bytes(const es_point_t *point, const es_graph_t *graph, int64_t *layers, int64_t *widest) {
  const es_method_t *method = es_method(point->measure.method);
  int32_t chosen[2048];
  int64_t bytes = 0;
  *layers = es_capture_select(graph, &point->measure, chosen);
  *widest = 1;
  for (int64_t i = 0; i < *layers; i++) {
    const int32_t width = method->width(graph->nodes[graph->layers[chosen[i]]].out, point->measure.method_size);
    bytes += 8 * (int64_t)es_cov_moments_size(width) + 4 * (int64_t)es_cov_panel_rows(width) * width / 8;
    *widest = width > *widest ? width : *widest;
  }
  return bytes + 8 * *widest * *widest; /* LAPACK's square */
}

es_code_t es_memory_predict(es_memory_need_t *out, const es_point_t *point, const es_dataset_info_t *info, int ranks,
                            es_status_t *status) {
  es_graph_t *graph;
  ES_TRY(es_graph_create(&graph, point, status));
  int64_t layers, widest;
  const int lanes = point->train.lanes / ranks > 0 ? point->train.lanes / ranks : 1;
  const int64_t samples = es_point_samples(point, info, ES_TRAIN) + es_point_samples(point, info, ES_EVAL);
  int64_t rank = process_bytes + kernel_bytes * graph->n_layers;
  rank += es_model_bytes(graph, point->train.batch, point->train.lanes, ranks, true);
  rank += 4 * graph->parameter_count * (point->train.optimizer == ES_ADAM ? 2 : 1);
  rank += es_capture_bytes(graph, &point->measure, lanes);
  rank += measure_bytes(point, graph, &layers, &widest);
  rank += store_bytes(point, graph, layers, widest);
  rank += 12 * samples;
  es_graph_destroy(graph);
  const int64_t image = (int64_t)point->resolution * point->resolution * info->channels;
  *out = (es_memory_need_t){rank, (info->count[ES_TRAIN] + info->count[ES_EVAL]) * (image + 2)};
  return ES_OK;
}

/* VmHWM counts shared memory that was touched; RssShmem is what of it is there now, which for us only grows. */
int64_t es_memory_peak(void) {
  FILE *file = fopen("/proc/self/status", "r");
  long long peak = 0, shared = 0;
  char line[256];
  while (file && fgets(line, sizeof line, file)) {
    sscanf(line, "VmHWM: %lld", &peak);
    sscanf(line, "RssShmem: %lld", &shared);
  }
  if (file) fclose(file);
  return (peak - shared) * 1024;
}
